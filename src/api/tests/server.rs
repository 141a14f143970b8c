use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::contract;
use crate::api::{ApiConfig, ApiState, Health, Runner, Sites, router};
use crate::index::ask_tests::indexer_of;
use crate::model::{Callable, DrainStatus, ScaleSample, ScaleStatus, Usage};
use crate::store::{Registry, SqliteStore, Store};

/// The largest body that the server under test takes.
pub(super) const MAX_BODY: usize = 64 * 1024;

pub(super) struct Server {
    router: Router,
    state: ApiState,
    pub(super) registry: Arc<Registry>,
    pub(super) store: Arc<SqliteStore>,
    _dir: tempfile::TempDir,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Nothing runs behind these tests.
#[derive(Debug)]
struct NoPools;

#[async_trait::async_trait]
impl Runner for NoPools {
    async fn scale(&self, callable: &Callable) -> ScaleStatus {
        ScaleStatus {
            mode: callable.scale.mode,
            min: callable.scale.min as usize,
            vote: "none",
            failure: Some(("no engine".to_owned(), std::time::Duration::ZERO)),
            samples: vec![ScaleSample::default()],
            usage: Some(Usage::default()),
            ..ScaleStatus::default()
        }
    }

    fn health(&self) -> Health {
        Health {
            launcher: "process",
            stdio: "pipe",
            engine_answers: None,
        }
    }

    fn drain(&self) {}

    fn resume(&self) {}

    fn draining(&self) -> DrainStatus {
        DrainStatus {
            draining: true,
            calls: 3,
        }
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with_public_url(None).await
    }

    /// One that asks images; each has a name and the body of its answer.
    pub(super) async fn with_images(images: &[(&str, &str)]) -> Self {
        let mut server = Self::start().await;
        let indexer = indexer_of(images);
        server.router = router(server.state.clone().with_indexer(Some(indexer)));
        server
    }

    pub(super) async fn with_public_url(public_url: Option<&str>) -> Self {
        Self::with(public_url, MAX_BODY).await
    }

    pub(super) async fn with(public_url: Option<&str>, max_body: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("fn.db")).await.unwrap();
        let store = Arc::new(store);
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        let registry = Arc::new(Registry::open(shared).await.unwrap());
        let config = ApiConfig {
            public_url: public_url.map(str::to_owned),
            version: "1.2.3",
            max_body,
            sites: Sites::These(Vec::new()),
        };
        let state = ApiState::new(Arc::clone(&registry), Arc::new(NoPools), config);
        Self {
            router: router(state.clone()),
            state,
            registry,
            store,
            _dir: dir,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (verb, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        };
        contract::holds(&verb, &path, &answer);
        answer
    }

    /// `call` is a verb and a path, like `PUT /v2/fns/1`.
    pub(super) async fn raw(&self, call: &str, body: impl Into<Body>) -> Answer {
        let (verb, path) = call.split_once(' ').unwrap();
        let request = Request::builder()
            .method(verb)
            .uri(path)
            .header("host", "localhost:8080")
            .header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn call(&self, call: &str, body: Value) -> Answer {
        let answer = self.raw(call, body.to_string()).await;
        if answer.status.is_success() {
            contract::allows(call, &body);
        }
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.raw(&format!("GET {path}"), Body::empty()).await
    }

    /// The JSON of an answer that must be a success.
    pub(super) async fn ok(&self, call: &str, body: Value) -> Value {
        self.call(call, body).await.json()
    }

    pub(super) async fn ok_get(&self, path: &str) -> Value {
        self.get(path).await.json()
    }
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        assert_eq!(
            self.headers["content-type"],
            "application/json; charset=utf-8"
        );
        serde_json::from_str(&self.text).unwrap()
    }

    /// The whole body, so that shape and newline are checked too.
    #[track_caller]
    pub(super) fn nested(&self, status: u16, message: &str) {
        let message = Value::from(message);
        self.is(
            status,
            &format!("{{\"error\":{{\"message\":{message}}}}}\n"),
        );
    }

    #[track_caller]
    pub(super) fn flat(&self, status: u16, message: &str) {
        let message = Value::from(message);
        self.is(status, &format!("{{\"message\":{message}}}\n"));
    }

    /// The whole answer, which must be JSON.
    #[track_caller]
    pub(super) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status.as_u16(), self.text.as_str()), (status, body));
        assert_eq!(
            self.headers["content-type"],
            "application/json; charset=utf-8"
        );
    }
}

/// The value at `pointer` as text.
#[track_caller]
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

/// Takes ids and times out of `value`, checking their form, so that the rest can be compared.
#[track_caller]
pub(super) fn without_ids_and_times(value: &Value) -> Value {
    let mut value = value.clone();
    let object = value.as_object_mut().unwrap();
    for key in ["id", "app_id", "fn_id"] {
        if let Some(id) = object.remove(key) {
            assert_eq!(id.as_str().unwrap().len(), 26, "{key}");
        }
    }
    for key in ["created_at", "updated_at"] {
        let time = object.remove(key).unwrap();
        let time = time.as_str().unwrap();
        assert_eq!(time.len(), "2018-09-17T10:00:00.123Z".len(), "{key}");
        assert!(time.ends_with('Z'), "{key}");
    }
    value
}
