use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use crate::api::reply;
use crate::model::InvalidValues;
use crate::store::{Conflict, Resource, StoreError, WriteError};

/// A value that cannot be stored; the text is shown to the client as it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(super) struct Invalid(pub(super) Cow<'static, str>);

impl From<InvalidValues> for Invalid {
    fn from(error: InvalidValues) -> Self {
        Self::new(error.text)
    }
}

impl Invalid {
    pub(super) const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// Every way in which a request to the control plane can fail.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("body is not the JSON that was expected")]
    InvalidJson,
    #[error("body of {length:?} bytes is larger than {limit}")]
    TooLarge { length: Option<u64>, limit: usize },
    #[error("no byte of the body within {0:?}")]
    BodyStalled(Duration),
    /// Its origin.
    #[error("a page of {0} asks for a change")]
    ForeignPage(String),
    #[error("{0} is immutable")]
    Immutable(&'static str),
    /// What was asked for, as the texts of its API version name it.
    #[error("unknown path {0}")]
    UnknownPath(String),
    #[error("wrong verb {0}")]
    WrongVerb(String),
    /// Of something of which only few can be done at once.
    #[error("{0}")]
    Busy(String),
    #[error("no form of the answer is acceptable to the client")]
    NotAcceptable,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError<Self>> for ApiError {
    fn from(error: WriteError<Self>) -> Self {
        match error {
            WriteError::Refused(refusal) => refusal,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

impl ApiError {
    pub(super) const fn not_found(what: Resource) -> Self {
        Self::Store(StoreError::NotFound(what))
    }

    /// The table: the status and the public text of every error.
    fn outcome(&self) -> (StatusCode, Cow<'static, str>) {
        match self {
            Self::Invalid(Invalid(text)) => (StatusCode::BAD_REQUEST, text.clone()),
            Self::InvalidJson => (StatusCode::BAD_REQUEST, "Invalid JSON".into()),
            Self::TooLarge { length, limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                match length {
                    Some(length) => {
                        format!("Content-Length too large for this server, {length} > max {limit}")
                            .into()
                    }
                    None => "Request content too large".into(),
                },
            ),
            Self::BodyStalled(time) => (
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "no byte of the request body within {} seconds",
                    time.as_secs()
                )
                .into(),
            ),
            Self::ForeignPage(origin) => (
                StatusCode::FORBIDDEN,
                format!(
                    "Origin {origin} is not allowed, expected this server's own or one that \
                     FN_API_CORS_ORIGINS names"
                )
                .into(),
            ),
            Self::Immutable(what) => (
                StatusCode::CONFLICT,
                format!("Could not update - {what} is immutable").into(),
            ),
            Self::UnknownPath(what) => (
                StatusCode::NOT_FOUND,
                format!("Path not found: {what}").into(),
            ),
            Self::WrongVerb(what) => (
                StatusCode::METHOD_NOT_ALLOWED,
                format!("Method not allowed: {what}").into(),
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                "unable to respond within acceptable response content types".into(),
            ),
            Self::Busy(text) => (StatusCode::SERVICE_UNAVAILABLE, text.clone().into()),
            Self::Store(StoreError::NotFound(what)) => (
                StatusCode::NOT_FOUND,
                match what {
                    Resource::App => "App not found",
                    Resource::Route => "Route not found",
                    Resource::Function => "Fn not found",
                    Resource::Trigger => "Trigger not found",
                    Resource::Call => "Call not found",
                    Resource::CallLog => "Call log not found",
                }
                .into(),
            ),
            Self::Store(StoreError::Conflict(conflict)) => (
                StatusCode::CONFLICT,
                match conflict {
                    Conflict::AppName => "App already exists",
                    Conflict::RoutePath => "Route already exists",
                    Conflict::FunctionName => "Fn with specified name already exists",
                    Conflict::TriggerName => "Trigger already exists",
                    Conflict::TriggerSource => {
                        "Trigger with the same type and source exists on this app"
                    }
                }
                .into(),
            ),
            Self::Store(StoreError::Clash { wanted, present }) => (
                StatusCode::CONFLICT,
                format!(
                    "Trigger source {wanted} matches the same paths as {present}, which this app \
                     has for the same methods"
                )
                .into(),
            ),
            Self::Store(StoreError::Unavailable(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The store is unavailable, try again later".into(),
            ),
            Self::Store(StoreError::Full(_)) => (
                StatusCode::INSUFFICIENT_STORAGE,
                "The disk of the server's store is full".into(),
            ),
            Self::Store(StoreError::Corrupt { .. }) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal server error".into(),
            ),
        }
    }
}

/// Seconds after which a client may try again, the value Fn sends with every 503.
const RETRY_AFTER_SECS: &str = "15";

/// An error on its way to [`shaped`], which alone knows which API version it is answering.
#[derive(Clone)]
struct Unshaped(Cow<'static, str>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Store(
            StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::Corrupt { .. },
        ) = &self
        {
            let cause = std::error::Error::source(&self).map(ToString::to_string);
            tracing::error!(error = %self, cause, "the store failed a request");
        }
        let (status, text) = self.outcome();
        let mut response = status.into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let value = http::HeaderValue::from_static(RETRY_AFTER_SECS);
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        response.extensions_mut().insert(Unshaped(text));
        response
    }
}

/// How an error's text is wrapped. Clients of the one shape cannot read the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"error":{"message":..}}`
    Nested,
    /// `{"message":..}`
    Flat,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Flat {
    message: String,
}

/// What went wrong, in the envelope of v1.
#[derive(Serialize, ToSchema)]
#[schema(as = NestedError)]
pub(super) struct Nested {
    error: Flat,
}

impl Shape {
    pub(super) fn of(path: &str) -> Self {
        let nested = ["/v1", "/r"].into_iter().any(|root| {
            path.strip_prefix(root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if nested { Self::Nested } else { Self::Flat }
    }
}

/// Gives an error of ours its body; other responses pass as they are.
pub(super) fn shaped(mut response: Response, shape: Shape) -> Response {
    let Some(Unshaped(text)) = response.extensions_mut().remove() else {
        return response;
    };
    let message = text.into_owned();
    let error = Flat { message };
    let (mut parts, _) = response.into_parts();
    let (json, body) = match shape {
        Shape::Nested => reply::json(&Nested { error }),
        Shape::Flat => reply::json(&error),
    }
    .into_parts();
    parts.headers.extend(json.headers);
    Response::from_parts(parts, body)
}
