use std::time::Duration;

use tokio::time::Instant;

/// Who waits for less than this is not helped by one more container, however fast it starts.
const BRIEF: Duration = Duration::from_millis(10);
/// Nor is who waits for less than half of what a start takes; but this is long in any case.
const LONG: Duration = Duration::from_millis(250);
/// How much longer somebody may wait so that others are served where it costs less.
const PATIENCE: Duration = Duration::from_millis(1);

/// How fast a queue moves.
#[derive(Debug)]
pub(super) struct Turnover {
    /// When a container last went to somebody who waited, or since when somebody waits again.
    last: Option<Instant>,
    /// A container found nobody who waited, since when nobody has begun to.
    rests: bool,
    /// Somebody was served since a queue was last given the time to move.
    proven: bool,
    /// The time from one of these to the next, as it was lately; the newest weighs an eighth.
    pace: Duration,
    /// How long a wait is brief.
    brief: Duration,
}

impl Default for Turnover {
    fn default() -> Self {
        Self {
            last: None,
            rests: false,
            proven: false,
            pace: LONG,
            brief: BRIEF,
        }
    }
}

impl Turnover {
    /// A container has started within this time. It takes from the machine what the others would
    /// serve with, so none is worth it that comes too late.
    pub(super) fn started(&mut self, took: Duration) {
        self.brief = (took / 2).clamp(BRIEF, LONG);
    }

    /// A container found nobody who waits.
    pub(super) fn rest(&mut self) {
        self.rests = true;
    }

    /// Somebody waits. A queue that moved before is given the time to do so again: many calls at
    /// once are no reason to start as many containers if those that are there serve them as fast
    /// as they served the last ones. Once that has proved wrong, it has to move first.
    pub(super) fn joined(&mut self, now: Instant) {
        if std::mem::take(&mut self.rests) {
            let proven = std::mem::take(&mut self.proven);
            self.last = proven.then_some(now);
        }
    }

    /// Somebody who waited has a container.
    pub(super) fn passed(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let interval = now.saturating_duration_since(last).min(LONG);
            self.pace = (self.pace * 7 + interval) / 8;
        }
        self.last = Some(now);
        self.proven = true;
    }

    /// Whether nothing has to be done for the last of `waiting`, because it will soon be its turn.
    pub(super) fn is_brief(&self, waiting: usize, now: Instant) -> bool {
        let moves = self.last.is_some_and(|last| now < last + self.brief);
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        moves && self.pace.saturating_mul(waiting) < self.brief
    }

    /// How many others, at most `most`, may be served before somebody whose turn it is: none where
    /// each of them would take long.
    pub(super) fn patience(&self, most: usize) -> usize {
        let fit = PATIENCE.as_nanos() / self.pace.as_nanos().max(1);
        usize::try_from(fit).map_or(most, |fit| fit.min(most))
    }

    /// When to look whether a queue stands still that moved at `now`, whatever was found of it.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        self.last
            .map(|last| last + self.brief)
            .filter(|look| *look > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_moves_fast_is_left_alone_as_long_as_it_does() {
        let mut turnover = Turnover::default();
        let mut now = Instant::now();
        assert!(!turnover.is_brief(1, now), "nothing is known yet");
        let step = Duration::from_micros(100);
        for _ in 0..100 {
            now += step;
            turnover.passed(now);
        }
        assert!(turnover.is_brief(50, now));
        assert!(!turnover.is_brief(200, now), "20 ms for the last");
        assert!(!turnover.is_brief(1, now + BRIEF), "it stands still");
    }

    #[test]
    fn the_longer_a_start_takes_the_longer_a_wait_is_brief() {
        let mut turnover = Turnover::default();
        let mut now = Instant::now();
        for _ in 0..200 {
            now += Duration::from_millis(1);
            turnover.passed(now);
        }
        for (start, brief) in [(2, 9), (100, 49), (10_000, 240)] {
            turnover.started(Duration::from_millis(start));
            assert!(turnover.is_brief(brief, now), "{start} ms");
            assert!(!turnover.is_brief(brief + 20, now), "{start} ms");
        }
    }

    #[test]
    fn a_queue_that_was_fast_is_given_the_time_to_be_so_again() {
        let mut turnover = Turnover::default();
        let mut now = Instant::now();
        turnover.rest();
        turnover.joined(now);
        assert!(!turnover.is_brief(1, now), "nothing is known yet");
        for _ in 0..100 {
            turnover.passed(now);
            now += Duration::from_micros(100);
        }
        turnover.rest();
        now += Duration::from_secs(60);
        turnover.joined(now);
        assert!(turnover.is_brief(50, now));
        turnover.joined(now + BRIEF / 2);
        assert!(!turnover.is_brief(50, now + BRIEF), "it does not move");
        turnover.passed(now + Duration::from_micros(100));
        assert!(turnover.is_brief(50, now + BRIEF), "the pause was not its");
    }

    #[test]
    fn a_queue_that_did_not_move_is_given_no_more_time() {
        let mut turnover = Turnover::default();
        let mut now = Instant::now();
        for _ in 0..100 {
            turnover.passed(now);
            now += Duration::from_micros(100);
        }
        for brief in [true, false, false] {
            turnover.rest();
            now += Duration::from_secs(60);
            turnover.joined(now);
            assert_eq!(turnover.is_brief(1, now), brief);
        }
        turnover.passed(now);
        assert!(turnover.is_brief(1, now));
    }

    #[test]
    fn who_is_first_waits_for_others_only_where_they_take_no_time() {
        let mut turnover = Turnover::default();
        let mut now = Instant::now();
        assert_eq!(turnover.patience(16), 0, "nothing is known yet");
        for (pause, served) in [(0, 16), (20, 16), (100, 10), (400, 2), (1100, 0)] {
            for _ in 0..200 {
                now += Duration::from_micros(pause);
                turnover.passed(now);
            }
            assert_eq!(turnover.patience(16), served, "{pause} us");
        }
        for _ in 0..200 {
            turnover.passed(now);
        }
        turnover.passed(now + Duration::from_millis(50));
        assert_eq!(turnover.patience(16), 0, "it has become slow at once");
    }

    #[test]
    fn a_queue_that_becomes_slow_is_found_out() {
        let mut turnover = Turnover::default();
        let mut now = Instant::now();
        for pause in [0, 2].map(Duration::from_millis) {
            for _ in 0..100 {
                now += pause;
                turnover.passed(now);
            }
        }
        assert!(turnover.is_brief(4, now));
        assert!(!turnover.is_brief(6, now));
    }
}
