//! `fn deploy`: from a function folder to something that can be called.
//!
//! The order is what makes it safe: everything that can be wrong is found first (the file, the
//! folder, the server, the app, the engine); then the build, which changes nothing anybody uses;
//! then the new version is written down; and only then the server hears of it. Where the image
//! declares its functions, it is asked before the version is written down.

mod app;
mod function;
mod indexed;
mod route;
mod run;
#[cfg(test)]
mod tests;

pub(super) use run::{DeployArgs, run};
