//! `format: http-stream`: HTTP on the unix socket that `FN_LISTENER` names, one connection at a time.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::{converse, hang};

/// Makes the socket as `MISBEHAVE_LISTEN` says: `direct|rename|outside|file|never`, otherwise under
/// another name with a link to it, as Fn's FDKs do.
pub fn serve() -> io::Result<()> {
    let listener = std::env::var("FN_LISTENER").unwrap_or_default();
    let path = Path::new(listener.strip_prefix("unix:").unwrap_or_default());
    let private = path.with_file_name("phonylsnr.sock");
    let bind = |path: &Path| {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok::<_, io::Error>(listener)
    };
    println!("about to listen");
    let listener = match std::env::var("MISBEHAVE_LISTEN").as_deref() {
        Ok("direct") => bind(path)?,
        Ok("rename") => {
            let listener = bind(&private)?;
            std::fs::rename(&private, path)?;
            listener
        }
        Ok("outside") => {
            symlink("/dev/log", path)?;
            hang();
        }
        Ok("file") => {
            std::fs::write(path, "")?;
            hang();
        }
        Ok("never") => hang(),
        _ => {
            let listener = bind(&private)?;
            symlink("phonylsnr.sock", path)?;
            listener
        }
    };
    for connection in listener.incoming() {
        let out = File::from(OwnedFd::from(connection?));
        let mut input = BufReader::new(out.try_clone()?);
        // A connection that breaks is no reason to stop listening.
        let _ = converse(&mut input, &mut Some(out));
    }
    Ok(())
}
