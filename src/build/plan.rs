use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::build::engine::Engine;
use crate::build::error::BuildError;
use crate::build::{artifact, cargo, context, image, steps};
use crate::config::Manifest;

/// Told what the build is doing.
pub trait Progress: Send + Sync {
    /// A new step begins.
    fn step(&self, text: &str);
    /// A tool wrote this line.
    fn line(&self, text: &str);
}

/// The kinds of function that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// A cargo package, compiled on this machine.
    Rust,
    /// A folder with a Dockerfile.
    Docker,
}

/// What is to come out of a build.
#[derive(Debug)]
pub enum Output<'a> {
    /// An image of this name on an engine.
    Image { engine: &'a Engine, tag: String },
    /// A file below this folder, for the process launcher.
    Binary { data_dir: &'a Path },
}

/// What an image says about itself, for those who look at it without running it.
pub type Labels = BTreeMap<String, String>;

/// The label by which an image says that it can be asked for its functions.
pub const INDEXING: &str = "fn.indexing";

/// A build that has everything it needs in its folder.
#[derive(Debug)]
pub struct Plan {
    dir: PathBuf,
    name: String,
    labels: Labels,
    runtime: Runtime,
    steps: Vec<String>,
    cmd: Vec<String>,
    /// Build without the engine's cache.
    pub no_cache: bool,
}

/// Looks at the folder `dir` without changing it; `for_process` says which output is to come.
pub fn plan(dir: &Path, manifest: &Manifest, for_process: bool) -> Result<Plan, BuildError> {
    let runtime = runtime(dir, manifest.runtime.as_deref(), for_process)?;
    if runtime == Runtime::Docker && for_process {
        return Err(BuildError::NeedsEngine);
    }
    Ok(Plan {
        dir: dir.to_owned(),
        name: manifest.name.clone(),
        labels: labels(manifest),
        runtime,
        steps: manifest.build.clone(),
        cmd: manifest.cmd.clone(),
        no_cache: false,
    })
}

fn labels(manifest: &Manifest) -> Labels {
    let indexing = manifest.indexing.as_ref();
    let label = indexing.map(|_| (INDEXING.to_owned(), "true".to_owned()));
    label.into_iter().collect()
}

/// A Dockerfile wins over a runtime, as it does in Fn, except where no image is wanted.
fn runtime(dir: &Path, named: Option<&str>, for_process: bool) -> Result<Runtime, BuildError> {
    let has = |file: &str| dir.join(file).is_file();
    let own_file = has("Dockerfile");
    match named {
        Some("rust") | None if has("Cargo.toml") && (for_process || !own_file) => Ok(Runtime::Rust),
        _ if own_file => Ok(Runtime::Docker),
        Some("rust") => Err(BuildError::MissingFile {
            file: "Cargo.toml",
            runtime: "rust",
        }),
        Some("docker") => Err(BuildError::MissingFile {
            file: "Dockerfile",
            runtime: "docker",
        }),
        Some(other) => Err(BuildError::UnknownRuntime {
            runtime: other.to_owned(),
        }),
        None => Err(BuildError::NoRuntime),
    }
}

impl Plan {
    /// What kind of function it is.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// Builds, and gives the image reference that a function record needs.
    pub async fn run(
        &self,
        output: &Output<'_>,
        progress: &dyn Progress,
    ) -> Result<String, BuildError> {
        steps::run(&self.dir, &self.steps, progress).await?;
        match self.runtime {
            Runtime::Rust => {
                progress.step("Compiling with cargo");
                let binary = cargo::build(&self.dir, &self.name, progress).await?;
                match output {
                    Output::Binary { data_dir } => {
                        artifact::keep(&binary, &self.name, &self.labels, data_dir)
                    }
                    Output::Image { engine, tag } => {
                        progress.step(&format!("Building image {tag}"));
                        let tar = context::of_binary(&binary, &self.cmd)?;
                        image::build(engine, tar, tag, &self.labels, self.no_cache, progress).await
                    }
                }
            }
            Runtime::Docker => match output {
                Output::Binary { .. } => Err(BuildError::NeedsEngine),
                Output::Image { engine, tag } => {
                    progress.step(&format!("Building image {tag}"));
                    let tar = context::of_folder(&self.dir)?;
                    image::build(engine, tar, tag, &self.labels, self.no_cache, progress).await
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        dir
    }

    #[test]
    fn the_folder_and_the_runtime_decide_how_to_build() {
        for (files, named, for_process, expected) in [
            (&["Cargo.toml"][..], Some("rust"), false, Ok(Runtime::Rust)),
            (&["Cargo.toml"], None, false, Ok(Runtime::Rust)),
            (
                &["Cargo.toml", "Dockerfile"],
                Some("rust"),
                false,
                Ok(Runtime::Docker),
            ),
            (
                &["Cargo.toml", "Dockerfile"],
                Some("rust"),
                true,
                Ok(Runtime::Rust),
            ),
            (&["Dockerfile"], Some("go"), false, Ok(Runtime::Docker)),
            (
                &[],
                Some("go"),
                false,
                Err("runtime: go cannot be built, expected rust, or docker with a Dockerfile"),
            ),
            (
                &[],
                Some("rust"),
                false,
                Err("Cargo.toml is missing, runtime: rust needs it"),
            ),
            (
                &[],
                Some("docker"),
                false,
                Err("Dockerfile is missing, runtime: docker needs it"),
            ),
            (
                &[],
                None,
                false,
                Err("runtime is missing, expected rust, or docker with a Dockerfile"),
            ),
        ] {
            let dir = folder(files);
            let found = runtime(dir.path(), named, for_process).map_err(|e| e.to_string());
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{files:?} {named:?}"
            );
        }
    }
}
