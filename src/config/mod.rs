//! Everything a person writes down for us: server settings, `func.yaml`, `app.yaml`, CLI contexts.
//!
//! Text goes in, validated values of [`crate::model`] come out. The invariants:
//!
//! - This is the only room that reads the process environment (clap's own `env` attributes apart).
//! - Every error is one line that names the setting, its value and what is allowed.
//! - Nothing here talks to a network or an engine; files are only read, contexts apart.
//!
//! Start at [`ServerConfig::from_env`] for the server, [`Manifest::find`] for a function folder and
//! [`ClientConfig::load`] for the command line, whose [`Contexts`] it may also change.

mod app_file;
mod client;
mod container;
mod context;
mod duration;
mod env;
mod feature;
mod manifest;
mod server;

pub use app_file::{APP_NAME_RULE, AppFile, is_app_name};
pub use client::{ClientConfig, ClientConfigError, DEFAULT_API_URL};
pub use context::{Context, Contexts};
pub use env::{Env, SettingError, setting, variable};
pub use feature::Features;
pub use manifest::{
    Deployment, ExpectedConfig, FunctionOverride, Indexing, MAX_MANIFEST_BYTES, Manifest,
    ManifestError, TriggerSpec, Version, bump_patch, check_name,
};
pub use server::{
    CorsOrigins, LauncherKind, LogFormat, ScaleLogTo, ScaleLogWhat, ScaleLogging, ServerConfig,
    StdioPath, log_filter,
};
