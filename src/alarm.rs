//! Time limits that cost nothing while they are kept.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A clock that is set far more often than it runs out, and mostly to a later time.
#[derive(Debug, Default)]
pub struct Alarm {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Runs out at `at`, or never.
    pub fn set(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    /// Whether it will run out at all.
    pub fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Is not needed for now, and lets go of the task that polled it last.
    pub fn rest(&mut self) {
        self.at = None;
        if let Some(sleep) = &mut self.sleep {
            let _ = poll(sleep, &mut Context::from_waker(Waker::noop()));
        }
    }

    /// Ready once, when the time has come.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // Moving a timer takes its wheel's lock: one that ends too early is moved when it ends.
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while poll(sleep, cx).is_ready() {
            if sleep.deadline() >= at {
                self.at = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

/// Also where the task has used up what it may do at once: whoever never stops for breath is just
/// who has to be stopped.
fn poll(sleep: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(unconstrained(sleep.as_mut())).poll(cx)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::consume_budget;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_runs_out_once_and_can_be_set_anew() {
        let mut alarm = Alarm::default();
        let began = Instant::now();
        for seconds in [5, 2, 9] {
            let at = Instant::now() + Duration::from_secs(seconds);
            alarm.set(Some(at));
            std::future::poll_fn(|cx| alarm.poll(cx)).await;
            assert_eq!(Instant::now(), at);
            assert!(!alarm.is_set());
            alarm.rest();
        }
        assert_eq!(began.elapsed(), Duration::from_secs(16));
    }

    #[tokio::test]
    async fn who_is_always_busy_does_not_escape_it() {
        let mut alarm = Alarm::default();
        alarm.set(Some(Instant::now() + Duration::from_millis(20)));
        std::future::poll_fn(|cx| {
            // All that the task may do before it has to let others go on.
            while pin!(consume_budget()).poll(cx).is_ready() {}
            cx.waker().wake_by_ref();
            alarm.poll(cx)
        })
        .await;
    }
}
