use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use thiserror::Error;

use crate::model::CallId;

/// One call as it is put to a function, whatever its format.
#[derive(Clone, Debug)]
pub struct CallRequest {
    pub id: CallId,
    pub method: Method,
    /// Path and query as the caller wrote them.
    pub target: String,
    /// Scheme, host and target as the caller wrote them.
    pub url: String,
    /// The caller's headers without hop-by-hop ones and without names that are the platform's.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What a function answered.
#[derive(Clone, Debug)]
pub struct CallResponse {
    pub status: StatusCode,
    /// As the function wrote them, less what only concerned the way to us.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A response, and whether its container may serve another call.
#[derive(Debug)]
pub struct Answer {
    pub response: CallResponse,
    /// The function has read the request to its end.
    pub clean: bool,
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeLimits {
    pub response_head_bytes: usize,
    pub response_body_bytes: u64,
}

/// Why there is no response. The container is in doubt.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The bytes on stdout are no response.
    #[error("{0}")]
    Malformed(wire::DecodeError),
    /// The response is longer than allowed.
    #[error("the response is longer than {limit} bytes")]
    TooLarge { limit: u64 },
    /// stdout ended. `started` says whether any of the response had been read, `unread` whether
    /// the function is certain not to have read any of the request.
    #[error("{error}")]
    Ended {
        started: bool,
        unread: bool,
        error: wire::DecodeError,
    },
    /// The response is to another call.
    #[error("the response is to another call: it carries Fn-Call-Id {found:?}")]
    WrongCall { found: String },
    /// stdout could not be read; the way to the container is broken.
    #[error("the connection to the container was lost: {0}")]
    Io(std::io::Error),
}
