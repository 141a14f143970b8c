//! REST v1: apps by name, their routes and calls.
//!
//! Everything is wrapped in an envelope with a message, and every success is a 200. Paths of
//! routes come in several spellings, because client generations escape and join them differently.
//!
//! Entry point: [`router`].

mod apps;
mod calls;
mod paths;
mod routes;

pub(super) use paths::{document, router};
