use std::fmt;

use thiserror::Error;

/// A kind of stored thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    App,
    Route,
    Function,
    Trigger,
    Call,
    /// What a call's function wrote to its log.
    CallLog,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "app",
            Self::Route => "route",
            Self::Function => "function",
            Self::Trigger => "trigger",
            Self::Call => "call",
            Self::CallLog => "call log",
        })
    }
}

/// The uniqueness rule that a write would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    AppName,
    RoutePath,
    /// Within an app.
    FunctionName,
    /// Within a function.
    TriggerName,
    /// Within an app.
    TriggerSource,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppName => "app name",
            Self::RoutePath => "route path",
            Self::FunctionName => "function name",
            Self::TriggerName => "trigger name",
            Self::TriggerSource => "trigger source",
        })
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("{0} not found")]
    NotFound(Resource),
    #[error("{0} is taken")]
    Conflict(Conflict),
    /// Two triggers of an app would take the same requests.
    #[error("trigger source {wanted} matches the same paths as {present}")]
    Clash { wanted: String, present: String },
    /// The database cannot be reached, is locked or is broken; trying again may help.
    #[error("store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no room to write to; what was stored can still be read.
    #[error("the store's disk is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value is none that we would have written, or a value cannot be stored.
    #[error("corrupt {what} in the store")]
    Corrupt {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    pub(super) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    pub(super) fn corrupt(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt {
            what,
            source: source.into(),
        }
    }
}

/// Why an update did not happen.
#[derive(Debug, Error)]
pub enum WriteError<E> {
    /// The change itself did not want to be made to what is stored.
    #[error("change refused")]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}
