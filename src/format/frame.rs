//! What the formats that put a call into one JSON object have in common.

use std::collections::BTreeMap;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use wire::{JsonError, JsonScanner};

use super::call::{CallRequest, ExchangeError, RequestBody, ResponseHead};
use super::exchange::Exchange;
use super::io::{READ_MIN, Writer, poll_read, poll_whole};
use crate::pool::Lane;

/// Reads a whole answer out of an object.
pub(super) type Parse = fn(&[u8]) -> Result<(ResponseHead, Bytes), ExchangeError>;

/// One line of JSON out, one object in.
pub(super) struct FrameExchange {
    writer: Writer,
    scanner: JsonScanner,
    limit: u64,
    parse: Parse,
    body: Bytes,
}

impl FrameExchange {
    /// Puts `frame` to a function and reads its answer, of at most `limit` bytes, with `parse`.
    pub(super) fn new(frame: Vec<u8>, limit: u64, parse: Parse) -> Self {
        Self {
            writer: Writer::new(Bytes::from(frame), RequestBody::default()),
            scanner: JsonScanner::new(limit),
            limit,
            parse,
            body: Bytes::new(),
        }
    }
}

impl Exchange for FrameExchange {
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        loop {
            self.writer.poll(cx, &mut lane.stdin)?;
            let found = self.scanner.scan(&lane.inbox);
            if let Some(range) = found.map_err(|error| self.refuse(error))? {
                let frame = lane.inbox.split_to(range.end);
                let (head, body) = (self.parse)(&frame[range.start..])?;
                self.body = body;
                return Poll::Ready(Ok(head));
            }
            // The longer the object is, the more of it is likely to come.
            let wanted = lane.inbox.len().max(READ_MIN);
            if ready!(poll_read(cx, lane, wanted))? == 0 {
                return Poll::Ready(Err(ExchangeError::ended(
                    self.scanner.started(),
                    self.writer.is_unread(&lane.stdin),
                    "stream ended before the end of the JSON object",
                )));
            }
        }
    }

    fn poll_data(
        &mut self,
        _: &mut Context<'_>,
        _: &mut Lane,
    ) -> Poll<Result<Option<Bytes>, ExchangeError>> {
        poll_whole(&mut self.body)
    }

    fn is_clean(&self, lane: &mut Lane) -> bool {
        // Where nobody can tell how much was read: what is left of one line is no other's frame.
        self.writer.is_done() && lane.stdin.unread().is_none_or(|bytes| bytes == 0)
    }
}

impl FrameExchange {
    fn refuse(&self, error: JsonError) -> ExchangeError {
        match error {
            JsonError::TooLong { .. } => ExchangeError::TooLarge { limit: self.limit },
            other => ExchangeError::BadFrame(other.to_string()),
        }
    }
}

/// The part of a frame that tells about HTTP.
#[derive(Serialize)]
pub(super) struct Protocol<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    method: &'a str,
    request_url: &'a str,
    headers: BTreeMap<String, Vec<String>>,
}

impl<'a> Protocol<'a> {
    pub(super) fn of(request: &'a CallRequest, body: &Bytes) -> Self {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &request.headers {
            if *name == http::header::HOST {
                continue;
            }
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.entry(canonical(name)).or_default().push(value);
        }
        if !body.is_empty() {
            headers.insert(canonical(&CONTENT_LENGTH), vec![body.len().to_string()]);
        }
        Self {
            kind: "http",
            method: request.method.as_str(),
            request_url: &request.url,
            headers,
        }
    }
}

/// A header's name as functions look it up: capital at the start and after each dash.
pub(super) fn canonical(name: &HeaderName) -> String {
    let mut first = true;
    let capital = |c: char| {
        let c = if first { c.to_ascii_uppercase() } else { c };
        first = c == '-';
        c
    };
    name.as_str().chars().map(capital).collect()
}

/// What a function may say about HTTP in its answer; all of it is optional.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SaidProtocol {
    status_code: Option<u16>,
    headers: Option<BTreeMap<String, Vec<String>>>,
}

impl SaidProtocol {
    /// The head that this and the answer's `content_type` ask for, of a body of `length` bytes.
    pub(super) fn head(
        self,
        content_type: Option<&str>,
        length: usize,
    ) -> Result<ResponseHead, ExchangeError> {
        let bad = |what: &str, value: &str| {
            ExchangeError::BadFrame(format!("{what} {:?} is not valid", value))
        };
        let status = match self.status_code {
            None | Some(0) => StatusCode::OK,
            // 1xx is never final, and what is above 599 means nothing to HTTP clients.
            Some(code @ 200..=599) => {
                StatusCode::from_u16(code).map_err(|_| bad("status_code", &code.to_string()))?
            }
            Some(code) => return Err(bad("status_code", &code.to_string())),
        };
        let mut headers = HeaderMap::new();
        for (name, values) in self.headers.unwrap_or_default() {
            let key = HeaderName::try_from(&name).map_err(|_| bad("header name", &name))?;
            for value in values {
                let value =
                    HeaderValue::try_from(&value).map_err(|_| bad("header value", &value))?;
                headers
                    .try_append(&key, value)
                    .map_err(|_| ExchangeError::BadFrame("too many headers".to_owned()))?;
            }
        }
        if let Some(kind) = content_type.filter(|kind| !kind.is_empty()) {
            let value = HeaderValue::try_from(kind).map_err(|_| bad("content type", kind))?;
            headers.insert(http::header::CONTENT_TYPE, value);
        }
        Ok(ResponseHead {
            status,
            headers,
            length: Some(length as u64),
        })
    }
}

/// One line of JSON, with `<`, `>` and `&` escaped as Fn writes them.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1024);
    let mut serializer = serde_json::Serializer::with_formatter(&mut frame, HtmlSafe);
    value
        .serialize(&mut serializer)
        .expect("strings and maps of strings are JSON, and memory does not fail");
    frame.push(b'\n');
    frame
}

struct HtmlSafe;

impl serde_json::ser::Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let special = rest[at..].chars().next().unwrap_or_default();
            write!(writer, "\\u{:04x}", u32::from(special))?;
            rest = &rest[at + special.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}
