use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::error::{Error, Problem, Result};
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
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Content,
    /// What the log should know and the caller should not.
    pub(crate) fault: Option<String>,
    /// Half of what the function meant would be worse: whatever it adds from here on is dropped.
    broken: bool,
    pub(crate) after: After,
}

/// What becomes of the function that gave an answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    #[default]
    GoesOn,
    /// It goes on, and tells its caller of a failure that is not the function's.
    Told,
    /// It has failed, which the server may tell the caller in its own words.
    Failed,
    /// Its process ends.
    Ends,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A stream of anything that is bytes.
struct AsPieces<S>(Pin<Box<S>>);

impl<S, B, E> Stream for AsPieces<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
    E: Into<Error>,
{
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.0.as_mut().poll_next(cx);
        polled.map(|next| next.map(|piece| piece.map(Into::into).map_err(Into::into)))
    }
}

/// What follows a head.
pub(crate) enum Content {
    Whole(Bytes),
    /// Bytes as they come.
    Stream(Pieces),
    /// JSON values as they come; how they are set apart depends on the caller if not said here.
    Items(Pieces, Option<Framing>),
}

/// How values follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One on each line.
    Lines,
    /// As the elements of one array.
    Array,
}

impl Content {
    /// The body, if it is there.
    pub(crate) fn whole(self) -> Option<Bytes> {
        match self {
            Self::Whole(body) => Some(body),
            Self::Stream(_) | Self::Items(..) => None,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => write!(f, "Whole({} bytes)", body.len()),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Items(_, framing) => write!(f, "Items({framing:?})"),
        }
    }
}

impl Response {
    /// An answer without headers or body.
    pub fn new(status: StatusCode) -> Self {
        let bad = status.is_informational() || status.as_u16() > 599;
        if bad {
            return Self::broken(format!("status {} cannot end a call", status.as_u16()));
        }
        Self {
            status,
            headers: HeaderMap::new(),
            body: Content::Whole(Bytes::new()),
            fault: None,
            broken: false,
            after: After::GoesOn,
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
        if self.broken {
            return self;
        }
        let Ok(name) = name.try_into() else {
            return Self::broken("the answer has an invalid header name".to_owned());
        };
        let Ok(value) = value.try_into() else {
            return Self::broken(format!("the answer has an invalid value for header {name}"));
        };
        match self.headers.try_append(name, value) {
            Ok(_) => self,
            Err(_) => Self::broken("the answer has too many headers".to_owned()),
        }
    }

    /// Sets a header in place of those of its name; otherwise as [`header`](Self::header).
    #[must_use]
    pub fn insert_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let Ok(name) = name.try_into() else {
            return Self::broken("the answer has an invalid header name".to_owned());
        };
        self.headers.remove(&name);
        self.header(name, value)
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        if !self.broken {
            self.body = Content::Whole(body.into());
        }
        self
    }

    /// Sets a body that is sent as it comes. An error before the first piece is answered like any
    /// other; one after it breaks the answer off, so that nobody takes half of it for the whole.
    ///
    /// ```
    /// use std::io;
    ///
    /// use fdk::{App, Response, StatusCode, http};
    /// use futures_util::stream;
    ///
    /// let lines = || {
    ///     let lines = stream::iter([io::Result::Ok("one\n"), Ok("two\n")]);
    ///     Response::new(StatusCode::OK).stream(lines)
    /// };
    /// let app = App::new().function("lines", http::get("/"), lines).test();
    /// app.get("/").wait().assert_text("one\ntwo\n");
    /// ```
    #[must_use]
    pub fn stream<S, B, E>(mut self, pieces: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes>,
        E: Into<Error>,
    {
        if !self.broken {
            self.body = Content::Stream(Box::pin(AsPieces(Box::pin(pieces))));
        }
        self
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer's headers, but for those that frame it.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn of_parts(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            headers,
            body: Content::Whole(body),
            fault: None,
            broken: false,
            after: After::GoesOn,
        }
    }

    /// JSON values that are sent as they come.
    pub(crate) fn items(pieces: Pieces, framing: Option<Framing>) -> Self {
        let mut response = Self::new(StatusCode::OK);
        response.body = Content::Items(pieces, framing);
        response
    }

    fn of(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::new(StatusCode::OK).body(body);
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        Self::problems(status, message, &[])
    }

    /// What is wrong with one part of the call, or with all of it.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let details = std::slice::from_ref(problem);
        let details = &details[..usize::from(problem.param.is_some())];
        Self::problems(problem.status, &problem.to_string(), details)
    }

    pub(crate) fn problems(status: StatusCode, message: &str, problems: &[Problem]) -> Self {
        #[derive(Serialize)]
        struct Told<'a> {
            error: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            details: &'a [Problem],
        }

        // Texts only: nothing that JSON cannot hold.
        let told = Told {
            error: message,
            details: problems,
        };
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let mut response = Self::new(status).body(body);
        if response.fault.is_none() {
            response
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        response
    }

    fn broken(fault: String) -> Self {
        let mut response = Self::failure(fault);
        response.broken = true;
        response
    }

    /// The answer to a failure that is nobody's business but the log's.
    pub(crate) fn failure(fault: String) -> Self {
        Self::failed(StatusCode::INTERNAL_SERVER_ERROR, fault)
    }

    /// The same with a status, of which the caller is told what it means and no more.
    pub(crate) fn failed(status: StatusCode, fault: String) -> Self {
        let meaning = status.canonical_reason().unwrap_or("error");
        let mut response = Self::error(status, &meaning.to_ascii_lowercase());
        response.fault = Some(fault);
        response
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// What a function can return.
///
/// ```
/// use fdk::{App, IntoResponse, Response, StatusCode, http};
///
/// struct Html(String);
///
/// impl IntoResponse for Html {
///     fn into_response(self) -> Response {
///         Response::new(StatusCode::OK)
///             .header("content-type", "text/html; charset=utf-8")
///             .body(self.0)
///     }
/// }
///
/// let page = || Html("<p>Hello</p>".to_owned());
/// let app = App::new().function("page", http::get("/"), page).test();
/// app.get("/").wait().assert_text("<p>Hello</p>");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing a function can answer with",
    note = "answers are `()`, `&'static str`, `String`, `Vec<u8>`, `Bytes`, `Json<T>`, \
            `(StatusCode, T)`, `Result<T, E>`, `Response`, `Ndjson(stream)`, \
            `JsonArray(stream)`, `Streamed(stream)` or your own `IntoResponse` types"
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
        let mut response = Response::new(self.0);
        if response.fault.is_none() {
            response.headers = headers;
            response.body = body;
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
