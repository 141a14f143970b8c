//! Writes heads and chunks the way the oldest FDKs expect to read them.

use std::fmt::Write;

use bytes::BytesMut;
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
    let mut fields: Vec<Field<'_>> = Vec::with_capacity(headers.len() + own.len());
    for (name, value) in headers {
        if !is_framing(name) && !is_among(own, name) {
            fields.push((Place::of(name), name.as_str(), value.as_bytes()));
        }
    }
    let own = own.iter();
    fields.extend(own.map(|(name, value)| (Place::Rest, *name, value.as_bytes())));
    // Stable: values of one name stay in their order.
    fields.sort_by_key(|(place, name, _)| (*place, *name));
    let rest = fields.partition_point(|(place, ..)| *place != Place::Rest);
    let (first, rest) = fields.split_at(rest);

    let lengths = fields.iter().map(|(_, name, value)| field_len(name, value));
    dst.reserve(LINES_BYTES + target.len() + lengths.sum::<usize>());
    put(dst, method.as_str().as_bytes());
    put(dst, b" ");
    put_target(dst, target);
    put(dst, b" HTTP/1.1\r\n");
    put_fields(dst, first);
    match length {
        BodyLength::Empty => put_length(dst, 0),
        BodyLength::Known(bytes) => put_length(dst, bytes),
        BodyLength::Chunked => put(dst, b"Transfer-Encoding: chunked\r\n"),
    }
    put_fields(dst, rest);
    put(dst, b"\r\n");
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
    let lengths = headers
        .iter()
        .map(|(name, value)| field_len(name.as_str(), value.as_bytes()));
    dst.reserve(LINES_BYTES + lengths.sum::<usize>());
    put(dst, b"HTTP/1.1 ");
    put(dst, status.as_str().as_bytes());
    put(dst, b" ");
    put(
        dst,
        status.canonical_reason().unwrap_or_default().as_bytes(),
    );
    put(dst, b"\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !is_framing(name)) {
        put_field(dst, name.as_str(), value.as_bytes());
    }
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match length {
        _ if bodiless => {}
        BodyLength::Empty => put_length(dst, 0),
        BodyLength::Known(bytes) => put_length(dst, bytes),
        BodyLength::Chunked => put(dst, b"Transfer-Encoding: chunked\r\n"),
    }
    put(dst, b"\r\n");
}

/// Appends one chunk of a chunked body; nothing for empty data, which would end the body.
pub fn encode_chunk(dst: &mut BytesMut, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    put_fmt(dst, format_args!("{:x}\r\n", data.len()));
    put(dst, data);
    put(dst, b"\r\n");
}

/// Appends the end of a chunked body, without trailers.
pub fn encode_last_chunk(dst: &mut BytesMut) {
    put(dst, b"0\r\n\r\n");
}

/// Room for the start line, the length line and the blank line, so that a head is one allocation.
const LINES_BYTES: usize = 128;

/// With the colon, the space and the line end.
fn field_len(name: &str, value: &[u8]) -> usize {
    name.len() + value.len() + 4
}

fn is_framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || *name == CONNECTION
}

fn is_among(own: &[(&str, &str)], name: &HeaderName) -> bool {
    own.iter().any(|(own, _)| *own == name.as_str())
}

/// Where in a head a field stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Host,
    UserAgent,
    Rest,
}

impl Place {
    fn of(name: &HeaderName) -> Self {
        match *name {
            HOST => Self::Host,
            USER_AGENT => Self::UserAgent,
            _ => Self::Rest,
        }
    }
}

type Field<'a> = (Place, &'a str, &'a [u8]);

fn put_target(dst: &mut BytesMut, target: &str) {
    if target.is_empty() {
        put(dst, b"/");
    }
    let mut rest = target.as_bytes();
    while let Some(bad) = rest.iter().position(|byte| !byte.is_ascii_graphic()) {
        put(dst, &rest[..bad]);
        put_fmt(dst, format_args!("%{:02X}", rest[bad]));
        rest = &rest[bad + 1..];
    }
    put(dst, rest);
}

fn put_length(dst: &mut BytesMut, bytes: u64) {
    put(dst, b"Content-Length: ");
    put(dst, itoa::Buffer::new().format(bytes).as_bytes());
    put(dst, b"\r\n");
}

fn put_fields(dst: &mut BytesMut, fields: &[Field<'_>]) {
    for (_, name, value) in fields {
        put_field(dst, name, value);
    }
}

// Neither is inlined: a head is put together of many pieces, and fetching a copy of this code for each
// takes longer than calling it.

#[inline(never)]
fn put_field(dst: &mut BytesMut, name: &str, value: &[u8]) {
    let start = dst.len();
    dst.extend_from_slice(name.as_bytes());
    let mut first = true;
    for byte in &mut dst[start..] {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
    dst.extend_from_slice(b": ");
    dst.extend_from_slice(value);
    dst.extend_from_slice(b"\r\n");
}

#[inline(never)]
fn put(dst: &mut BytesMut, bytes: &[u8]) {
    dst.extend_from_slice(bytes);
}

fn put_fmt(dst: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    dst.write_fmt(text).expect("a BytesMut grows as needed");
}
