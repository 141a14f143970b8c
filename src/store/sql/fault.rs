use std::io;
use std::time::Duration;

use sqlx::error::ErrorKind;

use crate::store::{Conflict, Resource, StoreError};

/// Longest wait for one statement. A database whose host went away without a word is noticed by
/// nothing else for many minutes.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What `work` answers, or an IO error if that takes too long.
pub(in crate::store) async fn bounded<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            elapsed,
        ))),
    }
}

/// What the databases call a full disk: SQLITE_FULL, and Postgres' disk_full.
const DISK_FULL: [&str; 2] = ["13", "53100"];

/// An error of a read, or of a write that no rule of ours can stop.
pub(in crate::store) fn unavailable(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|e| e.code());
    if code.is_some_and(|code| DISK_FULL.contains(&&*code)) {
        return StoreError::Full(error.into());
    }
    StoreError::unavailable(error)
}

/// An error of a write that may break uniqueness (`conflict`) or lack its `parent`.
pub(in crate::store) fn refused(
    error: sqlx::Error,
    conflict: Conflict,
    parent: Resource,
) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return unavailable(error);
    };
    match database.kind() {
        ErrorKind::UniqueViolation => StoreError::Conflict(conflict),
        ErrorKind::ForeignKeyViolation => StoreError::NotFound(parent),
        _ => unavailable(error),
    }
}
