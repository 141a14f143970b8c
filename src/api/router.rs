use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use http::{Method, StatusCode};

use crate::api::error::{ApiError, Shape, shaped};
use crate::api::origin::{Sites, refuse_foreign};
use crate::api::{root, v1, v2};
use crate::index::Indexer;
use crate::model::{Callable, DrainStatus, ScaleStatus};
use crate::store::Registry;

/// Nothing that can be deployed needs more: a config has to fit into an environment.
const MAX_BODY: usize = 1 << 20;

/// What `GET /health` tells of what runs the functions.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// What runs the functions: `docker` or `process`.
    pub launcher: &'static str,
    /// How their stdio travels: `link`, `attach` or `pipe`.
    pub stdio: &'static str,
    /// Whether the engine that runs containers answers; `None` where there is none.
    pub engine_answers: Option<bool>,
}

/// What runs the functions, as far as the control plane cares.
#[async_trait]
pub trait Runner: std::fmt::Debug + Send + Sync {
    /// What a function has of containers.
    async fn scale(&self, callable: &Callable) -> ScaleStatus;

    /// Takes no more calls.
    fn drain(&self);

    /// Takes calls again.
    fn resume(&self);

    fn draining(&self) -> DrainStatus;

    /// As it was last seen: nobody waits for an engine here.
    fn health(&self) -> Health;
}

/// What the control plane needs to know of the server it runs in.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Base of the invocation endpoints that answers carry (`FN_PUBLIC_LB_URL`); without it they
    /// are built from the host that the client used.
    pub public_url: Option<String>,
    /// What `GET /version` tells.
    pub version: &'static str,
    /// Largest request body, in bytes; never more than 1 MiB.
    pub max_body: usize,
    /// Other sites whose pages may change what is deployed.
    pub sites: Sites,
}

/// What every handler shares.
#[derive(Clone, Debug)]
pub struct ApiState {
    pub registry: Arc<Registry>,
    pub config: Arc<ApiConfig>,
    pub runner: Arc<dyn Runner>,
    /// Who asks images for their functions, if anybody may.
    pub indexer: Option<Arc<Indexer>>,
}

impl ApiState {
    pub fn new(registry: Arc<Registry>, runner: Arc<dyn Runner>, mut config: ApiConfig) -> Self {
        config.max_body = config.max_body.min(MAX_BODY);
        Self {
            registry,
            config: Arc::new(config),
            runner,
            indexer: None,
        }
    }

    /// Images may be asked for their functions.
    #[must_use]
    pub fn with_indexer(mut self, indexer: Option<Indexer>) -> Self {
        self.indexer = indexer.map(Arc::new);
        self
    }
}

/// The whole control plane. Paths that are not its own get the 404 that Fn clients know.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .merge(root::router())
        .merge(v1::router())
        .merge(v2::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_verb)
        .layer(from_fn_with_state(state.clone(), refuse_foreign))
        .layer(from_fn(shaped_by_path))
        .with_state(state)
}

async fn shaped_by_path(request: Request, next: Next) -> Response {
    let shape = Shape::of(request.uri().path());
    shaped(next.run(request).await, shape)
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    let canonical = path.trim_end_matches('/');
    if canonical.len() < path.len() && (path.starts_with("/v1/") || path.starts_with("/v2/")) {
        return to_canonical(&request, canonical);
    }
    unknown(&request).into_response()
}

async fn wrong_verb(request: Request) -> ApiError {
    // v1 servers had no 405: a verb that a path does not know made the path unknown.
    match Shape::of(request.uri().path()) {
        Shape::Nested => unknown(&request),
        Shape::Flat => ApiError::WrongVerb(verb_and_path(&request)),
    }
}

fn unknown(request: &Request) -> ApiError {
    let path = request.uri().path();
    ApiError::UnknownPath(match Shape::of(path) {
        Shape::Nested => path.to_owned(),
        Shape::Flat => verb_and_path(request),
    })
}

fn verb_and_path(request: &Request) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

/// As Fn did: permanent for GET, and a redirect that keeps verb and body for the rest.
fn to_canonical(request: &Request, path: &str) -> Response {
    let location = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if request.method() == Method::GET {
        let location = [(http::header::LOCATION, location)];
        return (StatusCode::MOVED_PERMANENTLY, location).into_response();
    }
    Redirect::temporary(&location).into_response()
}
