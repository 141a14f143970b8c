//! REST v2: apps, functions, triggers and calls, all by id.
//!
//! Bodies are bare objects and lists are `{"items": [..]}`. Clients find an id by listing with an
//! exact name.
//!
//! Entry point: [`router`].

mod apps;
mod calls;
mod deploy;
mod drain;
mod fns;
mod index;
mod page;
mod paths;
mod scale;
mod triggers;

pub(super) use paths::{document, router};
