//! Starts containers (or processes) and hands out their stdin, stdout and end of life.
//!
//! The door to every engine is the [`Launcher`] trait; its documentation is the contract, and one
//! conformance suite holds [`DockerLauncher`] (link and attach), [`ProcessLauncher`] and the
//! tests' fake to it. This room moves bytes and signals. It knows no HTTP, no apps and no routes.
//!
//! Invariants:
//! - An [`Instance`] that is dropped is killed and removed; nothing outlives its owner.
//! - Every supervising task is tracked, and [`Launcher::shutdown`] waits for all of them.
//! - `bollard` is used in `docker/` only.

#[cfg(test)]
mod conformance;
mod contract;
pub mod docker;
#[cfg(test)]
pub(crate) mod fake;
mod folder;
mod frames;
pub mod process;
mod socket;
mod stderr;
mod stdio;
mod supervise;
mod usage;

pub use contract::{Channel, Image, Instance, LaunchError, LaunchSpec, Launcher, Reach};
pub use docker::DockerLauncher;
pub use frames::Frames;
pub use process::ProcessLauncher;
pub use socket::Socket;
pub use stderr::Stderr;
pub(crate) use stdio::register;
pub use stdio::{Now, Stdin, Stdout};
pub use supervise::{Control, Exit, Loss};
pub use usage::Gauge;
