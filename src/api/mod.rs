//! The control plane: REST v1 (apps, routes, calls) and v2 (apps, functions,
//! triggers, calls), in the form
//! that Fn's command lines and client libraries expect.
//!
//! Handlers are thin: parse the body into a wire type, merge it into a draft, let `validate`
//! judge the draft, hand the model to the [`Registry`](crate::store::Registry). Wire types are
//! private to the file of their resource and never stored.
//!
//! Invariants:
//! - Every error leaves through `error`: one table gives its status and text, one place its
//!   shape (nested under `/v1` and `/r`, flat elsewhere).
//! - What a create refuses, an update refuses with the same text.
//! - Endpoint annotations are computed for each answer and never stored.
//! - A page in a browser changes nothing unless it is this server's own or of an allowed site.
//!
//! Entry point: [`router`].

mod body;
mod calls;
mod cursor;
mod endpoint;
mod error;
mod json;
mod merge;
mod openapi;
mod origin;
mod params;
mod reply;
mod root;
mod router;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod validate;

pub use origin::Sites;
pub use router::{ApiConfig, ApiState, Health, Runner, router};
