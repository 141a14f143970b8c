use std::time::Duration;

use tokio::time::Instant;

/// After the first failure; doubled by each that follows.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Calls whose containers ended under them before nothing is started: the first may have been the
/// call's own fault, and is told as it is.
const CRASHES: u32 = 2;

/// Keeps a function that cannot run from being started over and over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    crashes: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// A start failed, or a container ended before anybody called it. What fails while nothing
    /// is to be started was started before: it is the same failure, seen once more.
    ///
    /// `passing`: it is not the function's fault, and may be over at any moment.
    pub(super) fn failed(&mut self, now: Instant, passing: bool) {
        if self.until.is_some() {
            return;
        }
        let doublings = if passing { 0 } else { self.failures.min(6) };
        if !passing || self.failures == 0 {
            self.failures += 1;
        }
        self.until = Some(now + (FIRST * 2_u32.pow(doublings)).min(LONGEST));
    }

    /// A container ended before it had read its first call; or, if that is not `certain`, in it. One
    /// caller's requests may do that, and must not keep others out for ever longer.
    pub(super) fn crashed(&mut self, now: Instant, certain: bool) {
        self.crashes += 1;
        if self.crashes >= CRASHES {
            self.failed(now, !certain);
        }
    }

    /// A container has served a call: whatever was wrong is over.
    pub(super) fn served(&mut self) {
        *self = Self::default();
    }

    /// The time may be over.
    pub(super) fn look(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
        }
    }

    /// Nothing is to be started before then.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Failures in a row, those at the same time counted once.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_doubles_to_a_minute_and_a_served_call_ends_it() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        for secs in [1, 2, 4, 8, 16, 32, 60, 60] {
            backoff.failed(now, false);
            backoff.failed(now, false);
            assert_eq!(backoff.until(), Some(now + Duration::from_secs(secs)));
            now += Duration::from_secs(secs);
            backoff.look(now - Duration::from_nanos(1));
            assert!(backoff.until().is_some());
            backoff.look(now);
            assert_eq!(backoff.until(), None);
        }
        assert_eq!(backoff.failures(), 8);
        backoff.served();
        backoff.failed(now, false);
        assert_eq!(backoff.until(), Some(now + FIRST));
    }

    #[tokio::test(start_paused = true)]
    async fn one_crash_is_told_and_the_second_is_waited_for() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        backoff.crashed(now, true);
        assert_eq!(backoff.until(), None);
        backoff.crashed(now, true);
        assert_eq!(backoff.until(), Some(now + FIRST));
    }

    #[tokio::test(start_paused = true)]
    async fn doubtful_crashes_keep_others_out_for_a_second_each() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        backoff.crashed(now, false);
        for _ in 0..10 {
            backoff.crashed(now, false);
            assert_eq!(backoff.until(), Some(now + FIRST));
            now += FIRST;
            backoff.look(now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_is_tried_every_second() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.failed(now, true);
            assert_eq!(backoff.until(), Some(now + FIRST));
            now += FIRST;
            backoff.look(now);
        }
    }
}
