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
//! It takes up to six arguments of the types that implement [`FromCall`], and returns anything
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
//! - A panic answers 500 and the process goes on. (Not with `panic = "abort"`.) In the middle of a
//!   stream, nothing is left to say but by breaking the answer off: the process ends.
//! - The framing of an answer is always right, and every answer carries the id of its call, so
//!   that the server can prove that no caller gets what belongs to another.
//! - When the server closes stdin, `run` returns `Ok(())`.
//! - At SIGTERM, which as the first process of a container it would ignore without a handler, no
//!   other call is begun, the one in flight is answered, and the process exits with 0. Where it waits
//!   for a call it exits there and then. What is to be done before that belongs in
//!   [`App::shutdown`]: with one, and within a runtime, a call gets eight seconds, and then the
//!   process exits with 1. A second signal ends a program without one at once.
//! - The same program speaks every format of the Fn Project's: `http`, `json`, `cloudevent`,
//!   `default` and `http-stream`. Started with `--serve 127.0.0.1:9000` it answers any HTTP client.
//!
//! [`App`] holds several functions with shared state, [layers] around them, and routes with
//! parameters. [`App::run`] works within any async runtime; [`run`] and [`App::run_blocking`] need
//! none: one thread polls one future and sleeps until it is woken. [`struct@Ndjson`] and
//! [`struct@Streamed`] are for values that come and go one by one, [`App::test`] for tests without a
//! server.
//!
//! # Features
//!
//! - `tracing`: events of the crates `tracing` and `log` are lines of the log, with the ids of their
//!   call, unless the program has a subscriber or a logger of its own. `RUST_LOG` may name a level.
//! - `tower`: [layers] of tower's.
//! - `compat`: functions that were written for the crate `fdk` 0.1 or 0.2.
//!
//! [`raw`] is the layer below, for frameworks.
#![warn(missing_docs)]

mod app;
#[cfg(test)]
mod app_tests;
mod block_on;
mod body;
mod call;
#[cfg(feature = "compat")]
pub mod compat;
mod convert;
mod deadline;
mod error;
mod extract;
mod frame;
mod handler;
mod index;
mod input;
pub mod layers;
mod log;
mod offload;
mod output;
mod params;
pub mod raw;
mod response;
mod route;
mod run;
mod source;
mod stdio;
mod stream;
mod sync;
mod term;
pub mod testing;
#[cfg(test)]
mod tests;
mod time;

/// Where a function is found: a method and a path.
///
/// ```
/// use fdk::http;
///
/// let fib = http::get("/fib/{index:int}");
/// let resize = http::post("/resize/{id:int}").memory(256).timeout(20).secret("DB_URL");
/// let files = http::any("/files/{*rest}");
/// ```
///
/// A segment in braces is a parameter, which [`Path`] reads. `{name:int}` takes whole
/// numbers, `{name:alpha}` letters, `{*name}` all that is left. The server matches paths, so a
/// call whose path does not fit gets 404 and never reaches the function.
///
/// Beside these are the types of the crate `http` that the FDK takes and gives.
///
/// ```
/// use fdk::http::{StatusCode, header};
///
/// let moved = fdk::Response::new(StatusCode::SEE_OTHER).header(header::LOCATION, "/elsewhere");
/// ```
pub mod http {
    pub use crate::route::{Route, any, delete, get, on, patch, post, put};
    pub use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
}

pub use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use bytes::Bytes;

pub use app::App;
pub use body::Body;
pub use call::Call;
#[cfg(feature = "compat")]
pub use compat::{
    Function, FunctionError, FunctionTestbench, InputCoercible, OutputCoercible, RuntimeContext,
    STATELESS, body_as_bytes, client_error, no_content, server_error, success,
};
pub use convert::{Bind, Conversion, Convert, Source};
pub use error::{Error, Ok, Result};
pub use extract::{
    Config, Deadline, Extension, Form, FromCall, FromHeader, Header, Json, Or, Path, Query, State,
};
pub use handler::Handler;
pub use response::{IntoResponse, Response};
pub use run::run;
pub use stream::{JsonArray, Ndjson, Sequence, Streamed};
pub use time::{Backoff, retry};
