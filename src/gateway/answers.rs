//! What the two sides of hyper tell each other: the service, and the guard below.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::{Body, Frame, SizeHint};

/// Shared within one connection, which is one task; atomics only because it is made on one thread
/// and runs on another.
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
            broken: None,
            answers: self.clone(),
        })
    }
}

type Broken = Box<dyn Error + Send + Sync>;

/// A response's body that is counted when hyper is done with it.
#[derive(Debug)]
pub(super) struct Noted<B> {
    body: B,
    /// Why the body broke off. hyper drops what it has not written yet as soon as it is told, so
    /// it has a chance to write before.
    broken: Option<Broken>,
    answers: Arc<Answers>,
}

impl<B> Drop for Noted<B> {
    fn drop(&mut self) {
        self.answers.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin> Body for Noted<B> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Err(error)) => {
                self.broken = Some(error.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;

    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A body that breaks off right behind its last piece.
    struct Breaks {
        piece: Option<Bytes>,
        broken: bool,
    }

    impl Body for Breaks {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            let piece = self.piece.take().map(Frame::data);
            self.broken = piece.is_none();
            Poll::Ready(Some(piece.ok_or_else(|| io::Error::other("broke off"))))
        }

        fn is_end_stream(&self) -> bool {
            self.broken
        }
    }

    // C4: what came before the break is the caller's, who sees that it is not the whole.
    #[tokio::test]
    async fn what_came_before_a_break_is_written() {
        let (mut caller, server) = tokio::io::duplex(1 << 16);
        caller
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let service = service_fn(async |_| {
            let body = Breaks {
                piece: Some("the last words".into()),
                broken: false,
            };
            Ok::<_, Infallible>(Arc::<Answers>::default().note(Response::new(body), false))
        });
        let served = http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .await;
        assert!(served.is_err());
        let mut said = String::new();
        caller.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("\r\nthe last words\r\n"), "{said}");
    }
}
