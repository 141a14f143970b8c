use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::config::manifest::one_line;

/// One environment variable of this process; unset, empty and non-UTF-8 ones are `None`.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// As [`variable`], but an empty one is there: a list may be meant to be empty.
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A setting that cannot be used.
#[derive(Debug, Error)]
pub enum SettingError {
    #[error("{name}: {value} is not allowed, expected {expected}")]
    Value {
        name: String,
        value: String,
        expected: String,
    },
    #[error("{name}: cannot read {path}")]
    File {
        name: String,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{name} and {name}_FILE are both set, expected one of them")]
    Both { name: String },
}

/// Where settings come from; tests pass a closure over a map instead of changing the process.
pub struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

impl<'a> Env<'a> {
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup }
    }

    /// The value of `name`, or the content of the file that `<name>_FILE` names.
    pub fn text(&self, name: &str) -> Result<Option<String>, SettingError> {
        let direct = (self.lookup)(name).filter(|value| !value.is_empty());
        let file = (self.lookup)(&format!("{name}_FILE")).filter(|value| !value.is_empty());
        match (direct, file) {
            (Some(_), Some(_)) => Err(SettingError::Both {
                name: name.to_owned(),
            }),
            (Some(value), None) => Ok(Some(value)),
            (None, None) => Ok(None),
            (None, Some(path)) => match std::fs::read_to_string(Path::new(&path)) {
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(source) => Err(SettingError::File {
                    name: format!("{name}_FILE"),
                    path,
                    source,
                }),
            },
        }
    }

    /// Whether `name` is set to nothing, which is not the same as not being set.
    pub(super) fn is_emptied(&self, name: &str) -> bool {
        (self.lookup)(name).is_some_and(|value| value.is_empty())
    }

    /// The value parsed by its type, or `default` where it is not set.
    pub(super) fn parse<T: FromStr>(
        &self,
        name: &str,
        default: T,
        expected: &str,
    ) -> Result<T, SettingError> {
        match self.text(name)? {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| refused(name, &value, expected)),
        }
    }

    /// A whole number in a range.
    pub(super) fn number<T>(
        &self,
        name: &str,
        default: T,
        range: std::ops::RangeInclusive<T>,
        unit: &str,
    ) -> Result<T, SettingError>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let expected = format!(
            "a whole number of {unit} from {} to {}",
            range.start(),
            range.end()
        );
        let number = self.parse(name, default, &expected)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(refused(name, &number.to_string(), &expected))
        }
    }

    pub(super) fn path(&self, name: &str) -> Result<Option<PathBuf>, SettingError> {
        Ok(self.text(name)?.map(PathBuf::from))
    }
}

pub(super) fn refused(name: &str, value: &str, expected: &str) -> SettingError {
    SettingError::Value {
        name: name.to_owned(),
        value: one_line(value),
        expected: expected.to_owned(),
    }
}
