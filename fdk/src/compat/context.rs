use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::coding::{ContentType, accepted};
use super::error::FunctionError;
use crate::call::Call;

/// What stands before headers of callers by HTTP.
const FORWARDED: &str = "fn-http-h-";
const METHOD: HeaderName = HeaderName::from_static("fn-http-method");
const URL: HeaderName = HeaderName::from_static("fn-http-request-url");

/// What an old function knows of where it runs: in 0.1 its configuration, in 0.2 also the call that
/// it answers, and what it says beside its output.
///
/// Where the initializer of 0.1 has it there is no call: what is asked about one is empty.
///
/// See [the module](crate::compat) for an example.
#[derive(Debug, Clone)]
pub struct RuntimeContext {
    config: Arc<HashMap<String, String>>,
    call: Option<Call>,
    headers: HeaderMap,
    content_type: ContentType,
    accepted: Vec<ContentType>,
    response_headers: HeaderMap,
    status: Option<StatusCode>,
    /// The name of a header that HTTP cannot carry.
    unsendable: Option<String>,
}

/// The environment. What is not Unicode there is no configuration of anybody's.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The configuration of 0.2, where a setting without a value is none.
pub(crate) fn settings() -> Arc<HashMap<String, String>> {
    Arc::new(
        environment()
            .filter(|(_, value)| !value.is_empty())
            .collect(),
    )
}

impl RuntimeContext {
    /// Of a process that has no call yet.
    pub(crate) fn of_process() -> Self {
        let header = |name: &str| name.to_ascii_lowercase().starts_with("fn_header_");
        Self::of(environment().filter(|(name, _)| !header(name)).collect())
    }

    pub(crate) fn of(config: HashMap<String, String>) -> Self {
        Self {
            config: Arc::new(config),
            call: None,
            headers: HeaderMap::new(),
            content_type: ContentType::JSON,
            accepted: vec![ContentType::JSON],
            response_headers: HeaderMap::new(),
            status: None,
            unsendable: None,
        }
    }

    pub(crate) fn of_call(config: &Arc<HashMap<String, String>>, call: &Call) -> Self {
        let mut headers = call.headers().clone();
        // Only one format brings them along.
        let url = call.url();
        if !crate::call::split(url).0.is_empty() && !headers.contains_key(URL) {
            let own = [(METHOD, call.method().as_str()), (URL, url)];
            for (name, value) in own {
                if let Ok(value) = HeaderValue::from_str(value) {
                    let _ = headers.try_insert(name, value);
                }
            }
        }
        Self {
            config: config.clone(),
            call: Some(call.clone()),
            content_type: headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map_or(ContentType::JSON, ContentType::of),
            accepted: accepted(&headers.get_all(ACCEPT)),
            headers,
            response_headers: HeaderMap::new(),
            status: None,
            unsendable: None,
        }
    }

    fn setting(&self, name: &str) -> String {
        self.config.get(name).cloned().unwrap_or_default()
    }

    /// The settings of the function and its app, and the rest of the environment.
    pub fn config(&self) -> &HashMap<String, String> {
        &self.config
    }

    /// The app's id, if the server tells.
    pub fn app_id(&self) -> String {
        self.setting("FN_APP_ID")
    }

    /// The function's id, if the server tells.
    pub fn function_id(&self) -> String {
        self.setting("FN_FN_ID")
    }

    /// The app's name, if the server tells.
    pub fn app_name(&self) -> String {
        self.setting("FN_APP_NAME")
    }

    /// The function's name, if the server tells.
    pub fn function_name(&self) -> String {
        self.setting("FN_FN_NAME")
    }

    /// How the input is read.
    pub fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// How the output is written, if it can be written so.
    pub fn accept_type(&self) -> ContentType {
        self.accepted.first().copied().unwrap_or(ContentType::JSON)
    }

    pub(crate) fn accepted(&self) -> &[ContentType] {
        &self.accepted
    }

    /// The call's id.
    pub fn call_id(&self) -> String {
        let call = self.call.as_ref();
        call.map(|call| call.id().to_owned()).unwrap_or_default()
    }

    /// The call as functions of today know it: with its deadline, for example.
    pub fn call(&self) -> Option<&Call> {
        self.call.as_ref()
    }

    /// The caller's headers under their own names, and the server's.
    pub fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// A header, with or without `Fn-Http-H-` before its name.
    pub fn header(&self, mut key: String) -> Option<String> {
        key.make_ascii_lowercase();
        let get = |name: &str| self.headers.get(name);
        let value = get(&key)
            .or_else(|| get(key.strip_prefix(FORWARDED)?))
            // The server's own are spelled so in the older formats.
            .or_else(|| get(&key.replace('-', "_")))?;
        Some(match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => text.to_owned(),
            Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
        })
    }

    /// Sets a header of the response. One that HTTP cannot carry makes the answer a failure.
    pub fn add_response_header(&mut self, key: String, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        let content = HeaderValue::from_maybe_shared(Bytes::from(value));
        let added = match (name, content) {
            (Ok(name), Ok(content)) => self.response_headers.try_insert(name, content).is_ok(),
            _ => false,
        };
        if !added {
            self.unsendable = Some(key);
        }
    }

    /// The headers set so far.
    pub fn response_headers(&self) -> HeaderMap {
        self.response_headers.clone()
    }

    /// Sets the status of the response.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn set_status_code(&mut self, status: u16) -> Result<(), FunctionError> {
        let status = StatusCode::from_u16(status);
        self.status = Some(status.map_err(FunctionError::invalid_input)?);
        Ok(())
    }

    /// The status set so far.
    pub fn get_status_code(&self) -> Option<StatusCode> {
        self.status
    }

    /// The headers as they are to be sent, or why they cannot be.
    pub(crate) fn said(self) -> Result<HeaderMap, String> {
        if let Some(name) = self.unsendable {
            return Err(format!("the answer has an invalid header {name:?}"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.response_headers {
            // What goes to a caller by HTTP is marked so where it has to be.
            let own = name.as_str().strip_prefix(FORWARDED);
            let own = own.and_then(|own| HeaderName::from_bytes(own.as_bytes()).ok());
            let name = own.unwrap_or_else(|| name.clone());
            let added = headers.try_insert(name, value.clone());
            added.map_err(|error| error.to_string())?;
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::source::head;

    fn context(headers: &[(&str, &[u8])]) -> RuntimeContext {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            all.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let call = Call::new(head(Method::POST, "/".to_owned(), all), Bytes::new());
        RuntimeContext::of_call(&Arc::default(), &call)
    }

    #[test]
    fn a_header_is_found_however_it_is_asked_for() {
        let context = context(&[
            ("x-own", "Öl".as_bytes()),
            ("x-old", b"\xd6l"),
            ("fn_deadline", b"2018-06-01T10:00:30Z"),
        ]);
        for (name, value) in [
            ("X-Own", Some("Öl")),
            ("x-own", Some("Öl")),
            ("Fn-Http-H-X-Own", Some("Öl")),
            ("X-Old", Some("Öl")),
            ("Fn-Deadline", Some("2018-06-01T10:00:30Z")),
            ("X-Away", None),
            ("no name", None),
            ("", None),
        ] {
            assert_eq!(context.header(name.to_owned()).as_deref(), value, "{name}");
        }
        // Nobody called by HTTP.
        assert!(!context.headers().contains_key(METHOD));
        assert!(context.call().is_some_and(|call| call.deadline().is_some()));
    }

    #[test]
    fn what_is_said_is_sent_as_a_whole_or_not_at_all() {
        let mut context = context(&[]);
        context.add_response_header("X-Own".to_owned(), "1".to_owned());
        context.add_response_header("x-own".to_owned(), "2".to_owned());
        context.add_response_header("Fn-Http-H-X-Own".to_owned(), "3".to_owned());
        assert_eq!(context.response_headers().len(), 2);
        assert_eq!(context.clone().said().unwrap().len(), 1);
        assert!(context.set_status_code(99).is_err());
        assert_eq!(context.get_status_code(), None);
        context.set_status_code(404).unwrap();
        assert_eq!(context.get_status_code(), Some(StatusCode::NOT_FOUND));
        context.add_response_header("no name".to_owned(), "1".to_owned());
        let error = context.said().unwrap_err();
        assert_eq!(error, "the answer has an invalid header \"no name\"");
    }
}
