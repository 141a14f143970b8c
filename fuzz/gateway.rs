//! The matching of paths, which the gateway keeps to itself.

#![allow(dead_code, reason = "calls ask a target more than a fuzzer does")]

#[path = "../src/gateway/target.rs"]
mod target;

use target::Target;

/// Where a path leads, with its parts decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Route { app: String, path: String },
    Trigger { app: String, source: String },
    Invoke { id: String },
    Control,
}

pub fn place(path: &str) -> Place {
    match Target::of(path) {
        Target::Route { app, path } => Place::Route {
            app: app.into_owned(),
            path,
        },
        Target::Trigger { app, source, .. } => Place::Trigger {
            app: app.into_owned(),
            source: source.into_owned(),
        },
        Target::Invoke { id } => Place::Invoke { id: id.to_owned() },
        Target::Control => Place::Control,
    }
}
