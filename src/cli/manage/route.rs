use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::manage::delete::DeleteFlags;
use crate::cli::manage::flags::{RouteFlags, image, some};
use crate::cli::manage::lookup::in_app;
use crate::cli::manage::pages::{PageFlags, collect};
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::session::Session;
use crate::cli::wire::{Route, RouteChange, route_parts};
use crate::model::clean_path;

/// A route's path as people write it; the slash at the start may be left out.
pub(super) fn path(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("expected a path such as /hello".to_owned());
    }
    Ok(clean_path(text))
}

/// A route that is there.
#[derive(Debug, Args)]
pub(super) struct RouteName {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Path of the route, for example /hello.
    #[arg(value_parser = path)]
    path: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn create route demo /hello team/hello:0.0.1 --format http")]
pub(in crate::cli) struct Create {
    /// The app that the route will belong to; it is created where it does not exist.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Where the route is called, below its app.
    #[arg(value_parser = path)]
    path: String,
    /// The image to run; the same as --image.
    #[arg(value_name = "IMAGE")]
    last: Option<String>,
    #[command(flatten)]
    flags: RouteFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Create {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut new = self.flags.route();
        new.image = image(self.last.as_ref(), new.image)?;
        new.path = Some(self.path.clone());
        let parts = ["v1", "apps", &self.app, "routes"];
        let body = json!({ "route": new });
        let answer: Value = session.api.send(Method::POST, &parts, &body).await?;
        let sentence = format!("Created route {} in app {}", self.path, self.app);
        show::done(self.output, &sentence, inner(&answer))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Only routes with this image.
    #[arg(short, long)]
    image: Option<String>,
    #[command(flatten)]
    pages: PageFlags,
}

impl List {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let api = &session.api;
        let parts = ["v1", "apps", &self.app, "routes"];
        let query: Vec<(&str, &str)> = self.image.iter().map(|i| ("image", i.as_str())).collect();
        let routes = collect(api, &parts, &query, "routes", &self.pages).await?;
        let row = |r: &Route| {
            let mut parts = vec!["r", self.app.as_str()];
            parts.extend(r.path.split('/').skip(1));
            vec![r.path.clone(), r.image.clone(), api.url(&parts).to_string()]
        };
        let head = ["PATH", "IMAGE", "ENDPOINT"];
        show::list(self.pages.output, &head, &routes, row)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn inspect route demo /hello timeout")]
pub(in crate::cli) struct Inspect {
    #[command(flatten)]
    name: RouteName,
    /// Show this property only, as JSON, for example image or config.KEY.
    property: Option<String>,
    #[command(flatten)]
    output: OutputFlag,
}

impl Inspect {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let RouteName { app, path } = &self.name;
        let answer = get(&session.api, app, path).await?;
        show::inspected(self.output, inner(&answer), self.property.as_deref())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn update route demo /hello --headers Cache-Control=no-store")]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    name: RouteName,
    /// The image to run; the same as --image.
    #[arg(value_name = "IMAGE")]
    last: Option<String>,
    #[command(flatten)]
    flags: RouteFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Update {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut change = self.flags.route();
        if let Some(last) = &self.last {
            change.image = image(Some(last), change.image)?;
        }
        let change: RouteChange = some(change)?;
        let RouteName { app, path } = &self.name;
        let answer = patch(&session.api, app, path, &change).await?;
        let sentence = format!("Updated route {path} in app {app}");
        show::done(self.output, &sentence, inner(&answer))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    name: RouteName,
    #[command(flatten)]
    flags: DeleteFlags,
}

impl Delete {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        self.flags.check(session.interactive)?;
        let RouteName { app, path } = &self.name;
        let what = format!("route {path} of app {app}");
        if self.flags.asks() {
            get(&session.api, app, path).await?;
        }
        self.flags.confirm(what.clone()).await?;
        let parts = route_parts(app, path);
        session.api.delete(&parts).await?;
        show::deleted(&what)
    }
}

/// The route, in the wrapper that the v1 API puts around it.
pub(super) async fn get(api: &Api, app: &str, path: &str) -> anyhow::Result<Value> {
    let missing = || {
        Failure::new(format!("route {path} does not exist in app {app}"))
            .hint(format!("see fn list routes {app}"))
    };
    if path != "/" {
        let got = api.get(&route_parts(app, path), &[]).await;
        return got.map_err(|error| in_app(error.into(), app, missing()));
    }
    // The list is at the root route's own address, and has the route in it.
    let parts = ["v1", "apps", app, "routes"];
    let routes = collect(api, &parts, &[], "routes", &PageFlags::everything())
        .await
        .map_err(|error| in_app(error, app, missing()))?;
    let root = |route: &&Value| route.get("path").and_then(Value::as_str) == Some("/");
    match routes.iter().find(root) {
        Some(route) => Ok(json!({ "route": route })),
        None => Err(missing().into()),
    }
}

pub(super) async fn patch(
    api: &Api,
    app: &str,
    path: &str,
    change: &RouteChange,
) -> anyhow::Result<Value> {
    let parts = route_parts(app, path);
    let body = json!({ "route": change });
    Ok(api.send(Method::PATCH, &parts, &body).await?)
}

/// What the v1 API wraps.
pub(super) fn inner(answer: &Value) -> &Value {
    answer.get("route").unwrap_or(answer)
}
