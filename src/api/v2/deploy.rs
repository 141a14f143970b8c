use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::body::Payload;
use crate::api::endpoint::Base;
use crate::api::error::{ApiError, Flat, Invalid};
use crate::api::json::Object;
use crate::api::openapi::requires;
use crate::api::router::ApiState;
use crate::api::v2::index::{self, look};
use crate::api::validate::{AppDraft, check_app_name};
use crate::api::{merge, reply};
use crate::index::{Choices, FieldChange, MAX_FUNCTIONS, Override, Plan, Row, plan};
use crate::model::{Annotations, App, Format, Timestamp, check_annotations, check_config};
use crate::store::{AppContents, Resource, StoreError};

/// Which image to ask, and what is wanted of its functions.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = IndexDeployBody)]
pub(super) struct Body {
    #[schema(value_type = Option<AppTarget>)]
    app: Option<Object<AppTarget>>,
    image: Option<String>,
    /// That the image can be asked, where its label `fn.indexing` does not say so.
    indexing: Option<bool>,
    /// Ask again, although it is known what this image answers.
    reindex: Option<bool>,
    /// How calls are put to the functions; `http` unless given.
    format: Option<String>,
    /// For functions about which the image says nothing; the config is for all of them.
    #[schema(value_type = Option<Settings>)]
    defaults: Option<Object<Settings>>,
    /// For all functions.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
    /// The functions that are wanted; all of them unless given.
    only: Option<Vec<String>>,
    /// By the function's name: what wins over the image's own word.
    #[schema(value_type = Option<BTreeMap<String, Settings>>)]
    functions: Option<BTreeMap<String, Object<Settings>>>,
    /// Say what would change, and change nothing.
    dry_run: Option<bool>,
    /// Deploy what can be, without the functions that have problems.
    skip_invalid: Option<bool>,
    /// Leave functions that came from this image before and that it no longer declares.
    keep_missing: Option<bool>,
}

requires!(NewDeploy, Body, "IndexDeployBody", ["app", "image"]);

/// The app that the functions are for.
#[derive(Default, Deserialize, ToSchema)]
struct AppTarget {
    name: Option<String>,
    /// Make the app where there is none.
    create: Option<bool>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    config: Option<merge::Texts>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    annotations: Option<Annotations>,
    syslog_url: Option<String>,
}

/// Values of one function, or for those that have none.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[schema(as = FnSettings)]
struct Settings {
    memory: Option<u64>,
    timeout: Option<u32>,
    idle_timeout: Option<u32>,
    /// As the annotation `kiln/scale`.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    scale: Option<Value>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    config: Option<merge::Texts>,
}

impl Settings {
    fn into_override(self) -> Override {
        Override {
            memory_mb: self.memory,
            timeout_secs: self.timeout,
            idle_timeout_secs: self.idle_timeout,
            scale: self.scale,
            config: merge::new_config(self.config),
        }
    }
}

/// What an app becomes by an image, or why it does not.
#[derive(Serialize, ToSchema)]
#[schema(as = IndexDeploy)]
struct View {
    index: index::View,
    /// Whether anything was stored.
    applied: bool,
    /// Sorted, each in one line; those of the index, and those that it has with this app.
    problems: Vec<String>,
    /// By name; none if nothing can be deployed.
    changes: Vec<ChangeView>,
}

/// What becomes of one function.
#[derive(Serialize, ToSchema)]
#[schema(as = FnOutcome)]
struct ChangeView {
    name: String,
    /// `created`, `updated`, `unchanged`, `removed`, `kept` (no longer declared) or `skipped` (it
    /// has problems).
    outcome: &'static str,
    memory: u64,
    timeout: u32,
    triggers: Vec<PathView>,
    /// What differs from how it was.
    changes: Vec<FieldView>,
}

/// Where a function is called.
#[derive(Serialize, ToSchema)]
#[schema(as = FnPath)]
struct PathView {
    source: String,
    url: String,
    /// None stands for any.
    methods: Vec<&'static str>,
}

/// A value that becomes another; neither is shown where it may be a secret.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldChange)]
struct FieldView {
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl From<FieldChange> for FieldView {
    fn from(change: FieldChange) -> Self {
        Self {
            field: change.field,
            from: change.from,
            to: change.to,
        }
    }
}

impl ChangeView {
    fn new(row: Row, app: &str, base: &Base) -> Self {
        let triggers = row.triggers.into_iter();
        Self {
            outcome: row.outcome.as_str(),
            name: row.name,
            memory: row.memory_mb,
            timeout: row.timeout_secs,
            triggers: triggers
                .map(|(source, methods)| PathView {
                    url: base.trigger(app, &source),
                    source,
                    methods: methods.names().collect(),
                })
                .collect(),
            changes: row.changes.into_iter().map(FieldView::from).collect(),
        }
    }
}

/// Asks an image for its functions and makes an app have exactly those of this image, all of them
/// or, if anything is wrong, none.
#[utoipa::path(post, path = "/v2/index/deploy", tag = "index", request_body = NewDeploy, responses((status = 200, description = "What has changed, or what stands against it.", body = View), (status = 404, description = "There is no such app.", body = Flat), (status = 409, description = "Somebody else has changed the app meanwhile.", body = Flat), (status = 503, description = "The store is unavailable, or the server waits for other images, which the message names.", body = Flat, headers(("Retry-After" = i32, description = "Seconds to wait before trying again.")))))]
pub(super) async fn deploy(
    State(api): State<ApiState>,
    base: Base,
    Payload(mut body): Payload<Body>,
) -> Result<Response, ApiError> {
    let Object(target) = body.app.take().ok_or(Invalid::new("Missing app"))?;
    let name = target.name.clone().unwrap_or_default();
    // Not every database can look for just any text.
    check_app_name(&name)?;
    let wanted = index::Body {
        image: body.image.clone(),
        indexing: body.indexing,
        reindex: body.reindex,
        timeout: None,
    };
    let dry_run = body.dry_run == Some(true);
    let choices = choices(body)?;
    // Whoever misspells the app need not wait for the image.
    let present = match api.registry.read().app_by_name(&name).await {
        Ok(app) => Some(app),
        Err(StoreError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    app_for(&target, present.as_ref())?;
    let report = look(&api, &wanted).await?;
    let Some(index) = report.index else {
        return Ok(reply::json(&View {
            index: report.view,
            applied: false,
            problems: Vec::new(),
            changes: Vec::new(),
        }));
    };
    let change = move |contents: Option<&AppContents>| -> Result<_, ApiError> {
        let app = app_for(&target, contents.map(|contents| &contents.app))?;
        let planned = plan(&index, &app, contents, &choices);
        let amendment = planned.amendment.clone().filter(|_| !dry_run);
        Ok((amendment, planned))
    };
    let planned: Plan = api.registry.amend(name.clone(), change).await?;
    let applied = planned.amendment.is_some() && !dry_run;
    Ok(reply::json(&View {
        index: report.view,
        applied,
        problems: planned.problems.iter().map(ToString::to_string).collect(),
        changes: planned
            .rows
            .into_iter()
            .map(|row| ChangeView::new(row, &name, &base))
            .collect(),
    }))
}

fn choices(body: Body) -> Result<Choices, Invalid> {
    let format = match body.format.as_deref() {
        None | Some("") => Format::Http,
        Some(text) => text
            .parse()
            .map_err(|_| Invalid::new("Invalid format on Fn"))?,
    };
    let annotations = merge::new_annotations(body.annotations);
    check_annotations(&annotations)?;
    let defaults = body.defaults.map(|Object(settings)| settings);
    let defaults = defaults.unwrap_or_default().into_override();
    // What is wrong with all functions is told once; of one function, with its name.
    check_config(&defaults.config)?;
    let only = body.only.unwrap_or_default();
    let overrides = body.functions.unwrap_or_default();
    if only.len() > MAX_FUNCTIONS || overrides.len() > MAX_FUNCTIONS {
        return Err(Invalid::new(
            "Too many functions are named, an image has at most 200",
        ));
    }
    Ok(Choices {
        image: body.image.unwrap_or_default(),
        format,
        defaults,
        annotations,
        only,
        overrides: overrides
            .into_iter()
            .map(|(name, Object(settings))| (name, settings.into_override()))
            .collect(),
        skip_invalid: body.skip_invalid == Some(true),
        keep_missing: body.keep_missing == Some(true),
    })
}

/// The app as it is to be; the one there is, unless something is said about it.
fn app_for(target: &AppTarget, present: Option<&App>) -> Result<App, ApiError> {
    let mut draft = match present {
        Some(app) => AppDraft::of(app),
        None => AppDraft {
            name: target.name.clone().unwrap_or_default(),
            ..AppDraft::default()
        },
    };
    merge::config(&mut draft.config, target.config.clone());
    merge::annotations(&mut draft.annotations, target.annotations.clone());
    if let Some(url) = &target.syslog_url {
        draft.syslog_url.clone_from(url);
    }
    let Some(present) = present else {
        let app = draft.create()?;
        return match target.create {
            Some(true) => Ok(app),
            _ => Err(ApiError::not_found(Resource::App)),
        };
    };
    let mut app = present.clone();
    draft.write(&mut app)?;
    if app != *present {
        app.updated_at = Timestamp::now().max(present.updated_at);
    }
    Ok(app)
}
