//! Writes answers.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use wire::{BodyLength, RequestHead};

use crate::call::{self, CALL_ID};
use crate::error::Result;
use crate::log::Line;
use crate::response::Framing;
use crate::stream::preferred;

/// Up to here a body is copied behind its head and both leave in one write.
const JOINED_BYTES: usize = 64 * 1024;

/// What the answer has to know of the call that waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The caller wants a head only.
    head: bool,
    /// And so does the request that brought the call.
    head_only: bool,
    id: Option<HeaderValue>,
    framing: Framing,
}

impl Asked {
    /// `wrapped`: the call came within a request of the server's own.
    pub(crate) fn by(head: &RequestHead, wrapped: bool) -> Self {
        let is_head = head.method == Method::HEAD;
        Self {
            head: is_head,
            head_only: is_head && !wrapped,
            id: call::id(&head.headers).cloned(),
            framing: preferred(&head.headers),
        }
    }

    /// How values follow one another in an answer that does not say so itself.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn id(&self) -> &str {
        let id = self.id.as_ref().and_then(|id| id.to_str().ok());
        id.unwrap_or_default()
    }

    /// Tells the log what the caller is not told.
    pub(crate) fn fault(&self, fault: &str) {
        let mut line = Line::new("ERROR", self.id(), None);
        line.field("msg", &fault);
        line.write();
    }

    /// Whether the caller gets a head and nothing else.
    pub(crate) fn is_bodiless(&self, status: StatusCode) -> bool {
        self.head || has_no_body(status)
    }
}

/// The one writer of a stream.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    buf: BytesMut,
}

impl<W: Write> Output<W> {
    pub(crate) fn writer(&self) -> &W {
        &self.writer
    }

    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer,
            buf: BytesMut::new(),
        }
    }

    /// An answer that is there as a whole.
    pub(crate) fn whole(
        &mut self,
        asked: &Asked,
        status: StatusCode,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<()> {
        sign(&mut headers, asked)?;
        let length = BodyLength::Known(body.len() as u64);
        // RFC 9112 section 6.3: the length is told and nothing sent.
        let body = if asked.head_only || has_no_body(status) {
            Bytes::new()
        } else {
            body
        };
        self.buf.clear();
        wire::encode_response_head(&mut self.buf, status, &headers, length);
        if body.len() <= JOINED_BYTES {
            self.buf.extend_from_slice(&body);
            self.writer.write_all(&self.buf)?;
        } else {
            self.writer.write_all(&self.buf)?;
            self.writer.write_all(&body)?;
        }
        Ok(self.writer.flush()?)
    }

    /// The head of an answer whose body follows in [`chunk`](Self::chunk)s. It leaves with the
    /// first of them.
    pub(crate) fn begin(
        &mut self,
        asked: &Asked,
        status: StatusCode,
        mut headers: HeaderMap,
    ) -> Result<()> {
        sign(&mut headers, asked)?;
        self.buf.clear();
        wire::encode_response_head(&mut self.buf, status, &headers, BodyLength::Chunked);
        Ok(())
    }

    /// Sends a part of the body at once.
    pub(crate) fn chunk(&mut self, data: &[u8]) -> io::Result<()> {
        wire::encode_chunk(&mut self.buf, data);
        self.push()
    }

    /// Ends a body that was sent in chunks.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        wire::encode_last_chunk(&mut self.buf);
        self.push()
    }

    /// Bytes as they are; for formats that are not HTTP.
    pub(crate) fn raw(&mut self, data: &[u8]) -> io::Result<()> {
        self.buf.extend_from_slice(data);
        self.push()
    }

    /// Sends what is left to send.
    pub(crate) fn push(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buf)?;
        self.buf.clear();
        self.writer.flush()
    }
}

fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whatever the function set here itself, the server has to see what it sent.
fn sign(headers: &mut HeaderMap, asked: &Asked) -> Result<()> {
    match asked.id.clone() {
        Some(id) => headers.try_insert(CALL_ID, id)?,
        None => headers.remove(CALL_ID),
    };
    Ok(())
}
