use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use reqwest::Method;
use serde_json::Value;

use crate::cli::manage::delete::DeleteFlags;
use crate::cli::manage::flags::{annotations, pair, some};
use crate::cli::manage::lookup::find_trigger;
use crate::cli::manage::pages::{PageFlags, collect};
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::manage::{find_app, find_function};
use crate::cli::session::Session;
use crate::cli::wire::{Trigger, TriggerChange};
use crate::model::{Annotations, METHODS_ANNOTATION, Methods, TRIGGER_ENDPOINT};

/// The properties of a trigger.
#[derive(Debug, Args)]
pub(super) struct TriggerFlags {
    /// The methods that call the function, for example GET,POST; ANY for all of them.
    #[arg(long, value_name = "METHODS")]
    methods: Option<Methods>,
    /// An annotation, as KEY=VALUE; the value is JSON, or else text.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
}

impl TriggerFlags {
    /// `any`: what the annotation is where it is to say that every method is taken.
    fn annotations(&self, any: Option<Value>) -> Annotations {
        let mut all = annotations(&self.annotation);
        if let Some(methods) = self.methods {
            match methods.to_annotation().or(any) {
                Some(value) => all.insert(METHODS_ANNOTATION.to_owned(), value),
                None => all.remove(METHODS_ANNOTATION),
            };
        }
        all
    }
}

/// A trigger's place: triggers have names of their own within a function.
#[derive(Debug, Args)]
pub(super) struct TriggerName {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Name of the function.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    function: String,
    /// Name of the trigger.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    trigger: String,
}

impl TriggerName {
    async fn find(&self, session: &Session) -> anyhow::Result<Trigger> {
        find_trigger(&session.api, &self.app, &self.function, &self.trigger).await
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: fn create trigger demo greet greet --source /greet --methods GET,POST\n\
    The function then answers at /t/demo/greet."
)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    name: TriggerName,
    /// What calls the function.
    #[arg(short, long = "type", default_value = "http", value_parser = PossibleValuesParser::new(["http"]))]
    kind: String,
    /// The path that calls the function, below its app; starts with /.
    #[arg(short, long, value_name = "PATH")]
    source: String,
    #[command(flatten)]
    flags: TriggerFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Create {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let name = &self.name;
        let owner = find_function(&session.api, &name.app, &name.function).await?;
        let new = TriggerChange {
            app_id: Some(owner.app_id),
            fn_id: Some(owner.id),
            name: Some(name.trigger.clone()),
            kind: Some(self.kind.clone()),
            source: Some(self.source.clone()),
            annotations: self.flags.annotations(None),
        };
        let parts = ["v2", "triggers"];
        let trigger: Value = session.api.send(Method::POST, &parts, &new).await?;
        let sentence = format!(
            "Created trigger {} on function {}",
            name.trigger, name.function
        );
        show::done(self.output, &sentence, &trigger)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Only those of this function.
    function: Option<String>,
    #[command(flatten)]
    pages: PageFlags,
}

impl List {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let api = &session.api;
        let (app, function) = match &self.function {
            None => (find_app(api, &self.app).await?.id, None),
            Some(name) => {
                let function = find_function(api, &self.app, name).await?;
                (function.app_id, Some(function.id))
            }
        };
        let mut query = vec![("app_id", app.as_str())];
        query.extend(function.as_deref().map(|id| ("fn_id", id)));
        let triggers = collect(api, &["v2", "triggers"], &query, "items", &self.pages).await?;
        let row = |t: &Trigger| {
            let endpoint = t.endpoint().unwrap_or_default().to_owned();
            let (name, kind, source) = (t.name.clone(), t.kind.clone(), t.source.clone());
            vec![name, kind, t.methods(), source, endpoint, t.id.clone()]
        };
        let head = ["NAME", "TYPE", "METHODS", "SOURCE", "ENDPOINT", "ID"];
        show::list(self.pages.output, &head, &triggers, row)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: curl \"$(fn inspect trigger demo greet greet --endpoint)\"")]
pub(in crate::cli) struct Inspect {
    #[command(flatten)]
    name: TriggerName,
    /// Show this property only, as JSON, for example source.
    property: Option<String>,
    /// Show the URL that fires the trigger, and nothing else.
    #[arg(long, conflicts_with_all = ["property", "output"])]
    endpoint: bool,
    #[command(flatten)]
    output: OutputFlag,
}

impl Inspect {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let found = self.name.find(session).await?;
        let parts = ["v2", "triggers", &found.id];
        if self.endpoint {
            return show::endpoint(session, &parts, "trigger", TRIGGER_ENDPOINT).await;
        }
        let trigger: Value = session.api.get(&parts, &[]).await?;
        show::inspected(self.output, &trigger, self.property.as_deref())
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    name: TriggerName,
    /// The path that calls the function, below its app; starts with /.
    #[arg(short, long, value_name = "PATH")]
    source: Option<String>,
    #[command(flatten)]
    flags: TriggerFlags,
    #[command(flatten)]
    output: OutputFlag,
}

impl Update {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let change = some(TriggerChange {
            source: self.source.clone(),
            // An update leaves alone what it does not name.
            annotations: self.flags.annotations(Some(Value::Null)),
            ..TriggerChange::default()
        })?;
        let found = self.name.find(session).await?;
        let parts = ["v2", "triggers", &found.id];
        let trigger: Value = session.api.send(Method::PUT, &parts, &change).await?;
        let TriggerName {
            function,
            trigger: name,
            ..
        } = &self.name;
        let sentence = format!("Updated trigger {name} on function {function}");
        show::done(self.output, &sentence, &trigger)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    name: TriggerName,
    #[command(flatten)]
    flags: DeleteFlags,
}

impl Delete {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        self.flags.check(session.interactive)?;
        let found = self.name.find(session).await?;
        let what = format!(
            "trigger {} of function {}",
            self.name.trigger, self.name.function
        );
        self.flags.confirm(what.clone()).await?;
        session.api.delete(&["v2", "triggers", &found.id]).await?;
        show::deleted(&what)
    }
}
