//! What the fuzz targets share: the pure rooms of Kiln, and messages cut into pieces.
//!
//! Run them with `scripts/fuzz`. The rooms are compiled from their own files, without the rest of
//! the crate: what reads text from strangers needs no engine, no database and no HTTP server, and
//! to instrument those would take longer than the fuzzing.

#[path = "../src/config/mod.rs"]
pub mod config;
mod format;
pub mod gateway;
pub mod index;
#[path = "../src/model/mod.rs"]
pub mod model;
mod pieces;

pub use pieces::{Outcome, cut, read};
