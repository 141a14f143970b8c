use sqlx::error::ErrorKind;

use crate::store::{Conflict, Resource, StoreError};

/// An error of a read, or of a write that no rule of ours can stop.
pub(super) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::unavailable(error)
}

/// An error of a write that may break uniqueness (`conflict`) or lack its `parent`.
pub(super) fn refused(error: sqlx::Error, conflict: Conflict, parent: Resource) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return StoreError::unavailable(error);
    };
    match database.kind() {
        // SQLite names the columns of the broken rule in its message and nowhere else.
        ErrorKind::UniqueViolation if database.message().contains("triggers.source") => {
            StoreError::Conflict(Conflict::TriggerSource)
        }
        ErrorKind::UniqueViolation => StoreError::Conflict(conflict),
        ErrorKind::ForeignKeyViolation => StoreError::NotFound(parent),
        _ => StoreError::unavailable(error),
    }
}
