use sqlx::{Sqlite, SqlitePool, Transaction, query};

use crate::model::{AppId, FinishedCall};
use crate::store::record::{CallColumns, columns};
use crate::store::sql::{bounded, statement as sql, unavailable};
use crate::store::{SqliteStore, StoreError, Watch};

impl SqliteStore {
    pub(in crate::store) fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    pub(in crate::store) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// A snapshot lasts as long as its transaction, by SQLite's rules.
    pub(in crate::store) async fn reading(
        &self,
    ) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.reader.begin().await.map_err(unavailable)
    }

    /// Takes the write lock at once: a transaction that reads first and upgrades later can fail
    /// with SQLITE_BUSY however long the busy timeout is.
    pub(in crate::store) async fn writing(
        &self,
    ) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(unavailable)
    }

    pub(in crate::store) fn watch_others(&self) -> Option<Box<dyn Watch>> {
        None
    }

    /// Nobody else reads this file, so nobody needs to hear of a deploy that changed nothing.
    #[expect(
        clippy::unused_async,
        reason = "the same shape as in the store that does have others to tell"
    )]
    pub(in crate::store) async fn announce(
        &self,
        _tx: Transaction<'static, Sqlite>,
        _app: AppId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// Row by row: in one process, a statement costs less than gathering the columns.
    pub(in crate::store) async fn insert_calls(
        &self,
        calls: &[FinishedCall],
    ) -> Result<(), StoreError> {
        let mut tx = self.writing().await?;
        for finished in calls {
            let CallColumns {
                id,
                app_id,
                fn_id,
                path,
                status,
                error,
                blame,
                created_at,
                started_at,
                completed_at,
            } = columns(&finished.call);
            let call = query(sql::INSERT_CALL)
                .bind(&id)
                .bind(app_id)
                .bind(fn_id)
                .bind(path)
                .bind(status)
                .bind(error)
                .bind(blame)
                .bind(created_at)
                .bind(started_at)
                .bind(completed_at);
            bounded(call.execute(&mut *tx)).await.map_err(unavailable)?;
            if !finished.log.is_empty() {
                let log = query(sql::INSERT_LOG).bind(&id).bind(&finished.log);
                bounded(log.execute(&mut *tx)).await.map_err(unavailable)?;
            }
        }
        bounded(tx.commit()).await.map_err(unavailable)
    }
}
