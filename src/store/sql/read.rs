use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::query::QueryAs;
use sqlx::{Database, FromRow, Postgres, Sqlite, query_as, query_scalar};

use crate::model::{App, AppId, FnId, Function, Route, Trigger, TriggerId};
use crate::store::record::{AppRow, FunctionRow, RouteRow, TriggerRow};
use crate::store::sql::{bounded, statement as sql, unavailable};
use crate::store::{
    AppContents, AppFilter, FunctionFilter, PostgresStore, Resource, RouteFilter, SqliteStore,
    StoreError, StoreRead, TriggerFilter,
};

type Select<'q, DB, R> = QueryAs<'q, DB, R, <DB as Database>::Arguments>;

macro_rules! impl_reads {
    ($Store:ty, $Db:ty) => {
        impl $Store {
            /// The row that `select` finds, or not found.
            pub(in crate::store) async fn one<R, T>(
                connection: &mut <$Db as Database>::Connection,
                what: Resource,
                select: Select<'_, $Db, R>,
            ) -> Result<T, StoreError>
            where
                R: for<'r> FromRow<'r, <$Db as Database>::Row> + Send + Unpin,
                T: TryFrom<R, Error = StoreError>,
            {
                bounded(select.fetch_optional(connection))
                    .await
                    .map_err(unavailable)?
                    .ok_or(StoreError::NotFound(what))?
                    .try_into()
            }

            pub(in crate::store) async fn many<R, T>(
                connection: &mut <$Db as Database>::Connection,
                select: Select<'_, $Db, R>,
            ) -> Result<Vec<T>, StoreError>
            where
                R: for<'r> FromRow<'r, <$Db as Database>::Row> + Send + Unpin,
                T: TryFrom<R, Error = StoreError>,
            {
                let mut rows = select.fetch(connection);
                let mut found = Vec::new();
                // Each row has the bound of a statement: how long all of them take depends on how
                // many there are.
                while let Some(row) = bounded(rows.try_next()).await.map_err(unavailable)? {
                    found.push(row.try_into()?);
                }
                Ok(found)
            }

            /// An app with all that belongs to it.
            pub(in crate::store) async fn contents_of(
                connection: &mut <$Db as Database>::Connection,
                app: App,
            ) -> Result<AppContents, StoreError> {
                let id = app.id.to_string();
                let routes = query_as::<_, RouteRow>(sql::ROUTES_OF_APP).bind(&id);
                let functions = query_as::<_, FunctionRow>(sql::FNS_OF_APP).bind(&id);
                let triggers = query_as::<_, TriggerRow>(sql::TRIGGERS_OF_APP).bind(&id);
                Ok(AppContents {
                    app,
                    routes: Self::many(connection, routes).await?,
                    functions: Self::many(connection, functions).await?,
                    triggers: Self::many(connection, triggers).await?,
                })
            }

            pub(in crate::store) async fn find<R, T>(
                &self,
                what: Resource,
                select: Select<'_, $Db, R>,
            ) -> Result<T, StoreError>
            where
                R: for<'r> FromRow<'r, <$Db as Database>::Row> + Send + Unpin,
                T: TryFrom<R, Error = StoreError>,
            {
                let mut connection = self.reader().acquire().await.map_err(unavailable)?;
                Self::one(&mut connection, what, select).await
            }

            pub(in crate::store) async fn list<R, T>(
                &self,
                select: Select<'_, $Db, R>,
            ) -> Result<Vec<T>, StoreError>
            where
                R: for<'r> FromRow<'r, <$Db as Database>::Row> + Send + Unpin,
                T: TryFrom<R, Error = StoreError>,
            {
                let mut connection = self.reader().acquire().await.map_err(unavailable)?;
                Self::many(&mut connection, select).await
            }
        }

        #[async_trait]
        impl StoreRead for $Store {
            async fn app(&self, id: AppId) -> Result<App, StoreError> {
                let select = query_as::<_, AppRow>(sql::APP).bind(id.to_string());
                self.find(Resource::App, select).await
            }

            async fn app_by_name(&self, name: &str) -> Result<App, StoreError> {
                let select = query_as::<_, AppRow>(sql::APP_BY_NAME).bind(name);
                self.find(Resource::App, select).await
            }

            async fn apps(&self, filter: &AppFilter) -> Result<Vec<App>, StoreError> {
                let statement = match filter.name {
                    Some(_) => sql::APPS_NAMED,
                    None => sql::APPS,
                };
                let mut select = query_as::<_, AppRow>(statement)
                    .bind(&filter.after)
                    .bind(i64::from(filter.limit));
                if let Some(name) = &filter.name {
                    select = select.bind(name);
                }
                self.list(select).await
            }

            async fn route(&self, app: AppId, path: &str) -> Result<Route, StoreError> {
                let select = query_as::<_, RouteRow>(sql::ROUTE)
                    .bind(app.to_string())
                    .bind(path);
                self.find(Resource::Route, select).await
            }

            async fn routes(
                &self,
                app: AppId,
                filter: &RouteFilter,
            ) -> Result<Vec<Route>, StoreError> {
                let select = query_as::<_, RouteRow>(sql::ROUTES)
                    .bind(app.to_string())
                    .bind(&filter.after)
                    .bind(filter.image.as_deref().unwrap_or_default())
                    .bind(i64::from(filter.limit));
                self.list(select).await
            }

            async fn function(&self, id: FnId) -> Result<Function, StoreError> {
                let select = query_as::<_, FunctionRow>(sql::FN).bind(id.to_string());
                self.find(Resource::Function, select).await
            }

            async fn functions(
                &self,
                app: AppId,
                filter: &FunctionFilter,
            ) -> Result<Vec<Function>, StoreError> {
                let select = query_as::<_, FunctionRow>(sql::FNS)
                    .bind(app.to_string())
                    .bind(&filter.after)
                    .bind(filter.name.as_deref().unwrap_or_default())
                    .bind(i64::from(filter.limit));
                self.list(select).await
            }

            async fn trigger(&self, id: TriggerId) -> Result<Trigger, StoreError> {
                let select = query_as::<_, TriggerRow>(sql::TRIGGER).bind(id.to_string());
                self.find(Resource::Trigger, select).await
            }

            async fn triggers(
                &self,
                app: AppId,
                filter: &TriggerFilter,
            ) -> Result<Vec<Trigger>, StoreError> {
                let select = query_as::<_, TriggerRow>(sql::TRIGGERS)
                    .bind(app.to_string())
                    .bind(&filter.after.0)
                    .bind(&filter.after.1)
                    .bind(filter.fn_id.map(|id| id.to_string()).unwrap_or_default())
                    .bind(filter.name.as_deref().unwrap_or_default())
                    .bind(i64::from(filter.limit));
                self.list(select).await
            }

            async fn index(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
                let select = query_scalar::<_, Vec<u8>>(sql::INDEX).bind(digest);
                bounded(select.fetch_optional(self.reader()))
                    .await
                    .map_err(unavailable)
            }

            async fn contents(&self, app: AppId) -> Result<AppContents, StoreError> {
                let mut tx = self.reading().await?;
                let select = query_as::<_, AppRow>(sql::APP).bind(app.to_string());
                let app = Self::one(&mut tx, Resource::App, select).await?;
                let contents = Self::contents_of(&mut tx, app).await?;
                bounded(tx.commit()).await.map_err(unavailable)?;
                Ok(contents)
            }

            async fn load_all(&self) -> Result<Vec<AppContents>, StoreError> {
                let mut tx = self.reading().await?;
                let apps: Vec<App> =
                    Self::many(&mut tx, query_as::<_, AppRow>(sql::ALL_APPS)).await?;
                let routes: Vec<Route> =
                    Self::many(&mut tx, query_as::<_, RouteRow>(sql::ALL_ROUTES)).await?;
                let functions: Vec<Function> =
                    Self::many(&mut tx, query_as::<_, FunctionRow>(sql::ALL_FNS)).await?;
                let triggers: Vec<Trigger> =
                    Self::many(&mut tx, query_as::<_, TriggerRow>(sql::ALL_TRIGGERS)).await?;
                bounded(tx.commit()).await.map_err(unavailable)?;

                let mut routes = by_app(routes, |r| r.app_id);
                let mut functions = by_app(functions, |f| f.app_id);
                let mut triggers = by_app(triggers, |t| t.app_id);
                let contents = apps.into_iter().map(|app| AppContents {
                    routes: routes.remove(&app.id).unwrap_or_default(),
                    functions: functions.remove(&app.id).unwrap_or_default(),
                    triggers: triggers.remove(&app.id).unwrap_or_default(),
                    app,
                });
                Ok(contents.collect())
            }
        }
    };
}

impl_reads!(SqliteStore, Sqlite);
impl_reads!(PostgresStore, Postgres);

fn by_app<T>(rows: Vec<T>, app: impl Fn(&T) -> AppId) -> HashMap<AppId, Vec<T>> {
    let mut groups: HashMap<AppId, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(app(&row)).or_default().push(row);
    }
    groups
}
