use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config::check_name;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// How the function is made: rust, or docker with a Dockerfile.
    #[arg(long, default_value = "rust")]
    runtime: RuntimeArg,
    /// The trigger to give the function.
    #[arg(long, default_value = "http")]
    trigger: TriggerArg,
    /// Name of the function; the folder's name where it is not given.
    #[arg(long)]
    name: Option<String>,
    /// Overwrite files that exist.
    #[arg(long)]
    force: bool,
    /// Folder to create; the current one where it is not given.
    #[arg(value_name = "NAME", default_value = ".")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum, PartialEq)]
enum RuntimeArg {
    Rust,
    Docker,
}

#[derive(Clone, Copy, Debug, ValueEnum, PartialEq)]
enum TriggerArg {
    Http,
    None,
}

type File = (&'static str, String);

pub(super) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let name = name(args)?;
    let files = files(args, &name);
    if !args.force {
        let others = ["func.yml", "func.json"];
        let existing = files.iter().map(|(file, _)| *file).chain(others);
        if let Some(file) = existing
            .map(|f| args.dir.join(f))
            .find(|path| path.exists())
        {
            let message = format!("{} exists already", file.display());
            return Err(Failure::new(message)
                .hint("overwrite it with --force")
                .into());
        }
    }
    for (file, content) in &files {
        let path = args.dir.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output::line(&format!(
        "Function {name} created in {}",
        args.dir.display()
    ))?;
    output::note(&format!(
        "Next: fn deploy --app APP --create-app --local {}",
        args.dir.display()
    ));
    Ok(())
}

fn name(args: &InitArgs) -> anyhow::Result<String> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => std::path::absolute(&args.dir)?
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    };
    match check_name(&name) {
        Ok(()) => Ok(name),
        Err(rule) => {
            let message = format!("name: {name:?} is not allowed, expected {rule}");
            Err(Failure::new(message)
                .hint("give another one with --name")
                .into())
        }
    }
}

fn files(args: &InitArgs, name: &str) -> Vec<File> {
    let mut files = vec![("func.yaml", func_yaml(args, name))];
    match args.runtime {
        RuntimeArg::Rust => {
            let cargo = include_str!("template/Cargo.toml.in")
                .replace("{{package}}", &package_name(name))
                .replace(
                    "{{fdk}}",
                    &fdk_dependency(Path::new(env!("CARGO_MANIFEST_DIR"))),
                );
            files.push(("Cargo.toml", cargo));
            files.push((
                "src/main.rs",
                include_str!("template/main.rs.in").to_owned(),
            ));
            files.push((
                ".gitignore",
                include_str!("template/gitignore.in").to_owned(),
            ));
        }
        RuntimeArg::Docker => {
            let dockerfile = include_str!("template/Dockerfile.in").to_owned();
            files.push(("Dockerfile", dockerfile));
            files.push(("func.py", include_str!("template/func.py.in").to_owned()));
        }
    }
    files
}

fn func_yaml(args: &InitArgs, name: &str) -> String {
    let runtime = match args.runtime {
        RuntimeArg::Rust => "rust",
        RuntimeArg::Docker => "docker",
    };
    let head = format!(
        "schema_version: 20180708\nname: {name}\nversion: 0.0.1\nruntime: {runtime}\nformat: http\n"
    );
    match args.trigger {
        TriggerArg::Http => {
            format!("{head}triggers:\n  - name: {name}\n    type: http\n    source: /{name}\n")
        }
        TriggerArg::None => head,
    }
}

/// Cargo allows neither dots nor a digit at the front.
fn package_name(name: &str) -> String {
    let plain = name.replace('.', "-");
    if plain.starts_with(|c: char| c.is_ascii_digit()) || plain == "fdk" {
        format!("fn-{plain}")
    } else {
        plain
    }
}

/// The FDK beside the sources that this program was built from, while they are there.
fn fdk_dependency(checkout: &Path) -> String {
    let fdk = checkout.join("fdk");
    if fdk.join("Cargo.toml").is_file() {
        let path = toml_text(&fdk.display().to_string());
        format!("{{ package = \"kiln-fdk\", path = {path} }}")
    } else {
        "{ package = \"kiln-fdk\", version = \"0.1\" }".to_owned()
    }
}

/// A basic string of TOML, whose escapes for these characters are those of JSON.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Deployment, Manifest};
    use crate::model::Format;

    fn args(dir: PathBuf, runtime: RuntimeArg) -> InitArgs {
        InitArgs {
            runtime,
            trigger: TriggerArg::Http,
            name: None,
            force: false,
            dir,
        }
    }

    #[test]
    fn a_new_folder_holds_a_function_that_can_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        for runtime in [RuntimeArg::Rust, RuntimeArg::Docker] {
            let folder = dir.path().join(format!("hello-{runtime:?}").to_lowercase());
            run(&args(folder.clone(), runtime)).unwrap();
            let (_, _, manifest) = Manifest::find(&folder).unwrap();
            assert_eq!(manifest.format, Format::Http);
            let Deployment::Function { triggers } = &manifest.deployment else {
                panic!("a function");
            };
            assert_eq!(triggers[0].source, format!("/{}", manifest.name));
            crate::build::plan(&folder, &manifest, false).unwrap();
            for (file, content) in files(&args(folder, runtime), "x") {
                assert!(!content.contains("{{"), "{file}");
            }
        }
    }

    #[test]
    fn files_that_exist_are_kept_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("hello");
        let mut args = args(folder.clone(), RuntimeArg::Rust);
        run(&args).unwrap();
        fs::write(folder.join("src/main.rs"), "mine").unwrap();
        let error = run(&args).unwrap_err().to_string();
        assert!(error.ends_with("func.yaml exists already"), "{error}");
        assert_eq!(
            fs::read_to_string(folder.join("src/main.rs")).unwrap(),
            "mine"
        );
        args.force = true;
        run(&args).unwrap();
        assert_ne!(
            fs::read_to_string(folder.join("src/main.rs")).unwrap(),
            "mine"
        );
    }

    #[test]
    fn a_name_that_no_image_can_have_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("Hello World");
        let error = run(&args(folder.clone(), RuntimeArg::Rust)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("name: \"Hello World\" is not allowed")
        );
        assert!(!folder.exists());
    }

    #[test]
    fn the_fdk_comes_from_the_checkout_while_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fdk_dependency(dir.path()).contains("version = \"0.1\""));
        fs::create_dir(dir.path().join("fdk")).unwrap();
        fs::write(dir.path().join("fdk/Cargo.toml"), "").unwrap();
        assert!(fdk_dependency(dir.path()).contains("/fdk\" }"));
        assert_eq!(package_name("3d.scan"), "fn-3d-scan");
    }
}
