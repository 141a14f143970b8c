//! Reaching the engine, and what its errors mean.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
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
            Ok(Ok(client)) => Ok(client),
            Ok(Err(e)) => Err(refused("answer", &e)),
            Err(_) => Err(LaunchError::EngineDown(format!(
                "no answer within {} seconds",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
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
