//! The framing alone, for those who bring their own framework.
//!
//! ```no_run
//! use fdk::raw::Conn;
//! use fdk::{Response, StatusCode};
//!
//! let mut conn = Conn::stdio()?;
//! while let Some(call) = conn.next_call()? {
//!     conn.respond(Response::new(StatusCode::OK).body(call.body().clone()))?;
//! }
//! # Ok::<(), fdk::Error>(())
//! ```

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use wire::{BodyLength, Event, Limits, RequestDecoder, RequestHead};

use crate::call::Call;
use crate::error::{Error, Result};
use crate::response::Response;
use crate::stdio;

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

/// Up to here a body is copied behind its head and both leave in one write.
const JOINED_BYTES: usize = 64 * 1024;

/// The server compares it with the id it gave to the call.
const CALL_ID: HeaderName = HeaderName::from_static("fn-call-id");

/// Calls in, answers out, strictly in turn.
#[derive(Debug)]
pub struct Conn<R, W> {
    reader: R,
    writer: W,
    scratch: Box<[u8]>,
    input: BytesMut,
    output: BytesMut,
    open: Option<Open>,
}

/// What the answer has to know of the call that waits for it.
#[derive(Debug)]
struct Open {
    head_only: bool,
    id: Option<HeaderValue>,
}

impl Conn<File, File> {
    /// Takes over the stdin and stdout of this process: from here on, what is printed goes to
    /// stderr and stdin is empty.
    ///
    /// # Errors
    ///
    /// The process was started without stdin, stdout or stderr.
    pub fn stdio() -> Result<Self> {
        let (requests, responses) = stdio::take()?;
        Ok(Self::new(requests, responses))
    }
}

impl<R: Read, W: Write> Conn<R, W> {
    /// Calls from `reader`, answers to `writer`. Neither needs a buffer of its own.
    pub fn new(reader: R, writer: W) -> Self {
        Self {
            reader,
            writer,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            open: None,
        }
    }

    /// Waits for the next call with its whole body; `None` once the server is done with us.
    ///
    /// # Errors
    ///
    /// The stream breaks off or holds something other than requests, or the last call has not been
    /// answered. No further call can be read.
    pub fn next_call(&mut self) -> Result<Option<Call>> {
        if self.open.is_some() {
            return Err(Error::msg("the last call has no answer yet"));
        }
        let mut decoder = RequestDecoder::new(LIMITS);
        let mut head: Option<RequestHead> = None;
        let mut body = Body::default();
        loop {
            match decoder.decode(&mut self.input)? {
                Some(Event::Head(read)) => {
                    self.gather(read.length)?;
                    head = Some(read);
                }
                Some(Event::Data(data)) => body.push(data),
                Some(Event::End) => break,
                None if self.fill()? => {}
                None if decoder.at_boundary(&self.input) => return Ok(None),
                None => return Err(decoder.eof(&self.input).into()),
            }
        }
        let head = head.expect("a decoder yields a head before the end");
        let head_only = head.method == Method::HEAD;
        let call = Call::new(head, body.finish());
        self.open = Some(Open {
            head_only,
            id: call.id_value().cloned(),
        });
        Ok(Some(call))
    }

    /// Answers the call that came last.
    ///
    /// # Errors
    ///
    /// Nobody reads the answer any more, or no call waits for one.
    pub fn respond(&mut self, mut response: Response) -> Result<()> {
        let open = self
            .open
            .take()
            .ok_or_else(|| Error::msg("no call waits for an answer"))?;
        if let Some(fault) = &response.fault {
            log(open.id.as_ref(), fault);
        }
        // Whatever the function set here itself, the server has to see what it sent.
        response.headers.remove(CALL_ID);
        if let Some(id) = open.id {
            response.headers.try_insert(CALL_ID, id)?;
        }
        // RFC 9112 section 6.3: to HEAD the length is told but nothing sent.
        let bodiless = open.head_only
            || matches!(
                response.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let length = BodyLength::Known(response.body.len() as u64);
        let body = if bodiless {
            Bytes::new()
        } else {
            response.body
        };
        self.output.clear();
        wire::encode_response_head(&mut self.output, response.status, &response.headers, length);
        if body.len() <= JOINED_BYTES {
            self.output.extend_from_slice(&body);
            self.writer.write_all(&self.output)?;
        } else {
            self.writer.write_all(&self.output)?;
            self.writer.write_all(&body)?;
        }
        Ok(self.writer.flush()?)
    }

    /// Reads a body to its end, so that it comes in one piece and is not copied together.
    fn gather(&mut self, length: BodyLength) -> io::Result<()> {
        let BodyLength::Known(length) = length else {
            return Ok(());
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        while self.input.len() < length {
            // Room only for what is sure to come: the length is the caller's word.
            let likely = self.input.len().max(READ_BYTES).saturating_mul(8);
            self.input
                .reserve(length.min(likely) - self.input.len().min(length));
            if !self.fill()? {
                break;
            }
        }
        Ok(())
    }

    /// Reads once; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        loop {
            match self.reader.read(&mut self.scratch) {
                Ok(length) => {
                    self.input.extend_from_slice(&self.scratch[..length]);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A body that is copied only if it comes in more than one piece.
#[derive(Debug, Default)]
struct Body {
    first: Bytes,
    joined: Vec<u8>,
}

impl Body {
    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&data);
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() {
            self.first
        } else {
            self.joined.into()
        }
    }
}

/// Stderr is the log; if nobody reads it there is nobody to tell.
fn log(id: Option<&HeaderValue>, fault: &str) {
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or("without id");
    let _ = writeln!(io::stderr(), "call {id}: {fault}");
}
