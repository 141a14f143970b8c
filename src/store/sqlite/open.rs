use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};

use crate::store::StoreError;
use crate::store::import::is_fn_database;

/// Enough for the control plane's reads; calls do not read here at all.
const READERS: u32 = 4;

/// How long a statement waits for another process (a backup, a second server by mistake) that
/// holds the file's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection before it is told that the store is unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Apps, routes, functions and triggers in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
}

impl SqliteStore {
    /// Opens the file at `path`, making it and its directories if need be, and brings its tables
    /// up to date.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if let Some(dir) = path.parent() {
            tokio::fs::create_dir_all(dir)
                .await
                .map_err(StoreError::unavailable)?;
        }
        if is_fn_database(path).await {
            return Err(StoreError::unavailable(format!(
                "{} belongs to an Fn server; choose another file, and take over what is in this \
                 one with `fn import`",
                path.display()
            )));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL may lose the last commits on power loss; a deploy that was answered must not
            // be lost.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1, options.clone()).await?;
        sqlx::migrate!("src/store/migrations/sqlite")
            .run(&writer)
            .await
            .map_err(StoreError::unavailable)?;
        let reader = pool(READERS, options).await?;
        Ok(Self { writer, reader })
    }

    /// Waits for statements in flight and closes the file; later calls are refused.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

async fn pool(size: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A full disk makes SQLite end a transaction by itself. Rolling it back fails then, and the
        // connection would begin no other for good.
        .after_release(|connection, _| {
            Box::pin(async move {
                // Behind the rollback.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options)
        .await
        .map_err(StoreError::unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::conformance;

    #[tokio::test]
    async fn sqlite_keeps_the_store_contract() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("deep/er/fn.db"))
            .await
            .unwrap();
        conformance(&store).await;
    }

    #[tokio::test]
    async fn what_was_stored_survives_a_restart() {
        use crate::store::conformance::an_app;
        use crate::store::{Store, StoreRead};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fn.db");
        let app = an_app("kept");
        let store = SqliteStore::open(&path).await.unwrap();
        store.create_app(&app).await.unwrap();
        store.close().await;
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.app_by_name("kept").await.unwrap(), app);
    }

    #[tokio::test]
    async fn a_closed_store_is_unavailable() {
        use crate::store::{AppFilter, StoreRead};
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("fn.db")).await.unwrap();
        store.close().await;
        let answer = store.apps(&AppFilter::default()).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    }

    // D14
    #[tokio::test]
    async fn a_full_disk_is_told_from_a_store_that_is_away() {
        use crate::store::conformance::an_app;
        use crate::store::{Store, StoreRead};
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("fn.db")).await.unwrap();
        // As many pages as it has.
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(&store.writer)
            .await
            .unwrap();
        let mut app = an_app("large");
        app.config.insert("K".to_owned(), "x".repeat(100_000));
        let answer = store.create_app(&app).await;
        assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
        assert!(store.app_by_name("large").await.is_err());
    }

    #[tokio::test]
    async fn a_row_that_we_would_not_have_written_is_corrupt() {
        use crate::store::StoreRead;
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("fn.db")).await.unwrap();
        sqlx::query("INSERT INTO apps VALUES ('no id', 'a', '{}', '{}', NULL, 0, 0)")
            .execute(&store.writer)
            .await
            .unwrap();
        let answer = store.app_by_name("a").await;
        assert!(
            matches!(answer, Err(StoreError::Corrupt { what: "app id", .. })),
            "{answer:?}"
        );
    }
}
