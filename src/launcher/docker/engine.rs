//! Reaching the engine, and what its errors mean.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum};
use tokio::sync::OnceCell;

use crate::launcher::LaunchError;

/// An engine that does not answer within this is as good as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The bound on any one answer of the engine; slow starts and pulls have their own bounds.
const ANSWER_TIMEOUT_SECS: u64 = 120;

const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// The engine, connected to when it is first there.
#[derive(Debug)]
pub(super) struct Engine {
    host: String,
    client: OnceCell<Docker>,
}

impl Engine {
    /// The engine at `host`, or the local one. Not yet contacted.
    pub(super) fn new(host: Option<String>) -> Self {
        let host = host.unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
        Self {
            host,
            client: OnceCell::new(),
        }
    }

    /// The client, which speaks a version of the API that the engine knows.
    pub(super) async fn client(&self) -> Result<&Docker, LaunchError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Docker, LaunchError> {
        let host = &self.host;
        let Some(path) = host.strip_prefix("unix://") else {
            return Err(LaunchError::EngineDown(format!(
                "DOCKER_HOST {host} is not supported, expected unix:///path/to/docker.sock"
            )));
        };
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
    let Ok(Ok(info)) = tokio::time::timeout(CONNECT_TIMEOUT, client.info()).await else {
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
