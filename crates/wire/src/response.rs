use bytes::BytesMut;
use http::StatusCode;

use crate::error::{DecodeError, seen};
use crate::head::{BodyLength, ResponseHead, StatusLine, parse_response};
use crate::limits::Limits;
use crate::message::{Event, Message, Phase};

/// Reads one final response; 1xx responses before it are dropped.
#[derive(Debug)]
pub struct ResponseDecoder {
    message: Message,
    to_head_request: bool,
    interim: usize,
}

impl ResponseDecoder {
    /// A decoder for the next response. One to a HEAD request has no body, whatever its headers
    /// say (RFC 9112 section 6.3 item 1).
    pub fn new(limits: Limits, to_head_request: bool) -> Self {
        Self {
            message: Message::new(limits),
            to_head_request,
            interim: 0,
        }
    }

    /// The next event, or `None` when `buf` needs more bytes or the message is over.
    ///
    /// Call it with the connection's one buffer until it yields `None` after each read. After an
    /// error or [`Event::End`] it yields nothing more.
    ///
    /// # Errors
    ///
    /// The bytes are not a response, or one beyond the limits. The connection cannot be used again.
    pub fn decode(
        &mut self,
        buf: &mut BytesMut,
    ) -> Result<Option<Event<ResponseHead>>, DecodeError> {
        let result = match self.message.phase() {
            Phase::Head(_) => self.decode_head(buf),
            Phase::Body(_) => self.message.decode_body(buf),
            Phase::Over => Ok(None),
        };
        self.message.settle(result)
    }

    /// The error to report when the stream ends with `buf` unfinished.
    pub fn eof(&self, buf: &BytesMut) -> DecodeError {
        self.message.eof(buf)
    }

    /// Whether any byte of a response was read, blank lines aside. Until then, a dead function may
    /// not have seen the request.
    pub fn started(&self) -> bool {
        self.message.started()
    }

    fn decode_head(
        &mut self,
        buf: &mut BytesMut,
    ) -> Result<Option<Event<ResponseHead>>, DecodeError> {
        let limit = self.message.limits.interim;
        while let Some(raw) = self.message.take_head(buf, check_opening)? {
            let line = parse_response(&raw, self.message.limits.headers)?;
            // RFC 9110 section 15.2.2: only a client that asked for an upgrade may get a 101.
            if line.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(DecodeError::UnexpectedUpgrade);
            }
            if line.status.is_informational() {
                self.interim += 1;
                if self.interim > limit {
                    return Err(DecodeError::TooManyInterim { limit });
                }
                continue;
            }
            let length = self.length(&line)?;
            self.message.begin_body(length)?;
            let StatusLine {
                status,
                headers,
                declared: _,
            } = line;
            return Ok(Some(Event::Head(ResponseHead {
                status,
                headers,
                length,
            })));
        }
        Ok(None)
    }

    /// RFC 9112 section 6.3, without its last item: the end of the stream ends no response here,
    /// because a hot function keeps its stdout open.
    fn length(&self, line: &StatusLine) -> Result<BodyLength, DecodeError> {
        let bodiless = matches!(
            line.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if self.to_head_request || bodiless {
            return Ok(BodyLength::Empty);
        }
        line.declared.length().ok_or(DecodeError::NoLength)
    }
}

/// RFC 9112 section 2.3: `HTTP/` in capitals, then the version; only 1.0 and 1.1 frame like this.
fn check_opening(buf: &[u8]) -> Result<(), DecodeError> {
    const NAME: &[u8] = b"HTTP/";
    let name = buf.len().min(NAME.len());
    if buf[..name] != NAME[..name] {
        return Err(DecodeError::NotHttp { seen: seen(buf) });
    }
    let version = [buf.get(5), buf.get(6), buf.get(7)];
    if matches!(
        version,
        [
            None | Some(b'1'),
            None | Some(b'.'),
            None | Some(b'0' | b'1')
        ]
    ) {
        Ok(())
    } else {
        Err(DecodeError::BadVersion { seen: seen(buf) })
    }
}
