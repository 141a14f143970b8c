use sqlx::{QueryBuilder, Sqlite, SqlitePool, Transaction, query};

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

    /// Many rows in one statement: each statement is a way to the thread of the database and back.
    pub(in crate::store) async fn insert_calls(
        &self,
        calls: &[FinishedCall],
    ) -> Result<(), StoreError> {
        let mut tx = self.writing().await?;
        let mut rest = calls;
        for rows in ROWS_AT_ONCE {
            while let Some((now, later)) = rest.split_at_checked(rows) {
                let mut insert = insert(now);
                let insert = insert.build().execute(&mut *tx);
                bounded(insert).await.map_err(unavailable)?;
                rest = later;
            }
        }
        for finished in calls.iter().filter(|finished| !finished.log.is_empty()) {
            let log = query(sql::INSERT_LOG)
                .bind(finished.call.id.to_string())
                .bind(&finished.log);
            bounded(log.execute(&mut *tx)).await.map_err(unavailable)?;
        }
        bounded(tx.commit()).await.map_err(unavailable)
    }
}

/// Few different statements, so that each is prepared once.
const ROWS_AT_ONCE: [usize; 3] = [64, 8, 1];

fn insert(calls: &[FinishedCall]) -> QueryBuilder<Sqlite> {
    let mut insert = QueryBuilder::new(sql::INSERT_CALLS);
    insert.push_values(calls, |mut row, finished| {
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
        row.push_bind(id)
            .push_bind(app_id)
            .push_bind(fn_id)
            .push_bind(path)
            .push_bind(status)
            .push_bind(error)
            .push_bind(blame)
            .push_bind(created_at)
            .push_bind(started_at)
            .push_bind(completed_at);
    });
    insert.push(sql::UNLESS_RECORDED);
    insert
}
