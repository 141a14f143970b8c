use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::{Database, Postgres, Sqlite, Transaction, query, query_as, query_scalar};

use crate::model::{App, AppId, FnId, Function, Route, Timestamp, Trigger, TriggerId};
use crate::store::clash;
use crate::store::record::{self, AppRow, FunctionRow, RouteRow, TriggerRow, encode, size};
use crate::store::revise::{Revised, revise};
use crate::store::sql::{bounded, refused, statement as sql, unavailable};
use crate::store::{
    Amend, Amendment, Change, Conflict, PostgresStore, Resource, SqliteStore, Store, StoreError,
    Watch,
};

type Statement<'q, DB> = Query<'q, DB, <DB as Database>::Arguments>;

/// Answers of images that are kept; each is up to 1 MiB.
const KEPT_INDEXES: i64 = 200;

/// All columns of an app, in the order in which they are inserted.
macro_rules! app_row {
    ($Db:ty, $statement:expr, $app:expr) => {
        query::<$Db>($statement)
            .bind($app.id.to_string())
            .bind($app.name.clone())
            .bind(encode("app config", &$app.config)?)
            .bind(encode("app annotations", &$app.annotations)?)
            .bind($app.syslog_url.clone())
            .bind($app.created_at.as_millis())
            .bind($app.updated_at.as_millis())
    };
}

/// What may change of an app, behind its id.
macro_rules! app_update {
    ($Db:ty, $app:expr) => {
        query::<$Db>(sql::UPDATE_APP)
            .bind($app.id.to_string())
            .bind(encode("app config", &$app.config)?)
            .bind(encode("app annotations", &$app.annotations)?)
            .bind($app.syslog_url.clone())
            .bind($app.updated_at.as_millis())
    };
}

macro_rules! function_row {
    ($Db:ty, $statement:expr, $function:expr) => {
        query::<$Db>($statement)
            .bind($function.id.to_string())
            .bind($function.name.clone())
            .bind($function.app_id.to_string())
            .bind($function.image.clone())
            .bind($function.format.as_str())
            .bind(size("function memory", $function.memory_mb)?)
            .bind(i64::from($function.timeout_secs))
            .bind(i64::from($function.idle_timeout_secs))
            .bind(encode("function config", &$function.config)?)
            .bind(encode("function annotations", &$function.annotations)?)
            .bind($function.created_at.as_millis())
            .bind($function.updated_at.as_millis())
    };
}

macro_rules! trigger_row {
    ($Db:ty, $statement:expr, $trigger:expr) => {
        query::<$Db>($statement)
            .bind($trigger.id.to_string())
            .bind($trigger.name.clone())
            .bind($trigger.app_id.to_string())
            .bind($trigger.fn_id.to_string())
            .bind($trigger.source.clone())
            .bind(encode("trigger annotations", &$trigger.annotations)?)
            .bind($trigger.created_at.as_millis())
            .bind($trigger.updated_at.as_millis())
    };
}

macro_rules! impl_writes {
    ($Store:ty, $Db:ty) => {
        impl $Store {
            async fn insert(
                &self,
                insert: Statement<'_, $Db>,
                conflict: Conflict,
                parent: Resource,
            ) -> Result<(), StoreError> {
                let mut tx = self.writing().await?;
                bounded(insert.execute(&mut *tx))
                    .await
                    .map_err(|e| refused(e, conflict, parent))?;
                bounded(tx.commit()).await.map_err(unavailable)
            }

            async fn delete_from_app(
                &self,
                statement: &'static str,
                id: String,
                what: Resource,
            ) -> Result<AppId, StoreError> {
                // An amendment under way would store again what it has read.
                let mut tx = self.writing().await?;
                let delete = query_scalar(statement).bind(id);
                let app: Option<String> = bounded(delete.fetch_optional(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                let app = record::parse("app id", &app.ok_or(StoreError::NotFound(what))?)?;
                bounded(tx.commit()).await.map_err(unavailable)?;
                Ok(app)
            }

            /// Fails if a trigger of the app takes requests that `trigger` takes, too.
            async fn check_clash(
                connection: &mut <$Db as Database>::Connection,
                trigger: &Trigger,
            ) -> Result<(), StoreError> {
                let app = trigger.app_id.to_string();
                let select = if clash::has_parameters(&trigger.source) {
                    query_as::<_, TriggerRow>(sql::PATTERNS_OF_APP).bind(app)
                } else {
                    query_as::<_, TriggerRow>(sql::TRIGGERS_AT)
                        .bind(app)
                        .bind(trigger.source.clone())
                };
                let others: Vec<Trigger> = Self::many(connection, select).await?;
                clash::check([trigger], &others)
            }

            async fn amend_app(
                connection: &mut <$Db as Database>::Connection,
                amendment: &Amendment,
                known: Option<AppId>,
            ) -> Result<(), StoreError> {
                let Some(app) = &amendment.app else {
                    return Ok(());
                };
                let write = match known {
                    None => app_row!($Db, sql::INSERT_APP, app),
                    Some(_) => app_update!($Db, app),
                };
                bounded(write.execute(connection))
                    .await
                    .map_err(|e| refused(e, Conflict::AppName, Resource::App))?;
                Ok(())
            }

            async fn amend_contents(
                connection: &mut <$Db as Database>::Connection,
                amendment: &Amendment,
            ) -> Result<(), StoreError> {
                let functions = amendment.removed_functions.iter();
                let triggers = amendment.removed_triggers.iter();
                let gone = functions
                    .map(|id| (sql::DELETE_FN, id.to_string()))
                    .chain(triggers.map(|id| (sql::DELETE_TRIGGER, id.to_string())));
                for (statement, id) in gone {
                    let delete = query::<$Db>(statement).bind(id);
                    bounded(delete.execute(&mut *connection))
                        .await
                        .map_err(unavailable)?;
                }
                for function in &amendment.functions {
                    let write = function_row!($Db, sql::UPSERT_FN, function);
                    bounded(write.execute(&mut *connection))
                        .await
                        .map_err(|e| refused(e, Conflict::FunctionName, Resource::App))?;
                }
                for trigger in &amendment.triggers {
                    let write = trigger_row!($Db, sql::UPSERT_TRIGGER, trigger);
                    bounded(write.execute(&mut *connection))
                        .await
                        .map_err(|e| refused(e, Conflict::TriggerName, Resource::Function))?;
                }
                Ok(())
            }

            /// What was stored, as the answer to a change that left it so.
            async fn keep<T, R>(
                &self,
                tx: Transaction<'static, $Db>,
                unchanged: Revised<R>,
                app: AppId,
                stored: T,
            ) -> Result<T, StoreError> {
                // A deploy that changes nothing still starts new containers: a tag may have been rebuilt.
                if let Revised::Same = unchanged {
                    self.announce(tx, app).await?;
                }
                Ok(stored)
            }

            /// Ends `tx` with a write of a row that has to be there.
            async fn write_one<T>(
                mut tx: Transaction<'static, $Db>,
                what: Resource,
                answer: T,
                write: Statement<'_, $Db>,
            ) -> Result<T, StoreError> {
                let done = bounded(write.execute(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                if done.rows_affected() == 0 {
                    return Err(StoreError::NotFound(what));
                }
                bounded(tx.commit()).await.map_err(unavailable)?;
                Ok(answer)
            }
        }

        #[async_trait]
        impl Store for $Store {
            fn watch(&self) -> Option<Box<dyn Watch>> {
                self.watch_others()
            }

            async fn create_app(&self, app: &App) -> Result<(), StoreError> {
                let insert = app_row!($Db, sql::INSERT_APP, app);
                self.insert(insert, Conflict::AppName, Resource::App).await
            }

            async fn amend(
                &self,
                app: &str,
                change: Amend<'_>,
            ) -> Result<Option<AppId>, StoreError> {
                let mut tx = self.writing().await?;
                let select = query_as::<_, AppRow>(sql::APP_BY_NAME).bind(app);
                let contents = match Self::one(&mut tx, Resource::App, select).await {
                    Ok(app) => Some(Self::contents_of(&mut tx, app).await?),
                    Err(StoreError::NotFound(_)) => None,
                    Err(error) => return Err(error),
                };
                let Some(amendment) = change(contents.as_ref()) else {
                    return Ok(None);
                };
                let known = contents.as_ref().map(|contents| contents.app.id);
                let id = amendment.app.as_ref().map(|app| app.id).or(known);
                let id = id.ok_or(StoreError::NotFound(Resource::App))?;
                if amendment == Amendment::default() {
                    self.announce(tx, id).await?;
                    return Ok(Some(id));
                }
                Self::amend_app(&mut tx, &amendment, known).await?;
                Self::amend_contents(&mut tx, &amendment).await?;
                if !amendment.triggers.is_empty() {
                    let select =
                        query_as::<_, TriggerRow>(sql::TRIGGERS_OF_APP).bind(id.to_string());
                    let all: Vec<Trigger> = Self::many(&mut tx, select).await?;
                    clash::check(&amendment.triggers, &all)?;
                }
                bounded(tx.commit()).await.map_err(unavailable)?;
                Ok(Some(id))
            }

            async fn keep_index(&self, digest: &str, answer: &[u8]) -> Result<(), StoreError> {
                let mut tx = self.writing().await?;
                let upsert = query::<$Db>(sql::UPSERT_INDEX)
                    .bind(digest)
                    .bind(answer)
                    .bind(Timestamp::now().as_millis());
                bounded(upsert.execute(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                let prune = query::<$Db>(sql::DELETE_SURPLUS_INDEXES)
                    .bind(KEPT_INDEXES)
                    .bind(KEPT_INDEXES);
                bounded(prune.execute(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                bounded(tx.commit()).await.map_err(unavailable)
            }

            async fn update_app(
                &self,
                id: AppId,
                change: Change<'_, App>,
            ) -> Result<App, StoreError> {
                let mut tx = self.writing().await?;
                let select = query_as::<_, AppRow>(sql::APP).bind(id.to_string());
                let stored: App = Self::one(&mut tx, Resource::App, select).await?;
                let app = match revise(&stored, change) {
                    Revised::Changed(app) => app,
                    unchanged => return self.keep(tx, unchanged, stored.id, stored).await,
                };
                let update = app_update!($Db, app);
                Self::write_one(tx, Resource::App, app, update).await
            }

            async fn delete_app(&self, id: AppId) -> Result<(), StoreError> {
                let mut tx = self.writing().await?;
                let calls = query(sql::DELETE_CALLS_OF_APP).bind(id.to_string());
                bounded(calls.execute(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                let delete = query(sql::DELETE_APP).bind(id.to_string());
                Self::write_one(tx, Resource::App, (), delete).await
            }

            async fn create_route(&self, route: &Route) -> Result<(), StoreError> {
                let insert = query(sql::INSERT_ROUTE)
                    .bind(route.app_id.to_string())
                    .bind(&route.path)
                    .bind(&route.image)
                    .bind(route.format.as_str())
                    .bind(size("route memory", route.memory_mb)?)
                    .bind(route.cpus.map(|c| c.to_string()).unwrap_or_default())
                    .bind(i64::from(route.timeout_secs))
                    .bind(i64::from(route.idle_timeout_secs))
                    .bind(i64::from(route.tmpfs_mb))
                    .bind(route.kind.as_str())
                    .bind(encode("route headers", &route.headers)?)
                    .bind(encode("route config", &route.config)?)
                    .bind(encode("route annotations", &route.annotations)?)
                    .bind(route.created_at.as_millis())
                    .bind(route.updated_at.as_millis());
                self.insert(insert, Conflict::RoutePath, Resource::App)
                    .await
            }

            async fn update_route(
                &self,
                app: AppId,
                path: &str,
                change: Change<'_, Route>,
            ) -> Result<Route, StoreError> {
                let mut tx = self.writing().await?;
                let select = query_as::<_, RouteRow>(sql::ROUTE)
                    .bind(app.to_string())
                    .bind(path);
                let stored: Route = Self::one(&mut tx, Resource::Route, select).await?;
                let route = match revise(&stored, change) {
                    Revised::Changed(route) => route,
                    unchanged => return self.keep(tx, unchanged, stored.app_id, stored).await,
                };
                let update = query(sql::UPDATE_ROUTE)
                    .bind(app.to_string())
                    .bind(path)
                    .bind(route.image.clone())
                    .bind(route.format.as_str())
                    .bind(size("route memory", route.memory_mb)?)
                    .bind(route.cpus.map(|c| c.to_string()).unwrap_or_default())
                    .bind(i64::from(route.timeout_secs))
                    .bind(i64::from(route.idle_timeout_secs))
                    .bind(i64::from(route.tmpfs_mb))
                    .bind(route.kind.as_str())
                    .bind(encode("route headers", &route.headers)?)
                    .bind(encode("route config", &route.config)?)
                    .bind(encode("route annotations", &route.annotations)?)
                    .bind(route.updated_at.as_millis());
                Self::write_one(tx, Resource::Route, route, update).await
            }

            async fn delete_route(&self, app: AppId, path: &str) -> Result<(), StoreError> {
                let delete = query(sql::DELETE_ROUTE).bind(app.to_string()).bind(path);
                Self::write_one(self.writing().await?, Resource::Route, (), delete).await
            }

            async fn create_function(&self, function: &Function) -> Result<(), StoreError> {
                let insert = function_row!($Db, sql::INSERT_FN, function);
                self.insert(insert, Conflict::FunctionName, Resource::App)
                    .await
            }

            async fn update_function(
                &self,
                id: FnId,
                change: Change<'_, Function>,
            ) -> Result<Function, StoreError> {
                let mut tx = self.writing().await?;
                let select = query_as::<_, FunctionRow>(sql::FN).bind(id.to_string());
                let stored: Function = Self::one(&mut tx, Resource::Function, select).await?;
                let function = match revise(&stored, change) {
                    Revised::Changed(function) => function,
                    unchanged => return self.keep(tx, unchanged, stored.app_id, stored).await,
                };
                let update = query(sql::UPDATE_FN)
                    .bind(id.to_string())
                    .bind(function.image.clone())
                    .bind(function.format.as_str())
                    .bind(size("function memory", function.memory_mb)?)
                    .bind(i64::from(function.timeout_secs))
                    .bind(i64::from(function.idle_timeout_secs))
                    .bind(encode("function config", &function.config)?)
                    .bind(encode("function annotations", &function.annotations)?)
                    .bind(function.updated_at.as_millis());
                Self::write_one(tx, Resource::Function, function, update).await
            }

            async fn delete_function(&self, id: FnId) -> Result<AppId, StoreError> {
                self.delete_from_app(sql::DELETE_FN, id.to_string(), Resource::Function)
                    .await
            }

            async fn create_trigger(&self, trigger: &Trigger) -> Result<(), StoreError> {
                let mut tx = self.writing().await?;
                let insert = trigger_row!($Db, sql::INSERT_TRIGGER, trigger);
                bounded(insert.execute(&mut *tx))
                    .await
                    .map_err(|e| refused(e, Conflict::TriggerName, Resource::Function))?;
                Self::check_clash(&mut tx, trigger).await?;
                bounded(tx.commit()).await.map_err(unavailable)
            }

            async fn update_trigger(
                &self,
                id: TriggerId,
                change: Change<'_, Trigger>,
            ) -> Result<Trigger, StoreError> {
                let mut tx = self.writing().await?;
                let select = query_as::<_, TriggerRow>(sql::TRIGGER).bind(id.to_string());
                let stored: Trigger = Self::one(&mut tx, Resource::Trigger, select).await?;
                let trigger = match revise(&stored, change) {
                    Revised::Changed(trigger) => trigger,
                    unchanged => return self.keep(tx, unchanged, stored.app_id, stored).await,
                };
                Self::check_clash(&mut tx, &trigger).await?;
                let update = query(sql::UPDATE_TRIGGER)
                    .bind(id.to_string())
                    .bind(trigger.source.clone())
                    .bind(encode("trigger annotations", &trigger.annotations)?)
                    .bind(trigger.updated_at.as_millis());
                Self::write_one(tx, Resource::Trigger, trigger, update).await
            }

            async fn delete_trigger(&self, id: TriggerId) -> Result<AppId, StoreError> {
                self.delete_from_app(sql::DELETE_TRIGGER, id.to_string(), Resource::Trigger)
                    .await
            }
        }
    };
}

impl_writes!(SqliteStore, Sqlite);
impl_writes!(PostgresStore, Postgres);
