use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::model::{App, AppId, FnId, Function, Route, Trigger, TriggerId};
use crate::store::follow::{catch_up, follow};
use crate::store::{
    Amendment, AppContents, CallRead, Catalog, News, Recorder, Resource, Store, StoreError,
    StoreRead, Verdict, WriteError,
};

/// The store and the catalog as one: each write is in both before it answers.
///
/// A write runs to its end even if its caller is dropped; [`Registry::drain`] waits for those.
/// Where the store was written but could not be read back, the write answers `Unavailable`, and
/// the catalog follows as soon as it can be read.
///
/// Where others write to the same database, the catalog follows them.
#[derive(Clone, Debug)]
pub struct Registry {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    recorder: Option<Recorder>,
    writes: TaskTracker,
    following: CancellationToken,
    /// Apps of which something was written that could not be read back, each with a task that tries
    /// again; and whether that happened once more since the task last began to.
    late: Arc<Mutex<BTreeMap<AppId, bool>>>,
    /// The catalog of a registry that was dropped needs no news.
    _unfollow: Arc<DropGuard>,
}

impl Registry {
    /// Loads the catalog from `store`. From here on nobody else in this process should write to
    /// it.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let catalog = Arc::new(Catalog::load(&*store).await?);
        let writes = TaskTracker::new();
        let following = CancellationToken::new();
        if let Some(watch) = store.watch() {
            let news = follow(store.clone(), catalog.clone(), watch);
            writes.spawn(following.clone().run_until_cancelled_owned(news));
        }
        Ok(Self {
            store,
            catalog,
            recorder: None,
            writes,
            _unfollow: Arc::new(following.clone().drop_guard()),
            following,
            late: Arc::default(),
        })
    }

    /// Reads of calls see what `recorder` was given before them.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// What calls are routed by.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What is deployed, as the store has it.
    pub fn read(&self) -> &dyn StoreRead {
        &*self.store
    }

    /// What was called, up to now: calls are recorded behind their callers' backs.
    pub async fn calls(&self) -> &dyn CallRead {
        if let Some(recorder) = &self.recorder {
            recorder.catch_up().await;
        }
        &*self.store
    }

    /// Waits until every write that has begun has ended. Call it when no more can begin.
    pub async fn drain(&self) {
        self.following.cancel();
        self.writes.close();
        self.writes.wait().await;
    }

    pub async fn create_app(&self, app: App) -> Result<App, StoreError> {
        let this = self.clone();
        self.run(async move {
            this.store.create_app(&app).await?;
            this.refresh(app.id).await?;
            Ok(app)
        })
        .await
    }

    /// The app with the name of `app`, which is created if there is none.
    pub async fn ensure_app(&self, app: App) -> Result<App, StoreError> {
        let name = app.name.clone();
        match self.store.app_by_name(&name).await {
            Err(StoreError::NotFound(Resource::App)) => {}
            answer => return answer,
        }
        match self.create_app(app).await {
            // Two deploys of a new app may meet here; both want the one that won.
            Err(StoreError::Conflict(_)) => self.store.app_by_name(&name).await,
            answer => answer,
        }
    }

    pub async fn update_app<E, F>(&self, id: AppId, change: F) -> Result<App, WriteError<E>>
    where
        E: Send + 'static,
        F: FnMut(&mut App) -> Result<(), E> + Send + 'static,
    {
        let this = self.clone();
        self.run(async move {
            let mut edit = Edit::new(change);
            let stored = this.store.update_app(id, &mut |row| edit.apply(row)).await;
            this.finish(edit, stored, |app| app.id).await
        })
        .await
    }

    /// Shows the app of that name to `change` and stores the amendment that it makes, if any; what
    /// it says beside is the answer.
    pub async fn amend<T, E, F>(&self, app: String, mut change: F) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnMut(Option<&AppContents>) -> Result<(Option<Amendment>, T), E> + Send + 'static,
    {
        let this = self.clone();
        self.run(async move {
            let mut said = None;
            let stored = this
                .store
                .amend(&app, &mut |contents| match change(contents) {
                    Ok((amendment, value)) => {
                        said = Some(Ok(value));
                        amendment
                    }
                    Err(refusal) => {
                        said = Some(Err(refusal));
                        None
                    }
                })
                .await?;
            if let Some(id) = stored {
                this.refresh(id).await?;
            }
            said.expect("a store that succeeds has asked")
                .map_err(WriteError::Refused)
        })
        .await
    }

    /// Keeps what the image with this digest answered when it was asked for its functions.
    pub async fn keep_index(&self, digest: &str, answer: &[u8]) -> Result<(), StoreError> {
        self.store.keep_index(digest, answer).await
    }

    pub async fn delete_app(&self, id: AppId) -> Result<(), StoreError> {
        let this = self.clone();
        self.run(async move {
            this.store.delete_app(id).await?;
            this.refresh(id).await
        })
        .await
    }

    pub async fn create_route(&self, route: Route) -> Result<Route, StoreError> {
        let this = self.clone();
        self.run(async move {
            let created = this.store.create_route(&route).await;
            this.settle(route.app_id, created).await?;
            Ok(route)
        })
        .await
    }

    pub async fn update_route<E, F>(
        &self,
        app: AppId,
        path: String,
        change: F,
    ) -> Result<Route, WriteError<E>>
    where
        E: Send + 'static,
        F: FnMut(&mut Route) -> Result<(), E> + Send + 'static,
    {
        let this = self.clone();
        self.run(async move {
            let mut edit = Edit::new(change);
            let stored = this
                .store
                .update_route(app, &path, &mut |row| edit.apply(row))
                .await;
            this.finish(edit, stored, |route| route.app_id).await
        })
        .await
    }

    pub async fn delete_route(&self, app: AppId, path: String) -> Result<(), StoreError> {
        let this = self.clone();
        self.run(async move {
            this.store.delete_route(app, &path).await?;
            this.refresh(app).await
        })
        .await
    }

    pub async fn create_function(&self, function: Function) -> Result<Function, StoreError> {
        let this = self.clone();
        self.run(async move {
            let created = this.store.create_function(&function).await;
            this.settle(function.app_id, created).await?;
            Ok(function)
        })
        .await
    }

    pub async fn update_function<E, F>(
        &self,
        id: FnId,
        change: F,
    ) -> Result<Function, WriteError<E>>
    where
        E: Send + 'static,
        F: FnMut(&mut Function) -> Result<(), E> + Send + 'static,
    {
        let this = self.clone();
        self.run(async move {
            let mut edit = Edit::new(change);
            let stored = this
                .store
                .update_function(id, &mut |row| edit.apply(row))
                .await;
            this.finish(edit, stored, |function| function.app_id).await
        })
        .await
    }

    pub async fn delete_function(&self, id: FnId) -> Result<(), StoreError> {
        let this = self.clone();
        self.run(async move {
            let app = this.store.delete_function(id).await?;
            this.refresh(app).await
        })
        .await
    }

    pub async fn create_trigger(&self, trigger: Trigger) -> Result<Trigger, StoreError> {
        let this = self.clone();
        self.run(async move {
            let created = this.store.create_trigger(&trigger).await;
            this.settle(trigger.app_id, created).await?;
            Ok(trigger)
        })
        .await
    }

    pub async fn update_trigger<E, F>(
        &self,
        id: TriggerId,
        change: F,
    ) -> Result<Trigger, WriteError<E>>
    where
        E: Send + 'static,
        F: FnMut(&mut Trigger) -> Result<(), E> + Send + 'static,
    {
        let this = self.clone();
        self.run(async move {
            let mut edit = Edit::new(change);
            let stored = this
                .store
                .update_trigger(id, &mut |row| edit.apply(row))
                .await;
            this.finish(edit, stored, |trigger| trigger.app_id).await
        })
        .await
    }

    pub async fn delete_trigger(&self, id: TriggerId) -> Result<(), StoreError> {
        let this = self.clone();
        self.run(async move {
            let app = this.store.delete_trigger(id).await?;
            this.refresh(app).await
        })
        .await
    }

    /// Runs `work` as a task of its own: a client that hangs up between the store write and the
    /// refresh would otherwise leave the catalog behind.
    async fn run<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        match self.writes.spawn(work).await {
            Ok(answer) => answer,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => Err(StoreError::unavailable(cancelled).into()),
            },
        }
    }

    async fn refresh(&self, app: AppId) -> Result<(), StoreError> {
        let read = self.catalog.refresh_app(&*self.store, app).await;
        let missed = matches!(read, Err(StoreError::Unavailable(_)));
        if missed && self.late.lock().insert(app, true).is_none() {
            // Who repeats a delete finds nothing to delete, and would change nothing here.
            let (store, catalog) = (self.store.clone(), self.catalog.clone());
            let late = self.late.clone();
            let until = self.following.clone();
            self.writes
                .spawn(until.run_until_cancelled_owned(async move {
                    while late.lock().get(&app) == Some(&true) {
                        late.lock().insert(app, false);
                        catch_up(&*store, &catalog, News::App(app)).await;
                        let mut late = late.lock();
                        if late.get(&app) == Some(&false) {
                            late.remove(&app);
                        }
                    }
                }));
        }
        read
    }

    /// A conflict is refreshed too: it may be the repetition of a create whose own refresh failed.
    async fn settle(&self, app: AppId, created: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Ok(()) | Err(StoreError::Conflict(_)) = created {
            self.refresh(app).await?;
        }
        created
    }

    async fn finish<T, E, F>(
        &self,
        edit: Edit<E, F>,
        stored: Result<T, StoreError>,
        app: impl Fn(&T) -> AppId,
    ) -> Result<T, WriteError<E>> {
        if let Some(refusal) = edit.refusal {
            return Err(WriteError::Refused(refusal));
        }
        let row = stored?;
        self.refresh(app(&row)).await?;
        Ok(row)
    }
}

/// A fallible change, put to a store that knows nothing of its error.
struct Edit<E, F> {
    change: F,
    refusal: Option<E>,
}

impl<E, F> Edit<E, F> {
    fn new(change: F) -> Self {
        Self {
            change,
            refusal: None,
        }
    }

    fn apply<T>(&mut self, row: &mut T) -> Verdict
    where
        F: FnMut(&mut T) -> Result<(), E>,
    {
        self.refusal = (self.change)(row).err();
        match self.refusal {
            Some(_) => Verdict::Abandon,
            None => Verdict::Apply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{a_function, a_route, a_trigger, an_app};
    use crate::store::{Miss, SqliteStore};

    async fn registry() -> (Registry, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("fn.db")).await.unwrap();
        (Registry::open(Arc::new(store)).await.unwrap(), dir)
    }

    fn nothing<T>(_: &mut T) -> Result<(), ()> {
        Ok(())
    }

    #[tokio::test]
    async fn a_write_is_in_the_catalog_when_it_answers() {
        let (registry, _dir) = registry().await;
        let catalog = registry.catalog();
        let app = registry.create_app(an_app("a")).await.unwrap();
        assert_eq!(catalog.route("a", "/x").unwrap_err(), Miss::Target);
        assert_eq!(catalog.route("b", "/x").unwrap_err(), Miss::App);

        registry.create_route(a_route(&app, "/x")).await.unwrap();
        assert_eq!(catalog.route("a", "/x").unwrap().image, "hello:0.0.1");

        let function = a_function(&app, "f");
        registry.create_function(function.clone()).await.unwrap();
        let trigger = a_trigger(&function, "t", "/hook");
        registry.create_trigger(trigger.clone()).await.unwrap();
        let called = catalog.trigger("a", "/hook", "/hook", "GET").unwrap();
        assert!(Arc::ptr_eq(
            &called,
            &catalog.function(function.id).unwrap()
        ));

        registry.delete_trigger(trigger.id).await.unwrap();
        assert_eq!(
            catalog.trigger("a", "/hook", "/hook", "GET").unwrap_err(),
            Miss::Target
        );
        registry.delete_function(function.id).await.unwrap();
        assert!(catalog.function(function.id).is_none());
        registry
            .delete_route(app.id, "/x".to_owned())
            .await
            .unwrap();
        assert_eq!(catalog.route("a", "/x").unwrap_err(), Miss::Target);
        registry.delete_app(app.id).await.unwrap();
        assert_eq!(catalog.route("a", "/x").unwrap_err(), Miss::App);
    }

    #[tokio::test]
    async fn a_redeploy_that_changes_nothing_is_still_a_new_callable() {
        let (registry, _dir) = registry().await;
        let app = registry.create_app(an_app("a")).await.unwrap();
        let function = a_function(&app, "f");
        registry.create_function(function.clone()).await.unwrap();
        let before = registry.catalog().function(function.id).unwrap();
        let answer = registry.update_function(function.id, nothing).await;
        assert_eq!(answer.unwrap(), function, "updated_at stays as well");
        let after = registry.catalog().function(function.id).unwrap();
        assert!(!Arc::ptr_eq(&before, &after));
    }

    #[tokio::test]
    async fn a_refused_change_changes_nothing() {
        let (registry, _dir) = registry().await;
        let app = registry.create_app(an_app("a")).await.unwrap();
        let answer = registry
            .update_app(app.id, |row| {
                row.config.clear();
                Err("no")
            })
            .await;
        assert!(matches!(answer, Err(WriteError::Refused("no"))));
        assert_eq!(registry.read().app(app.id).await.unwrap(), app);
    }

    #[tokio::test]
    async fn deleting_an_app_leaves_a_new_app_of_its_name_alone() {
        let (registry, _dir) = registry().await;
        let old = registry.create_app(an_app("a")).await.unwrap();
        let function = a_function(&old, "f");
        registry.create_function(function.clone()).await.unwrap();
        registry.store.delete_app(old.id).await.unwrap();
        let new = registry.create_app(an_app("a")).await.unwrap();
        registry.refresh(old.id).await.unwrap();
        assert_eq!(registry.catalog().app("a").unwrap().id, new.id);
        assert!(registry.catalog().function(function.id).is_none());
    }

    #[tokio::test]
    async fn the_catalog_starts_with_what_the_store_has() {
        let (registry, _dir) = registry().await;
        let app = registry.create_app(an_app("a")).await.unwrap();
        registry.create_route(a_route(&app, "/x")).await.unwrap();
        let again = Registry::open(Arc::clone(&registry.store)).await.unwrap();
        let callable = again.catalog().route("a", "/x").unwrap();
        assert_eq!(callable.env["Key"], "välue \" '");
        assert_eq!(callable.env["FN_PATH"], "/x");
    }

    #[tokio::test]
    async fn a_write_ends_even_if_its_caller_goes_away() {
        let (registry, _dir) = registry().await;
        let mut write = Box::pin(registry.create_app(an_app("a")));
        let started =
            std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx).is_pending()));
        assert!(started.await);
        drop(write);
        registry.drain().await;
        assert!(registry.catalog().app("a").is_some());
    }

    #[tokio::test]
    async fn a_write_that_cannot_be_read_back_is_in_the_catalog_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(dir.path().join("fn.db")).await.unwrap());
        let registry = Registry::open(store.clone()).await.unwrap();
        let app = registry.create_app(an_app("a")).await.unwrap();
        let function = a_function(&app, "f");
        registry.create_function(function.clone()).await.unwrap();
        let rename = async |statement: &'static str| {
            sqlx::query(statement)
                .execute(store.writer())
                .await
                .unwrap();
        };
        rename("ALTER TABLE routes RENAME TO away").await;
        let answer = registry.delete_function(function.id).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
        assert!(registry.catalog().function(function.id).is_some());
        rename("ALTER TABLE away RENAME TO routes").await;
        let followed = async {
            while registry.catalog().function(function.id).is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let soon = std::time::Duration::from_secs(10);
        tokio::time::timeout(soon, followed).await.unwrap();
    }

    #[tokio::test]
    async fn deploys_of_a_new_app_that_meet_share_it() {
        let (registry, _dir) = registry().await;
        let deploys = (0..8).map(|_| registry.ensure_app(an_app("a")));
        let apps = futures_util::future::join_all(deploys).await;
        let ids: Vec<_> = apps.into_iter().map(|app| app.unwrap().id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(registry.catalog().app("a").unwrap().id, ids[0]);
    }

    #[tokio::test]
    async fn racing_writes_leave_the_last_one_in_the_catalog() {
        let (registry, _dir) = registry().await;
        let app = registry.create_app(an_app("a")).await.unwrap();
        registry.create_route(a_route(&app, "/x")).await.unwrap();
        let writes = (0..32).map(|n| {
            registry.update_route(app.id, "/x".to_owned(), move |route| {
                route.image = format!("hello:{n}");
                Ok::<_, ()>(())
            })
        });
        for answer in futures_util::future::join_all(writes).await {
            answer.unwrap();
        }
        let stored = registry.read().route(app.id, "/x").await.unwrap();
        let shown = registry.catalog().route("a", "/x").unwrap();
        assert_eq!(shown.image, stored.image);
    }
}
