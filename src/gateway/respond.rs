//! Failures as HTTP: the one table from who is to blame to what the caller sees.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use wire::DecodeError;

use crate::invoke::{Blame, Fault};

/// Seconds after which a caller who found the server busy may try again; Fn's own figure.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("15");

/// What kind of error it is, as functions say it, too.
const FN_ERROR: HeaderName = HeaderName::from_static("fn-error");

const JSON: &str = "application/json; charset=utf-8";

/// Whether a request's target, which may be cut off anywhere, is one of the v1 API.
pub(super) fn is_v1(target: &[u8]) -> bool {
    target.starts_with(b"/r/") || target.starts_with(b"/v1/")
}

/// Why an invocation has no response of a function's.
#[derive(Debug)]
pub(super) enum Failure {
    NoApp,
    NoRoute,
    NoTrigger,
    NoFunction,
    WrongVerb {
        verb: String,
        path: String,
        /// What could be asked instead, as `Allow` says it; `None` where nobody can tell.
        allowed: Option<String>,
    },
    Malformed(DecodeError),
    HeadTooLarge {
        limit: usize,
    },
    TooManyHeaders {
        limit: usize,
    },
    TargetTooLong {
        limit: usize,
    },
    HeadStalled(Duration),
    DeclaredTooLarge {
        length: u64,
        limit: u64,
    },
    TooLarge,
    BodyStalled(String),
    Unreadable(String),
    /// The caller does not want to wait for the answer.
    Detached,
    /// What says how many calls led to this one is no number.
    BadDepth,
    /// So many calls led to this one.
    TooDeep(u32),
    Fault(Fault),
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoApp | Self::NoRoute | Self::NoTrigger | Self::NoFunction => {
                StatusCode::NOT_FOUND
            }
            Self::WrongVerb { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::DeclaredTooLarge { .. } | Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyStalled(_) | Self::HeadStalled(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Unreadable(_) | Self::Malformed(_) | Self::BadDepth => StatusCode::BAD_REQUEST,
            Self::TooDeep(_) => StatusCode::LOOP_DETECTED,
            Self::Detached => StatusCode::NOT_IMPLEMENTED,
            Self::Fault(fault) => status_of(fault),
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NoApp => "App not found".to_owned(),
            Self::NoRoute => "Route not found".to_owned(),
            Self::NoTrigger => "Trigger not found".to_owned(),
            Self::NoFunction => "Fn not found".to_owned(),
            Self::WrongVerb { verb, path, .. } => format!("Method not allowed: {verb} {path}"),
            Self::HeadTooLarge { limit } => {
                format!("the request's head is larger than {limit} bytes")
            }
            Self::TooManyHeaders { limit } => {
                format!("the request has more than {limit} headers")
            }
            Self::TargetTooLong { limit } => {
                format!("the request's target is longer than {limit} bytes")
            }
            Self::Malformed(error) => format!("the request cannot be read: {error}"),
            Self::HeadStalled(limit) => {
                format!("the request's head is not complete after {limit:?}")
            }
            Self::DeclaredTooLarge { length, limit } => {
                format!("Content-Length too large for this server, {length} > max {limit}")
            }
            Self::TooLarge => "Request content too large".to_owned(),
            Self::BodyStalled(detail) => detail.clone(),
            Self::Unreadable(detail) => format!("the request body cannot be read: {detail}"),
            Self::Detached => "Detach call functions are not supported on this server".to_owned(),
            Self::BadDepth => "Fn-Call-Depth is not allowed, expected a whole number".to_owned(),
            Self::TooDeep(depth) => format!(
                "{depth} calls led to this one: functions that call one another in a circle \
                 would wait for each other"
            ),
            Self::Fault(fault) => fault.to_string(),
        }
    }

    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Fault(fault) => fault.blame(),
            _ => Blame::Caller,
        }
    }

    /// `{"error":{"message":..}}` for v1, else `{"message":..}`, and a final newline that Fn's own
    /// clients compare.
    fn body(&self, v1: bool) -> String {
        let message = serde_json::json!({ "message": self.message() });
        let body = if v1 {
            serde_json::json!({ "error": message })
        } else {
            message
        };
        format!("{body}\n")
    }

    /// The whole response, for a connection that nobody else will write to any more.
    pub(super) fn last_words(&self, v1: bool, head_only: bool) -> Bytes {
        let (status, body) = (self.status(), self.body(v1));
        let mut words = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            status.as_str(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        );
        if !head_only {
            words.push_str(&body);
        }
        words.into()
    }

    /// The reply to an invocation.
    pub(super) fn response(&self, v1: bool) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.body(v1)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        if let Self::WrongVerb { allowed, .. } = self
            && let Some(Ok(allowed)) = allowed.as_deref().map(HeaderValue::try_from)
        {
            headers.insert(ALLOW, allowed);
        }
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, after);
        }
        if matches!(self, Self::Fault(fault) if fault.is_of_start()) {
            headers.insert(FN_ERROR, HeaderValue::from_static("init-failed"));
        }
        response
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        if let Self::Fault(Fault::BackingOff { retry, .. }) = self {
            let whole = retry.as_secs() + u64::from(retry.subsec_nanos() > 0);
            return Some(whole.max(1).into());
        }
        let later = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        later.contains(&self.status()).then_some(RETRY_AFTER_SECS)
    }
}

fn status_of(fault: &Fault) -> StatusCode {
    match fault {
        Fault::TimedOut | Fault::InitTimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        Fault::Exited(_)
        | Fault::NotStarted { .. }
        | Fault::OutOfMemory { .. }
        | Fault::BadResponse { .. }
        | Fault::InvalidResponse { .. }
        | Fault::Reported
        | Fault::Crashing(_)
        | Fault::NotInitialised(_)
        | Fault::Lost(_)
        | Fault::ResponseTooLarge { .. }
        | Fault::ResponseHeadTooLarge
        | Fault::Image(_)
        | Fault::Launch(_) => StatusCode::BAD_GATEWAY,
        // Fn's status for it, although the function is to blame.
        Fault::UnknownContentType(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::AsyncUnsupported
        | Fault::BadRequest(_)
        | Fault::CallerLeft
        // Fn's status for it, although the function's limits are to blame.
        | Fault::Oversized(_) => StatusCode::BAD_REQUEST,
        Fault::TooManyWaiting => StatusCode::TOO_MANY_REQUESTS,
        Fault::EngineDown(_) | Fault::TooBusy | Fault::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Fault::BackingOff { why, .. } => match status_of(why) {
            StatusCode::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
            // Nobody waited for it: no time ran out in this call.
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parts(failure: &Failure, v1: bool) -> (u16, String, bool) {
        let (head, body) = failure.response(v1).into_parts();
        let retry = head.headers.contains_key(RETRY_AFTER);
        (
            head.status.as_u16(),
            String::from_utf8(body.to_vec()).unwrap(),
            retry,
        )
    }

    #[tokio::test]
    async fn the_two_shapes_end_with_a_newline() {
        let timed_out = Failure::Fault(Fault::TimedOut);
        assert_eq!(
            parts(&timed_out, true).await,
            (
                504,
                "{\"error\":{\"message\":\"Timed out\"}}\n".to_owned(),
                false
            )
        );
        assert_eq!(
            parts(&timed_out, false).await,
            (504, "{\"message\":\"Timed out\"}\n".to_owned(), false)
        );
    }

    #[tokio::test]
    async fn statuses_say_who_is_to_blame() {
        for (failure, status, blame, retry) in [
            (Failure::NoApp, 404, Blame::Caller, false),
            (Failure::TooLarge, 413, Blame::Caller, false),
            (
                Failure::Fault(Fault::Exited(3)),
                502,
                Blame::Function,
                false,
            ),
            (
                Failure::Fault(Fault::OutOfMemory { limit_mb: 64 }),
                502,
                Blame::Function,
                false,
            ),
            (
                Failure::Fault(Fault::ResponseTooLarge {
                    format: crate::model::Format::Http,
                }),
                502,
                Blame::Function,
                false,
            ),
            (Failure::Fault(Fault::TooBusy), 503, Blame::Overload, true),
            (
                Failure::Fault(Fault::BackingOff {
                    why: Box::new(Fault::Exited(3)),
                    retry: Duration::from_millis(1500),
                }),
                502,
                Blame::Function,
                true,
            ),
            (
                Failure::Fault(Fault::TooManyWaiting),
                429,
                Blame::Overload,
                true,
            ),
            (
                Failure::Fault(Fault::ShuttingDown),
                503,
                Blame::Shutdown,
                true,
            ),
        ] {
            assert_eq!(parts(&failure, false).await.0, status, "{failure:?}");
            assert_eq!(failure.blame(), blame, "{failure:?}");
            assert_eq!(parts(&failure, false).await.2, retry, "{failure:?}");
        }
    }

    #[test]
    fn who_is_backed_off_from_is_told_the_whole_seconds() {
        for (millis, told) in [(0, "1"), (1500, "2"), (60_000, "60")] {
            let failure = Failure::Fault(Fault::BackingOff {
                why: Box::new(Fault::TimedOut),
                retry: Duration::from_millis(millis),
            });
            let response = failure.response(false);
            assert_eq!(response.headers()[RETRY_AFTER], told);
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        }
    }

    #[test]
    fn running_out_of_memory_names_the_limit() {
        let message = Failure::Fault(Fault::OutOfMemory { limit_mb: 64 }).message();
        assert!(
            message.starts_with("container out of memory, you may want to raise"),
            "{message}"
        );
        assert!(message.ends_with("its limit is 64MB"), "{message}");
    }
}
