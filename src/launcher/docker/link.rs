//! Stdio by real pipes: see the `link` crate for the program's side.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::query_parameters::StartContainerOptions;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

use super::engine::refused;
use super::ward;
use crate::launcher::stdio::Pipes;
use crate::launcher::{LaunchError, LaunchSpec};

/// Where a container sees its socket directory.
const MOUNT: &str = "/.kiln";

/// The kernel's bound on a unix socket's path, less the final zero.
const SOCKET_PATH_MAX: usize = 107;

/// What a socket's path adds to the directory's: a container's id and the socket's name.
const SOCKET_PATH_REST: usize = "/01234567890123456789012345/sock".len();

pub(super) fn entrypoint() -> Vec<String> {
    vec![format!("{MOUNT}/link"), format!("{MOUNT}/sock")]
}

/// The directory that holds every container's socket directory.
#[derive(Debug)]
pub(super) struct Links {
    base: PathBuf,
}

impl Links {
    pub(super) fn open(base: &Path) -> Result<Self, LaunchError> {
        let host = |doing| move |source| LaunchError::Host { doing, source };
        let program = link::program().ok_or_else(|| LaunchError::Host {
            doing: "use link stdio on this platform, set FN_DOCKER_STDIO=attach",
            source: io::ErrorKind::Unsupported.into(),
        })?;
        if base.as_os_str().len() + SOCKET_PATH_REST > SOCKET_PATH_MAX {
            return Err(LaunchError::Host {
                doing: "use the socket directory, set FN_IOFS_PATH to a shorter path",
                source: io::Error::other(base.display().to_string()),
            });
        }
        own_directory(base).map_err(host("make the socket directory"))?;
        let path = base.join("link");
        let fresh = base.join("link.new");
        fs::write(&fresh, program)
            .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(host("write the link program"))?;
        Ok(Self {
            base: base.to_owned(),
        })
    }

    /// Removes the directories of containers that are no more.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.base) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Makes the directory of one container, listening.
    pub(super) fn make(&self, id: &str) -> Result<LinkDir, LaunchError> {
        self.try_make(id).map_err(|source| LaunchError::Host {
            doing: "make a container's socket",
            source,
        })
    }

    fn try_make(&self, id: &str) -> io::Result<LinkDir> {
        let path = self.base.join(id);
        fs::create_dir(&path)?;
        let made = self.fill(&path);
        if made.is_err() {
            let _ = fs::remove_dir_all(&path);
        }
        Ok(LinkDir {
            listener: made?,
            path,
        })
    }

    fn fill(&self, path: &Path) -> io::Result<UnixListener> {
        // The function may run as any user.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        fs::hard_link(self.base.join("link"), path.join("link"))?;
        let listener = UnixListener::bind(path.join("sock"))?;
        fs::set_permissions(path.join("sock"), fs::Permissions::from_mode(0o666))?;
        Ok(listener)
    }
}

/// Makes `path` a directory that is ours alone: others on this host must not reach a socket
/// before its container does, and everything below is removed at every start.
fn own_directory(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "{} is not a directory of ours",
            path.display()
        )));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// One container's directory: the program, and the socket on which it asks for its pipes.
#[derive(Debug)]
pub(super) struct LinkDir {
    path: PathBuf,
    listener: UnixListener,
}

impl LinkDir {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bind(&self) -> String {
        // `z`: on a host with SELinux the container may not read the directory otherwise.
        format!("{}:{MOUNT}:ro,z", self.path.display())
    }
}

/// Starts the created container `id` and hands it its pipes.
pub(super) async fn start(
    docker: &Docker,
    id: &str,
    dir: LinkDir,
    spec: &LaunchSpec,
) -> Result<Pipes, LaunchError> {
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await
        .map_err(|e| refused("start the container", &e))?;
    let stream = tokio::select! {
        accepted = dir.listener.accept() => accepted.map_err(handing_over)?.0,
        exit = ward::wait(docker, id) => return Err(LaunchError::Ended(exit.to_string())),
    };
    let mut pipes = Pipes::new().map_err(handing_over)?;
    // Ours to close once sent: else the function's end of file would never come.
    let theirs = std::mem::take(&mut pipes.theirs);
    hand_over(&stream, &theirs).map_err(handing_over)?;
    drop(theirs);
    match answer(stream).await.map_err(handing_over)? {
        None => Ok(pipes),
        Some(errno) => Err(LaunchError::Command {
            image: spec.image.reference.clone(),
            command: spec.image.command.first().cloned().unwrap_or_default(),
            reason: io::Error::from_raw_os_error(errno).to_string(),
        }),
    }
}

fn handing_over(source: io::Error) -> LaunchError {
    LaunchError::Host {
        doing: "hand over the pipes",
        source,
    }
}

fn hand_over(stream: &UnixStream, fds: &[OwnedFd]) -> io::Result<()> {
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other(
            "three descriptors do not fit into a message",
        ));
    }
    rustix::net::sendmsg(
        stream,
        &[IoSlice::new(b"k")],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Waits until the program has become the function, or said why it could not.
async fn answer(mut stream: UnixStream) -> io::Result<Option<i32>> {
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await?;
    Ok(link::decode_failure(&said))
}
