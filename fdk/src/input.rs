//! Reads calls off a stream, one message after the other.

use std::io::{self, ErrorKind, Read};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use wire::{BodyLength, Event, Limits, RequestDecoder, RequestHead};

use crate::error::{Error, Result};

/// A request's head repeats its URL among the platform's headers, so it may be twice as large as
/// the one that the server accepted from its caller; the server bounds that.
const LIMITS: Limits = Limits {
    head_bytes: 16 * Limits::HEAD_BYTES,
    target_bytes: Limits::TARGET_BYTES,
    headers: 2 * Limits::HEADERS,
    body_bytes: u64::MAX,
    interim: Limits::INTERIM,
    trailer_bytes: Limits::TRAILER_BYTES,
    leading_bytes: Limits::LEADING_BYTES,
};

/// What one read takes at most: as much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// The one reader of a stream for as long as it lives: what it has read ahead is part of the
/// stream.
#[derive(Debug)]
pub(crate) struct Input<R> {
    reader: R,
    scratch: Box<[u8]>,
    buf: BytesMut,
    decoder: RequestDecoder,
    /// How the body of the call that came last is framed, while it is unread.
    unread: Option<BodyLength>,
}

impl<R: Read> Input<R> {
    /// `reader` needs no buffer of its own.
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            buf: BytesMut::new(),
            decoder: RequestDecoder::new(LIMITS),
            unread: None,
        }
    }

    pub(crate) fn reader(&self) -> &R {
        &self.reader
    }

    /// Whether something was read that nobody has asked for yet.
    pub(crate) fn has_more(&self) -> bool {
        !self.buf.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// The head of the next request; `None` where the stream ends instead.
    pub(crate) fn head(&mut self) -> Result<Option<RequestHead>> {
        self.decoder = RequestDecoder::new(LIMITS);
        loop {
            match self.decoder.decode(&mut self.buf)? {
                Some(Event::Head(head)) => {
                    self.unread = Some(head.length);
                    return Ok(Some(head));
                }
                Some(_) => {}
                None if self.fill()? => {}
                None if self.decoder.at_boundary(&self.buf) => return Ok(None),
                None => return Err(self.decoder.eof(&self.buf).into()),
            }
        }
    }

    /// The next piece of the body, as it comes; `None` at its end.
    pub(crate) fn data(&mut self) -> Result<Option<Bytes>> {
        while self.unread.is_some() {
            match self.decoder.decode(&mut self.buf)? {
                Some(Event::Data(data)) => return Ok(Some(data)),
                Some(Event::End) => self.unread = None,
                Some(Event::Head(_)) => {}
                None if self.fill()? => {}
                None => return Err(self.decoder.eof(&self.buf).into()),
            }
        }
        Ok(None)
    }

    /// All of the body. One for which there is no memory is an error for its caller; it is read to
    /// its end all the same, so that what follows is the next call.
    pub(crate) fn body(&mut self) -> Result<Result<Bytes>> {
        let mut kept = self.gather()?;
        let mut body = Joined::default();
        while let Some(data) = self.data()? {
            kept = kept && body.push(data);
            if !kept {
                body = Joined::default();
            }
        }
        let body = kept.then(|| body.finish());
        Ok(body.ok_or_else(|| {
            let message = "the function has too little memory for this body";
            Error::public(StatusCode::PAYLOAD_TOO_LARGE, message)
        }))
    }

    /// Reads a body to its end, so that it comes in one piece and is not copied together; false
    /// where there is no memory for it.
    fn gather(&mut self) -> io::Result<bool> {
        let Some(BodyLength::Known(length)) = self.unread else {
            return Ok(true);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        while self.buf.len() < length {
            // The length is the caller's word: room only for what is likely to come.
            let likely = self.buf.len().max(READ_BYTES).saturating_mul(8);
            let more = length.min(likely) - self.buf.len();
            if !self.has_room(more) {
                return Ok(false);
            }
            self.buf.reserve(more);
            if !self.fill()? {
                break;
            }
        }
        Ok(true)
    }

    /// Whether the buffer can grow: where it cannot, it ends the process.
    fn has_room(&mut self, more: usize) -> bool {
        if self.buf.try_reclaim(more) {
            return true;
        }
        let needed = (self.buf.len() + more).max(2 * self.buf.capacity());
        let mut trial = Vec::<u8>::new();
        let had = trial.try_reserve_exact(needed).is_ok();
        // Memory that nobody looks at is never asked for.
        std::hint::black_box(&mut trial);
        had
    }

    /// Reads once; false at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        loop {
            match self.reader.read(&mut self.scratch) {
                Ok(length) => {
                    self.buf.extend_from_slice(&self.scratch[..length]);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What was read and not taken; for formats that are not HTTP.
    pub(crate) fn buf(&mut self) -> &mut BytesMut {
        &mut self.buf
    }
}

/// A body that is copied only if it comes in more than one piece.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    first: Bytes,
    joined: Vec<u8>,
}

impl Joined {
    /// False where there is no memory for it.
    pub(crate) fn push(&mut self, data: Bytes) -> bool {
        if self.first.is_empty() {
            self.first = data;
            return true;
        }
        let more = if self.joined.is_empty() {
            self.first.len() + data.len()
        } else {
            data.len()
        };
        if self.joined.try_reserve(more).is_err() {
            return false;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&data);
        true
    }

    pub(crate) fn finish(self) -> Bytes {
        if self.joined.is_empty() {
            self.first
        } else {
            self.joined.into()
        }
    }
}
