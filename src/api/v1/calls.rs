use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::calls::{CallParams, CallQuery, CallView, LogForm, LogView, plain};
use crate::api::error::{ApiError, Nested};
use crate::api::params::Segments;
use crate::api::reply;
use crate::api::router::ApiState;
use crate::api::v1::apps::find;
use crate::model::CallId;
use crate::store::{CallsOf, Resource};

#[derive(Serialize, ToSchema)]
#[schema(as = CallReply)]
struct One {
    message: &'static str,
    call: CallView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CallPage)]
struct Page {
    message: &'static str,
    next_cursor: String,
    calls: Vec<CallView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogReply)]
struct Log {
    message: &'static str,
    log: LogView,
}

#[utoipa::path(get, path = "/v1/apps/{app}/calls", tag = "calls", params(("app" = String, Path, description = "Name of the app, or its id."), ("path" = Option<String>, Query, description = "Only calls of this route."), CallParams), responses((status = 200, description = "A page of calls, the newest first.", body = Page)))]
pub(super) async fn list(
    State(api): State<ApiState>,
    Segments(app): Segments<String>,
    query: CallQuery,
) -> Result<Response, ApiError> {
    let of = CallsOf::App {
        id: find(&api, &app).await?.id,
        path: query.path(),
    };
    let calls = api.registry.calls().await.calls(&query.filter(of)).await?;
    Ok(reply::json(&Page {
        message: "Successfully listed calls",
        next_cursor: query
            .last(&calls)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        calls: calls.into_iter().map(CallView::from).collect(),
    }))
}

#[utoipa::path(get, path = "/v1/apps/{app}/calls/{call}", tag = "calls", params(("app" = String, Path, description = "Name of the app, or its id."), ("call" = String, Path, description = "Id of the call.")), responses((status = 200, description = "The call.", body = One)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    Segments((app, call)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let app = find(&api, &app).await?;
    let id = id(&call, Resource::Call)?;
    let call = api.registry.calls().await.call(app.id, id).await?;
    Ok(reply::json(&One {
        message: "Successfully loaded call",
        call: call.into(),
    }))
}

#[utoipa::path(get, path = "/v1/apps/{app}/calls/{call}/log", tag = "calls", params(("app" = String, Path, description = "Name of the app, or its id."), ("call" = String, Path, description = "Id of the call.")), responses((status = 200, description = "The log.", content((Log = "application/json"), (String = "text/plain"))), (status = 406, description = "The client takes neither JSON nor text.", body = Nested)))]
pub(super) async fn log(
    State(api): State<ApiState>,
    Segments((app, call)): Segments<(String, String)>,
    form: LogForm,
) -> Result<Response, ApiError> {
    let app = find(&api, &app).await?;
    let id = id(&call, Resource::CallLog)?;
    let log = api.registry.calls().await.log(app.id, id).await?;
    Ok(match form {
        LogForm::Text => plain(log),
        LogForm::Json => reply::json(&Log {
            message: "Successfully loaded log",
            log: LogView::new(id, &log),
        }),
    })
}

fn id(text: &str, what: Resource) -> Result<CallId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(what))
}
