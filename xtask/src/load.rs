//! Callers: as many at once as asked for, each as fast as it is answered, or at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// In microseconds; what takes longer counts as this.
const LONGEST: u64 = 60_000_000;

/// What is sent, over and over.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) address: String,
    request: Arc<[u8]>,
}

impl Call {
    pub(crate) fn new(address: &str, path: &str, bytes: usize) -> Self {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {bytes}\r\n\r\n")
                .into_bytes();
        request.resize(request.len() + bytes, b'x');
        Self {
            address: address.to_owned(),
            request: request.into(),
        }
    }
}

/// What callers saw.
pub(crate) struct Outcome {
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) took: Duration,
    /// Answers that were no 200.
    pub(crate) refused: u64,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        (self.latency.len() as f64) / self.took.as_secs_f64()
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}

/// `connections` callers for `time`, each with one call at a time.
pub(crate) async fn closed(
    call: &Call,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let mut callers = Vec::new();
    for _ in 0..connections {
        callers.push(Connection::open(call).await?);
    }
    let began = Instant::now();
    let end = began + time;
    let refused = Arc::new(AtomicU64::new(0));
    let tasks = callers.into_iter().map(|mut connection| {
        let refused = refused.clone();
        tokio::spawn(async move {
            let mut latency = histogram()?;
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return anyhow::Ok(latency);
                }
                if connection.call().await? == 200 {
                    latency.saturating_record(micros(sent.elapsed()));
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    gather(tasks.collect(), began, &refused).await
}

/// `rate` calls a second for `time`, spread over `connections`. A call's time counts from when it
/// was due, so that one that is slow is seen by all that wait behind it.
pub(crate) async fn open(
    call: &Call,
    connections: usize,
    rate: f64,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let pause = Duration::from_secs_f64(connections as f64 / rate);
    let began = Instant::now() + Duration::from_millis(50);
    let refused = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for number in 0..connections {
        let mut connection = Connection::open(call).await?;
        let refused = refused.clone();
        let mut due = began + pause.mul_f64(number as f64 / connections as f64);
        tasks.push(tokio::spawn(async move {
            let mut latency = histogram()?;
            while due < began + time {
                tokio::time::sleep_until(due).await;
                if connection.call().await? == 200 {
                    latency.saturating_record(micros(due.elapsed()));
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                due += pause;
            }
            anyhow::Ok(latency)
        }));
    }
    gather(tasks, began, &refused).await
}

async fn gather(
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Histogram<u64>>>>,
    began: Instant,
    refused: &AtomicU64,
) -> anyhow::Result<Outcome> {
    let mut latency = histogram()?;
    for task in tasks {
        latency.add(task.await??)?;
    }
    Ok(Outcome {
        latency,
        took: began.elapsed(),
        refused: refused.load(Ordering::Relaxed),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// One caller's connection, which reads no more of an answer than it has to.
struct Connection {
    stream: TcpStream,
    request: Arc<[u8]>,
    read: Vec<u8>,
}

impl Connection {
    async fn open(call: &Call) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&call.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: call.request.clone(),
            read: vec![0; 64 << 10],
        })
    }

    async fn call(&mut self) -> anyhow::Result<u16> {
        let (mut reader, mut writer) = self.stream.split();
        let write = writer.write_all(&self.request);
        let (written, status) = tokio::join!(write, answer(&mut reader, &mut self.read));
        written?;
        status
    }
}

async fn answer(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut [u8],
) -> anyhow::Result<u16> {
    let mut filled = 0;
    let (status, mut left) = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!("the connection ended");
        }
        filled += read;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(&buffer[..filled])? else {
            continue;
        };
        let is_length = |h: &&httparse::Header<'_>| h.name.eq_ignore_ascii_case("content-length");
        let length = response.headers.iter().find(is_length);
        let length = length.context("an answer without a length")?;
        let length: usize = std::str::from_utf8(length.value)?.trim().parse()?;
        let status = response.code.context("an answer without a status")?;
        break (status, (head + length).saturating_sub(filled));
    };
    while left > 0 {
        let most = left.min(buffer.len());
        let read = stream.read(&mut buffer[..most]).await?;
        if read == 0 {
            bail!("the connection ended in an answer");
        }
        left -= read;
    }
    Ok(status)
}
