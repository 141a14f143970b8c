//! Kiln: a hot-container function runner, drop-in for users of the Fn Project.
//!
//! The rooms, and which may see which (`tests/tidy.rs` holds us to it):
//!
//! ```text
//! model <- config, store, launcher <- pool <- invoke <- gateway, api <- server
//! store, launcher <- index <- api
//! build <- cli        wire, format <- invoke
//! ```

pub mod alarm;
pub mod api;
pub mod build;
pub mod cli;
pub mod config;
pub mod format;
pub mod gateway;
pub mod index;
pub mod invoke;
pub mod launcher;
pub mod model;
pub mod pool;
pub mod server;
pub mod store;
pub mod telemetry;
