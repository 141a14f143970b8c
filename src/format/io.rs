//! What all formats do: write a request, and read into the lane's one buffer.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::call::{ExchangeError, RequestBody};
use crate::launcher::Stdin;
use crate::pool::Lane;

/// Read in pieces of at least this many bytes; a small response takes one.
pub(super) const READ_MIN: usize = 8 << 10;
/// Read in pieces of at most this many bytes, when a body is known to be long.
pub(super) const READ_MAX: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Everything was written.
    Done,
    /// The function closed its end; it may still answer.
    Refused,
}

/// A request on its way to a function.
pub(super) struct Writer {
    /// What is to be written next, in this order.
    parts: [Bytes; 3],
    /// Where more comes from, to be written in chunks.
    more: RequestBody,
    has_body: bool,
    /// End of file follows.
    closing: bool,
    written: u64,
    state: State,
}

impl Writer {
    /// Writes `head`, then `body`; a streamed one in chunks.
    pub(super) fn new(head: Bytes, body: RequestBody) -> Self {
        let (first, more) = match body {
            RequestBody::Whole(body) => (body, RequestBody::default()),
            more @ RequestBody::Stream(_) => (Bytes::new(), more),
        };
        Self {
            has_body: !first.is_empty() || matches!(more, RequestBody::Stream(_)),
            parts: [head, first, Bytes::new()],
            more,
            closing: false,
            written: 0,
            state: State::Open,
        }
    }

    /// And closes stdin at the end.
    pub(super) fn closing(mut self) -> Self {
        self.closing = true;
        self
    }

    /// Writes what the function takes now. An error of its is no reason to fail: it may have
    /// answered already, without reading everything.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stdin: &mut Stdin,
    ) -> Result<(), ExchangeError> {
        while self.state == State::Open {
            if self.parts.iter().all(Bytes::is_empty) {
                match self.refill(cx)? {
                    Refill::More => continue,
                    Refill::Later => {
                        // What was written so far should not wait for the rest.
                        let _ = stdin.poll_flush(cx);
                        return Ok(());
                    }
                    Refill::End => match self.poll_end(cx, stdin) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(state) => self.state = state,
                    },
                }
                continue;
            }
            let slices = self.parts.each_ref().map(|part| IoSlice::new(part));
            match stdin.poll_write(cx, &slices) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(n @ 1..)) => self.advance(n),
                Poll::Ready(Ok(0) | Err(_)) => self.state = State::Refused,
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut n: usize) {
        self.written += n as u64;
        for part in &mut self.parts {
            let taken = n.min(part.len());
            let _ = part.split_to(taken);
            n -= taken;
        }
    }

    fn refill(&mut self, cx: &mut Context<'_>) -> Result<Refill, ExchangeError> {
        const CRLF: Bytes = Bytes::from_static(b"\r\n");
        const LAST: Bytes = Bytes::from_static(b"0\r\n\r\n");

        let RequestBody::Stream(stream) = &mut self.more else {
            return Ok(Refill::End);
        };
        match stream.as_mut().poll_next(cx) {
            Poll::Pending => return Ok(Refill::Later),
            Poll::Ready(Some(Err(error))) => return Err(ExchangeError::CallerLeft(error)),
            Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
            Poll::Ready(Some(Ok(data))) => {
                let size = Bytes::from(format!("{:x}\r\n", data.len()));
                self.parts = [size, data, CRLF];
            }
            Poll::Ready(None) => {
                self.parts[0] = LAST;
                self.more = RequestBody::default();
            }
        }
        Ok(Refill::More)
    }

    fn poll_end(&self, cx: &mut Context<'_>, stdin: &mut Stdin) -> Poll<State> {
        if std::task::ready!(stdin.poll_flush(cx)).is_err() {
            return Poll::Ready(State::Refused);
        }
        if self.closing {
            std::task::ready!(stdin.poll_close(cx));
        }
        Poll::Ready(State::Done)
    }

    /// Whether the function has not read a byte; `None` where nobody can tell.
    pub(super) fn is_unread(&self, stdin: &Stdin) -> Option<bool> {
        if self.written == 0 {
            return Some(true);
        }
        stdin.unread().map(|bytes| bytes == self.written)
    }

    /// Whether everything was written.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the function has read everything: what is left would be taken for the next request.
    ///
    /// Where nobody can tell, a function that names the calls it answers will give itself away. One
    /// that does not could be made to answer a request that hides in another's body.
    pub(super) fn is_read(&self, lane: &Lane) -> bool {
        let read = match lane.stdin.unread() {
            Some(bytes) => bytes == 0,
            None => lane.echoes || !self.has_body,
        };
        self.is_done() && read
    }
}

enum Refill {
    /// There is something to write, or may be.
    More,
    /// Nothing now; the task is woken when there is.
    Later,
    /// All was written.
    End,
}

/// Reads what is there, at most `wanted` bytes more or less; 0 at the end.
pub(super) fn poll_read(
    cx: &mut Context<'_>,
    lane: &mut Lane,
    wanted: usize,
) -> Poll<Result<usize, ExchangeError>> {
    let inbox: &mut BytesMut = &mut lane.inbox;
    inbox.reserve(wanted);
    tokio_util::io::poll_read_buf(Pin::new(&mut lane.stdout), cx, inbox).map_err(ExchangeError::Io)
}

/// The one piece of a body that was read whole, and then its end.
pub(super) fn poll_whole(body: &mut Bytes) -> Poll<Result<Option<Bytes>, ExchangeError>> {
    let body = std::mem::take(body);
    Poll::Ready(Ok((!body.is_empty()).then_some(body)))
}
