//! Functions written for the crate that was called `fdk` before, both of its generations.
//!
//! Their programs compile when the dependency becomes this crate:
//!
//! ```toml
//! fdk = { package = "kiln-fdk", version = "0.1", features = ["compat"] }
//! ```
//!
//! The first generation (0.1, of 2017) makes a function of a state and a handler, and the program
//! ends with an exit status:
//!
//! ```no_run
//! let status = fdk::Function::new(fdk::STATELESS)
//!     .run(|_, name: String| Ok(format!("Hello, {name}!\n")));
//! std::process::exit(status);
//! ```
//!
//! The second one (0.2, of 2021) gives a context with every call, and is awaited:
//!
//! ```no_run
//! use fdk::{Function, RuntimeContext};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let end = Function::run(|ctx: &mut RuntimeContext, name: String| {
//!         ctx.add_response_header("X-Greeted".to_owned(), name.clone());
//!         Ok(format!("Hello {name}!"))
//!     });
//!     if let Err(error) = end.await {
//!         eprintln!("{error}");
//!     }
//! }
//! ```
//!
//! Both run on every format that a server may ask for, and what is printed is the log.
//!
//! # What has to be changed in a program
//!
//! - 0.1, where the program names types of `hyper` 0.11: `use fdk::compat::hyper;` in place of
//!   `extern crate hyper;`. [`hyper`] has requests, responses and the headers most used; it has
//!   neither bodies as streams nor all typed headers. Headers of any name are there by
//!   [`get_raw`](hyper::Headers::get_raw) and [`set_raw`](hyper::Headers::set_raw).
//! - Either, with `use fdk::*;`: name what is used. This crate has an [`Ok`](crate::Ok), a `Result` and
//!   an `Error` of its own.
//! - 0.2, where the program names `HeaderMap` or `StatusCode` of `hyper` 0.14: they are now
//!   [`fdk::HeaderMap`](crate::HeaderMap) and [`fdk::StatusCode`](crate::StatusCode), which are
//!   those of hyper 1 and of the crate http 1, too.
//! - 0.2, where a function says that it returns `fdk::Result<T>`: write `Result<T, FunctionError>`,
//!   or `fdk::Result<T, FunctionError>`. The error of `fdk::Result` is [`fdk::Error`](crate::Error)
//!   for everybody else; `main` may go on to return `fdk::Result<()>`.
//! - 0.2, where a type has its own `InputCoercible` or `OutputCoercible`: implement `Deserialize` or
//!   `Serialize` for it. The traits of these names are those of 0.1.
//! - 0.2, where attributes of XML are read: rename their fields to `@name`.
//!
//! # What is different when it runs
//!
//! - Stdout belongs to nobody by mistake: it is the log.
//! - At SIGTERM no other call is begun and the one in flight is answered; `run` returns behind it,
//!   and the program goes on. A program of 0.1 that waits for a call exits with 0 at once.
//! - 0.1 without `FN_METHOD` and `FN_REQUEST_URL` in format default: the method is POST and the
//!   path `/`.
//! - 0.1: an error of the initializer is told to the caller of the first call rather than to nobody.
//! - 0.1: a panic is answered with 500, and ends the process as other failures do.
//! - 0.2: parameters of types, such as a charset, do not matter; of the types a caller accepts it
//!   gets the one it likes best; `*/*` and what is not known are JSON.
//! - 0.2: an empty body is `()`, `None`, an empty text, map or list, or a struct without fields that
//!   must be there.
//! - 0.2: texts are UTF-8, in all formats and both ways.
//! - 0.2: headers of callers by HTTP are there, under their own names and with `Fn-Http-H-` before
//!   them; headers for them arrive.
//! - 0.2: the function runs beside the runtime, within its context: while it takes its time, or
//!   waits for a future with `Handle::current().block_on(..)`, other tasks go on.
//! - 0.2: a header that HTTP cannot carry makes the answer a failure, and is no panic.
//! - 0.2: errors say their text and nothing else.

mod coding;
mod context;
mod error;
mod first;
pub mod hyper;
mod second;
mod testbench;

use ::http::HeaderMap;
use ::http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};

pub use coding::ContentType;
pub use context::RuntimeContext;
pub use error::FunctionError;
pub use first::{
    InputCoercible, OutputCoercible, Runner, STATELESS, body_as_bytes, client_error, no_content,
    server_error, success,
};
pub use testbench::FunctionTestbench;

/// A function, in the way of either generation. See [the module](self) for an example of each.
///
/// 0.1: [`Function::new(initializer)`](Function::new) makes one, and [`run`](Runner::run), a method
/// of [`Runner`], runs it. 0.2: [`Function::run(closure)`](Function::run), without a value, is a
/// future.
#[derive(Debug)]
pub struct Function<S = ()> {
    runner: Runner<S>,
}

impl<S> Function<S> {
    /// A function of 0.1, with what makes its state; [`STATELESS`] if it has none.
    pub fn new(initializer: fn(&RuntimeContext) -> Result<S, FunctionError>) -> Self {
        Self {
            runner: Runner::new(initializer),
        }
    }
}

// A method that is called on a value is found behind an associated function of the same name: so
// `run` can be both.
impl<S> std::ops::Deref for Function<S> {
    type Target = Runner<S>;

    fn deref(&self) -> &Runner<S> {
        &self.runner
    }
}

/// Frames of the function's own making: the server has others, and takes these for the caller's.
fn unframe(headers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        headers.remove(name);
    }
}

/// So that the programs in it are known to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-old-fdks.md")]
mod page {}
