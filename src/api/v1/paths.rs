use axum::Router;
use axum::routing::get;

use crate::api::router::ApiState;
use crate::api::v1::{apps, calls, routes};

pub(in crate::api) fn router() -> Router<ApiState> {
    // Old clients join the path of the root route away, so that it has the path of the list. For
    // GET the list wins, as it did in Fn.
    let root_or_list = get(routes::list)
        .post(routes::create)
        .put(routes::put_root)
        .patch(routes::patch_root);
    Router::new()
        .route("/v1/apps", get(apps::list).post(apps::create))
        .route("/v1/apps/{app}", get(apps::get).patch(apps::update))
        .route("/v1/apps/{app}/routes", root_or_list.clone())
        .route("/v1/apps/{app}/routes/", root_or_list)
        .route(
            "/v1/apps/{app}/routes/{*path}",
            get(routes::get).put(routes::put).patch(routes::patch),
        )
        .route("/v1/apps/{app}/calls", get(calls::list))
        .route("/v1/apps/{app}/calls/{call}", get(calls::get))
        .route("/v1/apps/{app}/calls/{call}/log", get(calls::log))
}
