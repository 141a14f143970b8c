//! One call end to end: find the function's pool, check a container out, exchange, classify,
//! give back or retire.
//!
//! [`Invoker::call`] is the entry point. A failure is a [`Fault`] that says who is to blame; only
//! the gateway knows which HTTP status that is.
//!
//! Invariants:
//! - A container that did not answer cleanly is never used again.
//! - A call is put to a second container only if the first was a reused one that turned out dead
//!   before the first byte of its response.
//! - Every redeploy is noticed: pools are keyed by what an image reference means, not by its text.

mod attempt;
mod binding;
mod fault;
mod invoker;
mod memory;
mod response;
mod traffic;

pub use fault::{Blame, Fault};
pub use invoker::{InvokeConfig, Invoker};
pub use memory::Memory;
pub use response::{CallResponse, ResponseBody};
