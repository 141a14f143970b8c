use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use reqwest::Method;
use serde_json::Value;

use crate::cli::manage::delete::DeleteFlags;
use crate::cli::manage::flags::{RunFlags, image, some};
use crate::cli::manage::pages::{PageFlags, collect};
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::manage::{find_app, find_function};
use crate::cli::session::Session;
use crate::cli::wire::{Function, FunctionChange};
use crate::model::INVOKE_ENDPOINT;

/// A function that is there.
#[derive(Debug, Args)]
pub(super) struct FunctionName {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the function.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    function: String,
}

impl FunctionName {
    async fn find(&self, session: &Session) -> anyhow::Result<Function> {
        find_function(&session.api, &self.app, &self.function).await
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: fn create function demo greet team/greet:0.0.1 --memory 64\n\
        fn deploy does this for the function of a folder."
)]
pub(in crate::cli) struct Create {
    /// The app that the function will belong to.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the new function.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    function: String,
    /// The image to run; the same as --image.
    #[arg(value_name = "IMAGE")]
    last: Option<String>,
    #[command(flatten)]
    flags: RunFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Create {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut new = self.flags.function();
        new.image = image(self.last.as_ref(), new.image)?;
        new.app_id = Some(find_app(&session.api, &self.app).await?.id);
        new.name = Some(self.function.clone());
        let parts = ["v2", "fns"];
        let function: Value = session.api.send(Method::POST, &parts, &new).await?;
        let sentence = format!("Created function {} in app {}", self.function, self.app);
        show::done(self.output, &sentence, &function)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    #[command(flatten)]
    pages: PageFlags,
}

impl List {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let app = find_app(&session.api, &self.app).await?.id;
        let query = [("app_id", app.as_str())];
        let parts = ["v2", "fns"];
        let functions = collect(&session.api, &parts, &query, "items", &self.pages).await?;
        let row = |f: &Function| vec![f.name.clone(), f.image.clone(), f.id.clone()];
        show::list(self.pages.output, &["NAME", "IMAGE", "ID"], &functions, row)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: curl -d Ann \"$(fn inspect function demo greet --endpoint)\"")]
pub(in crate::cli) struct Inspect {
    #[command(flatten)]
    name: FunctionName,
    /// Show this property only, as JSON, for example image or config.KEY.
    property: Option<String>,
    /// Show the URL that calls the function, and nothing else.
    #[arg(long, conflicts_with_all = ["property", "output"])]
    endpoint: bool,
    #[command(flatten)]
    output: OutputFlag,
}

impl Inspect {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let found = self.name.find(session).await?;
        let parts = ["v2", "fns", &found.id];
        if self.endpoint {
            return show::endpoint(session, &parts, "function", INVOKE_ENDPOINT).await;
        }
        let function: Value = session.api.get(&parts, &[]).await?;
        show::inspected(self.output, &function, self.property.as_deref())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn update function demo greet --memory 256 --timeout 60")]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    name: FunctionName,
    /// The image to run; the same as --image.
    #[arg(value_name = "IMAGE")]
    last: Option<String>,
    #[command(flatten)]
    flags: RunFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Update {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut change = self.flags.function();
        if let Some(last) = &self.last {
            change.image = image(Some(last), change.image)?;
        }
        let change: FunctionChange = some(change)?;
        let found = self.name.find(session).await?;
        let parts = ["v2", "fns", &found.id];
        let function: Value = session.api.send(Method::PUT, &parts, &change).await?;
        let FunctionName {
            app,
            function: name,
        } = &self.name;
        let sentence = format!("Updated function {name} in app {app}");
        show::done(self.output, &sentence, &function)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "The function's triggers go with it.")]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    name: FunctionName,
    #[command(flatten)]
    flags: DeleteFlags,
}

impl Delete {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        self.flags.check(session.interactive)?;
        let found = self.name.find(session).await?;
        let what = format!("function {} of app {}", self.name.function, self.name.app);
        self.flags
            .confirm(format!("{what} and its triggers"))
            .await?;
        session.api.delete(&["v2", "fns", &found.id]).await?;
        show::deleted(&what)
    }
}
