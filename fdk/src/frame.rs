//! The formats that are not HTTP: a JSON object for each call and each answer, and one bare body.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use wire::{JsonScanner, RequestHead};

use crate::call::{self, FIRST_CALL_ID, URL};
use crate::error::{Error, Result};
use crate::input::Joined;
use crate::output::Asked;
use crate::source::{Arrival, Reader, head};

const DEADLINE: HeaderName = HeaderName::from_static("fn_deadline");

#[derive(Default, Deserialize)]
#[serde(default)]
struct Protocol {
    method: String,
    request_url: String,
    #[serde(deserialize_with = "named")]
    headers: HeaderMap,
}

/// Headers as an object of lists.
fn named<'de, D: Deserializer<'de>>(object: D) -> Result<HeaderMap, D::Error> {
    struct Named;

    impl<'de> Visitor<'de> for Named {
        type Value = HeaderMap;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of lists of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderMap, A::Error> {
            let mut headers = HeaderMap::new();
            while let Some((name, values)) = map.next_entry::<String, Vec<String>>()? {
                let added = add(&mut headers, &name, &values);
                added.map_err(serde::de::Error::custom)?;
            }
            Ok(headers)
        }
    }

    object.deserialize_map(Named)
}

fn add(headers: &mut HeaderMap, name: &str, values: &[String]) -> Result<()> {
    let name = HeaderName::from_bytes(name.as_bytes())?;
    for value in values {
        headers.try_append(name.clone(), HeaderValue::from_str(value)?)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct SaidProtocol<'a> {
    status_code: u16,
    #[serde(serialize_with = "lists")]
    headers: &'a HeaderMap,
}

impl<'a> SaidProtocol<'a> {
    fn new(status: StatusCode, headers: &'a HeaderMap) -> Self {
        Self {
            status_code: status.as_u16(),
            headers,
        }
    }
}

fn lists<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.keys().map(|name| {
        let values = headers.get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        (name.as_str(), texts.collect::<Vec<_>>())
    }))
}

/// The next object on the stream, whose end is between two of them.
fn object(input: &mut Reader) -> Result<Option<Bytes>> {
    let mut scanner = JsonScanner::new(u64::MAX);
    loop {
        if let Some(range) = scanner.scan(input.buf())? {
            let object = input.buf().split_to(range.end).freeze();
            return Ok(Some(object.slice(range.start..)));
        }
        if !input.fill()? {
            let blank = input.buf().iter().all(u8::is_ascii_whitespace);
            return if blank {
                Ok(None)
            } else {
                Err(Error::msg("stream ended within a JSON object"))
            };
        }
    }
}

fn request(
    protocol: Protocol,
    id: &str,
    deadline: Option<&str>,
    content_type: Option<&str>,
) -> Result<RequestHead> {
    let mut headers = protocol.headers;
    let url = &protocol.request_url;
    let own = [
        (FIRST_CALL_ID, Some(id)),
        (DEADLINE, deadline),
        (URL, Some(url.as_str()).filter(|url| !url.is_empty())),
        (CONTENT_TYPE, content_type.filter(|kind| !kind.is_empty())),
    ];
    for (name, value) in own {
        if let Some(value) = value {
            headers.try_insert(name, HeaderValue::from_str(value)?)?;
        }
    }
    let (host, _) = call::split(url);
    if !headers.contains_key(HOST) && !host.is_empty() {
        headers.try_insert(HOST, HeaderValue::from_str(host)?)?;
    }
    let method = match protocol.method.as_str() {
        "" => Method::POST,
        method => Method::from_bytes(method.as_bytes())?,
    };
    let target = if url.is_empty() {
        "/".into()
    } else {
        call::target_of(url)
    };
    Ok(head(method, target.into_owned(), headers))
}

/// The next call of format `json`.
pub(crate) fn next_json(input: &mut Reader) -> Result<Option<Arrival>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Call {
        call_id: Option<String>,
        deadline: Option<String>,
        body: Option<String>,
        content_type: Option<String>,
        protocol: Option<Protocol>,
    }

    let Some(object) = object(input)? else {
        return Ok(None);
    };
    let read = || {
        let call: Call = serde_json::from_slice(&object)?;
        let protocol = call.protocol.unwrap_or_default();
        let id = call.call_id.unwrap_or_default();
        let (deadline, kind) = (call.deadline.as_deref(), call.content_type.as_deref());
        let head = request(protocol, &id, deadline, kind)?;
        crate::Ok((head, call.body.unwrap_or_default()))
    };
    Ok(Some(arrival(read())))
}

/// What an object holds. Its end is known whatever is in it, so one that is not right costs its
/// caller an answer and the process nothing.
fn arrival(read: Result<(RequestHead, String)>) -> Arrival {
    match read {
        Ok((head, body)) => Arrival {
            head,
            body: Some(body.into()),
            flaw: None,
        },
        Err(error) => Arrival {
            head: head(Method::POST, "/".to_owned(), HeaderMap::new()),
            body: Some(Bytes::new()),
            flaw: Some(Error::public(
                StatusCode::BAD_REQUEST,
                format!("the call cannot be read: {error}"),
            )),
        },
    }
}

/// An answer of format `json`. Its body is text: what is none does not survive the format.
pub(crate) fn json(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        body: std::borrow::Cow<'a, str>,
        content_type: &'a str,
        protocol: SaidProtocol<'a>,
    }

    line(&Answer {
        body: String::from_utf8_lossy(body),
        content_type: content_type(headers),
        protocol: SaidProtocol::new(status, headers),
    })
}

/// The next call of format `cloudevent`, whose body is the event's data.
pub(crate) fn next_event(input: &mut Reader) -> Result<Option<Arrival>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Extensions {
        protocol: Option<Protocol>,
        deadline: Option<String>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Event {
        #[serde(rename = "eventID")]
        id: Option<String>,
        #[serde(rename = "contentType")]
        content_type: Option<String>,
        extensions: Option<Extensions>,
        data: Option<Box<RawValue>>,
    }

    let Some(object) = object(input)? else {
        return Ok(None);
    };
    let read = || {
        let event: Event = serde_json::from_slice(&object)?;
        let Extensions { protocol, deadline } = event.extensions.unwrap_or_default();
        let kind = event.content_type.as_deref();
        let (protocol, id) = (protocol.unwrap_or_default(), event.id.unwrap_or_default());
        let head = request(protocol, &id, deadline.as_deref(), kind)?;
        let data = event.data.filter(|data| data.get() != "null");
        let data = data.map_or_else(String::new, |data| String::from(Box::<str>::from(data)));
        // Text travels as a JSON string.
        let text = kind.is_some_and(|kind| kind.starts_with("text/"));
        let body = match text.then(|| serde_json::from_str::<String>(&data)) {
            Some(Ok(text)) => text,
            _ => data,
        };
        crate::Ok((head, body))
    };
    Ok(Some(arrival(read())))
}

/// An answer of format `cloudevent`: JSON as it is, anything else as text.
pub(crate) fn event(
    asked: &Asked,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Event<'a> {
        cloud_events_version: &'static str,
        #[serde(rename = "eventID")]
        event_id: &'a str,
        event_type: &'static str,
        source: &'static str,
        content_type: &'static str,
        extensions: Extensions<'a>,
        data: Option<Box<RawValue>>,
    }

    #[derive(Serialize)]
    struct Extensions<'a> {
        protocol: SaidProtocol<'a>,
    }

    let json = content_type(headers).starts_with("application/json");
    let raw = std::str::from_utf8(body).ok().filter(|_| json);
    let raw = raw.and_then(|text| RawValue::from_string(text.to_owned()).ok());
    let text = || serde_json::value::to_raw_value(&String::from_utf8_lossy(body)).ok();
    let kind = if raw.is_some() {
        "application/json"
    } else {
        "text/plain"
    };
    line(&Event {
        cloud_events_version: "0.1",
        event_id: asked.id(),
        event_type: "http",
        source: "function",
        content_type: kind,
        extensions: Extensions {
            protocol: SaidProtocol::new(status, headers),
        },
        data: raw.or_else(text).filter(|_| !body.is_empty()),
    })
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers only: nothing that JSON cannot hold.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The one call of format `default`: its body is all of stdin, and the rest is in the environment.
pub(crate) fn only(input: &mut Reader) -> Result<Arrival> {
    let mut body = Joined::default();
    while input.fill()? {
        if !body.push(input.buf().split().freeze()) {
            return Err(Error::msg("there is too little memory for the body"));
        }
    }
    let env = |name| std::env::var(name).unwrap_or_default();
    let mut protocol = Protocol {
        method: env("FN_METHOD"),
        request_url: env("FN_REQUEST_URL"),
        headers: HeaderMap::new(),
    };
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let Some(name) = name.strip_prefix("FN_HEADER_") else {
            continue;
        };
        let value = [value.to_string_lossy().into_owned()];
        // Each comes in two spellings: as it is, and in capitals with underscores.
        if name.contains('-') || name.contains(|c: char| c.is_ascii_lowercase()) {
            protocol.headers.remove(name);
            add(&mut protocol.headers, name, &value)?;
        } else {
            let name = name.replace('_', "-");
            if !protocol.headers.contains_key(&name) {
                add(&mut protocol.headers, &name, &value)?;
            }
        }
    }
    let deadline = env("FN_DEADLINE");
    let head = request(protocol, &env("FN_CALL_ID"), Some(&deadline), None)?;
    Ok(Arrival {
        head,
        body: Some(body.finish()),
        flaw: None,
    })
}

/// The format has no status: a function that failed says so by how it ends.
pub(crate) fn verdict(asked: &Asked, status: StatusCode, body: &[u8]) -> Result<()> {
    if status.is_server_error() {
        asked.fault(&String::from_utf8_lossy(body));
        return Err(Error::msg(format!("the call failed with {status}")));
    }
    Ok(())
}
