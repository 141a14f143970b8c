use std::fmt;

use crate::model::InvalidValues;

/// Something that keeps functions from being deployed, in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    text: String,
    /// Whom it concerns; nobody where it is the whole index that cannot be used.
    functions: Vec<String>,
}

impl Problem {
    /// With the index as a whole.
    pub fn general(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            functions: Vec::new(),
        }
    }

    /// With one function; its name is put in front.
    pub fn of(function: &str, text: impl fmt::Display) -> Self {
        Self {
            text: format!("function {}: {text}", quoted(function)),
            functions: vec![function.to_owned()],
        }
    }

    /// With the function's configuration or annotations.
    pub(super) fn of_values(function: &str, field: &str, error: &InvalidValues) -> Self {
        match &error.key {
            Some(key) => Self::of(function, format_args!("{field} {}: {error}", quoted(key))),
            None => Self::of(function, format_args!("{field}: {error}")),
        }
    }

    /// With what several have in common.
    pub(super) fn between(functions: &[&str], text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            functions: functions.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    /// Whether the rest could be deployed without the functions that it concerns.
    pub fn can_be_skipped(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Whom it concerns.
    pub(super) fn functions(&self) -> &[String] {
        &self.functions
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Sorted, each once.
pub(super) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup_by(|a, b| a.text == b.text);
    problems
}

/// Longest piece of an image's own words in a message.
const MAX_SHOWN: usize = 60;

/// A text of the image's in quotes, fit for one line of a terminal.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_SHOWN).collect();
    format!("{start:?}...")
}
