//! Functions that listen on a unix socket instead of reading stdin: where they make it, and the
//! way to it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use crate::launcher::{Instance, LaunchError, Stdin, Stdout};

/// What every FDK calls its socket once it accepts connections.
pub(crate) const SOCKET_NAME: &str = "lsnr.sock";

/// A socket that is bound is not always listening yet, and nothing tells when it is.
const CONNECT_PAUSE: Duration = Duration::from_millis(2);

/// A function's listening socket.
///
/// Connections are made to the very file that was checked, whatever its name leads to later: a
/// function must not be able to point us at a socket that is none of its own.
#[derive(Debug)]
pub struct Socket {
    file: OwnedFd,
}

impl Socket {
    /// Connects anew. Waits while the function's queue of connections is full.
    pub async fn connect(&self) -> io::Result<(Stdin, Stdout)> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => {
                    let (read, write) = stream.into_split();
                    return Ok((Stdin::Socket(write), Stdout::Socket(read)));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }
}

/// A directory in which a function is about to make its socket.
#[derive(Debug)]
pub(crate) struct Doorstep {
    path: PathBuf,
    dir: OwnedFd,
    /// What happens in the directory; read like a pipe.
    events: Receiver,
}

impl Doorstep {
    /// Makes the directory `path`, writable for everybody, and watches it from here on.
    pub(crate) fn make(path: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;

        if !path.exists() {
            std::fs::create_dir(&path)?;
        }
        // The function may run as any user. Others of this host cannot reach the directory.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        let dir = rustix::fs::open(
            &path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(
            &events,
            &path,
            WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB,
        )?;
        Ok(Self {
            path,
            dir,
            events: Receiver::from_owned_fd_unchecked(events)?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the function's socket is there and accepts connections; returns it with a
    /// first connection, because some FDKs serve only one and would be kept busy by a probe.
    pub(crate) async fn opened(&self) -> io::Result<(Socket, Stdin, Stdout)> {
        let file = loop {
            if let Some(file) = self.find()? {
                break file;
            }
            self.changed().await?;
        };
        let socket = Socket { file };
        loop {
            match socket.connect().await {
                Ok((stdin, stdout)) => return Ok((socket, stdin, stdout)),
                // Bound but not listening yet, or its mode is still to be changed.
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied
                    ) => {}
                Err(e) => return Err(e),
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }

    /// The socket, if its name is there; an error if the name leads to anything else.
    fn find(&self) -> io::Result<Option<OwnedFd>> {
        let Some(entry) = self.open(SOCKET_NAME)? else {
            return Ok(None);
        };
        match file_type(&entry)? {
            FileType::Socket => return Ok(Some(entry)),
            FileType::Symlink => {}
            _ => return Err(io::Error::other(format!("{SOCKET_NAME} is not a socket"))),
        }
        let target = rustix::fs::readlinkat(&entry, "", Vec::new())?;
        let name = target.to_str().unwrap_or("/");
        if name.contains('/') || name == ".." || name == "." {
            return Err(io::Error::other(format!(
                "{SOCKET_NAME} is a link out of its directory"
            )));
        }
        match self.open(name)? {
            Some(file) if file_type(&file)? == FileType::Socket => Ok(Some(file)),
            _ => Err(io::Error::other(format!(
                "{SOCKET_NAME} is a link to something other than a socket"
            ))),
        }
    }

    /// The entry itself: links are not followed.
    fn open(&self, name: &str) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(entry) => Ok(Some(entry)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn changed(&self) -> io::Result<()> {
        self.events.readable().await?;
        let mut events = [0; 1024];
        // What changed does not matter: the name is looked up again.
        while matches!(self.events.try_read(&mut events), Ok(1..)) {}
        Ok(())
    }
}

impl Instance {
    /// This instance once it listens, if it does within `limit`.
    pub(crate) async fn listening(
        mut self,
        doorstep: &Doorstep,
        limit: Duration,
    ) -> Result<Self, LaunchError> {
        let failed = |reason: String| LaunchError::Uninitialised {
            reason,
            log: self.stderr.tail(),
        };
        let (socket, stdin, stdout) = tokio::select! {
            opened = doorstep.opened() => opened.map_err(|error| failed(error.to_string()))?,
            exit = self.control.ended() => return Err(failed(format!("it ended: {exit}"))),
            () = tokio::time::sleep(limit) => {
                return Err(LaunchError::InitTimedOut { log: self.stderr.tail() });
            }
        };
        self.socket = Some(socket);
        self.stdin = stdin;
        self.stdout = stdout;
        Ok(self)
    }
}

fn file_type(file: &OwnedFd) -> io::Result<FileType> {
    let stat = rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn doorstep() -> (tempfile::TempDir, Doorstep) {
        let dir = tempfile::tempdir().unwrap();
        let doorstep = Doorstep::make(dir.path().join("io")).unwrap();
        (dir, doorstep)
    }

    async fn accepted(doorstep: &Doorstep, listener: &UnixListener) {
        let (socket, stdin, _stdout) = doorstep.opened().await.unwrap();
        listener.accept().unwrap();
        drop(stdin);
        socket.connect().await.unwrap();
        listener.accept().unwrap();
    }

    #[tokio::test]
    async fn a_socket_is_found_however_it_gets_its_name() {
        let (_dir, door) = doorstep();
        let listener = UnixListener::bind(door.path().join(SOCKET_NAME)).unwrap();
        accepted(&door, &listener).await;

        let (_dir, door) = doorstep();
        let listener = UnixListener::bind(door.path().join("phonylsnr.sock")).unwrap();
        symlink("phonylsnr.sock", door.path().join(SOCKET_NAME)).unwrap();
        accepted(&door, &listener).await;

        let (_dir, door) = doorstep();
        let listener = UnixListener::bind(door.path().join("new")).unwrap();
        std::fs::rename(door.path().join("new"), door.path().join(SOCKET_NAME)).unwrap();
        accepted(&door, &listener).await;
    }

    #[tokio::test]
    async fn a_socket_that_comes_later_is_noticed() {
        let (_dir, door) = doorstep();
        let opened = door.opened();
        tokio::pin!(opened);
        assert!(futures_util::poll!(&mut opened).is_pending());
        std::fs::write(door.path().join("something.else"), "").unwrap();
        let listener = UnixListener::bind(door.path().join("later.sock")).unwrap();
        symlink("later.sock", door.path().join(SOCKET_NAME)).unwrap();
        opened.await.unwrap();
        listener.accept().unwrap();
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("docker.sock");
        let _listener = UnixListener::bind(&target).unwrap();
        for link in [
            target.to_str().unwrap(),
            "../docker.sock",
            "..",
            "missing.sock",
            SOCKET_NAME,
        ] {
            let (_dir, door) = doorstep();
            symlink(link, door.path().join(SOCKET_NAME)).unwrap();
            door.opened().await.unwrap_err();
        }
        let (_dir, door) = doorstep();
        std::fs::write(door.path().join(SOCKET_NAME), "").unwrap();
        door.opened().await.unwrap_err();
    }

    #[tokio::test]
    async fn a_link_that_is_moved_later_leads_nowhere_new() {
        let (dir, door) = doorstep();
        let own = UnixListener::bind(door.path().join("own.sock")).unwrap();
        symlink("own.sock", door.path().join(SOCKET_NAME)).unwrap();
        let (socket, ..) = door.opened().await.unwrap();
        own.accept().unwrap();
        let other = UnixListener::bind(dir.path().join("other.sock")).unwrap();
        other.set_nonblocking(true).unwrap();
        std::fs::remove_file(door.path().join("own.sock")).unwrap();
        symlink("../other.sock", door.path().join("own.sock")).unwrap();
        socket.connect().await.unwrap();
        own.accept().unwrap();
        assert!(other.accept().is_err());
    }
}
