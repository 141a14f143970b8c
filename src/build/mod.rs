//! From a function folder to something a launcher can run.
//!
//! Two kinds of function can be built: `rust`, compiled here into one static binary, and `docker`,
//! by the folder's own Dockerfile. Two things can come out: an image on a Docker engine, or, for
//! the process launcher, a file below the data folder. The invariants:
//!
//! - [`plan`] finds everything that is wrong with a folder before anything is changed.
//! - Nothing is pulled to build a Rust function: its image is `FROM scratch`.
//! - What the compiler or the engine had to say about a failure reaches the caller in full.
//! - This room prints nothing; it reports to a [`Progress`].
//!
//! Start at [`plan`], then [`Plan::run`].

mod artifact;
mod cargo;
mod context;
mod engine;
mod error;
mod ignore_file;
mod image;
mod plan;
mod push;
mod steps;

#[cfg(all(test, feature = "docker-tests"))]
pub(crate) use engine::remove_image;
pub use engine::{Engine, EngineError, engine};
pub use error::BuildError;
pub use image::labels;
pub use plan::{INDEXING, Labels, Output, Plan, Progress, Runtime, plan};
pub use push::push;
