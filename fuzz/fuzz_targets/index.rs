#![no_main]

use std::collections::BTreeSet;

use kiln_fuzz::index::{Declared, Index, MAX_FUNCTIONS, read};
use kiln_fuzz::model::Pattern;
use libfuzzer_sys::fuzz_target;

/// Problems go to a terminal, and those who read them go by their order.
fn is_a_list_of_lines(index: &Index) {
    let lines: Vec<String> = index.problems.iter().map(ToString::to_string).collect();
    let strange = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for line in &lines {
        assert!(!line.contains(strange), "{line:?}");
        assert!(
            !line.is_empty() && line.len() <= 8192,
            "{} bytes",
            line.len()
        );
    }
    assert!(lines.is_sorted(), "{lines:?}");
}

/// What has no problem can be deployed.
fn is_sound(functions: &[Declared]) {
    assert!((1..=MAX_FUNCTIONS).contains(&functions.len()));
    let (mut names, mut triggers, mut paths) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for function in functions {
        assert!(function.name.starts_with(|c: char| c.is_ascii_alphabetic()));
        assert!(
            names.insert(function.name.to_ascii_lowercase()),
            "{names:?}"
        );
        assert!(function.memory_mb != Some(0) && function.timeout_secs != Some(0));
        for trigger in &function.triggers {
            assert!(triggers.insert(&trigger.name), "{triggers:?}");
            let pattern = trigger
                .pattern
                .as_ref()
                .expect("a sound source is a pattern");
            assert_eq!(pattern.to_string(), trigger.source);
            for method in ["GET", "POST", "PROPFIND"] {
                let taken = trigger.methods.names_one(method);
                assert!(
                    !taken || paths.insert((pattern.shape(), method)),
                    "{paths:?}"
                );
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let index = read(input);
    is_a_list_of_lines(&index);
    if index.problems.is_empty() {
        is_sound(&index.functions);
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(pattern) = Pattern::parse(text)
    {
        assert_eq!(pattern.to_string(), text);
        assert!(pattern.shape().starts_with('/'));
    }
});
