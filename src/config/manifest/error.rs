use std::io;

use serde_yaml::Value;
use thiserror::Error;

/// Longest part of a value that an error shows.
const MAX_SHOWN: usize = 60;

/// Why a `func.yaml` or `app.yaml` cannot be used. Every message is one line.
#[derive(Debug, Error)]
pub enum ManifestError {
    #[error("no func.yaml, func.yml or func.json in {dir}")]
    NotFound { dir: String },
    #[error("cannot read {path}")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{file}: {size} bytes are too many, expected at most {max}")]
    TooLarge { file: String, size: u64, max: usize },
    #[error("{file}: {reason}")]
    Syntax { file: String, reason: String },
    #[error("{file}: {key}: {value} is not allowed, expected {expected}")]
    Value {
        file: String,
        key: String,
        value: String,
        expected: String,
    },
    #[error("{file}: {key} is missing, expected {expected}")]
    Missing {
        file: String,
        key: String,
        expected: String,
    },
    #[error("{file}: {key} is not a known key{nearest}, expected one of {allowed}")]
    UnknownKey {
        file: String,
        key: String,
        nearest: String,
        allowed: String,
    },
    #[error(
        "{file}: {key} is for functions, expected schema_version: 20180708 in the file as well; \
         without it the folder deploys a route"
    )]
    Unversioned { file: String, key: &'static str },
    #[error("the version cannot be changed in place, expected a line such as version: 0.0.1")]
    Bump,
}

/// `text` made fit for one line of a terminal: control characters escaped, long text cut.
pub(in crate::config) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text.trim().chars().enumerate() {
        if count == MAX_SHOWN * 4 {
            line.push_str("...");
            break;
        }
        push_visible(&mut line, c);
    }
    line
}

/// A value as an error shows it.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => "an empty value".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => show_text(text),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(_) => "a tagged value".to_owned(),
    }
}

/// A piece of the file as an error shows it.
pub(super) fn show_text(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            shown.push_str("...");
            break;
        }
        push_visible(&mut shown, c);
    }
    shown
}

fn push_visible(line: &mut String, c: char) {
    let breaks_line = matches!(c, '\u{2028}' | '\u{2029}');
    // Direction overrides could make the message read as something else.
    let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || breaks_line || reorders {
        line.extend(c.escape_default());
    } else {
        line.push(c);
    }
}
