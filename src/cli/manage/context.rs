use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use serde_json::{Value, json};

use crate::cli::manage::delete::DeleteFlags;
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::output;
use crate::cli::session::Local;
use crate::config::{Context, DEFAULT_API_URL};

/// The context that is there without a file.
const DEFAULT: &str = "default";

#[derive(Debug, Args)]
#[command(
    after_help = "Example: fn create context team --api-url https://fn.example.com\n\
        Commands use it after fn use context team."
)]
pub(in crate::cli) struct Create {
    /// Name of the new context.
    #[arg(value_name = "CONTEXT", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The server.
    #[arg(long, value_name = "URL", default_value = DEFAULT_API_URL)]
    api_url: String,
    /// Registry and owner of images, for example registry.example.com/team.
    #[arg(long)]
    registry: Option<String>,
    /// How the server is talked to.
    #[arg(long, default_value = "default", value_parser = PossibleValuesParser::new(["default"]))]
    provider: String,
}

impl Create {
    pub(super) fn run(&self, local: &Local) -> anyhow::Result<()> {
        let Self { name, api_url, .. } = self;
        local
            .contexts
            .create(name, api_url, self.registry.as_deref())?;
        output::line(&format!("Created context {name}"))?;
        output::note(&format!("Use it with fn use context {name}"));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    output: OutputFlag,
}

impl List {
    pub(super) fn run(&self, local: &Local) -> anyhow::Result<()> {
        let mut contexts: Vec<Context> = local.contexts.list()?;
        let none = contexts.iter().all(|context| !context.current);
        for context in &mut contexts {
            complete(context, none);
        }
        if self.output.is_json() {
            let items: Vec<Value> = contexts.iter().map(as_json).collect();
            return output::json(&items);
        }
        let row = |context: &Context| {
            let current = if context.current { "*" } else { "" };
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            vec![
                current.to_owned(),
                context.name.clone(),
                text(&context.provider),
                text(&context.api_url),
                text(&context.registry),
            ]
        };
        let rows: Vec<Vec<String>> = contexts.iter().map(row).collect();
        let head = ["CURRENT", "NAME", "PROVIDER", "API URL", "REGISTRY"];
        Ok(output::table(&head, &rows)?)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The context; the one in use where it is not given.
    #[arg(value_name = "CONTEXT")]
    name: Option<String>,
    #[command(flatten)]
    output: OutputFlag,
}

impl Inspect {
    pub(super) fn run(&self, local: &Local) -> anyhow::Result<()> {
        let name = self.name.as_deref();
        let current = local.contexts.current()?;
        let none = current.is_none();
        let mut context = match (name, current) {
            (Some(name), _) => local.contexts.get(name)?,
            (None, Some(context)) => context,
            (None, None) => local.contexts.get(DEFAULT)?,
        };
        complete(&mut context, none);
        show::object(self.output, &as_json(&context))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Use {
    /// Name of the context.
    #[arg(value_name = "CONTEXT", value_parser = NonEmptyStringValueParser::new())]
    name: String,
}

impl Use {
    pub(super) fn run(&self, local: &Local) -> anyhow::Result<()> {
        local.contexts.select(&self.name)?;
        output::line(&format!("Now using context {}", self.name))?;
        if let Some(asked) = local.contexts.asked() {
            output::note(&format!("FN_CONTEXT is set, and still says {asked}"));
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unset {}

impl Unset {
    pub(super) fn run(&self, local: &Local) -> anyhow::Result<()> {
        let name = local.contexts.unselect()?;
        Ok(output::line(&format!("No longer using context {name}"))?)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn update context registry registry.example.com/team")]
pub(in crate::cli) struct Update {
    /// What to change in the context in use, for example api-url or registry.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// The value.
    #[arg(required_unless_present = "delete", value_parser = NonEmptyStringValueParser::new())]
    value: Option<String>,
    /// Remove the key.
    #[arg(long, conflicts_with = "value")]
    delete: bool,
}

impl Update {
    pub(super) fn run(&self, local: &Local) -> anyhow::Result<()> {
        let name = local.contexts.change(&self.key, self.value.as_deref())?;
        let done = if self.delete { "Removed" } else { "Set" };
        Ok(output::line(&format!(
            "{done} {} of context {name}",
            self.key
        ))?)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// Name of the context.
    #[arg(value_name = "CONTEXT", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    flags: DeleteFlags,
}

impl Delete {
    pub(super) async fn run(&self, local: &Local) -> anyhow::Result<()> {
        self.flags.check(local.interactive)?;
        local.contexts.check_unused(&self.name)?;
        let what = format!("context {}", self.name);
        self.flags.confirm(what.clone()).await?;
        local.contexts.delete(&self.name)?;
        show::deleted(&what)
    }
}

/// What commands make of a context whose file, if there is one, leaves things out. Where none is in
/// use, it is as if `default` were.
fn complete(context: &mut Context, none_in_use: bool) {
    if none_in_use && context.name == DEFAULT {
        context.current = true;
    }
    let set = |value: &mut Option<String>, text: &str| {
        value.get_or_insert_with(|| text.to_owned());
    };
    set(&mut context.provider, "default");
    set(&mut context.api_url, DEFAULT_API_URL);
}

/// Named as in the file.
fn as_json(context: &Context) -> Value {
    json!({
        "name": context.name,
        "current": context.current,
        "provider": context.provider,
        "api-url": context.api_url,
        "registry": context.registry,
    })
}
