//! The grammar of Fn 0.4: `fn apps create`, `fn routes config set`.

use clap::Subcommand;

use crate::cli::manage::config::{self, OfApp, OfFunction, OfRoute, Operation, Owner};
use crate::cli::manage::{app, call, context, function, route, trigger};
use crate::cli::session::{Session, Start};

/// Commands all of which are run in one way.
macro_rules! run_each {
    ($($Command:ident: $($operation:ident)+;)+) => {
        $(impl $Command {
            pub(in crate::cli) async fn run(&self, session: &Session) -> anyhow::Result<()> {
                match self {
                    $(Self::$operation(operation) => operation.run(session).await,)+
                }
            }
        })+
    };
}

run_each! {
    AppsCommand: Create List Inspect Update Delete Config;
    FunctionsCommand: Create List Inspect Update Delete Config;
    RoutesCommand: Create List Inspect Update Delete Call Config;
    TriggersCommand: Create List Inspect Update Delete;
    CallsCommand: List Get;
    LogsCommand: Get;
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AppsCommand {
    /// Create an app.
    Create(app::Create),
    /// List all apps.
    List(app::List),
    /// Show an app.
    Inspect(app::Inspect),
    /// Change an app.
    Update(app::Update),
    /// Delete an app and everything in it.
    Delete(app::Delete),
    /// Set, show and remove configuration values of an app.
    #[command(subcommand)]
    Config(ConfigOf<OfApp>),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FunctionsCommand {
    /// Create a function of an image that exists.
    Create(Box<function::Create>),
    /// List the functions of an app.
    List(function::List),
    /// Show a function.
    Inspect(function::Inspect),
    /// Change a function.
    Update(Box<function::Update>),
    /// Delete a function and its triggers.
    Delete(function::Delete),
    /// Set, show and remove configuration values of a function.
    #[command(subcommand)]
    Config(ConfigOf<OfFunction>),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RoutesCommand {
    /// Create a route, and its app where it does not exist.
    Create(Box<route::Create>),
    /// List the routes of an app.
    List(route::List),
    /// Show a route.
    Inspect(route::Inspect),
    /// Change a route.
    Update(Box<route::Update>),
    /// Delete a route.
    Delete(route::Delete),
    /// Call a route; what comes on stdin is the body.
    Call(crate::cli::invoke::CallArgs),
    /// Set, show and remove configuration values of a route.
    #[command(subcommand)]
    Config(ConfigOf<OfRoute>),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TriggersCommand {
    /// Create a trigger of a function.
    Create(trigger::Create),
    /// List the triggers of an app, or of one of its functions.
    List(trigger::List),
    /// Show a trigger.
    Inspect(trigger::Inspect),
    /// Change a trigger.
    Update(trigger::Update),
    /// Delete a trigger.
    Delete(trigger::Delete),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CallsCommand {
    /// List the calls that have ended.
    List(call::List),
    /// Show a call that has ended.
    Get(call::Get),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LogsCommand {
    /// Show what a call wrote to its log.
    Get(call::Log),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ContextsCommand {
    /// Create a context.
    Create(context::Create),
    /// List the contexts.
    List(context::List),
    /// Show a context.
    Inspect(context::Inspect),
    /// Use a context from now on.
    Use(context::Use),
    /// Use no context from now on.
    Unset(context::Unset),
    /// Change a key of the context in use.
    Update(context::Update),
    /// Delete a context that is not in use.
    Delete(context::Delete),
}

impl ContextsCommand {
    pub(in crate::cli) async fn run(&self, start: &Start) -> anyhow::Result<()> {
        let local = start.local()?;
        match self {
            Self::Create(create) => create.run(&local),
            Self::List(list) => list.run(&local),
            Self::Inspect(inspect) => inspect.run(&local),
            Self::Use(select) => select.run(&local),
            Self::Unset(unset) => unset.run(&local),
            Self::Update(update) => update.run(&local),
            Self::Delete(delete) => delete.run(&local).await,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigOf<O: Owner> {
    /// Set a value.
    Set(config::Set<O>),
    /// Show a value.
    Get(config::Get<O>),
    /// List all values.
    List(config::List<O>),
    /// Remove values.
    Unset(config::Unset<O>),
}

impl<O: Owner> ConfigOf<O> {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Set(set) => set.run(session).await,
            Self::Get(get) => get.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Unset(unset) => unset.run(session).await,
        }
    }
}
