//! `format: http`: HTTP/1.1 with Content-Length over stdin and stdout.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use wire::{BodyLength, DecodeError, Event, Limits, ResponseDecoder};

use super::call::{CallRequest, ExchangeError, ExchangeLimits, RequestBody, ResponseHead};
use super::exchange::Exchange;
use super::io::{READ_MAX, READ_MIN, Writer, poll_read};
use crate::model::{CallId, Timestamp};
use crate::pool::Lane;

/// An HTTP request out, an HTTP response in.
pub(super) struct HttpExchange {
    id: CallId,
    /// Room that a long body needs in the pipe; asked for once.
    room: u64,
    writer: Writer,
    decoder: ResponseDecoder,
    /// How much to read at once.
    wanted: usize,
}

impl HttpExchange {
    pub(super) fn new(
        request: &mut CallRequest,
        deadline: Timestamp,
        limits: &ExchangeLimits,
    ) -> Self {
        let mut headers = request.headers.clone();
        // Set last, so that no caller can forge them.
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
        let (method, target) = (request.method.clone(), request.target.clone());
        Self::with_head(&method, &target, &headers, request, limits)
    }

    /// With another start line and other headers than the caller's.
    pub(super) fn with_head(
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        request: &mut CallRequest,
        limits: &ExchangeLimits,
    ) -> Self {
        let (body, length, room) = match &mut request.body {
            RequestBody::Whole(body) => {
                let length = body.len() as u64;
                let body = RequestBody::Whole(body.clone());
                (body, BodyLength::Known(length), length)
            }
            stream @ RequestBody::Stream(_) => {
                (std::mem::take(stream), BodyLength::Chunked, READ_MAX as u64)
            }
        };
        let mut head = BytesMut::with_capacity(1024);
        wire::encode_request_head(&mut head, method, target, headers, length);
        let limits = Limits {
            head_bytes: limits.head_bytes,
            body_bytes: limits.stream_bytes,
            ..Limits::default()
        };
        Self {
            id: request.id,
            room,
            writer: Writer::new(head.freeze(), body),
            decoder: ResponseDecoder::new(limits, *method == Method::HEAD),
            wanted: READ_MIN,
        }
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<Event<wire::ResponseHead>, ExchangeError>> {
        loop {
            self.writer.poll(cx, &mut lane.stdin)?;
            if let Some(event) = self.decoder.decode(&mut lane.inbox).map_err(malformed)? {
                return Poll::Ready(Ok(event));
            }
            if ready!(poll_read(cx, lane, self.wanted))? == 0 {
                let end = self.decoder.eof(&lane.inbox);
                return Poll::Ready(Err(ExchangeError::Ended {
                    started: self.decoder.started(),
                    unread: self.writer.is_unread(&lane.stdin),
                    detail: end.to_string(),
                    summary: end.summary(),
                }));
            }
        }
    }
}

impl Exchange for HttpExchange {
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        lane.stdin.make_room(std::mem::take(&mut self.room));
        loop {
            let Event::Head(mut head) = ready!(self.poll_event(cx, lane))? else {
                // The decoder gives the head first.
                continue;
            };
            check_echo(lane, self.id, &mut head.headers)?;
            let length = match head.length {
                BodyLength::Empty => Some(0),
                BodyLength::Known(length) => Some(length),
                BodyLength::Chunked => None,
            };
            if let Some(length) = length {
                lane.stdout.make_room(length);
            }
            let piece = length.map_or(READ_MAX, |n| usize::try_from(n).unwrap_or(READ_MAX));
            self.wanted = piece.clamp(READ_MIN, READ_MAX);
            return Poll::Ready(Ok(ResponseHead {
                status: head.status,
                headers: head.headers,
                length,
            }));
        }
    }

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<Option<Bytes>, ExchangeError>> {
        loop {
            match ready!(self.poll_event(cx, lane))? {
                Event::Head(_) => {}
                Event::Data(data) => return Poll::Ready(Ok(Some(data))),
                Event::End => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn is_clean(&self, lane: &mut Lane) -> bool {
        self.writer.is_read(lane)
    }
}

/// A function that names the call it answers proves that nothing got out of step. One that did
/// so once has to do so always.
fn check_echo(lane: &mut Lane, id: CallId, headers: &mut HeaderMap) -> Result<(), ExchangeError> {
    const ECHO: HeaderName = HeaderName::from_static("fn-call-id");
    let echoes = headers.get_all(&ECHO).iter().count();
    match headers.remove(&ECHO) {
        Some(echo) if echoes == 1 && echo == id.to_string().as_str() => {
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
