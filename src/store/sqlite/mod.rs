//! The store in one SQLite file: what a single server uses unless it is told otherwise.
//!
//! One connection writes, because SQLite has one writer anyway and a queue in our process is
//! fairer than its busy handler; a few others read beside it, which WAL allows. Foreign keys do
//! the cascades.
//!
//! Entry point: [`SqliteStore::open`].

mod open;
mod session;

pub use open::SqliteStore;
