//! `format: default`: a container for every call, the body on stdin, the answer on stdout.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::call::{CallRequest, ExchangeError, ExchangeLimits, RequestBody, ResponseHead};
use super::exchange::Exchange;
use super::frame::canonical;
use super::io::{READ_MIN, Writer, poll_read, poll_whole};
use crate::launcher::Exit;
use crate::pool::Lane;

pub(super) struct DefaultExchange {
    writer: Writer,
    limit: u64,
    body: Bytes,
    /// stdout has ended; now it matters how the function did.
    exit: Option<Pin<Box<dyn Future<Output = Exit> + Send>>>,
}

impl DefaultExchange {
    pub(super) fn new(request: &CallRequest, limits: &ExchangeLimits) -> Self {
        let body = RequestBody::Whole(request.whole_body());
        Self {
            writer: Writer::new(Bytes::new(), body).closing(),
            limit: limits.whole_bytes,
            body: Bytes::new(),
            exit: None,
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<(), ExchangeError>> {
        loop {
            self.writer.poll(cx, &mut lane.stdin)?;
            if lane.inbox.len() as u64 > self.limit {
                return Poll::Ready(Err(ExchangeError::TooLarge { limit: self.limit }));
            }
            let wanted = lane.inbox.len().max(READ_MIN);
            if ready!(poll_read(cx, lane, wanted))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Exchange for DefaultExchange {
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        loop {
            let Some(exit) = &mut self.exit else {
                ready!(self.poll_body(cx, lane))?;
                self.body = lane.inbox.split().freeze();
                self.exit = Some(Box::pin(lane.autopsy()));
                continue;
            };
            return Poll::Ready(match ready!(exit.as_mut().poll(cx)) {
                Exit::Code(0) => Ok(ResponseHead {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    length: Some(self.body.len() as u64),
                }),
                _ => Err(ExchangeError::ended(
                    true,
                    Some(false),
                    "stream ended before the function did",
                )),
            });
        }
    }

    fn poll_data(
        &mut self,
        _: &mut Context<'_>,
        _: &mut Lane,
    ) -> Poll<Result<Option<Bytes>, ExchangeError>> {
        poll_whole(&mut self.body)
    }

    fn is_clean(&self, _: &mut Lane) -> bool {
        false
    }
}

/// What the function is told of its call. Headers come in both of the spellings that functions
/// look for: with the name as it is, and in capitals with underscores.
pub(super) fn environment(request: &CallRequest) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for name in request.headers.keys() {
        let values = request.headers.get_all(name).iter();
        let values: Vec<_> = values
            // The kernel ends a value at a zero byte; no header holds one.
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let values = values.join(", ");
        let canonical = canonical(name);
        let capitals = canonical.to_uppercase().replace('-', "_");
        env.insert(format!("FN_HEADER_{capitals}"), values.clone());
        env.insert(format!("FN_HEADER_{canonical}"), values);
    }
    let call = [
        ("FN_CALL_ID", request.id.to_string()),
        ("FN_METHOD", request.method.to_string()),
        ("FN_REQUEST_URL", request.url.clone()),
    ];
    env.extend(call.map(|(name, value)| (name.to_owned(), value)));
    env
}
