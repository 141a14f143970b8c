use std::io;

use thiserror::Error;

use crate::build::engine::EngineError;

/// Why a function could not be built. `output` is what a tool wrote, to be shown as it is.
#[derive(Debug, Error)]
pub enum BuildError {
    #[error("runtime: {runtime} cannot be built, expected rust, or docker with a Dockerfile")]
    UnknownRuntime { runtime: String },
    #[error("runtime is missing, expected rust, or docker with a Dockerfile")]
    NoRuntime,
    #[error("{file} is missing, runtime: {runtime} needs it")]
    MissingFile {
        file: &'static str,
        runtime: &'static str,
    },
    #[error("runtime: docker needs a Docker engine, but the server runs functions as processes")]
    NeedsEngine,
    #[error("cargo was not found")]
    NoCargo,
    #[error("{command} failed")]
    Command { command: String, output: String },
    #[error("the package has no binary, expected one")]
    NoBinary,
    #[error("the package has several binaries ({found}), expected one, or one called {name}")]
    SeveralBinaries { found: String, name: String },
    #[error(
        "the folder holds more than {max_mib} MiB, list what the image does not need in .dockerignore"
    )]
    ContextTooLarge { max_mib: u64 },
    #[error(".dockerignore: {pattern} is not a pattern")]
    BadPattern { pattern: String },
    #[error("the engine could not build the image: {message}")]
    Image { message: String },
    #[error("the engine could not push {image}: {message}")]
    Push { image: String, message: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    pub(super) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// What the person can do about it, where we know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCargo => Some("install Rust, or use runtime: docker with a Dockerfile"),
            Self::Engine(_) => Some("start Docker, or set DOCKER_HOST to the engine's socket"),
            Self::NeedsEngine => {
                Some("restart the server where an engine runs: fn start --launcher docker")
            }
            Self::Push { .. } => Some("log in with docker login, or deploy with --local"),
            _ => None,
        }
    }

    /// What a tool wrote before it failed.
    pub fn output(&self) -> Option<&str> {
        match self {
            Self::Command { output, .. } if !output.is_empty() => Some(output),
            _ => None,
        }
    }
}
