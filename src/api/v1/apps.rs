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
use crate::api::validate::AppDraft;
use crate::api::{merge, reply};
use crate::model::{Annotations, App, Config, Timestamp};
use crate::store::{AppFilter, Resource, StoreError};

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AppRequest)]
pub(super) struct Request {
    #[schema(value_type = Body, required)]
    app: Option<Object<Body>>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AppBody)]
struct Body {
    id: Option<String>,
    name: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    config: Option<merge::Texts>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
    syslog_url: Option<String>,
}

requires!(NewApp, Request, "AppRequest", "app" => ["name"]);

#[derive(Serialize, ToSchema)]
#[schema(as = App)]
struct View {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Config::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    config: Config,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    syslog_url: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AppReply)]
struct One {
    message: &'static str,
    app: View,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AppList)]
struct Page {
    message: &'static str,
    next_cursor: String,
    apps: Vec<View>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Deleted {
    pub(super) message: &'static str,
}

impl From<App> for View {
    fn from(app: App) -> Self {
        Self {
            id: app.id.to_string(),
            name: app.name,
            config: app.config,
            annotations: app.annotations,
            syslog_url: app.syslog_url,
            created_at: app.created_at,
            updated_at: app.updated_at,
        }
    }
}

fn one(message: &'static str, app: App) -> Response {
    let app = app.into();
    reply::json(&One { message, app })
}

/// The app of that name, or else with that id.
pub(super) async fn find(api: &ApiState, app: &str) -> Result<App, StoreError> {
    if app.chars().any(char::is_control) {
        return Err(StoreError::NotFound(Resource::App));
    }
    match (api.registry.read().app_by_name(app).await, app.parse()) {
        (Err(StoreError::NotFound(_)), Ok(id)) => api.registry.read().app(id).await,
        (answer, _) => answer,
    }
}

/// Lists apps by name.
#[utoipa::path(get, path = "/v1/apps", tag = "apps", params(Paging), responses((status = 200, description = "A page of apps.", body = Page)))]
pub(super) async fn list(
    State(api): State<ApiState>,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let filter = AppFilter {
        name: None,
        after: query.after.clone(),
        limit: query.per_page,
    };
    let apps = api.registry.read().apps(&filter).await?;
    Ok(reply::json(&Page {
        message: "Successfully listed applications",
        next_cursor: query
            .next(&apps, |app| app.name.clone())
            .unwrap_or_default(),
        apps: apps.into_iter().map(View::from).collect(),
    }))
}

/// Creates an app.
#[utoipa::path(post, path = "/v1/apps", tag = "apps", request_body = NewApp, responses((status = 200, description = "The new app.", body = One), (status = 409, description = "There is an app of that name.", body = Nested)))]
pub(super) async fn create(
    State(api): State<ApiState>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    let Object(body) = request.app.ok_or(Invalid::new("Missing new application"))?;
    if body.id.is_some_and(|id| !id.is_empty()) {
        return Err(Invalid::new("App ID cannot be supplied on create").into());
    }
    let draft = AppDraft {
        name: body.name.unwrap_or_default(),
        config: merge::new_config(body.config),
        annotations: merge::new_annotations(body.annotations),
        syslog_url: body.syslog_url.unwrap_or_default(),
    };
    let app = api.registry.create_app(draft.create()?).await?;
    Ok(one("App successfully created", app))
}

/// Loads an app.
#[utoipa::path(get, path = "/v1/apps/{app}", tag = "apps", params(("app" = String, Path, description = "Name of the app, or its id.")), responses((status = 200, description = "The app.", body = One)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    Ok(one("Successfully loaded app", find(&api, &app).await?))
}

/// Changes an app. What is absent stays; an empty value deletes its key. A name is always refused.
#[utoipa::path(patch, path = "/v1/apps/{app}", tag = "apps", params(("app" = String, Path, description = "Name of the app, or its id.")), request_body = Request, responses((status = 200, description = "The app as it is now.", body = One), (status = 409, description = "The name cannot be changed.", body = Nested)))]
pub(super) async fn update(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
    Payload(request): Payload<Request>,
) -> Result<Response, ApiError> {
    let Object(body) = request.app.ok_or(Invalid::new("Missing new application"))?;
    // Even the app's own name: v1 clients never send it.
    if body.name.is_some_and(|name| !name.is_empty()) {
        return Err(ApiError::Immutable("name"));
    }
    let app = find(&api, &app).await?;
    let id = app.id.to_string();
    if body
        .id
        .is_some_and(|given| !given.is_empty() && given != id)
    {
        return Err(Invalid::new("App ID in path does not match ID in body").into());
    }
    let (config, annotations) = (body.config, body.annotations);
    let change = move |app: &mut App| -> Result<(), ApiError> {
        let mut draft = AppDraft::of(app);
        merge::config(&mut draft.config, config.clone());
        merge::annotations(&mut draft.annotations, annotations.clone());
        if let Some(url) = &body.syslog_url {
            draft.syslog_url.clone_from(url);
        }
        Ok(draft.write(app)?)
    };
    let app = api.registry.update_app(app.id, change).await?;
    Ok(one("AppName successfully updated", app))
}

/// Deletes an app and its routes, functions and triggers.
#[utoipa::path(delete, path = "/v1/apps/{app}", tag = "apps", params(("app" = String, Path, description = "Name of the app, or its id.")), responses((status = 200, description = "It is gone.", body = Deleted)))]
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    let app = find(&api, &app).await?;
    api.registry.delete_app(app.id).await?;
    let message = "App deleted";
    Ok(reply::json(&Deleted { message }))
}
