//! `cargo xtask pgo`: a server that is compiled for how it is used (profile-guided optimization).
//!
//! Most of what a call runs through runs once, and the processor waits for the code. Whoever has seen
//! calls can put what they need side by side, and the rest out of the way. So a first build counts
//! what calls of every kind do, and a second one goes by the counts. What comes of it is counted once
//! more and laid out anew, where there is a tool for that.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::bench::{progress, ways};
use crate::layout::{self, Bolt};
use crate::load::{self, Call};
use crate::process::{llvm_names, output};
use crate::subject::{Ground, Kiln, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leaves out what needs a Docker engine; its ways to functions are then compiled as if nobody
    /// used them.
    #[arg(long)]
    no_docker: bool,
    /// Leaves out the last step, which takes LLVM's BOLT.
    #[arg(long)]
    no_bolt: bool,
}

const FOLDER: &str = "target/pgo";
/// For all builds, because counts go by names. In those of the other kind are dots, by which BOLT takes
/// a function for a part of another one.
const NAMES: &str = "-Csymbol-mangling-version=v0";
const TIME: Duration = Duration::from_secs(2);
/// Callers at once, and bytes in the body of a call.
const LOADS: [(usize, usize); 4] = [(1, 200), (8, 200), (64, 200), (8, 64 << 10)];
/// What most functions speak.
const FORMATS: [&str; 3] = ["http", "http-stream", "json"];

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // Before a build that would be in vain.
    let mergers = mergers().await?;
    let bolt = if args.no_bolt { None } else { Bolt::find()? };
    if bolt.is_none() && !args.no_bolt {
        progress("without llvm-bolt, which would make it faster yet: Debian has it as bolt-19");
    }
    let host = host().await?;
    let folder = Path::new(FOLDER);
    let own = |name| folder.join(name);
    // Whole, because the compiler and the servers run elsewhere.
    let whole = std::env::current_dir()?.join(folder);
    let (raw, counts, ran) = (whole.join("raw"), whole.join("counts"), whole.join("ran"));
    let program = own("fn");
    // An earlier build by other counts is not good any more; cargo does not look into them.
    for old in [&raw, &ran, &own("tuned")] {
        if old.exists() {
            std::fs::remove_dir_all(old).with_context(|| old.display().to_string())?;
        }
    }
    if program.exists() {
        std::fs::remove_file(&program).with_context(|| program.display().to_string())?;
    }
    let steps = if bolt.is_some() { 5 } else { 3 };
    let step = |number, text: &str| progress(&format!("{number} of {steps}: {text}"));
    step(1, "building a server that counts (five minutes or so)");
    let flags = [flag("generate", &raw)];
    let counting = build(folder, "counting", &host, &flags).await?;
    step(2, "calling it in many ways");
    train(&counting, !args.no_docker).await?;
    merge(&mergers, &raw, &counts).await?;
    step(3, "building the server by what was counted (another five)");
    let mut flags = vec![flag("use", &counts)];
    flags.extend(bolt.is_some().then(|| layout::MOVABLE.into()));
    let tuned = build(folder, "tuned", &host, &flags).await?;
    std::fs::copy(&tuned, &program).with_context(|| program.display().to_string())?;
    if let Some(bolt) = bolt {
        let laid_out = async {
            step(4, "calling that one, too, while it counts");
            bolt.count(&tuned, &own("fn-counting"), &ran).await?;
            train(&own("fn-counting"), !args.no_docker).await?;
            bolt.merge(&ran, &own("order")).await?;
            step(5, "laying its code out by what was counted");
            bolt.lay_out(&tuned, &own("order"), &own("fn-laid-out"))
                .await?;
            Ok::<_, anyhow::Error>(std::fs::rename(own("fn-laid-out"), &program)?)
        };
        let as_it_was = || {
            format!(
                "{} is there, but without the last step\n{BOLT}",
                program.display()
            )
        };
        laid_out.await.with_context(as_it_was)?;
    }
    let program = program.display();
    progress(&format!(
        "built {program}; measure it with `cargo xtask bench --program {program}`"
    ));
    Ok(())
}

fn flag(what: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("-Cprofile-{what}="));
    flag.push(path);
    flag
}

/// Builds the server with `flags`, and with what `RUSTFLAGS` says.
async fn build(
    folder: &Path,
    name: &str,
    host: &str,
    flags: &[OsString],
) -> anyhow::Result<PathBuf> {
    let folder = folder.join(name);
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--locked", "--bin", "fn"])
        // Named, so that what runs during the build is built without the flags.
        .args(["--target", host, "--target-dir"])
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", encoded(&own, flags));
    let status = cargo.status().await.context("cargo")?;
    ensure!(status.success(), "cargo build failed: {status}");
    Ok(folder.join(host).join("release/fn"))
}

/// The user's own flags, and more that may have spaces in them.
fn encoded(own: &str, flags: &[OsString]) -> OsString {
    let own = own.split_whitespace().chain([NAMES]).map(OsStr::new);
    own.chain(flags.iter().map(OsString::as_os_str))
        .collect::<Vec<_>>()
        .join(OsStr::new("\x1f"))
}

/// Has `program` do what servers do.
async fn train(program: &Path, docker: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path(), program);
    for (name, settings) in ways(docker) {
        let kiln = Kiln::start(name, &ground, &settings).await?;
        for format in FORMATS {
            kiln.speaking(format).await?;
            for (callers, bytes) in LOADS {
                let call = Call::new(kiln.address(), &path(format), bytes);
                let seen = load::closed(&call, callers, TIME).await?;
                let answered = seen.statuses.get(&200).copied().unwrap_or_default();
                ensure!(
                    answered > 0,
                    "{name}, {format}: no call was answered, {:?}",
                    seen.statuses
                );
            }
        }
        // It writes what it counted when it ends.
        kiln.stop().await?;
    }
    Ok(())
}

/// By the first of `mergers` that knows what this compiler's programs write.
async fn merge(mergers: &[OsString], raw: &Path, counts: &Path) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for merger in mergers {
        let mut command = Command::new(merger);
        command.args(["merge", "-o"]).arg(counts).arg(raw);
        match output(&mut command).await {
            Ok(_) => return Ok(()),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    bail!("{}\n{HINT}", failures.join("\n"))
}

const BOLT: &str = "hint: --no-bolt leaves it out; LLVM_BOLT may name another llvm-bolt";
const HINT: &str = "hint: `rustup component add llvm-tools` brings the compiler's own llvm-profdata; \
    Debian's package llvm-19, or a newer one, has another; LLVM_PROFDATA may name one";

/// Every `llvm-profdata` that runs: that of `LLVM_PROFDATA`, or else the compiler's own and then all
/// others, the newest first.
async fn mergers() -> anyhow::Result<Vec<OsString>> {
    let names = match std::env::var_os("LLVM_PROFDATA") {
        Some(named) => vec![named],
        None => {
            let libraries =
                output(Command::new("rustc").args(["--print", "target-libdir"])).await?;
            let own = Path::new(libraries.trim()).with_file_name("bin/llvm-profdata");
            let others = llvm_names("llvm-profdata").map(OsString::from);
            std::iter::once(own.into_os_string())
                .chain(others)
                .collect()
        }
    };
    let mut found = Vec::new();
    for name in names {
        let mut command = Command::new(&name);
        let command = command.args(["merge", "--help"]);
        let tried = command.stdout(Stdio::null()).stderr(Stdio::null());
        if tried.status().await.is_ok_and(|status| status.success()) {
            found.push(name);
        }
    }
    ensure!(
        !found.is_empty(),
        "there is no llvm-profdata that runs\n{HINT}"
    );
    Ok(found)
}

async fn host() -> anyhow::Result<String> {
    let said = output(Command::new("rustc").arg("-vV")).await?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("no host in what `rustc -vV` says")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_spaces_is_one_flag() {
        let flag = flag("use", Path::new("/my code/counts"));
        let expected =
            format!("-C\x1ftarget-cpu=native\x1f{NAMES}\x1f-Cprofile-use=/my code/counts");
        assert_eq!(encoded("-C target-cpu=native", &[flag]), *expected);
        assert_eq!(encoded("", &[]), NAMES);
    }
}
