//! The generation of 2021.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::coding::{ContentType, decode, encode};
use super::context::{RuntimeContext, settings};
use super::error::FunctionError;
use super::{Function, unframe};
use crate::app::App;
use crate::block_on::block_on;
use crate::call::Call;
use crate::offload::{Here, Thread, Worker};
use crate::response::{After, Response};
use crate::run::{serve, source};
use crate::source::Source;
use crate::term::{Leave, Term, Watched, finish, until_over};
use crate::{index, route};

impl Function<()> {
    /// Answers calls with `function`, of 0.2, until there are no more.
    ///
    /// Its input is read by the call's `Content-Type` and its output written by `Accept`: JSON,
    /// YAML, XML, plain text or a form.
    ///
    /// It runs on a thread of its own, within the runtime that this is awaited in, if it is one of
    /// tokio's. If the future is dropped, calls go on to be answered while the process lives, and
    /// SIGTERM ends it behind the one in flight.
    ///
    /// # Errors
    ///
    /// The process was not started by a function server, or the server is gone.
    pub async fn run<T, S, F>(function: F) -> Result<(), FunctionError>
    where
        T: DeserializeOwned + 'static,
        S: Serialize + 'static,
        F: Fn(&mut RuntimeContext, T) -> Result<S, FunctionError> + Send + Sync + 'static,
    {
        // Servers of its time name no format: there was one.
        let usual = match std::env::var_os("FN_LISTENER") {
            Some(_) => "http-stream",
            None => "http",
        };
        let source = source(usual).map_err(|error| start(&error))?;
        let runtime = Handle::try_current().ok();
        let worker = Thread::start()?;
        let term = Awaited(Arc::new(Watched::watch(Leave::Return)?));
        let watched = term.0.clone();
        let ended = worker.run(move || {
            let _within = runtime.as_ref().map(Handle::enter);
            let ended = answer_all(function, source, &*watched);
            if watched.is_abandoned() {
                finish(ended.map_err(|error| crate::Error::msg(error.to_string())));
            }
            ended
        });
        let ended = until_over(&*term.0, ended).await;
        let (_, timely) = term.0.leave();
        ended.unwrap_or_else(|| Ok(timely.map_err(|error| io(&error))))?
    }
}

struct Awaited(Arc<Watched>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn start(error: &crate::Error) -> FunctionError {
    FunctionError::initialization(error.to_string())
}

fn io(error: &crate::Error) -> FunctionError {
    FunctionError::io(error.to_string())
}

fn answer_all<T, S, F>(function: F, source: Source, term: &dyn Term) -> Result<(), FunctionError>
where
    T: DeserializeOwned + 'static,
    S: Serialize + 'static,
    F: Fn(&mut RuntimeContext, T) -> Result<S, FunctionError> + 'static,
{
    let config = settings();
    let name = std::env::var("FN_FN_NAME").unwrap_or_else(|_| "function".to_owned());
    let app = App::new().function(name, route::any(""), move |call: Call| {
        told(answer(&function, &config, &call))
    });
    block_on(async {
        let app = app
            .ready(!index::is_all())
            .await
            .map_err(|error| start(&error))?;
        let served = serve(app, source, Here, term).await;
        served.map_err(|error| io(&error))
    })
}

fn answer<T, S, F>(function: &F, config: &Arc<HashMap<String, String>>, call: &Call) -> Response
where
    T: DeserializeOwned,
    S: Serialize,
    F: Fn(&mut RuntimeContext, T) -> Result<S, FunctionError>,
{
    let mut context = RuntimeContext::of_call(config, call);
    let answered = decode(context.content_type(), call.body())
        .and_then(|input| function(&mut context, input))
        .and_then(|output| encode(context.accepted(), &output));
    let (format, body) = match answered {
        Ok(written) => written,
        Err(error) => return refusal(&error),
    };
    let status = context.get_status_code().unwrap_or(StatusCode::OK);
    let mut headers = match context.said() {
        Ok(headers) => headers,
        Err(fault) => return failure(fault),
    };
    unframe(&mut headers);
    headers
        .entry(CONTENT_TYPE)
        .or_insert_with(|| format.value());
    let response = Response::new(status);
    if response.fault.is_some() {
        return response;
    }
    Response::of_parts(status, headers, body.into())
}

/// The caller is told of errors that are its own.
fn refusal(error: &FunctionError) -> Response {
    if !error.is_user_error() {
        return failure(error.to_string());
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, ContentType::Plain.value());
    Response::of_parts(StatusCode::BAD_GATEWAY, headers, error.to_string().into())
}

fn failure(fault: String) -> Response {
    let mut response = Response::new(StatusCode::BAD_GATEWAY).body("function failed");
    response.fault = Some(fault);
    response.after = After::Failed;
    response
}

/// A status is the caller's business, whatever it is, as long as the function works.
fn told(mut response: Response) -> Response {
    if response.after == After::GoesOn && response.status.is_server_error() {
        response.after = After::Told;
    }
    response
}
