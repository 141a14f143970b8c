use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::body::Payload;
use crate::api::endpoint::Base;
use crate::api::error::{ApiError, Invalid};
use crate::api::params::{ListQuery, Segments};
use crate::api::router::ApiState;
use crate::api::v2::page::{Page, differs, id};
use crate::api::validate::FunctionDraft;
use crate::api::{merge, reply};
use crate::model::{Annotations, AppId, Config, Function, Timestamp};
use crate::store::{FunctionFilter, Resource};

const MISSING_APP: Invalid = Invalid::new("Missing AppID on Fn");

#[derive(Default, Deserialize)]
pub(super) struct Body {
    id: Option<String>,
    name: Option<String>,
    app_id: Option<String>,
    image: Option<String>,
    memory: Option<u64>,
    timeout: Option<i64>,
    idle_timeout: Option<i64>,
    format: Option<String>,
    config: Option<merge::Texts>,
    annotations: Option<Annotations>,
}

#[derive(Serialize)]
struct View {
    id: String,
    name: String,
    app_id: String,
    image: String,
    memory: u64,
    timeout: u32,
    idle_timeout: u32,
    config: Config,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
    created_at: Timestamp,
    updated_at: Timestamp,
    format: &'static str,
}

impl From<Function> for View {
    fn from(function: Function) -> Self {
        Self {
            id: function.id.to_string(),
            name: function.name,
            app_id: function.app_id.to_string(),
            image: function.image,
            memory: function.memory_mb,
            timeout: function.timeout_secs,
            idle_timeout: function.idle_timeout_secs,
            config: function.config,
            annotations: function.annotations,
            created_at: function.created_at,
            updated_at: function.updated_at,
            format: function.format.as_str(),
        }
    }
}

impl View {
    fn with_endpoint(mut function: Function, base: &Base) -> Self {
        base.on_function(&mut function.annotations, function.id);
        function.into()
    }
}

impl Body {
    fn scalars_into(&self, draft: &mut FunctionDraft) {
        merge::set(&mut draft.image, self.image.clone());
        merge::set(&mut draft.memory, self.memory);
        merge::set(&mut draft.timeout, self.timeout);
        merge::set(&mut draft.idle_timeout, self.idle_timeout);
        merge::set(&mut draft.format, self.format.clone());
    }
}

pub(super) async fn list(
    State(api): State<ApiState>,
    base: Base,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let app = query.get("app_id").ok_or(MISSING_APP)?;
    let filter = FunctionFilter {
        name: query.owned("name"),
        after: query.after.clone(),
        limit: query.per_page,
    };
    let functions = match app.parse() {
        Ok(app) => api.registry.read().functions(app, &filter).await?,
        // As for every other app that does not exist.
        Err(_) => Vec::new(),
    };
    Ok(reply::json(&Page {
        next_cursor: query.next(&functions, |f| f.name.clone()),
        items: functions
            .into_iter()
            .map(|function| View::with_endpoint(function, &base))
            .collect(),
    }))
}

pub(super) async fn create(
    State(api): State<ApiState>,
    base: Base,
    Payload(mut body): Payload<Body>,
) -> Result<Response, ApiError> {
    if body.id.as_ref().is_some_and(|id| !id.is_empty()) {
        return Err(Invalid::new("ID cannot be provided for Fn creation").into());
    }
    let mut draft = FunctionDraft {
        name: body.name.take().unwrap_or_default(),
        config: merge::new_config(body.config.take()),
        annotations: merge::new_annotations(body.annotations.take()),
        ..FunctionDraft::default()
    };
    body.scalars_into(&mut draft);
    let app = body.app_id.unwrap_or_default();
    // An id that cannot be an id is told only when the rest is in order, as an unknown one is.
    let app_id: Option<AppId> = app.parse().ok();
    let mut function = draft.create(|| match app.as_str() {
        "" => Err(MISSING_APP),
        _ => Ok(app_id.unwrap_or_else(AppId::generate)),
    })?;
    function.app_id = app_id.ok_or(ApiError::not_found(Resource::App))?;
    let function = api.registry.create_function(function).await?;
    Ok(reply::json(&View::with_endpoint(function, &base)))
}

pub(super) async fn get(
    State(api): State<ApiState>,
    base: Base,
    Segments(function): Segments<String>,
) -> Result<Response, ApiError> {
    let id = id(&function, Resource::Function)?;
    let function = api.registry.read().function(id).await?;
    Ok(reply::json(&View::with_endpoint(function, &base)))
}

pub(super) async fn update(
    State(api): State<ApiState>,
    Segments(path_id): Segments<String>,
    Payload(body): Payload<Body>,
) -> Result<Response, ApiError> {
    if differs(body.id.as_deref(), &path_id) {
        return Err(Invalid::new("Fn ID in path does not match that in body").into());
    }
    let change = move |function: &mut Function| -> Result<(), ApiError> {
        if body
            .name
            .as_ref()
            .is_some_and(|n| !n.is_empty() && *n != function.name)
        {
            return Err(ApiError::Immutable("name"));
        }
        if differs(body.app_id.as_deref(), &function.app_id.to_string()) {
            return Err(ApiError::Immutable("app_id"));
        }
        let mut draft = FunctionDraft::of(function);
        body.scalars_into(&mut draft);
        merge::config(&mut draft.config, body.config.clone());
        merge::annotations(&mut draft.annotations, body.annotations.clone());
        Ok(draft.write(function)?)
    };
    let function_id = id(&path_id, Resource::Function)?;
    let function = api.registry.update_function(function_id, change).await?;
    Ok(reply::json(&View::from(function)))
}

/// Takes the function's triggers along.
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(function): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(&function, Resource::Function)?;
    api.registry.delete_function(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
