use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::launcher::LaunchError;
use crate::model::Format;
use crate::pool::Failure;

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
    /// It ended before its first call, and says why to callers.
    #[error("container exit code {code}: {reason}")]
    NotStarted { code: i64, reason: String },
    #[error(
        "container out of memory, you may want to raise route.memory for this route (default: \
         128MB); its limit is {limit_mb}MB"
    )]
    OutOfMemory { limit_mb: u64 },
    /// What the function wrote is not a response to this call. Fn's texts.
    #[error("{}", bad_response(*format, detail))]
    BadResponse {
        format: Format,
        detail: String,
        /// What was read, for the operator's eyes only.
        seen: String,
    },
    /// The function answered with a status that its format does not know.
    #[error("invalid function response")]
    InvalidResponse { seen: String },
    /// The function says itself that it failed.
    #[error("function failed")]
    Reported,
    /// An event whose data nobody can turn into a body.
    #[error("Error: Unknown content type")]
    UnknownContentType(String),
    /// The way to the container broke; the function may have done nothing wrong.
    #[error("{0}")]
    Lost(String),
    #[error("{}", match format {
        Format::HttpStream => "function response body too large",
        _ => "function response too large",
    })]
    ResponseTooLarge { format: Format },
    #[error("function response header too large")]
    ResponseHeadTooLarge,
    /// A function that should listen on a socket did not.
    #[error("{0}")]
    NotInitialised(Arc<LaunchError>),
    /// As [`NotInitialised`](Self::NotInitialised), in the time it had.
    #[error("{0}")]
    InitTimedOut(Arc<LaunchError>),
    /// The image cannot be had, or cannot be run.
    #[error("{0}")]
    Image(Arc<LaunchError>),
    /// The engine or the host refused.
    #[error("{0}")]
    Launch(Arc<LaunchError>),
    /// The engine is away; it may come back.
    #[error("{0}")]
    EngineDown(Arc<LaunchError>),
    /// The format cannot carry what the caller sent.
    #[error("{0}")]
    BadRequest(String),
    /// The caller broke off in the middle of its request.
    #[error("the caller broke off")]
    CallerLeft,
    #[error("Async functions are not supported on this server")]
    AsyncUnsupported,
    #[error("Timed out - server too busy")]
    TooBusy,
    /// A container of the function takes more than there is for all containers.
    #[error("{0}")]
    Oversized(String),
    #[error("Too many requests submitted")]
    TooManyWaiting,
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Containers ended before they had answered anything, the last one like this.
    #[error("{0}")]
    Crashing(Arc<str>),
    /// What the last containers failed of; none is started for a while.
    #[error("{why}")]
    BackingOff { why: Box<Self>, retry: Duration },
}

impl Fault {
    /// Who is to blame.
    pub fn blame(&self) -> Blame {
        match self {
            Self::TimedOut
            | Self::Exited(_)
            | Self::NotStarted { .. }
            | Self::OutOfMemory { .. }
            | Self::BadResponse { .. }
            | Self::InvalidResponse { .. }
            | Self::Reported
            | Self::UnknownContentType(_)
            | Self::ResponseTooLarge { .. }
            | Self::ResponseHeadTooLarge
            | Self::NotInitialised(_)
            | Self::InitTimedOut(_)
            | Self::Crashing(_)
            | Self::Oversized(_)
            | Self::Image(_) => Blame::Function,
            Self::AsyncUnsupported | Self::BadRequest(_) | Self::CallerLeft => Blame::Caller,
            Self::Lost(_) | Self::Launch(_) | Self::EngineDown(_) => Blame::Platform,
            Self::TooBusy | Self::TooManyWaiting => Blame::Overload,
            Self::ShuttingDown => Blame::Shutdown,
            Self::BackingOff { why, .. } => why.blame(),
        }
    }
}

impl Fault {
    pub(super) fn backing_off(failure: Failure, retry: Duration) -> Self {
        let why = match failure {
            Failure::Launch(error) => error.into(),
            Failure::Ended(told) => Self::Crashing(told),
        };
        Self::BackingOff {
            why: Box::new(why),
            retry,
        }
    }

    /// What is for the operator's eyes, where the text for callers is fixed.
    pub fn detail(&self) -> &str {
        match self {
            Self::BadResponse { seen, .. } | Self::InvalidResponse { seen } => seen,
            Self::UnknownContentType(kind) => kind,
            _ => "",
        }
    }

    /// Whether the function ended before it could be called, and not by one call's fault.
    pub fn is_of_start(&self) -> bool {
        match self {
            Self::NotStarted { .. } | Self::Crashing(_) => true,
            Self::BackingOff { why, .. } => why.is_of_start(),
            _ => false,
        }
    }

    /// What a function wrote that ended before it could be called.
    pub(super) fn init_log(&self) -> Vec<u8> {
        let (Self::NotInitialised(error) | Self::InitTimedOut(error)) = self else {
            return Vec::new();
        };
        match &**error {
            LaunchError::Uninitialised { log, .. } | LaunchError::InitTimedOut { log } => log
                .iter()
                .flat_map(|line| [line.as_str(), "\n"])
                .collect::<String>()
                .into_bytes(),
            _ => Vec::new(),
        }
    }
}

fn bad_response(format: Format, detail: &str) -> String {
    match format {
        // A caller cannot tell a crash from garbage; the operator's log can.
        Format::HttpStream => "error receiving function response".to_owned(),
        Format::Json | Format::CloudEvent => {
            format!("invalid json response from function err: {detail}")
        }
        Format::Http | Format::Default => {
            format!("invalid http response from function err: {detail}")
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
            LaunchError::Uninitialised { .. } => Self::NotInitialised(error),
            LaunchError::InitTimedOut { .. } => Self::InitTimedOut(error),
            LaunchError::EngineDown(_) => Self::EngineDown(error),
            LaunchError::Refused { .. }
            | LaunchError::Unseen { .. }
            | LaunchError::NoNetwork { .. }
            | LaunchError::Slow(_)
            | LaunchError::Ended(_)
            | LaunchError::Host { .. } => Self::Launch(error),
        }
    }
}
