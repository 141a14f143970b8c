//! How many containers a pool should have. Pure: counts and times come in, a decision comes out.

use std::collections::VecDeque;
use std::fmt;

use tokio::time::Instant;

use super::state::Counts;
use crate::model::{Scale, ScaleMode};

/// A vote looks at so many samples at least, and at the trend of so many.
const TREND: usize = 5;

/// Why a decision is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Something happened: a call came, a container went.
    Event,
    /// The interval between two samples is over.
    Tick,
}

/// What the load asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Vote {
    Out,
    In,
    #[default]
    None,
}

impl Vote {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
            Self::None => "none",
        }
    }
}

/// What kept a decision from its wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    No,
    Step(usize),
    Max(usize),
    Min(usize),
    /// Nothing idles, and what is busy stays.
    Busy,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => Ok(()),
            Self::Step(step) => write!(f, ", capped at {step} starts"),
            Self::Max(max) => write!(f, ", held at the maximum of {max}"),
            Self::Min(min) => write!(f, ", held at the minimum of {min}"),
            Self::Busy => f.write_str(", but none is idle"),
        }
    }
}

/// Why a decision is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nothing was decided yet.
    #[default]
    Fresh,
    Waiting {
        waiting: usize,
        coming: usize,
        held: Held,
    },
    /// Those who wait are served before another container could start.
    Brief {
        waiting: usize,
    },
    Minimum {
        min: usize,
        held: Held,
    },
    /// Somebody waits and there is nothing at all.
    First,
    /// Between two samples nothing is decided.
    Between,
    Target {
        calls: usize,
        per: usize,
        held: Held,
    },
    Voted {
        step: u8,
        held: Held,
    },
    BackingOff {
        failures: u32,
    },
    Draining,
    Expired,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("nothing was decided yet"),
            Self::Waiting {
                waiting,
                coming,
                held,
            } => write!(
                f,
                "{waiting} calls wait, {coming} containers idle or start{held}"
            ),
            Self::Brief { waiting } => write!(
                f,
                "{waiting} calls wait, each for less than another container would take to start"
            ),
            Self::Minimum { min, held } => write!(f, "fewer than the minimum of {min}{held}"),
            Self::First => f.write_str("a call waits and there is no container"),
            Self::Between => f.write_str("the next sample decides"),
            Self::Target { calls, per, held } => {
                write!(f, "{calls} calls / {per} per container{held}")
            }
            Self::Voted { step, held } => write!(f, "{}{held}", vote_text(*step)),
            Self::BackingOff { failures } => {
                write!(
                    f,
                    "{failures} failures in a row, nothing is started for a while"
                )
            }
            Self::Draining => f.write_str("the function was replaced, or the server drains"),
            Self::Expired => f.write_str("idle for longer than idle_timeout"),
        }
    }
}

const fn vote_text(step: u8) -> &'static str {
    match step {
        1 => "no samples",
        2 => "more containers than the maximum",
        3 => "fewer than 5 samples",
        4 => "more calls wait than the containers are to have waiting",
        5 => "calls wait in every sample",
        6 => "no call waits in any sample",
        7 => "ever more calls wait",
        8 => "ever fewer calls wait",
        _ => "steady",
    }
}

/// How many containers there should be, and what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) want: usize,
    pub(super) vote: Vote,
    /// Containers to start, or, below zero, idle ones to end.
    pub(super) delta: i64,
    pub(super) reason: Reason,
}

/// One look at the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) waiting: usize,
    pub(super) running: usize,
    pub(super) have: usize,
}

/// Decides for one pool.
#[derive(Debug)]
pub(super) struct Scaler {
    mode: ScaleMode,
    min: usize,
    max: usize,
    target: usize,
    step: usize,
    ratio: usize,
    interval: std::time::Duration,
    window: std::time::Duration,
    samples: VecDeque<Sample>,
    tick: Option<Instant>,
}

pub(super) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Scaler {
    /// Obeys `scale`, and never has more than `max`.
    pub(super) fn new(scale: &Scale, max: usize) -> Self {
        let max = scale.max.map_or(max, |own| size(own).min(max));
        Self {
            mode: scale.mode,
            min: size(scale.min).min(max),
            max,
            target: size(scale.target),
            step: size(scale.step),
            ratio: size(scale.vote_ratio),
            interval: scale.interval,
            window: scale.window,
            samples: VecDeque::new(),
            tick: None,
        }
    }

    pub(super) fn mode(&self) -> ScaleMode {
        self.mode
    }

    pub(super) fn min(&self) -> usize {
        self.min
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// When the next sample is due; never for a pool that is empty or looks at calls only.
    pub(super) fn tick(&self) -> Option<Instant> {
        self.tick
    }

    /// What to do now.
    pub(super) fn decide(&mut self, now: Instant, moment: Moment, counts: Counts) -> Decision {
        if self.mode == ScaleMode::Demand {
            return self.demand(counts);
        }
        let there = counts.alive() + counts.waiting > 0;
        if moment == Moment::Event {
            if there && self.tick.is_none() {
                self.tick = Some(now + self.interval);
            }
            return self.between(counts);
        }
        self.tick = there.then(|| now + self.interval);
        if there {
            self.sample(now, counts);
        } else {
            // Nobody looks from here on, and what is old says nothing about what comes.
            self.samples.clear();
        }
        match self.mode {
            ScaleMode::Target => self.by_target(counts),
            _ => self.by_vote(counts),
        }
    }

    /// Whether it is those who wait that decide, and no samples.
    pub(super) fn is_by_demand(&self) -> bool {
        self.mode == ScaleMode::Demand
    }

    /// Starts for those who wait, as if there were no settings: the rest of a pool that ends.
    pub(super) fn drained(&self, counts: Counts) -> Decision {
        let coming = counts.idle + counts.starting;
        let starts = counts.waiting.saturating_sub(coming);
        let starts = starts.min(self.max.saturating_sub(counts.alive()));
        Decision {
            want: counts.alive() + starts,
            vote: Vote::None,
            delta: signed(starts),
            reason: Reason::Draining,
        }
    }

    fn sample(&mut self, now: Instant, counts: Counts) {
        self.samples.push_back(Sample {
            at: now,
            waiting: counts.waiting,
            running: counts.busy,
            have: counts.busy + counts.idle,
        });
        while let Some(oldest) = self.samples.front()
            && now.duration_since(oldest.at) > self.window
        {
            self.samples.pop_front();
        }
    }

    fn demand(&self, counts: Counts) -> Decision {
        let alive = counts.alive();
        let coming = counts.idle + counts.starting;
        let missing = self.min.saturating_sub(alive);
        let called = counts.waiting.saturating_sub(coming);
        let wish = called.max(missing);
        let starts = wish.min(self.max.saturating_sub(alive));
        let held = if starts < wish {
            Held::Max(self.max)
        } else {
            Held::No
        };
        Decision {
            want: alive + starts,
            vote: if wish > 0 { Vote::Out } else { Vote::None },
            delta: signed(starts),
            reason: if missing > called {
                Reason::Minimum {
                    min: self.min,
                    held,
                }
            } else {
                Reason::Waiting {
                    waiting: counts.waiting,
                    coming,
                    held,
                }
            },
        }
    }

    /// What cannot wait for the next sample: less than the minimum, or nothing for a caller.
    fn between(&self, counts: Counts) -> Decision {
        let alive = counts.alive();
        if alive < self.min {
            return self.refill(alive);
        }
        if alive == 0 && counts.waiting > 0 && self.max > 0 {
            return Decision {
                want: 1,
                vote: Vote::Out,
                delta: 1,
                reason: Reason::First,
            };
        }
        Decision {
            want: alive,
            vote: Vote::None,
            delta: 0,
            reason: Reason::Between,
        }
    }

    fn refill(&self, alive: usize) -> Decision {
        let missing = self.min - alive;
        let held = if missing > self.step {
            Held::Step(self.step)
        } else {
            Held::No
        };
        Decision {
            want: self.min,
            vote: Vote::Out,
            delta: signed(missing.min(self.step)),
            reason: Reason::Minimum {
                min: self.min,
                held,
            },
        }
    }

    /// Containers beyond what is wanted are left to their idle timeout: between two short calls
    /// every function looks as if it needed none.
    fn by_target(&self, counts: Counts) -> Decision {
        let alive = counts.alive();
        let calls = counts.waiting + counts.busy;
        let wish = calls.div_ceil(self.target);
        let want = wish.clamp(self.min, self.max);
        let missing = want.saturating_sub(alive);
        let held = match wish {
            _ if missing > self.step => Held::Step(self.step),
            wish if wish > self.max => Held::Max(self.max),
            wish if wish < self.min => Held::Min(self.min),
            _ => Held::No,
        };
        Decision {
            want,
            vote: match want.cmp(&alive) {
                std::cmp::Ordering::Greater => Vote::Out,
                std::cmp::Ordering::Less => Vote::In,
                std::cmp::Ordering::Equal => Vote::None,
            },
            delta: signed(missing.min(self.step)),
            reason: Reason::Target {
                calls,
                per: self.target,
                held,
            },
        }
    }

    fn by_vote(&self, counts: Counts) -> Decision {
        let alive = counts.alive();
        if alive < self.min {
            return self.refill(alive);
        }
        let remaining: Vec<usize> = self.samples.iter().map(|s| s.waiting).collect();
        let (vote, step) = vote(&remaining, alive, self.max, self.ratio);
        let (delta, held) = match vote {
            Vote::Out if alive >= self.max => (0, Held::Max(self.max)),
            Vote::Out => (1, Held::No),
            Vote::In if alive <= self.min => (0, Held::Min(self.min)),
            Vote::In if counts.idle == 0 => (0, Held::Busy),
            Vote::In => (-1, Held::No),
            Vote::None => (0, Held::No),
        };
        // Nobody is to wait for a fifth sample where there is nothing at all.
        if delta == 0 && alive == 0 && counts.waiting > 0 {
            return self.between(counts);
        }
        Decision {
            want: usize::try_from(signed(alive) + delta).unwrap_or(0),
            vote,
            delta,
            reason: Reason::Voted { step, held },
        }
    }
}

/// The vote of samples of waiting calls, the last one now, for `workers` containers of at most
/// `most`; with the number of the step that decided.
///
/// The steps are those of the trigger scalers of Azure Functions, where `most` is the number of
/// partitions and a worker is to have `ratio` items waiting.
fn vote(remaining: &[usize], workers: usize, most: usize, ratio: usize) -> (Vote, u8) {
    let Some(last) = remaining.last() else {
        return (Vote::None, 1);
    };
    if most > 0 && most < workers {
        return (Vote::In, 2);
    }
    if remaining.len() < TREND {
        return (Vote::None, 3);
    }
    if *last > workers.saturating_mul(ratio) {
        return (Vote::Out, 4);
    }
    if most > workers && remaining.iter().all(|n| *n > 0) {
        return (Vote::Out, 5);
    }
    if remaining.iter().all(|n| *n == 0) {
        return (Vote::In, 6);
    }
    let trend = &remaining[remaining.len() - TREND..];
    if remaining[0] > 0 && trend.is_sorted_by(|a, b| a < b) {
        return (Vote::Out, 7);
    }
    if trend.is_sorted_by(|a, b| a > b) {
        return (Vote::In, 8);
    }
    (Vote::None, 9)
}

#[cfg(test)]
#[path = "scale_tests.rs"]
mod tests;
