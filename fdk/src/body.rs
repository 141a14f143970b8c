//! A request body that is passed on as it comes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;

use crate::error::Result;
use crate::sync::{Lock, wait};

/// Pieces that wait for the function; a piece is at most 64 KiB.
const AHEAD: usize = 4;

/// The body of a call as it comes, for functions that do not want to wait for its end.
///
/// ```no_run
/// use fdk::{Body, StatusCode};
///
/// async fn count(mut body: Body) -> fdk::Result<String> {
///     let mut bytes = 0;
///     while let Some(data) = body.next().await {
///         bytes += data?.len();
///     }
///     Ok(bytes.to_string())
/// }
/// # let _ = fdk::App::new().function("count", fdk::http::post("/count"), count);
/// ```
///
/// What a function leaves unread when it answers is read and dropped, up to 1 MiB and for a second
/// at most; beyond that its process ends once it has answered.
#[derive(Debug)]
pub struct Body {
    shared: Arc<Shared>,
}

/// Puts in what comes.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Lock<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Result<Bytes>>,
    ended: bool,
    /// Nobody reads any more.
    left: bool,
    waker: Option<Waker>,
}

impl Shared {
    /// Nobody reads any more, whoever has the body still.
    fn leave(&self) {
        let mut state = self.state.lock();
        state.left = true;
        let pieces = std::mem::take(&mut state.pieces);
        drop(state);
        drop(pieces);
        self.room.notify_one();
    }
}

/// Ends the reading of a body whose call is answered.
pub(crate) struct Leave(Arc<Shared>);

impl Leave {
    pub(crate) fn now(&self) {
        self.0.leave();
    }
}

/// A body, and the way to fill it.
pub(crate) fn channel() -> (Feed, Body) {
    let shared = Arc::<Shared>::default();
    let feed = Feed {
        shared: shared.clone(),
    };
    (feed, Body { shared })
}

impl Feed {
    /// Waits for room; false once nobody reads any more.
    pub(crate) fn push(&self, piece: Result<Bytes>) -> bool {
        let mut state = self.shared.state.lock();
        while state.pieces.len() >= AHEAD && !state.left {
            state = wait(&self.shared.room, state);
        }
        let left = state.left;
        if !left {
            state.pieces.push_back(piece);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        !left
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.shared.state.lock();
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Body {
    pub(crate) fn leaver(&self) -> Leave {
        Leave(self.shared.clone())
    }

    /// A body that is there already.
    pub(crate) fn of(data: Bytes) -> Self {
        let (feed, body) = channel();
        if !data.is_empty() {
            feed.push(Ok(data));
        }
        body
    }

    /// The next piece, never an empty one; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.shared.state.lock();
        if let Some(piece) = state.pieces.pop_front() {
            drop(state);
            self.shared.room.notify_one();
            return Poll::Ready(Some(piece));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        // Whoever it is that ends with it may want the lock.
        drop(old);
        Poll::Pending
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.shared.leave();
    }
}
