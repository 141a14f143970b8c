use std::sync::Arc;

use thiserror::Error;

use crate::launcher::LaunchError;
use crate::model::Format;

/// Who has to do something about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request is wrong.
    Caller,
    /// The function's code or image is wrong.
    Function,
    /// The host, the engine or Kiln itself.
    Platform,
    /// Nobody: there is more to do than can be done now.
    Overload,
    /// Nobody: the gateway is going away.
    Shutdown,
}

impl Blame {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Function => "function",
            Self::Platform => "platform",
            Self::Overload => "overload",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Why a call has no response. The texts are part of the contract with Fn's clients.
#[derive(Clone, Debug, Error)]
pub enum Fault {
    #[error("Timed out")]
    TimedOut,
    /// The function's process ended during the call.
    #[error("container exit code {0}")]
    Exited(i64),
    #[error(
        "container out of memory, you may want to raise route.memory for this route (default: \
         128MB); its limit is {limit_mb}MB"
    )]
    OutOfMemory { limit_mb: u64 },
    /// What the function wrote is not a response to this call.
    #[error("invalid http response from function err: {0}")]
    BadResponse(String),
    /// The way to the container broke; the function may have done nothing wrong.
    #[error("{0}")]
    Lost(String),
    #[error("function response too large")]
    ResponseTooLarge,
    /// The image cannot be had, or cannot be run.
    #[error("{0}")]
    Image(Arc<LaunchError>),
    /// The engine or the host refused.
    #[error("{0}")]
    Launch(Arc<LaunchError>),
    /// The engine is away; it may come back.
    #[error("{0}")]
    EngineDown(Arc<LaunchError>),
    #[error(
        "functions of format '{0}' cannot be called by this version, only those of format 'http'; if it speaks that, set `format: http` in func.yaml"
    )]
    UnsupportedFormat(Format),
    #[error("Async functions are not supported on this server")]
    AsyncUnsupported,
    #[error("Timed out - server too busy")]
    TooBusy,
    #[error("Too many requests submitted")]
    TooManyWaiting,
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Fault {
    /// Who is to blame.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::TimedOut
            | Self::Exited(_)
            | Self::OutOfMemory { .. }
            | Self::BadResponse(_)
            | Self::ResponseTooLarge
            | Self::Image(_) => Blame::Function,
            Self::AsyncUnsupported => Blame::Caller,
            Self::Lost(_) | Self::Launch(_) | Self::EngineDown(_) | Self::UnsupportedFormat(_) => {
                Blame::Platform
            }
            Self::TooBusy | Self::TooManyWaiting => Blame::Overload,
            Self::ShuttingDown => Blame::Shutdown,
        }
    }
}

impl From<Arc<LaunchError>> for Fault {
    fn from(error: Arc<LaunchError>) -> Self {
        match &*error {
            LaunchError::Pull { .. }
            | LaunchError::ImageGone { .. }
            | LaunchError::NoCommand { .. }
            | LaunchError::WrongKind(_)
            | LaunchError::Command { .. } => Self::Image(error),
            LaunchError::EngineDown(_) => Self::EngineDown(error),
            LaunchError::Refused { .. }
            | LaunchError::Slow(_)
            | LaunchError::Ended(_)
            | LaunchError::Host { .. } => Self::Launch(error),
        }
    }
}
