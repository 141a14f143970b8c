//! Stdio by real pipes: see the `link` crate for the program's side.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::errors::Error;
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

/// `folder`: as the engine sees it.
pub(super) fn bind(folder: &Path) -> String {
    // `z`: on a host with SELinux the container may not read the directory otherwise.
    format!("{}:{MOUNT}:ro,z", folder.join("link").display())
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

/// Starts the created container `id`, whose folder the engine should see as `seen`, and hands it
/// `pipes`, its ends of them. Returns the function's process, by the number that this host's kernel
/// gives it.
pub(super) async fn start(
    docker: &Docker,
    id: &str,
    seen: &Path,
    listener: UnixListener,
    pipes: Vec<OwnedFd>,
    spec: &LaunchSpec,
) -> Result<Option<i32>, LaunchError> {
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await
        .map_err(|e| unseen(seen, &e).unwrap_or_else(|| refused("start the container", &e)))?;
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

/// What `error` means if the engine sees other files in `folder`, which is the container's as the
/// engine should see it.
pub(super) fn unseen(folder: &Path, error: &Error) -> Option<LaunchError> {
    let (folder, reason) = (folder.display().to_string(), error.to_string());
    tells_unseen(&folder, &reason).then_some(LaunchError::Unseen { folder, reason })
}

/// Some engines make a folder that they do not see anew, with nothing in it, and then miss the
/// program; others refuse to mount it.
fn tells_unseen(folder: &str, said: &str) -> bool {
    let missing = said.to_lowercase().contains("no such file or directory");
    let quoted = |quote: char| said.contains(&format!("{quote}{PROGRAM}{quote}"));
    said.contains(folder) || (missing && (quoted('"') || quoted('`')))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_say_in_their_own_words_that_they_do_not_see_a_folder() {
        for (said, unseen) in [
            (
                "failed to create task: runc create failed: unable to start container process: \
                 exec: \"/.kiln/link\": stat /.kiln/link: no such file or directory: unknown",
                true,
            ),
            (
                "crun: executable file `/.kiln/link` not found: No such file or directory",
                true,
            ),
            (
                "error while creating mount source path '/srv/iofs/k/1/link': mkdir /srv: \
                 read-only file system",
                true,
            ),
            ("statfs /srv/iofs/k/1/link: no such file or directory", true),
            (
                "mounts denied: the path /srv/iofs/k/1/link is not shared",
                true,
            ),
            (
                "exec: \"/.kiln/link\": stat /.kiln/link: permission denied: unknown",
                false,
            ),
            (
                "chdir to cwd (\"/x/.kiln/link\") failed: no such file or directory",
                false,
            ),
            ("No such image: x:1", false),
        ] {
            assert_eq!(tells_unseen("/srv/iofs/k/1", said), unseen, "{said}");
        }
    }
}
