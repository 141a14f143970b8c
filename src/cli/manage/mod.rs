//! Commands that manage what is on the server, in both of Fn's grammars.
//!
//! An operation is a clap struct with a `run`, in the file of what it is about. `verbs.rs`
//! (`fn create app`) and `objects.rs` (`fn apps create`) only name the operations; whatever one
//! spelling can do, the other can.

mod app;
mod call;
mod config;
mod context;
mod delete;
mod flags;
mod function;
mod lookup;
mod objects;
mod pages;
mod route;
mod scale;
mod show;
#[cfg(test)]
mod tests;
mod trigger;
mod verbs;

pub(super) use lookup::{find_app, find_function};
pub(super) use objects::{
    AppsCommand, CallsCommand, ContextsCommand, FunctionsCommand, LogsCommand, RoutesCommand,
    TriggersCommand,
};
pub(super) use scale::Scale;
pub(super) use verbs::{
    ConfigVerb, CreateVerb, DeleteVerb, GetVerb, InspectVerb, ListVerb, UnsetVerb, UpdateVerb,
    UseVerb,
};
