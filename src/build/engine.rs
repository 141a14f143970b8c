use std::time::Duration;

use bollard::API_DEFAULT_VERSION;
use thiserror::Error;

const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";
/// A healthy engine answers in milliseconds; a person should not wait long for a dead one.
const PROBE: Duration = Duration::from_secs(5);
/// Until the head of the answer; a build or a push of a large image begins slowly.
const CALL_SECS: u64 = 600;

/// A connection to a Docker engine; other rooms pass it on without knowing the library.
pub type Engine = bollard::Docker;

/// No engine that can be talked to.
#[derive(Debug, Error)]
pub enum EngineError {
    #[error("DOCKER_HOST: {host} is not allowed, expected a socket such as {DEFAULT_SOCKET}")]
    Host { host: String },
    #[error("no Docker engine answers at {host}")]
    Unreachable {
        host: String,
        #[source]
        source: bollard::errors::Error,
    },
    #[error("the Docker engine at {host} did not answer within {} seconds", PROBE.as_secs())]
    Silent { host: String },
}

/// Connects to the engine at `host`, or at the usual socket, and agrees on an API version.
pub async fn engine(host: Option<&str>) -> Result<Engine, EngineError> {
    let host = host.unwrap_or(DEFAULT_SOCKET);
    if !host.starts_with("unix://") {
        return Err(EngineError::Host {
            host: host.to_owned(),
        });
    }
    let unreachable = |source| EngineError::Unreachable {
        host: host.to_owned(),
        source,
    };
    let docker =
        Engine::connect_with_unix(host, CALL_SECS, API_DEFAULT_VERSION).map_err(unreachable)?;
    match tokio::time::timeout(PROBE, docker.negotiate_version()).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(_) => Err(EngineError::Silent {
            host: host.to_owned(),
        }),
    }
}

/// Clears up after a test.
#[cfg(all(test, feature = "docker-tests"))]
pub(crate) async fn remove_image(engine: &Engine, tag: &str) {
    let options = None::<bollard::query_parameters::RemoveImageOptions>;
    let removed = engine.remove_image(tag, options, None).await;
    removed.expect("the test has just built this image");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named() {
        let error = engine(Some("unix:///nonexistent.sock")).await.unwrap_err();
        let expected = "no Docker engine answers at unix:///nonexistent.sock";
        assert_eq!(error.to_string(), expected);
        let error = engine(Some("tcp://localhost:1")).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("DOCKER_HOST: tcp://localhost:1 is not allowed")
        );
    }
}
