use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::api::router::ApiState;
use crate::api::{reply, v1, v2};

pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(hello))
        .route("/version", get(version))
        .route("/health", get(health))
        .route(
            "/v1/openapi.json",
            get(async || reply::json(&v1::document())),
        )
        .route(
            "/v2/openapi.json",
            get(async || reply::json(&v2::document())),
        )
}

async fn hello() -> Response {
    reply::json(&json!({"goto": "https://github.com/fnproject/fn", "hello": "world!"}))
}

async fn version(State(api): State<ApiState>) -> Response {
    reply::json(&json!({"version": api.config.version}))
}

/// Answers as long as the server does, whatever the database or the engine do.
async fn health(State(api): State<ApiState>) -> Response {
    let health = api.runner.health();
    let mut told = json!({
        "status": "ok",
        "version": api.config.version,
        "launcher": health.launcher,
        "stdio": health.stdio,
    });
    if let Some(answers) = health.engine_answers {
        told["engine"] = if answers { "ok" } else { "down" }.into();
    }
    reply::json(&told)
}
