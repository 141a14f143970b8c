//! Functions in containers of a Docker-compatible engine.
//!
//! Stdio takes one of two ways. *Link*: the container's entrypoint is our own small program,
//! which receives three pipes over a unix socket in a mounted directory and then becomes the
//! function; the engine never sees a byte. *Attach*: the engine's own API, for engines that see none
//! of our files. Both give the same [`Instance`](crate::launcher::Instance).
//!
//! Half of what a start costs is setting up a network, so some are kept prepared: `namespace.rs`.
//!
//! Containers carry `kiln.` labels; `kiln.instance` names the gateway that owns them.

mod attach;
mod cgroup;
mod engine;
mod events;
mod image;
mod launcher;
mod link;
mod namespace;
mod network;
mod roster;
mod settings;
mod sleeper;
mod view;
mod ward;

pub use launcher::{DockerConfig, DockerLauncher, StdioPath};
