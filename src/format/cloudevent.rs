//! `format: cloudevent`: the call and its answer as CloudEvents 0.1, one JSON object each.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::call::{CallRequest, ExchangeError, ExchangeLimits, ResponseHead};
use super::frame::{FrameExchange, Protocol, SaidProtocol, line};
use crate::model::Timestamp;

/// A request of this type is an event already.
const EVENT: &str = "application/cloudevents+json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    cloud_events_version: &'static str,
    #[serde(rename = "eventID")]
    event_id: String,
    source: &'a str,
    event_type: &'static str,
    event_type_version: &'static str,
    event_time: &'static str,
    #[serde(rename = "schemaURL")]
    schema_url: &'static str,
    content_type: &'a str,
    extensions: Extensions<'a>,
    data: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Extensions<'a> {
    protocol: Protocol<'a>,
    deadline: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    extensions: Option<SaidExtensions>,
    data: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidExtensions {
    protocol: Option<SaidProtocol>,
}

pub(super) fn exchange(
    request: &CallRequest,
    deadline: Timestamp,
    limits: &ExchangeLimits,
) -> FrameExchange {
    let body = request.whole_body();
    if is_event(request) {
        let frame = completed(&body, request, deadline);
        return FrameExchange::new(frame, limits.whole_bytes, decode_event);
    }
    FrameExchange::new(
        wrapped(&body, request, deadline),
        limits.whole_bytes,
        decode,
    )
}

/// Only JSON can be the data of an event.
pub(super) fn refusal(request: &CallRequest) -> Option<String> {
    let body = request.whole_body();
    if is_event(request) {
        let error = event(&body).err()?;
        return Some(format!("the request body is no CloudEvent: {error}"));
    }
    let error = data(&body).err()?;
    Some(format!(
        "the request body has to be JSON for a function of format 'cloudevent': {error}"
    ))
}

/// The members of an event, as they are.
fn event(body: &[u8]) -> serde_json::Result<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_slice(body)
}

/// JSON as it is, but on one line. What it says is not looked into: it may hold numbers and depths
/// that no type of ours does, and would take many times its size.
fn data(body: &[u8]) -> serde_json::Result<Option<Box<RawValue>>> {
    if body.is_empty() {
        return Ok(None);
    }
    let value: &RawValue = serde_json::from_slice(body)?;
    RawValue::from_string(on_one_line(value.get())).map(Some)
}

/// Valid JSON without the white space between its parts.
fn on_one_line(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&c| {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            in_string || !matches!(c, ' ' | '\t' | '\r' | '\n')
        })
        .collect()
}

fn is_event(request: &CallRequest) -> bool {
    content_type(request).split(';').next().map(str::trim) == Some(EVENT)
}

fn content_type(request: &CallRequest) -> &str {
    let value = request.headers.get(CONTENT_TYPE);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

fn wrapped(body: &Bytes, request: &CallRequest, deadline: Timestamp) -> Vec<u8> {
    line(&Event {
        cloud_events_version: "0.1",
        event_id: request.id.to_string(),
        source: &request.url,
        event_type: "http",
        event_type_version: "",
        // What a Go server writes for a time that was never set.
        event_time: "0001-01-01T00:00:00Z",
        schema_url: "",
        content_type: content_type(request),
        extensions: Extensions {
            protocol: Protocol::of(request, body),
            deadline: deadline.to_string(),
        },
        // What is none was refused before.
        data: data(body).unwrap_or_default(),
    })
}

/// The caller's own event, told how it came and how long it may take.
fn completed(body: &Bytes, request: &CallRequest, deadline: Timestamp) -> Vec<u8> {
    let mut event = event(body).unwrap_or_default();
    for value in event.values_mut() {
        if let Ok(compact) = RawValue::from_string(on_one_line(value.get())) {
            *value = compact;
        }
    }
    let own = event.get("extensions").map_or("{}", |own| own.get());
    let mut extensions: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(own).unwrap_or_default();
    let protocol = to_raw_value(&Protocol::of(request, body));
    let deadline = to_raw_value(&deadline.to_string());
    for (name, value) in [("protocol", protocol), ("deadline", deadline)] {
        extensions.extend(value.ok().map(|value| (name.to_owned(), value)));
    }
    let extensions = to_raw_value(&extensions).ok();
    event.extend(extensions.map(|value| ("extensions".to_owned(), value)));
    line(&event)
}

fn decode(frame: &[u8]) -> Result<(ResponseHead, Bytes), ExchangeError> {
    let said: Said = parse(frame)?;
    let kind = said.content_type.unwrap_or_default();
    let data = said.data.filter(|data| data.get() != "null");
    let body = match (kind.split(';').next().unwrap_or_default().trim(), data) {
        (_, None) => Bytes::new(),
        ("application/json", Some(data)) => Bytes::from(String::from(Box::<str>::from(data))),
        ("text/plain", Some(data)) => match serde_json::from_str::<String>(data.get()) {
            Ok(text) => Bytes::from(text),
            Err(_) => {
                let reason = "data of content type text/plain is not a string";
                return Err(ExchangeError::BadFrame(reason.to_owned()));
            }
        },
        _ => return Err(ExchangeError::UnknownContentType(kind)),
    };
    let protocol = said.extensions.unwrap_or_default().protocol;
    let head = protocol.unwrap_or_default().head(Some(&kind), body.len())?;
    Ok((head, body))
}

/// To a caller who sent an event, the answer is the function's event as it is.
fn decode_event(frame: &[u8]) -> Result<(ResponseHead, Bytes), ExchangeError> {
    let said: Said = parse(frame)?;
    let body = Bytes::copy_from_slice(frame);
    let protocol = said.extensions.unwrap_or_default().protocol;
    let mut head = protocol.unwrap_or_default().head(None, body.len())?;
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(EVENT));
    Ok((head, body))
}

fn parse(frame: &[u8]) -> Result<Said, ExchangeError> {
    serde_json::from_slice(frame).map_err(|error| ExchangeError::BadFrame(error.to_string()))
}
