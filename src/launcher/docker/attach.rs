//! Stdio through the engine's API: over connections of our own, because whoever has a call is to
//! hear of its container's bytes, and not a client library first.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};

use bollard::errors::Error;
use bollard::query_parameters::StartContainerOptions;
use bollard::{ClientVersion, Docker};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::net::{Shutdown, shutdown};
use serde::Deserialize;
use tokio::net::UnixStream;

use super::engine::{Engine, refused};
use crate::launcher::{Channel, Frames, LaunchError, Stdin, Stdout};

/// The engine's numbers for a container's streams.
const STDOUT: u8 = 1;
const STDERR: u8 = 2;

pub(super) struct Streams {
    pub(super) stdin: Stdin,
    pub(super) stdout: Stdout,
    pub(super) stderr: Frames,
    pub(super) ends: Ends,
}

/// Ends a container's connections, whoever has them.
#[derive(Debug)]
pub(super) struct Ends(Vec<OwnedFd>);

impl Ends {
    fn of(sockets: &[&UnixStream]) -> io::Result<Self> {
        let ends = sockets
            .iter()
            .map(|socket| socket.as_fd().try_clone_to_owned());
        Ok(Self(ends.collect::<io::Result<_>>()?))
    }

    /// The container has ended, and reads no more. What it wrote is still to come: the engine, which
    /// may have waited for our end, sends it as fast as it is read, and then its own end. That is
    /// waited for: a [`cut`](Self::cut) after this does nothing.
    pub(super) fn finish(&mut self) {
        self.shut(Shutdown::Write);
    }

    /// Nothing more is wanted, or nothing can be hoped for. What is here already is still read.
    pub(super) fn cut(&mut self) {
        self.shut(Shutdown::Both);
    }

    fn shut(&mut self, how: Shutdown) {
        for socket in self.0.drain(..) {
            // One that is not connected any more has ended, too.
            let _ = shutdown(socket, how);
        }
    }
}

/// Attaches to the created container `id`, so that no byte is missed, and starts it.
///
/// Stderr has a connection of its own: there is nothing to sort, and no stream waits for who reads
/// the other.
pub(super) async fn start(
    engine: &Engine,
    docker: &Docker,
    id: &str,
    channel: Channel,
) -> Result<Streams, LaunchError> {
    let path = engine.path()?;
    let attach = async |streams| {
        let attached = tokio::time::timeout(
            docker.timeout(),
            attach(path, docker.client_version(), id, streams),
        );
        let attached = attached.await.unwrap_or(Err(Error::RequestTimeoutError));
        attached.map_err(|e| refused("attach to the container", &e))
    };
    let host = |source| LaunchError::Host {
        doing: "attach to the container",
        source,
    };
    let streams = match channel {
        Channel::Stdio => {
            let (calls, log) = tokio::try_join!(attach("stdin=1&stdout=1"), attach("stderr=1"))?;
            let ends = Ends::of(&[&calls, &log]).map_err(host)?;
            let (stdout, stdin) = calls.into_split();
            Streams {
                stdin: Stdin::Engine(stdin),
                stdout: Stdout::Engine(Frames::new(stdout, STDOUT..=STDOUT)),
                stderr: log_of(log, STDERR..=STDERR),
                ends,
            }
        }
        Channel::Socket => {
            let log = attach("stdout=1&stderr=1").await?;
            let ends = Ends::of(&[&log]).map_err(host)?;
            Streams {
                stdin: Stdin::Closed,
                stdout: Stdout::Closed,
                stderr: log_of(log, STDOUT..=STDERR),
                ends,
            }
        }
    };
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await
        .map_err(|e| refused("start the container", &e))?;
    Ok(streams)
}

fn log_of(socket: UnixStream, streams: RangeInclusive<u8>) -> Frames {
    let (read, write) = socket.into_split();
    // Dropped, it would say that nothing comes from us, which some take for the end of it all.
    write.forget();
    Frames::new(read, streams)
}

/// A connection to `streams` of the container `id`.
async fn attach(
    path: &str,
    version: ClientVersion,
    id: &str,
    streams: &str,
) -> Result<UnixStream, Error> {
    /// What an engine says when it refuses, if it finds the right words.
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }

    let socket = UnixStream::connect(path)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let ClientVersion {
        major_version,
        minor_version,
    } = version;
    let request = Request::post(format!(
        "/v{major_version}.{minor_version}/containers/{id}/attach?stream=1&{streams}"
    ))
    .header(HOST, "localhost")
    .header(CONNECTION, "Upgrade")
    .header(UPGRADE, "tcp")
    .body(Empty::<Bytes>::new())?;
    let accepted = async move {
        let answer = requests.send_request(request).await?;
        let status = answer.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let body = answer.into_body().collect().await?.to_bytes();
        let message = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.message,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        Err(Error::DockerResponseServerError {
            status_code: status.as_u16(),
            message,
        })
    };
    let connection = async { Ok(connection.without_shutdown().await?) };
    let (parts, ()) = tokio::try_join!(connection, accepted)?;
    if !parts.read_buf.is_empty() {
        let early = "the engine sent something of a container that was not started";
        return Err(io::Error::new(io::ErrorKind::InvalidData, early).into());
    }
    Ok(parts.io.into_inner())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::super::engine::is_missing;
    use super::*;

    const V1: ClientVersion = ClientVersion {
        major_version: 1,
        minor_version: 41,
    };

    /// Attaches to an engine that answers with `answer`, and says what it was asked, too.
    async fn attach_to(answer: &str) -> (String, Result<UnixStream, Error>, UnixStream) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine");
        let listener = UnixListener::bind(&path).unwrap();
        let engine = async {
            let (mut theirs, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(theirs.read_u8().await.unwrap());
            }
            theirs.write_all(answer.as_bytes()).await.unwrap();
            if !answer.contains(" 101 ") {
                theirs.shutdown().await.unwrap();
            }
            (String::from_utf8(asked).unwrap(), theirs)
        };
        let attached = attach(path.to_str().unwrap(), V1, "c", "stdin=1&stdout=1");
        let (attached, (asked, theirs)) = tokio::join!(attached, engine);
        (asked, attached, theirs)
    }

    const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

    #[tokio::test]
    async fn the_connection_is_ours_once_the_engine_agrees() {
        let (asked, ours, mut theirs) = attach_to(UPGRADED).await;
        let line = "POST /v1.41/containers/c/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n";
        assert!(asked.starts_with(line), "{asked}");
        let (mut read, write) = ours.unwrap().into_split();
        // The end of our half is the function's end of file, and not the end of its output.
        drop(write);
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(read.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn what_comes_before_the_start_is_refused() {
        let (_, attached, _) = attach_to(&format!("{UPGRADED}x")).await;
        let error = attached.unwrap_err().to_string();
        assert!(error.contains("not started"), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_engines_own_words() {
        for (head, body) in [
            ("Content-Length: 20", r#"{"message":"it is"}"#),
            (
                "Content-Type: application/vnd.docker.raw-stream",
                "it is\r\n",
            ),
        ] {
            let answer = format!("HTTP/1.1 404 Not Found\r\n{head}\r\n\r\n{body}\n");
            let error = attach_to(&answer).await.1.unwrap_err();
            assert!(is_missing(&error));
            let error = refused("attach", &error);
            assert!(
                matches!(&error, LaunchError::Refused { reason, .. } if reason == "it is"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_or_ends_is_down() {
        let none = attach("/nowhere/engine", V1, "c", "stdout=1").await;
        for attached in [none, attach_to("").await.1] {
            let error = refused("attach", &attached.unwrap_err());
            assert!(matches!(error, LaunchError::EngineDown(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn a_cut_ends_who_reads_after_what_was_there() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut ends = Ends::of(&[&ours]).unwrap();
        let (mut read, write) = ours.into_split();
        theirs.write_all(b"last").await.unwrap();
        let mut said = String::new();
        let reading =
            tokio::spawn(async move { read.read_to_string(&mut said).await.map(|_| said) });
        // It waits for more.
        tokio::time::sleep(Duration::from_millis(10)).await;
        ends.cut();
        assert_eq!(reading.await.unwrap().unwrap(), "last");
        assert!(theirs.write_all(b"late").await.is_err());
        assert_eq!(
            write.try_write(b"x").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn what_is_on_its_way_at_the_end_still_comes() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        Ends::of(&[&ours]).unwrap().finish();
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        theirs.write_all(b"late").await.unwrap();
        drop(theirs);
        let mut said = String::new();
        ours.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "late");
    }
}
