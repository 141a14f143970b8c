//! What stands between a connection and hyper.
//!
//! hyper makes sense of some requests on which two servers could differ: it lets a
//! transfer-encoding win over a length, or takes a bare line feed for the end of a line. Behind
//! another server that is how a request is smuggled past it. The guard shows hyper nothing but
//! requests that [`wire::RequestWatch`] has found sound: a head passes when it is complete and
//! checked, and at the first flaw hyper sees the end of the stream. Once what was in flight has been
//! answered, the guard says why and closes.
//!
//! It also keeps the connection's clocks, because it alone can tell a caller who is slow from one who
//! waits for an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use wire::{DecodeError, Limits, RequestWatch};

use super::answers::Answers;
use super::respond::{Failure, is_v1};
use crate::alarm::Alarm;

/// The slowest that a body may come on the whole, in bytes a second. Without it, a byte now and
/// then would hold a connection for ever.
const SLOWEST_BODY: u64 = 500;

/// Most headers of a request: as many as hyper has room for without an allocation.
const HEADERS: usize = 100;

/// How much a caller may still send that nobody will read, before the connection is cut. Closing
/// with bytes unread resets the connection, and a reset may overtake the answer.
const LINGER_BYTES: usize = 4 << 20;
const LINGER: Duration = Duration::from_secs(3);

/// How long a caller may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a head, from its first byte, or from the connection's start.
    pub head: Duration,
    /// For the next byte of a body; and for all of it, besides what its bytes take at their slowest.
    pub body: Duration,
    /// To take the next byte of a response.
    pub write: Duration,
    /// Between a response and the next request.
    pub idle: Duration,
}

/// What the connection waits for; each has its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Body,
    /// Answers are due, and they are ours to give.
    Call,
}

/// Where the end of a connection stands.
#[derive(Debug)]
enum Closing {
    Open,
    Refusing(Bytes),
    Ending,
    Lingering { left: usize },
    Closed,
}

#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    watch: RequestWatch,
    /// What came and could not pass at once: an unfinished head, or the line before a chunk.
    held: BytesMut,
    /// How many of the held bytes may pass by now.
    cleared: usize,
    /// Nothing passes any more.
    shut: bool,
    refusal: Option<Bytes>,
    fault: Option<io::Error>,
    answers: Arc<Answers>,
    answered: u64,
    timeouts: Timeouts,
    /// The request of which the phase is one, and the phase.
    phase: (u64, Phase),
    since: Instant,
    body_bytes: u64,
    progress: bool,
    /// How long the body was waited for, and since when it is now. A function that takes its time
    /// with what has come is no fault of the caller's.
    waited: Duration,
    asked: Option<Instant>,
    /// The body will be given up for its rate, and not for the silence since its last byte.
    slow: bool,
    read_alarm: Alarm,
    write_alarm: Alarm,
    discarded: usize,
    /// The caller may be sending still what nobody will read.
    unfinished: bool,
    closing: Closing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(super) fn new(stream: S, max_head: usize, timeouts: Timeouts) -> Self {
        let limits = Limits {
            head_bytes: max_head,
            headers: HEADERS,
            ..Limits::default()
        };
        Self {
            stream,
            watch: RequestWatch::new(limits),
            held: BytesMut::new(),
            cleared: 0,
            shut: false,
            refusal: None,
            fault: None,
            answers: Arc::default(),
            answered: 0,
            timeouts,
            // No phase is one of a request before the first.
            phase: (0, Phase::Call),
            since: Instant::now(),
            body_bytes: 0,
            progress: false,
            waited: Duration::ZERO,
            asked: None,
            slow: false,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            discarded: 0,
            unfinished: false,
            closing: Closing::Open,
        }
    }

    /// Where the service notes its answers.
    pub(super) fn answers(&self) -> Arc<Answers> {
        self.answers.clone()
    }

    fn is_over(&self) -> bool {
        self.shut || self.watch.is_over()
    }

    fn owes_answers(&self) -> bool {
        self.watch.requests() != self.answered
    }

    /// Looks at what was read into `buf` from `start` on, and leaves there what may pass.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        if let Some(asked) = self.asked.take() {
            self.waited += asked.elapsed();
        }
        let fresh = &buf.filled()[start..];
        if self.held.is_empty() {
            let sound = self.pass(fresh);
            if !self.is_over() {
                self.held.extend_from_slice(&fresh[sound..]);
            }
            buf.set_filled(start + sound);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(fresh);
            buf.set_filled(start);
            self.cleared = self.pass(&held);
            if self.is_over() {
                held.truncate(self.cleared);
            }
            self.held = held;
        }
        let unread = self.watch.in_body() || self.fault.is_some();
        self.answers.set_unread(unread);
    }

    /// How many bytes at the start of `bytes` may pass.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut sound = 0;
        while sound < bytes.len() {
            let in_body = self.watch.in_body();
            match self.watch.advance(&bytes[sound..]) {
                Ok(Some(length)) => {
                    sound += length;
                    if in_body {
                        self.body_bytes += length as u64;
                        self.progress = true;
                    } else {
                        self.body_bytes = 0;
                    }
                }
                Ok(None) => break,
                // Whoever reads the body says what is wrong with it.
                Err(error) if in_body => {
                    self.fault = Some(io::Error::new(io::ErrorKind::InvalidData, error));
                    break;
                }
                Err(error) => {
                    self.refuse(&bytes[sound..], &malformed(error));
                    break;
                }
            }
        }
        sound
    }

    fn refuse(&mut self, head: &[u8], failure: &Failure) {
        tracing::debug!(?failure, "refused a request");
        let start = head.trim_ascii_start();
        let mut words = start.splitn(3, |&byte| byte == b' ');
        let (method, target) = (words.next(), words.next());
        let v1 = target.is_some_and(is_v1);
        self.refusal = Some(failure.last_words(v1, method == Some(b"HEAD")));
        self.shut = true;
        self.unfinished = true;
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.cleared.min(buf.remaining());
        buf.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.cleared -= length;
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }

    /// Nothing passes any more: the stream ends here as soon as no answer is due. Until then
    /// somebody has to notice when the caller leaves.
    fn poll_rest(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(fault) = self.fault.take() {
            self.unfinished = true;
            return Poll::Ready(Err(fault));
        }
        let start = buf.filled().len();
        while self.owes_answers() && self.discarded < LINGER_BYTES {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            let length = buf.filled().len() - start;
            buf.set_filled(start);
            if length == 0 {
                return Poll::Ready(Ok(()));
            }
            self.discarded += length;
            self.unfinished = true;
        }
        if self.owes_answers() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Sets the clock for what is waited for, and ends the stream when it has run out.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = if self.watch.in_body() {
            Phase::Body
        } else if self.owes_answers() {
            Phase::Call
        } else if self.watch.requests() == 0 || !self.held.is_empty() {
            Phase::Head
        } else {
            Phase::Idle
        };
        let phase = (self.watch.requests(), phase);
        let begins = phase != self.phase;
        self.phase = phase;
        if begins || self.progress {
            self.progress = false;
            self.set_clock(begins);
        }
        ready!(self.read_alarm.poll(cx));
        self.shut = true;
        match phase.1 {
            Phase::Body => Poll::Ready(Err(self.stalled())),
            Phase::Head if !self.held.is_empty() => {
                let head = std::mem::take(&mut self.held);
                self.refuse(&head, &Failure::HeadStalled(self.timeouts.head));
                Poll::Ready(Ok(()))
            }
            Phase::Head | Phase::Idle | Phase::Call => Poll::Ready(Ok(())),
        }
    }

    fn set_clock(&mut self, begins: bool) {
        let times = self.timeouts;
        if self.phase.1 == Phase::Call {
            self.read_alarm.set(None);
            return;
        }
        let now = Instant::now();
        if begins {
            self.since = now;
        }
        let at = match self.phase.1 {
            Phase::Idle | Phase::Call => now + times.idle,
            Phase::Head => self.since + times.head,
            Phase::Body => {
                if begins {
                    self.waited = Duration::ZERO;
                }
                self.asked = Some(now);
                let earned = self.body_bytes.saturating_mul(1000) / SLOWEST_BODY;
                let whole = times.body + Duration::from_millis(earned);
                let left = if self.answers.is_unhurried(self.phase.0) {
                    times.body
                } else {
                    whole.saturating_sub(self.waited)
                };
                self.slow = left < times.body;
                now + left.min(times.body)
            }
        };
        self.read_alarm.set(Some(at));
    }

    fn stalled(&self) -> io::Error {
        let text = if self.slow {
            format!("the request body came at less than {SLOWEST_BODY} bytes a second")
        } else {
            format!(
                "no byte of the request body within {:?}",
                self.timeouts.body
            )
        };
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// Whether the caller takes anything, given what became of a write.
    fn poll_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_alarm.set(None);
            return written;
        }
        if !self.write_alarm.is_set() {
            self.write_alarm
                .set(Some(Instant::now() + self.timeouts.write));
        }
        ready!(self.write_alarm.poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the caller does not take the response",
        )))
    }

    fn poll_refuse(&mut self, cx: &mut Context<'_>, words: &mut Bytes) -> Poll<io::Result<()>> {
        while !words.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, words);
            let length = ready!(self.poll_stalled(cx, written))?;
            words.advance(length);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        let mut scratch = [0; 4096];
        while *left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    *left = left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => return self.read_alarm.poll(cx),
            }
        }
        Poll::Ready(())
    }
}

fn malformed(error: DecodeError) -> Failure {
    match error {
        DecodeError::HeadTooLarge { limit } => Failure::HeadTooLarge { limit },
        DecodeError::TargetTooLong { limit } => Failure::TargetTooLong { limit },
        DecodeError::TooManyHeaders { limit } => Failure::TooManyHeaders { limit },
        other => Failure::Malformed(other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.cleared > 0 {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            if this.is_over() {
                return this.poll_rest(cx, buf);
            }
            let start = buf.filled().len();
            if Pin::new(&mut this.stream).poll_read(cx, buf)?.is_pending() {
                return this.poll_overdue(cx);
            }
            if buf.filled().len() == start {
                return Poll::Ready(Ok(()));
            }
            this.inspect(buf, start);
            if buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.poll_stalled(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.poll_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has handed over all it had: what was answered before has left then.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        ready!(this.poll_stalled(cx, flushed))?;
        let answered = this.answers.count();
        if answered != this.answered {
            this.answered = answered;
            // hyper does not read again by itself, so the next clock has to be set here.
            if this.is_over() || this.poll_overdue(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.closing = match std::mem::replace(&mut this.closing, Closing::Closed) {
                Closing::Open => match this.refusal.take() {
                    Some(words) if !this.answers.said_last() => Closing::Refusing(words),
                    _ => Closing::Ending,
                },
                Closing::Refusing(mut words) => {
                    let done = this.poll_refuse(cx, &mut words)?;
                    if done.is_pending() {
                        this.closing = Closing::Refusing(words);
                        return Poll::Pending;
                    }
                    Closing::Ending
                }
                Closing::Ending => {
                    if Pin::new(&mut this.stream).poll_shutdown(cx)?.is_pending() {
                        this.closing = Closing::Ending;
                        return Poll::Pending;
                    }
                    if !this.unfinished && !this.watch.in_body() {
                        return Poll::Ready(Ok(()));
                    }
                    this.read_alarm.set(Some(Instant::now() + LINGER));
                    Closing::Lingering { left: LINGER_BYTES }
                }
                Closing::Lingering { mut left } => {
                    if this.poll_linger(cx, &mut left).is_pending() {
                        this.closing = Closing::Lingering { left };
                        return Poll::Pending;
                    }
                    Closing::Closed
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            };
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
