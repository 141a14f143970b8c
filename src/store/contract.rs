use std::fmt::Debug;

use async_trait::async_trait;

use crate::model::{App, AppId, FnId, Function, Route, Trigger, TriggerId};
use crate::store::{CallStore, StoreError};

/// An app with all that belongs to it, as it stood at one moment.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct AppContents {
    pub app: App,
    /// By path.
    pub routes: Vec<Route>,
    /// By name.
    pub functions: Vec<Function>,
    /// By name, then id.
    pub triggers: Vec<Trigger>,
}

/// Which apps to list.
#[derive(Clone, Debug, Default)]
pub struct AppFilter {
    /// Exactly this name.
    pub name: Option<String>,
    /// Only names that sort after this one (byte order).
    pub after: String,
    pub limit: u32,
}

/// Which routes of an app to list.
#[derive(Clone, Debug, Default)]
pub struct RouteFilter {
    /// Exactly this image.
    pub image: Option<String>,
    /// Only paths that sort after this one (byte order).
    pub after: String,
    pub limit: u32,
}

/// Which functions of an app to list.
#[derive(Clone, Debug, Default)]
pub struct FunctionFilter {
    /// Exactly this name.
    pub name: Option<String>,
    /// Only names that sort after this one (byte order).
    pub after: String,
    pub limit: u32,
}

/// Which triggers of an app to list.
#[derive(Clone, Debug, Default)]
pub struct TriggerFilter {
    pub fn_id: Option<FnId>,
    /// Exactly this name.
    pub name: Option<String>,
    /// Only triggers that sort after this name and id: two functions of an app may have
    /// triggers of one name, so a name alone is no position in the list.
    pub after: (String, String),
    pub limit: u32,
}

/// What a [`Change`] thinks of the row it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Store the row as it is now.
    Apply,
    /// Leave the stored row alone, whatever was done to the copy.
    Abandon,
}

/// An edit of one row, made inside the transaction that stores it, so two edits never overwrite
/// each other. It may be called more than once, must not touch ids, names, paths or times, and
/// must not block.
pub type Change<'a, T> = &'a mut (dyn FnMut(&mut T) -> Verdict + Send);

/// What is to become of an app and of what belongs to it, all of it or nothing. What is not named
/// stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amendment {
    /// A new app, or the one there is with other values.
    pub app: Option<App>,
    /// They go with their triggers, before anything else happens.
    pub removed_functions: Vec<FnId>,
    pub removed_triggers: Vec<TriggerId>,
    /// New ones, and those there are with other values.
    pub functions: Vec<Function>,
    pub triggers: Vec<Trigger>,
}

/// An amendment made from an app as it is, `None` where there is no such app; made inside the
/// transaction that stores it. `None` leaves everything as it is. It may be called more than once,
/// must not touch the ids, names and times of what is there, and must not block.
pub type Amend<'a> = &'a mut (dyn FnMut(Option<&AppContents>) -> Option<Amendment> + Send);

/// Reads of what is deployed.
///
/// Every method may wait for the database and is safe to drop at any point. Lists are ascending
/// in byte order. Listing within an app that does not exist gives an empty list. Texts must not
/// contain NUL, which not every database can compare.
#[async_trait]
pub trait StoreRead: Send + Sync + Debug {
    async fn app(&self, id: AppId) -> Result<App, StoreError>;
    async fn app_by_name(&self, name: &str) -> Result<App, StoreError>;
    async fn apps(&self, filter: &AppFilter) -> Result<Vec<App>, StoreError>;

    async fn route(&self, app: AppId, path: &str) -> Result<Route, StoreError>;
    async fn routes(&self, app: AppId, filter: &RouteFilter) -> Result<Vec<Route>, StoreError>;

    async fn function(&self, id: FnId) -> Result<Function, StoreError>;
    async fn functions(
        &self,
        app: AppId,
        filter: &FunctionFilter,
    ) -> Result<Vec<Function>, StoreError>;

    async fn trigger(&self, id: TriggerId) -> Result<Trigger, StoreError>;
    async fn triggers(
        &self,
        app: AppId,
        filter: &TriggerFilter,
    ) -> Result<Vec<Trigger>, StoreError>;

    /// One app with all that belongs to it, read at one moment.
    async fn contents(&self, app: AppId) -> Result<AppContents, StoreError>;

    /// What the image with this digest answered when it was asked for its functions.
    async fn index(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every app with all that belongs to it, read at one moment, by name.
    async fn load_all(&self) -> Result<Vec<AppContents>, StoreError>;
}

/// What [`Watch::next`] heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The app, or something that belongs to it, was written or deleted.
    App(AppId),
    /// Something may have been missed.
    Anything,
}

/// Hears of writes that were made through other stores on the same database.
#[async_trait]
pub trait Watch: Send + Debug {
    /// Waits for news, for as long as it takes, over losses of the database as well. The first is
    /// [`News::Anything`], when the listening begins.
    async fn next(&mut self) -> News;
}

/// Reads and writes of what is deployed.
///
/// A write is durable when it returns `Ok`, and visible to every read that starts later. A write
/// that is dropped may or may not have happened. Each write is atomic: after an error nothing
/// has changed. Nobody but [`Registry`](crate::store::Registry) should write, or the catalog
/// will not hear of it.
#[async_trait]
pub trait Store: StoreRead + CallStore {
    /// Hears of what others write; `None` where there can be no others.
    fn watch(&self) -> Option<Box<dyn Watch>>;

    /// Fails with [`Conflict::AppName`](crate::store::Conflict).
    async fn create_app(&self, app: &App) -> Result<(), StoreError>;
    /// Shows the stored app to `change` and stores the result, with `updated_at` moved if and
    /// only if something changed. Answers the app as stored now. So do the other updates.
    async fn update_app(&self, id: AppId, change: Change<'_, App>) -> Result<App, StoreError>;
    /// Deletes the app with its routes, functions, triggers and calls.
    async fn delete_app(&self, id: AppId) -> Result<(), StoreError>;

    /// Shows the app of that name with all that belongs to it to `change`, and stores what that
    /// makes of it. Answers the app, or nothing if nothing was to be stored. Fails as each of the
    /// changes would by itself.
    async fn amend(&self, app: &str, change: Amend<'_>) -> Result<Option<AppId>, StoreError>;

    /// Keeps what the image with this digest answered; of many such answers the oldest go.
    async fn keep_index(&self, digest: &str, answer: &[u8]) -> Result<(), StoreError>;

    /// Fails with not found (app), or [`Conflict::RoutePath`](crate::store::Conflict).
    async fn create_route(&self, route: &Route) -> Result<(), StoreError>;
    async fn update_route(
        &self,
        app: AppId,
        path: &str,
        change: Change<'_, Route>,
    ) -> Result<Route, StoreError>;
    async fn delete_route(&self, app: AppId, path: &str) -> Result<(), StoreError>;

    /// Fails with not found (app), or [`Conflict::FunctionName`](crate::store::Conflict).
    async fn create_function(&self, function: &Function) -> Result<(), StoreError>;
    async fn update_function(
        &self,
        id: FnId,
        change: Change<'_, Function>,
    ) -> Result<Function, StoreError>;
    /// Deletes the function with its triggers; answers the app it belonged to.
    async fn delete_function(&self, id: FnId) -> Result<AppId, StoreError>;

    /// Fails with not found (function) unless the app has that function, with
    /// [`Conflict::TriggerName`](crate::store::Conflict) or
    /// [`Conflict::TriggerSource`](crate::store::Conflict), or with a clash where two sources that
    /// take parameters stand for the same paths. Triggers that share no method get on.
    async fn create_trigger(&self, trigger: &Trigger) -> Result<(), StoreError>;
    /// Source and methods may change; they may then conflict.
    async fn update_trigger(
        &self,
        id: TriggerId,
        change: Change<'_, Trigger>,
    ) -> Result<Trigger, StoreError>;
    /// Answers the app it belonged to.
    async fn delete_trigger(&self, id: TriggerId) -> Result<AppId, StoreError>;
}
