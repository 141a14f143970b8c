use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use wire::RequestHead;

use crate::deadline;

/// One call: who is asked for what, until when, and with which body.
///
/// Cloning is cheap; all clones share the body.
#[derive(Debug, Clone)]
pub struct Call {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    head: RequestHead,
    body: Bytes,
}

impl Call {
    pub(crate) fn new(head: RequestHead, body: Bytes) -> Self {
        Self {
            parts: Arc::new(Parts { head, body }),
        }
    }

    /// The id under which the server logs this call; empty if it sent none.
    pub fn id(&self) -> &str {
        self.id_value()
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Fn spells it with underscores in this format and with dashes in later ones.
    pub(crate) fn id_value(&self) -> Option<&HeaderValue> {
        let headers = self.headers();
        headers
            .get("fn_call_id")
            .or_else(|| headers.get("fn-call-id"))
    }

    /// The method the caller used.
    pub fn method(&self) -> &Method {
        &self.parts.head.method
    }

    /// The absolute URL the caller used, or path and query if the server does not tell.
    pub fn url(&self) -> &str {
        self.header("fn_request_url")
            .unwrap_or(&self.parts.head.target)
    }

    /// All headers, the server's `Fn_*` ones included.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.head.headers
    }

    /// The first header of this name, in any case, if it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The request body as it came.
    pub fn body(&self) -> &Bytes {
        &self.parts.body
    }

    /// When the server gives up on this call and stops the container.
    pub fn deadline(&self) -> Option<SystemTime> {
        let value = self
            .header("fn_deadline")
            .or_else(|| self.header("fn-deadline"))?;
        deadline::parse(value)
    }

    /// The time left until the [deadline](Self::deadline); zero when it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        Some(
            self.deadline()?
                .duration_since(SystemTime::now())
                .unwrap_or_default(),
        )
    }

    /// A setting of the function or its app, which the server puts into the environment.
    pub fn config(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
