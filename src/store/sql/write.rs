use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::{Database, Postgres, Sqlite, Transaction, query, query_as, query_scalar};

use crate::model::{App, AppId, FnId, Function, Route, Trigger, TriggerId};
use crate::store::record::{self, AppRow, FunctionRow, RouteRow, TriggerRow, encode, size};
use crate::store::revise::{Revised, revise};
use crate::store::sql::{bounded, refused, statement as sql, unavailable};
use crate::store::{
    Change, Conflict, PostgresStore, Resource, SqliteStore, Store, StoreError, Watch,
};

type Statement<'q, DB> = Query<'q, DB, <DB as Database>::Arguments>;

macro_rules! impl_writes {
    ($Store:ty, $Db:ty) => {
        impl $Store {
            async fn insert(
                &self,
                insert: Statement<'_, $Db>,
                conflict: Conflict,
                parent: Resource,
            ) -> Result<(), StoreError> {
                let done = bounded(insert.execute(self.writer())).await;
                done.map(|_| ()).map_err(|e| refused(e, conflict, parent))
            }

            async fn delete(
                &self,
                delete: Statement<'_, $Db>,
                what: Resource,
            ) -> Result<(), StoreError> {
                let done = bounded(delete.execute(self.writer()))
                    .await
                    .map_err(unavailable)?;
                match done.rows_affected() {
                    0 => Err(StoreError::NotFound(what)),
                    _ => Ok(()),
                }
            }

            async fn delete_from_app(
                &self,
                statement: &'static str,
                id: String,
                what: Resource,
            ) -> Result<AppId, StoreError> {
                let delete = query_scalar(statement).bind(id);
                let app: Option<String> = bounded(delete.fetch_optional(self.writer()))
                    .await
                    .map_err(unavailable)?;
                record::parse("app id", &app.ok_or(StoreError::NotFound(what))?)
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

            async fn store_revised<T>(
                mut tx: Transaction<'static, $Db>,
                what: Resource,
                revised: T,
                update: Statement<'_, $Db>,
            ) -> Result<T, StoreError> {
                let done = bounded(update.execute(&mut *tx))
                    .await
                    // Only a trigger's source can collide; everything else that is unique is immutable.
                    .map_err(|e| refused(e, Conflict::TriggerSource, Resource::App))?;
                if done.rows_affected() == 0 {
                    return Err(StoreError::NotFound(what));
                }
                bounded(tx.commit()).await.map_err(unavailable)?;
                Ok(revised)
            }
        }

        #[async_trait]
        impl Store for $Store {
            fn watch(&self) -> Option<Box<dyn Watch>> {
                self.watch_others()
            }

            async fn create_app(&self, app: &App) -> Result<(), StoreError> {
                let insert = query(sql::INSERT_APP)
                    .bind(app.id.to_string())
                    .bind(&app.name)
                    .bind(encode("app config", &app.config)?)
                    .bind(encode("app annotations", &app.annotations)?)
                    .bind(&app.syslog_url)
                    .bind(app.created_at.as_millis())
                    .bind(app.updated_at.as_millis());
                self.insert(insert, Conflict::AppName, Resource::App).await
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
                let update = query(sql::UPDATE_APP)
                    .bind(id.to_string())
                    .bind(encode("app config", &app.config)?)
                    .bind(encode("app annotations", &app.annotations)?)
                    .bind(app.syslog_url.clone())
                    .bind(app.updated_at.as_millis());
                Self::store_revised(tx, Resource::App, app, update).await
            }

            async fn delete_app(&self, id: AppId) -> Result<(), StoreError> {
                let mut tx = self.writing().await?;
                let calls = query(sql::DELETE_CALLS_OF_APP).bind(id.to_string());
                bounded(calls.execute(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                let delete = query(sql::DELETE_APP).bind(id.to_string());
                let done = bounded(delete.execute(&mut *tx))
                    .await
                    .map_err(unavailable)?;
                if done.rows_affected() == 0 {
                    return Err(StoreError::NotFound(Resource::App));
                }
                bounded(tx.commit()).await.map_err(unavailable)
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
                Self::store_revised(tx, Resource::Route, route, update).await
            }

            async fn delete_route(&self, app: AppId, path: &str) -> Result<(), StoreError> {
                let delete = query(sql::DELETE_ROUTE).bind(app.to_string()).bind(path);
                self.delete(delete, Resource::Route).await
            }

            async fn create_function(&self, function: &Function) -> Result<(), StoreError> {
                let insert = query(sql::INSERT_FN)
                    .bind(function.id.to_string())
                    .bind(&function.name)
                    .bind(function.app_id.to_string())
                    .bind(&function.image)
                    .bind(function.format.as_str())
                    .bind(size("function memory", function.memory_mb)?)
                    .bind(i64::from(function.timeout_secs))
                    .bind(i64::from(function.idle_timeout_secs))
                    .bind(encode("function config", &function.config)?)
                    .bind(encode("function annotations", &function.annotations)?)
                    .bind(function.created_at.as_millis())
                    .bind(function.updated_at.as_millis());
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
                Self::store_revised(tx, Resource::Function, function, update).await
            }

            async fn delete_function(&self, id: FnId) -> Result<AppId, StoreError> {
                self.delete_from_app(sql::DELETE_FN, id.to_string(), Resource::Function)
                    .await
            }

            async fn create_trigger(&self, trigger: &Trigger) -> Result<(), StoreError> {
                let insert = query(sql::INSERT_TRIGGER)
                    .bind(trigger.id.to_string())
                    .bind(&trigger.name)
                    .bind(trigger.app_id.to_string())
                    .bind(trigger.fn_id.to_string())
                    .bind(&trigger.source)
                    .bind(encode("trigger annotations", &trigger.annotations)?)
                    .bind(trigger.created_at.as_millis())
                    .bind(trigger.updated_at.as_millis());
                self.insert(insert, Conflict::TriggerName, Resource::Function)
                    .await
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
                let update = query(sql::UPDATE_TRIGGER)
                    .bind(id.to_string())
                    .bind(trigger.source.clone())
                    .bind(encode("trigger annotations", &trigger.annotations)?)
                    .bind(trigger.updated_at.as_millis());
                Self::store_revised(tx, Resource::Trigger, trigger, update).await
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
