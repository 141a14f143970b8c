//! Reaching the engine, and what its errors mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum};
use tokio::sync::{OnceCell, watch};
use tokio::time::{sleep, timeout};

use crate::launcher::LaunchError;

/// An engine that does not answer within this is as good as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take to say what it is, which callers wait for.
const REPORT: Duration = Duration::from_secs(1);

/// The bound on any one answer of the engine; slow starts and pulls have their own bounds.
const ANSWER_TIMEOUT_SECS: u64 = 120;

/// How long the engine may take to say that it is there, and how often it is asked.
const PULSE: Duration = Duration::from_secs(3);

/// How often an engine that is away is looked for.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(1);

const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// The engine, connected to when it is first there.
#[derive(Debug)]
pub(super) struct Engine {
    host: String,
    client: OnceCell<Docker>,
    /// Why the engine is of no use now, if it is not.
    trouble: watch::Sender<Option<Arc<str>>>,
    /// How often we lost sight of the engine. It may have been another one since.
    gaps: AtomicU64,
}

impl Engine {
    /// The engine at `host`, or the local one. Not yet contacted.
    pub(super) fn new(host: Option<String>) -> Self {
        let host = host.unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
        Self {
            host,
            client: OnceCell::new(),
            trouble: watch::Sender::new(None),
            gaps: AtomicU64::new(0),
        }
    }

    /// Does what needs the engine for as long as it answers: one that hangs must not hold up who
    /// could be told so.
    pub(super) async fn ask<T>(
        &self,
        work: impl Future<Output = Result<T, LaunchError>>,
    ) -> Result<T, LaunchError> {
        let mut trouble = self.trouble.subscribe();
        tokio::select! {
            biased;
            Ok(reason) = trouble.wait_for(Option::is_some) => {
                let reason = reason.as_deref().unwrap_or_default();
                Err(LaunchError::EngineDown(reason.to_owned()))
            }
            done = work => done,
        }
    }

    /// Whether the engine answered when it was last asked.
    pub(super) fn is_up(&self) -> bool {
        self.trouble.borrow().is_none()
    }

    /// Waits until it does.
    pub(super) async fn up(&self) {
        let mut trouble = self.trouble.subscribe();
        // The sender is ours.
        let _ = trouble.wait_for(Option::is_none).await;
    }

    /// Waits until it has not answered for so long that it is not just busy.
    pub(super) async fn silent(&self) {
        let mut trouble = self.trouble.subscribe();
        loop {
            let _ = trouble.wait_for(Option::is_some).await;
            tokio::select! {
                () = sleep(PULSE) => return,
                _ = trouble.wait_for(Option::is_none) => {}
            }
        }
    }

    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Something may have happened that nobody told us of.
    pub(super) fn lost_sight(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks for the engine until it answers.
    pub(super) async fn answering(&self) -> Docker {
        let mut pause = FIRST_LOOK;
        loop {
            if let Some(docker) = self.look().await {
                return docker;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Keeps an eye on an engine that is there.
    pub(super) async fn pulse(&self) -> std::convert::Infallible {
        loop {
            sleep(if self.is_up() { PULSE } else { LAST_LOOK }).await;
            self.look().await;
        }
    }

    /// Finds out whether the engine answers now; says so once if that has changed.
    pub(super) async fn look(&self) -> Option<Docker> {
        let answer = async {
            let docker = self.client().await?;
            match docker.ping().await {
                // Whatever it says: it speaks.
                Ok(_) | Err(Error::DockerResponseServerError { .. }) => Ok(docker.clone()),
                Err(e) => Err(LaunchError::EngineDown(chain(&e))),
            }
        };
        let found = timeout(PULSE, answer).await.unwrap_or_else(|_| {
            let hangs = format!("it does not answer within {} seconds", PULSE.as_secs());
            Err(LaunchError::EngineDown(hangs))
        });
        match &found {
            Ok(_) if !self.is_up() => tracing::info!("the container engine answers again"),
            Err(reason) if self.is_up() => {
                tracing::warn!(%reason, "only containers that are there serve calls until it is back");
            }
            _ => {}
        }
        self.note(found.as_ref().err());
        found.ok()
    }

    /// What was last found out.
    pub(super) fn note(&self, trouble: Option<&LaunchError>) {
        let reason = trouble.map(|error| match error {
            LaunchError::EngineDown(reason) => Arc::from(reason.as_str()),
            other => Arc::from(other.to_string()),
        });
        self.trouble.send_if_modified(|known| {
            let changed = *known != reason;
            *known = reason;
            changed
        });
    }

    /// The client, which speaks a version of the API that the engine knows.
    pub(super) async fn client(&self) -> Result<&Docker, LaunchError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    /// Where its socket is.
    pub(super) fn path(&self) -> Result<&str, LaunchError> {
        let host = &self.host;
        host.strip_prefix("unix://").ok_or_else(|| {
            LaunchError::EngineDown(format!(
                "DOCKER_HOST {host} is not supported, expected unix:///path/to/docker.sock"
            ))
        })
    }

    async fn connect(&self) -> Result<Docker, LaunchError> {
        let path = self.path()?;
        let client =
            Docker::connect_with_unix(path, ANSWER_TIMEOUT_SECS, bollard::API_DEFAULT_VERSION)
                .map_err(|e| LaunchError::EngineDown(e.to_string()))?;
        match tokio::time::timeout(CONNECT_TIMEOUT, client.negotiate_version()).await {
            Ok(Ok(client)) => {
                report(&client).await;
                Ok(client)
            }
            Ok(Err(e)) => Err(refused("answer", &e)),
            Err(_) => Err(LaunchError::EngineDown(format!(
                "no answer within {} seconds",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// Says, once, which engine this is and what it cannot bound.
async fn report(client: &Docker) {
    let Ok(Ok(info)) = timeout(REPORT, client.info()).await else {
        return;
    };
    let options = info.security_options.clone().unwrap_or_default();
    let has = |option: &str| options.iter().any(|o| o.contains(option));
    tracing::info!(
        version = info.server_version.as_deref().unwrap_or("unknown"),
        cgroup = info.cgroup_version.map(|v| v.to_string()),
        rootless = has("name=rootless"),
        userns = has("name=userns"),
        "the container engine"
    );
    for gap in gaps(&info) {
        tracing::warn!("the container engine cannot bound {gap}");
    }
}

/// What the engine says it cannot limit; an engine that says nothing can.
fn gaps(info: &SystemInfo) -> Vec<&'static str> {
    let rootless_v1 = info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::NONE);
    [
        (info.memory_limit, "the memory of containers"),
        (
            info.swap_limit,
            "the swap of containers, so memory limits may be exceeded by it",
        ),
        (info.cpu_cfs_quota, "the processor time of containers"),
        (info.pids_limit, "the number of processes of containers"),
    ]
    .into_iter()
    .filter(|(can, _)| rootless_v1 || *can == Some(false))
    .map(|(_, gap)| gap)
    .collect()
}

/// The engine's own words where it spoke; otherwise it is down.
pub(super) fn refused(doing: &'static str, error: &Error) -> LaunchError {
    match error {
        Error::DockerResponseServerError { message, .. } => LaunchError::Refused {
            doing,
            reason: message.trim().to_owned(),
        },
        Error::DockerStreamError { error } => LaunchError::Refused {
            doing,
            reason: error.trim().to_owned(),
        },
        Error::RequestTimeoutError => {
            LaunchError::EngineDown(format!("no answer within {ANSWER_TIMEOUT_SECS} seconds"))
        }
        other => LaunchError::EngineDown(chain(other)),
    }
}

/// An error with its causes on one line; the outer ones alone rarely say what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the engine says that the thing is not there.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_cannot_bound_is_named() {
        let mut info = SystemInfo::default();
        assert!(gaps(&info).is_empty());
        info.swap_limit = Some(false);
        info.memory_limit = Some(true);
        assert_eq!(gaps(&info).len(), 1);
        assert!(gaps(&info)[0].contains("swap"));
        // Rootless on cgroup v1: no limit works, whatever the engine says.
        info.cgroup_driver = Some(SystemInfoCgroupDriverEnum::NONE);
        assert_eq!(gaps(&info).len(), 4);
    }
}
