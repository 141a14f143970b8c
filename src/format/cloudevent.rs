//! `format: cloudevent`: the call and its answer as CloudEvents 0.1, one JSON object each.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
    data: Option<Value>,
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
    data: Option<Value>,
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
        let event: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
        return event
            .err()
            .map(|e| format!("the request body is no CloudEvent: {e}"));
    }
    if body.is_empty() {
        return None;
    }
    let data: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&body);
    let error = data.err()?;
    Some(format!(
        "the request body has to be JSON for a function of format 'cloudevent': {error}"
    ))
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
        // Parsed and written anew, so that it is one line.
        data: serde_json::from_slice(body).ok(),
    })
}

/// The caller's own event, told how it came and how long it may take.
fn completed(body: &Bytes, request: &CallRequest, deadline: Timestamp) -> Vec<u8> {
    let mut event: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let extensions = event.entry("extensions").or_insert_with(|| json!({}));
    if !extensions.is_object() {
        *extensions = json!({});
    }
    extensions["protocol"] = json!(Protocol::of(request, body));
    extensions["deadline"] = json!(deadline.to_string());
    line(&event)
}

fn decode(frame: &[u8]) -> Result<(ResponseHead, Bytes), ExchangeError> {
    let said: Said = parse(frame)?;
    let kind = said.content_type.unwrap_or_default();
    let body = match (kind.split(';').next().unwrap_or_default().trim(), said.data) {
        (_, None | Some(Value::Null)) => Bytes::new(),
        ("application/json", Some(data)) => Bytes::from(data.to_string()),
        ("text/plain", Some(Value::String(text))) => Bytes::from(text),
        ("text/plain", Some(_)) => {
            let reason = "data of content type text/plain is not a string";
            return Err(ExchangeError::BadFrame(reason.to_owned()));
        }
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
