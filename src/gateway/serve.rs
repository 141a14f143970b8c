use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::Gateway;

/// A head must be complete within this, or it never will be.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// More header lines than this are refused with 431; hyper's own default, 100, is less than
/// what some proxies add up to.
const MAX_HEADERS: usize = 256;

/// hyper's lower bound of its buffer.
const MIN_HEAD_BYTES: usize = 8 << 10;

/// After a failed accept, most often for want of descriptors, calls that end free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a server is told to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Accept nothing new; let requests in flight finish.
    pub drain: CancellationToken,
    /// Drop everything at once.
    pub kill: CancellationToken,
}

/// Serves connections until `stop` says otherwise and the last one has ended.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, stop: Stop) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(gateway.config.max_connections));
    loop {
        // Taken before the accept: who finds no room waits in the kernel's queue.
        let accepted = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            pair = accepted => pair,
            () = stop.drain.cancelled() => break,
            () = stop.kill.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (gateway, stop) = (gateway.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, gateway, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, gateway: Arc<Gateway>, stop: Stop) {
    // Responses are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let gateway = gateway.clone();
        async move { gateway.handle(request).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(gateway.config.max_head_bytes.max(MIN_HEAD_BYTES))
        // Fn's clients look some headers up by their canonical spelling.
        .title_case_headers(true);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut draining = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = stop.drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            // Dropping the connection drops its call, which kills the call's container.
            () = stop.kill.cancelled() => return,
        }
    }
}
