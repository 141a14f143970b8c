use axum::Router;
use axum::routing::get;

use crate::api::router::ApiState;
use crate::api::v2::{apps, calls, fns, triggers};

pub(in crate::api) fn router() -> Router<ApiState> {
    Router::new()
        .route("/v2/apps", get(apps::list).post(apps::create))
        .route("/v2/apps/{id}", get(apps::get).put(apps::update))
        .route("/v2/fns", get(fns::list).post(fns::create))
        .route("/v2/fns/{id}", get(fns::get).put(fns::update))
        .route("/v2/fns/{id}/calls", get(calls::list))
        .route("/v2/fns/{id}/calls/{call}", get(calls::get))
        .route("/v2/fns/{id}/calls/{call}/log", get(calls::log))
        .route("/v2/triggers", get(triggers::list).post(triggers::create))
        .route(
            "/v2/triggers/{id}",
            get(triggers::get).put(triggers::update),
        )
}
