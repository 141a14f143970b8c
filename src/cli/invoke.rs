use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use reqwest::header::HeaderMap;
use reqwest::{Response, Url};
use serde::Serialize;

use crate::cli::client::{Api, read};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::error_message;

/// An error's body is a message; longer ones are not worth reading.
const MAX_ERROR: usize = 64 * 1024;
/// A result that is shown as one JSON object has to be held in memory.
const MAX_JSON: usize = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct InvokeArgs {
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the function, or the path of a route, which starts with /.
    function: String,
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
    let response = session.api.call(url, &args.content_type, body).await?;
    match args.output {
        Some(OutputArg::Json) => show_json(response).await,
        None => show(response, args.display_call_id).await,
    }
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
    if let Some(path) = name.strip_prefix('/') {
        let mut parts = vec!["r", app_name];
        parts.extend(path.split('/'));
        return Ok(api.url(&parts));
    }
    let Some(app) = api.find_app(app_name).await? else {
        return Err(Failure::new(format!("app {app_name} does not exist"))
            .hint("see fn list apps")
            .into());
    };
    let Some(function) = api.find_function(&app.id, name).await? else {
        return Err(
            Failure::new(format!("function {name} does not exist in app {app_name}"))
                .hint(format!("see fn list functions {app_name}"))
                .into(),
        );
    };
    let Some(url) = function.endpoint() else {
        let message = "Fn invoke url annotation not present, fnproject.io/fn/invokeEndpoint";
        return Err(Failure::new(message).into());
    };
    Url::parse(url).with_context(|| format!("the server gave {url:?} as the function's address"))
}

async fn show(mut response: Response, display_call_id: bool) -> anyhow::Result<()> {
    let call_id = call_id(response.headers());
    if display_call_id && let Some(id) = call_id {
        output::line(&format!("Call ID: {id}"))?;
    }
    let status = response.status().as_u16();
    if status >= 400 {
        let body = read(response, MAX_ERROR).await?.unwrap_or_default();
        let message = error_message(&body)
            .unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
        let text = format!("Error invoking function. status: {status} message: {message}");
        return Err(Failure::new(text).into());
    }
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        output::raw(&chunk)?;
    }
    Ok(())
}

async fn show_json(response: Response) -> anyhow::Result<()> {
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
        return Err(Failure::new("the result is too large for --output json").into());
    };
    output::json(&Shown {
        body: String::from_utf8_lossy(&body).into_owned(),
        headers,
        status_code,
    })?;
    if status_code >= 400 {
        let text = format!("Error invoking function. status: {status_code}");
        return Err(Failure::new(text).into());
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
    async fn an_error_of_the_function_is_an_error_of_the_command() {
        let server = FakeServer::start(&[(502, r#"{"message":"function failed"}"#)]).await;
        let url = server.api().url(&["invoke", "F1"]);
        let answer = server
            .api()
            .call(url, "text/plain", b"hi".to_vec())
            .await
            .unwrap();
        assert_eq!(call_id(answer.headers()).as_deref(), Some("01CALL"));
        let error = show(answer, false).await.unwrap_err();
        let expected = "Error invoking function. status: 502 message: function failed";
        assert_eq!(error.to_string(), expected);
        assert_eq!(server.asked(), ["POST /invoke/F1 hi"]);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_named() {
        let none = (200, r#"{"items":[]}"#);
        let server = FakeServer::start(&[none]).await;
        let error = endpoint(&server.api(), "a", "f").await.unwrap_err();
        assert_eq!(error.to_string(), "app a does not exist");
    }
}
