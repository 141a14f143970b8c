//! The command line: a file per command, and `manage/` for those that only talk to the server.
//!
//! Invariants: arguments are read with clap here and nowhere else; every character that reaches the
//! terminal goes through `output.rs`; a command that changes something checks everything it can
//! before the first change; a request that is not idempotent is never sent twice; nothing is deleted
//! without a yes or `--force`, but for functions that their image no longer declares.
//!
//! Exit codes: 0 done (also when the reader of our output went away), 1 the command could not do
//! what it was asked for a reason the message names, 2 the arguments or settings make no sense, 70 a
//! fault of ours; `fn index` has two more.
//!
//! Start at [`parse`] and [`run`]; [`report`] turns its error into words and an exit code.

mod args;
mod build;
mod client;
mod deploy;
mod failure;
#[cfg(test)]
mod fake_server;
mod import;
mod index;
mod init;
mod invoke;
mod manage;
mod output;
mod session;
mod start;
mod version;
mod wire;

pub use args::{Cli, parse, run};
pub use failure::report;
