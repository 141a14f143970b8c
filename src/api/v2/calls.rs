use axum::extract::State;
use axum::response::Response;

use crate::api::calls::{CallParams, CallQuery, CallView, LogForm, LogView, plain};
use crate::api::error::{ApiError, Flat};
use crate::api::params::Segments;
use crate::api::router::ApiState;
use crate::api::v2::page::{Page, id};
use crate::api::{cursor, reply};
use crate::model::{Call, CallTarget, FnId, Function};
use crate::store::{CallsOf, Resource, StoreError};

#[utoipa::path(get, path = "/v2/fns/{id}/calls", tag = "calls", params(("id" = String, Path, description = "Id of the function."), CallParams), responses((status = 200, description = "A page of calls, the newest first.", body = Page<CallView>)))]
pub(super) async fn list(
    State(api): State<ApiState>,
    Segments(function): Segments<String>,
    query: CallQuery,
) -> Result<Response, ApiError> {
    let function = find(&api, &function).await?;
    let filter = query.filter(CallsOf::Fn(function.id));
    let calls = api.registry.calls().await.calls(&filter).await?;
    Ok(reply::json(&Page {
        next_cursor: query.last(&calls).map(|id| cursor::encode(&id.to_string())),
        items: calls.into_iter().map(CallView::from).collect(),
    }))
}

#[utoipa::path(get, path = "/v2/fns/{id}/calls/{call}", tag = "calls", params(("id" = String, Path, description = "Id of the function."), ("call" = String, Path, description = "Id of the call.")), responses((status = 200, description = "The call.", body = CallView)))]
pub(super) async fn get(
    State(api): State<ApiState>,
    Segments((function, call)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let function = find(&api, &function).await?;
    let call = call_of(&api, &function, &call, Resource::Call).await?;
    Ok(reply::json(&CallView::from(call)))
}

#[utoipa::path(get, path = "/v2/fns/{id}/calls/{call}/log", tag = "calls", params(("id" = String, Path, description = "Id of the function."), ("call" = String, Path, description = "Id of the call.")), responses((status = 200, description = "The log.", content((LogView = "application/json"), (String = "text/plain"))), (status = 406, description = "The client takes neither JSON nor text.", body = Flat)))]
pub(super) async fn log(
    State(api): State<ApiState>,
    Segments((function, call)): Segments<(String, String)>,
    form: LogForm,
) -> Result<Response, ApiError> {
    let function = find(&api, &function).await?;
    let call = call_of(&api, &function, &call, Resource::CallLog).await?;
    let log = api.registry.calls().await.log(call.app_id, call.id).await?;
    Ok(match form {
        LogForm::Text => plain(log),
        LogForm::Json => reply::json(&LogView::new(call.id, &log)),
    })
}

async fn find(api: &ApiState, function: &str) -> Result<Function, ApiError> {
    let function: FnId = id(function, Resource::Function)?;
    Ok(api.registry.read().function(function).await?)
}

/// The call, or `what` not found if it is none of this function.
async fn call_of(
    api: &ApiState,
    function: &Function,
    call: &str,
    what: Resource,
) -> Result<Call, ApiError> {
    let call = id(call, what)?;
    match api.registry.calls().await.call(function.app_id, call).await {
        Ok(call) if call.target == CallTarget::Fn(function.id) => Ok(call),
        Ok(_) | Err(StoreError::NotFound(_)) => Err(ApiError::not_found(what)),
        Err(error) => Err(error.into()),
    }
}
