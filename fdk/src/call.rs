use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use wire::RequestHead;

use crate::body::Body;
use crate::convert::Converters;
use crate::deadline;
use crate::extract::Deadline;
use crate::route::Bound;
use crate::sync::Lock;

/// One call: who is asked for what, until when, and with which body.
///
/// Cloning is cheap; all clones share the body. As an argument it takes nothing away from others:
///
/// ```
/// use fdk::{App, Call, http};
///
/// fn who(call: Call) -> String {
///     let agent = call.header("user-agent").unwrap_or("nobody");
///     format!("{agent} asks {} {} for {:?}", call.method(), call.path(), call.param("name"))
/// }
///
/// let app = App::new().function("who", http::get("/who/{name}"), who).test();
/// let answer = app.get("/who/ann").header("user-agent", "curl").wait();
/// answer.assert_text("curl asks GET /who/ann for Some(\"ann\")");
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    parts: Arc<Parts>,
    extensions: Extensions,
}

#[derive(Debug)]
struct Parts {
    head: RequestHead,
    body: Bytes,
    /// The body where it is read as it comes.
    stream: Lock<Option<Body>>,
    params: Vec<(String, String)>,
    app: Arc<Shared>,
    function: Arc<Function>,
}

/// What all calls of an app share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) states: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(crate) converters: Converters,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What all calls of a function share.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) bound: Bound,
}

/// What a call has that no app has taken yet: one for all of them, as most are taken at once.
static NOWHERE: LazyLock<(Arc<Shared>, Arc<Function>)> = LazyLock::new(Default::default);

impl Call {
    pub(crate) fn new(head: RequestHead, body: Bytes) -> Self {
        let parts = Parts {
            head,
            body,
            stream: Lock::default(),
            params: Vec::new(),
            app: NOWHERE.0.clone(),
            function: NOWHERE.1.clone(),
        };
        Self {
            parts: Arc::new(parts),
            extensions: Extensions::new(),
        }
    }

    /// The same call as one of `app`'s `function`. Only for a call that has no clones yet.
    pub(crate) fn of(
        mut self,
        app: &Arc<Shared>,
        function: &Arc<Function>,
        params: Vec<(String, String)>,
    ) -> Self {
        if let Some(parts) = Arc::get_mut(&mut self.parts) {
            parts.app = app.clone();
            parts.function = function.clone();
            parts.params = params;
        }
        self
    }

    /// The same call with a body that comes as it is read.
    pub(crate) fn streaming(self, body: Body) -> Self {
        self.parts.stream.lock().replace(body);
        self
    }

    /// The body as it comes; empty for who comes second.
    pub(crate) fn take_stream(&self) -> Body {
        let stream = self.parts.stream.lock().take();
        stream.unwrap_or_else(|| Body::of(self.parts.body.clone()))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.parts.app
    }

    pub(crate) fn bound(&self) -> &Bound {
        &self.parts.function.bound
    }

    pub(crate) fn params(&self) -> &[(String, String)] {
        &self.parts.params
    }

    /// The id under which the server logs this call; empty if it sent none.
    pub fn id(&self) -> &str {
        id(self.headers())
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The function's name in its [`App`](crate::App); empty outside of one.
    pub fn function(&self) -> &str {
        &self.parts.function.name
    }

    /// The method the caller used.
    pub fn method(&self) -> &Method {
        &self.parts.head.method
    }

    /// The absolute URL the caller used, or path and query if the server does not tell.
    pub fn url(&self) -> &str {
        url(self.headers(), &self.parts.head.target)
    }

    /// The URL's path, as the caller wrote it.
    pub fn path(&self) -> &str {
        path(self.headers(), &self.parts.head.target)
    }

    /// What stands behind the URL's question mark, as the caller wrote it.
    pub fn query(&self) -> Option<&str> {
        let (_, query) = self.url().split_once('?')?;
        query.split('#').next()
    }

    /// A parameter of the route, decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        let params = self.params().iter();
        let found = params.into_iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// All headers, the server's `Fn_*` ones included.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.head.headers
    }

    /// The first header of this name, in any case, if it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// What the body is, in lower case and without parameters such as a charset.
    pub fn content_type(&self) -> Option<String> {
        let value = self.header("content-type")?.split(';').next()?;
        Some(value.trim().to_ascii_lowercase())
    }

    /// What layers have found out about the call, by its type: see [`Extension`](crate::Extension).
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// As [`extensions`](Self::extensions), to add to. Clones made before do not see it.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The request body as it came. Empty for a function that takes it as a stream.
    pub fn body(&self) -> &Bytes {
        &self.parts.body
    }

    /// When the server gives up on this call and stops the container.
    pub fn deadline(&self) -> Option<Deadline> {
        let value = self
            .header("fn_deadline")
            .or_else(|| self.header("fn-deadline"))?;
        deadline::parse(value).map(Deadline::new)
    }

    /// The time left until the [deadline](Self::deadline); zero when it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.remaining())
    }

    /// The trace that the call belongs to: the id in its `traceparent` header (W3C Trace Context).
    pub fn trace_id(&self) -> Option<&str> {
        let id = self.header("traceparent")?.split('-').nth(1)?;
        let hex = id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (id.len() == 32 && hex && id.bytes().any(|b| b != b'0')).then_some(id)
    }

    /// A setting of the function or its app, which the server puts into the environment.
    pub fn config(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// The call's id in Fn's first format.
pub(crate) const FIRST_CALL_ID: HeaderName = HeaderName::from_static("fn_call_id");
/// The call's id in later ones, and in every answer.
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("fn-call-id");
/// What the caller asked for.
pub(crate) const URL: HeaderName = HeaderName::from_static("fn_request_url");

pub(crate) fn id(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(FIRST_CALL_ID).or_else(|| headers.get(CALL_ID))
}

fn url<'a>(headers: &'a HeaderMap, target: &'a str) -> &'a str {
    let url = headers.get(URL);
    url.and_then(|url| url.to_str().ok()).unwrap_or(target)
}

/// The path that the caller asked for.
pub(crate) fn path<'a>(headers: &'a HeaderMap, target: &'a str) -> &'a str {
    let (host, target) = split(url(headers, target));
    match target.split(['?', '#']).next() {
        Some("") if !host.is_empty() => "/",
        path => path.unwrap_or_default(),
    }
}

/// Path and query of a URL, which may be no more than that.
pub(crate) fn target_of(url: &str) -> Cow<'_, str> {
    match split(url) {
        (host, target) if host.is_empty() || target.starts_with('/') => target.into(),
        (_, target) => format!("/{target}").into(),
    }
}

/// A URL's host, and what follows it; either may not be there.
pub(crate) fn split(url: &str) -> (&str, &str) {
    // What its query quotes may be a URL, too.
    if url.starts_with('/') {
        return ("", url);
    }
    let absolute = url
        .split_once(':')
        .and_then(|(_, rest)| rest.strip_prefix("//"));
    absolute.map_or(("", url), |rest| {
        rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_what_follows_the_host() {
        for (url, target) in [
            ("http://h/a?b", "/a?b"),
            ("https://h:8080/a:b", "/a:b"),
            ("http://h", "/"),
            ("http://h?to=http://x/b", "/?to=http://x/b"),
            ("/a?b", "/a?b"),
            ("/a?to=http://h/b", "/a?to=http://h/b"),
            ("http://h/a?to=http://h/b", "/a?to=http://h/b"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(target_of(url), target, "{url}");
            let path = target.split('?').next().unwrap();
            assert_eq!(super::path(&HeaderMap::new(), url), path, "{url}");
        }
    }
}
