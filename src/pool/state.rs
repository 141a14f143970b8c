//! The pool's decisions as a pure state machine.
//!
//! `L` is a lane, `W` someone who waits for one. Time comes in as an argument. Methods return
//! what is to be done; the driver does it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::scale::{Decision, Moment, Reason, Scaler, Vote};
use super::turnover::Turnover;

/// How many of the lanes used last are looked at for one that is near.
const LATEST: usize = 4;

/// How many of those who wait are looked at for one who is near, and how often in a row at most the
/// first of them is passed over.
const FOREMOST: usize = 16;

/// Bounds of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Most waiters at once.
    pub(super) max_waiting: usize,
    pub(super) idle_timeout: Duration,
    /// How long a lane idles before it is frozen, if ever.
    pub(super) freeze_after: Option<Duration>,
}

/// What someone who asks for a lane gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<L> {
    /// The lane that was idle for the shortest time, or one of the last that is near.
    Lane(L),
    /// A place at the end of the queue, to be left under this number.
    Queued(u64),
    /// Too many are waiting already.
    Full,
    /// Nothing is there and nothing is started before then.
    BackingOff(Instant),
    /// The pool gives out no more lanes.
    Draining,
}

#[derive(Debug)]
pub(super) struct State<L, W> {
    bounds: Bounds,
    scaler: Scaler,
    backoff: Backoff,
    /// The last decision that was looked for or changed something.
    last: Decision,
    /// The last one was used last.
    idle: VecDeque<Idle<L>>,
    waiting: VecDeque<(u64, W)>,
    /// How often in a row the first of them was passed over.
    passed_over: usize,
    turnover: Turnover,
    /// Lanes that have started and were not offered yet.
    fresh: usize,
    starting: usize,
    busy: usize,
    draining: bool,
    /// Whether nothing stays for calls to come.
    resting: bool,
    next_ticket: u64,
}

#[derive(Debug)]
struct Idle<L> {
    lane: L,
    since: Instant,
    frozen: bool,
}

/// How many lanes do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub idle: usize,
    pub busy: usize,
    pub starting: usize,
    pub waiting: usize,
}

impl Counts {
    /// All there are and all on their way.
    pub(super) fn alive(self) -> usize {
        self.idle + self.busy + self.starting
    }
}

impl<L, W> State<L, W> {
    pub(super) fn new(bounds: Bounds, scaler: Scaler) -> Self {
        Self {
            bounds,
            scaler,
            backoff: Backoff::default(),
            last: Decision::default(),
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            passed_over: 0,
            turnover: Turnover::default(),
            fresh: 0,
            starting: 0,
            busy: 0,
            draining: false,
            resting: false,
            next_ticket: 0,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            idle: self.idle.len(),
            busy: self.busy,
            starting: self.starting,
            waiting: self.waiting.len(),
        }
    }

    /// Someone asks for a lane, best one that is `near`. `waiter` is only made when there is none.
    pub(super) fn arrive(
        &mut self,
        near: impl Fn(&L) -> bool,
        waiter: impl FnOnce() -> W,
    ) -> Arrival<L> {
        if self.draining {
            return Arrival::Draining;
        }
        // Whoever waits was here first; then nothing is idle that could be given.
        if self.waiting.is_empty()
            && let Some(lane) = self.take_idle(near)
        {
            self.busy += 1;
            return Arrival::Lane(lane);
        }
        if let Some(until) = self.backoff.until()
            && self.counts().alive() == 0
        {
            return Arrival::BackingOff(until);
        }
        if self.waiting.len() >= self.bounds.max_waiting {
            return Arrival::Full;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, waiter()));
        Arrival::Queued(ticket)
    }

    fn take_idle(&mut self, near: impl Fn(&L) -> bool) -> Option<L> {
        let mut last = self.idle.iter().rev().take(LATEST);
        // To thaw one costs more than to be far away.
        let fit = |idle: &Idle<L>| !idle.frozen && near(&idle.lane);
        let back = last.position(fit).unwrap_or(0);
        let at = self.idle.len().checked_sub(back + 1)?;
        self.idle.remove(at).map(|idle| idle.lane)
    }

    /// Someone has begun to wait, with nobody before them or with others.
    pub(super) fn joined(&mut self, now: Instant) {
        self.turnover.joined(now);
    }

    /// Someone no longer waits; harmless if they were served meanwhile. Returns whether more is
    /// starting than is wanted now.
    pub(super) fn leave(&mut self, ticket: u64) -> bool {
        if let Ok(position) = self.waiting.binary_search_by_key(&ticket, |(t, _)| *t) {
            self.waiting.remove(position);
        }
        self.starting > self.waiting.len() && self.counts().alive() > self.floor()
    }

    /// How many lanes to start now, or, below zero, to [`give_up`](Self::give_up). Those to
    /// start count as starting from here on.
    pub(super) fn decide(&mut self, now: Instant, moment: Moment) -> Decision {
        let counts = self.counts();
        self.backoff.look(now);
        let brief = self.is_brief(now);
        let mut decision = if self.ends() {
            self.scaler.drained(counts)
        } else {
            let waiting = if brief { 0 } else { counts.waiting };
            self.scaler
                .decide(now, moment, Counts { waiting, ..counts })
        };
        if brief && decision.delta == 0 {
            decision.reason = Reason::Brief {
                waiting: counts.waiting,
            };
        }
        if decision.delta > 0 && self.backoff.until().is_some() {
            decision.delta = 0;
            decision.reason = Reason::BackingOff {
                failures: self.backoff.failures(),
            };
        }
        self.starting += usize::try_from(decision.delta).unwrap_or(0);
        if decision.delta != 0 || decision.reason != Reason::Between {
            self.last = decision;
        }
        decision
    }

    /// Whether those who wait may, because it will soon be their turn. For who scales by other
    /// things than those who wait, never.
    pub(super) fn is_brief(&self, now: Instant) -> bool {
        self.may_move() && self.turnover.is_brief(self.waiting.len(), now)
    }

    /// Whether those who wait do so for lanes that others have.
    fn may_move(&self) -> bool {
        let waits = !self.waiting.is_empty() && self.busy > 0;
        waits && self.scaler.is_by_demand() && !self.ends()
    }

    /// Takes out the lane that idled for longest.
    pub(super) fn give_up(&mut self) -> Option<L> {
        self.idle.pop_front().map(|idle| idle.lane)
    }

    /// Whether a start that was asked for is still wanted; if not, it no longer counts as
    /// starting. Those who waited for it may have been served or have left.
    pub(super) fn still_wanted(&mut self, now: Instant) -> bool {
        let called = self.starting <= self.waiting.len() && !self.is_brief(now);
        let kept = self.counts().alive() <= self.floor();
        let wanted = (called || kept) && self.backoff.until().is_none();
        if !wanted {
            self.starting -= 1;
        }
        wanted
    }

    /// Lanes that stay although nobody calls.
    fn floor(&self) -> usize {
        if self.ends() { 0 } else { self.scaler.min() }
    }

    /// A lane has started and counts as busy; the driver [`offer`](Self::offer)s it now.
    pub(super) fn started(&mut self) {
        self.starting -= 1;
        self.busy += 1;
        self.fresh += 1;
    }

    /// How long a lane took to start.
    pub(super) fn start_took(&mut self, time: Duration) {
        self.turnover.started(time);
    }

    /// A lane could not be started. Returns who is to hear of it: one waiter per failure, so
    /// that a single bad start does not fail a whole queue.
    ///
    /// `passing`: it may be over at any moment, so it is tried again soon.
    pub(super) fn start_failed(&mut self, now: Instant, passing: bool) -> Option<W> {
        self.starting -= 1;
        self.backoff.failed(now, passing);
        self.waiting.pop_front().map(|(_, waiter)| waiter)
    }

    /// A start that no waiter of this queue caused has failed.
    pub(super) fn cold_failed(&mut self, now: Instant, passing: bool) {
        self.backoff.failed(now, passing);
    }

    /// A lane ended that nobody ever called.
    pub(super) fn stillborn(&mut self, now: Instant) {
        self.backoff.failed(now, false);
    }

    /// A lane ended in its first call.
    pub(super) fn crashed(&mut self, now: Instant, certain: bool) {
        self.backoff.crashed(now, certain);
    }

    /// A lane answered a call.
    pub(super) fn served(&mut self) {
        self.backoff.served();
    }

    /// Until when nothing is started.
    pub(super) fn backing_off(&self) -> Option<Instant> {
        self.backoff.until()
    }

    /// Those who wait for nothing: no lane is there, and starts keep failing. After a first
    /// failure they wait for the next try, which comes soon.
    pub(super) fn hopeless(&mut self) -> Vec<W> {
        let again = self.backoff.failures() > 1 || self.ends();
        if again && self.backoff.until().is_some() && self.counts().alive() == 0 {
            self.dismiss()
        } else {
            Vec::new()
        }
    }

    /// A busy lane is free. Returns who gets it, or makes it idle. Who has waited for longest does,
    /// but for a few who are `near` it, where that costs the first no time to speak of.
    ///
    /// The lane stays busy if a waiter is returned; should that waiter be gone, offer again.
    pub(super) fn offer(
        &mut self,
        lane: L,
        now: Instant,
        near: impl Fn(&W) -> bool,
    ) -> Offer<L, W> {
        // One that is new says nothing about how soon others are free.
        let fresh = self.fresh > 0;
        self.fresh -= usize::from(fresh);
        // First, because who is passed over waits for the next to be free, which takes as long.
        if !fresh && !self.waiting.is_empty() {
            self.turnover.passed(now);
        }
        if let Some(waiter) = self.take_waiting(near) {
            return Offer::Serve(waiter, lane);
        }
        self.busy -= 1;
        if self.ends() {
            return Offer::Retire(lane);
        }
        self.turnover.rest();
        self.idle.push_back(Idle {
            lane,
            since: now,
            frozen: false,
        });
        Offer::Idle
    }

    fn take_waiting(&mut self, near: impl Fn(&W) -> bool) -> Option<W> {
        let most = self.turnover.patience(FOREMOST);
        let mut foremost = self.waiting.iter().take(FOREMOST);
        let at = if self.passed_over < most {
            foremost.position(|(_, waiter)| near(waiter)).unwrap_or(0)
        } else {
            0
        };
        self.passed_over = if at == 0 { 0 } else { self.passed_over + 1 };
        self.waiting.remove(at).map(|(_, waiter)| waiter)
    }

    /// A busy lane is no more.
    pub(super) fn retired(&mut self) {
        self.busy -= 1;
    }

    /// Takes out the lanes that idled for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<L> {
        // The first one has been idle for longest.
        let expired = self
            .idle
            .iter()
            .take(self.spare())
            .take_while(|idle| now >= idle.since + self.bounds.idle_timeout)
            .count();
        if expired > 0 {
            let left = self.counts().alive() - expired;
            self.last = Decision {
                want: left,
                vote: Vote::In,
                delta: -i64::try_from(expired).unwrap_or(i64::MAX),
                reason: Reason::Expired,
            };
        }
        self.idle.drain(..expired).map(|idle| idle.lane).collect()
    }

    /// Lanes that have now idled for long enough to be frozen, each told once.
    pub(super) fn freeze_due(&mut self, now: Instant) -> impl Iterator<Item = &mut L> {
        let after = self.bounds.freeze_after;
        let due = move |idle: &&mut Idle<L>| {
            !idle.frozen && after.is_some_and(|after| now >= idle.since + after)
        };
        self.idle.iter_mut().filter(due).map(|idle| {
            idle.frozen = true;
            &mut idle.lane
        })
    }

    /// When [`freeze_due`](Self::freeze_due) is next worth calling.
    fn next_freeze(&self) -> Option<Instant> {
        let after = self.bounds.freeze_after?;
        // The first that is not frozen has idled for longest of those.
        let next = self.idle.iter().find(|idle| !idle.frozen)?;
        Some(next.since + after)
    }

    /// Takes out the idle lanes for which `doubt` holds.
    pub(super) fn claim(&mut self, mut doubt: impl FnMut(&mut L) -> bool) -> Vec<L> {
        let mut claimed = Vec::new();
        for mut idle in std::mem::take(&mut self.idle) {
            if doubt(&mut idle.lane) {
                claimed.push(idle.lane);
            } else {
                self.idle.push_back(idle);
            }
        }
        claimed
    }

    /// Since when those idle that are there beyond the ones that stay anyway, the first for
    /// longest.
    pub(super) fn spares(&self) -> impl Iterator<Item = Instant> {
        self.idle.iter().take(self.spare()).map(|idle| idle.since)
    }

    /// Takes out up to `count` of the lanes that [`spares`](Self::spares) tells of.
    pub(super) fn evict(&mut self, count: usize) -> Vec<L> {
        let count = count.min(self.spare()).min(self.idle.len());
        self.idle.drain(..count).map(|idle| idle.lane).collect()
    }

    /// Whether a busy lane could go although others wait for it.
    pub(super) fn can_cede(&self) -> bool {
        !self.waiting.is_empty() && self.spare() > 0
    }

    /// Lanes that are there beyond those that stay anyway.
    fn spare(&self) -> usize {
        (self.idle.len() + self.busy).saturating_sub(self.floor())
    }

    /// When [`expire`](Self::expire) is next worth calling. Lanes that are busy, starting or
    /// staying now are not looked at before a whole idle timeout has passed: a call that gives
    /// one back then finds the alarm set and wakes nobody.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        match self.idle.front() {
            Some(idle) if self.spare() > 0 => Some(idle.since + self.bounds.idle_timeout),
            None if self.busy + self.starting == 0 => None,
            _ => Some(now + self.bounds.idle_timeout),
        }
    }

    /// When there is something to look at, whatever happens before.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let tick = self.scaler.tick().filter(|_| !self.ends());
        [
            self.next_expiry(now),
            self.next_freeze(),
            tick,
            self.backoff.until(),
            // Also where the queue was found to move and does so no longer: nobody may have acted.
            self.turnover.next_look(now).filter(|_| self.may_move()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether a sample is due.
    pub(super) fn tick_due(&self, now: Instant) -> bool {
        !self.ends() && self.scaler.tick().is_some_and(|tick| now >= tick)
    }

    pub(super) fn last(&self) -> Decision {
        self.last
    }

    pub(super) fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// Keeps no lane for calls to come, which are served nevertheless.
    pub(super) fn rest(&mut self) -> Vec<L> {
        self.resting = true;
        self.idle.drain(..).map(|idle| idle.lane).collect()
    }

    /// Whether it keeps no lane for calls to come.
    pub(super) fn ends(&self) -> bool {
        self.draining || self.resting
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Gives out no more lanes. Those who already wait are still served, by new lanes if need be.
    pub(super) fn drain(&mut self) -> Vec<L> {
        self.draining = true;
        self.idle.drain(..).map(|idle| idle.lane).collect()
    }

    /// Lets nobody wait any longer.
    pub(super) fn dismiss(&mut self) -> Vec<W> {
        self.waiting.drain(..).map(|(_, waiter)| waiter).collect()
    }
}

/// Where a free lane goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer<L, W> {
    Serve(W, L),
    Idle,
    Retire(L),
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(in crate::pool) mod tests;
