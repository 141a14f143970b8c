//! The pool's decisions as a pure state machine.
//!
//! `L` is a lane, `W` someone who waits for one. Time comes in as an argument. Methods return
//! what is to be done; the driver does it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Bounds of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Most lanes at once, whatever they are doing.
    pub(super) max: usize,
    /// Most waiters at once.
    pub(super) max_waiting: usize,
    pub(super) idle_timeout: Duration,
}

/// What someone who asks for a lane gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<L> {
    /// The lane that was idle for the shortest time.
    Lane(L),
    /// A place at the end of the queue, to be left under this number.
    Queued(u64),
    /// Too many are waiting already.
    Full,
    /// The pool gives out no more lanes.
    Draining,
}

#[derive(Debug)]
pub(super) struct State<L, W> {
    bounds: Bounds,
    /// The last one was used last.
    idle: VecDeque<Idle<L>>,
    waiting: VecDeque<(u64, W)>,
    starting: usize,
    busy: usize,
    draining: bool,
    next_ticket: u64,
}

#[derive(Debug)]
struct Idle<L> {
    lane: L,
    since: Instant,
}

/// How many lanes do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub idle: usize,
    pub busy: usize,
    pub starting: usize,
    pub waiting: usize,
}

impl<L, W> State<L, W> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            starting: 0,
            busy: 0,
            draining: false,
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

    /// Someone asks for a lane. `waiter` is only made when there is none.
    pub(super) fn arrive(&mut self, waiter: impl FnOnce() -> W) -> Arrival<L> {
        if self.draining {
            return Arrival::Draining;
        }
        // Whoever waits was here first; then nothing is idle that could be given.
        if self.waiting.is_empty()
            && let Some(Idle { lane, .. }) = self.idle.pop_back()
        {
            self.busy += 1;
            return Arrival::Lane(lane);
        }
        if self.waiting.len() >= self.bounds.max_waiting {
            return Arrival::Full;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, waiter()));
        Arrival::Queued(ticket)
    }

    /// Someone no longer waits; harmless if they were served meanwhile.
    pub(super) fn leave(&mut self, ticket: u64) {
        if let Ok(position) = self.waiting.binary_search_by_key(&ticket, |(t, _)| *t) {
            self.waiting.remove(position);
        }
    }

    /// How many lanes to start now; they count as starting from here on.
    pub(super) fn starts(&mut self) -> usize {
        let wanted = self
            .waiting
            .len()
            .saturating_sub(self.idle.len() + self.starting);
        let alive = self.idle.len() + self.starting + self.busy;
        let starts = wanted.min(self.bounds.max.saturating_sub(alive));
        self.starting += starts;
        starts
    }

    /// Whether a start that was asked for is still wanted; if not, it no longer counts as
    /// starting. Those who waited for it may have been served or have left.
    pub(super) fn still_wanted(&mut self) -> bool {
        let wanted = self.starting <= self.waiting.len();
        if !wanted {
            self.starting -= 1;
        }
        wanted
    }

    /// A lane has started and counts as busy; the driver [`offer`](Self::offer)s it now.
    pub(super) fn started(&mut self) {
        self.starting -= 1;
        self.busy += 1;
    }

    /// A lane could not be started. Returns who is to hear of it: one waiter per failure, so
    /// that a single bad start does not fail a whole queue.
    pub(super) fn start_failed(&mut self) -> Option<W> {
        self.starting -= 1;
        self.waiting.pop_front().map(|(_, waiter)| waiter)
    }

    /// A busy lane is free. Returns who gets it, or makes it idle.
    ///
    /// The lane stays busy if a waiter is returned; should that waiter be gone, offer again.
    pub(super) fn offer(&mut self, lane: L, now: Instant) -> Offer<L, W> {
        if let Some((_, waiter)) = self.waiting.pop_front() {
            return Offer::Serve(waiter, lane);
        }
        self.busy -= 1;
        if self.draining {
            return Offer::Retire(lane);
        }
        self.idle.push_back(Idle { lane, since: now });
        Offer::Idle
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
            .take_while(|idle| now >= idle.since + self.bounds.idle_timeout)
            .count();
        self.idle.drain(..expired).map(|idle| idle.lane).collect()
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

    /// When [`expire`](Self::expire) is next worth calling. Lanes that are busy or starting now
    /// cannot expire before a whole idle timeout has passed.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        match self.idle.front() {
            Some(idle) => Some(idle.since + self.bounds.idle_timeout),
            None if self.busy + self.starting > 0 => Some(now + self.bounds.idle_timeout),
            None => None,
        }
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
mod tests;
