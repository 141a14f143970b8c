//! One suite for every launcher: what [`Launcher`] promises, seen from outside.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, ReadBuf};

use super::fake::{FakeIo, FakeLauncher};
use super::{
    Channel, Exit, Instance, LaunchError, LaunchSpec, Launcher, Now, ProcessLauncher, Reach, Stdin,
    Stdout,
};

/// What the suite's functions do; every bench provides an image for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Copies stdin to stdout; exits 0 at end of file.
    Cat,
    /// Exits with code 7 at once.
    Exit7,
    /// Writes `one` and `two` to stderr, then waits for end of file.
    TalksToStderr,
    /// Opens `/dev/stderr` by path and writes `by path` to it; then as `Cat`.
    OpensStderr,
    /// Never reads and never ends.
    Deaf,
    /// Closes stdout and stays alive.
    ClosesStdout,
    /// As `Cat`, its entrypoint being a bare name.
    BareName,
    /// Writes its environment to stdout, a line each, and exits.
    Env,
    /// Does not read stdin; exits with code 5 when it is told to end.
    Traps,
}

use Behaviour::{BareName, Cat, ClosesStdout, Deaf, Env, Exit7, OpensStderr, TalksToStderr, Traps};

/// Generous: an engine under load starts slowly, and a test must not depend on it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn launch(launcher: &dyn Launcher, image: &str) -> Result<Instance, LaunchError> {
    launch_over(launcher, image, Channel::Stdio).await
}

async fn launch_over(
    launcher: &dyn Launcher,
    image: &str,
    channel: Channel,
) -> Result<Instance, LaunchError> {
    let image = Arc::new(launcher.resolve(image).await?);
    let spec = LaunchSpec {
        image,
        channel,
        env: BTreeMap::from([("FN_FORMAT".to_owned(), "http".to_owned())]),
        memory_mb: 64,
        cpus: None,
        tmpfs_mb: 0,
        reach: Reach::Network,
        app: "conformance".to_owned(),
        function: "peer".to_owned(),
    };
    launcher.launch(&spec).await
}

async fn write(stdin: &mut Stdin, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let n = std::future::poll_fn(|cx| stdin.poll_write(cx, &[IoSlice::new(bytes)])).await;
        bytes = &bytes[n.unwrap()..];
        std::future::poll_fn(|cx| stdin.poll_flush(cx))
            .await
            .unwrap();
    }
}

/// Reads up to `limit` bytes, or to the end.
async fn read(stdout: &mut Stdout, limit: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = vec![0; 256 << 10];
    while all.len() < limit {
        let mut buf = ReadBuf::new(&mut chunk);
        std::future::poll_fn(|cx| stdout.poll_read(cx, &mut buf))
            .await
            .unwrap();
        if buf.filled().is_empty() {
            break;
        }
        all.extend_from_slice(buf.filled());
    }
    all
}

/// Holds `launcher` to its contract; `image` gives the reference for each behaviour.
async fn conformance(launcher: &dyn Launcher, image: impl Fn(Behaviour) -> Option<String>) {
    let patiently = async {
        bytes_travel_both_ways(launcher, &image(Cat).unwrap()).await;
        large_bodies_travel_both_ways_at_once(launcher, &image(Cat).unwrap()).await;
        closing_stdin_ends_the_function(launcher, &image(Cat).unwrap()).await;
        what_was_written_before_the_end_waits_for_who_reads(launcher, &image(Cat).unwrap()).await;
        the_exit_code_is_reported(launcher, &image(Exit7).unwrap()).await;
        stderr_lines_are_kept(launcher, &image(TalksToStderr).unwrap(), &["one", "two"]).await;
        a_deaf_function_fills_its_pipe_and_is_killed(launcher, &image(Deaf).unwrap()).await;
        a_closed_stdout_is_seen(launcher, &image(ClosesStdout).unwrap()).await;
        silence_is_told_from_speech(launcher, &image(Cat).unwrap()).await;
        the_environment_arrives(launcher, &image(Env).unwrap()).await;
        an_instance_that_is_dropped_ends(launcher, &image(Cat).unwrap()).await;
        what_was_frozen_goes_on_once_it_is_thawed(launcher, &image(Cat).unwrap()).await;
        what_is_frozen_can_be_ended(launcher, &image(Cat).unwrap()).await;
        if let Some(image) = image(OpensStderr) {
            stderr_lines_are_kept(launcher, &image, &["by path"]).await;
        }
        if let Some(image) = image(Traps) {
            a_function_may_end_in_order(launcher, &image).await;
        }
        if let Some(image) = image(BareName) {
            bytes_travel_both_ways(launcher, &image).await;
        }
        assert!(matches!(
            launch(launcher, "kiln-no-such-image:none").await,
            Err(LaunchError::Pull { .. } | LaunchError::WrongKind(_))
        ));
        launcher.shutdown().await;
    };
    tokio::time::timeout(PATIENCE, patiently)
        .await
        .expect("the launcher hangs");
}

async fn bytes_travel_both_ways(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    for _ in 0..3 {
        write(&mut instance.stdin, &every_byte).await;
        assert_eq!(read(&mut instance.stdout, 256).await, every_byte);
    }
}

// B1, I4: neither side may wait for the other to finish first.
async fn large_bodies_travel_both_ways_at_once(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    let body: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    instance.stdin.make_room(body.len() as u64);
    instance.stdout.make_room(body.len() as u64);
    let (_, back) = tokio::join!(
        write(&mut instance.stdin, &body),
        read(&mut instance.stdout, body.len())
    );
    assert!(back == body, "5 MB came back changed, {} bytes", back.len());
}

async fn closing_stdin_ends_the_function(launcher: &dyn Launcher, image: &str) {
    let Instance {
        mut stdin,
        mut stdout,
        control,
        ..
    } = launch(launcher, image).await.unwrap();
    write(&mut stdin, b"last").await;
    close(stdin).await;
    assert_eq!(read(&mut stdout, usize::MAX).await, b"last");
    assert_eq!(control.autopsy().await, Exit::Code(0));
}

// A caller may be slower than the function's end.
async fn what_was_written_before_the_end_waits_for_who_reads(launcher: &dyn Launcher, image: &str) {
    let Instance {
        mut stdin,
        mut stdout,
        control,
        ..
    } = launch(launcher, image).await.unwrap();
    // As much as a pipe holds, or an engine reads ahead.
    let bytes = if launcher.kind() == "fake" {
        32 << 10
    } else {
        800 << 10
    };
    let body = vec![b'x'; bytes];
    stdin.make_room(bytes as u64);
    stdout.make_room(bytes as u64);
    write(&mut stdin, &body).await;
    close(stdin).await;
    control.close(true);
    assert_eq!(control.ended().await, Exit::Code(0));
    assert_eq!(read(&mut stdout, usize::MAX).await.len(), bytes);
}

async fn close(stdin: Stdin) {
    match stdin {
        Stdin::Pipe(pipe) => drop(pipe),
        // The other half of the connection lives on, so end of file has to be said.
        Stdin::Stream(mut stream) => stream.shutdown().await.unwrap(),
        Stdin::Socket(socket) | Stdin::Engine(socket) => drop(socket),
        Stdin::Closed => {}
    }
}

async fn a_function_may_end_in_order(launcher: &dyn Launcher, image: &str) {
    for has_stdin in [true, false] {
        let mut instance = launch(launcher, image).await.unwrap();
        // It says so once its trap is set.
        assert_eq!(read(&mut instance.stdout, 6).await, b"ready\n");
        drop(instance.stdin);
        instance.control.close(has_stdin);
        assert_eq!(instance.control.ended().await, Exit::Code(5));
    }
}

async fn the_exit_code_is_reported(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    assert_eq!(read(&mut instance.stdout, usize::MAX).await, b"");
    assert_eq!(instance.control.autopsy().await, Exit::Code(7));
}

async fn stderr_lines_are_kept(launcher: &dyn Launcher, image: &str, lines: &[&str]) {
    let Instance {
        stdin,
        mut stdout,
        stderr,
        control,
        ..
    } = launch(launcher, image).await.unwrap();
    close(stdin).await;
    read(&mut stdout, usize::MAX).await;
    control.autopsy().await;
    assert_eq!(stderr.tail(), lines);
}

// B1: a function that never reads.
async fn a_deaf_function_fills_its_pipe_and_is_killed(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    write(&mut instance.stdin, b"unread").await;
    if let Some(unread) = instance.stdin.unread() {
        assert_eq!(unread, 6, "what nobody reads stays in the pipe");
    }
    let body = vec![0; 64 << 20];
    let written = write(&mut instance.stdin, &body);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), written)
            .await
            .is_err()
    );
    instance.control.kill();
    assert_eq!(read(&mut instance.stdout, usize::MAX).await, b"");
    assert_eq!(instance.control.autopsy().await, Exit::Killed);
}

// C16: end of file on stdout is seen although the function lives, and it does not live on.
async fn a_closed_stdout_is_seen(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    if launcher.stdio() != "attach" {
        assert_eq!(read(&mut instance.stdout, usize::MAX).await, b"");
        assert_eq!(instance.control.autopsy().await, Exit::Killed);
        return;
    }
    // The engine does not pass a single stream's end on; the function's own end has to do.
    instance.control.kill();
    assert_eq!(read(&mut instance.stdout, usize::MAX).await, b"");
}

// C2: between calls nobody may speak.
async fn silence_is_told_from_speech(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    let mut byte = [0];
    assert_eq!(instance.stdout.read_now(&mut byte), Now::Silent);
    write(&mut instance.stdin, b"x").await;
    let spoke = std::future::poll_fn(|cx| match instance.stdout.poll_now(cx, &mut byte) {
        Now::Silent => Poll::Pending,
        now => Poll::Ready(now),
    });
    assert_eq!(spoke.await, Now::Spoke(1));
    write(&mut instance.stdin, b"y").await;
    let now = loop {
        match instance.stdout.read_now(&mut byte) {
            Now::Silent => tokio::task::yield_now().await,
            now => break now,
        }
    };
    assert_eq!((now, byte), (Now::Spoke(1), *b"y"));
}

async fn the_environment_arrives(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    let text = read(&mut instance.stdout, usize::MAX).await;
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().any(|line| line == "FN_FORMAT=http"), "{text}");
}

async fn an_instance_that_is_dropped_ends(launcher: &dyn Launcher, image: &str) {
    let Instance {
        stdin,
        mut stdout,
        control,
        ..
    } = launch(launcher, image).await.unwrap();
    drop(control);
    assert_eq!(read(&mut stdout, usize::MAX).await, b"");
    drop(stdin);
}

async fn what_was_frozen_goes_on_once_it_is_thawed(launcher: &dyn Launcher, image: &str) {
    let mut instance = launch(launcher, image).await.unwrap();
    assert!(instance.control.thaw().await, "it runs as it is");
    for _ in 0..3 {
        instance.control.freeze();
        instance.control.freeze();
        write(&mut instance.stdin, b"x").await;
        assert!(instance.control.thaw().await);
        assert_eq!(read(&mut instance.stdout, 1).await, b"x");
    }
}

// A signal alone does not end what the kernel has frozen.
async fn what_is_frozen_can_be_ended(launcher: &dyn Launcher, image: &str) {
    for end in ["kill", "close", "autopsy", "drop"] {
        let Instance {
            stdin,
            mut stdout,
            control,
            ..
        } = launch(launcher, image).await.unwrap();
        control.freeze();
        let ended = control.ended();
        match end {
            "kill" => control.kill(),
            "close" => {
                close(stdin).await;
                control.close(true);
            }
            "autopsy" => drop(control.autopsy()),
            _ => drop(control),
        }
        let wanted = if end == "close" {
            Exit::Code(0)
        } else {
            Exit::Killed
        };
        assert_eq!(ended.await, wanted, "{end}");
        assert_eq!(read(&mut stdout, usize::MAX).await, b"");
    }
}

#[tokio::test]
async fn the_fake_conforms() {
    async fn cat(mut io: FakeIo) -> i64 {
        let _ = tokio::io::copy(&mut io.stdin, &mut io.stdout).await;
        0
    }
    let fake = FakeLauncher::default()
        .image("Cat", cat)
        .image("Exit7", |_| std::future::ready(7))
        .image("TalksToStderr", |mut io| async move {
            io.stderr.write_all(b"one\ntwo\n").await.unwrap();
            cat(io).await
        })
        .image("Deaf", |io| async move {
            std::future::pending::<()>().await;
            drop(io);
            0
        })
        .image("ClosesStdout", |io| async move {
            drop(io.stdout);
            std::future::pending().await
        })
        .image("Env", |mut io| async move {
            for (name, value) in io.env {
                io.stdout
                    .write_all(format!("{name}={value}\n").as_bytes())
                    .await
                    .unwrap();
            }
            0
        });
    let image = |behaviour| match behaviour {
        OpensStderr | BareName | Traps => None,
        other => Some(format!("{other:?}")),
    };
    conformance(&fake, image).await;
    assert_eq!(fake.alive(), 0);
}

fn script(behaviour: Behaviour) -> &'static str {
    match behaviour {
        Cat | BareName => "exec cat",
        Exit7 => "exit 7",
        TalksToStderr => "echo one >&2; echo two >&2; exec cat",
        OpensStderr => "echo by path >/dev/stderr; exec cat",
        Deaf => "exec sleep 1000",
        ClosesStdout => "exec >&-; exec sleep 1000",
        Env => "exec env",
        Traps => "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
    }
}

#[tokio::test]
async fn the_process_launcher_conforms() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let image = |behaviour: Behaviour| {
        let path = dir.path().join(format!("{behaviour:?}"));
        if !path.exists() {
            // Written under another name: a program that is open for writing cannot be run.
            let draft = path.with_extension("draft");
            std::fs::write(&draft, format!("#!/bin/sh\n{}\n", script(behaviour))).unwrap();
            std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(draft, &path).unwrap();
        }
        (behaviour != BareName).then(|| format!("file://{}", path.display()))
    };
    let sockets = dir.path().join("sockets");
    let launcher = ProcessLauncher::new(&sockets, PATIENCE).unwrap();
    conformance(&launcher, image).await;
}

#[cfg(feature = "docker-tests")]
mod docker {
    use bollard::Docker;
    use bollard::query_parameters::BuildImageOptionsBuilder;
    use futures_util::TryStreamExt;

    use super::*;
    use crate::launcher::docker::{DockerConfig, DockerLauncher, StdioPath};

    /// Debian's `busybox-static`: a shell that runs in an otherwise empty image.
    const BUSYBOX: &str = "/bin/busybox";

    fn tag(behaviour: Behaviour) -> String {
        format!(
            "kiln-conformance-{}:latest",
            format!("{behaviour:?}").to_lowercase()
        )
    }

    async fn build(behaviour: Behaviour) {
        let script = script(behaviour);
        let entrypoint = match behaviour {
            BareName => r#"["cat"]"#.to_owned(),
            _ => format!(r#"["/bin/sh", "-c", "{script}"]"#),
        };
        let dockerfile =
            format!("FROM scratch\nCOPY bin /usr/bin/\nCOPY bin /bin/\nENTRYPOINT {entrypoint}\n");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(dockerfile.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
            .unwrap();
        tar.append_path_with_name(BUSYBOX, "bin/busybox").unwrap();
        for name in ["sh", "cat", "sleep", "env"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, format!("bin/{name}"), "busybox")
                .unwrap();
        }
        let options = BuildImageOptionsBuilder::default()
            .t(&tag(behaviour))
            .rm(true)
            .build();
        let body = bollard::body_full(tar.into_inner().unwrap().into());
        let docker = Docker::connect_with_unix_defaults().unwrap();
        docker
            .build_image(options, None, Some(body))
            .try_collect::<Vec<_>>()
            .await
            .unwrap();
    }

    async fn docker_conforms(stdio: StdioPath, prepared_networks: usize) {
        for behaviour in [
            Cat,
            Exit7,
            TalksToStderr,
            OpensStderr,
            Deaf,
            ClosesStdout,
            BareName,
            Env,
            Traps,
        ] {
            build(behaviour).await;
        }
        let sockets = tempfile::tempdir().unwrap();
        let identity = format!("conformance-{stdio:?}-{prepared_networks}");
        let network = if prepared_networks > 0 {
            "bridge"
        } else {
            "none"
        };
        let config = DockerConfig {
            host: std::env::var("DOCKER_HOST").ok(),
            stdio,
            networks: vec![network.to_owned()],
            prepared_networks,
            ..DockerConfig::new(identity, sockets.path())
        };
        let launcher = DockerLauncher::connect(config).await.unwrap();
        launcher.sweep().await.unwrap();
        conformance(&launcher, |behaviour| Some(tag(behaviour))).await;
        assert_eq!(
            launcher.sweep().await.unwrap(),
            0,
            "containers were left behind"
        );
    }

    #[tokio::test]
    async fn docker_conforms_over_link() {
        docker_conforms(StdioPath::Link, 0).await;
    }

    #[tokio::test]
    async fn docker_conforms_over_attach() {
        docker_conforms(StdioPath::Attach, 0).await;
    }

    #[tokio::test]
    async fn docker_conforms_in_networks_that_were_there_before() {
        docker_conforms(StdioPath::Link, 2).await;
        docker_conforms(StdioPath::Attach, 2).await;
    }
}
