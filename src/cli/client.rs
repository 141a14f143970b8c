use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::cli::wire::{App, Function, Health, Page, ServerVersion, error_message};

/// A server that is up accepts at once.
const CONNECT: Duration = Duration::from_secs(5);
/// The control plane answers from its store.
const CONTROL: Duration = Duration::from_secs(30);
/// A call may wait for a pull of ten minutes before it runs for five.
pub(super) const CALL: Duration = Duration::from_secs(20 * 60);
/// Largest answer of the control plane that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// What can come back instead of an answer.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    #[error("no server answers at {base}: {reason}")]
    Unreachable { base: String, reason: String },
    #[error("{method} {path} failed")]
    Broken {
        method: Method,
        path: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server refused {method} {path}: {message} (status {status})")]
    Refused {
        method: Method,
        path: String,
        status: StatusCode,
        message: String,
    },
    #[error("the answer to {method} {path} is not what a server of this kind sends")]
    Unreadable {
        method: Method,
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the answer to {method} {path} is larger than {MAX_ANSWER} bytes")]
    TooLarge { method: Method, path: String },
    #[error("{base} is not a URL")]
    BadBase { base: String },
}

impl ClientError {
    /// What a person can do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "start a server with fn start, or set FN_API_URL",
            Self::Broken { .. } => "the server's log may say more; look before you try again",
            Self::Refused { message, .. } if message == "Invalid app name" => {
                "an app's name has letters, digits, - or _, at most 255 characters"
            }
            Self::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "set FN_TOKEN",
                StatusCode::NOT_FOUND => "see what there is with fn list",
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => {
                    "compare the versions with fn version: the server has no such operation"
                }
                StatusCode::CONFLICT => "change it with fn update, or choose another name or path",
                StatusCode::SERVICE_UNAVAILABLE => "try again later; the server's log may say more",
                status if status.is_client_error() => "see --help for what is allowed",
                _ => "the server's log says more",
            },
            Self::Unreadable { .. } | Self::TooLarge { .. } => {
                "see whether FN_API_URL or the context leads to an Fn server"
            }
            Self::BadBase { .. } => "set FN_API_URL to a URL such as http://localhost:8080",
        }
    }
}

/// How the server runs functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launcher {
    Docker,
    Process,
}

/// A server's API. Every request is sent once.
#[derive(Debug)]
pub(super) struct Api {
    http: Client,
    base: Url,
    token: Option<String>,
}

impl Api {
    pub(super) fn new(base: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let bad = || ClientError::BadBase {
            base: base.to_owned(),
        };
        let url = Url::parse(base).map_err(|_| bad())?;
        let mut http = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("fn/", env!("CARGO_PKG_VERSION")));
        // A proxy for the world outside does not know our own machine.
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build()?,
            base: url,
            token: token.map(str::to_owned),
        })
    }

    /// The URL of a path given in parts, each of which may hold any character.
    pub(super) fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        parts: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let mut url = self.url(parts);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.answer(Method::GET, url, |request| request).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        parts: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url(parts);
        self.answer(method, url, |request| request.json(body)).await
    }

    /// As [`send`](Self::send), for what may take longer than a look into the store.
    pub(super) async fn send_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: Method,
        parts: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url(parts);
        self.answer(method, url, |request| request.json(body).timeout(limit))
            .await
    }

    /// Whether the answer has a body differs between the APIs, and it says nothing.
    pub(super) async fn delete(&self, parts: &[&str]) -> Result<(), ClientError> {
        let url = self.url(parts);
        self.exchange(Method::DELETE, &url, |request| request)
            .await?;
        Ok(())
    }

    /// Calls a function: any status is an answer.
    pub(super) async fn call(
        &self,
        method: Method,
        url: Url,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Response, ClientError> {
        let request = self
            .request(method.clone(), url.clone())
            .timeout(CALL)
            .header(CONTENT_TYPE, content_type)
            .body(body);
        request
            .send()
            .await
            .map_err(|error| self.broken(method, &url, error))
    }

    /// Which launcher the server has; one that does not say is Fn's own, which has Docker.
    pub(super) async fn launcher(&self) -> Result<Launcher, ClientError> {
        let health: Result<Health, _> = self.get(&["health"], &[]).await;
        match health {
            Ok(health) if health.launcher.as_deref() == Some("process") => Ok(Launcher::Process),
            Ok(_) | Err(ClientError::Refused { .. } | ClientError::Unreadable { .. }) => {
                Ok(Launcher::Docker)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn version(&self) -> Result<String, ClientError> {
        let answer: ServerVersion = self.get(&["version"], &[]).await?;
        Ok(answer.version)
    }

    pub(super) async fn find_app(&self, name: &str) -> Result<Option<App>, ClientError> {
        let page: Page<App> = self.get(&["v2", "apps"], &[("name", name)]).await?;
        Ok(first(page, |app| app.name == name))
    }

    pub(super) async fn find_function(
        &self,
        app_id: &str,
        name: &str,
    ) -> Result<Option<Function>, ClientError> {
        let query = [("app_id", app_id), ("name", name)];
        let page: Page<Function> = self.get(&["v2", "fns"], &query).await?;
        Ok(first(page, |function| function.name == name))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let own = url.origin() == self.base.origin();
        let request = self.http.request(method, url);
        match &self.token {
            // An endpoint may name any host; the token is for our server only.
            Some(token) if own => request.bearer_auth(token),
            _ => request,
        }
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let body = self.exchange(method.clone(), &url, fill).await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Unreadable {
            method,
            path: url.path().to_owned(),
            source,
        })
    }

    /// Sends a request, and gives the body of the answer if that is a success.
    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, ClientError> {
        let request = self.request(method.clone(), url.clone()).timeout(CONTROL);
        let response = fill(request)
            .send()
            .await
            .map_err(|error| self.broken(method.clone(), url, error))?;
        let status = response.status();
        let path = url.path().to_owned();
        let Some(body) = read(response, MAX_ANSWER)
            .await
            .map_err(|error| self.broken(method.clone(), url, error))?
        else {
            return Err(ClientError::TooLarge { method, path });
        };
        if !status.is_success() {
            let message = error_message(&body)
                .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").to_owned());
            return Err(ClientError::Refused {
                method,
                path,
                status,
                message,
            });
        }
        Ok(body)
    }

    fn broken(&self, method: Method, url: &Url, source: reqwest::Error) -> ClientError {
        if source.is_connect() {
            return ClientError::Unreachable {
                base: url.origin().ascii_serialization(),
                reason: innermost(&source),
            };
        }
        ClientError::Broken {
            method,
            path: url.path().to_owned(),
            source: source.without_url(),
        }
    }
}

/// The library wraps what the system said in three layers that say nothing.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The whole body, or `None` where it is longer than `max`.
pub(super) async fn read(
    mut response: Response,
    max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Old servers treat the name as a filter that may fit more than one.
fn first<T>(page: Page<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    page.items.unwrap_or_default().into_iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_server::FakeServer;

    #[tokio::test]
    async fn the_launcher_is_asked_for_and_fns_own_server_has_docker() {
        for (answer, launcher) in [
            ((200, r#"{"launcher":"process"}"#), Launcher::Process),
            ((200, r#"{"launcher":"docker"}"#), Launcher::Docker),
            ((404, r#"{"message":"Path not found"}"#), Launcher::Docker),
            ((200, "hello"), Launcher::Docker),
        ] {
            let server = FakeServer::start(&[answer]).await;
            assert_eq!(
                server.api().launcher().await.unwrap(),
                launcher,
                "{answer:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_carries_the_servers_words_and_is_not_tried_again() {
        let refusals = [
            (409, r#"{"message":"App already exists"}"#),
            (409, r#"{"error":{"message":"App already exists"}}"#),
        ];
        let server = FakeServer::start(&refusals).await;
        for count in 1..=2 {
            let sent: Result<serde_json::Value, _> =
                server.api().send(Method::POST, &["v2", "apps"], &1).await;
            let text = sent.unwrap_err().to_string();
            let expected =
                "the server refused POST /v2/apps: App already exists (status 409 Conflict)";
            assert_eq!(text, expected);
            assert_eq!(server.asked().len(), count);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_from_one_that_refuses() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Api::new(&base, None).unwrap().launcher().await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        let start = format!("no server answers at {base}: Connection refused");
        assert!(error.to_string().starts_with(&start), "{error}");
    }

    #[test]
    fn parts_of_a_path_are_escaped() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let api = Api::new("http://s:1/base", None).unwrap();
        let url = api.url(&["v1", "apps", "a/b", "routes", "%2F é"]);
        assert_eq!(
            url.as_str(),
            "http://s:1/base/v1/apps/a%2Fb/routes/%252F%20%C3%A9"
        );
    }
}
