//! What happens to our containers without our doing: somebody pauses or removes them, the engine
//! goes away and comes back.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bollard::Docker;
use bollard::models::{ContainerSummaryStateEnum as State, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::engine::{Engine, refused};
use super::namespace::Namespaces;
use super::roster::{Entry, Roster};
use super::settings::{ID_LABEL, INSTANCE_LABEL};
use super::ward;
use crate::launcher::{LaunchError, Loss};

/// What is listened for. `create` and `start` tell of a container that nobody waits for any more:
/// an engine goes on making what it was once asked for.
const ACTIONS: [&str; 6] = ["create", "start", "kill", "pause", "oom", "destroy"];

/// Where the engine does not let us listen, this is how often we look.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long the engine may take to say what it has. While it is silent, it is not listened to.
const ANSWER: Duration = Duration::from_secs(20);

/// Keeps the roster true to what the engine has.
#[derive(Clone, Debug)]
pub(super) struct Lookout {
    pub(super) engine: Arc<Engine>,
    pub(super) roster: Arc<Roster>,
    pub(super) namespaces: Namespaces,
    pub(super) identity: String,
    /// For removals.
    pub(super) tasks: TaskTracker,
}

impl Lookout {
    /// Listens to the engine for ever. `swept`: nothing of an earlier run's is there.
    pub(super) async fn keep(self, mut swept: bool) {
        loop {
            let docker = self.engine.answering().await;
            let began = Instant::now();
            // Events since then are told even if they come before we listen.
            let since = now_secs().saturating_sub(1);
            let watch = async {
                if swept || self.reconcile_in_passing(&docker).await {
                    self.listen(&docker, since).await;
                }
            };
            tokio::select! {
                () = watch => {}
                never = self.engine.pulse() => match never {},
                never = self.give_up_the_silent() => match never {},
            }
            self.engine.lost_sight();
            // An engine that starts again ends its containers, which takes that they run.
            self.roster.thaw();
            swept = false;
            if began.elapsed() < LOOK_AGAIN {
                // Away again at once? Then callers are to know before we rest.
                self.engine.look().await;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Callers are not kept waiting for an engine that hangs.
    async fn give_up_the_silent(&self) -> Infallible {
        loop {
            self.engine.silent().await;
            self.roster.lose_attached();
            self.engine.up().await;
        }
    }

    async fn listen(&self, docker: &Docker, since: u64) {
        let mut filters = self.filters();
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
        let options = EventsOptionsBuilder::default()
            .since(&since.to_string())
            .filters(&filters)
            .build();
        let mut events = docker.events(Some(options));
        loop {
            match events.next().await {
                Some(Ok(event)) => self.heed(docker, event),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the engine's events");
                    return;
                }
                None => return,
            }
        }
    }

    fn heed(&self, docker: &Docker, event: EventMessage) {
        let Some(actor) = event.actor else { return };
        let attributes = actor.attributes.unwrap_or_default();
        let action = event.action.as_deref().unwrap_or_default();
        let entry = attributes.get(ID_LABEL).and_then(|id| self.roster.find(id));
        match (entry, action) {
            (Some(entry), "pause") => self.check_pause(docker, entry, actor.id),
            (Some(entry), "destroy") => entry.lose(Loss::Removed),
            (Some(entry), "oom") => entry.doubt(),
            (Some(entry), "kill") => {
                // Other signals are the function's own affair.
                if matches!(
                    attributes.get("signal").map(String::as_str),
                    Some("9" | "15")
                ) {
                    entry.suspect(Loss::Killed);
                }
            }
            (None, "create" | "start") => {
                if let Some(id) = actor.id {
                    self.discard(docker, id);
                }
            }
            _ => {}
        }
    }

    /// That it was paused may be our own doing, and over: the engine is asked how it is now.
    fn check_pause(&self, docker: &Docker, entry: Arc<Entry>, id: Option<String>) {
        let Some(id) = id else { return };
        let docker = docker.clone();
        self.tasks.spawn(async move {
            let is_paused = async {
                let found = timeout(ANSWER, docker.inspect_container(&id, None)).await;
                let state = found.ok()?.ok()?.state;
                Some(state?.paused == Some(true))
            };
            let is_paused = async { is_paused.await.unwrap_or(false) };
            entry.lose_if(Loss::Paused, is_paused).await;
        });
    }

    fn discard(&self, docker: &Docker, id: String) -> JoinHandle<()> {
        let (docker, engine) = (docker.clone(), self.engine.clone());
        self.tasks
            .spawn(async move { ward::remove_leftover(&engine, &docker, &id).await })
    }

    /// As [`reconcile`](Self::reconcile), without waiting for the removals.
    async fn reconcile_in_passing(&self, docker: &Docker) -> bool {
        match self.reconcile(docker).await {
            Ok(strays) => {
                self.namespaces.forget_gone();
                if !strays.is_empty() {
                    tracing::info!(
                        containers = strays.len(),
                        "removing what is nobody's any more"
                    );
                }
                for id in strays {
                    self.discard(docker, id);
                }
                true
            }
            Err(error) => {
                tracing::debug!(%error, "cannot look for containers");
                false
            }
        }
    }

    /// Removes what carries our label and is not on the roster. Returns how many those were.
    pub(super) async fn sweep(&self, docker: &Docker) -> Result<usize, LaunchError> {
        let strays = self.reconcile(docker).await?;
        // They go on where the caller does not wait for them.
        let removals = strays.into_iter().map(|id| self.discard(docker, id));
        Ok(join_all(removals).await.len())
    }

    /// Declares dead what is on the roster and does not run. Returns what is not on it.
    async fn reconcile(&self, docker: &Docker) -> Result<Vec<String>, LaunchError> {
        // Before the list, in which what is started later may be missing.
        let (started, gaps) = (self.roster.started(), self.engine.gaps());
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&self.filters())
            .build();
        let found = timeout(ANSWER, docker.list_containers(Some(options))).await;
        let found = found
            .map_err(|_| LaunchError::EngineDown("it does not list containers".to_owned()))?
            .map_err(|e| refused("list containers", &e))?;
        let (mut seen, mut strays) = (HashSet::new(), Vec::new());
        for container in found {
            let labels = container.labels.unwrap_or_default();
            let entry = labels.get(ID_LABEL).and_then(|id| self.roster.find(id));
            let Some(entry) = entry else {
                strays.extend(container.id);
                continue;
            };
            seen.insert(entry.id().to_owned());
            match container.state {
                Some(State::PAUSED) => self.check_pause(docker, entry, container.id),
                Some(State::RUNNING) => entry.runs(gaps),
                // What ended while we looked has told so itself.
                Some(State::EXITED | State::DEAD) if entry.missed_some(&self.engine) => {
                    entry.lose(Loss::Engine);
                }
                _ => {}
            }
        }
        for entry in started {
            if !seen.contains(entry.id()) {
                entry.lose(Loss::Removed);
            }
        }
        Ok(strays)
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        let label = format!("{INSTANCE_LABEL}={}", self.identity);
        HashMap::from([("label".to_owned(), vec![label])])
    }
}

fn now_secs() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
