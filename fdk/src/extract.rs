use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::{Error, Result};

/// What a function can ask for as an argument.
///
/// ```
/// use fdk::{Call, Error, FromCall, StatusCode};
///
/// struct ApiKey(String);
///
/// impl FromCall for ApiKey {
///     fn from_call(call: &Call) -> fdk::Result<Self> {
///         let key = call.header("x-api-key");
///         key.map(|key| Self(key.to_owned()))
///             .ok_or_else(|| Error::public(StatusCode::UNAUTHORIZED, "no API key"))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing a function can take from a call",
    note = "arguments are `String`, `Bytes`, `Json<T>`, `Call` or your own `FromCall` types"
)]
pub trait FromCall: Sized {
    /// Takes the argument from the call. The function does not run when this fails.
    ///
    /// # Errors
    ///
    /// The call has no such thing; say so with [`Error::public`].
    fn from_call(call: &Call) -> Result<Self>;
}

impl FromCall for Call {
    fn from_call(call: &Call) -> Result<Self> {
        Ok(call.clone())
    }
}

/// The body as it came.
impl FromCall for Bytes {
    fn from_call(call: &Call) -> Result<Self> {
        Ok(call.body().clone())
    }
}

/// The body as text; 400 when it is not UTF-8.
impl FromCall for String {
    fn from_call(call: &Call) -> Result<Self> {
        std::str::from_utf8(call.body())
            .map(str::to_owned)
            .map_err(|error| bad_request(format!("the body is not UTF-8: {error}")))
    }
}

/// A body in JSON: as an argument 400 when it does not fit, as an answer `application/json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

/// Whatever the content type says: `fn invoke` and many scripts send none.
impl<T: DeserializeOwned> FromCall for Json<T> {
    fn from_call(call: &Call) -> Result<Self> {
        if call.body().is_empty() {
            return Err(bad_request(
                "the body is empty where JSON is expected".to_owned(),
            ));
        }
        serde_json::from_slice(call.body())
            .map(Self)
            .map_err(|error| bad_request(format!("the body is not the JSON expected: {error}")))
    }
}

fn bad_request(message: String) -> Error {
    Error::public(StatusCode::BAD_REQUEST, message)
}
