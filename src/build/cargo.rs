use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::build::error::BuildError;
use crate::build::plan::Progress;
use crate::build::steps::{finish, lines};
use crate::config::variable;

/// One line of cargo's JSON; other kinds of message have neither target nor executable.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// A program of the package: its name and where cargo put it.
type Binary = (String, PathBuf);

/// Compiles the package in `dir` into one static program that runs in an empty image.
pub(super) async fn build(
    dir: &Path,
    name: &str,
    progress: &dyn Progress,
) -> Result<PathBuf, BuildError> {
    let triple = host_triple(dir).await?;
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--release",
        "--message-format=json-render-diagnostics",
    ]);
    // With a target named, the flags do not reach build scripts and procedural macros, which
    // cannot be linked statically.
    cargo.args(["--target", &triple]);
    make_static(&mut cargo, &triple);
    cargo
        .current_dir(dir)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let mut child = cargo
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(no_cargo)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (binaries, output) = tokio::join!(binaries(out), lines(err, progress));
    finish(child, "cargo build", &output).await?;
    choose(binaries, name)
}

/// The flags of the person's own environment or configuration stay in force.
fn make_static(cargo: &mut Command, triple: &str) {
    const ENCODED: &str = "CARGO_ENCODED_RUSTFLAGS";
    if let Some(flags) = variable(ENCODED) {
        cargo.env(ENCODED, format!("{flags}\x1f-Ctarget-feature=+crt-static"));
    } else if let Some(flags) = variable("RUSTFLAGS") {
        cargo.env("RUSTFLAGS", format!("{flags} -Ctarget-feature=+crt-static"));
    } else {
        let flags = format!("target.{triple}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
        cargo.args(["--config", &flags]);
    }
}

async fn host_triple(dir: &Path) -> Result<String, BuildError> {
    let output = Command::new("rustc")
        .arg("-vV")
        .current_dir(dir)
        .output()
        .await
        .map_err(no_cargo)?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(triple) => Ok(triple.to_owned()),
        None => Err(BuildError::Command {
            command: "rustc -vV".to_owned(),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

fn no_cargo(error: io::Error) -> BuildError {
    if error.kind() == io::ErrorKind::NotFound {
        BuildError::NoCargo
    } else {
        BuildError::io("run", Path::new("cargo"))(error)
    }
}

async fn binaries<R: AsyncRead + Unpin>(stdout: Option<R>) -> Vec<Binary> {
    let mut found = Vec::new();
    let Some(stdout) = stdout else {
        return found;
    };
    let mut messages = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = messages.next_line().await {
        found.extend(binary(&line));
    }
    found
}

/// The program that a line of cargo's output reports, where it does.
fn binary(line: &str) -> Option<Binary> {
    let message: Message = serde_json::from_str(line).ok()?;
    let target = message.target?;
    let is_program = target.kind.iter().any(|kind| kind == "bin");
    (message.reason == "compiler-artifact" && is_program)
        .then_some(message.executable)?
        .map(|path| (target.name, path))
}

fn choose(mut binaries: Vec<Binary>, name: &str) -> Result<PathBuf, BuildError> {
    if binaries.len() > 1
        && let Some(at) = binaries.iter().position(|(binary, _)| binary == name)
    {
        return Ok(binaries.swap_remove(at).1);
    }
    match binaries.len() {
        0 => Err(BuildError::NoBinary),
        1 => Ok(binaries.swap_remove(0).1),
        _ => {
            let names: Vec<&str> = binaries.iter().map(|(name, _)| name.as_str()).collect();
            Err(BuildError::SeveralBinaries {
                found: names.join(", "),
                name: name.to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_are_taken_from_the_messages_of_cargo() {
        let program = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"hello"},"executable":"/t/hello"}"#;
        assert_eq!(
            binary(program),
            Some(("hello".to_owned(), "/t/hello".into()))
        );
        for line in [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"hello"},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"kind":["custom-build"],"name":"b"},"executable":"/t/b"}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "printed by a build script",
        ] {
            assert_eq!(binary(line), None, "{line}");
        }
    }

    #[test]
    fn of_several_programs_the_one_named_as_the_function_is_taken() {
        let named = |names: &[&str]| -> Vec<Binary> {
            names
                .iter()
                .map(|n| ((*n).to_owned(), PathBuf::from(n)))
                .collect()
        };
        assert_eq!(choose(named(&["a"]), "x").unwrap(), Path::new("a"));
        assert_eq!(choose(named(&["a", "x"]), "x").unwrap(), Path::new("x"));
        let several = choose(named(&["a", "b"]), "x").unwrap_err().to_string();
        let expected = "the package has several binaries (a, b), expected one, or one called x";
        assert_eq!(several, expected);
        assert!(matches!(choose(vec![], "x"), Err(BuildError::NoBinary)));
    }
}
