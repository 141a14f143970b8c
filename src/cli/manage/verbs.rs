//! The grammar of Fn 0.4.107 and later: `fn create app`, `fn list config function`.

use clap::{Args, Subcommand};

use crate::cli::manage::config::{OfApp, OfFunction, OfRoute, Operation};
use crate::cli::manage::{app, call, config, context, function, route, trigger};
use crate::cli::session::Start;

/// What Fn's users call things, besides the name in the help.
pub(super) const APP: [&str; 2] = ["apps", "a"];
pub(super) const FUNCTION: [&str; 6] = ["functions", "func", "funcs", "fn", "fns", "f"];
pub(super) const ROUTE: [&str; 2] = ["routes", "r"];
pub(super) const TRIGGER: [&str; 4] = ["triggers", "trig", "trigs", "t"];
pub(super) const CONTEXT: [&str; 2] = ["contexts", "ctx"];

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CreateVerb {
    /// An app, which is a group of functions that share configuration.
    #[command(visible_aliases = APP)]
    App(app::Create),
    /// A function of an image that exists.
    #[command(visible_aliases = FUNCTION)]
    Function(Box<function::Create>),
    /// A route, which is a function of Fn's older kind.
    #[command(visible_aliases = ROUTE)]
    Route(Box<route::Create>),
    /// A trigger, which gives a function an address below its app.
    #[command(visible_aliases = TRIGGER)]
    Trigger(trigger::Create),
    /// A context, which is a server with a name.
    #[command(visible_aliases = CONTEXT)]
    Context(context::Create),
}

impl CreateVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::App(create) => create.run(&start.session()?).await,
            Self::Function(create) => create.run(&start.session()?).await,
            Self::Route(create) => create.run(&start.session()?).await,
            Self::Trigger(create) => create.run(&start.session()?).await,
            Self::Context(create) => create.run(&start.local()?),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ListVerb {
    /// All apps.
    #[command(name = "apps", visible_aliases = ["app", "a"])]
    App(app::List),
    /// The functions of an app.
    #[command(name = "functions", visible_aliases = ["function", "func", "funcs", "fn", "fns", "f"])]
    Function(function::List),
    /// The routes of an app.
    #[command(name = "routes", visible_aliases = ["route", "r"])]
    Route(route::List),
    /// The triggers of an app, or of one of its functions.
    #[command(name = "triggers", visible_aliases = ["trigger", "trig", "trigs", "t"])]
    Trigger(trigger::List),
    /// The calls that have ended, of an app, a function or a route.
    #[command(name = "calls", visible_alias = "call")]
    Call(call::List),
    /// The configuration values of an app, a function or a route.
    #[command(subcommand, visible_alias = "configs")]
    Config(OfEach<config::List<OfApp>, config::List<OfFunction>, config::List<OfRoute>>),
    /// The contexts, and which one is in use.
    #[command(name = "contexts", visible_aliases = ["context", "ctx"])]
    Context(context::List),
}

impl ListVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::App(list) => list.run(&start.session()?).await,
            Self::Function(list) => list.run(&start.session()?).await,
            Self::Route(list) => list.run(&start.session()?).await,
            Self::Trigger(list) => list.run(&start.session()?).await,
            Self::Call(list) => list.run(&start.session()?).await,
            Self::Config(list) => list.run(start).await,
            Self::Context(list) => list.run(&start.local()?),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum InspectVerb {
    /// An app.
    #[command(visible_aliases = APP)]
    App(app::Inspect),
    /// A function.
    #[command(visible_aliases = FUNCTION)]
    Function(function::Inspect),
    /// A route.
    #[command(visible_aliases = ROUTE)]
    Route(route::Inspect),
    /// A trigger.
    #[command(visible_aliases = TRIGGER)]
    Trigger(trigger::Inspect),
    /// A context.
    #[command(visible_aliases = CONTEXT)]
    Context(context::Inspect),
}

impl InspectVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::App(inspect) => inspect.run(&start.session()?).await,
            Self::Function(inspect) => inspect.run(&start.session()?).await,
            Self::Route(inspect) => inspect.run(&start.session()?).await,
            Self::Trigger(inspect) => inspect.run(&start.session()?).await,
            Self::Context(inspect) => inspect.run(&start.local()?),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UpdateVerb {
    /// Configuration, annotations and the log's address of an app.
    #[command(visible_aliases = APP)]
    App(app::Update),
    /// The image, limits and configuration of a function.
    #[command(visible_aliases = FUNCTION)]
    Function(Box<function::Update>),
    /// The image, limits, headers and configuration of a route.
    #[command(visible_aliases = ROUTE)]
    Route(Box<route::Update>),
    /// The address, methods and annotations of a trigger.
    #[command(visible_aliases = TRIGGER)]
    Trigger(trigger::Update),
    /// A key of the context in use.
    #[command(visible_aliases = CONTEXT)]
    Context(context::Update),
}

impl UpdateVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::App(update) => update.run(&start.session()?).await,
            Self::Function(update) => update.run(&start.session()?).await,
            Self::Route(update) => update.run(&start.session()?).await,
            Self::Trigger(update) => update.run(&start.session()?).await,
            Self::Context(update) => update.run(&start.local()?),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeleteVerb {
    /// An app and everything in it.
    #[command(visible_aliases = APP)]
    App(app::Delete),
    /// A function and its triggers.
    #[command(visible_aliases = FUNCTION)]
    Function(function::Delete),
    /// A route.
    #[command(visible_aliases = ROUTE)]
    Route(route::Delete),
    /// A trigger.
    #[command(visible_aliases = TRIGGER)]
    Trigger(trigger::Delete),
    /// A context that is not in use.
    #[command(visible_aliases = CONTEXT)]
    Context(context::Delete),
}

impl DeleteVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::App(delete) => delete.run(&start.session()?).await,
            Self::Function(delete) => delete.run(&start.session()?).await,
            Self::Route(delete) => delete.run(&start.session()?).await,
            Self::Trigger(delete) => delete.run(&start.session()?).await,
            Self::Context(delete) => delete.run(&start.local()?).await,
        }
    }
}

/// `fn config app APP KEY VALUE` sets a value.
pub(in crate::cli) type ConfigVerb =
    OfEach<config::Set<OfApp>, config::Set<OfFunction>, config::Set<OfRoute>>;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GetVerb {
    /// A configuration value.
    #[command(subcommand)]
    Config(OfEach<config::Get<OfApp>, config::Get<OfFunction>, config::Get<OfRoute>>),
    /// A call that has ended.
    #[command(visible_alias = "calls")]
    Call(call::Get),
    /// What a call wrote to its log.
    #[command(visible_alias = "log")]
    Logs(call::Log),
}

impl GetVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::Config(get) => get.run(start).await,
            Self::Call(get) => get.run(&start.session()?).await,
            Self::Logs(get) => get.run(&start.session()?).await,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UnsetVerb {
    /// Remove configuration values.
    #[command(subcommand)]
    Config(OfEach<config::Unset<OfApp>, config::Unset<OfFunction>, config::Unset<OfRoute>>),
    /// Use no context from now on.
    #[command(visible_aliases = CONTEXT)]
    Context(context::Unset),
}

impl UnsetVerb {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::Config(unset) => unset.run(start).await,
            Self::Context(unset) => unset.run(&start.local()?),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UseVerb {
    /// Use a context from now on.
    #[command(visible_aliases = CONTEXT)]
    Context(context::Use),
}

impl UseVerb {
    pub(in crate::cli) fn run(&self, start: &Start) -> anyhow::Result<()> {
        match self {
            Self::Context(select) => select.run(&start.local()?),
        }
    }
}

/// One operation on the configuration of each thing that has any.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OfEach<A: Args, F: Args, R: Args> {
    /// Of an app: every function of the app gets it.
    #[command(visible_aliases = APP)]
    App(A),
    /// Of a function; it wins over the app's.
    #[command(visible_aliases = FUNCTION)]
    Function(F),
    /// Of a route; it wins over the app's.
    #[command(visible_aliases = ROUTE)]
    Route(R),
}

impl<A: Operation, F: Operation, R: Operation> OfEach<A, F, R> {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        let session = start.session()?;
        match self {
            Self::App(operation) => operation.run(&session).await,
            Self::Function(operation) => operation.run(&session).await,
            Self::Route(operation) => operation.run(&session).await,
        }
    }
}
