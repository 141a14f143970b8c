//! What a program can do at best that does no more than hyper: answer, or pass on.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Mutex;

/// Said on stdout, as soon as it is listened to.
const READY: &str = "listens on ";

/// Takes a line of a floor's for its address.
pub(crate) fn address(line: &str) -> Option<&str> {
    line.strip_prefix(READY)
}

#[expect(
    clippy::print_stdout,
    reason = "whoever started it reads where it listens"
)]
async fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{READY}{}", listener.local_addr()?);
    Ok(listener)
}

pub(crate) async fn serve_static(bytes: usize) -> anyhow::Result<()> {
    let listener = listen().await?;
    let body = Bytes::from(vec![b'x'; bytes]);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        serve(stream, move |request: Request<Incoming>| {
            let body = body.clone();
            async move {
                drain(request.into_body()).await;
                Ok(Response::new(Full::new(body)))
            }
        });
    }
}

pub(crate) async fn serve_proxy(upstream: PathBuf) -> anyhow::Result<()> {
    let listener = listen().await?;
    // One after the other, as a lane serves one call after the other.
    let idle: Arc<Mutex<Vec<client::SendRequest<Incoming>>>> = Arc::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (upstream, idle) = (upstream.clone(), idle.clone());
        let pass = move |request| {
            let (upstream, idle) = (upstream.clone(), idle.clone());
            async move {
                let kept = idle.lock().await.pop();
                let mut sender = match kept {
                    Some(sender) if sender.is_ready() => sender,
                    _ => connect(&upstream).await?,
                };
                let response = sender.send_request(request).await?;
                idle.lock().await.push(sender);
                Ok::<_, anyhow::Error>(response)
            }
        };
        let connection =
            server::Builder::new().serve_connection(TokioIo::new(stream), service_fn(pass));
        tokio::spawn(connection);
    }
}

async fn connect(upstream: &Path) -> anyhow::Result<client::SendRequest<Incoming>> {
    let stream = UnixStream::connect(upstream).await?;
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) async fn serve_echo(socket: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        serve(stream, |request: Request<Incoming>| async move {
            Ok(Response::new(request.into_body()))
        });
    }
}

fn serve<S, F, B>(stream: S, answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(answer);
    tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
}

async fn drain(mut body: Incoming) {
    use http_body_util::BodyExt;
    while let Some(Ok(_)) = body.frame().await {}
}
