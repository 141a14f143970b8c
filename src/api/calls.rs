//! What the calls of v1 and v2 have in common: the query of a list, a call as JSON, and the forms
//! of a log.

use axum::extract::{FromRequestParts, Query};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::cursor;
use crate::api::error::{ApiError, Invalid};
use crate::api::params::{find, per_page};
use crate::model::{Call, CallId, CallTarget, Timestamp, clean_path};
use crate::store::{CallFilter, CallsOf};

/// The query of a list of calls, as clients write it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only documented; CallQuery is what is read")]
pub(super) struct CallParams {
    /// Only calls created after this second of the Unix epoch.
    from_time: Option<i64>,
    /// Only calls created before this second of the Unix epoch.
    to_time: Option<i64>,
    /// What the last page gave as `next_cursor`.
    cursor: Option<String>,
    /// How many to give, at most 100.
    per_page: Option<String>,
}

/// The query of a list of calls.
pub(super) struct CallQuery {
    path: Option<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    cursor: Option<CallId>,
    per_page: u32,
}

impl CallQuery {
    /// Exactly this route, in the one spelling of paths.
    pub(super) fn path(&self) -> Option<String> {
        self.path.as_deref().map(clean_path)
    }

    pub(super) fn filter(&self, of: CallsOf) -> CallFilter {
        CallFilter {
            of,
            after: self.after,
            before: self.before,
            cursor: self.cursor,
            limit: self.per_page,
        }
    }

    /// The call to go on after, where there may be more.
    pub(super) fn last(&self, page: &[Call]) -> Option<CallId> {
        let full = u32::try_from(page.len()).is_ok_and(|len| len >= self.per_page);
        page.last().filter(|_| full).map(|call| call.id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Invalid::new("Invalid query"))?;
        if pairs.iter().any(|(_, v)| v.chars().any(char::is_control)) {
            return Err(Invalid::new("Invalid query").into());
        }
        let time = |name, error: Invalid| match find(&pairs, name).map(str::parse) {
            None => Ok(None),
            Some(Ok(secs)) => Ok(Some(from_secs(secs))),
            Some(Err(_)) => Err(error),
        };
        Ok(Self {
            path: find(&pairs, "path").map(str::to_owned),
            after: time("from_time", Invalid::new("from_time is not an epoch time"))?,
            before: time("to_time", Invalid::new("to_time is not an epoch time"))?,
            cursor: find(&pairs, "cursor").map(call_of_cursor).transpose()?,
            per_page: per_page(&pairs),
        })
    }
}

fn from_secs(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs.saturating_mul(1000))
}

/// v1 sends the last id as it is, v2 in base64; neither can be taken for the other, as no base64
/// of an id has the length of one.
fn call_of_cursor(text: &str) -> Result<CallId, Invalid> {
    let invalid = Invalid::new("Invalid cursor");
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => cursor::decode(text)
            .and_then(|key| key.parse().ok())
            .ok_or(invalid),
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Call)]
pub(super) struct CallView {
    id: String,
    status: &'static str,
    app_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fn_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    completed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<String>,
}

impl From<Call> for CallView {
    fn from(call: Call) -> Self {
        let (fn_id, path) = match call.target {
            CallTarget::Fn(id) => (Some(id.to_string()), None),
            CallTarget::Route(path) => (None, Some(path)),
        };
        Self {
            id: call.id.to_string(),
            status: call.status.as_str(),
            app_id: call.app_id.to_string(),
            fn_id,
            path,
            created_at: call.created_at,
            started_at: call.started_at,
            completed_at: call.completed_at,
            error: call.error,
            blame: call.blame.map(std::borrow::Cow::into_owned),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Log)]
pub(super) struct LogView {
    pub(super) call_id: String,
    pub(super) log: String,
}

impl LogView {
    /// JSON holds no bytes that are not UTF-8; who wants those asks for plain text.
    pub(super) fn new(call: CallId, log: &[u8]) -> Self {
        Self {
            call_id: call.to_string(),
            log: String::from_utf8_lossy(log).into_owned(),
        }
    }
}

/// A form in which a client takes a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogForm {
    Json,
    Text,
}

impl LogForm {
    /// The first form in the client's list that there is; without a list, JSON.
    fn wanted(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers
            .get_all(ACCEPT)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .filter(|range| !range.is_empty())
            .peekable();
        if given.peek().is_none() {
            return Some(Self::Json);
        }
        given.find_map(|range| match &*range.to_ascii_lowercase() {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "text/plain" | "text/*" => Some(Self::Text),
            _ => None,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LogForm {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::wanted(&parts.headers).ok_or(ApiError::NotAcceptable)
    }
}

/// A log as it is.
pub(super) fn plain(log: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], log).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_log_is_the_first_that_the_client_takes() {
        for (accept, expected) in [
            (None, Some(LogForm::Json)),
            (Some(""), Some(LogForm::Json)),
            (Some("*/*"), Some(LogForm::Json)),
            (Some("application/json"), Some(LogForm::Json)),
            (Some("text/plain"), Some(LogForm::Text)),
            (Some("Text/Plain; charset=utf-8"), Some(LogForm::Text)),
            (Some("text/plain, application/json"), Some(LogForm::Text)),
            (Some("application/json, text/plain"), Some(LogForm::Json)),
            (Some("text/html, */*;q=0.8"), Some(LogForm::Json)),
            (Some("application/xml"), None),
        ] {
            let headers = accept
                .map(|text| (ACCEPT, text.parse().unwrap()))
                .into_iter()
                .collect();
            assert_eq!(LogForm::wanted(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_cursor_is_an_id_in_either_spelling() {
        let id = CallId::generate();
        let text = id.to_string();
        assert_eq!(call_of_cursor(&text), Ok(id));
        assert_eq!(call_of_cursor(&cursor::encode(&text)), Ok(id));
        for junk in ["x", "YQ", "01"] {
            assert_eq!(call_of_cursor(junk), Err(Invalid::new("Invalid cursor")));
        }
    }
}
