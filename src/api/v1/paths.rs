use axum::Router;
use axum::routing::get;
use utoipa::{OpenApi, ToSchema};

use crate::api::error::Nested;
use crate::api::openapi::complete;
use crate::api::router::ApiState;
use crate::api::v1::{apps, calls, routes};

pub(in crate::api) fn router() -> Router<ApiState> {
    // Old clients join the path of the root route away, so that it has the path of the list. For
    // GET the list wins, as it did in Fn.
    let root_or_list = get(routes::list)
        .post(routes::create)
        .put(routes::put_root)
        .patch(routes::patch_root)
        .delete(routes::delete_root);
    Router::new()
        .route("/v1/apps", get(apps::list).post(apps::create))
        .route(
            "/v1/apps/{app}",
            get(apps::get).patch(apps::update).delete(apps::delete),
        )
        .route("/v1/apps/{app}/routes", root_or_list.clone())
        .route("/v1/apps/{app}/routes/", root_or_list)
        .route(
            "/v1/apps/{app}/routes/{*path}",
            get(routes::get)
                .put(routes::put)
                .patch(routes::patch)
                .delete(routes::delete),
        )
        .route("/v1/apps/{app}/calls", get(calls::list))
        .route("/v1/apps/{app}/calls/{call}", get(calls::get))
        .route("/v1/apps/{app}/calls/{call}/log", get(calls::log))
}

/// The document of this version, from the handlers and their wire types.
pub(in crate::api) fn document() -> utoipa::openapi::OpenApi {
    complete(Doc::openapi(), Nested::name().as_ref())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kiln API v1",
        version = "1",
        description = "Apps by name, their routes and their calls. Every success is a 200.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Nested)),
    paths(
        apps::list,
        apps::create,
        apps::get,
        apps::update,
        apps::delete,
        routes::list,
        calls::list,
        calls::get,
        calls::log,
        routes::create,
        routes::put_root,
        routes::patch_root,
        routes::delete_root,
        routes::get,
        routes::put,
        routes::patch,
        routes::delete
    )
)]
struct Doc;
