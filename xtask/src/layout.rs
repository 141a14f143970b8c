//! The last step of `cargo xtask pgo`: code that lies in the order in which it runs.
//!
//! A compiler does not see the whole of what is linked, nor where it ends up. BOLT, a part of LLVM,
//! takes a linked program apart, counts what runs of it, and puts it together again by that.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

use crate::process::{llvm_names, output};

/// What a program has to be linked with, so that all of it can be moved.
pub(crate) const MOVABLE: &str = "-Clink-arg=-Wl,--emit-relocs";

/// Blocks by how one follows another, functions by who calls whom, and what never ran far away.
const BY_COUNTS: [&str; 5] = [
    "-reorder-blocks=ext-tsp",
    "-reorder-functions=cdsort",
    "-split-functions",
    "-split-all-cold",
    "-split-eh",
];

pub(crate) struct Bolt {
    program: PathBuf,
    merger: PathBuf,
}

impl Bolt {
    /// The one that `LLVM_BOLT` names, or else the newest there is.
    pub(crate) fn find() -> anyhow::Result<Option<Self>> {
        let found = match std::env::var_os("LLVM_BOLT") {
            Some(named) => Some(PathBuf::from(named)),
            None => newest(&folders()),
        };
        let Some(found) = found else { return Ok(None) };
        // It looks for its parts beside itself, and not beside a link to it.
        let program = found.canonicalize();
        let program = program.with_context(|| format!("llvm-bolt: {}", found.display()))?;
        let merger = program.with_file_name("merge-fdata");
        Ok(Some(Self { program, merger }))
    }

    /// Writes to `to` what does as `program`, and leaves counts in the folder `raw` when it ends.
    pub(crate) async fn count(&self, program: &Path, to: &Path, raw: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(raw).with_context(|| raw.display().to_string())?;
        let mut file = OsString::from("--instrumentation-file=");
        file.push(raw.join("run"));
        let mut bolt = Command::new(&self.program);
        bolt.args(["--instrument", "--instrumentation-file-append-pid"]);
        output(bolt.arg(file).arg("-o").args([to, program])).await?;
        Ok(())
    }

    /// Puts the counts in the folder `raw` together.
    pub(crate) async fn merge(&self, raw: &Path, to: &Path) -> anyhow::Result<()> {
        let files = raw.read_dir()?.map(|file| Ok(file?.path()));
        let files = files.collect::<std::io::Result<Vec<_>>>()?;
        output(Command::new(&self.merger).arg("-o").arg(to).args(files)).await?;
        Ok(())
    }

    /// Writes to `to` what does as `program`, with its code laid out by `counts`.
    pub(crate) async fn lay_out(
        &self,
        program: &Path,
        counts: &Path,
        to: &Path,
    ) -> anyhow::Result<()> {
        let mut bolt = Command::new(&self.program);
        bolt.args(BY_COUNTS).arg("-data").arg(counts);
        output(bolt.arg("-o").args([to, program])).await?;
        Ok(())
    }
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

fn newest(folders: &[PathBuf]) -> Option<PathBuf> {
    llvm_names("llvm-bolt").find_map(|name| {
        let places = folders.iter().map(|folder| folder.join(&name));
        places.into_iter().find(|place| place.is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_taken_wherever_it_is() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [one.path().to_owned(), other.path().to_owned()];
        assert_eq!(newest(&folders), None);
        for (folder, name) in [
            (&one, "llvm-bolt-18"),
            (&one, "llvm-bolt"),
            (&one, "llvm-bolt-19"),
            (&other, "llvm-bolt-20"),
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest(&folders), Some(other.path().join("llvm-bolt-20")));
        assert_eq!(newest(&folders[..1]), Some(one.path().join("llvm-bolt-19")));
    }
}
