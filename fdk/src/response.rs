use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::error::Error;
use crate::extract::Json;

/// An answer in full: status, headers and body.
///
/// ```
/// use fdk::{Response, StatusCode};
///
/// let moved = Response::new(StatusCode::SEE_OTHER).header("location", "/elsewhere");
/// let page = Response::new(StatusCode::OK)
///     .header("content-type", "text/html; charset=utf-8")
///     .body("<p>Hello</p>");
/// ```
///
/// The length, and whether a body is sent at all, follow from the request and the status. A status
/// that cannot end a call (below 200 or above 599) is answered as 500.
#[derive(Debug, Clone)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the log should know and the caller should not.
    pub(crate) fault: Option<String>,
}

impl Response {
    /// An answer without headers or body.
    pub fn new(status: StatusCode) -> Self {
        let bad = status.is_informational() || status.as_u16() > 599;
        if bad {
            return Self::failure(format!("status {} cannot end a call", status.as_u16()));
        }
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            fault: None,
        }
    }

    /// Adds a header. One that HTTP cannot carry, such as a value with a line end, turns the
    /// answer into a 500: half of what the function meant would be worse.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        if self.fault.is_some() {
            return self;
        }
        let Ok(name) = name.try_into() else {
            return Self::failure("the answer has an invalid header name".to_owned());
        };
        let Ok(value) = value.try_into() else {
            return Self::failure(format!("the answer has an invalid value for header {name}"));
        };
        match self.headers.try_append(name, value) {
            Ok(_) => self,
            Err(_) => Self::failure("the answer has too many headers".to_owned()),
        }
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        if self.fault.is_none() {
            self.body = body.into();
        }
        self
    }

    fn of(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::new(StatusCode::OK).body(body);
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let body = serde_json::json!({ "error": message }).to_string();
        let mut response = Self::new(status).body(body);
        if response.fault.is_none() {
            response
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        response
    }

    /// The answer to a failure that is nobody's business but the log's.
    pub(crate) fn failure(fault: String) -> Self {
        let mut response = Self::error(StatusCode::INTERNAL_SERVER_ERROR, "internal server error");
        response.fault = Some(fault);
        response
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// What a function can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing a function can answer with",
    note = "answers are `()`, `&'static str`, `String`, `Vec<u8>`, `Bytes`, `Json<T>`, \
            `(StatusCode, T)`, `Result<T, E>`, `Response` or your own `IntoResponse` types"
)]
pub trait IntoResponse {
    /// The answer as it goes to the caller.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// 200 with an empty body.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(StatusCode::OK)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::of(TEXT, self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::of(TEXT, self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::of(BINARY, self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::of(BINARY, self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => Response::of(JSON, body),
            Err(error) => Response::failure(format!("the answer is no JSON: {error}")),
        }
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let response = self.1.into_response();
        if response.fault.is_some() {
            return response;
        }
        let Response { headers, body, .. } = response;
        let mut response = Response::new(self.0).body(body);
        if response.fault.is_none() {
            response.headers = headers;
        }
        response
    }
}

impl<T: IntoResponse, E: Into<Error>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(answer) => answer.into_response(),
            Err(error) => error.into().into_response(),
        }
    }
}
