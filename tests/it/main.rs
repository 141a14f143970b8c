//! The program as its users run it: the real binary, real functions, a real engine.
//!
//! A scenario is written once and runs on every backend that it applies to; see `backends!`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a failed test shows the server's log")]

mod api;
mod bodies;
mod calls;
mod cors;
mod database;
mod deploy;
mod edge;
mod examples;
mod faults;
mod fdk;
mod formats;
mod freeze;
mod gateway;
mod hot;
mod indexing;
mod life;
mod patience;
mod prompt;
mod room;
mod scale;
mod soak;
mod stream;
mod support;

#[cfg(feature = "docker-tests")]
mod chaos;
#[cfg(feature = "docker-tests")]
mod docker;
#[cfg(feature = "docker-tests")]
mod engine;
#[cfg(feature = "docker-tests")]
mod golden;
#[cfg(feature = "docker-tests")]
mod prepared;
