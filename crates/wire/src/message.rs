//! What requests and responses have in common: blank lines, a head, a body, an end.

use bytes::{Buf, Bytes, BytesMut};

use crate::body::{Body, Piece};
use crate::error::{Cut, DecodeError, seen};
use crate::head::{BodyLength, Declared, RawHead};
use crate::limits::Limits;
use crate::scan::{BlockScan, Flaw};

/// One step of a message: one head, any number of data pieces, one end.
#[derive(Debug, Clone)]
pub enum Event<H> {
    /// The head, complete and checked.
    Head(H),
    /// Some bytes of the body, never none; they share memory with the read buffer.
    Data(Bytes),
    /// The message is complete; what is left in the buffer belongs to something else.
    End,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) limits: Limits,
    phase: Phase,
    leading: usize,
    started: bool,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Head(BlockScan),
    Body(Body),
    Over,
}

impl Message {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Head(BlockScan::default()),
            leading: 0,
            started: false,
        }
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(crate) fn started(&self) -> bool {
        self.started
    }

    /// The next head once it is all there. `opening` fails as soon as the first bytes cannot start
    /// a message, so that pollution is reported at once and not after a timeout.
    pub(crate) fn take_head(
        &mut self,
        buf: &mut BytesMut,
        opening: fn(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<Option<RawHead>, DecodeError> {
        let Phase::Head(scan) = &mut self.phase else {
            return Ok(None);
        };
        // RFC 9112 section 2.2 asks this of servers; an old FDK makes us ask it of both sides.
        let blank = buf
            .iter()
            .take(self.limits.leading_bytes - self.leading)
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        self.leading += blank;
        buf.advance(blank);
        if buf.is_empty() {
            return Ok(None);
        }
        self.started = true;
        opening(buf)?;
        let limit = self.limits.head_bytes;
        let found = scan.find_end(buf, limit).map_err(|flaw| match flaw {
            Flaw::Bad(detail) => DecodeError::BadHead {
                detail,
                seen: seen(buf),
            },
            Flaw::TooLong => DecodeError::HeadTooLarge { limit },
        })?;
        let Some((end, lines)) = found else {
            return Ok(None);
        };
        *scan = BlockScan::default();
        Ok(Some(RawHead {
            bytes: buf.split_to(end).freeze(),
            lines,
        }))
    }

    /// Turns to the body that follows a head.
    pub(crate) fn begin_body(&mut self, length: BodyLength) -> Result<(), DecodeError> {
        if matches!(length, BodyLength::Known(bytes) if bytes > self.limits.body_bytes) {
            return Err(DecodeError::BodyTooLarge {
                limit: self.limits.body_bytes,
            });
        }
        self.phase = Phase::Body(Body::new(length));
        Ok(())
    }

    pub(crate) fn decode_body<H>(
        &mut self,
        buf: &mut BytesMut,
    ) -> Result<Option<Event<H>>, DecodeError> {
        let Phase::Body(body) = &mut self.phase else {
            return Ok(None);
        };
        Ok(match body.decode(buf, &self.limits)? {
            None => None,
            Some(Piece::Data(data)) => Some(Event::Data(data)),
            Some(Piece::End) => {
                self.phase = Phase::Over;
                Some(Event::End)
            }
        })
    }

    /// Ends the message for good when `result` is an error: what follows has no meaning.
    pub(crate) fn settle<T>(&mut self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        if result.is_err() {
            self.phase = Phase::Over;
        }
        result
    }

    pub(crate) fn eof(&self, buf: &BytesMut) -> DecodeError {
        let cut = match &self.phase {
            Phase::Head(_) if is_blank(buf) && !self.started => Cut::Start,
            Phase::Head(_) => Cut::Head { seen: seen(buf) },
            Phase::Body(body) => body.cut(buf),
            Phase::Over => Cut::Start,
        };
        DecodeError::Truncated { cut }
    }
}

pub(crate) fn is_blank(buf: &[u8]) -> bool {
    buf.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

impl Declared {
    /// The body's length by the headers alone; `None` when they do not say.
    pub(crate) fn length(self) -> Option<BodyLength> {
        match self {
            Self::Nothing => None,
            Self::Length(bytes) => Some(BodyLength::Known(bytes)),
            Self::Chunked => Some(BodyLength::Chunked),
        }
    }
}
