use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::model::{Annotations, AppId, Config, Format, MilliCpus, Timestamp};

/// Whether the caller waits for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvocationType {
    Sync,
    Async,
}

impl InvocationType {
    /// The literal name, as in func.yaml and `FN_TYPE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

impl fmt::Display for InvocationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Neither `sync` nor `async`.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown type, expected sync or async")]
pub struct UnknownType;

impl FromStr for InvocationType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        match text {
            "sync" => Ok(Self::Sync),
            "async" => Ok(Self::Async),
            _ => Err(UnknownType),
        }
    }
}

/// A function of the v1 API: an image behind a path of an app, called at `/r/{app}{path}`.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Route {
    pub app_id: AppId,
    /// Starts with `/`; unique within the app.
    pub path: String,
    pub image: String,
    pub memory_mb: u64,
    pub cpus: Option<MilliCpus>,
    /// Headers that every response of this route carries.
    pub headers: BTreeMap<String, Vec<String>>,
    pub kind: InvocationType,
    pub format: Format,
    pub timeout_secs: u32,
    pub idle_timeout_secs: u32,
    pub tmpfs_mb: u32,
    pub config: Config,
    pub annotations: Annotations,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The one spelling of a route's path: a leading slash, no empty, `.` or `..` segments, no
/// trailing slash. Stored paths and request paths meet in this form.
pub fn clean_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (path, clean) in [
            ("", "/"),
            ("/", "/"),
            ("hello", "/hello"),
            ("//hello/", "/hello"),
            ("/a//b/./c", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/../..", "/"),
            ("/a.b/..c", "/a.b/..c"),
        ] {
            assert_eq!(clean_path(path), clean, "{path}");
        }
    }
}
