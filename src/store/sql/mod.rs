//! What the SQL stores share: the statements, and the methods that are made of them.
//!
//! SQLite and Postgres differ in how a transaction begins and in how a batch is inserted; their
//! doors have the rest of what is their own. The methods are macros over the store's type,
//! because sqlx ties every statement to one database's types.
//!
//! A store brings `reader()` and `writer()`, its pools; `reading()` and `writing()`, which begin
//! a transaction that sees one moment and one that nobody else's writes come between; and
//! `insert_calls()`.

mod calls;
mod fault;
mod read;
pub(super) mod statement;
mod write;

pub(super) use fault::{bounded, refused, unavailable};
