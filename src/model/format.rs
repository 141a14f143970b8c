use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How a call is put to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One container per call: body on stdin, answer on stdout until exit.
    Default,
    /// HTTP/1.1 with Content-Length over stdin and stdout of a hot container.
    Http,
    /// One JSON object per call over stdin and stdout.
    Json,
    /// CloudEvents 0.1 over stdin and stdout.
    CloudEvent,
    /// HTTP/1.1 over a unix socket that the function listens on.
    HttpStream,
}

impl Format {
    /// Whether bodies of unknown length can be passed on as they come.
    pub const fn streams(self) -> bool {
        matches!(self, Self::Http | Self::HttpStream)
    }

    /// Whether a container serves one call after the other.
    pub const fn is_hot(self) -> bool {
        !matches!(self, Self::Default)
    }

    /// Every format, in the order in which error messages list them.
    pub const ALL: [Self; 5] = [
        Self::Default,
        Self::Http,
        Self::Json,
        Self::CloudEvent,
        Self::HttpStream,
    ];

    /// The literal name, as in func.yaml and `FN_FORMAT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Http => "http",
            Self::Json => "json",
            Self::CloudEvent => "cloudevent",
            Self::HttpStream => "http-stream",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name is none of [`Format::ALL`].
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown format, expected one of default, http, json, cloudevent, http-stream")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|f| f.as_str() == text)
            .ok_or(UnknownFormat)
    }
}
