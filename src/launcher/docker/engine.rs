//! Reaching the engine, and what its errors mean.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use crate::launcher::LaunchError;

/// An engine that does not answer within this is as good as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The bound on any one answer of the engine; slow starts and pulls have their own bounds.
const ANSWER_TIMEOUT_SECS: u64 = 120;

const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// The engine at `host`, or the local one. Not yet contacted.
pub(super) fn client(host: Option<&str>) -> Result<Docker, LaunchError> {
    let host = host.unwrap_or(DEFAULT_SOCKET);
    let Some(path) = host.strip_prefix("unix://") else {
        return Err(LaunchError::EngineDown(format!(
            "DOCKER_HOST {host} is not supported, expected unix:///path/to/docker.sock"
        )));
    };
    Docker::connect_with_unix(path, ANSWER_TIMEOUT_SECS, bollard::API_DEFAULT_VERSION)
        .map_err(|e| LaunchError::EngineDown(format!("{host}: {e}")))
}

/// Agrees on a version of the API with a living engine.
pub(super) async fn negotiate(docker: Docker) -> Result<Docker, LaunchError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, docker.negotiate_version()).await {
        Ok(Ok(docker)) => Ok(docker),
        Ok(Err(e)) => Err(refused("answer", &e)),
        Err(_) => Err(LaunchError::EngineDown(format!(
            "no answer within {} seconds",
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
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
