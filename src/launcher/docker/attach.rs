//! Stdio through the engine's API. The client library takes the engine's frames apart; this file
//! sorts them into a stdout and a stderr.

use std::io;
use std::pin::Pin;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::{AttachContainerOptionsBuilder, StartContainerOptions};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::engine::refused;
use crate::launcher::{Channel, LaunchError, Stdin, Stdout};

/// Frames in flight per stream; a frame is at most 32 KiB.
const FRAMES: usize = 16;

type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

pub(super) struct Streams {
    pub(super) stdin: Stdin,
    pub(super) stdout: Stdout,
    pub(super) stderr: Pin<Box<dyn AsyncRead + Send>>,
    /// Cancelling this ends both streams.
    pub(super) ended: CancellationToken,
}

/// Attaches to the created container `id`, so that no byte is missed, and starts it.
pub(super) async fn start(
    docker: &Docker,
    id: &str,
    channel: Channel,
    tasks: &TaskTracker,
) -> Result<Streams, LaunchError> {
    let options = AttachContainerOptionsBuilder::default()
        .stream(true)
        .stdin(channel == Channel::Stdio)
        .stdout(true)
        .stderr(true)
        .build();
    let attached = docker
        .attach_container(id, Some(options))
        .await
        .map_err(|e| refused("attach to the container", &e))?;
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await
        .map_err(|e| refused("start the container", &e))?;
    let (stdout_tx, stdout) = mpsc::channel(FRAMES);
    let (stderr_tx, stderr) = mpsc::channel(FRAMES);
    let ended = CancellationToken::new();
    let (stdin, stdout, stdout_tx) = match channel {
        Channel::Stdio => (
            Stdin::Stream(attached.input),
            Stdout::Stream(reader(stdout)),
            stdout_tx,
        ),
        Channel::Socket => (Stdin::Closed, Stdout::Closed, stderr_tx.clone()),
    };
    tasks.spawn(sort(attached.output, stdout_tx, stderr_tx, ended.clone()));
    Ok(Streams {
        stdin,
        stdout,
        stderr: reader(stderr),
        ended,
    })
}

fn reader(mut frames: mpsc::Receiver<io::Result<Bytes>>) -> Pin<Box<dyn AsyncRead + Send>> {
    let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    Box::pin(StreamReader::new(stream))
}

async fn sort(
    mut frames: Frames,
    stdout: mpsc::Sender<io::Result<Bytes>>,
    stderr: mpsc::Sender<io::Result<Bytes>>,
    ended: CancellationToken,
) {
    loop {
        let frame = tokio::select! {
            // What was written before the end is still delivered.
            biased;
            frame = frames.next() => frame,
            () = ended.cancelled() => return,
            () = stdout.closed() => return,
        };
        let (to, item) = match frame {
            None => return,
            Some(Ok(LogOutput::StdOut { message })) => (&stdout, Ok(message)),
            Some(Ok(LogOutput::StdErr { message })) => (&stderr, Ok(message)),
            // The library takes bytes out of step for a terminal's; there is no terminal.
            Some(Ok(LogOutput::Console { .. } | LogOutput::StdIn { .. })) => (
                &stdout,
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the engine sent a frame of an unknown stream",
                )),
            ),
            Some(Err(e)) => (&stdout, Err(io::Error::other(e))),
        };
        let failed = item.is_err();
        // Nobody may be left to read stderr; stdout's reader is watched above.
        let sent = to.send(item).await;
        if failed || (sent.is_err() && stdout.is_closed()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn sorted(frames: Vec<LogOutput>) -> (io::Result<Vec<u8>>, Vec<u8>) {
        let (stdout_tx, stdout) = mpsc::channel(FRAMES);
        let (stderr_tx, stderr) = mpsc::channel(FRAMES);
        let frames = futures_util::stream::iter(frames.into_iter().map(Ok)).boxed();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (reader(stdout), reader(stderr));
        let (_, read, _) = tokio::join!(
            sort(frames, stdout_tx, stderr_tx, CancellationToken::new()),
            stdout.read_to_end(&mut out),
            stderr.read_to_end(&mut err),
        );
        (read.map(|_| out), err)
    }

    fn message(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn frames_are_sorted_by_their_stream() {
        let frames = vec![
            LogOutput::StdOut {
                message: message("a"),
            },
            LogOutput::StdErr {
                message: message("log"),
            },
            LogOutput::StdOut {
                message: message("b"),
            },
        ];
        let (out, err) = sorted(frames).await;
        assert_eq!((out.unwrap(), err), (b"ab".to_vec(), b"log".to_vec()));
    }

    // C20: bytes that no stream of ours can have sent are a fault, not a response.
    #[tokio::test]
    async fn a_frame_of_another_stream_breaks_stdout() {
        for odd in [
            LogOutput::Console {
                message: message("x"),
            },
            LogOutput::StdIn {
                message: message("x"),
            },
        ] {
            let (out, _) = sorted(vec![
                LogOutput::StdOut {
                    message: message("a"),
                },
                odd,
            ])
            .await;
            assert_eq!(out.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
