use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::body::Payload;
use crate::api::error::{ApiError, Invalid};
use crate::api::params::{ListQuery, Segments};
use crate::api::router::ApiState;
use crate::api::v2::page::{Page, differs, id};
use crate::api::validate::AppDraft;
use crate::api::{merge, reply};
use crate::model::{Annotations, App, Config, Timestamp};
use crate::store::{AppFilter, Resource};

#[derive(Default, Deserialize)]
pub(super) struct Body {
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

pub(super) async fn list(
    State(api): State<ApiState>,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let filter = AppFilter {
        name: query.owned("name"),
        after: query.after.clone(),
        limit: query.per_page,
    };
    let apps = api.registry.read().apps(&filter).await?;
    Ok(reply::json(&Page {
        next_cursor: query.next(&apps, |app| app.name.clone()),
        items: apps.into_iter().map(View::from).collect(),
    }))
}

pub(super) async fn create(
    State(api): State<ApiState>,
    Payload(body): Payload<Body>,
) -> Result<Response, ApiError> {
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
    Ok(reply::json(&View::from(app)))
}

pub(super) async fn get(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    let app = api.registry.read().app(id(&app, Resource::App)?).await?;
    Ok(reply::json(&View::from(app)))
}

pub(super) async fn update(
    State(api): State<ApiState>,
    Segments(path_id): Segments<String>,
    Payload(body): Payload<Body>,
) -> Result<Response, ApiError> {
    if differs(body.id.as_deref(), &path_id) {
        return Err(Invalid::new("App ID in path does not match ID in body").into());
    }
    let change = move |app: &mut App| -> Result<(), ApiError> {
        if body
            .name
            .as_ref()
            .is_some_and(|n| !n.is_empty() && *n != app.name)
        {
            return Err(ApiError::Immutable("name"));
        }
        let mut draft = AppDraft::of(app);
        merge::config(&mut draft.config, body.config.clone());
        merge::annotations(&mut draft.annotations, body.annotations.clone());
        if let Some(url) = &body.syslog_url {
            draft.syslog_url.clone_from(url);
        }
        Ok(draft.write(app)?)
    };
    let app_id = id(&path_id, Resource::App)?;
    let app = api.registry.update_app(app_id, change).await?;
    Ok(reply::json(&View::from(app)))
}

/// Takes the app's routes, functions and triggers along.
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(&app, Resource::App)?;
    api.registry.delete_app(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
