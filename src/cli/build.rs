use std::path::{Path, PathBuf};

use clap::Args;

use crate::build::{self, Engine, EngineError, Output, Plan, Progress as _};
use crate::cli::client::{ClientError, Launcher};
use crate::cli::output::{self, Steps};
use crate::cli::session::Session;
use crate::config::{Manifest, Version};

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Registry and owner to tag the image with [env: FN_REGISTRY].
    #[arg(long)]
    registry: Option<String>,
    /// Build without the engine's cache.
    #[arg(long)]
    no_cache: bool,
    /// The function's folder.
    #[arg(value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

pub(super) async fn run(args: &BuildArgs, session: &Session) -> anyhow::Result<()> {
    let (_, _, manifest) = Manifest::find(&args.dir)?;
    // Without a server nothing can say what it would run, and an engine is the usual answer.
    let launcher = match session.api.launcher().await {
        Ok(launcher) => launcher,
        Err(ClientError::Unreachable { .. }) => without_server(session).await,
        Err(error) => return Err(error.into()),
    };
    let registry = args
        .registry
        .as_deref()
        .or(session.config.registry.as_deref());
    let version = manifest.version.clone().unwrap_or_else(Version::first);
    let tag = image_name(&manifest, registry, &version);
    let mut maker = Maker::new(&args.dir, &manifest, launcher, session).await?;
    maker.plan.no_cache = args.no_cache;
    let image = maker.make(tag, session).await?;
    output::line(&format!("Function {} built: {image}", manifest.name))?;
    Ok(())
}

async fn without_server(session: &Session) -> Launcher {
    match build::engine(session.docker_host.as_deref()).await {
        Err(EngineError::Unreachable { .. }) => Launcher::Process,
        _ => Launcher::Docker,
    }
}

/// A build that is sure to have its folder and its engine.
#[derive(Debug)]
pub(super) struct Maker {
    pub(super) plan: Plan,
    pub(super) engine: Option<Engine>,
}

impl Maker {
    /// Finds whatever would stop the build, before anything is changed.
    pub(super) async fn new(
        dir: &Path,
        manifest: &Manifest,
        launcher: Launcher,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let for_process = launcher == Launcher::Process;
        let plan = build::plan(dir, manifest, for_process)?;
        let engine = if for_process {
            None
        } else {
            let host = session.docker_host.as_deref();
            let engine = build::engine(host).await.map_err(build::BuildError::from)?;
            Some(engine)
        };
        Ok(Self { plan, engine })
    }

    /// Builds the image `tag`, or the program that stands for it, and gives its reference.
    pub(super) async fn make(&self, tag: String, session: &Session) -> anyhow::Result<String> {
        let steps = Steps::new(session.verbose);
        let output = match &self.engine {
            Some(engine) => Output::Image { engine, tag },
            None => {
                steps.step("Functions run as processes here: building a program, not an image");
                Output::Binary {
                    data_dir: &session.config.data_dir,
                }
            }
        };
        let image = self.plan.run(&output, &steps).await?;
        steps.done();
        Ok(image)
    }
}

/// `[registry/]name:version`; an owner in func.yaml stands for the registry.
pub(super) fn image_name(manifest: &Manifest, registry: Option<&str>, version: &Version) -> String {
    let name = &manifest.name;
    match manifest.owner.as_deref().or(registry) {
        Some(owner) => format!("{}/{name}:{version}", owner.trim_matches('/')),
        None => format!("{name}:{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_registry_name_and_version() {
        let plain = Manifest::parse("name: hello", "x").unwrap();
        let owned = Manifest::parse("name: team/hello", "x").unwrap();
        let version = Version::first();
        assert_eq!(image_name(&plain, None, &version), "hello:0.0.1");
        assert_eq!(
            image_name(&plain, Some("r.example.com:5000/o/"), &version),
            "r.example.com:5000/o/hello:0.0.1"
        );
        assert_eq!(
            image_name(&owned, Some("r/o"), &version),
            "team/hello:0.0.1"
        );
    }
}
