//! `format: json`: the call and its answer as one JSON object each. Bodies are text.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::call::{CallRequest, ExchangeError, ExchangeLimits, ResponseHead};
use super::frame::{FrameExchange, Protocol, SaidProtocol, line};
use crate::model::Timestamp;

/// The order of the members is the one that Fn wrote; functions without a JSON parser rely on it.
#[derive(Serialize)]
struct Request<'a> {
    call_id: String,
    deadline: String,
    body: Cow<'a, str>,
    content_type: Cow<'a, str>,
    protocol: Protocol<'a>,
}

/// Members that nobody knows are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    body: Option<String>,
    content_type: Option<String>,
    protocol: Option<SaidProtocol>,
}

pub(super) fn exchange(
    request: &CallRequest,
    deadline: Timestamp,
    limits: &ExchangeLimits,
) -> FrameExchange {
    FrameExchange::new(encode(request, deadline), limits.whole_bytes, decode)
}

fn encode(request: &CallRequest, deadline: Timestamp) -> Vec<u8> {
    let body = request.whole_body();
    let content_type = request.headers.get(http::header::CONTENT_TYPE);
    line(&Request {
        call_id: request.id.to_string(),
        deadline: deadline.to_string(),
        // The format's own limit: what is no text does not survive it.
        body: String::from_utf8_lossy(&body),
        content_type: content_type
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .unwrap_or_default(),
        protocol: Protocol::of(request, &body),
    })
}

fn decode(frame: &[u8]) -> Result<(ResponseHead, Bytes), ExchangeError> {
    let said: Response = serde_json::from_slice(frame)
        .map_err(|error| ExchangeError::BadFrame(error.to_string()))?;
    let body = Bytes::from(said.body.unwrap_or_default());
    let protocol = said.protocol.unwrap_or_default();
    let head = protocol.head(said.content_type.as_deref(), body.len())?;
    Ok((head, body))
}
