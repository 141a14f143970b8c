//! Stdio by real pipes: see the `link` crate for the program's side.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::query_parameters::StartContainerOptions;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

use super::engine::refused;
use super::ward;
use crate::launcher::folder::{Folder, Folders};
use crate::launcher::{Exit, LaunchError, LaunchSpec, Loss};

/// Where a container sees the link program and its socket.
const MOUNT: &str = "/.kiln";
const PROGRAM: &str = "/.kiln/link";

pub(super) fn entrypoint() -> Vec<String> {
    vec![PROGRAM.to_owned(), format!("{MOUNT}/sock")]
}

pub(super) fn bind(folder: &Folder) -> String {
    // `z`: on a host with SELinux the container may not read the directory otherwise.
    format!("{}:{MOUNT}:ro,z", folder.path().join("link").display())
}

/// The link program, ready to be put beside a container's socket.
#[derive(Debug)]
pub(super) struct Links {
    program: PathBuf,
}

impl Links {
    pub(super) fn open(folders: &Folders) -> Result<Self, LaunchError> {
        let host = |doing| move |source| LaunchError::Host { doing, source };
        let bytes = link::program().ok_or_else(|| LaunchError::Host {
            doing: "use link stdio on this platform, set FN_DOCKER_STDIO=attach",
            source: io::ErrorKind::Unsupported.into(),
        })?;
        let program = folders.base().join("link");
        let fresh = folders.base().join("link.new");
        fs::write(&fresh, bytes)
            .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
            .and_then(|()| fs::rename(&fresh, &program))
            .map_err(host("write the link program"))?;
        Ok(Self { program })
    }

    /// Puts the program and a listening socket into a container's folder.
    pub(super) fn listen(&self, folder: &Folder) -> Result<UnixListener, LaunchError> {
        self.fill(&folder.path().join("link"))
            .map_err(|source| LaunchError::Host {
                doing: "make a container's socket",
                source,
            })
    }

    fn fill(&self, path: &Path) -> io::Result<UnixListener> {
        fs::create_dir(path)?;
        // The function may run as any user.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        fs::hard_link(&self.program, path.join("link"))?;
        let listener = UnixListener::bind(path.join("sock"))?;
        fs::set_permissions(path.join("sock"), fs::Permissions::from_mode(0o666))?;
        Ok(listener)
    }
}

/// Starts the created container `id` and hands it `pipes`, its ends of them. Returns the function's
/// process, by the number that this host's kernel gives it.
pub(super) async fn start(
    docker: &Docker,
    id: &str,
    listener: UnixListener,
    pipes: Vec<OwnedFd>,
    spec: &LaunchSpec,
) -> Result<Option<i32>, LaunchError> {
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await
        .map_err(|e| not_started(&listener, &e))?;
    let stream = tokio::select! {
        accepted = listener.accept() => accepted.map_err(handing_over)?.0,
        exit = ward::wait(docker, id) => return Err(match exit {
            Exit::Lost(Loss::Engine) => LaunchError::EngineDown(Loss::Engine.to_string()),
            exit => LaunchError::Ended(exit.to_string()),
        }),
    };
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    hand_over(&stream, &pipes).map_err(handing_over)?;
    // Ours to close once sent: else the function's end of file would never come.
    drop(pipes);
    match answer(stream).await.map_err(handing_over)? {
        None => Ok(pid),
        Some(errno) => Err(LaunchError::Command {
            image: spec.image.reference.clone(),
            command: spec.image.command.first().cloned().unwrap_or_default(),
            reason: io::Error::from_raw_os_error(errno).to_string(),
        }),
    }
}

fn not_started(listener: &UnixListener, error: &bollard::errors::Error) -> LaunchError {
    match refused("start the container", error) {
        LaunchError::Refused { reason, .. } if is_unseen(&reason) => {
            let socket = listener.local_addr().ok();
            let path = socket.as_ref().and_then(|socket| socket.as_pathname());
            let folder = path.and_then(Path::parent);
            LaunchError::Unseen {
                folder: folder.map_or_else(String::new, |folder| folder.display().to_string()),
                reason,
            }
        }
        other => other,
    }
}

/// An engine that sees other files than ours makes the folder anew, with nothing in it; one that may
/// not run what it sees there is no better off.
fn is_unseen(reason: &str) -> bool {
    // Runtimes differ in their spelling.
    let reason = reason.to_lowercase();
    let flaws = ["no such file or directory", "permission denied"];
    reason.contains(PROGRAM) && flaws.iter().any(|flaw| reason.contains(flaw))
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
