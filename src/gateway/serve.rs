use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Request;
use http::header::EXPECT;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Limits;

use super::guard::Guard;
use super::handle::{Gateway, GatewayConfig};
use super::relay::Relay;
use super::vigil::Vigil;
use super::workers::Workers;

/// hyper's lower bound of its buffer.
const MIN_HEAD_BYTES: usize = 8 << 10;

/// After a failed accept, most often for want of descriptors, calls that end free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How a server is told to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Accept nothing new; let requests in flight finish.
    pub drain: CancellationToken,
    /// Drop everything at once.
    pub kill: CancellationToken,
}

/// What a connection may be told.
enum Word {
    Drain,
    Kill,
}

impl Stop {
    fn words(&self) -> [impl Future<Output = Word>; 2] {
        let word = async |token: CancellationToken, word| {
            token.cancelled_owned().await;
            word
        };
        [
            word(self.drain.clone(), Word::Drain),
            word(self.kill.clone(), Word::Kill),
        ]
    }
}

/// Serves connections on `workers` until `stop` says otherwise and the last one has ended.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, workers: &Workers, stop: Stop) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(gateway.config.max_connections));
    let mut pause = ACCEPT_PAUSE;
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
                pause = ACCEPT_PAUSE;
                let (gateway, stop) = (gateway.clone(), stop.clone());
                let place = workers.place();
                let runtime = place.runtime.clone();
                let served = async move {
                    let (_permit, place) = (permit, place);
                    // The runtime that serves it has to be the one that hears of it.
                    match stream.into_std().and_then(TcpStream::from_std) {
                        Ok(stream) => connection(stream, gateway, stop, &place.vigil).await,
                        Err(error) => tracing::warn!(%error, "cannot serve a connection"),
                    }
                };
                connections.spawn_on(served, &runtime);
            }
            Err(error) => {
                // Said once, not at every try.
                if pause == ACCEPT_PAUSE {
                    tracing::warn!(%error, "cannot accept a connection");
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.drain.cancelled() => break,
                    () = stop.kill.cancelled() => break,
                }
                pause = (pause * 2).min(LONGEST_ACCEPT_PAUSE);
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, gateway: Arc<Gateway>, stop: Stop, vigil: &Vigil) {
    // Responses are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let GatewayConfig {
        max_head_bytes,
        timeouts,
        ..
    } = gateway.config;
    let guard = Guard::new(stream, max_head_bytes, timeouts);
    let answers = guard.answers();
    let service = service_fn(|request: Request<Incoming>| {
        let (gateway, answers) = (gateway.clone(), answers.clone());
        let expects = request.headers().contains_key(EXPECT);
        let in_flight = vigil.request();
        // Boxed, because hyper gives the stream back only if it may move the future.
        Box::pin(async move {
            let _in_flight = in_flight;
            let response = gateway.handle(request, &answers).await?;
            Ok::<_, Infallible>(answers.note(response, expects))
        })
    });
    let mut http = http1::Builder::new();
    // The guard has the clocks, and bounds what hyper sees; hyper must not find it too much.
    http.header_read_timeout(None)
        .max_buf_size(max_head_bytes.max(MIN_HEAD_BYTES) + Limits::LEADING_BYTES + 1)
        // Fn's clients look some headers up by their canonical spelling.
        .title_case_headers(true);
    let mut connection = http.serve_connection(TokioIo::new(guard), service);
    // Asked only after one has woken: a token's lock is shared by all connections.
    let mut words: FuturesUnordered<_> = stop.words().into_iter().collect();
    let mut relay = Relay::default();
    let ended = loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| relay.poll(cx, |cx| connection.poll_without_shutdown(cx))) => {
                break ended;
            }
            Some(word) = words.next() => match word {
                Word::Drain => std::pin::Pin::new(&mut connection).graceful_shutdown(),
                // Dropping the connection drops its call, which kills the call's container.
                Word::Kill => return,
            },
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        return;
    }
    // hyper would skip this after a request that asked for an upgrade, and it may have to wait.
    let mut guard = connection.into_parts().io.into_inner();
    tokio::select! {
        _ = guard.shutdown() => {}
        () = stop.kill.cancelled() => {}
    }
}
