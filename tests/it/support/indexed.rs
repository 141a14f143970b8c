//! Images that declare their functions, well or badly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::{Example, Gateway, run_cli, run_cli_with};

/// A folder whose image answers as the last part of its name says; see `examples/misbehave`.
pub(crate) struct Indexed {
    dir: PathBuf,
    /// The folder and the names of its images are the same for all tests, also for those of
    /// another run, and each test writes its own func.yaml there.
    _alone: fs::File,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

impl Indexed {
    pub(crate) async fn folder() -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let alone = fs::File::create(target.join("indexed.lock")).unwrap();
        let waiting = tokio::task::spawn_blocking(move || alone.lock().map(|()| alone));
        let alone = waiting.await.unwrap().unwrap();
        let dir = target.join("indexed");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("src")).unwrap();
        let example = Example::Misbehave.folder();
        // Under a name of its own: cargo puts the programs of all examples into one folder.
        for file in ["Cargo.toml", "Cargo.lock"] {
            let text = fs::read_to_string(example.join(file)).unwrap();
            let text = text.replace("name = \"misbehave\"", "name = \"ix\"");
            fs::write(dir.join(file), text).unwrap();
        }
        for entry in fs::read_dir(example.join("src")).unwrap() {
            let file = entry.unwrap().path();
            fs::copy(&file, dir.join("src").join(file.file_name().unwrap())).unwrap();
        }
        Self { dir, _alone: alone }
    }

    /// Its func.yaml, for an image that answers as `behaviour` says; `more` are lines of it.
    pub(crate) fn is(&self, behaviour: &str, more: &str) {
        let text = format!(
            "schema_version: 20180708\nname: ix-{behaviour}\nversion: 0.0.1\nruntime: rust\n\
             format: http\ncmd: {behaviour}\n{more}\n"
        );
        fs::write(self.dir.join("func.yaml"), text).unwrap();
    }

    pub(crate) fn func_yaml(&self) -> String {
        fs::read_to_string(self.dir.join("func.yaml")).unwrap()
    }

    /// Builds the image and gives its reference.
    pub(crate) async fn image(&self, gateway: &Gateway) -> String {
        let dir = self.dir.to_str().unwrap();
        let said = Said::from(run_cli(gateway, &["build", dir]).await).fine();
        said.out.trim().rsplit_once("built: ").unwrap().1.to_owned()
    }

    pub(crate) async fn deploy(&self, gateway: &Gateway, flags: &[&str]) -> Said {
        let dir = self.dir.to_str().unwrap();
        let mut args = vec!["deploy", "--app", "a", "--create-app", "--local"];
        args.extend(flags);
        args.push(dir);
        run_cli(gateway, &args).await.into()
    }

    /// As [`deploy`](Self::deploy), of a program that answers as `behaviour` says whatever its
    /// name is.
    pub(crate) async fn deploy_as(
        &self,
        gateway: &Gateway,
        behaviour: &str,
        flags: &[&str],
    ) -> Said {
        let dir = self.dir.to_str().unwrap();
        let mut args = vec!["deploy", "--app", "a", "--create-app", "--local"];
        args.extend(flags);
        args.push(dir);
        let environment = [("MISBEHAVE_INDEX", behaviour)];
        run_cli_with(gateway, &args, &environment).await.into()
    }
}

/// Runs the command line.
pub(crate) async fn said(gateway: &Gateway, line: &str) -> Said {
    let args: Vec<&str> = line.split(' ').collect();
    run_cli(gateway, &args).await.into()
}
