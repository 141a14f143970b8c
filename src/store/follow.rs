use std::sync::Arc;
use std::time::Duration;

use crate::store::{Catalog, News, Store, StoreError, Watch};

/// Between two tries to read what has changed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Keeps `catalog` at what others write to the database, for ever.
pub(super) async fn follow(
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    mut watch: Box<dyn Watch>,
) {
    loop {
        let news = watch.next().await;
        catch_up(&*store, &catalog, news).await;
    }
}

/// Brings `catalog` to what the news are about, as soon as that can be read.
pub(super) async fn catch_up(store: &dyn Store, catalog: &Catalog, news: News) {
    while let Err(error) = take_in(store, catalog, news).await {
        tracing::warn!(%error, "cannot read what was deployed");
        // Reading it again would give the same; the next write to it brings it up to date.
        if !matches!(error, StoreError::Unavailable(_)) {
            break;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn take_in(store: &dyn Store, catalog: &Catalog, news: News) -> Result<(), StoreError> {
    match news {
        News::App(app) => catalog.refresh_app(store, app).await,
        News::Anything => catalog.reload(store).await,
    }
}
