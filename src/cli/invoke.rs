use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};
use serde::Serialize;

use crate::cli::client::{Api, read};
use crate::cli::failure::Failure;
use crate::cli::manage::find_function;
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::error_message;
use crate::model::clean_path;

/// An error's body is a message; longer ones are not worth reading.
const MAX_ERROR: usize = 64 * 1024;
/// A result that is shown as one JSON object has to be held in memory.
const MAX_JSON: usize = 64 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "Example: echo -n Ann | fn invoke demo greet")]
pub(super) struct InvokeArgs {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the function, or the path of a route, which starts with /.
    function: String,
    #[command(flatten)]
    call: CallFlags,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: echo -n Ann | fn call demo /greet")]
pub(super) struct CallArgs {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Path of the route.
    path: String,
    /// POST where something comes on stdin, else GET.
    #[arg(long)]
    method: Option<Method>,
    #[command(flatten)]
    call: CallFlags,
}

#[derive(Debug, Args)]
struct CallFlags {
    /// Content type of the body.
    #[arg(long, default_value = "text/plain")]
    content_type: String,
    /// Show the call's id before its result.
    #[arg(long)]
    display_call_id: bool,
    /// Show status, headers and body as one JSON object.
    #[arg(long)]
    output: Option<OutputArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputArg {
    Json,
}

/// A result for programs.
#[derive(Serialize)]
struct Shown {
    body: String,
    headers: BTreeMap<String, Vec<String>>,
    status_code: u16,
}

pub(super) async fn run(args: &InvokeArgs, session: &Session) -> anyhow::Result<()> {
    let url = endpoint(&session.api, &args.app, &args.function).await?;
    let body = tokio::task::spawn_blocking(stdin_body).await??;
    let called = Called::new(&args.app, &args.function);
    perform(&session.api, called, Method::POST, url, body, &args.call).await
}

impl CallArgs {
    /// Calls a route as Fn 0.4 did: what it is called with depends on stdin.
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let body = tokio::task::spawn_blocking(stdin_body).await??;
        call_with(self, body, &session.api).await
    }
}

async fn call_with(args: &CallArgs, body: Vec<u8>, api: &Api) -> anyhow::Result<()> {
    let method = match &args.method {
        Some(method) => method.clone(),
        None if body.is_empty() => Method::GET,
        None => Method::POST,
    };
    let url = route_url(api, &args.app, &args.path);
    let path = clean_path(&args.path);
    let called = Called::new(&args.app, &path);
    perform(api, called, method, url, body, &args.call).await
}

async fn perform(
    api: &Api,
    called: Called<'_>,
    method: Method,
    url: Url,
    body: Vec<u8>,
    flags: &CallFlags,
) -> anyhow::Result<()> {
    let response = api.call(method, url, &flags.content_type, body).await?;
    match flags.output {
        Some(OutputArg::Json) => show_json(response, called).await,
        None => show(response, called, flags.display_call_id).await,
    }
}

/// What was called, for those who want to know why it failed.
#[derive(Clone, Copy, Debug)]
struct Called<'a> {
    app: &'a str,
    /// The name of a function, or the path of a route.
    of: &'a str,
}

impl<'a> Called<'a> {
    fn new(app: &'a str, of: &'a str) -> Self {
        Self { app, of }
    }

    /// What to do about an answer with this status and message.
    fn hint(self, status: u16, message: &str, call_id: Option<&str>) -> String {
        let Self { app, of } = self;
        match (status, message) {
            (404, "App not found") => "see fn list apps".to_owned(),
            (404, "Route not found") => format!("see fn list routes {app}"),
            (404, "Fn not found") => format!("see fn list functions {app}"),
            (501, _) => {
                "deploy it with a format that the server can call, such as format: http".to_owned()
            }
            (413 | 431, _) => "send less, or have the server's limits raised".to_owned(),
            (429 | 503, _) => "try again in a while; it is the server that cannot".to_owned(),
            _ => {
                let id = call_id.unwrap_or("last");
                format!("see what the function wrote with fn get logs {app} {of} {id}")
            }
        }
    }
}

fn route_url(api: &Api, app: &str, path: &str) -> Url {
    let mut parts = vec!["r", app];
    parts.extend(path.trim_start_matches('/').split('/'));
    api.url(&parts)
}

/// What is piped in; nothing where somebody sits at the keyboard.
fn stdin_body() -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.read_to_end(&mut body).context("cannot read stdin")?;
    }
    Ok(body)
}

async fn endpoint(api: &Api, app_name: &str, name: &str) -> anyhow::Result<Url> {
    if name.starts_with('/') {
        return Ok(route_url(api, app_name, name));
    }
    let function = find_function(api, app_name, name).await?;
    let Some(url) = function.endpoint() else {
        let message = "Fn invoke url annotation not present, fnproject.io/fn/invokeEndpoint";
        let hint = "call the function through a trigger; see fn list triggers";
        return Err(Failure::new(message).hint(hint).into());
    };
    Url::parse(url).with_context(|| format!("the server gave {url:?} as the function's address"))
}

async fn show(
    mut response: Response,
    called: Called<'_>,
    display_call_id: bool,
) -> anyhow::Result<()> {
    let call_id = call_id(response.headers());
    if display_call_id && let Some(id) = &call_id {
        output::line(&format!("Call ID: {id}"))?;
    }
    let status = response.status().as_u16();
    if status >= 400 {
        let body = read(response, MAX_ERROR).await?.unwrap_or_default();
        let message = error_message(&body)
            .unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
        let text = format!("Error invoking function. status: {status} message: {message}");
        let hint = called.hint(status, &message, call_id.as_deref());
        return Err(Failure::new(text).hint(hint).into());
    }
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        output::raw(&chunk)?;
    }
    Ok(())
}

async fn show_json(response: Response, called: Called<'_>) -> anyhow::Result<()> {
    let call_id = call_id(response.headers());
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .entry(name.as_str().to_owned())
            .or_default()
            .push(value);
    }
    let status_code = response.status().as_u16();
    let Some(body) = read(response, MAX_JSON).await? else {
        return Err(Failure::new("the result is too large for --output json")
            .hint("leave --output out")
            .into());
    };
    output::json(&Shown {
        body: String::from_utf8_lossy(&body).into_owned(),
        headers,
        status_code,
    })?;
    if status_code >= 400 {
        let text = format!("Error invoking function. status: {status_code}");
        let message = error_message(&body).unwrap_or_default();
        let hint = called.hint(status_code, &message, call_id.as_deref());
        return Err(Failure::new(text).hint(hint).into());
    }
    Ok(())
}

fn call_id(headers: &HeaderMap) -> Option<String> {
    let id = headers
        .get("Fn-Call-Id")
        .or_else(|| headers.get("Fn_call_id"))?;
    id.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_server::FakeServer;

    #[tokio::test]
    async fn a_function_is_called_where_its_annotation_says() {
        let server = FakeServer::start(&[
            (200, r#"{"items":[{"id":"A1","name":"a"}]}"#),
            (
                200,
                r#"{"items":[{"id":"F1","name":"f","annotations":{"fnproject.io/fn/invokeEndpoint":"http://other:8080/invoke/F1"}}]}"#,
            ),
        ])
        .await;
        let url = endpoint(&server.api(), "a", "f").await.unwrap();
        assert_eq!(url.as_str(), "http://other:8080/invoke/F1");
        assert_eq!(
            server.asked(),
            ["GET /v2/apps?name=a", "GET /v2/fns?app_id=A1&name=f"]
        );
    }

    #[tokio::test]
    async fn a_route_is_called_by_its_path() {
        let server = FakeServer::start(&[]).await;
        let url = endpoint(&server.api(), "a", "/hello/x").await.unwrap();
        assert_eq!(url.path(), "/r/a/hello/x");
        assert!(server.asked().is_empty());
    }

    #[tokio::test]
    async fn the_method_of_a_call_depends_on_its_body() {
        let ok = (200, "{}");
        let server = FakeServer::start(&[ok, ok, ok]).await;
        let mut args = CallArgs {
            app: "a".to_owned(),
            path: "p".to_owned(),
            method: None,
            call: CallFlags {
                content_type: "text/plain".to_owned(),
                display_call_id: true,
                output: None,
            },
        };
        call_with(&args, Vec::new(), &server.api()).await.unwrap();
        call_with(&args, b"hi".to_vec(), &server.api())
            .await
            .unwrap();
        args.method = Some(Method::PUT);
        call_with(&args, Vec::new(), &server.api()).await.unwrap();
        assert_eq!(
            server.asked(),
            ["GET /r/a/p", "POST /r/a/p hi", "PUT /r/a/p"]
        );
    }

    #[tokio::test]
    async fn an_error_of_the_function_is_an_error_of_the_command() {
        let server = FakeServer::start(&[(502, r#"{"message":"function failed"}"#)]).await;
        let url = server.api().url(&["invoke", "F1"]);
        let answer = server
            .api()
            .call(Method::POST, url, "text/plain", b"hi".to_vec())
            .await
            .unwrap();
        assert_eq!(call_id(answer.headers()).as_deref(), Some("01CALL"));
        let error = show(answer, Called::new("a", "f"), false)
            .await
            .unwrap_err();
        let expected = "Error invoking function. status: 502 message: function failed";
        assert_eq!(error.to_string(), expected);
        assert_eq!(server.asked(), ["POST /invoke/F1 hi"]);
    }

    #[test]
    fn the_hint_fits_what_was_called_and_what_came() {
        let hint = |status, message| Called::new("a", "f").hint(status, message, Some("01CALL"));
        let log = "see what the function wrote with fn get logs a f 01CALL";
        for (status, message, expected) in [
            (500, "internal server error", log),
            (502, "container exit code 1", log),
            (504, "Timed out", log),
            (404, "no such customer", log),
            (404, "Route not found", "see fn list routes a"),
        ] {
            assert_eq!(hint(status, message), expected, "{status} {message}");
        }
        for status in [501, 413, 429, 503] {
            assert!(!hint(status, "x").contains("logs"), "{status}");
        }
        let unnamed = Called::new("a", "/p").hint(502, "x", None);
        assert_eq!(
            unnamed,
            "see what the function wrote with fn get logs a /p last"
        );
    }

    #[tokio::test]
    async fn what_does_not_exist_is_named() {
        let none = (200, r#"{"items":[]}"#);
        let server = FakeServer::start(&[none]).await;
        let error = endpoint(&server.api(), "a", "f").await.unwrap_err();
        assert_eq!(error.to_string(), "app a does not exist");
    }
}
