use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::reply;
use crate::api::router::ApiState;
use crate::model::DrainStatus;

/// Whether this server takes calls.
#[derive(Serialize, ToSchema)]
#[schema(as = Drain)]
pub(super) struct View {
    /// `serving`, `draining` while calls are in flight, then `drained`.
    state: &'static str,
    /// Calls in flight on this server.
    calls: usize,
}

impl From<DrainStatus> for View {
    fn from(status: DrainStatus) -> Self {
        Self {
            state: match (status.draining, status.calls) {
                (false, _) => "serving",
                (true, 0) => "drained",
                (true, _) => "draining",
            },
            calls: status.calls,
        }
    }
}

fn view(api: &ApiState) -> View {
    api.runner.draining().into()
}

/// Shows whether this server takes calls.
#[utoipa::path(get, path = "/v2/drain", tag = "server", responses((status = 200, description = "Whether it does.", body = View)))]
pub(super) async fn status(State(api): State<ApiState>) -> Response {
    reply::json(&view(&api))
}

/// Takes no more calls: they are answered with 503. Those in flight go on, idle containers end,
/// and everything else is answered as before.
#[utoipa::path(post, path = "/v2/drain", tag = "server", responses((status = 202, description = "It began.", body = View)))]
pub(super) async fn drain(State(api): State<ApiState>) -> Response {
    api.runner.drain();
    (StatusCode::ACCEPTED, reply::json(&view(&api))).into_response()
}

/// Takes calls again.
#[utoipa::path(delete, path = "/v2/drain", tag = "server", responses((status = 200, description = "It does.", body = View)))]
pub(super) async fn resume(State(api): State<ApiState>) -> Response {
    api.runner.resume();
    reply::json(&view(&api))
}
