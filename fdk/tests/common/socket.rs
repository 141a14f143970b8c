//! A function that listens, as the server of format http-stream has it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::process::command;

pub(crate) struct Listening {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listening {
    pub(crate) fn start(role: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("lsnr.sock");
        let child = command(role, settings)
            .env("FN_LISTENER", format!("unix:{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the test can start itself");
        until(|| socket.exists());
        Self {
            child,
            socket,
            _folder: folder,
        }
    }

    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).expect("a connection")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no runtime is here to be blocked"
)]
fn until(done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within ten seconds");
}
