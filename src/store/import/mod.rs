//! Takes over what an Fn server has deployed, from its SQLite file.
//!
//! The file is only read, and ids are kept: clients hold addresses with ids in them. What cannot
//! be taken over is reported and stops nothing else. Older and newer Fn servers lack some tables
//! and columns; those read as empty.
//!
//! Entry point: [`FnDatabase::read`], then [`FnDatabase::write_to`].

mod row;
mod source;
mod target;
#[cfg(test)]
mod tests;

pub use source::{FnDatabase, ImportError};
pub use target::{Counts, ImportReport};

pub(super) use source::is_fn_database;
