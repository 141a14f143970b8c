use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use tokio::sync::Semaphore;

use crate::store::StoreError;
use crate::store::sql::bounded;

/// Enough for the control plane and the recorder; calls do not come here at all.
const CONNECTIONS: u32 = 8;

/// How long a request waits for a connection before it is told that the store is unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two tries to reach the database at start.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// SQLSTATE of a server that is there but not ready: it is starting, stopping or full.
const NOT_READY: [&str; 4] = ["57P01", "57P02", "57P03", "53300"];

/// Apps, routes, functions, triggers and calls in a Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    pub(super) pool: PgPool,
    pub(super) options: PgConnectOptions,
    /// Who waits for other servers' writes holds a connection meanwhile: one of ours at a time, so
    /// that the others are there for those who read and record.
    pub(super) turn: Semaphore,
    /// Names this store in the notifications that its writes cause.
    pub(super) writer: String,
}

impl PostgresStore {
    /// Connects to the database at `url` and brings its tables up to date. A database that is not
    /// there is tried `retries` times more; one that refuses us is not.
    pub async fn open(url: &str, retries: u32) -> Result<Self, StoreError> {
        let writer = ulid::Ulid::generate().to_string();
        let options = url
            .parse::<PgConnectOptions>()
            .map_err(StoreError::unavailable)?
            .application_name("kiln")
            .options([("kiln.writer", writer.as_str())]);
        wait_for(&options, retries).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await
            .map_err(StoreError::unavailable)?;
        sqlx::migrate!("src/store/migrations/postgres")
            .run(&pool)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(Self {
            pool,
            options,
            turn: Semaphore::new(1),
            writer,
        })
    }

    /// Waits for statements in flight and closes the connections; later calls are refused.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn wait_for(options: &PgConnectOptions, retries: u32) -> Result<(), StoreError> {
    for attempt in 0..=retries {
        match bounded(options.connect()).await {
            Ok(connection) => {
                // It has served its purpose; the server sees to the rest.
                let _ = connection.close().await;
                return Ok(());
            }
            Err(error) if attempt < retries && is_away(&error) => {
                tracing::warn!(
                    %error,
                    host = options.get_host(),
                    port = options.get_port(),
                    retries_left = retries - attempt,
                    "the database does not answer, trying again"
                );
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(StoreError::unavailable(error)),
        }
    }
    Err(StoreError::unavailable(io::Error::from(
        io::ErrorKind::TimedOut,
    )))
}

/// Whether waiting may help.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(database) => database
            .code()
            .is_some_and(|code| NOT_READY.contains(&&*code)),
        _ => false,
    }
}
