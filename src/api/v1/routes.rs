use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::Payload;
use crate::api::error::Nested;
use crate::api::error::{ApiError, Invalid};
use crate::api::json::Object;
use crate::api::openapi::requires;
use crate::api::params::{ListQuery, Paging, Segments};
use crate::api::router::ApiState;
use crate::api::v1::apps::{self, Deleted};
use crate::api::validate::{AppDraft, RouteDraft};
use crate::api::{merge, reply};
use crate::model::{Annotations, App, AppId, Config, Route, Timestamp, clean_path};
use crate::store::{Conflict, Resource, RouteFilter, StoreError, WriteError};

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RouteRequest)]
pub(super) struct Request {
    #[schema(value_type = Body, required)]
    route: Option<Object<Body>>,
}

#[derive(Clone, Default, Deserialize, ToSchema)]
#[schema(as = RouteBody)]
struct Body {
    path: Option<String>,
    image: Option<String>,
    memory: Option<u64>,
    cpus: Option<Cpus>,
    #[schema(value_type = Option<BTreeMap<String, Option<Vec<String>>>>)]
    headers: Option<merge::Lists>,
    #[serde(rename = "type")]
    kind: Option<String>,
    format: Option<String>,
    timeout: Option<i64>,
    idle_timeout: Option<i64>,
    tmpfs_size: Option<u32>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    config: Option<merge::Texts>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
}

/// `"0.5"` and `"500m"`, and `0.5` because YAML makes a number of it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(untagged)]
enum Cpus {
    Text(String),
    Number(f64),
}

impl Cpus {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

requires!(NewRoute, Request, "RouteRequest", "route" => ["path", "image"]);

#[derive(Serialize, ToSchema)]
#[schema(as = Route)]
struct View {
    app_id: String,
    path: String,
    image: String,
    memory: u64,
    cpus: String,
    headers: BTreeMap<String, Vec<String>>,
    #[serde(rename = "type")]
    kind: &'static str,
    format: &'static str,
    timeout: u32,
    idle_timeout: u32,
    tmpfs_size: u32,
    #[schema(value_type = BTreeMap<String, String>)]
    config: Config,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    annotations: Annotations,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RouteReply)]
struct One {
    message: &'static str,
    route: View,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RouteList)]
struct Page {
    message: &'static str,
    next_cursor: String,
    routes: Vec<View>,
}

impl From<Route> for View {
    fn from(route: Route) -> Self {
        Self {
            app_id: route.app_id.to_string(),
            path: route.path,
            image: route.image,
            memory: route.memory_mb,
            cpus: route.cpus.map(|c| c.to_string()).unwrap_or_default(),
            headers: route.headers,
            kind: route.kind.as_str(),
            format: route.format.as_str(),
            timeout: route.timeout_secs,
            idle_timeout: route.idle_timeout_secs,
            tmpfs_size: route.tmpfs_mb,
            config: route.config,
            annotations: route.annotations,
            created_at: route.created_at,
            updated_at: route.updated_at,
        }
    }
}

impl Body {
    /// A new route of `app` at `path`.
    fn create(mut self, app: AppId, path: String) -> Result<Route, Invalid> {
        let mut draft = RouteDraft {
            path,
            config: merge::new_config(self.config.take()),
            annotations: merge::new_annotations(self.annotations.take()),
            ..RouteDraft::default()
        };
        self.merge_into(&mut draft);
        draft.create(app)
    }

    fn merge_into(self, draft: &mut RouteDraft) {
        merge::set(&mut draft.image, self.image);
        merge::set(&mut draft.memory, self.memory);
        merge::set(&mut draft.cpus, self.cpus.map(Cpus::into_text));
        merge::set(&mut draft.kind, self.kind);
        merge::set(&mut draft.format, self.format);
        merge::set(&mut draft.timeout, self.timeout);
        merge::set(&mut draft.idle_timeout, self.idle_timeout);
        merge::set(&mut draft.tmpfs_size, self.tmpfs_size);
        merge::headers(&mut draft.headers, self.headers);
        merge::config(&mut draft.config, self.config);
        merge::annotations(&mut draft.annotations, self.annotations);
    }
}

fn one(message: &'static str, route: Route) -> Response {
    let route = route.into();
    reply::json(&One { message, route })
}

/// Lists the routes of an app by path.
#[utoipa::path(get, path = "/v1/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id."), Paging, ("image" = Option<String>, Query, description = "Exactly this image.")), responses((status = 200, description = "A page of routes.", body = Page)))]
pub(super) async fn list(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let app = apps::find(&api, &app).await?;
    let filter = RouteFilter {
        image: query.owned("image"),
        after: query.after.clone(),
        limit: query.per_page,
    };
    let routes = api.registry.read().routes(app.id, &filter).await?;
    Ok(reply::json(&Page {
        message: "Successfully listed routes",
        next_cursor: query.next(&routes, |r| r.path.clone()).unwrap_or_default(),
        routes: routes.into_iter().map(View::from).collect(),
    }))
}

/// Loads a route.
#[utoipa::path(get, path = "/v1/apps/{app}/routes/{path}", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id."), ("path" = String, Path, description = "Path of the route. It may hold slashes, which may be escaped.")), responses((status = 200, description = "The route.", body = One)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    Segments((app, path)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let app = apps::find(&api, &app).await?;
    let path = stored_path(&path)?;
    let route = api.registry.read().route(app.id, &path).await?;
    Ok(one("Successfully loaded route", route))
}

/// Creates a route, and its app if there is none of that name.
#[utoipa::path(post, path = "/v1/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id.")), request_body = NewRoute, responses((status = 200, description = "The new route.", body = One), (status = 409, description = "There is a route at that path.", body = Nested)))]
pub(super) async fn create(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    let Object(body) = request.route.ok_or(Invalid::new("Missing new route"))?;
    let app = find_or_draft(&api, &app).await?;
    let path = body.path.clone().unwrap_or_default();
    let mut route = body.create(app.id, path)?;
    route.app_id = api.registry.ensure_app(app).await?.id;
    let route = api.registry.create_route(route).await?;
    Ok(one("Route successfully created", route))
}

/// Creates or changes a route, and creates its app if there is none of that name. A new route needs an image.
#[utoipa::path(put, path = "/v1/apps/{app}/routes/{path}", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id."), ("path" = String, Path, description = "Path of the route. It may hold slashes, which may be escaped.")), request_body = Request, responses((status = 200, description = "The route as it is now.", body = One), (status = 409, description = "The path cannot be changed.", body = Nested)))]
pub(super) async fn put(
    State(api): State<ApiState>,
    Segments((app, path)): Segments<(String, String)>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    create_or_update(&api, &app, &path, request).await
}

/// Creates or changes the route `/`.
#[utoipa::path(put, path = "/v1/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id.")), request_body = Request, responses((status = 200, description = "The route as it is now.", body = One), (status = 409, description = "The path cannot be changed.", body = Nested)))]
pub(super) async fn put_root(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    create_or_update(&api, &app, "/", request).await
}

/// Changes a route. What is absent or zero stays; an empty value deletes its key.
#[utoipa::path(patch, path = "/v1/apps/{app}/routes/{path}", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id."), ("path" = String, Path, description = "Path of the route. It may hold slashes, which may be escaped.")), request_body = Request, responses((status = 200, description = "The route as it is now.", body = One), (status = 409, description = "The path cannot be changed.", body = Nested)))]
pub(super) async fn patch(
    State(api): State<ApiState>,
    Segments((app, path)): Segments<(String, String)>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    update(&api, &app, &path, request).await
}

/// Changes the route `/`.
#[utoipa::path(patch, path = "/v1/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id.")), request_body = Request, responses((status = 200, description = "The route as it is now.", body = One), (status = 409, description = "The path cannot be changed.", body = Nested)))]
pub(super) async fn patch_root(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    update(&api, &app, "/", request).await
}

/// Deletes a route.
#[utoipa::path(delete, path = "/v1/apps/{app}/routes/{path}", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id."), ("path" = String, Path, description = "Path of the route. It may hold slashes, which may be escaped.")), responses((status = 200, description = "It is gone.", body = Deleted)))]
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments((app, path)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    remove(&api, &app, &path).await
}

/// Deletes the route `/`.
#[utoipa::path(delete, path = "/v1/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Name of the app, or its id.")), responses((status = 200, description = "It is gone.", body = Deleted)))]
pub(super) async fn delete_root(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    remove(&api, &app, "/").await
}

async fn remove(api: &ApiState, app: &str, path: &str) -> Result<Response, ApiError> {
    let app = apps::find(api, app).await?;
    let path = stored_path(path)?;
    api.registry.delete_route(app.id, path).await?;
    let message = "Route deleted";
    Ok(reply::json(&Deleted { message }))
}

/// The one spelling of a path under which a route may be stored.
fn stored_path(path: &str) -> Result<String, ApiError> {
    let path = clean_path(path);
    if path.contains('\0') {
        return Err(ApiError::not_found(Resource::Route));
    }
    Ok(path)
}

async fn update(
    api: &ApiState,
    app: &str,
    path: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, path) = addressed(request, path)?;
    let app = apps::find(api, app).await?;
    let route = merged(api, app.id, &path, body).await?;
    Ok(one("Route successfully updated", route))
}

/// What a deploy of an old client does, whether or not app and route are there.
async fn create_or_update(
    api: &ApiState,
    app: &str,
    path: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, path) = addressed(request, path)?;
    let app = find_or_draft(api, app).await?;
    match merged(api, app.id, &path, body.clone()).await {
        Err(ApiError::Store(StoreError::NotFound(Resource::Route))) => {}
        answer => return Ok(one("Route successfully updated", answer?)),
    }
    let mut route = body.clone().create(app.id, path.clone())?;
    let app = api.registry.ensure_app(app).await?;
    route.app_id = app.id;
    match api.registry.create_route(route).await {
        // Another deploy of the same new route was faster; this one still has its say.
        Err(StoreError::Conflict(Conflict::RoutePath)) => {
            let route = merged(api, app.id, &path, body).await?;
            Ok(one("Route successfully updated", route))
        }
        answer => Ok(one("Route successfully created", answer?)),
    }
}

/// The body of a request for the route at `path`, and that path's one spelling.
fn addressed(request: Request, path: &str) -> Result<(Body, String), ApiError> {
    let Object(body) = request.route.ok_or(Invalid::new("Missing new route"))?;
    let path = clean_path(path);
    let given = body.path.as_deref().unwrap_or_default();
    if !given.is_empty() && clean_path(given) != path {
        return Err(ApiError::Immutable("path"));
    }
    Ok((body, path))
}

async fn merged(api: &ApiState, app: AppId, path: &str, body: Body) -> Result<Route, ApiError> {
    let path = stored_path(path)?;
    let change = move |route: &mut Route| -> Result<(), ApiError> {
        let mut draft = RouteDraft::of(route);
        body.clone().merge_into(&mut draft);
        Ok(draft.write(route)?)
    };
    let merged: Result<Route, WriteError<ApiError>> =
        api.registry.update_route(app, path, change).await;
    Ok(merged?)
}

/// The app, or one of that name which is not stored yet: a route that is refused must not leave
/// an empty app behind.
async fn find_or_draft(api: &ApiState, name: &str) -> Result<App, ApiError> {
    match apps::find(api, name).await {
        Err(StoreError::NotFound(Resource::App)) => {
            let draft = AppDraft {
                name: name.to_owned(),
                ..AppDraft::default()
            };
            Ok(draft.create()?)
        }
        answer => Ok(answer?),
    }
}
