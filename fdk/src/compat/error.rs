use std::env::VarError;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::error::Error;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why an old function failed, and whose fault that is.
///
/// The variants are those of 0.2. 0.1 has a function for each kind of error; its kinds are these:
///
/// | 0.1 | here |
/// |---|---|
/// | [`invalid_input`](Self::invalid_input) | `InvalidInput` |
/// | [`bad_request`](Self::bad_request) | `User` |
/// | [`initialization`](Self::initialization) | `Initialization` |
/// | [`coercion`](Self::coercion) | `System` |
/// | [`io`](Self::io) | `IO` |
/// | [`other`](Self::other) | `Server` |
///
/// `coercion` is not `Coercion` because the one is the function's fault and the other its caller's.
///
/// ```
/// use fdk::FunctionError;
///
/// let error = FunctionError::bad_request("nothing ordered");
/// assert!(error.is_user_error());
/// assert_eq!(error.to_string(), "nothing ordered");
/// assert!(!FunctionError::other("the stock is unknown").is_user_error());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionError {
    /// The caller's input is wrong.
    InvalidInput {
        /// What is wrong.
        inner: String,
    },
    /// The caller's request is wrong.
    BadRequest,
    /// The function could not start.
    Initialization {
        /// What happened.
        inner: String,
    },
    /// The input could not be read, or the output not be written, in the format asked for.
    Coercion {
        /// What happened.
        inner: String,
    },
    /// Something could not be read or written.
    IO {
        /// What happened.
        inner: String,
    },
    /// The server failed.
    Server {
        /// What happened.
        inner: String,
    },
    /// Something else failed that is not the caller's business.
    System {
        /// What happened.
        inner: String,
    },
    /// What the function tells its caller.
    User {
        /// What it tells.
        inner: String,
    },
}

fn text<E: Into<Cause>>(error: E) -> String {
    error.into().to_string()
}

impl FunctionError {
    /// The caller's input is wrong. (0.1)
    pub fn invalid_input<E: Into<Cause>>(error: E) -> Self {
        Self::InvalidInput { inner: text(error) }
    }

    /// The caller's request is wrong. (0.1)
    pub fn bad_request<E: Into<Cause>>(error: E) -> Self {
        Self::User { inner: text(error) }
    }

    /// The function could not start. (0.1)
    pub fn initialization<E: Into<Cause>>(error: E) -> Self {
        Self::Initialization { inner: text(error) }
    }

    /// Input or output could not be coerced, and not by the caller's fault. (0.1)
    pub fn coercion<E: Into<Cause>>(error: E) -> Self {
        Self::System { inner: text(error) }
    }

    /// Something could not be read or written. (0.1)
    pub fn io<E: Into<Cause>>(error: E) -> Self {
        Self::IO { inner: text(error) }
    }

    /// Anything else. (0.1)
    pub fn other<E: Into<Cause>>(error: E) -> Self {
        Self::Server { inner: text(error) }
    }

    /// What the function tells its caller. (0.2)
    pub fn new_user_error(error: String) -> Self {
        Self::User { inner: error }
    }

    /// Whether the caller is told, and the function goes on.
    pub fn is_user_error(&self) -> bool {
        matches!(
            self,
            Self::InvalidInput { .. }
                | Self::BadRequest
                | Self::Coercion { .. }
                | Self::User { .. }
        )
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest => f.write_str("bad request"),
            Self::InvalidInput { inner }
            | Self::Initialization { inner }
            | Self::Coercion { inner }
            | Self::IO { inner }
            | Self::Server { inner }
            | Self::System { inner }
            | Self::User { inner } => f.write_str(inner),
        }
    }
}

impl StdError for FunctionError {}

impl From<io::Error> for FunctionError {
    fn from(error: io::Error) -> Self {
        Self::io(error)
    }
}

impl From<VarError> for FunctionError {
    fn from(error: VarError) -> Self {
        Self::initialization(error)
    }
}

/// What callers are told they are told here, too.
impl From<Error> for FunctionError {
    fn from(error: Error) -> Self {
        let inner = error.to_string();
        match error.problem() {
            Some(_) => Self::User { inner },
            None => Self::System { inner },
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn errors_say_their_text_and_whose_fault_they_are() {
        let inner = || "text".to_owned();
        let table = [
            (FunctionError::invalid_input("text"), true),
            (FunctionError::bad_request("text"), true),
            (FunctionError::initialization("text"), false),
            (FunctionError::coercion("text"), false),
            (FunctionError::io("text"), false),
            (FunctionError::other("text"), false),
            (FunctionError::new_user_error(inner()), true),
            (FunctionError::Coercion { inner: inner() }, true),
            (FunctionError::System { inner: inner() }, false),
            (io::Error::other("text").into(), false),
            (Error::msg("text").into(), false),
            (Error::public(StatusCode::NOT_FOUND, "text").into(), true),
        ];
        for (error, is_user_error) in table {
            assert_eq!(error.to_string(), "text");
            assert_eq!(error.is_user_error(), is_user_error, "{error:?}");
            assert_eq!(Error::from(error).to_string(), "text");
        }
        assert!(FunctionError::BadRequest.is_user_error());
        assert!(!FunctionError::from(VarError::NotPresent).is_user_error());
    }
}
