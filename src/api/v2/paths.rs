use axum::Router;
use axum::routing::{get, post};
use utoipa::{OpenApi, ToSchema};

use crate::api::error::Flat;
use crate::api::openapi::complete;
use crate::api::router::ApiState;
use crate::api::v2::{apps, calls, deploy, drain, fns, index, scale, triggers};

pub(in crate::api) fn router() -> Router<ApiState> {
    Router::new()
        .route("/v2/apps", get(apps::list).post(apps::create))
        .route(
            "/v2/apps/{id}",
            get(apps::get).put(apps::update).delete(apps::delete),
        )
        .route("/v2/fns", get(fns::list).post(fns::create))
        .route(
            "/v2/fns/{id}",
            get(fns::get).put(fns::update).delete(fns::delete),
        )
        .route("/v2/fns/{id}/scale", get(scale::scale))
        .route("/v2/fns/{id}/calls", get(calls::list))
        .route("/v2/fns/{id}/calls/{call}", get(calls::get))
        .route("/v2/fns/{id}/calls/{call}/log", get(calls::log))
        .route("/v2/index", post(index::report))
        .route("/v2/index/deploy", post(deploy::deploy))
        .route(
            "/v2/drain",
            get(drain::status).post(drain::drain).delete(drain::resume),
        )
        .route("/v2/triggers", get(triggers::list).post(triggers::create))
        .route(
            "/v2/triggers/{id}",
            get(triggers::get)
                .put(triggers::update)
                .delete(triggers::delete),
        )
}

/// The document of this version, from the handlers and their wire types.
pub(in crate::api) fn document() -> utoipa::openapi::OpenApi {
    complete(Doc::openapi(), Flat::name().as_ref())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kiln API v2",
        version = "2",
        description = "Apps, functions, triggers and calls, by id, and whether calls are taken. A delete answers 204.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Flat)),
    paths(
        apps::list,
        apps::create,
        apps::get,
        apps::update,
        apps::delete,
        fns::list,
        fns::create,
        fns::get,
        fns::update,
        fns::delete,
        scale::scale,
        calls::list,
        calls::get,
        calls::log,
        triggers::list,
        triggers::create,
        triggers::get,
        triggers::update,
        triggers::delete,
        index::report,
        deploy::deploy,
        drain::status,
        drain::drain,
        drain::resume
    )
)]
struct Doc;
