use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Postgres, Sqlite, query, query_as, query_scalar};

use crate::model::{AppId, Call, CallId, FinishedCall, Timestamp};
use crate::store::record::{CallRow, size};
use crate::store::sql::{bounded, statement as sql, unavailable};
use crate::store::{
    CallFilter, CallRead, CallStore, CallsOf, PostgresStore, Resource, SqliteStore, StoreError,
};

/// Calls deleted by one statement: the write lock is held for a few milliseconds.
const PRUNED_AT_ONCE: u32 = 1000;

/// Sorts after every id.
const NEWEST: &str = "~";

macro_rules! impl_calls {
    ($Store:ty, $Db:ty) => {
        #[async_trait]
        impl CallRead for $Store {
            async fn call(&self, app: AppId, id: CallId) -> Result<Call, StoreError> {
                let select = query_as::<_, CallRow>(sql::CALL)
                    .bind(app.to_string())
                    .bind(id.to_string());
                self.find(Resource::Call, select).await
            }

            async fn calls(&self, filter: &CallFilter) -> Result<Vec<Call>, StoreError> {
                let (statement, owner) = match &filter.of {
                    CallsOf::App { id, .. } => (sql::CALLS_OF_APP, id.to_string()),
                    CallsOf::Fn(id) => (sql::CALLS_OF_FN, id.to_string()),
                };
                let cursor = filter.cursor.map(|id| id.to_string());
                let mut select = query_as::<_, CallRow>(statement)
                    .bind(owner)
                    .bind(cursor.unwrap_or_else(|| NEWEST.to_owned()))
                    .bind(filter.after.map_or(i64::MIN, Timestamp::as_millis))
                    .bind(filter.before.map_or(i64::MAX, Timestamp::as_millis))
                    .bind(i64::from(filter.limit));
                if let CallsOf::App { path, .. } = &filter.of {
                    select = select.bind(path.as_deref().unwrap_or_default());
                }
                self.list(select).await
            }

            async fn log(&self, app: AppId, id: CallId) -> Result<Vec<u8>, StoreError> {
                let select = query_scalar::<_, Option<Vec<u8>>>(sql::LOG)
                    .bind(app.to_string())
                    .bind(id.to_string());
                bounded(select.fetch_optional(self.reader()))
                    .await
                    .map_err(unavailable)?
                    .ok_or(StoreError::NotFound(Resource::CallLog))
                    .map(Option::unwrap_or_default)
            }
        }

        #[async_trait]
        impl CallStore for $Store {
            async fn record(&self, calls: &[FinishedCall]) -> Result<(), StoreError> {
                self.insert_calls(calls).await
            }

            async fn prune(&self, max_age: Duration, max_count: u64) -> Result<u64, StoreError> {
                let oldest = Timestamp::now().minus(max_age).as_millis();
                let surplus = size("number of calls", max_count)?;
                let mut gone = 0;
                for (statement, bound) in [
                    (sql::DELETE_OLD_CALLS, oldest),
                    (sql::DELETE_SURPLUS_CALLS, surplus),
                ] {
                    loop {
                        let delete = query::<$Db>(statement)
                            .bind(bound)
                            .bind(i64::from(PRUNED_AT_ONCE));
                        let done = bounded(delete.execute(self.writer()))
                            .await
                            .map_err(unavailable)?;
                        gone += done.rows_affected();
                        if done.rows_affected() < u64::from(PRUNED_AT_ONCE) {
                            break;
                        }
                    }
                }
                Ok(gone)
            }
        }
    };
}

impl_calls!(SqliteStore, Sqlite);
impl_calls!(PostgresStore, Postgres);
