use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::model::{AppId, CallId, CallableId, FnId, Timestamp};

/// Where a call is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallStatus {
    /// Not to be run before a certain time.
    Delayed,
    /// Stored, waiting for a runner.
    Queued,
    Running,
    /// The function answered, whatever its own status says.
    Success,
    Error,
    Timeout,
    /// Its caller went away, or its app did.
    Cancelled,
}

impl CallStatus {
    /// Every status, in the order of a call's life.
    pub const ALL: [Self; 7] = [
        Self::Delayed,
        Self::Queued,
        Self::Running,
        Self::Success,
        Self::Error,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// The name that Fn's clients compare with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name is none of [`CallStatus::ALL`].
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error(
    "unknown status, expected one of delayed, queued, running, success, error, timeout, cancelled"
)]
pub struct UnknownStatus;

impl FromStr for CallStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// What was called, within an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallTarget {
    Fn(FnId),
    /// The route at this path.
    Route(String),
}

impl From<&CallableId> for CallTarget {
    fn from(id: &CallableId) -> Self {
        match id {
            CallableId::Fn(id) => Self::Fn(*id),
            CallableId::Route { path, .. } => Self::Route(path.clone()),
        }
    }
}

/// What is remembered of one call. Its app or target may be gone by the time somebody looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub id: CallId,
    pub app_id: AppId,
    pub target: CallTarget,
    pub status: CallStatus,
    /// When the gateway took the request.
    pub created_at: Timestamp,
    /// When a container had it; `None` if none ever did.
    pub started_at: Option<Timestamp>,
    pub completed_at: Timestamp,
    /// What the caller was told, where that was not the function's own answer.
    pub error: Option<String>,
    /// Whose fault the error is, as logs and metrics name it.
    pub blame: Option<Cow<'static, str>>,
}

/// A call that is over, with what its function wrote to its log: whatever bytes those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedCall {
    pub call: Call,
    pub log: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_it_is_written() {
        for status in CallStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<CallStatus>(), Err(UnknownStatus));
    }
}
