//! The store in a Postgres database, which several gateways may share.
//!
//! Writes that read first take one advisory lock, so that they queue as they do in SQLite: deploys
//! are few, and no two of them can deadlock. Each write notifies, by a trigger of the database;
//! every gateway listens and follows what the others do.
//!
//! Entry point: [`PostgresStore::open`].

mod open;
mod session;
#[cfg(test)]
mod tests;
mod watch;

pub use open::PostgresStore;
