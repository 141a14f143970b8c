use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::Payload;
use crate::api::endpoint::Base;
use crate::api::error::Flat;
use crate::api::error::{ApiError, Invalid};
use crate::api::openapi::requires;
use crate::api::params::{ListQuery, Paging, Segments};
use crate::api::router::ApiState;
use crate::api::v2::page::{Page, differs, id};
use crate::api::validate::{FunctionDraft, shape};
use crate::api::{merge, reply};
use crate::model::{Annotations, AppId, Config, Function, Timestamp};
use crate::store::{FunctionFilter, Resource};

const MISSING_APP: Invalid = Invalid::new("Missing AppID on Fn");

const INVALID_SHAPE: Invalid = Invalid::new("Invalid Fn shape");

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = FnBody)]
pub(super) struct Body {
    id: Option<String>,
    name: Option<String>,
    app_id: Option<String>,
    image: Option<String>,
    memory: Option<u64>,
    timeout: Option<i64>,
    idle_timeout: Option<i64>,
    format: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    config: Option<merge::Texts>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
    /// `GENERIC_X86`, `GENERIC_ARM` or `GENERIC_X86_ARM`. Checked, and not kept.
    shape: Option<String>,
}

requires!(NewFunction, Body, "FnBody", ["name", "app_id", "image"]);

#[derive(Serialize, ToSchema)]
#[schema(as = Fn)]
struct View {
    id: String,
    name: String,
    app_id: String,
    image: String,
    memory: u64,
    timeout: u32,
    idle_timeout: u32,
    #[schema(value_type = BTreeMap<String, String>)]
    config: Config,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    annotations: Annotations,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
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

/// Lists functions by name.
#[utoipa::path(get, path = "/v2/fns", tag = "fns", params(Paging, ("app_id" = String, Query, description = "Id of the app."), ("name" = Option<String>, Query, description = "Exactly this name.")), responses((status = 200, description = "A page of functions.", body = Page<View>)))]
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

/// Creates a function.
#[utoipa::path(post, path = "/v2/fns", tag = "fns", request_body = NewFunction, responses((status = 200, description = "The new function.", body = View), (status = 404, description = "There is no such app.", body = Flat), (status = 409, description = "The app has a function of that name.", body = Flat)))]
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
    shape(body.shape.as_deref(), INVALID_SHAPE)?;
    function.app_id = app_id.ok_or(ApiError::not_found(Resource::App))?;
    let function = api.registry.create_function(function).await?;
    Ok(reply::json(&View::with_endpoint(function, &base)))
}

/// Loads a function.
#[utoipa::path(get, path = "/v2/fns/{id}", tag = "fns", params(("id" = String, Path, description = "Id of the function.")), responses((status = 200, description = "The function.", body = View)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    base: Base,
    Segments(function): Segments<String>,
) -> Result<Response, ApiError> {
    let id = id(&function, Resource::Function)?;
    let function = api.registry.read().function(id).await?;
    Ok(reply::json(&View::with_endpoint(function, &base)))
}

/// Changes a function. What is absent or zero stays; an empty value deletes its key.
#[utoipa::path(put, path = "/v2/fns/{id}", tag = "fns", params(("id" = String, Path, description = "Id of the function.")), request_body = Body, responses((status = 200, description = "The function as it is now.", body = View), (status = 409, description = "Name and app cannot be changed.", body = Flat)))]
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
        draft.write(function)?;
        Ok(shape(body.shape.as_deref(), INVALID_SHAPE)?)
    };
    let function_id = id(&path_id, Resource::Function)?;
    let function = api.registry.update_function(function_id, change).await?;
    Ok(reply::json(&View::from(function)))
}

/// Deletes a function and its triggers.
#[utoipa::path(delete, path = "/v2/fns/{id}", tag = "fns", params(("id" = String, Path, description = "Id of the function.")), responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(function): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(&function, Resource::Function)?;
    api.registry.delete_function(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
