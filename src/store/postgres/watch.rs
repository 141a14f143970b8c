use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};

use crate::store::sql::bounded;
use crate::store::{News, PostgresStore, Watch};

/// Where the triggers of the database notify.
pub(super) const CHANNEL: &str = "kiln_apps";

/// Between two tries to reach a database that went away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A connection that has been silent for so long is asked whether it still is one: a host that
/// vanished does not close it.
const SILENCE: Duration = Duration::from_secs(20);

impl PostgresStore {
    pub(in crate::store) fn watch_others(&self) -> Option<Box<dyn Watch>> {
        let pool = PgPoolOptions::new()
            // The one that listens, and the one that a lost listener has not given up yet.
            .max_connections(2)
            .connect_lazy_with(self.options.clone());
        Some(Box::new(PgWatch {
            pool,
            writer: self.writer.clone(),
            listener: None,
        }))
    }
}

/// Hears of the writes of other gateways.
#[derive(Debug)]
struct PgWatch {
    pool: PgPool,
    writer: String,
    listener: Option<PgListener>,
}

#[async_trait]
impl Watch for PgWatch {
    async fn next(&mut self) -> News {
        loop {
            let Some(listener) = &mut self.listener else {
                match bounded(listen(&self.pool)).await {
                    // What was notified while nobody listened is lost.
                    Ok(listener) => {
                        self.listener = Some(listener);
                        return News::Anything;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot listen to the database");
                        tokio::time::sleep(RETRY_PAUSE).await;
                        continue;
                    }
                }
            };
            match tokio::time::timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    if let Some(news) = news(&notification, &self.writer) {
                        return news;
                    }
                }
                Ok(Ok(None) | Err(_)) => {
                    tracing::warn!("the connection to the database is lost, trying again");
                    self.listener = None;
                }
                Err(_) => {
                    let ping = sqlx::query("SELECT 1");
                    if bounded(ping.execute(&mut *listener)).await.is_err() {
                        self.listener = None;
                    }
                }
            }
        }
    }
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// What a notification says, unless it is about something that `own` wrote.
fn news(notification: &PgNotification, own: &str) -> Option<News> {
    let (app, writer) = notification.payload().split_once(' ')?;
    if writer == own {
        return None;
    }
    Some(app.parse().map_or(News::Anything, News::App))
}
