//! Connections on which every byte is the test's own.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Gateway, PATIENCE};

/// One response, as it was on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, lower-cased.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        Self {
            stream: TcpStream::connect(gateway.address()).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// A new connection that has sent `bytes`.
    pub(crate) async fn sent(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::connect(gateway).await;
        raw.send(bytes).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next response, to a request that was not HEAD.
    pub(crate) async fn answer(&mut self) -> Answer {
        let (status, head) = self.head().await;
        let length = head
            .split_once("\r\ncontent-length: ")
            .map_or(0, |(_, rest)| {
                rest.split_once("\r\n").unwrap().0.parse().unwrap()
            });
        while self.read.len() < length {
            assert!(self.more().await > 0, "the body of {head:?} is cut");
        }
        let body = self.read.drain(..length).collect();
        Answer { status, head, body }
    }

    /// The next response's head alone.
    pub(crate) async fn head(&mut self) -> (u16, String) {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            let said = self.read.escape_ascii().to_string();
            assert!(self.more().await > 0, "closed after {said:?}");
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head)
    }

    /// What still comes before the server closes; a reset is a failure.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    async fn more(&mut self) -> usize {
        let mut piece = vec![0; 64 << 10];
        let length = timeout(PATIENCE, self.stream.read(&mut piece))
            .await
            .expect("the server neither answers nor closes")
            .unwrap();
        self.read.extend_from_slice(&piece[..length]);
        length
    }
}
