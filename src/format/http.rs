//! `format: http`: HTTP/1.1 with Content-Length over stdin and stdout.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method};
use wire::{BodyLength, DecodeError, Event, Limits, ResponseDecoder};

use super::call::{CallRequest, ExchangeError, ExchangeLimits, RequestBody, ResponseHead};
use super::exchange::Exchange;
use super::io::{READ_MAX, READ_MIN, Writer, poll_read};
use crate::model::{CallId, Timestamp};
use crate::pool::Lane;

/// Room for most heads at once.
pub(super) const HEAD_BYTES: usize = 1024;

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
        let mut id = [0; 26];
        let id = request.id.write(&mut id);
        let deadline = deadline.to_string();
        // They win over the caller's, so that nobody can forge them.
        let own = [
            ("fn_call_id", id),
            ("fn_deadline", &deadline),
            ("fn_method", request.method.as_str()),
            ("fn_request_url", &request.url),
        ];
        let length = body_length(&request.body);
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        let (method, target) = (&request.method, &request.target);
        wire::encode_request_head(&mut head, method, target, &request.headers, &own, length);
        let to_head = *method == Method::HEAD;
        Self::with_head(head, to_head, request, limits)
    }

    /// With another head than the caller's; `to_head` if it asks for a head only.
    pub(super) fn with_head(
        head: BytesMut,
        to_head: bool,
        request: &mut CallRequest,
        limits: &ExchangeLimits,
    ) -> Self {
        let (body, room) = match &mut request.body {
            RequestBody::Whole(body) => (RequestBody::Whole(body.clone()), body.len() as u64),
            stream @ RequestBody::Stream(_) => (std::mem::take(stream), READ_MAX as u64),
        };
        let limits = Limits {
            head_bytes: limits.head_bytes,
            body_bytes: limits.stream_bytes,
            ..Limits::default()
        };
        Self {
            id: request.id,
            room,
            writer: Writer::new(head.freeze(), body),
            decoder: ResponseDecoder::new(limits, to_head),
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
    let mut said = headers.get_all(&ECHO).iter();
    match (said.next(), said.next()) {
        (None, _) if !lane.echoes => Ok(()),
        (Some(echo), None) if echo == id.write(&mut [0; 26]) => {
            lane.echoes = true;
            headers.remove(&ECHO);
            Ok(())
        }
        (said, _) => {
            let found = said.map_or_else(String::new, |v| v.as_bytes().escape_ascii().to_string());
            Err(ExchangeError::WrongCall { found })
        }
    }
}

/// How the function is told where `body` ends.
pub(super) fn body_length(body: &RequestBody) -> BodyLength {
    match body {
        RequestBody::Whole(body) => BodyLength::Known(body.len() as u64),
        RequestBody::Stream(_) => BodyLength::Chunked,
    }
}

fn malformed(error: DecodeError) -> ExchangeError {
    match error {
        DecodeError::BodyTooLarge { limit } => ExchangeError::TooLarge { limit },
        other => ExchangeError::Malformed(other),
    }
}
