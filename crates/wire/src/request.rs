use bytes::BytesMut;

use crate::error::{DecodeError, seen};
use crate::head::{BodyLength, RequestHead, RequestLine, parse_request};
use crate::limits::Limits;
use crate::message::{Event, Message, Phase, is_blank};

/// Reads one request.
#[derive(Debug)]
pub struct RequestDecoder {
    message: Message,
}

impl RequestDecoder {
    /// A decoder for the next request.
    pub fn new(limits: Limits) -> Self {
        Self {
            message: Message::new(limits),
        }
    }

    /// The next event, or `None` when `buf` needs more bytes or the message is over.
    ///
    /// Call it with the connection's one buffer until it yields `None` after each read. After an
    /// error or [`Event::End`] it yields nothing more.
    ///
    /// # Errors
    ///
    /// The bytes are not a request, or one beyond the limits. The connection cannot be used again.
    pub fn decode(
        &mut self,
        buf: &mut BytesMut,
    ) -> Result<Option<Event<RequestHead>>, DecodeError> {
        let result = match self.message.phase() {
            Phase::Head(_) => self.decode_head(buf),
            Phase::Body(_) => self.message.decode_body(buf),
            Phase::Over => Ok(None),
        };
        self.message.settle(result)
    }

    /// The error to report when the stream ends with `buf` unfinished and not
    /// [at a boundary](Self::at_boundary).
    pub fn eof(&self, buf: &BytesMut) -> DecodeError {
        self.message.eof(buf)
    }

    /// Whether any byte of a request was read, blank lines aside.
    pub fn started(&self) -> bool {
        self.message.started()
    }

    /// Whether the stream may end here: between two requests, with nothing but line ends in `buf`.
    pub fn at_boundary(&self, buf: &BytesMut) -> bool {
        let between = match self.message.phase() {
            Phase::Head(_) => !self.started(),
            Phase::Body(_) => false,
            Phase::Over => true,
        };
        between && is_blank(buf)
    }

    fn decode_head(
        &mut self,
        buf: &mut BytesMut,
    ) -> Result<Option<Event<RequestHead>>, DecodeError> {
        let Some(raw) = self.message.take_head(buf, check_opening)? else {
            return Ok(None);
        };
        let RequestLine {
            method,
            target,
            headers,
            declared,
        } = parse_request(&raw, self.message.limits.headers)?;
        // RFC 9112 section 6.3 item 7: a request that declares no length has no body.
        let length = declared.length().unwrap_or(BodyLength::Empty);
        self.message.begin_body(length)?;
        Ok(Some(Event::Head(RequestHead {
            method,
            target,
            headers,
            length,
        })))
    }
}

/// No registered method is half as long; without a bound, junk without a space would go unnoticed
/// until it filled a head.
pub(crate) const METHOD_BYTES: usize = 40;

/// RFC 9112 section 3: a request starts with a method, which is a token, and a space.
pub(crate) fn check_opening(buf: &[u8]) -> Result<(), DecodeError> {
    let start = &buf[..buf.len().min(METHOD_BYTES)];
    let method = start.iter().take_while(|&&byte| is_token(byte)).count();
    let possible = match start.get(method) {
        Some(byte) => *byte == b' ' && method > 0,
        None => method < METHOD_BYTES,
    };
    if possible {
        Ok(())
    } else {
        Err(DecodeError::NotHttp { seen: seen(buf) })
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
