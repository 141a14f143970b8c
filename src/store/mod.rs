//! What is deployed, durably, and the in-memory snapshot that calls are routed by.
//!
//! [`Store`] is the contract that each database implements, [`StoreRead`] the half of it that
//! changes nothing; one conformance suite holds every implementation to it. [`Catalog`] is the
//! snapshot: lock-free reads, never a query. [`Registry`] joins the two and is what the rest of
//! the server holds: it alone can write, and every write of it is in the catalog before it
//! answers. Where gateways share a database, each follows the writes of the others.
//!
//! [`CallStore`] is the part of the contract that remembers calls; [`Recorder`] writes them,
//! behind the calls' backs.
//!
//! Invariants:
//! - A call never waits for the database; it reads the catalog only.
//! - A write that has begun runs to its end, catalog included, even if its caller goes away.
//! - The catalog never goes back: an older read of an app cannot replace a newer one.
//! - All SQL is constant text; values travel as bound parameters.
//! - A call that cannot be recorded is dropped and counted; nobody waits for it.
//!
//! Entry point: [`Registry::open`] over [`StoreUrl::open`].

mod calls;
mod catalog;
mod clash;
#[cfg(test)]
mod conformance;
mod contract;
mod error;
mod follow;
mod import;
mod postgres;
mod record;
mod recorder;
mod registry;
mod revise;
mod sql;
mod sqlite;
mod triggers;
mod url;

pub use calls::{CallFilter, CallRead, CallStore, CallsOf};
pub use catalog::{AppEntry, Catalog, Changes, Miss};
pub use contract::{
    Amend, Amendment, AppContents, AppFilter, Change, FunctionFilter, News, RouteFilter, Store,
    StoreRead, TriggerFilter, Verdict, Watch,
};
pub use error::{Conflict, Resource, StoreError, WriteError};
pub use import::{Counts, FnDatabase, ImportError, ImportReport};
pub use postgres::PostgresStore;
pub use recorder::{Recorder, RecorderConfig};
pub use registry::Registry;
pub use sqlite::SqliteStore;
pub use url::{StoreUrl, UnsupportedUrl};
