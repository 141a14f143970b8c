use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{AppId, Call, CallId, FinishedCall, FnId, Timestamp};
use crate::store::StoreError;

/// Whose calls to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallsOf {
    /// An app's, or only those of its route at exactly `path`.
    App { id: AppId, path: Option<String> },
    /// A function's.
    Fn(FnId),
}

/// Which calls to list.
#[derive(Clone, Debug)]
pub struct CallFilter {
    pub of: CallsOf,
    /// Only calls created after this time.
    pub after: Option<Timestamp>,
    /// Only calls created before this time.
    pub before: Option<Timestamp>,
    /// Only calls with an id that sorts before this one: the next page of a list.
    pub cursor: Option<CallId>,
    pub limit: u32,
}

/// Reads of what was called. A call can be read once it is over, never before.
#[async_trait]
pub trait CallRead: Send + Sync + Debug {
    /// One call of the app.
    async fn call(&self, app: AppId, id: CallId) -> Result<Call, StoreError>;

    /// Newest first, by id.
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<Call>, StoreError>;

    /// What the call's function wrote to its log, possibly nothing.
    async fn log(&self, app: AppId, id: CallId) -> Result<Vec<u8>, StoreError>;
}

/// Reads and writes of what was called.
///
/// Unlike what is deployed, calls may be lost: whoever writes them does so after the answer has
/// gone out. Deleting an app deletes its calls; one that is recorded later is never shown and
/// ages out.
#[async_trait]
pub trait CallStore: CallRead {
    /// Stores all of `calls` or, after an error, none. A call that is stored already stays as it
    /// is.
    async fn record(&self, calls: &[FinishedCall]) -> Result<(), StoreError>;

    /// Deletes the calls that are older than `max_age` and all but the newest `max_count`, some
    /// at a time so that others can write in between. Answers how many are gone.
    async fn prune(&self, max_age: Duration, max_count: u64) -> Result<u64, StoreError>;
}
