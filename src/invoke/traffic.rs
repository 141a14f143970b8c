use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The calls in flight, and whether there may be new ones.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    calls: AtomicUsize,
    closed: AtomicBool,
}

impl Traffic {
    /// Counts a call until what is returned is dropped; `None` where there may be no new ones.
    pub(super) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        // Counted first: who sees the last call end after closing sees no other begin.
        self.calls.fetch_add(1, Ordering::SeqCst);
        let in_flight = InFlight(self.clone());
        (!self.closed.load(Ordering::SeqCst)).then_some(in_flight)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A call in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Traffic>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}
