//! Writes heads and chunks the way the oldest FDKs expect to read them.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::head::BodyLength;

/// Appends the head of a request.
///
/// The order is Host, User-Agent, the length, then the rest by name, all in canonical case: some
/// functions read heads with a shell. A length is always written, because an old FDK reads to the
/// end of the stream without one. Lengths and `Connection` in `headers` are ignored: framing is
/// decided by `length`. Bytes that cannot stand in a request target are percent-encoded.
///
/// `own` are fields beside `headers`, and win over those of the same name: other than the two that
/// come first, names in lower case, values without line ends.
pub fn encode_request_head(
    dst: &mut BytesMut,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    own: &[(&str, &str)],
    length: BodyLength,
) {
    let own_bytes: usize = own.iter().map(|(name, value)| field_len(name, value)).sum();
    dst.reserve(estimate(headers) + own_bytes + target.len());
    dst.put_slice(method.as_str().as_bytes());
    dst.put_u8(b' ');
    put_target(dst, target);
    dst.put_slice(b" HTTP/1.1\r\n");
    for name in [HOST, USER_AGENT] {
        for value in headers.get_all(&name) {
            put_field(dst, name.as_str(), value.as_bytes());
        }
    }
    match length {
        BodyLength::Empty => put_length(dst, 0),
        BodyLength::Known(bytes) => put_length(dst, bytes),
        BodyLength::Chunked => dst.put_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    let mut rest: Vec<(&str, &[u8])> = Vec::with_capacity(headers.len() + own.len());
    let passed = headers.iter().filter(|(name, _)| {
        !is_framing(name) && *name != HOST && *name != USER_AGENT && !is_among(own, name)
    });
    rest.extend(passed.map(|(name, value)| (name.as_str(), value.as_bytes())));
    rest.extend(own.iter().map(|(name, value)| (*name, value.as_bytes())));
    rest.sort_by_key(|(name, _)| *name);
    for (name, value) in rest {
        put_field(dst, name, value);
    }
    dst.put_slice(b"\r\n");
}

/// Appends the head of a response.
///
/// Lengths and `Connection` in `headers` are ignored: framing is decided by `length`, which a 1xx,
/// 204 or 304 response does not carry at all (RFC 9110 section 8.6). For a response to HEAD, give
/// the length that GET would have and write no body.
pub fn encode_response_head(
    dst: &mut BytesMut,
    status: StatusCode,
    headers: &HeaderMap,
    length: BodyLength,
) {
    dst.reserve(estimate(headers));
    dst.put_slice(b"HTTP/1.1 ");
    dst.put_slice(status.as_str().as_bytes());
    dst.put_u8(b' ');
    dst.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    dst.put_slice(b"\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !is_framing(name)) {
        put_field(dst, name.as_str(), value.as_bytes());
    }
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match length {
        _ if bodiless => {}
        BodyLength::Empty => put_length(dst, 0),
        BodyLength::Known(bytes) => put_length(dst, bytes),
        BodyLength::Chunked => dst.put_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    dst.put_slice(b"\r\n");
}

/// Appends one chunk of a chunked body; nothing for empty data, which would end the body.
pub fn encode_chunk(dst: &mut BytesMut, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    put_fmt(dst, format_args!("{:x}\r\n", data.len()));
    dst.put_slice(data);
    dst.put_slice(b"\r\n");
}

/// Appends the end of a chunked body, without trailers.
pub fn encode_last_chunk(dst: &mut BytesMut) {
    dst.put_slice(b"0\r\n\r\n");
}

/// Room for the start line, the length line and the blank line, so that a head is one allocation.
const LINES_BYTES: usize = 128;

/// With the colon, the space and the line end.
fn field_len(name: &str, value: impl AsRef<[u8]>) -> usize {
    name.len() + value.as_ref().len() + 4
}

fn estimate(headers: &HeaderMap) -> usize {
    let fields: usize = headers
        .iter()
        .map(|(name, value)| field_len(name.as_str(), value))
        .sum();
    LINES_BYTES + fields
}

fn is_framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || *name == CONNECTION
}

fn is_among(own: &[(&str, &str)], name: &HeaderName) -> bool {
    own.iter().any(|(own, _)| *own == name.as_str())
}

fn put_target(dst: &mut BytesMut, target: &str) {
    if target.is_empty() {
        dst.put_u8(b'/');
    }
    let mut rest = target.as_bytes();
    while let Some(bad) = rest.iter().position(|byte| !byte.is_ascii_graphic()) {
        dst.put_slice(&rest[..bad]);
        put_fmt(dst, format_args!("%{:02X}", rest[bad]));
        rest = &rest[bad + 1..];
    }
    dst.put_slice(rest);
}

fn put_length(dst: &mut BytesMut, bytes: u64) {
    dst.put_slice(b"Content-Length: ");
    dst.put_slice(itoa::Buffer::new().format(bytes).as_bytes());
    dst.put_slice(b"\r\n");
}

fn put_field(dst: &mut BytesMut, name: &str, value: &[u8]) {
    let start = dst.len();
    dst.put_slice(name.as_bytes());
    let mut first = true;
    for byte in &mut dst[start..] {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
    dst.put_slice(b": ");
    dst.put_slice(value);
    dst.put_slice(b"\r\n");
}

fn put_fmt(dst: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    dst.write_fmt(text).expect("a BytesMut grows as needed");
}
