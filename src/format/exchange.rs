use std::collections::BTreeMap;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::call::{CallRequest, ExchangeError, ExchangeLimits, ResponseHead};
use super::{cloudevent, default, http, http_stream, json};
use crate::launcher::Channel;
use crate::model::{Format, Timestamp};
use crate::pool::Lane;

/// One call that is being put to the function behind a lane.
///
/// First the head is polled for, then data until there is no more, then
/// [`is_clean`](Self::is_clean) is asked. After an error, or if it is dropped before that, the lane must be
/// ended. Every poll goes on writing the request: a function may answer before it has read all.
pub trait Exchange: Send {
    /// The start of the response, once it is certain to be one to this call.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<ResponseHead, ExchangeError>>;

    /// The next piece of the body, never an empty one; `None` at the end.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<Option<Bytes>, ExchangeError>>;

    /// Whether the lane may serve another call: the function has read its request to the end and
    /// goes on listening.
    fn is_clean(&self, lane: &mut Lane) -> bool;
}

/// Begins to put `request` to a function of `format`. Its body is taken where it is a stream.
pub fn begin(
    format: Format,
    request: &mut CallRequest,
    deadline: Timestamp,
    limits: &ExchangeLimits,
) -> Box<dyn Exchange> {
    match format {
        Format::Http => Box::new(http::HttpExchange::new(request, deadline, limits)),
        Format::HttpStream => Box::new(http_stream::StreamExchange::new(request, deadline, limits)),
        Format::Json => Box::new(json::exchange(request, deadline, limits)),
        Format::CloudEvent => Box::new(cloudevent::exchange(request, deadline, limits)),
        Format::Default => Box::new(default::DefaultExchange::new(request, limits)),
    }
}

/// Why a function of `format` cannot be called with `request`, whatever the function does.
pub fn refusal(format: Format, request: &CallRequest) -> Option<String> {
    match format {
        Format::CloudEvent => cloudevent::refusal(request),
        _ => None,
    }
}

/// How calls reach functions of `format`.
pub fn channel(format: Format) -> Channel {
    match format {
        Format::HttpStream => Channel::Socket,
        _ => Channel::Stdio,
    }
}

/// What a function of `format` is told through its environment, where it serves one call only.
pub fn environment(format: Format, request: &CallRequest) -> Option<BTreeMap<String, String>> {
    match format {
        Format::Default => Some(default::environment(request)),
        _ => None,
    }
}

/// Such an environment, of a call whose time begins now.
pub fn with_deadline(
    mut env: BTreeMap<String, String>,
    deadline: Timestamp,
) -> BTreeMap<String, String> {
    env.insert("FN_DEADLINE".to_owned(), deadline.to_string());
    env
}
