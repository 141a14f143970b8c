use std::collections::VecDeque;
use std::pin::pin;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How many of the last lines are kept for error reports.
const TAIL_LINES: usize = 20;
/// A longer line is cut here: a function may write without ever ending a line.
const LINE_BYTES: usize = 16 << 10;

/// What a function writes to stderr: its log.
///
/// It is read as fast as the function writes, so that a full pipe never stops the function, and
/// only a bounded tail is kept.
#[derive(Debug)]
pub struct Stderr {
    app: String,
    function: String,
    instance: String,
    tail: Mutex<VecDeque<String>>,
}

impl Stderr {
    pub(crate) fn new(app: &str, function: &str, instance: &str) -> Self {
        Self {
            app: app.to_owned(),
            function: function.to_owned(),
            instance: instance.to_owned(),
            tail: Mutex::new(VecDeque::new()),
        }
    }

    /// The last lines, oldest first.
    pub fn tail(&self) -> Vec<String> {
        self.tail.lock().iter().cloned().collect()
    }

    /// Reads lines until `source` ends or fails.
    pub(crate) async fn pump(&self, source: impl AsyncRead) {
        let mut source = pin!(source);
        let mut pending = Vec::new();
        let mut chunk = vec![0; 4096];
        while let Ok(n @ 1..) = source.read(&mut chunk).await {
            for piece in chunk[..n].split_inclusive(|&b| b == b'\n') {
                pending.extend_from_slice(piece);
                if pending.ends_with(b"\n") || pending.len() >= LINE_BYTES {
                    self.line(&pending);
                    pending.clear();
                }
            }
        }
        if !pending.is_empty() {
            self.line(&pending);
        }
    }

    fn line(&self, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
        tracing::debug!(
            target: "function",
            app = %self.app,
            function = %self.function,
            container = %self.instance,
            "{}",
            line.escape_debug()
        );
        let mut tail = self.tail.lock();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tail_of(written: &[u8]) -> Vec<String> {
        let stderr = Stderr::new("a", "f", "i");
        stderr.pump(written).await;
        stderr.tail()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_and_an_unfinished_one_counts() {
        assert_eq!(tail_of(b"one\r\ntwo\nthree").await, ["one", "two", "three"]);
        let many: String = (0..100).map(|i| format!("{i}\n")).collect();
        let tail = tail_of(many.as_bytes()).await;
        assert_eq!(
            (tail.len(), tail[0].as_str(), tail[19].as_str()),
            (20, "80", "99")
        );
    }

    // C15: a giant line must not grow without bound.
    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let tail = tail_of(&vec![b'x'; 10 * LINE_BYTES]).await;
        assert!(tail.iter().all(|line| line.len() <= LINE_BYTES + 4096));
        assert!(tail.len() >= 8);
    }
}
