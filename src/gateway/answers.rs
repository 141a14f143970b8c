//! What the two sides of hyper tell each other: the service, and the guard below.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::{Body, Frame, SizeHint};

/// Shared within one connection, which is one task; atomics only because tasks may move.
#[derive(Debug, Default)]
pub(super) struct Answers {
    count: AtomicU64,
    unread: AtomicBool,
    last: AtomicBool,
    /// The last request whose body may take its time, counted from 1.
    unhurried: AtomicU64,
}

impl Answers {
    /// How many responses hyper has taken to their end.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The body of the request that is being answered is passed on as it comes, so nothing but its
    /// own bytes is held up by its pace.
    pub(super) fn unhurry(&self) {
        self.unhurried.store(self.count() + 1, Ordering::Relaxed);
    }

    pub(super) fn is_unhurried(&self, request: u64) -> bool {
        self.unhurried.load(Ordering::Relaxed) == request
    }

    pub(super) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }

    /// Whether a response has said that it is the connection's last.
    pub(super) fn said_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// The response with its end noted. One that comes before the end of its request is the
    /// connection's last, and says so. `expects`: the caller waits to be told before it sends its
    /// body. After an error it may or may not send it, and whoever guesses wrong takes a body for a
    /// request.
    pub(super) fn note<B>(
        self: &Arc<Self>,
        mut response: Response<B>,
        expects: bool,
    ) -> Response<Noted<B>> {
        let failed = response.status().is_client_error() || response.status().is_server_error();
        if self.unread.load(Ordering::Relaxed) || (expects && failed) {
            self.last.store(true, Ordering::Relaxed);
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Noted {
            body,
            answers: self.clone(),
        })
    }
}

/// A response's body that is counted when hyper is done with it.
#[derive(Debug)]
pub(super) struct Noted<B> {
    body: B,
    answers: Arc<Answers>,
}

impl<B> Drop for Noted<B> {
    fn drop(&mut self) {
        self.answers.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Noted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
