//! The programs run here as they do in a container, `link` against a socket of our own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

struct Linked {
    child: Child,
    stdin: Option<File>,
    stdout: File,
    stderr: File,
    said: Vec<u8>,
    _dir: tempfile::TempDir,
}

/// Written once, before any test forks: a child would inherit the descriptor that is open for
/// writing, and the program could not be run meanwhile.
fn programs() -> PathBuf {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [("link", link::program()), ("hold", link::hold())] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes.unwrap()).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    });
    dir.path().to_owned()
}

fn start(command: &[&str], env: &[(&str, &str)]) -> Linked {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let child = Command::new(programs().join("link"))
        .arg(&socket)
        .args(command)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let ((in_read, in_write), (out_read, out_write), (err_read, err_write)) =
        (pipe(), pipe(), pipe());
    send(&stream, &[&in_read, &out_write, &err_write]);
    drop((in_read, out_write, err_write));
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    Linked {
        child,
        stdin: Some(in_write.into()),
        stdout: out_read.into(),
        stderr: err_read.into(),
        said,
        _dir: dir,
    }
}

fn send(stream: impl AsFd, fds: &[&OwnedFd; 3]) {
    let borrowed = fds.map(AsFd::as_fd);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    rustix::net::sendmsg(
        stream,
        &[IoSlice::new(b"k")],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

fn text(mut file: &File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_command_speaks_over_the_pipes_it_was_handed() {
    let mut linked = start(&["/bin/cat"], &[]);
    assert_eq!(link::decode_failure(&linked.said), None);
    linked.stdin.take().unwrap().write_all(b"hello").unwrap();
    assert_eq!(text(&linked.stdout), "hello");
    assert!(linked.child.wait().unwrap().success());
}

#[test]
fn a_bare_name_is_found_via_path() {
    for env in [&[("A", "1"), ("PATH", "/nowhere:/bin:/usr/bin")][..], &[]] {
        let mut linked = start(&["sh", "-c", "echo out; echo err >&2; exit 7"], env);
        assert_eq!(text(&linked.stdout), "out\n");
        assert_eq!(text(&linked.stderr), "err\n");
        assert_eq!(linked.child.wait().unwrap().code(), Some(7));
    }
}

#[test]
fn the_environment_is_the_functions_own() {
    let linked = start(&["/usr/bin/env"], &[("FN_FORMAT", "http"), ("X", "y")]);
    assert_eq!(text(&linked.stdout), "FN_FORMAT=http\nX=y\n");
}

#[test]
fn a_command_that_is_not_there_is_reported() {
    for command in ["/no/such/program", "no-such-program"] {
        let mut linked = start(&[command], &[("PATH", "/bin")]);
        assert_eq!(
            link::decode_failure(&linked.said),
            Some(2),
            "{command}: ENOENT"
        );
        assert_eq!(linked.child.wait().unwrap().code(), Some(127));
    }
}

#[test]
fn a_command_that_may_not_run_is_reported() {
    let mut linked = start(&["/etc/passwd"], &[]);
    assert_eq!(link::decode_failure(&linked.said), Some(13), "EACCES");
    assert_eq!(linked.child.wait().unwrap().code(), Some(126));
}

#[test]
fn a_hold_sleeps_until_it_is_killed() {
    use std::os::unix::process::ExitStatusExt;

    let mut child = Command::new(programs().join("hold")).spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    // Its state is the third field; until it sleeps it may still be this test's own program.
    while !std::fs::read_to_string(&stat).unwrap().contains("(hold) S") {
        std::thread::yield_now();
    }
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}
