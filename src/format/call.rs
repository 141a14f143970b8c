use std::fmt;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, StatusCode};
use thiserror::Error;

use crate::model::CallId;

/// One call as it is put to a function, whatever its format.
#[derive(Debug)]
pub struct CallRequest {
    pub id: CallId,
    pub method: Method,
    /// Path and query as the caller wrote them.
    pub target: String,
    /// Scheme, host and target as the caller wrote them.
    pub url: String,
    /// The caller's headers without hop-by-hop ones and without names that are the platform's.
    pub headers: HeaderMap,
    pub via: Via,
    pub body: RequestBody,
}

/// The way a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `/r` or `/t`: an HTTP client that knows nothing of functions.
    Http,
    /// `/invoke`: a client that speaks to the function itself.
    Invoke,
}

/// What a caller sends.
pub enum RequestBody {
    /// All of it.
    Whole(Bytes),
    /// What comes, as it comes. An error means that the caller broke off.
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Default for RequestBody {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => write!(f, "Whole({} bytes)", body.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl CallRequest {
    /// The body of a format that needs all of it; the gateway streams to no other.
    pub(super) fn whole_body(&self) -> Bytes {
        match &self.body {
            RequestBody::Whole(body) => body.clone(),
            RequestBody::Stream(_) => Bytes::new(),
        }
    }
}

/// The start of what a function answered.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// As the function wrote them, less what only concerned the way to us.
    pub headers: HeaderMap,
    /// The length of the body, where it is known by now.
    pub length: Option<u64>,
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeLimits {
    /// Longest head of a response.
    pub head_bytes: usize,
    /// Longest body that is passed on as it comes.
    pub stream_bytes: u64,
    /// Longest body that has to be read to its end first.
    pub whole_bytes: u64,
}

/// What a function that has a protocol for it says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It failed.
    Failed,
    /// It ran out of time.
    TimedOut,
}

impl ExchangeError {
    /// The function's output ended for a reason that quotes nothing.
    pub(super) fn ended(started: bool, unread: Option<bool>, detail: &str) -> Self {
        Self::Ended {
            started,
            unread,
            detail: detail.to_owned(),
            summary: detail.to_owned(),
        }
    }

    /// As the message, but without any of what was read: over a container that has served other
    /// calls, that may be somebody else's.
    pub fn summary(&self) -> String {
        match self {
            Self::Malformed(error) => error.summary(),
            Self::BadFrame(_) => "not an answer of the function's format".to_owned(),
            Self::UnknownContentType(_) => "unknown content type".to_owned(),
            Self::WrongCall { .. } => "the response is to another call".to_owned(),
            Self::Ended { summary, .. } => summary.clone(),
            Self::TooLarge { .. } | Self::Reported(_) | Self::CallerLeft(_) | Self::Io(_) => {
                self.to_string()
            }
        }
    }
}

/// Why there is no response, or no more of it.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// What the function wrote is no HTTP response.
    #[error("{0}")]
    Malformed(wire::DecodeError),
    /// What the function wrote is no answer of its format.
    #[error("{0}")]
    BadFrame(String),
    /// The response is longer than allowed.
    #[error("the response is longer than {limit} bytes")]
    TooLarge { limit: u64 },
    /// A response whose body is of a type that its format cannot carry.
    #[error("unknown content type {0:?}")]
    UnknownContentType(String),
    /// The function says so itself, properly.
    #[error("the function reported: {0:?}")]
    Reported(Report),
    /// The function's output ended. `started` says whether any of the response had been read,
    /// `unread` whether the function has read nothing of the request, if anybody can tell.
    #[error("{detail}")]
    Ended {
        started: bool,
        unread: Option<bool>,
        detail: String,
        /// As `detail`, without any of what was read.
        summary: String,
    },
    /// The response is to another call.
    #[error("the response is to another call: it carries Fn-Call-Id {found:?}")]
    WrongCall { found: String },
    /// The caller broke off in the middle of its request.
    #[error("the caller broke off: {0}")]
    CallerLeft(io::Error),
    /// The function's output could not be read; the way to the container is broken.
    #[error("the connection to the container was lost: {0}")]
    Io(io::Error),
}
