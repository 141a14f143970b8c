//! Time limits that cost nothing while they are kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

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
            let _ = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
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
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= at {
                self.at = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}
