//! Where an engine finds our files, if not under the same path.

use std::path::{Path, PathBuf};

use bollard::Docker;
use tokio::sync::OnceCell;

use super::engine::refused;
use crate::launcher::LaunchError;

/// What the engine calls the folder of the sockets.
#[derive(Debug)]
pub(super) struct View {
    sockets: PathBuf,
    /// The folder that it is in: one on the engine's host, or the name of a volume; `None` if it has
    /// the same path.
    above: Option<String>,
    found: OnceCell<PathBuf>,
}

impl View {
    pub(super) fn new(sockets: &Path, above: Option<String>) -> Self {
        Self {
            sockets: sockets.to_owned(),
            above,
            found: OnceCell::new(),
        }
    }

    /// Whether what we mount is mounted for the engine, too.
    pub(super) fn shares_mounts(&self) -> bool {
        self.above.is_none()
    }

    /// Where the engine finds the sockets.
    pub(super) async fn sockets(&self, docker: &Docker) -> Result<&Path, LaunchError> {
        let find = async {
            let Some(above) = &self.above else {
                return Ok(self.sockets.clone());
            };
            let above = find(docker, above).await?;
            Ok(above.join(self.sockets.file_name().unwrap_or_default()))
        };
        self.found
            .get_or_try_init(|| find)
            .await
            .map(PathBuf::as_path)
    }
}

async fn find(docker: &Docker, above: &str) -> Result<PathBuf, LaunchError> {
    if above.starts_with('/') {
        return Ok(above.into());
    }
    let volume = docker.inspect_volume(above).await;
    let volume = volume.map_err(|e| refused("show the volume of FN_IOFS_DOCKER_PATH", &e))?;
    Ok(volume.mountpoint.into())
}
