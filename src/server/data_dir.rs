use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::ServerError;

/// The folder of one gateway's state, held for as long as this lives.
///
/// It carries the gateway's identity: containers are labelled with it, and a gateway that
/// starts in the folder of a dead one removes what that one left. The lock makes sure that the
/// other is dead.
#[derive(Debug)]
pub(super) struct DataDir {
    identity: String,
    _lock: File,
}

impl DataDir {
    pub(super) fn open(path: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::DataDir {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(ServerError::DataDirInUse {
                    path: path.to_owned(),
                });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let identity = identity(&path.join("instance")).map_err(failed)?;
        Ok(Self {
            identity,
            _lock: lock,
        })
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }
}

/// Read from the file, or made and written to it the first time.
fn identity(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) if text.trim().parse::<ulid::Ulid>().is_ok() => Ok(text.trim().to_owned()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} holds no instance id; remove it to get a new one",
                file.display()
            ),
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let identity = ulid::Ulid::generate().to_string();
            let draft: PathBuf = file.with_extension("new");
            fs::write(&draft, &identity)?;
            fs::rename(draft, file)?;
            Ok(identity)
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_outlives_its_gateway_and_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(
            DataDir::open(dir.path()),
            Err(ServerError::DataDirInUse { .. })
        ));
        let identity = first.identity().to_owned();
        drop(first);
        assert_eq!(DataDir::open(dir.path()).unwrap().identity(), identity);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DataDir::open(other.path()).unwrap().identity(), identity);
    }
}
