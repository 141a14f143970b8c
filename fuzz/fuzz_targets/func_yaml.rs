#![no_main]

use kiln_fuzz::config::{
    Deployment, MAX_MANIFEST_BYTES, Manifest, ManifestError, bump_patch, check_name,
};
use libfuzzer_sys::fuzz_target;

/// Messages go to a terminal and into logs, beside others.
fn is_one_line(error: &ManifestError) {
    let message = error.to_string();
    let strange = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!message.contains(strange), "{message:?}");
    assert!(message.len() <= 4096, "{} bytes", message.len());
}

fn is_in_range(manifest: &Manifest) {
    check_name(&manifest.name).expect("a name that is taken is a name");
    assert!(manifest.timeout_secs != Some(0) && manifest.idle_timeout_secs != Some(0));
    assert!(manifest.memory_mb != Some(0));
    match &manifest.deployment {
        Deployment::Route { path, .. } => assert!(path.starts_with('/')),
        Deployment::Function { triggers } => {
            assert!(manifest.owner.is_none());
            assert!(triggers.iter().all(|t| t.source.starts_with('/')));
        }
    }
}

/// A deploy writes the file back; it must say the same as before, but for the version.
fn is_the_same_with_the_next_version(text: &str, file: &str, dir_name: &str, before: Manifest) {
    let (edited, version) = match bump_patch(text) {
        Ok(bumped) => bumped,
        Err(error) => return is_one_line(&error),
    };
    if edited.len() > MAX_MANIFEST_BYTES {
        return;
    }
    let after = Manifest::parse_file(&edited, dir_name, file);
    let expected = Manifest {
        version: Some(version),
        ..before
    };
    assert_eq!(after.expect("a new version spoils no file"), expected);
}

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let json = text.trim_start().starts_with('{');
    let file = if json { "func.json" } else { "func.yaml" };
    // What a file leaves out comes from its folder, which may have any name.
    let last_line = text.lines().next_back().unwrap_or_default();
    let dir_name = if text.contains("name") {
        "hello"
    } else {
        last_line
    };
    match Manifest::parse_file(&text, dir_name, file) {
        Ok(manifest) => {
            is_in_range(&manifest);
            is_the_same_with_the_next_version(&text, file, dir_name, manifest);
        }
        Err(error) => is_one_line(&error),
    }
});
