//! From the bytes of a whole head to its parts, and the framing rules of RFC 9112 section 6.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use httparse::{EMPTY_HEADER, Header, Status};

use crate::error::{DecodeError, seen};
use crate::names::header_name;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No body is declared, or none can follow whatever the headers say.
    Empty,
    /// Exactly this many bytes.
    Known(u64),
    /// Chunks, until the empty one.
    Chunked,
}

/// The start line and headers of a request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Any method, known or not.
    pub method: Method,
    /// The request target exactly as written, normally path and query.
    pub target: String,
    /// Names are case-insensitive; values are bytes and may not be UTF-8.
    pub headers: HeaderMap,
    /// How long the body is.
    pub length: BodyLength,
}

/// The status line and headers of a final response; the reason phrase is dropped.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// From 200 to 599.
    pub status: StatusCode,
    /// Names are case-insensitive; values are bytes and may not be UTF-8.
    pub headers: HeaderMap,
    /// How long the body is.
    pub length: BodyLength,
}

/// The bytes of one head, up to and with its blank line.
#[derive(Debug)]
pub(crate) struct RawHead {
    pub(crate) bytes: Bytes,
    pub(crate) lines: usize,
}

/// What the headers say about the body, before the status or the method have their say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

#[derive(Debug)]
pub(crate) struct StatusLine {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) declared: Declared,
}

#[derive(Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) declared: Declared,
}

pub(crate) fn parse_response(raw: &RawHead, limit: usize) -> Result<StatusLine, DecodeError> {
    let bytes = &raw.bytes;
    with_slots(raw.lines.saturating_sub(1), limit, |slots| {
        let mut parsed = httparse::Response::new(slots);
        let read = parsed
            .parse(bytes)
            .map_err(|error| refuse(error, bytes, limit))?;
        whole(read, bytes)?;
        let status = parsed
            .code
            .filter(|code| (100..=599).contains(code))
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or_else(|| DecodeError::BadStatus { seen: seen(bytes) })?;
        // A 1xx response has no body to frame and is dropped with all it says.
        let framed = !status.is_informational();
        let (headers, declared) = fields(bytes, parsed.headers, parsed.version, framed, limit)?;
        Ok(StatusLine {
            status,
            headers,
            declared,
        })
    })
}

/// The request in a head of so many `lines`, still in its own bytes.
pub(crate) fn with_request<R>(
    bytes: &[u8],
    lines: usize,
    limit: usize,
    then: impl FnOnce(&httparse::Request<'_, '_>) -> Result<R, DecodeError>,
) -> Result<R, DecodeError> {
    with_slots(lines.saturating_sub(1), limit, |slots| {
        let mut parsed = httparse::Request::new(slots);
        let read = parsed
            .parse(bytes)
            .map_err(|error| refuse(error, bytes, limit))?;
        whole(read, bytes)?;
        then(&parsed)
    })
}

pub(crate) fn parse_request(raw: &RawHead, limit: usize) -> Result<RequestLine, DecodeError> {
    let bytes = &raw.bytes;
    with_request(bytes, raw.lines, limit, |parsed| {
        let bad = |detail| DecodeError::BadHead {
            detail,
            seen: seen(bytes),
        };
        let method = parsed.method.ok_or_else(|| bad("no method"))?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("invalid method"))?;
        let target = parsed
            .path
            .ok_or_else(|| bad("no request target"))?
            .to_owned();
        let (headers, declared) = fields(bytes, parsed.headers, parsed.version, true, limit)?;
        Ok(RequestLine {
            method,
            target,
            headers,
            declared,
        })
    })
}

/// Checks trailer lines with the strictness of headers; their content is of no use to anyone here.
pub(crate) fn check_trailers(block: &[u8], lines: usize, limit: usize) -> Result<(), DecodeError> {
    let bad = |detail| DecodeError::BadChunk {
        detail,
        seen: seen(block),
    };
    with_slots(lines, limit, |slots| {
        match httparse::parse_headers(block, slots) {
            Ok(Status::Complete((read, _))) if read == block.len() => Ok(()),
            Ok(_) => Err(bad("invalid trailer")),
            Err(error) => Err(bad(detail(error))),
        }
    })
}

/// Who passes headers on adds some of its own, and a map that grows is made anew.
const ROOM_FOR_MORE: usize = 3;

/// Most heads are this small and need no allocation for their parse.
const STACK_HEADERS: usize = 32;

fn with_slots<'b, R>(
    count: usize,
    limit: usize,
    parse: impl FnOnce(&mut [Header<'b>]) -> Result<R, DecodeError>,
) -> Result<R, DecodeError> {
    if count > limit {
        Err(DecodeError::TooManyHeaders { limit })
    } else if count <= STACK_HEADERS {
        parse(&mut [EMPTY_HEADER; STACK_HEADERS])
    } else {
        parse(&mut vec![EMPTY_HEADER; count])
    }
}

/// The scan and the parser must see the same end, or one of them was tricked.
fn whole(read: Status<usize>, bytes: &[u8]) -> Result<(), DecodeError> {
    if read == Status::Complete(bytes.len()) {
        Ok(())
    } else {
        Err(DecodeError::BadHead {
            detail: "unexpected end of head",
            seen: seen(bytes),
        })
    }
}

fn refuse(error: httparse::Error, bytes: &[u8], limit: usize) -> DecodeError {
    let seen = seen(bytes);
    match error {
        httparse::Error::Version => DecodeError::BadVersion { seen },
        httparse::Error::Status => DecodeError::BadStatus { seen },
        httparse::Error::TooManyHeaders => DecodeError::TooManyHeaders { limit },
        _ => DecodeError::BadHead {
            detail: detail(error),
            seen,
        },
    }
}

fn detail(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Token => "invalid request line",
        httparse::Error::Status => "invalid status line",
        httparse::Error::Version => "invalid version",
        httparse::Error::TooManyHeaders => "too many lines",
    }
}

fn fields(
    head: &Bytes,
    parsed: &[Header<'_>],
    version: Option<u8>,
    framed: bool,
    limit: usize,
) -> Result<(HeaderMap, Declared), DecodeError> {
    let too_many = |_| DecodeError::TooManyHeaders { limit };
    let room = parsed.len() + ROOM_FOR_MORE;
    let mut headers = HeaderMap::try_with_capacity(room).map_err(too_many)?;
    let mut declared = Declared::Nothing;
    for field in parsed {
        let bad = |detail| DecodeError::BadHead {
            detail,
            seen: seen(head),
        };
        let name = header_name(field.name.as_bytes()).map_err(|_| bad("invalid header name"))?;
        if framed && name == CONTENT_LENGTH {
            declared = declared.and_length(head, field)?;
        } else if framed && name == TRANSFER_ENCODING {
            declared = declared.and_transfer_encoding(field, version)?;
        }
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| bad("invalid header value"))?;
        headers.try_append(name, value).map_err(too_many)?;
    }
    Ok((headers, declared))
}

// RFC 9112 section 6.3 would let equal lengths pass, and a transfer-encoding win over a length. Both
// are how requests are smuggled, and no function needs either.
impl Declared {
    pub(crate) fn and_length(self, head: &[u8], field: &Header<'_>) -> Result<Self, DecodeError> {
        match self {
            Self::Nothing => Ok(Self::Length(parse_length(untrimmed(head, field))?)),
            Self::Length(_) | Self::Chunked => Err(DecodeError::ConflictingLength),
        }
    }

    pub(crate) fn and_transfer_encoding(
        self,
        field: &Header<'_>,
        version: Option<u8>,
    ) -> Result<Self, DecodeError> {
        match self {
            Self::Nothing => parse_transfer_encoding(field.value, version),
            Self::Length(_) => Err(DecodeError::ConflictingLength),
            Self::Chunked => Err(DecodeError::UnsupportedTransferEncoding {
                value: seen(field.value),
            }),
        }
    }
}

/// The value with its padding, which the parser has cut off.
fn untrimmed<'b>(head: &'b [u8], field: &Header<'b>) -> &'b [u8] {
    let start = field.name.as_ptr() as usize - head.as_ptr() as usize + field.name.len() + 1;
    let rest = &head[start..];
    let end = rest
        .iter()
        .position(|&byte| byte == b'\r')
        .unwrap_or(rest.len());
    &rest[..end]
}

/// Digits after at most one space: no sign, list, base or padding (RFC 9112 section 6.3 item 5;
/// padding is legal but is what a probe sends, not what an encoder writes).
fn parse_length(raw: &[u8]) -> Result<u64, DecodeError> {
    let digits = raw.strip_prefix(b" ").unwrap_or(raw);
    let bad = || DecodeError::BadLength {
        value: seen(digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    // Only the overflow is left to go wrong.
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(bad)
}

/// Only `chunked`, and only since HTTP/1.1 (RFC 9112 section 6.1: a 1.0 message with a
/// transfer-encoding has faulty framing).
fn parse_transfer_encoding(value: &[u8], version: Option<u8>) -> Result<Declared, DecodeError> {
    if value.eq_ignore_ascii_case(b"chunked") && version == Some(1) {
        Ok(Declared::Chunked)
    } else {
        Err(DecodeError::UnsupportedTransferEncoding { value: seen(value) })
    }
}
