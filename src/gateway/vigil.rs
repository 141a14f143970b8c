use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::task::yield_now;
use tokio::time::Instant;

/// How long a thread looks on: longer than a fast function takes to answer, and a caller to come
/// with its next request. What takes longer gains little by it.
const MOMENT: Duration = Duration::from_micros(100);
/// So many waits in a row have to be short before one is looked on at: to look in vain costs the
/// moment, and where others want the processor, their turn.
const PROOF: u32 = 8;

/// Has a worker look on for a moment before it sleeps.
///
/// A processor that has gone to sleep is woken in tens of microseconds, more than all else that a
/// call of a fast function costs. So a thread that has one call or none, and is called back soon
/// whenever it waits for the same thing, asks for what is new for a moment before it sleeps. One that
/// has more calls has no reason to be idle.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    /// Requests that the thread has, and whose answer has not begun.
    requests: AtomicUsize,
    /// How often one came or was answered.
    turns: AtomicUsize,
    watching: AtomicWaker,
}

/// What is known of waits for one thing.
#[derive(Clone, Copy, Default)]
struct Waits {
    /// How many in a row were short, up to [`PROOF`].
    short: u32,
}

impl Waits {
    fn are_short(self) -> bool {
        self.short == PROOF
    }

    fn learn(&mut self, took: Duration) {
        // Who sleeps hears of it later.
        let bound = if self.are_short() { MOMENT } else { 2 * MOMENT };
        self.short = if took < bound {
            PROOF.min(self.short + 1)
        } else {
            0
        };
    }
}

/// A request whose answer has not begun.
pub(super) struct InFlight<'a>(&'a Vigil);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.turn(self.0.requests() - 1);
    }
}

// Atomic only so that connections may come from another thread: all that happens here happens on
// the worker's own, in turns.
impl Vigil {
    /// A request has come.
    pub(super) fn request(&self) -> InFlight<'_> {
        self.turn(self.requests() + 1);
        InFlight(self)
    }

    fn turn(&self, requests: usize) {
        let fewest = requests.min(self.requests());
        self.requests.store(requests, Ordering::Relaxed);
        let turns = self.turns.load(Ordering::Relaxed);
        self.turns.store(turns.wrapping_add(1), Ordering::Relaxed);
        if fewest <= 1 {
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
        // For a request, and for the answer to the only one.
        let mut known = [Waits::default(); 2];
        loop {
            let turn = self.turns.load(Ordering::Relaxed);
            let Some(waits) = known.get_mut(self.requests()) else {
                self.after(turn).await;
                continue;
            };
            let since = Instant::now();
            while waits.are_short() && self.is_still(turn) && since.elapsed() < MOMENT {
                // What is waited for may itself wait for this processor.
                std::thread::yield_now();
                // Has the runtime ask for what is new.
                yield_now().await;
            }
            self.after(turn).await;
            waits.learn(since.elapsed());
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
        vigil: Arc<Vigil>,
        polls: Rc<Cell<usize>>,
    }

    impl Watched {
        fn start() -> Self {
            let vigil = Arc::new(Vigil::default());
            let polls = Rc::<Cell<usize>>::default();
            let (watched, counted) = (vigil.clone(), polls.clone());
            tokio::task::spawn_local(async move {
                let mut watch = pin!(watched.watch());
                std::future::poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    watch.as_mut().poll(cx)
                })
                .await;
            });
            Self { vigil, polls }
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

    /// Has waits of both kinds take `time`, as often as is asked for.
    async fn alternate(watched: &Watched, time: Duration, often: u32) {
        for _ in 0..often {
            watched.looks_on_after(time).await;
            let request = watched.vigil.request();
            watched.looks_on_after(time).await;
            drop(request);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_looks_on_for_a_moment_where_waits_are_short() {
        locally(async |watched| {
            alternate(&watched, SOON, PROOF - 1).await;
            // Not often enough yet, of either kind.
            assert!(!watched.looks_on_after(SOON).await);
            let request = watched.vigil.request();
            assert!(!watched.looks_on_after(SOON).await);
            drop(request);
            assert!(watched.looks_on_after(Duration::ZERO).await);
            let request = watched.vigil.request();
            for (time, looks_on) in [(SOON, true), (LATE, false)] {
                assert_eq!(watched.looks_on_after(time).await, looks_on);
            }
            drop(request);
            // This answer was late, and no request before it was.
            for _ in 0..PROOF {
                assert!(watched.looks_on_after(SOON).await);
                let request = watched.vigil.request();
                // Late only for one who looks on.
                assert!(!watched.looks_on_after(LATE).await);
                drop(request);
            }
            assert!(watched.looks_on_after(SOON).await);
            let _request = watched.vigil.request();
            assert!(watched.looks_on_after(SOON).await);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_sleeps_at_once_where_waits_are_long() {
        locally(async |watched| {
            alternate(&watched, SOON, PROOF - 1).await;
            alternate(&watched, 3 * MOMENT, 1).await;
            alternate(&watched, SOON, PROOF - 1).await;
            assert!(!watched.looks_on_after(Duration::ZERO).await);
            let _request = watched.vigil.request();
            assert!(!watched.looks_on_after(Duration::ZERO).await);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_with_several_requests_is_left_alone() {
        locally(async |watched| {
            alternate(&watched, SOON, PROOF).await;
            let first = watched.vigil.request();
            assert!(watched.looks_on_after(SOON).await);
            let second = watched.vigil.request();
            assert!(!watched.looks_on_after(Duration::ZERO).await);
            let polls = watched.polls.get();
            let third = watched.vigil.request();
            yield_now().await;
            assert_eq!(watched.polls.get(), polls);
            drop(third);
            yield_now().await;
            assert_eq!(watched.polls.get(), polls);
            drop(second);
            assert!(watched.looks_on_after(SOON).await);
            drop(first);
            assert!(watched.looks_on_after(SOON).await);
            assert!(!watched.looks_on_after(LATE).await);
        })
        .await;
    }
}
