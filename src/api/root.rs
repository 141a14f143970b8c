use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::api::reply;
use crate::api::router::ApiState;

pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(hello))
        .route("/version", get(version))
}

async fn hello() -> Response {
    reply::json(&json!({"goto": "https://github.com/fnproject/fn", "hello": "world!"}))
}

async fn version(State(api): State<ApiState>) -> Response {
    reply::json(&json!({"version": api.config.version}))
}
