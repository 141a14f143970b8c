//! What is deployed, durably, and the in-memory snapshot that calls are routed by.
//!
//! [`Store`] is the contract that each database implements, [`StoreRead`] the half of it that
//! changes nothing; one conformance suite holds every implementation to it. [`Catalog`] is the
//! snapshot: lock-free reads, never a query. [`Registry`] joins the two and is what the rest of
//! the server holds: it alone can write, and every write of it is in the catalog before it
//! answers.
//!
//! Invariants:
//! - A call never waits for the database; it reads the catalog only.
//! - A write that has begun runs to its end, catalog included, even if its caller goes away.
//! - The catalog never goes back: an older read of an app cannot replace a newer one.
//! - All SQL is constant text; values travel as bound parameters.
//!
//! Entry point: [`Registry::open`] over [`SqliteStore::open`].

mod catalog;
#[cfg(test)]
mod conformance;
mod contract;
mod error;
mod record;
mod registry;
mod revise;
mod sql;
mod sqlite;

pub use catalog::{AppEntry, Catalog, Miss};
pub use contract::{
    AppContents, AppFilter, Change, FunctionFilter, RouteFilter, Store, StoreRead, TriggerFilter,
    Verdict,
};
pub use error::{Conflict, Resource, StoreError, WriteError};
pub use registry::Registry;
pub use sqlite::SqliteStore;
