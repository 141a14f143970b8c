use std::fmt;

use http::StatusCode;

use crate::response::{IntoResponse, Response};

/// The result of a function, or of [`run`](crate::run).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a function failed.
///
/// Every `std` error turns into one with `?`. The caller then gets status 500 and no details, and
/// the log gets them all. What a caller may know has to be said with [`public`](Self::public).
///
/// ```
/// use fdk::{Error, StatusCode};
///
/// fn half(text: &str) -> fdk::Result<u32> {
///     let number: u32 = text.parse()?;
///     if number % 2 != 0 {
///         return Err(Error::public(StatusCode::UNPROCESSABLE_ENTITY, "odd numbers have no half"));
///     }
///     Ok(number / 2)
/// }
/// assert!(half("8").is_ok() && half("7").is_err() && half("x").is_err());
/// ```
pub struct Error(Kind);

enum Kind {
    Public { status: StatusCode, message: String },
    Message(String),
    Source(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error that the caller sees: this status, and `{"error": message}`.
    pub fn public(status: StatusCode, message: impl Into<String>) -> Self {
        Self(Kind::Public {
            status,
            message: message.into(),
        })
    }

    /// An error that only the log sees.
    pub fn msg(message: impl Into<String>) -> Self {
        Self(Kind::Message(message.into()))
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Kind::Source(Box::new(error)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Public { message, .. } | Kind::Message(message) => f.write_str(message),
            Kind::Source(error) => {
                write!(f, "{error}")?;
                let mut source = error.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
        }
    }
}

/// The same text as `Display`: this is what a failing `main` prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self.0 {
            Kind::Public { status, message } => Response::error(status, &message),
            Kind::Message(_) | Kind::Source(_) => Response::failure(self.to_string()),
        }
    }
}
