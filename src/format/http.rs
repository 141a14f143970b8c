//! `format: http`: HTTP/1.1 with Content-Length over stdin and stdout.

use std::io::IoSlice;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::io::ReadBuf;
use wire::{BodyLength, DecodeError, Event, Limits, ResponseDecoder, ResponseHead};

use super::call::{Answer, CallRequest, CallResponse, ExchangeError, ExchangeLimits};
use crate::model::Timestamp;
use crate::pool::Lane;

/// Read in pieces of at least this many bytes; a small response takes one.
const READ_MIN: usize = 8 << 10;
/// Read in pieces of at most this many bytes, when a body is known to be long.
const READ_MAX: u64 = 256 << 10;

/// Puts one call to the function behind `lane` and reads its response.
///
/// Not cancel-safe: a lane whose exchange was dropped must be killed.
pub async fn exchange(
    lane: &mut Lane,
    request: &CallRequest,
    deadline: Timestamp,
    limits: &ExchangeLimits,
) -> Result<Answer, ExchangeError> {
    let mut exchange = Exchange {
        head: encode(request, deadline),
        body: &request.body,
        written: 0,
        writing: Writing::Open,
        decoder: ResponseDecoder::new(wire_limits(limits), request.method == Method::HEAD),
        response: None,
        content: BytesMut::new(),
        wanted: READ_MIN,
    };
    lane.stdin.make_room(request.body.len() as u64);
    std::future::poll_fn(|cx| exchange.poll(cx, lane)).await?;
    exchange.finish(lane, request)
}

fn wire_limits(limits: &ExchangeLimits) -> Limits {
    Limits {
        head_bytes: limits.response_head_bytes,
        body_bytes: limits.response_body_bytes,
        ..Limits::default()
    }
}

/// The request as the function reads it. The four `Fn_` headers are set last, so that no caller
/// can forge them.
fn encode(request: &CallRequest, deadline: Timestamp) -> Bytes {
    let mut headers = request.headers.clone();
    let platform = [
        ("fn_call_id", request.id.to_string()),
        ("fn_deadline", deadline.to_string()),
        ("fn_method", request.method.to_string()),
        ("fn_request_url", request.url.clone()),
    ];
    for (name, value) in platform {
        // The URL was parsed by the gateway, the others are ASCII by construction.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let mut head = BytesMut::with_capacity(1024);
    let length = BodyLength::Known(request.body.len() as u64);
    wire::encode_request_head(
        &mut head,
        &request.method,
        &request.target,
        &headers,
        length,
    );
    head.freeze()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    Done,
    /// The function closed its stdin; it may still answer.
    Refused,
}

struct Exchange<'a> {
    head: Bytes,
    body: &'a Bytes,
    /// Bytes of head and body that the function's stdin has taken.
    written: usize,
    writing: Writing,
    decoder: ResponseDecoder,
    response: Option<ResponseHead>,
    content: BytesMut,
    /// How much to read at once.
    wanted: usize,
}

impl Exchange<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, lane: &mut Lane) -> Poll<Result<(), ExchangeError>> {
        loop {
            self.write(cx, lane);
            while let Some(event) = self.decoder.decode(&mut lane.inbox).map_err(malformed)? {
                match event {
                    Event::Head(head) => self.begin(lane, head),
                    Event::Data(data) => self.content.extend_from_slice(&data),
                    Event::End => return Poll::Ready(Ok(())),
                }
            }
            ready!(self.read(cx, lane))?;
        }
    }

    /// Writes what stdin takes now. An error is no reason to fail: the function may have
    /// answered already, without reading everything.
    fn write(&mut self, cx: &mut Context<'_>, lane: &mut Lane) {
        while self.writing == Writing::Open {
            let head = self.head.get(self.written..).unwrap_or_default();
            let body_from = self.written.saturating_sub(self.head.len());
            let parts = [IoSlice::new(head), IoSlice::new(&self.body[body_from..])];
            let written = if self.written == self.head.len() + self.body.len() {
                lane.stdin.poll_flush(cx).map_ok(|()| None)
            } else {
                lane.stdin.poll_write(cx, &parts).map_ok(Some)
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(None)) => self.writing = Writing::Done,
                Poll::Ready(Ok(Some(n @ 1..))) => self.written += n,
                Poll::Ready(Ok(Some(0)) | Err(_)) => self.writing = Writing::Refused,
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, lane: &mut Lane) -> Poll<Result<(), ExchangeError>> {
        let filled = lane.inbox.len();
        lane.inbox.resize(filled + self.wanted, 0);
        let mut buf = ReadBuf::new(&mut lane.inbox[filled..]);
        let polled = lane.stdout.poll_read(cx, &mut buf);
        let read = buf.filled().len();
        lane.inbox.truncate(filled + read);
        match ready!(polled) {
            Err(error) => Poll::Ready(Err(ExchangeError::Io(error))),
            Ok(()) if read == 0 => Poll::Ready(Err(ExchangeError::Ended {
                started: self.decoder.started(),
                unread: self.is_unread(lane),
                error: self.decoder.eof(&lane.inbox),
            })),
            Ok(()) => Poll::Ready(Ok(())),
        }
    }

    /// Whether all that was written is still in the pipe.
    fn is_unread(&self, lane: &Lane) -> bool {
        self.written == 0 || lane.stdin.unread() == Some(self.written as u64)
    }

    fn begin(&mut self, lane: &Lane, head: ResponseHead) {
        if let BodyLength::Known(length) = head.length {
            lane.stdout.make_room(length);
            let piece = length.clamp(READ_MIN as u64, READ_MAX);
            self.wanted = usize::try_from(piece).unwrap_or(READ_MIN);
        }
        self.response = Some(head);
    }

    fn finish(self, lane: &mut Lane, request: &CallRequest) -> Result<Answer, ExchangeError> {
        let Some(ResponseHead {
            status,
            mut headers,
            ..
        }) = self.response
        else {
            // The decoder ends a message only after its head.
            return Err(ExchangeError::Io(std::io::ErrorKind::InvalidData.into()));
        };
        check_echo(lane, request, &mut headers)?;
        // A body that is left in the pipe would be taken for the next request.
        let read = self.body.is_empty() || lane.stdin.unread().is_none_or(|bytes| bytes == 0);
        let clean = self.writing == Writing::Done && read;
        let response = CallResponse {
            status,
            headers,
            body: self.content.freeze(),
        };
        Ok(Answer { response, clean })
    }
}

/// A function that names the call it answers proves that nothing got out of step. One that did
/// so once has to do so always.
fn check_echo(
    lane: &mut Lane,
    request: &CallRequest,
    headers: &mut HeaderMap,
) -> Result<(), ExchangeError> {
    const ECHO: HeaderName = HeaderName::from_static("fn-call-id");
    match headers.remove(ECHO) {
        Some(echo) if echo == request.id.to_string().as_str() => {
            lane.echoes = true;
            Ok(())
        }
        None if !lane.echoes => Ok(()),
        other => {
            let found = other.map_or_else(String::new, |v| v.as_bytes().escape_ascii().to_string());
            Err(ExchangeError::WrongCall { found })
        }
    }
}

fn malformed(error: DecodeError) -> ExchangeError {
    match error {
        DecodeError::BodyTooLarge { limit } => ExchangeError::TooLarge { limit },
        other => ExchangeError::Malformed(other),
    }
}
