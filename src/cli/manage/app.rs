use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use reqwest::Method;
use serde_json::Value;

use crate::cli::manage::delete::DeleteFlags;
use crate::cli::manage::find_app;
use crate::cli::manage::flags::{AppFlags, some};
use crate::cli::manage::pages::{PageFlags, collect};
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::session::Session;
use crate::cli::wire::{App, AppChange};

#[derive(Debug, Args)]
#[command(after_help = "Example: fn create app demo --config GREETING=Hello")]
pub(in crate::cli) struct Create {
    /// Name of the new app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    #[command(flatten)]
    flags: AppFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Create {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let new = AppChange {
            name: Some(self.app.clone()),
            ..self.flags.change()
        };
        let parts = ["v2", "apps"];
        let app: Value = session.api.send(Method::POST, &parts, &new).await?;
        show::done(self.output, &format!("Created app {}", self.app), &app)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    pages: PageFlags,
}

impl List {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let apps = collect(&session.api, &["v2", "apps"], &[], "items", &self.pages).await?;
        let row = |app: &App| vec![app.name.clone(), app.id.clone()];
        show::list(self.pages.output, &["NAME", "ID"], &apps, row)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn inspect app demo config.GREETING")]
pub(in crate::cli) struct Inspect {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Show this property only, as JSON, for example config.KEY.
    property: Option<String>,
    #[command(flatten)]
    output: OutputFlag,
}

impl Inspect {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let id = find_app(&session.api, &self.app).await?.id;
        let app: Value = session.api.get(&["v2", "apps", &id], &[]).await?;
        show::inspected(self.output, &app, self.property.as_deref())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn update app demo --config GREETING=Hi --config OLD=")]
pub(in crate::cli) struct Update {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    #[command(flatten)]
    flags: AppFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Update {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let change = some(self.flags.change())?;
        let id = find_app(&session.api, &self.app).await?.id;
        let parts = ["v2", "apps", &id];
        let app: Value = session.api.send(Method::PUT, &parts, &change).await?;
        show::done(self.output, &format!("Updated app {}", self.app), &app)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "The app's functions, triggers, routes, calls and logs go with it.")]
pub(in crate::cli) struct Delete {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    #[command(flatten)]
    flags: DeleteFlags,
}

impl Delete {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        self.flags.check(session.interactive)?;
        let id = find_app(&session.api, &self.app).await?.id;
        let what = format!("app {} and everything in it", self.app);
        self.flags.confirm(what).await?;
        session.api.delete(&["v2", "apps", &id]).await?;
        show::deleted(&format!("app {}", self.app))
    }
}
