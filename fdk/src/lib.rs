//! Write functions for Kiln and the Fn Project in Rust.
//!
//! A function is a closure or `fn` from what it wants to know of a call to what it answers:
//!
//! ```no_run
//! fn main() -> fdk::Result<()> {
//!     fdk::run(|name: String| format!("Hello {name}"))
//! }
//! ```
//!
//! It takes up to three arguments of the types that implement [`FromCall`], and returns anything
//! that implements [`IntoResponse`], or a future of it:
//!
//! ```no_run
//! use fdk::{Call, Json};
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     item: String,
//!     count: u32,
//! }
//!
//! async fn order(Json(order): Json<Order>, call: Call) -> fdk::Result<String> {
//!     if order.count == 0 {
//!         return Err(fdk::Error::public(fdk::StatusCode::BAD_REQUEST, "nothing ordered"));
//!     }
//!     Ok(format!("{} x {}, call {}", order.count, order.item, call.id()))
//! }
//!
//! fn main() -> fdk::Result<()> {
//!     fdk::run(order)
//! }
//! ```
//!
//! What holds while [`run`] runs:
//!
//! - One call at a time, over one process that stays hot between calls.
//! - Stdout and stdin are out of reach: `println!` ends up in the log with stderr, and a child
//!   process cannot eat the next request. Call `run` before anything prints.
//! - A panic answers 500 and the process goes on. (Not with `panic = "abort"`.)
//! - The framing of an answer is always right, and every answer carries the id of its call, so
//!   that the server can prove that no caller gets what belongs to another.
//! - When the server closes stdin, `run` returns `Ok(())`.
//!
//! There is no runtime behind async functions: one thread polls one future and sleeps until it is
//! woken. Crates that need tokio need a multi-threaded runtime of your own for now, made in `main`
//! and entered before `run`.
//!
//! [`raw`] is the layer below, for frameworks.
#![warn(missing_docs)]

mod block_on;
mod call;
mod deadline;
mod error;
mod extract;
mod handler;
pub mod raw;
mod response;
mod run;
mod stdio;
#[cfg(test)]
mod tests;

pub use bytes::Bytes;
pub use http::{HeaderMap, Method, StatusCode};

pub use call::Call;
pub use error::{Error, Result};
pub use extract::{FromCall, Json};
pub use handler::Handler;
pub use response::{IntoResponse, Response};
pub use run::run;
