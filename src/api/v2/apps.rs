use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::Payload;
use crate::api::error::Flat;
use crate::api::error::{ApiError, Invalid};
use crate::api::openapi::requires;
use crate::api::params::{ListQuery, Paging, Segments};
use crate::api::router::ApiState;
use crate::api::v2::page::{Page, differs, id};
use crate::api::validate::{AppDraft, shape};
use crate::api::{merge, reply};
use crate::model::{Annotations, App, Config, Timestamp};
use crate::store::{AppFilter, Resource};

const INVALID_SHAPE: Invalid = Invalid::new("Invalid app shape");

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AppBody)]
pub(super) struct Body {
    id: Option<String>,
    name: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    config: Option<merge::Texts>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
    syslog_url: Option<String>,
    /// `GENERIC_X86`, `GENERIC_ARM` or `GENERIC_X86_ARM`. Checked, and not kept.
    shape: Option<String>,
}

requires!(NewApp, Body, "AppBody", ["name"]);

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

/// Lists apps by name.
#[utoipa::path(get, path = "/v2/apps", tag = "apps", params(Paging, ("name" = Option<String>, Query, description = "Exactly this name.")), responses((status = 200, description = "A page of apps.", body = Page<View>)))]
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

/// Creates an app.
#[utoipa::path(post, path = "/v2/apps", tag = "apps", request_body = NewApp, responses((status = 200, description = "The new app.", body = View), (status = 409, description = "There is an app of that name.", body = Flat)))]
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
    let app = draft.create()?;
    shape(body.shape.as_deref(), INVALID_SHAPE)?;
    let app = api.registry.create_app(app).await?;
    Ok(reply::json(&View::from(app)))
}

/// Loads an app.
#[utoipa::path(get, path = "/v2/apps/{id}", tag = "apps", params(("id" = String, Path, description = "Id of the app.")), responses((status = 200, description = "The app.", body = View)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<Response, ApiError> {
    let app = api.registry.read().app(id(&app, Resource::App)?).await?;
    Ok(reply::json(&View::from(app)))
}

/// Changes an app. What is absent or zero stays; an empty value deletes its key.
#[utoipa::path(put, path = "/v2/apps/{id}", tag = "apps", params(("id" = String, Path, description = "Id of the app.")), request_body = Body, responses((status = 200, description = "The app as it is now.", body = View), (status = 409, description = "The name cannot be changed.", body = Flat)))]
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
        draft.write(app)?;
        Ok(shape(body.shape.as_deref(), INVALID_SHAPE)?)
    };
    let app_id = id(&path_id, Resource::App)?;
    let app = api.registry.update_app(app_id, change).await?;
    Ok(reply::json(&View::from(app)))
}

/// Deletes an app and its routes, functions and triggers.
#[utoipa::path(delete, path = "/v2/apps/{id}", tag = "apps", params(("id" = String, Path, description = "Id of the app.")), responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(&app, Resource::App)?;
    api.registry.delete_app(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
