use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::build;
use crate::cli::build::{Maker, image_name};
use crate::cli::client::Launcher;
use crate::cli::deploy::app::{Target, find_target, read_app_file};
use crate::cli::deploy::indexed::{Answer, Inquiry};
use crate::cli::deploy::{function, route};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Steps};
use crate::cli::session::Session;
use crate::config::{APP_NAME_RULE, Deployment, Manifest, Version, bump_patch, is_app_name};

/// Docker refuses containers with less.
const MIN_ENGINE_MEMORY_MB: u64 = 6;
/// The shortest quota that the kernel's scheduler takes is a hundredth of its period.
const MIN_ENGINE_MILLI_CPUS: u32 = 10;

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The app that the function belongs to; app.yaml names it where this does not.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(super) app: Option<String>,
    /// Create the app where it does not exist.
    #[arg(long)]
    pub(super) create_app: bool,
    /// Leave the image on this engine, push nothing.
    #[arg(long)]
    pub(super) local: bool,
    /// Deploy the version that func.yaml has.
    #[arg(long)]
    pub(super) no_bump: bool,
    /// Registry and owner to tag the image with and to push it to [env: FN_REGISTRY].
    #[arg(long)]
    pub(super) registry: Option<String>,
    /// Build without the engine's cache.
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Of an image that declares its functions: say what would change, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Of an image that declares its functions: leave out those that have problems.
    #[arg(long)]
    pub(super) skip_invalid: bool,
    /// Of an image that declares its functions: keep those that it no longer declares.
    #[arg(long)]
    pub(super) keep_missing: bool,
    /// Of an image that declares its functions: ask it again, although its answer is known.
    #[arg(long)]
    pub(super) reindex: bool,
    /// The function's folder.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(super) dir: PathBuf,
}

pub(crate) async fn run(args: &DeployArgs, session: &Session) -> anyhow::Result<()> {
    let (file, text, manifest) = Manifest::find(&args.dir)?;
    let app_file = read_app_file(&args.dir)?;
    let app_name = match (&args.app, &app_file) {
        (Some(name), _) => name.clone(),
        (None, Some(app)) => app.name.clone(),
        (None, None) => {
            return Err(Failure::new("no app is named")
                .hint("give one with --app")
                .into());
        }
    };
    if !is_app_name(&app_name) {
        let message = format!("--app: {app_name} is not allowed, expected {APP_NAME_RULE}");
        return Err(Failure::new(message)
            .hint("choose another name for the app")
            .into());
    }
    let version = next_version(args.no_bump, &text, &manifest)?;
    let launcher = session.api.launcher().await?;
    let maker = Maker::new(&args.dir, &manifest, launcher, session).await?;
    let may_create = args.create_app || app_file.is_some();
    let target = find_target(&app_name, app_file, may_create, &manifest, &session.api).await?;
    warn_of_missing_config(&manifest, &target);

    if launcher == Launcher::Docker {
        warn_of_what_engines_refuse(&manifest);
    }

    let engine = maker.engine.clone();
    let image = make(args, session, &manifest, maker, launcher, &version).await?;
    let mut inquiry = None;
    if declares(&manifest, engine.as_ref(), &image).await? {
        let mut asked = Inquiry::new(args, session, &target, &manifest, &image);
        match asked.ask(&manifest).await? {
            Answer::Declared => inquiry = Some(asked),
            Answer::FuncYaml(why) => output::note(&why),
        }
    }
    if args.dry_run {
        return match inquiry {
            Some(_) => Ok(()),
            None => Err(
                Failure::new("--dry-run is for images that declare their functions")
                    .hint("deploy without it: func.yaml says what will be there")
                    .into(),
            ),
        };
    }
    if !args.no_bump {
        write_version(&args.dir.join(file), &version)?;
    }
    if let Some(mut inquiry) = inquiry {
        return inquiry.apply().await;
    }
    let urls = match &manifest.deployment {
        Deployment::Route { .. } => route::put(&session.api, &target, &manifest, &image).await?,
        Deployment::Function { triggers } => {
            function::put(&session.api, &target, &manifest, triggers, &image).await?
        }
    };
    output::line(&format!(
        "Deployed {} {version} to app {app_name}",
        manifest.name
    ))?;
    for url in urls {
        output::line(&format!("  {url}"))?;
    }
    Ok(())
}

/// Whether the image is to be asked for its functions: the folder says so, or the image itself.
async fn declares(
    manifest: &Manifest,
    engine: Option<&build::Engine>,
    image: &str,
) -> anyhow::Result<bool> {
    if manifest.indexing.is_some() {
        return Ok(true);
    }
    let (Some(engine), Deployment::Function { .. }) = (engine, &manifest.deployment) else {
        return Ok(false);
    };
    let labels = build::labels(engine, image).await?;
    let label = labels.get(build::INDEXING);
    Ok(label.is_some_and(|value| value.trim().eq_ignore_ascii_case("true")))
}

fn next_version(no_bump: bool, text: &str, manifest: &Manifest) -> anyhow::Result<Version> {
    if no_bump {
        return Ok(manifest.version.clone().unwrap_or_else(Version::first));
    }
    match bump_patch(text) {
        Ok((_, version)) => Ok(version),
        Err(error) => Err(Failure::new(error.to_string())
            .hint("change the version by hand and deploy with --no-bump")
            .into()),
    }
}

async fn make(
    args: &DeployArgs,
    session: &Session,
    manifest: &Manifest,
    mut maker: Maker,
    launcher: Launcher,
    version: &Version,
) -> anyhow::Result<String> {
    let registry = args
        .registry
        .as_deref()
        .or(session.config.registry.as_deref());
    let tag = image_name(manifest, registry, version);
    maker.plan.no_cache = args.no_cache;
    let image = maker.make(tag, session).await?;
    if args.local || launcher == Launcher::Process {
        return Ok(image);
    }
    if registry.is_none() && manifest.owner.is_none() {
        output::note("no registry given: the image stays on this engine");
        return Ok(image);
    }
    if let Some(engine) = &maker.engine {
        let steps = Steps::new(session.verbose);
        build::Progress::step(&steps, &format!("Pushing {image}"));
        build::push(engine, &image, session.docker_config.as_deref(), &steps).await?;
        steps.done();
    }
    Ok(image)
}

/// Edits the file as it is now: a build may take minutes, and people edit meanwhile.
fn write_version(path: &Path, version: &Version) -> anyhow::Result<()> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    match bump_patch(&text) {
        Ok((text, new)) if new == *version => {
            std::fs::write(path, text).with_context(|| format!("cannot write {shown}"))
        }
        _ => {
            output::note(&format!(
                "{shown} has changed, its version was left as it is"
            ));
            Ok(())
        }
    }
}

fn warn_of_missing_config(manifest: &Manifest, target: &Target) {
    for expected in manifest.expects.iter().filter(|expected| expected.required) {
        let name = &expected.name;
        if !manifest.config.contains_key(name) && !target.config().contains_key(name) {
            output::note(&format!(
                "the function expects a configuration value {name}"
            ));
        }
    }
}

/// The API takes what Fn's took; the engine says no when the function is first called.
fn warn_of_what_engines_refuse(manifest: &Manifest) {
    for text in too_little_for_engines(manifest) {
        output::note(&text);
    }
}

fn too_little_for_engines(manifest: &Manifest) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(memory) = manifest.memory_mb
        && memory < MIN_ENGINE_MEMORY_MB
    {
        notes.push(format!(
            "memory: {memory} is less than Docker takes, which is {MIN_ENGINE_MEMORY_MB}: calls \
             will fail"
        ));
    }
    if let Deployment::Route {
        cpus: Some(cpus), ..
    } = &manifest.deployment
        && (1..MIN_ENGINE_MILLI_CPUS).contains(&cpus.get())
    {
        notes.push(format!(
            "cpus: {cpus} is less than Docker takes, which is {MIN_ENGINE_MILLI_CPUS}m: calls \
             will fail"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_an_engine_refuses_are_told_before_a_call_fails() {
        for (text, notes) in [
            ("memory: 5", 1),
            ("memory: 6", 0),
            ("cpus: 9m", 1),
            ("cpus: 10m", 0),
            ("cpus: 0", 0),
            ("cpus: 0.001\nmemory: 1", 2),
            ("timeout: 1", 0),
        ] {
            let manifest = Manifest::parse(&format!("name: f\n{text}\n"), "f").unwrap();
            let told = too_little_for_engines(&manifest);
            assert_eq!(told.len(), notes, "{text}: {told:?}");
        }
    }
}
