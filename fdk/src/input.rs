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
        let have = self.buf.len() as u64;
        if let Some(BodyLength::Known(length)) = self.unread {
            if length > have {
                return self.long_body(length);
            }
        }
        let mut body = Joined::default();
        let mut kept = true;
        while let Some(data) = self.data()? {
            kept = kept && body.push(data);
            if !kept {
                body = Joined::default();
            }
        }
        Ok(body_or_refusal(kept.then(|| body.finish())))
    }

    /// A body of which more is to come: in one piece, so that it is not copied together.
    fn long_body(&mut self, length: u64) -> Result<Result<Bytes>> {
        let mut left = length - self.buf.len() as u64;
        let mut body = Vec::new();
        let mut kept = keep(&mut body, &self.buf, length);
        self.buf.clear();
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            let read = self.read(most)?;
            if read == 0 {
                return Err(self.decoder.eof(&self.buf).into());
            }
            left -= read as u64;
            kept = kept && keep(&mut body, &self.scratch[..read], length);
            if !kept {
                body = Vec::new();
            }
        }
        self.unread = None;
        Ok(body_or_refusal(kept.then(|| body.into())))
    }

    /// Reads once; false at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        let length = self.read(READ_BYTES)?;
        self.buf.extend_from_slice(&self.scratch[..length]);
        Ok(length > 0)
    }

    /// Reads so many bytes at most.
    fn read(&mut self, most: usize) -> io::Result<usize> {
        loop {
            match self.reader.read(&mut self.scratch[..most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// What was read and not taken; for formats that are not HTTP.
    pub(crate) fn buf(&mut self) -> &mut BytesMut {
        &mut self.buf
    }
}

/// Adds to a body that is to have `length`; false where there is no memory for it.
fn keep(body: &mut Vec<u8>, data: &[u8], length: u64) -> bool {
    let needed = body.len() + data.len();
    if needed > body.capacity() {
        // The length is the caller's word: room only for what is likely to come.
        let likely = needed.max(READ_BYTES).saturating_mul(8);
        let room = usize::try_from(length).unwrap_or(usize::MAX).min(likely);
        if body.try_reserve_exact(room - body.len()).is_err() {
            return false;
        }
    }
    body.extend_from_slice(data);
    true
}

fn body_or_refusal(body: Option<Bytes>) -> Result<Bytes> {
    body.ok_or_else(|| {
        let message = "the function has too little memory for this body";
        Error::public(StatusCode::PAYLOAD_TOO_LARGE, message)
    })
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
