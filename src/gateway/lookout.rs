use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::task::yield_now;
use tokio::time::Instant;

/// How long a thread looks on: longer than a fast function takes to answer, and a caller to come
/// with its next request. What takes longer gains little by it.
const MOMENT: Duration = Duration::from_micros(100);

/// Has a worker look on for a moment before it sleeps.
///
/// A processor that has gone to sleep is woken in tens of microseconds, more than all else that a
/// call of a fast function costs. So a thread that has one call or none, and was last called back
/// within a moment when it waited for the same thing, asks for what is new for as long as that
/// before it sleeps. One that was called back too late sleeps at once the next time, and one that
/// has more calls has no reason to be idle. Whoever else wants the processor gets it in between.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Requests that the thread has and has not answered.
    requests: AtomicUsize,
    /// How often one came or was answered.
    turns: AtomicUsize,
    watching: AtomicWaker,
}

/// A request that is not answered yet.
pub(super) struct InFlight<'a>(&'a Lookout);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.turn(self.0.requests() - 1);
    }
}

// Atomic only so that connections may come from another thread: all that happens here happens on
// the worker's own, in turns.
impl Lookout {
    /// A request has come.
    pub(super) fn request(&self) -> InFlight<'_> {
        self.turn(self.requests() + 1);
        InFlight(self)
    }

    fn turn(&self, requests: usize) {
        self.requests.store(requests, Ordering::Relaxed);
        let turns = self.turns.load(Ordering::Relaxed);
        self.turns.store(turns.wrapping_add(1), Ordering::Relaxed);
        if requests <= 1 {
            self.watching.wake();
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn is_still(&self, turn: usize) -> bool {
        self.turns.load(Ordering::Relaxed) == turn
    }

    /// Looks on whenever there is reason to. Never ends.
    pub(super) async fn watch(&self) {
        // For the next request, and for the answer to the only one.
        let mut soon = [false; 2];
        loop {
            let turn = self.turns.load(Ordering::Relaxed);
            let since = Instant::now();
            if let Some(soon) = soon.get_mut(self.requests()) {
                while *soon && self.is_still(turn) && since.elapsed() < MOMENT {
                    // What is waited for may wait for this processor.
                    std::thread::yield_now();
                    // Has the runtime ask for what is new.
                    yield_now().await;
                }
                self.after(turn).await;
                *soon = since.elapsed() < MOMENT;
            } else {
                self.after(turn).await;
            }
        }
    }

    /// Waits for the turn after `turn`.
    async fn after(&self, turn: usize) {
        std::future::poll_fn(|cx| {
            if !self.is_still(turn) {
                return Poll::Ready(());
            }
            self.watching.register(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::rc::Rc;
    use std::sync::Arc;

    use tokio::task::LocalSet;
    use tokio::time::advance;

    use super::*;

    const SOON: Duration = Duration::from_micros(50);
    const LATE: Duration = Duration::from_micros(150);

    /// A watch that counts how often it is asked to go on.
    struct Watched {
        lookout: Arc<Lookout>,
        polls: Rc<Cell<usize>>,
    }

    impl Watched {
        fn start() -> Self {
            let lookout = Arc::new(Lookout::default());
            let polls = Rc::<Cell<usize>>::default();
            let (watched, counted) = (lookout.clone(), polls.clone());
            tokio::task::spawn_local(async move {
                let mut watch = pin!(watched.watch());
                std::future::poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    watch.as_mut().poll(cx)
                })
                .await;
            });
            Self { lookout, polls }
        }

        /// Lets `time` pass since the last turn; whether the thread looks on then.
        async fn looks_on_after(&self, time: Duration) -> bool {
            yield_now().await;
            advance(time).await;
            yield_now().await;
            let before = self.polls.get();
            for _ in 0..10 {
                yield_now().await;
            }
            match self.polls.get() - before {
                0 => false,
                10 => true,
                some => panic!("looked {some} times in 10"),
            }
        }
    }

    async fn locally(test: impl AsyncFnOnce(Watched)) {
        let here = LocalSet::new();
        here.run_until(async { test(Watched::start()).await }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_looks_on_for_a_moment_where_it_was_called_back_soon() {
        locally(async |watched| {
            let lookout = watched.lookout.clone();
            // Nothing is known yet of either wait.
            assert!(!watched.looks_on_after(SOON).await);
            let request = lookout.request();
            assert!(!watched.looks_on_after(SOON).await);
            drop(request);
            assert!(watched.looks_on_after(Duration::ZERO).await);
            let request = lookout.request();
            for (time, looks_on) in [(SOON, true), (LATE, false)] {
                assert_eq!(watched.looks_on_after(time).await, looks_on);
            }
            // This answer was late, the request before it was not.
            drop(request);
            assert!(watched.looks_on_after(SOON).await);
            let request = lookout.request();
            assert!(!watched.looks_on_after(SOON).await);
            // And now it was not.
            drop(request);
            assert!(!watched.looks_on_after(LATE).await);
            let _request = lookout.request();
            assert!(watched.looks_on_after(SOON).await);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_with_several_requests_is_left_alone() {
        locally(async |watched| {
            let lookout = watched.lookout.clone();
            for _ in 0..2 {
                drop(lookout.request());
                yield_now().await;
            }
            let first = lookout.request();
            yield_now().await;
            drop(first);
            let first = lookout.request();
            assert!(watched.looks_on_after(SOON).await);
            let polls = watched.polls.get();
            let second = lookout.request();
            yield_now().await;
            assert!(!watched.looks_on_after(Duration::ZERO).await);
            assert!(watched.polls.get() <= polls + 1);
            drop(first);
            drop(second);
            assert!(watched.looks_on_after(SOON).await);
            assert!(!watched.looks_on_after(LATE).await);
        })
        .await;
    }
}
