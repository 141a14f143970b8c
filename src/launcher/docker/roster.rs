//! The containers that are ours, and what somebody else did to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Whether the way to it leads through the engine.
    attached: AtomicBool,
    cause: watch::Sender<Option<Loss>>,
    /// What happens to it now is our own doing.
    ours: watch::Sender<bool>,
    /// The engine's gaps when it was last known to run.
    gaps: AtomicU64,
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
            attached: AtomicBool::new(false),
            cause: watch::Sender::new(None),
            ours: watch::Sender::new(false),
            gaps: AtomicU64::new(self.engine.gaps()),
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

    /// What is reached through the engine is not reached without it.
    pub(super) fn lose_attached(&self) {
        for entry in self.started() {
            if entry.attached.load(Ordering::Relaxed) {
                entry.lose(Loss::Engine);
            }
        }
    }

    /// Lets nothing stay frozen.
    pub(super) fn thaw(&self) {
        for entry in self.started() {
            if let Some(informer) = entry.informer.get() {
                informer.thaw();
            }
        }
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
        if *self.ours.borrow() {
            return;
        }
        if self.informer.get().is_some_and(|i| i.lose(loss)) {
            tracing::warn!(container = %self.id, "lost: {loss}");
        }
    }

    /// As [`lose`](Self::lose), if `proof` bears out what was told, which may be old news of our
    /// own doing.
    pub(super) async fn lose_if(&self, loss: Loss, proof: impl Future<Output = bool>) {
        let ours = self.ours.subscribe();
        if proof.await && matches!(ours.has_changed(), Ok(false)) {
            self.lose(loss);
        }
    }

    /// If the container ends now, this is why.
    pub(super) fn suspect(&self, loss: Loss) {
        if !*self.ours.borrow() {
            self.cause.send_replace(Some(loss));
        }
    }

    /// The container is not to be used for another call.
    pub(super) fn doubt(&self) {
        if let Some(informer) = self.informer.get() {
            informer.doubt();
        }
    }

    /// Whether the engine was away since the container was last known to run.
    pub(super) fn missed_some(&self, engine: &Engine) -> bool {
        self.gaps.load(Ordering::Relaxed) != engine.gaps()
    }

    /// The container ran when the engine had had so many gaps.
    pub(super) fn runs(&self, gaps: u64) {
        self.gaps.store(gaps, Ordering::Relaxed);
    }
}

impl Place {
    /// The container's function has been started; `attached` if the engine carries its bytes.
    pub(super) fn started(&self, control: &Control, attached: bool) {
        self.entry.attached.store(attached, Ordering::Relaxed);
        let _ = self.entry.informer.set(control.informer());
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.roster.engine
    }

    /// As [`Entry::missed_some`].
    pub(super) fn missed_some(&self) -> bool {
        self.entry.missed_some(self.engine())
    }

    /// Whoever does to the container what others might do, too, says so before: `true` from here
    /// on, `false` to be told of others again.
    pub(super) fn ours(&self, ours: bool) {
        self.entry.ours.send_replace(ours);
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
        if self.missed_some() {
            return Some(Loss::Engine);
        }
        if *entry.ours.borrow() || !matches!(exit, Exit::Code(_)) {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::launcher::fake::FakeLauncher;
    use crate::launcher::{Channel, LaunchSpec, Launcher as _, Reach};

    const SIGKILLED: Exit = Exit::Code(137);

    fn place() -> (Arc<Engine>, Arc<Roster>, Place) {
        let engine = Arc::new(Engine::new(None));
        let roster = Roster::new(engine.clone());
        let place = roster.enter("c");
        (engine, roster, place)
    }

    #[tokio::test]
    async fn a_container_is_known_until_it_is_gone() {
        let (_, roster, place) = place();
        assert!(roster.find("c").is_some());
        assert!(roster.started().is_empty(), "nothing runs in it yet");
        drop(place);
        assert!(roster.find("c").is_none());
    }

    // D10: the word may come after the end.
    #[tokio::test(start_paused = true)]
    async fn an_end_is_excused_by_who_caused_it() {
        let (_, roster, place) = place();
        assert_eq!(place.excuse(SIGKILLED).await, None, "nobody said a word");
        let (excuse, ()) = tokio::join!(place.excuse(SIGKILLED), async {
            roster.find("c").unwrap().suspect(Loss::Killed);
        });
        assert_eq!(excuse, Some(Loss::Killed));
        assert_eq!(place.excuse(Exit::Code(0)).await, Some(Loss::Killed));
    }

    #[tokio::test(start_paused = true)]
    async fn what_we_do_is_nobody_elses_doing() {
        let (_, roster, place) = place();
        let entry = roster.find("c").unwrap();
        place.ours(true);
        entry.suspect(Loss::Killed);
        assert_eq!(place.excuse(SIGKILLED).await, None);
        place.ours(false);
        entry.suspect(Loss::Killed);
        assert_eq!(place.excuse(SIGKILLED).await, Some(Loss::Killed));
    }

    // D11
    #[tokio::test(start_paused = true)]
    async fn an_engine_that_was_away_excuses_ends_by_signal_and_no_others() {
        let (engine, roster, place) = place();
        engine.lost_sight();
        assert_eq!(place.excuse(SIGKILLED).await, Some(Loss::Engine));
        assert_eq!(place.excuse(Exit::Killed).await, Some(Loss::Engine));
        assert_eq!(place.excuse(Exit::Code(1)).await, None);
        let later = roster.enter("later");
        assert_eq!(later.excuse(SIGKILLED).await, None);
        // It has survived, so what ends it now is something else.
        roster.find("c").unwrap().runs(engine.gaps());
        assert_eq!(place.excuse(SIGKILLED).await, None);
    }

    // D9: the engine tells of our own pauses, too, and sometimes late.
    #[tokio::test]
    async fn a_pause_of_our_own_is_not_taken_for_somebody_elses() {
        let (_, roster, place) = place();
        let entry = roster.find("c").unwrap();
        let fake = FakeLauncher::default().image("deaf", |_| std::future::pending());
        let spec = LaunchSpec {
            image: Arc::new(fake.resolve("deaf").await.unwrap()),
            channel: Channel::Stdio,
            env: BTreeMap::new(),
            memory_mb: 64,
            cpus: None,
            tmpfs_mb: 0,
            reach: Reach::Network,
            app: "a".to_owned(),
            function: "f".to_owned(),
        };
        let control = fake.launch(&spec).await.unwrap().control;
        place.started(&control, false);
        entry.lose_if(Loss::Paused, async { false }).await;
        // Thawed and paused again while the engine was asked.
        let meanwhile = async {
            place.ours(true);
            place.ours(false);
            true
        };
        entry.lose_if(Loss::Paused, meanwhile).await;
        place.ours(true);
        entry.lose_if(Loss::Paused, async { true }).await;
        place.ours(false);
        // The first loss is what counts.
        entry.lose_if(Loss::Removed, async { true }).await;
        assert_eq!(control.ended().await, Exit::Lost(Loss::Removed));
    }

    // D11
    #[tokio::test]
    async fn what_needs_an_engine_fails_as_soon_as_it_does_not_answer() {
        use crate::launcher::LaunchError;
        let engine = Engine::new(None);
        let answer = engine.ask(std::future::ready(Ok(1))).await;
        assert!(matches!(answer, Ok(1)));
        let hung = engine.ask(std::future::pending::<Result<(), _>>());
        let (answer, ()) = tokio::join!(hung, async {
            engine.note(Some(&LaunchError::EngineDown("it hangs".to_owned())));
        });
        assert!(matches!(answer, Err(LaunchError::EngineDown(why)) if why == "it hangs"));
        assert!(!engine.is_up());
        engine.note(None);
        engine.up().await;
    }
}
