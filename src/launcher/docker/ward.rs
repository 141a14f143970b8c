//! A container's end: waiting for it, causing it, removing what is left.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cgroup::Cgroup;
use super::engine::is_missing;
use super::namespace::Namespace;
use super::network::Membership;
use crate::launcher::Exit;
use crate::launcher::folder::Folder;
use crate::launcher::supervise::Ward;
use crate::launcher::usage::Gauge;

/// An engine that is being restarted gets this long to remove a container. What is left after
/// that is removed when the gateway starts again.
const REMOVAL_TRIES: u32 = 6;

/// What is known of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    /// The engine was asked to create it and has not answered.
    Unknown,
    Created,
    Removed,
}

/// A container that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct DockerWard {
    docker: Docker,
    tasks: TaskTracker,
    id: String,
    /// Removed after the container.
    folder: Option<Folder>,
    streams: Option<CancellationToken>,
    watched: bool,
    cgroup: Option<Arc<Cgroup>>,
    /// The engine has paused the container, or was asked to.
    paused: bool,
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
        id: &str,
        folder: Option<Folder>,
    ) -> Self {
        Self {
            docker,
            tasks,
            id: id.to_owned(),
            folder,
            streams: None,
            watched: false,
            cgroup: None,
            paused: false,
            network: None,
            namespace: None,
            existence: Existence::Unknown,
        }
    }

    /// The engine has created the container.
    pub(super) fn created(&mut self) {
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

    /// Attached streams do not always end with their container, so the container's end ends
    /// them through `ended`.
    pub(super) fn with_streams(mut self, ended: CancellationToken) -> Self {
        self.streams = Some(ended);
        self
    }
}

impl DockerWard {
    async fn signal(&self, name: &str) {
        let options = KillContainerOptionsBuilder::default().signal(name).build();
        if let Err(e) = self.docker.kill_container(&self.id, Some(options)).await {
            // Most often it has just exited; removal is by force anyway.
            tracing::debug!(container = %self.id, error = %e, "{name}");
        }
    }
}

impl Ward for DockerWard {
    async fn ended(&mut self) -> Exit {
        let exit = wait(&self.docker, &self.id).await;
        if let Some(streams) = &self.streams {
            streams.cancel();
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
        if set_frozen(self.cgroup.as_deref(), true).await {
            return;
        }
        self.paused = true;
        if let Err(e) = self.docker.pause_container(&self.id).await {
            tracing::debug!(container = %self.id, error = %e, "pausing");
        }
    }

    async fn thaw(&mut self) -> bool {
        if !self.paused {
            return set_frozen(self.cgroup.as_deref(), false).await;
        }
        let thawed = unpause(&self.docker, &self.id).await;
        self.paused = !thawed;
        thawed
    }

    async fn terminate(&mut self) {
        self.signal("SIGTERM").await;
    }

    async fn kill(&mut self) {
        self.signal("SIGKILL").await;
    }

    async fn remove(mut self) {
        let existence = std::mem::replace(&mut self.existence, Existence::Removed);
        if let Some(streams) = &self.streams {
            streams.cancel();
        }
        if remove(&self.docker, &self.id, existence == Existence::Created).await {
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

/// Thaws what a gateway left behind frozen: such a container cannot be ended.
pub(super) async fn thaw_leftover(docker: &Docker, id: &str) {
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
    let pid = state.pid.and_then(|pid| i32::try_from(pid).ok());
    let cgroup = Cgroup::new(docker, found.id.unwrap_or_default(), pid);
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
        let namespace = self.namespace.take();
        self.tasks.spawn(async move {
            if remove(&docker, &id, existence == Existence::Created).await {
                free(namespace);
            }
            drop(held);
        });
    }
}

/// Removes a container by force, and its anonymous volumes. One that may still be in the making
/// is asked for again: an engine goes on creating what nobody waits for any more. Returns whether
/// it is certain that it is no more.
pub(super) async fn remove(docker: &Docker, id: &str, exists: bool) -> bool {
    let mut pause = Duration::from_millis(100);
    for _ in 0..REMOVAL_TRIES {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        match docker.remove_container(id, Some(options)).await {
            Ok(()) => return true,
            Err(e) if is_missing(&e) && exists => return true,
            Err(e) => tracing::debug!(container = id, error = %e, "removing"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    if exists {
        tracing::warn!(
            container = id,
            "could not be removed; the next start will try again"
        );
    }
    false
}

/// Waits for the container's end.
pub(super) async fn wait(docker: &Docker, id: &str) -> Exit {
    let mut waiting = docker.wait_container(id, None::<WaitContainerOptions>);
    let code = match waiting.next().await {
        Some(Ok(response)) => response.status_code,
        // Not an error: this is how the client reports an exit code other than zero.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(_)) | None => return Exit::Unknown,
    };
    let state = docker
        .inspect_container(id, None)
        .await
        .ok()
        .and_then(|c| c.state);
    if state.is_some_and(|s| s.oom_killed == Some(true)) {
        return Exit::OutOfMemory;
    }
    Exit::Code(code)
}
