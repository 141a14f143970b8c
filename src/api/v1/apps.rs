use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::api::body::Payload;
use crate::api::error::{ApiError, Invalid};
use crate::api::json::Object;
use crate::api::params::{ListQuery, Segments};
use crate::api::router::ApiState;
use crate::api::validate::AppDraft;
use crate::api::{merge, reply};
use crate::model::{Annotations, App, Config, Timestamp};
use crate::store::{AppFilter, Resource, StoreError};

#[derive(Default, Deserialize)]
pub(super) struct Request {
    app: Option<Object<Body>>,
}

#[derive(Default, Deserialize)]
struct Body {
    id: Option<String>,
    name: Option<String>,
    config: Option<merge::Texts>,
    annotations: Option<Annotations>,
    syslog_url: Option<String>,
}

#[derive(Serialize)]
struct View {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Config::is_empty")]
    config: Config,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    syslog_url: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct One {
    message: &'static str,
    app: View,
}

#[derive(Serialize)]
struct Page {
    message: &'static str,
    next_cursor: String,
    apps: Vec<View>,
}

#[derive(Serialize)]
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

pub(super) async fn get(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    Ok(one("Successfully loaded app", find(&api, &app).await?))
}

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

/// Takes the app's routes, functions and triggers along.
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    let app = find(&api, &app).await?;
    api.registry.delete_app(app.id).await?;
    let message = "App deleted";
    Ok(reply::json(&Deleted { message }))
}
