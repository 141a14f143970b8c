//! The containers that are ours, and what somebody else did to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::engine::Engine;
use crate::launcher::supervise::Informer;
use crate::launcher::{Control, Exit, Loss};

/// A container's end and the engine's word on who caused it come by two ways; how long the word
/// is waited for.
const WORD: Duration = Duration::from_millis(200);

/// What a shell and an engine make of an end by SIGKILL and by SIGTERM.
const BY_SIGNAL: [i64; 2] = [128 + 9, 128 + 15];

/// Every container of ours from before it is made until it is gone, by our name for it.
#[derive(Debug)]
pub(super) struct Roster {
    engine: Arc<Engine>,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

/// What is known of one container.
#[derive(Debug)]
pub(super) struct Entry {
    id: String,
    informer: OnceLock<Informer>,
    cause: watch::Sender<Option<Loss>>,
    /// What happens to it now is our own doing.
    ours: AtomicBool,
    /// The engine's gaps when it was started.
    gaps: u64,
}

/// A container's place on the roster; dropping it gives the place up.
#[derive(Debug)]
pub(super) struct Place {
    roster: Arc<Roster>,
    entry: Arc<Entry>,
}

impl Roster {
    pub(super) fn new(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            entries: Mutex::default(),
        })
    }

    pub(super) fn enter(self: &Arc<Self>, id: &str) -> Place {
        let entry = Arc::new(Entry {
            id: id.to_owned(),
            informer: OnceLock::new(),
            cause: watch::Sender::new(None),
            ours: AtomicBool::new(false),
            gaps: self.engine.gaps(),
        });
        self.entries.lock().insert(id.to_owned(), entry.clone());
        Place {
            roster: self.clone(),
            entry,
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries.lock().get(id).cloned()
    }

    /// Those whose functions have been started.
    pub(super) fn started(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock();
        let started = entries.values().filter(|e| e.informer.get().is_some());
        started.cloned().collect()
    }
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The container is of no use any more, unless that is our own doing.
    pub(super) fn lose(&self, loss: Loss) {
        if self.ours.load(Ordering::Relaxed) {
            return;
        }
        if self.informer.get().is_some_and(|i| i.lose(loss)) {
            tracing::warn!(container = %self.id, "lost: {loss}");
        }
    }

    /// If the container ends now, this is why.
    pub(super) fn suspect(&self, loss: Loss) {
        if !self.ours.load(Ordering::Relaxed) {
            self.cause.send_replace(Some(loss));
        }
    }

    /// The container is not to be used for another call.
    pub(super) fn doubt(&self) {
        if let Some(informer) = self.informer.get() {
            informer.doubt();
        }
    }

    /// Whether the engine was away since the container was started.
    pub(super) fn missed_some(&self, engine: &Engine) -> bool {
        self.gaps != engine.gaps()
    }
}

impl Place {
    /// The container's function has been started.
    pub(super) fn started(&self, control: &Control) {
        let _ = self.entry.informer.set(control.informer());
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.roster.engine
    }

    /// Whoever does to the container what others might do, too, says so before: `true` from here
    /// on, `false` to be told of others again.
    pub(super) fn ours(&self, ours: bool) {
        self.entry.ours.store(ours, Ordering::Relaxed);
    }

    /// What ended the container like this, if it did not end by itself.
    pub(super) async fn excuse(&self, exit: Exit) -> Option<Loss> {
        let entry = &self.entry;
        let known = *entry.cause.borrow();
        let by_signal = match exit {
            Exit::Code(code) => BY_SIGNAL.contains(&code),
            _ => true,
        };
        if known.is_some() || !by_signal {
            return known;
        }
        if entry.missed_some(&self.roster.engine) {
            return Some(Loss::Engine);
        }
        if entry.ours.load(Ordering::Relaxed) || !matches!(exit, Exit::Code(_)) {
            return None;
        }
        let mut cause = entry.cause.subscribe();
        match tokio::time::timeout(WORD, cause.wait_for(Option::is_some)).await {
            Ok(Ok(cause)) => *cause,
            _ => None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.entries.lock().remove(&self.entry.id);
    }
}
