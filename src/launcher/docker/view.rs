//! Where an engine finds our files, if not under the same path.

use std::path::{Path, PathBuf};

use bollard::Docker;
use tokio::sync::OnceCell;

use super::engine::refused;
use crate::launcher::LaunchError;

/// What the engine calls a folder of ours.
#[derive(Debug)]
pub(super) struct View {
    ours: PathBuf,
    /// A folder on the engine's host, or the name of a volume; `None` if it has the same path.
    theirs: Option<String>,
    found: OnceCell<PathBuf>,
}

impl View {
    pub(super) fn new(ours: &Path, theirs: Option<String>) -> Self {
        Self {
            ours: ours.to_owned(),
            theirs,
            found: OnceCell::new(),
        }
    }

    /// Whether what we mount is mounted for the engine, too.
    pub(super) fn shares_mounts(&self) -> bool {
        self.theirs.is_none()
    }

    /// Where the engine finds `path`, which is in the folder.
    pub(super) async fn of(&self, docker: &Docker, path: &Path) -> Result<PathBuf, LaunchError> {
        let Some(theirs) = &self.theirs else {
            return Ok(path.to_owned());
        };
        let found = self.found.get_or_try_init(|| find(docker, theirs)).await?;
        let within = path.strip_prefix(&self.ours).unwrap_or(path);
        Ok(found.join(within))
    }
}

async fn find(docker: &Docker, theirs: &str) -> Result<PathBuf, LaunchError> {
    if theirs.starts_with('/') {
        return Ok(theirs.into());
    }
    let volume = docker.inspect_volume(theirs).await;
    let volume = volume.map_err(|e| refused("show the volume of FN_IOFS_DOCKER_PATH", &e))?;
    Ok(volume.mountpoint.into())
}
