//! A container's end: waiting for it, causing it, removing what is left.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use super::attach::Ends;
use super::cgroup::Cgroup;
use super::engine::{Engine, is_missing};
use super::namespace::Namespace;
use super::network::Membership;
use super::roster::Place;
use crate::launcher::folder::Folder;
use crate::launcher::supervise::Ward;
use crate::launcher::usage::Gauge;
use crate::launcher::{Exit, Loss};

/// How often a container that may still be in the making is asked for.
const REMOVAL_TRIES: u32 = 6;

/// How long a container's removal is tried, an engine that is away included. What is left after
/// that is removed when the engine is next back, or the gateway starts again.
const REMOVAL: Duration = Duration::from_secs(600);

/// How long one try may take; an engine that hangs has forgotten it.
const REMOVAL_TRY: Duration = Duration::from_secs(20);

/// The longest pause between two tries.
const REMOVAL_PAUSE: Duration = Duration::from_secs(5);

/// How long a signal may take to be sent; removal is by force anyway.
const SIGNAL: Duration = Duration::from_secs(5);

/// How an engine tells of an end by SIGKILL.
const SIGKILLED: Exit = Exit::Code(137);

/// What is known of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    /// The engine was asked to create it and has not answered.
    Unknown,
    Created,
    Removed,
}

/// How a container was frozen, or was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frozen {
    Not,
    Directly,
    /// Paused by the engine.
    Paused,
}

/// A container that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct DockerWard {
    docker: Docker,
    tasks: TaskTracker,
    /// Given up last.
    place: Arc<Place>,
    /// The engine's name for it, once it has one; people can change ours.
    id: String,
    /// Removed after the container.
    folder: Option<Folder>,
    streams: Option<Ends>,
    watched: bool,
    cgroup: Option<Arc<Cgroup>>,
    frozen: Frozen,
    /// Given up after the container.
    network: Option<Membership>,
    /// Given back after the container.
    namespace: Option<Namespace>,
    existence: Existence,
}

impl DockerWard {
    pub(super) fn new(
        docker: Docker,
        tasks: TaskTracker,
        place: Place,
        id: &str,
        folder: Option<Folder>,
    ) -> Self {
        Self {
            docker,
            tasks,
            place: Arc::new(place),
            id: id.to_owned(),
            folder,
            streams: None,
            watched: false,
            cgroup: None,
            frozen: Frozen::Not,
            network: None,
            namespace: None,
            existence: Existence::Unknown,
        }
    }

    /// The engine has created the container, and calls it `id`.
    pub(super) fn created(&mut self, id: String) {
        self.id = id;
        self.existence = Existence::Created;
    }

    /// The engine has refused to create the container.
    pub(super) fn refused(mut self) {
        self.forget();
        free(self.namespace.take());
    }

    /// There is nothing to remove.
    pub(super) fn forget(&mut self) {
        self.existence = Existence::Removed;
    }

    pub(super) fn place(&self) -> Arc<Place> {
        self.place.clone()
    }

    /// The container's place in a network, and the namespace that it shares.
    pub(super) fn joined(&mut self, network: Option<Membership>, namespace: Option<Namespace>) {
        self.network = network;
        self.namespace = namespace;
    }

    /// The container's end is waited for from now on: nothing else would tell of it.
    pub(super) fn watch(&mut self) {
        self.watched = true;
    }

    /// The container's program runs, in these control groups.
    pub(super) fn started(&mut self, cgroup: Arc<Cgroup>) {
        self.cgroup = Some(cgroup);
    }

    /// Attached streams need not end with their container, so its end ends them.
    pub(super) fn with_streams(mut self, ends: Ends) -> Self {
        self.streams = Some(ends);
        self
    }
}

impl DockerWard {
    async fn signal(&self, name: &str) {
        self.place.ours(true);
        let options = KillContainerOptionsBuilder::default().signal(name).build();
        let sent = self.docker.kill_container(&self.id, Some(options));
        match timeout(SIGNAL, sent).await {
            Ok(Ok(())) => {}
            // Most often it has just exited.
            Ok(Err(e)) => tracing::debug!(container = %self.id, error = %e, "{name}"),
            Err(_) => tracing::debug!(container = %self.id, "{name}: the engine does not answer"),
        }
    }
}

impl Ward for DockerWard {
    async fn ended(&mut self) -> Exit {
        let exit = loop {
            match wait(&self.docker, &self.id).await {
                // Our way to the function does not lead through the engine.
                Exit::Lost(Loss::Engine) if self.streams.is_none() && self.watched => {
                    sleep(Duration::from_millis(100)).await;
                    self.place.engine().up().await;
                }
                exit => break exit,
            }
        };
        if let Some(streams) = &mut self.streams {
            match exit {
                Exit::Code(_) | Exit::OutOfMemory => streams.finish(),
                _ => streams.cut(),
            }
        }
        exit
    }

    fn watched(&self) -> bool {
        self.watched || self.streams.is_some()
    }

    fn gauge(&self) -> Option<Arc<dyn Gauge>> {
        Some(self.cgroup.clone()? as _)
    }

    async fn freeze(&mut self) {
        // An engine that starts again ends its containers, which takes that they run.
        if self.frozen != Frozen::Not || !self.place.engine().is_up() {
            return;
        }
        self.frozen = Frozen::Directly;
        if set_frozen(self.cgroup.as_deref(), true).await {
            return;
        }
        self.frozen = Frozen::Paused;
        self.place.ours(true);
        if let Err(e) = self.docker.pause_container(&self.id).await {
            tracing::debug!(container = %self.id, error = %e, "pausing");
        }
    }

    async fn thaw(&mut self) -> bool {
        let thawed = match self.frozen {
            Frozen::Not => true,
            Frozen::Directly => set_frozen(self.cgroup.as_deref(), false).await,
            Frozen::Paused => {
                let engine = self.place.engine();
                // A call waits: one that hangs is not given all the time that a thaw may take.
                let thawed = engine.is_up()
                    && tokio::select! {
                        thawed = unpause(&self.docker, &self.id) => thawed,
                        () = engine.silent() => false,
                    };
                self.place.ours(!thawed);
                thawed
            }
        };
        if thawed {
            self.frozen = Frozen::Not;
        }
        thawed
    }

    async fn terminate(&mut self) {
        self.signal("SIGTERM").await;
    }

    async fn kill(&mut self) {
        self.signal("SIGKILL").await;
    }

    async fn explain(&self, exit: Exit) -> Exit {
        if let Some(loss) = self.place.excuse(exit).await {
            return Exit::Lost(loss);
        }
        // The engine may hear of the end before it hears of its cause.
        let out_of_memory = timeout(SIGNAL, ran_out_of_memory(&self.docker, &self.id));
        if exit == SIGKILLED && out_of_memory.await.unwrap_or_default() {
            return Exit::OutOfMemory;
        }
        exit
    }

    async fn remove(mut self) {
        let existence = std::mem::replace(&mut self.existence, Existence::Removed);
        if let Some(streams) = &mut self.streams {
            streams.cut();
        }
        self.place.ours(true);
        let engine = self.place.engine();
        let exists = existence == Existence::Created;
        if remove(engine, &self.docker, &self.id, exists).await {
            free(self.namespace.take());
        }
    }
}

async fn set_frozen(cgroup: Option<&Cgroup>, frozen: bool) -> bool {
    match cgroup {
        Some(cgroup) => cgroup.set_frozen(frozen).await,
        None => false,
    }
}

/// Returns whether the container is not paused, by the engine's own word.
async fn unpause(docker: &Docker, id: &str) -> bool {
    if docker.unpause_container(id).await.is_ok() {
        return true;
    }
    // It may never have been.
    let state = docker.inspect_container(id, None).await.ok();
    let state = state.and_then(|found| found.state);
    state.is_some_and(|state| state.paused == Some(false))
}

/// Removes what a gateway left behind. It may be frozen, and such a container cannot be ended.
pub(super) async fn remove_leftover(engine: &Engine, docker: &Docker, id: &str) {
    let _ = timeout(SIGNAL, thaw_leftover(docker, id)).await;
    remove(engine, docker, id, true).await;
}

async fn thaw_leftover(docker: &Docker, id: &str) {
    let Ok(found) = docker.inspect_container(id, None).await else {
        return;
    };
    let Some(state) = found.state.filter(|state| state.running == Some(true)) else {
        return;
    };
    if state.paused == Some(true) {
        unpause(docker, id).await;
        return;
    }
    // Without it, any group would do.
    let Some(id) = found.id else { return };
    let pid = state.pid.and_then(|pid| i32::try_from(pid).ok());
    let cgroup = Cgroup::new(docker, id, pid);
    cgroup.set_frozen(false).await;
}

fn free(namespace: Option<Namespace>) {
    if let Some(namespace) = namespace {
        namespace.free();
    }
}

impl Drop for DockerWard {
    fn drop(&mut self) {
        let existence = self.existence;
        if existence == Existence::Removed {
            return;
        }
        let (docker, id) = (self.docker.clone(), self.id.clone());
        let held = (self.folder.take(), self.network.take());
        let place = self.place.clone();
        place.ours(true);
        let namespace = self.namespace.take();
        self.tasks.spawn(async move {
            let engine = place.engine();
            if remove(engine, &docker, &id, existence == Existence::Created).await {
                free(namespace);
            }
            drop(held);
        });
    }
}

/// Removes a container by force, and its anonymous volumes, as soon as there is an engine to do it.
/// One that may still be in the making is asked for again: an engine goes on creating what nobody
/// waits for any more. Returns whether it is certain that it is no more.
pub(super) async fn remove(engine: &Engine, docker: &Docker, id: &str, exists: bool) -> bool {
    let deadline = Instant::now() + REMOVAL;
    let mut pause = Duration::from_millis(100);
    let mut absent = 0;
    while timeout_at(deadline, engine.up()).await.is_ok() {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let refusal = match timeout(REMOVAL_TRY, docker.remove_container(id, Some(options))).await {
            Ok(Ok(())) => return true,
            Ok(Err(e)) if is_missing(&e) => {
                absent += 1;
                if exists || absent == REMOVAL_TRIES {
                    return exists;
                }
                None
            }
            Ok(Err(e)) => Some(e.to_string()),
            Err(_) => Some("no answer".to_owned()),
        };
        if let Some(reason) = refusal {
            tracing::debug!(container = id, reason, "removing");
            // What is frozen cannot be ended.
            let _ = timeout(SIGNAL, thaw_leftover(docker, id)).await;
        }
        if Instant::now() >= deadline {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(REMOVAL_PAUSE);
    }
    tracing::warn!(
        container = id,
        "could not be removed; it will be when the engine is next back, or at the next start"
    );
    false
}

/// Waits for the container's end.
pub(super) async fn wait(docker: &Docker, id: &str) -> Exit {
    let mut waiting = docker.wait_container(id, None::<WaitContainerOptions>);
    let code = match waiting.next().await {
        Some(Ok(response)) => response.status_code,
        // Not an error: this is how the client reports an exit code other than zero.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(e)) if is_missing(&e) => return Exit::Lost(Loss::Removed),
        Some(Err(bollard::errors::Error::DockerResponseServerError { .. })) => {
            return Exit::Unknown;
        }
        Some(Err(_)) | None => return Exit::Lost(Loss::Engine),
    };
    if ran_out_of_memory(docker, id).await {
        return Exit::OutOfMemory;
    }
    Exit::Code(code)
}

/// Whether the kernel killed something in the container for its memory, as far as the engine knows.
async fn ran_out_of_memory(docker: &Docker, id: &str) -> bool {
    let container = docker.inspect_container(id, None).await.ok();
    let state = container.and_then(|container| container.state);
    state.is_some_and(|state| state.oom_killed == Some(true))
}
