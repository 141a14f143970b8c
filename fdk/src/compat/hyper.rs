//! Requests and responses as functions of 0.1 know them from hyper 0.11.
//!
//! `use fdk::compat::hyper;` stands in for `extern crate hyper;`:
//!
//! ```no_run
//! use fdk::compat::hyper;
//!
//! fn handle(_: &mut (), request: hyper::Request) -> Result<hyper::Response, fdk::FunctionError> {
//!     if *request.method() != hyper::Method::Post {
//!         return Ok(hyper::Response::new().with_status(hyper::StatusCode::MethodNotAllowed));
//!     }
//!     Ok(hyper::Response::new()
//!         .with_header(hyper::header::ContentType::json())
//!         .with_body(request.body()))
//! }
//! ```
//!
//! A body is there as a whole: [`fdk::body_as_bytes`](crate::body_as_bytes) reads it, and there is
//! nothing to wait for.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode as Status};

pub use http::Uri;

use crate::call::Call;

pub use self::Method::{Delete, Get, Head, Post};

/// A request's method: see [the example](crate::compat::hyper).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// OPTIONS
    Options,
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// HEAD
    Head,
    /// TRACE
    Trace,
    /// CONNECT
    Connect,
    /// PATCH
    Patch,
    /// Any other.
    Extension(String),
}

const METHODS: [(&str, Method); 9] = [
    ("OPTIONS", Method::Options),
    ("GET", Method::Get),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("HEAD", Method::Head),
    ("TRACE", Method::Trace),
    ("CONNECT", Method::Connect),
    ("PATCH", Method::Patch),
];

impl Method {
    fn of(name: &str) -> Self {
        let known = METHODS.into_iter().find(|(known, _)| *known == name);
        known.map_or_else(|| Self::Extension(name.to_owned()), |(_, method)| method)
    }
}

impl AsRef<str> for Method {
    fn as_ref(&self) -> &str {
        if let Self::Extension(name) = self {
            return name;
        }
        let known = METHODS.iter().find(|(_, method)| method == self);
        known.map_or("GET", |(name, _)| name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_ref())
    }
}

impl FromStr for Method {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(Self::of(name))
    }
}

/// A response's status: see [the example](crate::compat::hyper).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

macro_rules! statuses {
    ($($name:ident $code:literal)*) => {
        #[expect(non_upper_case_globals, reason = "they stand for the variants of an enum")]
        impl StatusCode {
            $(#[doc = stringify!($code)] pub const $name: Self = Self($code);)*
        }
    };
}

statuses! {
    Ok 200 Created 201 Accepted 202 NonAuthoritativeInformation 203 NoContent 204
    ResetContent 205 PartialContent 206
    MultipleChoices 300 MovedPermanently 301 Found 302 SeeOther 303 NotModified 304
    TemporaryRedirect 307 PermanentRedirect 308
    BadRequest 400 Unauthorized 401 PaymentRequired 402 Forbidden 403 NotFound 404
    MethodNotAllowed 405 NotAcceptable 406 RequestTimeout 408 Conflict 409 Gone 410
    LengthRequired 411 PreconditionFailed 412 PayloadTooLarge 413 UriTooLong 414
    UnsupportedMediaType 415 RangeNotSatisfiable 416 ExpectationFailed 417 ImATeapot 418
    UnprocessableEntity 422 Locked 423 FailedDependency 424 UpgradeRequired 426
    PreconditionRequired 428 TooManyRequests 429 UnavailableForLegalReasons 451
    InternalServerError 500 NotImplemented 501 BadGateway 502 ServiceUnavailable 503
    GatewayTimeout 504 HttpVersionNotSupported 505 InsufficientStorage 507
}

impl StatusCode {
    /// As a number.
    pub fn as_u16(&self) -> u16 {
        self.0
    }

    /// What it is called, if it is known.
    pub fn canonical_reason(&self) -> Option<&'static str> {
        self.status().canonical_reason()
    }

    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        self.status().is_success()
    }

    /// 300 to 399.
    pub fn is_redirection(&self) -> bool {
        self.status().is_redirection()
    }

    /// 400 to 499.
    pub fn is_client_error(&self) -> bool {
        self.status().is_client_error()
    }

    /// 500 to 599.
    pub fn is_server_error(&self) -> bool {
        self.status().is_server_error()
    }

    /// It cannot end a call where it is none that HTTP knows; that is a failure.
    pub(crate) fn status(self) -> Status {
        let known = Status::from_u16(self.0).ok();
        known
            .filter(|_| (200..600).contains(&self.0))
            .unwrap_or(Status::INTERNAL_SERVER_ERROR)
    }
}

impl From<StatusCode> for u16 {
    fn from(status: StatusCode) -> Self {
        status.0
    }
}

impl From<Status> for StatusCode {
    fn from(status: Status) -> Self {
        Self(status.as_u16())
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.canonical_reason().unwrap_or("<unknown status code>");
        write!(f, "{} {reason}", self.0)
    }
}

/// A body, all of it: see [the example](crate::compat::hyper).
#[derive(Debug, Clone, Default)]
pub struct Body(Bytes);

impl Body {
    /// An empty body.
    pub fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

macro_rules! bodies {
    ($($kind:ty)*) => {$(
        impl From<$kind> for Body {
            fn from(data: $kind) -> Self {
                Self(data.into())
            }
        }
    )*};
}

bodies!(Bytes Vec<u8> String &'static str &'static [u8]);

/// Headers by name, or by type where [`header`] has one: see [the example](crate::compat::hyper).
#[derive(Default)]
pub struct Headers {
    map: HeaderMap,
    /// What was read of them by type, so that there is something to refer to.
    read: OnceLock<Box<Read>>,
}

/// A header that was read, and those read after it.
struct Read {
    header: Box<dyn Any + Send + Sync>,
    next: OnceLock<Box<Self>>,
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.map.fmt(f)
    }
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        self.map.clone().into()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

/// The values of one header: see [the example](crate::compat::hyper).
#[derive(Debug, Clone)]
pub struct Raw<'a>(Vec<&'a [u8]>);

impl<'a> Raw<'a> {
    /// The value, if there is just one.
    pub fn one(&self) -> Option<&'a [u8]> {
        match self.0[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Each value.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.0.iter().copied()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The header of this type, if it is there and makes sense.
    pub fn get<H: header::Header>(&self) -> Option<&H> {
        let mut place = &self.read;
        while let Some(read) = place.get() {
            if let Some(header) = read.header.downcast_ref() {
                return Some(header);
            }
            place = &read.next;
        }
        let header = H::parse(self.map.get(H::NAME)?.to_str().ok()?)?;
        let mut read = Box::new(Read {
            header: Box::new(header),
            next: OnceLock::new(),
        });
        // Another thread may read one at the same time, and take the place.
        while let Err(back) = place.set(read) {
            read = back;
            place = &place.get()?.next;
        }
        place.get()?.header.downcast_ref()
    }

    /// To be changed; what was read is not to be relied on any more.
    fn change(&mut self) -> &mut HeaderMap {
        self.read = OnceLock::new();
        &mut self.map
    }

    /// Whether there is a header of this type.
    pub fn has<H: header::Header>(&self) -> bool {
        self.map.contains_key(H::NAME)
    }

    /// Sets a header.
    pub fn set<H: header::Header>(&mut self, header: H) {
        self.set_raw(H::NAME, header.text());
    }

    /// Removes a header; whether it was there.
    pub fn remove<H: header::Header>(&mut self) -> bool {
        self.change().remove(H::NAME).is_some()
    }

    /// The values of the header of this name, in any case.
    pub fn get_raw(&self, name: &str) -> Option<Raw<'_>> {
        let values: Vec<&[u8]> = self
            .map
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        (!values.is_empty()).then_some(Raw(values))
    }

    /// Sets the header of this name. One that HTTP cannot carry is left out.
    pub fn set_raw(&mut self, name: impl AsRef<str>, value: impl Into<Vec<u8>>) {
        if let Some((name, value)) = field(name.as_ref(), value.into()) {
            let _ = self.change().try_insert(name, value);
        }
    }

    /// Adds a value to the header of this name. One that HTTP cannot carry is left out.
    pub fn append_raw(&mut self, name: impl AsRef<str>, value: impl Into<Vec<u8>>) {
        if let Some((name, value)) = field(name.as_ref(), value.into()) {
            let _ = self.change().try_append(name, value);
        }
    }

    /// Removes the header of this name.
    pub fn remove_raw(&mut self, name: &str) {
        self.change().remove(name);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// As everybody else has them.
    pub fn as_map(&self) -> &HeaderMap {
        &self.map
    }
}

fn field(name: &str, value: Vec<u8>) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((
        name,
        HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?,
    ))
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        Self {
            map,
            read: OnceLock::new(),
        }
    }
}

/// Headers that have types.
pub mod header {
    pub use super::{Headers, Raw};

    /// A header that has a type: see [the example](crate::compat::hyper).
    pub trait Header: Sized + Send + Sync + 'static {
        /// Its name, in lower case.
        const NAME: &'static str;

        /// Reads its value.
        fn parse(text: &str) -> Option<Self>;

        /// Its value.
        fn text(self) -> String;
    }

    macro_rules! texts {
        ($($(#[$doc:meta])* $name:ident $header:literal)*) => {$(
            $(#[$doc])*
            ///
            /// See [the module](crate::compat::hyper) for an example.
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $name(String);

            impl $name {
                /// With this value.
                pub fn new(value: impl Into<String>) -> Self {
                    Self(value.into())
                }
            }

            impl Header for $name {
                const NAME: &'static str = $header;

                fn parse(text: &str) -> Option<Self> {
                    Some(Self(text.to_owned()))
                }

                fn text(self) -> String {
                    self.0
                }
            }

            impl std::ops::Deref for $name {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(&self.0)
                }
            }
        )*};
    }

    texts! {
        /// `Content-Type`
        ContentType "content-type"
        /// `Location`
        Location "location"
        /// `User-Agent`
        UserAgent "user-agent"
        /// `Server`
        Server "server"
    }

    impl ContentType {
        /// `application/json`
        pub fn json() -> Self {
            Self::new("application/json")
        }

        /// `text/plain; charset=utf-8`
        pub fn plaintext() -> Self {
            Self::new("text/plain; charset=utf-8")
        }

        /// `text/html; charset=utf-8`
        pub fn html() -> Self {
            Self::new("text/html; charset=utf-8")
        }

        /// `text/xml`
        pub fn xml() -> Self {
            Self::new("text/xml")
        }

        /// `application/x-www-form-urlencoded`
        pub fn form_url_encoded() -> Self {
            Self::new("application/x-www-form-urlencoded")
        }

        /// `image/jpeg`
        pub fn jpeg() -> Self {
            Self::new("image/jpeg")
        }

        /// `image/png`
        pub fn png() -> Self {
            Self::new("image/png")
        }

        /// `application/octet-stream`
        pub fn octet_stream() -> Self {
            Self::new("application/octet-stream")
        }
    }

    /// `Content-Length`. Answers get it in any case, and right. See
    /// [the example](crate::compat::hyper).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ContentLength(pub u64);

    impl Header for ContentLength {
        const NAME: &'static str = "content-length";

        fn parse(text: &str) -> Option<Self> {
            text.parse().ok().map(Self)
        }

        fn text(self) -> String {
            self.0.to_string()
        }
    }

    impl std::ops::Deref for ContentLength {
        type Target = u64;

        fn deref(&self) -> &u64 {
            &self.0
        }
    }
}

/// A version of HTTP. Calls are of 1.1, whatever their callers speak. See
/// [the example](crate::compat::hyper).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum HttpVersion {
    /// HTTP/0.9
    Http09,
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2 over TLS
    H2,
    /// HTTP/2
    H2c,
}

/// What a function of 0.1 is called with, if it takes it all. See
/// [the example](crate::compat::hyper).
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    uri: Uri,
    headers: Headers,
    body: Body,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: Headers::new(),
            body: Body::empty(),
        }
    }

    pub(crate) fn of(call: &Call) -> Self {
        let target = match call.query() {
            Some(query) => format!("{}?{query}", call.path()),
            None => call.path().to_owned(),
        };
        Self {
            method: Method::of(call.method().as_str()),
            uri: target.parse().unwrap_or_default(),
            headers: call.headers().clone().into(),
            body: Body(call.body().clone()),
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// HTTP/1.1
    pub fn version(&self) -> HttpVersion {
        HttpVersion::default()
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Sets the method.
    pub fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// Sets path and query.
    pub fn set_uri(&mut self, uri: Uri) {
        self.uri = uri;
    }

    /// Sets the body.
    pub fn set_body(&mut self, body: impl Into<Body>) {
        self.body = body.into();
    }

    /// The body; the rest is let go.
    pub fn body(self) -> Body {
        self.body
    }

    /// All its parts.
    pub fn deconstruct(self) -> (Method, Uri, HttpVersion, Headers, Body) {
        (
            self.method,
            self.uri,
            HttpVersion::default(),
            self.headers,
            self.body,
        )
    }

    /// The body.
    pub fn body_ref(&self) -> Option<&Body> {
        Some(&self.body)
    }
}

/// What a function of 0.1 answers, if it says it all: see [the example](crate::compat::hyper).
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    headers: Headers,
    body: Body,
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}

impl Response {
    /// 200, without headers or body.
    pub fn new() -> Self {
        Self {
            status: StatusCode::Ok,
            headers: Headers::new(),
            body: Body::empty(),
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Sets the status.
    pub fn set_status(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn with_header<H: header::Header>(mut self, header: H) -> Self {
        self.headers.set(header);
        self
    }

    /// Sets all headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the body.
    pub fn set_body(&mut self, body: impl Into<Body>) {
        self.body = body.into();
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The body; the rest is let go.
    pub fn body(self) -> Body {
        self.body
    }

    /// The body.
    pub fn body_ref(&self) -> Option<&Body> {
        Some(&self.body)
    }

    pub(crate) fn into_parts(self) -> (Status, HeaderMap, Bytes) {
        (self.status.status(), self.headers.map, self.body.0)
    }
}

#[cfg(test)]
mod tests {
    use super::header::{ContentLength, ContentType, Location};
    use super::*;

    #[test]
    fn headers_are_read_by_type_until_they_change() {
        let mut headers = Headers::new();
        assert_eq!(headers.get::<ContentType>(), None);
        headers.set(ContentType::json());
        headers.set(ContentLength(3));
        headers.set_raw("Location", "/elsewhere");
        for _ in 0..2 {
            assert_eq!(headers.get(), Some(&ContentType::json()));
            assert!(matches!(headers.get(), Some(&ContentLength(3))));
            assert_eq!(
                headers.get::<Location>().map(|to| &**to),
                Some("/elsewhere")
            );
        }
        headers.set_raw("content-length", "four");
        assert_eq!(headers.get::<ContentLength>(), None);
        assert!(headers.has::<ContentLength>() && headers.remove::<ContentLength>());
        headers.append_raw("location", "/over/there");
        let raw = headers.get_raw("LOCATION").unwrap();
        assert_eq!((raw.len(), raw.one()), (2, None));
        headers.set_raw("X-Bad", "two\nlines");
        headers.set_raw("no name", "value");
        assert_eq!(headers.len(), 3);
        assert_eq!(headers.clone(), headers);
    }

    #[test]
    fn methods_and_statuses_are_those_of_http() {
        for (name, method) in METHODS {
            assert_eq!(name.parse(), Ok(method.clone()));
            assert_eq!(method.to_string(), name);
        }
        let purge = Method::Extension("PURGE".to_owned());
        assert_eq!(
            ("PURGE".parse(), purge.as_ref()),
            (Ok(purge.clone()), "PURGE")
        );
        assert_eq!(StatusCode::ImATeapot.to_string(), "418 I'm a teapot");
        assert!(matches!(
            StatusCode::from(Status::NOT_FOUND),
            StatusCode::NotFound
        ));
        assert!(StatusCode::BadGateway.is_server_error());
    }
}
