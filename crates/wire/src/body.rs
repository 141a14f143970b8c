//! Bodies: by length, or in chunks (RFC 9112 section 7.1).

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Cut, DecodeError, seen};
use crate::head::{BodyLength, check_trailers};
use crate::limits::Limits;
use crate::scan::{BlockScan, Flaw, is_control};

/// The longest chunk size line. Extensions are dropped, so they need no more room than this.
const CHUNK_LINE_BYTES: usize = 256;

/// One step of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    End,
}

/// What the bytes at hand start with: so many of the body itself, so many that frame it, something
/// that needs more bytes, or nothing more of this body.
#[derive(Debug)]
pub(crate) enum Step {
    Data(usize),
    Framing(usize),
    More,
    End,
}

/// Where a body stands.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    have: u64,
    want: Option<u64>,
}

#[derive(Debug)]
enum State {
    Fixed { left: u64 },
    ChunkSize,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailers(BlockScan),
}

impl Body {
    pub(crate) fn new(length: BodyLength) -> Self {
        let (state, want) = match length {
            BodyLength::Empty => (State::Fixed { left: 0 }, Some(0)),
            BodyLength::Known(left) => (State::Fixed { left }, Some(left)),
            BodyLength::Chunked => (State::ChunkSize, None),
        };
        Self {
            state,
            have: 0,
            want,
        }
    }

    pub(crate) fn decode(
        &mut self,
        buf: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Piece>, DecodeError> {
        loop {
            match self.step(buf, limits)? {
                Step::Data(length) => return Ok(Some(Piece::Data(buf.split_to(length).freeze()))),
                Step::Framing(length) => buf.advance(length),
                Step::More => return Ok(None),
                Step::End => return Ok(Some(Piece::End)),
            }
        }
    }

    /// What the start of `buf` is. The next call must start behind it, or with the same bytes and
    /// more of them after [`Step::More`].
    pub(crate) fn step(&mut self, buf: &[u8], limits: &Limits) -> Result<Step, DecodeError> {
        loop {
            match &mut self.state {
                State::Fixed { left: 0 } => return Ok(Step::End),
                State::ChunkData { left: 0 } => self.state = State::ChunkEnd,
                State::Fixed { left } | State::ChunkData { left } => {
                    return Ok(take(buf, left, &mut self.have));
                }
                State::ChunkSize => {
                    let Some((size, line)) = chunk_size(buf)? else {
                        return Ok(Step::More);
                    };
                    if size > limits.body_bytes - self.have {
                        return Err(DecodeError::BodyTooLarge {
                            limit: limits.body_bytes,
                        });
                    }
                    self.state = match size {
                        0 => State::Trailers(BlockScan::default()),
                        left => State::ChunkData { left },
                    };
                    return Ok(Step::Framing(line));
                }
                State::ChunkEnd => match (buf.first(), buf.get(1)) {
                    (Some(b'\r'), Some(b'\n')) => {
                        self.state = State::ChunkSize;
                        return Ok(Step::Framing(2));
                    }
                    (None, _) | (Some(b'\r'), None) => return Ok(Step::More),
                    _ => return Err(bad("more data than the chunk's size", buf)),
                },
                State::Trailers(scan) => {
                    let Some((end, lines)) = trailer_end(scan, buf, limits)? else {
                        return Ok(Step::More);
                    };
                    if lines > 0 {
                        check_trailers(&buf[..end], lines, limits.headers)?;
                    }
                    self.state = State::Fixed { left: 0 };
                    return Ok(Step::Framing(end));
                }
            }
        }
    }

    /// Whether nothing of it is to come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Fixed { left: 0 })
    }

    /// Where the stream was cut if it ends with what is in `buf`.
    pub(crate) fn cut(&self, buf: &BytesMut) -> Cut {
        let unread = match self.state {
            State::Fixed { left } | State::ChunkData { left } => left.min(buf.len() as u64),
            State::ChunkSize | State::ChunkEnd | State::Trailers(_) => 0,
        };
        Cut::Body {
            have: self.have + unread,
            want: self.want,
        }
    }
}

fn take(buf: &[u8], left: &mut u64, have: &mut u64) -> Step {
    if buf.is_empty() {
        return Step::More;
    }
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
    *left -= length as u64;
    *have += length as u64;
    Step::Data(length)
}

/// The size that a chunk declares and the length of the line that says so.
///
/// RFC 9112 section 7.1.1 has recipients ignore extensions they do not know. A line feed within one
/// has split messages before, so it is refused like any other control character.
fn chunk_size(buf: &[u8]) -> Result<Option<(u64, usize)>, DecodeError> {
    let line = &buf[..buf.len().min(CHUNK_LINE_BYTES)];
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let mut size: u64 = 0;
    for &digit in &line[..digits] {
        let digit = char::from(digit).to_digit(16).map_or(0, u64::from);
        size = size
            .checked_mul(16)
            .map(|size| size | digit)
            .ok_or_else(|| bad("size too large", line))?;
    }
    let Some(&next) = line.get(digits) else {
        return unfinished(line);
    };
    if digits == 0 {
        return Err(bad("no size", line));
    }
    let mut end = digits;
    if next != b'\r' {
        // Bad whitespace may stand before the semicolon, but only there (RFC 9112 section 7.1.1).
        end += line[end..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        match line.get(end) {
            None => return unfinished(line),
            Some(b';') => {}
            Some(_) => return Err(bad("invalid size", line)),
        }
        end += line[end..]
            .iter()
            .take_while(|&&byte| !is_control(byte))
            .count();
    }
    match (line.get(end), line.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some((size, end + 2))),
        (None, _) | (Some(b'\r'), None) => unfinished(line),
        (Some(b'\r'), Some(_)) => Err(bad("bare carriage return", line)),
        (Some(b'\n'), _) => Err(bad("bare line feed", line)),
        _ => Err(bad("control character", line)),
    }
}

fn unfinished<T>(line: &[u8]) -> Result<Option<T>, DecodeError> {
    if line.len() < CHUNK_LINE_BYTES {
        Ok(None)
    } else {
        Err(bad("size line too long", line))
    }
}

fn trailer_end(
    scan: &mut BlockScan,
    buf: &[u8],
    limits: &Limits,
) -> Result<Option<(usize, usize)>, DecodeError> {
    scan.find_end(buf, limits.trailer_bytes)
        .map_err(|flaw| match flaw {
            Flaw::Bad(detail) => bad(detail, buf),
            Flaw::TooLong => DecodeError::TrailersTooLarge {
                limit: limits.trailer_bytes,
            },
        })
}

fn bad(detail: &'static str, bytes: &[u8]) -> DecodeError {
    DecodeError::BadChunk {
        detail,
        seen: seen(bytes),
    }
}
