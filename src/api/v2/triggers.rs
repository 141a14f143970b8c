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
use crate::api::validate::{HTTP, TriggerDraft};
use crate::api::{merge, reply};
use crate::model::{Annotations, FnId, Timestamp, Trigger, TriggerId};
use crate::store::{Resource, StoreError, TriggerFilter};

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = TriggerBody)]
pub(super) struct Body {
    id: Option<String>,
    name: Option<String>,
    app_id: Option<String>,
    fn_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

requires!(
    NewTrigger,
    Body,
    "TriggerBody",
    ["name", "app_id", "fn_id", "type", "source"]
);

#[derive(Serialize, ToSchema)]
#[schema(as = Trigger)]
struct View {
    id: String,
    name: String,
    app_id: String,
    fn_id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[serde(rename = "type")]
    kind: &'static str,
    source: String,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    annotations: Annotations,
}

impl From<Trigger> for View {
    fn from(trigger: Trigger) -> Self {
        Self {
            id: trigger.id.to_string(),
            name: trigger.name,
            app_id: trigger.app_id.to_string(),
            fn_id: trigger.fn_id.to_string(),
            created_at: trigger.created_at,
            updated_at: trigger.updated_at,
            kind: HTTP,
            source: trigger.source,
            annotations: trigger.annotations,
        }
    }
}

impl View {
    fn with_endpoint(mut trigger: Trigger, app: &str, base: &Base) -> Self {
        base.on_trigger(&mut trigger.annotations, app, &trigger.source);
        trigger.into()
    }
}

/// Lists triggers by name.
#[utoipa::path(get, path = "/v2/triggers", tag = "triggers", params(Paging, ("app_id" = String, Query, description = "Id of the app."), ("fn_id" = Option<String>, Query, description = "Id of the function."), ("name" = Option<String>, Query, description = "Exactly this name.")), responses((status = 200, description = "A page of triggers.", body = Page<View>)))]
pub(super) async fn list(
    State(api): State<ApiState>,
    base: Base,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let app = query
        .get("app_id")
        .ok_or(Invalid::new("Missing App ID on Trigger"))?;
    let (app, triggers) = match list_of(&api, app, &query).await {
        Ok(found) => found,
        Err(ApiError::Store(StoreError::NotFound(_))) => Default::default(),
        Err(error) => return Err(error),
    };
    Ok(reply::json(&Page {
        next_cursor: query.next(&triggers, |t| format!("{}/{}", t.name, t.id)),
        items: triggers
            .into_iter()
            .map(|trigger| View::with_endpoint(trigger, &app, &base))
            .collect(),
    }))
}

/// The app's name and its triggers; not found if an id in the query is none.
async fn list_of(
    api: &ApiState,
    app: &str,
    query: &ListQuery,
) -> Result<(String, Vec<Trigger>), ApiError> {
    let fn_id = query
        .get("fn_id")
        .map(|text| id::<FnId>(text, Resource::Function))
        .transpose()?;
    // No name has a slash, so the cursor splits at the only one.
    let (name, after_id) = query.after.split_once('/').unwrap_or((&query.after, ""));
    let filter = TriggerFilter {
        fn_id,
        name: query.owned("name"),
        after: (name.to_owned(), after_id.to_owned()),
        limit: query.per_page,
    };
    let reads = api.registry.read();
    let app = reads.app(id(app, Resource::App)?).await?;
    let triggers = reads.triggers(app.id, &filter).await?;
    Ok((app.name, triggers))
}

/// Creates a trigger.
#[utoipa::path(post, path = "/v2/triggers", tag = "triggers", request_body = NewTrigger, responses((status = 200, description = "The new trigger.", body = View), (status = 404, description = "There is no such app or function.", body = Flat), (status = 409, description = "The function has a trigger of that name, or the app has one with that source.", body = Flat)))]
pub(super) async fn create(
    State(api): State<ApiState>,
    base: Base,
    Payload(body): Payload<Body>,
) -> Result<Response, ApiError> {
    if body.id.is_some_and(|id| !id.is_empty()) {
        return Err(Invalid::new("ID cannot be provided for Trigger creation").into());
    }
    if is_time(body.created_at)? {
        return Err(Invalid::new("Trigger Created At Provided for Create").into());
    }
    if is_time(body.updated_at)? {
        return Err(Invalid::new("Trigger ID Provided for Create").into());
    }
    let draft = TriggerDraft {
        app_id: body.app_id.unwrap_or_default(),
        fn_id: body.fn_id.unwrap_or_default(),
        name: body.name.unwrap_or_default(),
        kind: body.kind.unwrap_or_default(),
        source: body.source.unwrap_or_default(),
        annotations: merge::new_annotations(body.annotations),
    };
    draft.check()?;
    let reads = api.registry.read();
    let app = reads.app(id(&draft.app_id, Resource::App)?).await?;
    let function = reads
        .function(id(&draft.fn_id, Resource::Function)?)
        .await?;
    if function.app_id != app.id {
        return Err(Invalid::new("Invalid Fn ID - not owned by specified app").into());
    }
    let now = Timestamp::now();
    let mut trigger = Trigger {
        id: TriggerId::generate(),
        app_id: app.id,
        fn_id: function.id,
        name: draft.name.clone(),
        source: String::new(),
        annotations: Annotations::new(),
        created_at: now,
        updated_at: now,
    };
    draft.write(&mut trigger)?;
    let trigger = api.registry.create_trigger(trigger).await?;
    Ok(reply::json(&View::with_endpoint(trigger, &app.name, &base)))
}

/// Whether the client set this time. Go clients cannot leave a time out; they send year 1, and
/// some the epoch.
fn is_time(text: Option<String>) -> Result<bool, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(false);
    };
    let time: Timestamp = text.parse().map_err(|_| ApiError::InvalidJson)?;
    Ok(time.as_millis() > 0)
}

/// Loads a trigger.
#[utoipa::path(get, path = "/v2/triggers/{id}", tag = "triggers", params(("id" = String, Path, description = "Id of the trigger.")), responses((status = 200, description = "The trigger.", body = View)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    base: Base,
    Segments(trigger): Segments<String>,
) -> Result<Response, ApiError> {
    let reads = api.registry.read();
    let trigger = reads.trigger(id(&trigger, Resource::Trigger)?).await?;
    let app = reads.app(trigger.app_id).await?;
    Ok(reply::json(&View::with_endpoint(trigger, &app.name, &base)))
}

/// Changes a trigger. What is absent or zero stays; an empty value deletes its key.
#[utoipa::path(put, path = "/v2/triggers/{id}", tag = "triggers", params(("id" = String, Path, description = "Id of the trigger.")), request_body = Body, responses((status = 200, description = "The trigger as it is now.", body = View), (status = 409, description = "Name, app and function cannot be changed, and no two triggers of an app may have one source.", body = Flat)))]
pub(super) async fn update(
    State(api): State<ApiState>,
    Segments(path_id): Segments<String>,
    Payload(body): Payload<Body>,
) -> Result<Response, ApiError> {
    if differs(body.id.as_deref(), &path_id) {
        return Err(Invalid::new("ID in path does not match ID in body").into());
    }
    let change = move |trigger: &mut Trigger| -> Result<(), ApiError> {
        if body
            .name
            .as_ref()
            .is_some_and(|n| !n.is_empty() && *n != trigger.name)
        {
            return Err(ApiError::Immutable("name"));
        }
        if differs(body.app_id.as_deref(), &trigger.app_id.to_string()) {
            return Err(ApiError::Immutable("app_id"));
        }
        if differs(body.fn_id.as_deref(), &trigger.fn_id.to_string()) {
            return Err(ApiError::Immutable("fn_id"));
        }
        let mut draft = TriggerDraft::of(trigger);
        merge::set(&mut draft.kind, body.kind.clone());
        merge::set(&mut draft.source, body.source.clone());
        merge::annotations(&mut draft.annotations, body.annotations.clone());
        Ok(draft.write(trigger)?)
    };
    let trigger_id = id(&path_id, Resource::Trigger)?;
    let trigger = api.registry.update_trigger(trigger_id, change).await?;
    Ok(reply::json(&View::from(trigger)))
}

/// Deletes a trigger.
#[utoipa::path(delete, path = "/v2/triggers/{id}", tag = "triggers", params(("id" = String, Path, description = "Id of the trigger.")), responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(api): State<ApiState>,
    Segments(trigger): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(&trigger, Resource::Trigger)?;
    api.registry.delete_trigger(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
