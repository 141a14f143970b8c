use sqlx::{Error, PgPool, Postgres, Transaction, query};

use crate::model::{AppId, FinishedCall};
use crate::store::postgres::watch::CHANNEL;
use crate::store::record::columns;
use crate::store::sql::{bounded, unavailable};
use crate::store::{PostgresStore, StoreError};

/// Held until the transaction ends. The number means nothing, but all versions must agree on it.
const WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(7309940513)";

const NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// One statement for a whole batch: a round trip for each call would bound how many can be
/// recorded.
const INSERT_CALLS: &str = "INSERT INTO calls \
    (id, app_id, fn_id, path, status, error, blame, created_at, started_at, completed_at) \
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
    $7::text[], $8::bigint[], $9::bigint[], $10::bigint[]) ON CONFLICT (id) DO NOTHING";

const INSERT_LOGS: &str = "INSERT INTO logs (call_id, log) \
    SELECT * FROM UNNEST($1::text[], $2::bytea[]) ON CONFLICT (call_id) DO NOTHING";

impl PostgresStore {
    pub(in crate::store) fn reader(&self) -> &PgPool {
        &self.pool
    }

    pub(in crate::store) fn writer(&self) -> &PgPool {
        &self.pool
    }

    /// By default every statement would see a moment of its own.
    pub(in crate::store) async fn reading(
        &self,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        bounded(
            self.pool
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        )
        .await
        .map_err(unavailable)
    }

    pub(in crate::store) async fn writing(
        &self,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        let turn = async { self.turn.acquire().await.map_err(|_| Error::PoolClosed) };
        let _turn = bounded(turn).await.map_err(unavailable)?;
        let mut tx = bounded(self.pool.begin()).await.map_err(unavailable)?;
        bounded(query(WRITE_LOCK).execute(&mut *tx))
            .await
            .map_err(unavailable)?;
        Ok(tx)
    }

    /// Tells the others of a deploy that changed nothing in the tables.
    pub(in crate::store) async fn announce(
        &self,
        mut tx: Transaction<'static, Postgres>,
        app: AppId,
    ) -> Result<(), StoreError> {
        let notify = query(NOTIFY)
            .bind(CHANNEL)
            .bind(format!("{app} {}", self.writer));
        bounded(notify.execute(&mut *tx))
            .await
            .map_err(unavailable)?;
        bounded(tx.commit()).await.map_err(unavailable)
    }

    pub(in crate::store) async fn insert_calls(
        &self,
        calls: &[FinishedCall],
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = calls.iter().map(|f| columns(&f.call)).collect();
        let texts = |of: fn(&crate::store::record::CallColumns) -> &str| {
            rows.iter()
                .map(|row| of(row).to_owned())
                .collect::<Vec<_>>()
        };
        let insert = query(INSERT_CALLS)
            .bind(texts(|row| &row.id))
            .bind(texts(|row| &row.app_id))
            .bind(texts(|row| &row.fn_id))
            .bind(texts(|row| &row.path))
            .bind(texts(|row| row.status))
            .bind(texts(|row| &row.error))
            .bind(texts(|row| &row.blame))
            .bind(rows.iter().map(|row| row.created_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.started_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.completed_at).collect::<Vec<_>>());
        let with_log = || calls.iter().filter(|finished| !finished.log.is_empty());
        let logs = query(INSERT_LOGS)
            .bind(
                with_log()
                    .map(|f| f.call.id.to_string())
                    .collect::<Vec<_>>(),
            )
            .bind(with_log().map(|f| f.log.as_slice()).collect::<Vec<_>>());
        let mut tx = bounded(self.pool.begin()).await.map_err(unavailable)?;
        bounded(insert.execute(&mut *tx))
            .await
            .map_err(unavailable)?;
        bounded(logs.execute(&mut *tx)).await.map_err(unavailable)?;
        bounded(tx.commit()).await.map_err(unavailable)
    }
}
