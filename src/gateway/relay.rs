//! Keeps a task that wakes itself from going through the scheduler.
//!
//! hyper wakes its own task each time the service takes a piece of a request's body. The task runs
//! already, so the runtime puts it back into its queue, behind all others and whatever the kernel has
//! to tell of them: a turn for nothing, at each call. Here such a wake-up means that the future is
//! polled once more at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// How often a future is polled before the others of the runtime have their turn.
const AT_ONCE: usize = 4;

const IDLE: u8 = 0;
const POLLING: u8 = 1;
const WOKEN: u8 = 2;

/// What the polled future's wake-ups go through.
#[derive(Debug)]
struct Link {
    state: AtomicU8,
    task: Waker,
}

impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken =
            self.state
                .compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if woken == Err(IDLE) {
            self.task.wake_by_ref();
        }
    }
}

/// Polls a future for as long as it wakes itself, within a bound.
#[derive(Debug, Default)]
pub(super) struct Relay {
    link: Option<(Arc<Link>, Waker)>,
}

impl Relay {
    /// As `poll`, which it calls at least once.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let (link, waker) = match &self.link {
            Some((link, waker)) if link.task.will_wake(cx.waker()) => (link, waker),
            _ => {
                let link = Arc::new(Link {
                    state: AtomicU8::new(IDLE),
                    task: cx.waker().clone(),
                });
                let waker = Waker::from(link.clone());
                let (link, waker) = self.link.insert((link, waker));
                (&*link, &*waker)
            }
        };
        for _ in 0..AT_ONCE {
            link.state.store(POLLING, Ordering::Release);
            if let Poll::Ready(done) = poll(&mut Context::from_waker(waker)) {
                link.state.store(IDLE, Ordering::Release);
                return Poll::Ready(done);
            }
            if link.state.swap(IDLE, Ordering::AcqRel) == POLLING {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that counts how often it is woken.
    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (count.clone(), Waker::from(count))
    }

    fn woken(count: &Count) -> usize {
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_at_once() {
        let (count, waker) = task();
        let mut polls = 0;
        let done = Relay::default().poll(&mut Context::from_waker(&waker), |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls < AT_ONCE {
                Poll::Pending
            } else {
                Poll::Ready(polls)
            }
        });
        assert_eq!((done, woken(&count)), (Poll::Ready(AT_ONCE), 0));
    }

    #[test]
    fn one_that_does_so_for_ever_lets_others_have_their_turn() {
        let (count, waker) = task();
        let mut polls = 0;
        let pending = Relay::default().poll::<()>(&mut Context::from_waker(&waker), |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(pending.is_pending());
        assert_eq!((polls, woken(&count)), (AT_ONCE, 1));
    }

    #[test]
    fn a_wake_up_from_elsewhere_reaches_the_task_that_polled_last() {
        let (first, second) = (task(), task());
        let mut relay = Relay::default();
        for (count, waker) in [&first, &second, &second] {
            let mut kept = None;
            let before = woken(count);
            let pending = relay.poll::<()>(&mut Context::from_waker(waker), |cx| {
                kept = Some(cx.waker().clone());
                Poll::Pending
            });
            assert!(pending.is_pending());
            assert_eq!(woken(count), before);
            kept.unwrap().wake();
            assert_eq!(woken(count), before + 1);
        }
        assert_eq!((woken(&first.0), woken(&second.0)), (1, 2));
    }

    #[tokio::test]
    async fn none_is_lost_between_two_threads() {
        let mut relay = Relay::default();
        for _ in 0..2000 {
            let (sender, mut receiver) = tokio::sync::oneshot::channel();
            let other = std::thread::spawn(move || sender.send(()));
            let got = std::future::poll_fn(|cx| {
                relay.poll(cx, |cx| {
                    std::future::Future::poll(std::pin::Pin::new(&mut receiver), cx)
                })
            });
            assert_eq!(got.await, Ok(()));
            assert!(other.join().is_ok());
        }
    }
}
