//! Configuration values of apps, functions and routes: the same four operations for each.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use reqwest::Method;
use serde_json::Value;

use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::manage::route;
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::manage::{find_app, find_function};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::{AppChange, FunctionChange, Route, RouteChange};
use crate::model::Config;

/// Something that has configuration values.
pub(in crate::cli) trait Owner: Args {
    async fn read(&self, api: &Api) -> anyhow::Result<Config>;

    /// Merges; an empty value removes its key.
    async fn merge(&self, api: &Api, change: Config) -> anyhow::Result<()>;

    /// For a sentence, and for the command that lists the values.
    fn shown(&self) -> String;
}

/// Something done with configuration values.
pub(in crate::cli) trait Operation: Args {
    async fn run(&self, session: &Session) -> anyhow::Result<()>;
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OfApp {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
}

impl Owner for OfApp {
    async fn read(&self, api: &Api) -> anyhow::Result<Config> {
        Ok(find_app(api, &self.app).await?.config)
    }

    async fn merge(&self, api: &Api, config: Config) -> anyhow::Result<()> {
        let id = find_app(api, &self.app).await?.id;
        let change = AppChange {
            config,
            ..AppChange::default()
        };
        let _: Value = api.send(Method::PUT, &["v2", "apps", &id], &change).await?;
        Ok(())
    }

    fn shown(&self) -> String {
        format!("app {}", self.app)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OfFunction {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the function.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    function: String,
}

impl Owner for OfFunction {
    async fn read(&self, api: &Api) -> anyhow::Result<Config> {
        Ok(find_function(api, &self.app, &self.function).await?.config)
    }

    async fn merge(&self, api: &Api, config: Config) -> anyhow::Result<()> {
        let id = find_function(api, &self.app, &self.function).await?.id;
        let change = FunctionChange {
            config,
            ..FunctionChange::default()
        };
        let _: Value = api.send(Method::PUT, &["v2", "fns", &id], &change).await?;
        Ok(())
    }

    fn shown(&self) -> String {
        format!("function {} {}", self.app, self.function)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OfRoute {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Path of the route, for example /hello.
    #[arg(value_parser = route::path)]
    path: String,
}

impl Owner for OfRoute {
    async fn read(&self, api: &Api) -> anyhow::Result<Config> {
        let answer = route::get(api, &self.app, &self.path).await?;
        let route: Route = serde_json::from_value(route::inner(&answer).clone())
            .map_err(|error| Failure::new("the server's route cannot be read").because(error))?;
        Ok(route.config)
    }

    async fn merge(&self, api: &Api, config: Config) -> anyhow::Result<()> {
        let change = RouteChange {
            config,
            ..RouteChange::default()
        };
        route::patch(api, &self.app, &self.path, &change).await?;
        Ok(())
    }

    fn shown(&self) -> String {
        format!("route {} {}", self.app, self.path)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Set<O: Owner> {
    #[command(flatten)]
    owner: O,
    /// Name of the value.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// The value.
    value: String,
}

impl<O: Owner> Operation for Set<O> {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let owner = self.owner.shown();
        if self.value.is_empty() {
            let hint = format!("remove the key with fn unset config {owner} {}", self.key);
            return Err(Failure::new("a configuration value cannot be empty")
                .hint(hint)
                .into());
        }
        let change = Config::from([(self.key.clone(), self.value.clone())]);
        self.owner.merge(&session.api, change).await?;
        Ok(output::line(&format!("Set {} of {owner}", self.key))?)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Get<O: Owner> {
    #[command(flatten)]
    owner: O,
    /// Name of the value.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    #[command(flatten)]
    output: OutputFlag,
}

impl<O: Owner> Operation for Get<O> {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let config = self.owner.read(&session.api).await?;
        match config.get(&self.key) {
            Some(value) => show::done(self.output, value, &value.as_str().into()),
            None => Err(no_key(&self.owner, &self.key).into()),
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List<O: Owner> {
    #[command(flatten)]
    owner: O,
    #[command(flatten)]
    output: OutputFlag,
}

impl<O: Owner> Operation for List<O> {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let config = self.owner.read(&session.api).await?;
        show::pairs(self.output, &config)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unset<O: Owner> {
    #[command(flatten)]
    owner: O,
    /// Names of the values.
    #[arg(required = true, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    keys: Vec<String>,
}

impl<O: Owner> Operation for Unset<O> {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let config = self.owner.read(&session.api).await?;
        if let Some(key) = self.keys.iter().find(|key| !config.contains_key(*key)) {
            return Err(no_key(&self.owner, key).into());
        }
        let change = self.keys.iter().map(|key| (key.clone(), String::new()));
        self.owner.merge(&session.api, change.collect()).await?;
        let (keys, owner) = (self.keys.join(", "), self.owner.shown());
        Ok(output::line(&format!("Unset {keys} of {owner}"))?)
    }
}

fn no_key(owner: &impl Owner, key: &str) -> Failure {
    let owner = owner.shown();
    Failure::new(format!("{owner} has no configuration value {key}"))
        .hint(format!("see fn list config {owner}"))
}
