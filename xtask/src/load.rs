//! Callers: as many at once as asked for, each as fast as it is answered, or at a rate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
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
        Self::with_header(address, path, "", bytes)
    }

    /// To the function that is measured, which sleeps before it answers.
    pub(crate) fn of_a_while(address: &str, path: &str, time: Duration) -> Self {
        let header = format!("X-Sleep-Millis: {}\r\n", time.as_millis());
        Self::with_header(address, path, &header, 200)
    }

    fn with_header(address: &str, path: &str, header: &str, bytes: usize) -> Self {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{header}Content-Length: {bytes}\r\n\r\n"
        )
        .into_bytes();
        request.resize(request.len() + bytes, b'x');
        Self {
            address: address.to_owned(),
            request: request.into(),
        }
    }

    /// Makes the call once, and returns its status and how long it took.
    pub(crate) async fn once(&self) -> anyhow::Result<(u16, Duration)> {
        let began = Instant::now();
        let status = Connection::open(self).await?.call().await?;
        Ok((status, began.elapsed()))
    }
}

impl Call {
    /// Makes the call so many times over one connection, and counts the statuses.
    pub(crate) async fn in_a_row(&self, times: u64) -> anyhow::Result<BTreeMap<u16, u64>> {
        let mut connection = Connection::open(self).await?;
        let mut statuses = BTreeMap::new();
        for _ in 0..times {
            *statuses.entry(connection.call().await?).or_default() += 1;
        }
        Ok(statuses)
    }
}

/// What callers saw.
pub(crate) struct Outcome {
    /// Of the calls that were answered with 200, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Of all others.
    pub(crate) refusals: Histogram<u64>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) took: Duration,
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
            refusals: Histogram::new_with_bounds(1, LONGEST, 3)?,
            statuses: BTreeMap::new(),
            took: Duration::ZERO,
        })
    }

    fn count(&mut self, status: u16, taken: Duration) {
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX).max(1);
        let times = match status {
            200 => &mut self.latency,
            _ => &mut self.refusals,
        };
        times.saturating_record(micros);
        *self.statuses.entry(status).or_default() += 1;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.latency.len() + self.refusals.len()
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.took.as_secs_f64()
    }
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
    let tasks = callers.into_iter().map(|mut connection| {
        tokio::spawn(async move {
            let mut seen = Outcome::new()?;
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return anyhow::Ok(seen);
                }
                let status = connection.call().await?;
                seen.count(status, sent.elapsed());
            }
        })
    });
    gather(tasks.collect(), began).await
}

/// `rate` calls a second for `time`, spread over `connections`. A call's time counts from when it
/// was due, so that one that is slow is seen by all that wait behind it.
#[expect(clippy::cast_precision_loss, reason = "connections are few")]
pub(crate) async fn open(
    call: &Call,
    connections: usize,
    rate: f64,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let pause = Duration::from_secs_f64(connections as f64 / rate);
    let mut callers = Vec::new();
    for _ in 0..connections {
        callers.push(Connection::open(call).await?);
    }
    let began = Instant::now() + Duration::from_millis(50);
    let tasks = callers
        .into_iter()
        .enumerate()
        .map(|(number, mut connection)| {
            let mut due = began + pause.mul_f64(number as f64 / connections as f64);
            tokio::spawn(async move {
                let mut seen = Outcome::new()?;
                while due < began + time {
                    tokio::time::sleep_until(due).await;
                    let status = connection.call().await?;
                    seen.count(status, due.elapsed());
                    due += pause;
                }
                anyhow::Ok(seen)
            })
        });
    gather(tasks.collect(), began).await
}

async fn gather(
    tasks: Vec<JoinHandle<anyhow::Result<Outcome>>>,
    began: Instant,
) -> anyhow::Result<Outcome> {
    let mut all = Outcome::new()?;
    for task in tasks {
        let seen = task.await??;
        all.latency.add(seen.latency)?;
        all.refusals.add(seen.refusals)?;
        for (status, calls) in seen.statuses {
            *all.statuses.entry(status).or_default() += calls;
        }
    }
    all.took = began.elapsed();
    Ok(all)
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
