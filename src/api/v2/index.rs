use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::Payload;
use crate::api::error::{ApiError, Flat, Invalid};
use crate::api::openapi::requires;
use crate::api::reply;
use crate::api::router::ApiState;
use crate::api::validate::{HTTP, is_image};
use crate::index::{
    self, Answer, AskError, Declared, Expects, Image, Index, Indexer, MAX_ANSWER_BYTES, Problem,
};
use crate::model::Annotations;

/// Longest time that somebody may ask for.
const MAX_TIMEOUT_SECS: u64 = 300;

/// Which image to ask.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = IndexBody)]
pub(super) struct Body {
    pub(super) image: Option<String>,
    /// That the image can be asked, where its label `fn.indexing` does not say so.
    pub(super) indexing: Option<bool>,
    /// Ask again, although it is known what this image answers.
    pub(super) reindex: Option<bool>,
    /// Seconds until the answer has to be there; the server's own bound unless given, at most 300.
    pub(super) timeout: Option<u64>,
}

requires!(NewIndex, Body, "IndexBody", ["image"]);

/// What an image says about its functions, or why it says nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = Index)]
pub(super) struct View {
    image: String,
    /// Names the image's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// `valid`, `invalid`, `off` (this server asks no image), `undeclared` (the image does not
    /// say that it can be asked, and was not run), `declined` (its func.yaml is to be used) or
    /// `failed` (it could not be run, or did not answer).
    pub(super) state: &'static str,
    /// The same in words, where it is not `valid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The answer is one that was given before.
    cached: bool,
    /// How long the image took to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    millis: Option<u64>,
    /// What the image was made with, in its own words.
    #[serde(skip_serializing_if = "String::is_empty")]
    runtime: String,
    functions: Vec<FunctionView>,
    /// Sorted, each in one line.
    problems: Vec<String>,
    /// What is odd, and does no harm.
    warnings: Vec<String>,
    /// The last lines that the image wrote to stderr before it failed.
    log: Vec<String>,
}

/// A function as its image declares it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclaredFn)]
struct FunctionView {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<u32>,
    streaming: bool,
    triggers: Vec<TriggerView>,
    expects: ExpectsView,
    #[schema(value_type = BTreeMap<String, Value>)]
    annotations: Annotations,
}

/// What a function wants to be given, by the app's configuration or by `func.yaml`.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclaredExpects)]
struct ExpectsView {
    config: Vec<ExpectedView>,
    /// Names of secrets, without which it does not work.
    secrets: Vec<String>,
}

/// A configuration value that a function reads.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclaredConfig)]
struct ExpectedView {
    name: String,
    /// It does not work without.
    required: bool,
}

/// A trigger as its image declares it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclaredTrigger)]
struct TriggerView {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    source: String,
    /// None stands for any.
    methods: Vec<&'static str>,
}

impl From<&Declared> for FunctionView {
    fn from(declared: &Declared) -> Self {
        Self {
            name: declared.name.clone(),
            description: declared.description.clone(),
            memory: declared.memory_mb,
            timeout: declared.timeout_secs,
            idle_timeout: declared.idle_timeout_secs,
            streaming: declared.streaming,
            triggers: declared
                .triggers
                .iter()
                .map(|trigger| TriggerView {
                    name: trigger.name.clone(),
                    kind: HTTP,
                    source: trigger.source.clone(),
                    methods: trigger.methods.names().collect(),
                })
                .collect(),
            expects: ExpectsView::from(&declared.expects),
            annotations: declared.annotations.clone(),
        }
    }
}

impl From<&Expects> for ExpectsView {
    fn from(expects: &Expects) -> Self {
        let config = expects.config.iter();
        Self {
            config: config
                .map(|value| ExpectedView {
                    name: value.name.clone(),
                    required: value.required,
                })
                .collect(),
            secrets: expects.secrets.clone(),
        }
    }
}

impl View {
    fn new(image: &str, state: &'static str, message: impl Into<Option<String>>) -> Self {
        Self {
            image: image.to_owned(),
            digest: None,
            state,
            message: message.into(),
            cached: false,
            millis: None,
            runtime: String::new(),
            functions: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            log: Vec::new(),
        }
    }
}

/// What is known of an image, and its index where it has one.
pub(super) struct Report {
    pub(super) view: View,
    pub(super) index: Option<Index>,
}

impl From<View> for Report {
    fn from(view: View) -> Self {
        Self { view, index: None }
    }
}

/// Asks an image for its functions and says what is wrong with them. Changes nothing.
#[utoipa::path(post, path = "/v2/index", tag = "index", request_body = NewIndex, responses((status = 200, description = "What the image says, or why it says nothing.", body = View), (status = 503, description = "The store is unavailable, or the server waits for other images, which the message names.", body = Flat, headers(("Retry-After" = i32, description = "Seconds to wait before trying again.")))))]
pub(super) async fn report(
    State(api): State<ApiState>,
    Payload(body): Payload<Body>,
) -> Result<Response, ApiError> {
    let report = look(&api, &body).await?;
    Ok(reply::json(&report.view))
}

/// What the image says that the body names.
pub(super) async fn look(api: &ApiState, body: &Body) -> Result<Report, ApiError> {
    let reference = body.image.as_deref().unwrap_or_default();
    if reference.is_empty() {
        return Err(Invalid::new("Missing image").into());
    }
    if !is_image(reference) {
        return Err(Invalid::new("Invalid image").into());
    }
    let limit = limit(body)?;
    let Some(indexer) = &api.indexer else {
        let message = "indexing is off on this server: FN_FEATURE_FLAGS does not name \
                       EnableWorkerIndexing";
        return Ok(View::new(reference, "off", message.to_owned()).into());
    };
    let image = match indexer.resolve(reference).await {
        Ok(image) => Arc::new(image),
        Err(error) => return Ok(failed(reference, &error.into()).into()),
    };
    let mut report = if !index::declares(&image) && body.indexing != Some(true) {
        let label = index::LABEL;
        let message = format!("this image does not index: it has no label {label}=true");
        View::new(reference, "undeclared", message).into()
    } else {
        let known = match body.reindex {
            Some(true) => None,
            _ => api.registry.read().index(&image.id).await?,
        };
        match known {
            Some(answer) => {
                let mut report = judged(reference, &answer);
                report.view.cached = true;
                report
            }
            None => ask(api, indexer, &image, limit).await?,
        }
    };
    report.view.digest = Some(image.id.clone());
    Ok(report)
}

fn limit(body: &Body) -> Result<Option<Duration>, Invalid> {
    match body.timeout {
        None => Ok(None),
        Some(seconds @ 1..=MAX_TIMEOUT_SECS) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(Invalid::new(
            "timeout value is out of range, must be between 1 and 300",
        )),
    }
}

/// What the image answers now; what can be used of it is kept.
async fn ask(
    api: &ApiState,
    indexer: &Indexer,
    image: &Arc<Image>,
    limit: Option<Duration>,
) -> Result<Report, ApiError> {
    let reference = image.reference.as_str();
    tracing::info!(image = reference, "asking for its functions");
    let asked = match indexer.ask(image.clone(), limit).await {
        Ok(asked) => asked,
        Err(busy @ AskError::Busy { .. }) => return Err(ApiError::Busy(busy.to_string())),
        Err(error) => return Ok(failed(reference, &error).into()),
    };
    let mut report = match &asked.answer {
        Answer::TooLong => {
            let text = format!("index: it is longer than {MAX_ANSWER_BYTES} bytes");
            let mut index = Index::default();
            index.problems.push(Problem::general(text));
            told(reference, index)
        }
        Answer::Declined => {
            api.registry.keep_index(&image.id, &[]).await?;
            judged(reference, &[])
        }
        // Kept, it would decline.
        Answer::Index(answer) if answer.is_empty() => told(reference, index::read(answer)),
        Answer::Index(answer) => {
            api.registry.keep_index(&image.id, answer).await?;
            judged(reference, answer)
        }
    };
    report.view.millis = u64::try_from(asked.took.as_millis()).ok();
    report.view.warnings = asked.warnings;
    Ok(report)
}

fn failed(reference: &str, error: &AskError) -> View {
    let mut view = View::new(reference, "failed", error.to_string());
    view.log = error.log().to_vec();
    view
}

/// What an answer says that was kept; an empty one declines.
fn judged(reference: &str, answer: &[u8]) -> Report {
    if answer.is_empty() {
        let message = "the image declined to index: its func.yaml is to be used";
        return View::new(reference, "declined", message.to_owned()).into();
    }
    told(reference, index::read(answer))
}

fn told(reference: &str, index: Index) -> Report {
    let (state, message) = match index.problems.len() {
        0 => ("valid", None),
        1 => (
            "invalid",
            Some("there is a problem with what the image declares".to_owned()),
        ),
        count => (
            "invalid",
            Some(format!(
                "there are {count} problems with what the image declares"
            )),
        ),
    };
    let mut view = View::new(reference, state, message);
    view.problems = index.problems.iter().map(ToString::to_string).collect();
    view.runtime.clone_from(&index.runtime);
    view.functions = index.functions.iter().map(FunctionView::from).collect();
    Report {
        view,
        index: Some(index),
    }
}
