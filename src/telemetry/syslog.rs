//! Functions' logs to the syslog servers that their apps name (RFC 5424 over UDP or TCP).
//!
//! A line per message; over TCP a message ends with a line feed (RFC 6587 section 3.4.2). Sending
//! never holds a call up: what a server does not take in time is dropped and counted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::model::{CallId, Timestamp};

/// Logs of calls that may wait for one server.
const QUEUE: usize = 1024;
/// A server that cannot be reached is asked again after this.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that takes nothing for this long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last lines may take at the end.
const FLUSH: Duration = Duration::from_secs(2);
/// Facility `user` (1), severity `informational` (6): RFC 5424 section 6.2.1.
const PRIORITY: u8 = 8 + 6;
/// RFC 5424 section 6: APP-NAME is 1 to 48 printable characters.
const APP_NAME_CHARS: usize = 48;

/// What one call wrote to its log.
#[derive(Clone, Debug)]
pub struct SyslogEntry {
    pub app: String,
    /// The function's name, or the route's path.
    pub function: String,
    pub call_id: CallId,
    pub at: Timestamp,
    pub log: Vec<u8>,
}

/// All syslog servers in use.
#[derive(Debug)]
pub struct Syslog {
    servers: Mutex<HashMap<String, mpsc::Sender<SyslogEntry>>>,
    tasks: TaskTracker,
    /// Where the servers are written to.
    main: Handle,
    dropped: Arc<AtomicU64>,
}

impl Syslog {
    /// Sends from the runtime `main`, whoever asks for it.
    pub fn new(main: Handle) -> Self {
        Self {
            servers: Mutex::default(),
            tasks: TaskTracker::new(),
            main,
            dropped: Arc::default(),
        }
    }

    /// Sends `entry` to the server at `url`, `udp://host:port` or `tcp://host:port`, soon.
    pub fn send(&self, url: &str, entry: SyslogEntry) {
        let mut servers = self.servers.lock();
        let queue = match servers.get(url) {
            Some(queue) => queue.clone(),
            None => {
                let (sender, entries) = mpsc::channel(QUEUE);
                let server = Server {
                    url: url.to_owned(),
                    dropped: self.dropped.clone(),
                };
                self.tasks.spawn_on(server.run(entries), &self.main);
                servers.insert(url.to_owned(), sender.clone());
                sender
            }
        };
        drop(servers);
        if queue.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many calls' logs did not reach their server.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sends what is still queued, within a bound, and ends.
    pub async fn close(&self) {
        self.servers.lock().clear();
        self.tasks.close();
        let _ = tokio::time::timeout(FLUSH, self.tasks.wait()).await;
    }
}

struct Server {
    url: String,
    dropped: Arc<AtomicU64>,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Server {
    async fn run(self, mut entries: mpsc::Receiver<SyslogEntry>) {
        let host = host_name();
        let mut connection = None;
        let mut complained = false;
        while let Some(entry) = entries.recv().await {
            let messages = messages(&entry, &host);
            match tokio::time::timeout(PATIENCE, self.deliver(&mut connection, &messages)).await {
                Ok(Ok(())) => complained = false,
                outcome => {
                    connection = None;
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    if !complained {
                        let reason = match outcome {
                            Ok(Err(error)) => error.to_string(),
                            _ => "it takes nothing".to_owned(),
                        };
                        tracing::warn!(url = %self.url, %reason, "logs do not reach the syslog server");
                    }
                    complained = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn deliver(
        &self,
        connection: &mut Option<Connection>,
        messages: &[String],
    ) -> io::Result<()> {
        if connection.is_none() {
            *connection = Some(self.connect().await?);
        }
        match connection {
            Some(Connection::Udp(socket)) => {
                for message in messages {
                    socket.send(message.as_bytes()).await?;
                }
            }
            Some(Connection::Tcp(stream)) => {
                let mut text = messages.join("\n");
                text.push('\n');
                stream.write_all(text.as_bytes()).await?;
            }
            None => {}
        }
        Ok(())
    }

    async fn connect(&self) -> io::Result<Connection> {
        match self.url.split_once("://") {
            Some(("udp", address)) => {
                let any = if address.starts_with('[') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Ok(Connection::Udp(socket))
            }
            Some(("tcp", address)) => Ok(Connection::Tcp(TcpStream::connect(address).await?)),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only udp://host:port and tcp://host:port are supported",
            )),
        }
    }
}

fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

/// A message per line of the log (RFC 5424 section 6). The tag is the one that Fn's servers used,
/// so that filters written for them go on working.
fn messages(entry: &SyslogEntry, host: &str) -> Vec<String> {
    let tag: String = format!("app_name={},func_name={}", entry.app, entry.function)
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .take(APP_NAME_CHARS)
        .collect();
    let head = format!(
        "<{PRIORITY}>1 {} {host} {tag} - {} - ",
        entry.at, entry.call_id
    );
    String::from_utf8_lossy(&entry.log)
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut message = head.clone();
            for c in line.chars() {
                // A control character could end the message or forge another one.
                if c.is_control() && c != '\t' {
                    let _ = write!(message, "{}", c.escape_default());
                } else {
                    message.push(c);
                }
            }
            message
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    fn entry(log: &str) -> SyslogEntry {
        SyslogEntry {
            app: "my app".to_owned(),
            function: "/hello".to_owned(),
            call_id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            at: Timestamp::from_millis(1_527_847_200_000),
            log: log.as_bytes().to_vec(),
        }
    }

    // I1: a log line must not be able to forge another.
    #[test]
    fn a_line_is_a_message_and_stays_one() {
        let messages = messages(&entry("one\n\ntwo\x1b[31m\r\x00end\n"), "box");
        let head = "<14>1 2018-06-01T10:00:00.000Z box app_name=my_app,func_name=/hello - \
                    01ARZ3NDEKTSV4RRFFQ69G5FAV - ";
        assert_eq!(
            messages,
            [
                format!("{head}one"),
                format!("{head}two\\u{{1b}}[31m\\r\\u{{0}}end")
            ]
        );
    }

    #[tokio::test]
    async fn lines_arrive_over_udp() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let url = format!("udp://{}", server.local_addr().unwrap());
        let syslog = Syslog::new(Handle::current());
        syslog.send(&url, entry("first\nsecond\n"));
        let mut buf = [0; 1024];
        for line in ["first", "second"] {
            let n = server.recv(&mut buf).await.unwrap();
            let text = String::from_utf8_lossy(&buf[..n]);
            assert!(text.starts_with("<14>1 ") && text.ends_with(line), "{text}");
        }
    }

    #[tokio::test]
    async fn lines_arrive_over_tcp_again_after_the_server_was_away() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let url = format!("tcp://{address}");
        let syslog = Syslog::new(Handle::current());
        syslog.send(&url, entry("first\n"));
        let (stream, _) = server.accept().await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert!(lines.next_line().await.unwrap().unwrap().ends_with("first"));
        drop(lines);
        // The break shows at a later write only; what was sent meanwhile is lost.
        let accepted = async {
            let (stream, _) = server.accept().await.unwrap();
            BufReader::new(stream)
                .lines()
                .next_line()
                .await
                .unwrap()
                .unwrap()
        };
        tokio::pin!(accepted);
        let line = loop {
            syslog.send(&url, entry("again\n"));
            tokio::select! {
                line = &mut accepted => break line,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        };
        assert!(line.ends_with("again"), "{line}");
    }

    // I6: a sink that is down costs lines, never calls.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_not_there_costs_lines_only() {
        let syslog = Syslog::new(Handle::current());
        for _ in 0..2 * QUEUE {
            syslog.send("tcp+tls://127.0.0.1:1", entry("lost\n"));
        }
        assert!(syslog.dropped() >= QUEUE as u64 - 1, "{}", syslog.dropped());
        syslog.close().await;
    }
}
