use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::mount::{MountFlags, UnmountFlags};

use crate::launcher::LaunchError;

/// The kernel's bound on a unix socket's path, less the final zero.
const SOCKET_PATH_MAX: usize = 107;

/// What a socket's path adds to the base: an instance's id, and the longest name that a known
/// FDK gives to its socket.
const SOCKET_PATH_REST: usize = "/01234567890123456789012345/lsnr.sock.private".len();

/// The longest base whose sockets can be bound.
const LONGEST_BASE: usize = SOCKET_PATH_MAX - SOCKET_PATH_REST;

/// The part of a container's directory that the function may write to.
pub(crate) const WRITABLE: &str = "io";

/// Room for a socket, a link to it and a few words.
const BOUNDS: &std::ffi::CStr = c"size=1m,nr_inodes=64,mode=0777";

/// The directory that holds a directory for every instance that needs one.
#[derive(Debug)]
pub(crate) struct Folders {
    base: PathBuf,
}

impl Folders {
    pub(crate) fn open(base: &Path) -> Result<Self, LaunchError> {
        if base.as_os_str().len() > LONGEST_BASE {
            return Err(LaunchError::Host {
                doing: "use the socket directory, set FN_IOFS_PATH to a shorter path",
                source: io::Error::other(base.display().to_string()),
            });
        }
        own_directory(base).map_err(|source| LaunchError::Host {
            doing: "make the socket directory",
            source,
        })?;
        Ok(Self {
            base: base.to_owned(),
        })
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Removes the directories of instances that are no more.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.base) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                // By its drop, as its own gateway would have.
                drop(Folder { path: entry.path() });
            }
        }
    }

    /// Makes the directory of one instance.
    pub(crate) fn make(&self, id: &str) -> Result<Folder, LaunchError> {
        let path = self.base.join(id);
        let made = fs::create_dir(&path)
            // The function may run as any user.
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        made.map(|()| Folder { path })
            .map_err(|source| LaunchError::Host {
                doing: "make a container's directory",
                source,
            })
    }
}

/// One instance's directory; dropping it removes it with all it holds.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Folder {
    /// Makes [`WRITABLE`] in this one, in which a function may make a socket and little else: what it
    /// writes there is memory, and bounded.
    ///
    /// That takes the right to mount, and that who looks sees what is mounted (`shared`); without
    /// them the directory is one like any other, on whose disk a function may write. Said once.
    pub(crate) fn make_writable(&self, shared: bool) -> io::Result<PathBuf> {
        static TOLD: Once = Once::new();
        let path = self.path.join(WRITABLE);
        fs::create_dir(&path)?;
        let mounted = if shared {
            let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
            rustix::mount::mount("kiln", &path, "tmpfs", flags, BOUNDS).map_err(io::Error::from)
        } else {
            Err(io::Error::other("the engine would not see it"))
        };
        if let Err(error) = mounted {
            TOLD.call_once(|| {
                tracing::warn!(
                    %error,
                    "cannot mount memory for functions of format http-stream: what they write to \
                     /tmp/iofs is on this host's disk, without a bound"
                );
            });
        }
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let bounded = self.path.join(WRITABLE);
        if bounded.exists() {
            // Fails where it is no mount.
            let _ = rustix::mount::unmount(&bounded, UnmountFlags::DETACH);
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot remove a container's directory");
        }
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
