//! A server that answers by a script and remembers what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::cli::client::Api;
use crate::cli::session::Session;
use crate::config::ClientConfig;

/// Status and JSON body of one answer.
type Answer = (u16, &'static str);

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    asked: Vec<String>,
}

pub(super) struct FakeServer {
    pub(super) base: String,
    state: Arc<Mutex<State>>,
}

impl FakeServer {
    /// Gives one answer for each request, in this order, then 500.
    pub(super) async fn start(answers: &[Answer]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            answers: answers.iter().copied().collect(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&state)));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { base, state }
    }

    pub(super) fn session(&self) -> Session {
        Session {
            config: ClientConfig {
                api_url: self.base.clone(),
                registry: None,
                token: None,
                data_dir: "/nonexistent".into(),
            },
            api: self.api(),
            verbose: false,
            interactive: false,
            docker_host: None,
            docker_config: None,
        }
    }

    pub(super) fn api(&self) -> Api {
        Api::new(&self.base, None).unwrap()
    }

    /// Each request as `METHOD path?query body`.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().asked.clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    let target = request.uri().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let line = format!("{method} {target} {}", String::from_utf8_lossy(&body));
    let (status, text) = {
        let mut state = state.lock();
        state.asked.push(line.trim_end().to_owned());
        state.answers.pop_front().unwrap_or((500, "{}"))
    };
    let response = Response::builder()
        .status(status)
        .header("Content-Type", "application/json")
        .header("Fn-Call-Id", "01CALL")
        .body(Full::new(Bytes::from_static(text.as_bytes())));
    Ok(response.unwrap())
}
