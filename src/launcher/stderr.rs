use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;

use crate::launcher::Stdout;

/// How many of the last lines are kept for error reports.
const TAIL_LINES: usize = 20;
/// A longer line is cut here: a function may write without ever ending a line.
const LINE_BYTES: usize = 16 << 10;
/// How much is kept of what a function writes before its first call.
const START_BYTES: usize = 64 << 10;
const START_CUT: &str = "\n-----what was written before the first call is cut here-----\n";
/// Read at once.
const CHUNK_BYTES: usize = 4 << 10;

/// What a function writes to stderr: its log.
///
/// It is read as fast as the function writes, so that a full pipe never stops the function. What
/// is written during a call is that call's log, and what is written before the first one is that
/// one's, too: it says how the function started. Beyond that, only a bounded tail is kept.
///
/// Over a pipe the log is exact: everything that was written before the response is in it. Where
/// stderr travels apart from stdout, as with attach, a last line may come too late for its call.
#[derive(Debug)]
pub struct Stderr {
    app: String,
    function: String,
    instance: String,
    pipe: Option<pipe::Receiver>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tail: VecDeque<String>,
    /// The line that has not ended yet.
    pending: Vec<u8>,
    /// Until the first call.
    start: Option<CallLog>,
    call: Option<CallLog>,
}

/// The log of the call that runs now.
#[derive(Debug)]
struct CallLog {
    text: Vec<u8>,
    limit: usize,
    truncated: bool,
}

/// Where stderr comes from, if not from a pipe of ours.
pub(crate) type Stream = Pin<Box<dyn AsyncRead + Send>>;

impl Stderr {
    pub(crate) fn new(
        app: &str,
        function: &str,
        instance: &str,
        pipe: Option<pipe::Receiver>,
    ) -> Self {
        Self {
            app: app.to_owned(),
            function: function.to_owned(),
            instance: instance.to_owned(),
            pipe,
            state: Mutex::new(State {
                tail: VecDeque::new(),
                pending: Vec::new(),
                start: Some(CallLog::new(START_BYTES)),
                call: None,
            }),
        }
    }

    /// The last lines, oldest first.
    pub fn tail(&self) -> Vec<String> {
        self.state.lock().tail.iter().cloned().collect()
    }

    /// Whether neither this nor `stdout` holds anything, and neither has ended: one question to the
    /// kernel for both, before each call. False also where it cannot tell.
    pub(crate) fn is_silent_beside(&self, stdout: &Stdout) -> bool {
        let (Some(log), Some(answers)) = (&self.pipe, stdout.descriptor()) else {
            return false;
        };
        let mut both = [
            PollFd::from_borrowed_fd(log.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(answers, PollFlags::IN),
        ];
        poll(&mut both, Some(&Timespec::default())) == Ok(0)
    }

    /// A call begins: what is written from here on, up to `limit` bytes, is its log, and if it is the
    /// first one, what was written before. `silent` if nothing of that is left to read.
    pub fn begin_call(&self, limit: usize, silent: bool) {
        let mut state = self.state.lock();
        if !silent {
            self.read_now(&mut state);
        }
        let mut call = CallLog::new(limit);
        if let Some(start) = state.start.take() {
            call.begin_with(&start);
        }
        state.call = Some(call);
    }

    /// The call has ended: its log.
    pub fn end_call(&self) -> Vec<u8> {
        let mut state = self.state.lock();
        self.read_now(&mut state);
        state
            .call
            .take()
            .map(CallLog::into_text)
            .unwrap_or_default()
    }

    /// Reads until the end. `stream` is where stderr comes from if there is no pipe.
    pub(crate) async fn pump(&self, stream: Option<Stream>) {
        match (&self.pipe, stream) {
            (Some(pipe), _) => while pipe.readable().await.is_ok() && self.read_ready(pipe) {},
            (None, Some(mut stream)) => {
                let mut chunk = vec![0; CHUNK_BYTES];
                while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                    self.take(&mut self.state.lock(), &chunk[..n]);
                }
            }
            (None, None) => {}
        }
        let mut state = self.state.lock();
        if !state.pending.is_empty() {
            self.end_line(&mut state);
        }
    }

    /// Reads what the runtime knows to be there; false at the end.
    fn read_ready(&self, pipe: &pipe::Receiver) -> bool {
        // Under the lock, so that bytes are taken in the order in which they are read.
        let mut state = self.state.lock();
        let mut chunk = [0; CHUNK_BYTES];
        match pipe.try_read(&mut chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.take(&mut state, &chunk[..n]);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Reads what is there, as the kernel knows it.
    fn read_now(&self, state: &mut State) {
        let Some(pipe) = &self.pipe else { return };
        // Not filled: mostly there is nothing to read.
        let mut chunk = [MaybeUninit::uninit(); CHUNK_BYTES];
        // Bounded: a function that floods its log must not keep its own call from ending.
        for _ in 0..64 {
            match rustix::io::read(pipe, &mut chunk) {
                Ok((bytes @ [_, ..], _)) => self.take(state, bytes),
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn take(&self, state: &mut State, bytes: &[u8]) {
        if let Some(log) = state.call.as_mut().or(state.start.as_mut()) {
            log.add(bytes);
        }
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            state.pending.extend_from_slice(piece);
            if state.pending.ends_with(b"\n") || state.pending.len() >= LINE_BYTES {
                self.end_line(state);
            }
        }
    }

    fn end_line(&self, state: &mut State) {
        let line = String::from_utf8_lossy(state.pending.trim_ascii_end()).into_owned();
        state.pending.clear();
        tracing::debug!(
            target: "function",
            app = %self.app,
            function = %self.function,
            container = %self.instance,
            "{}",
            line.escape_debug()
        );
        if state.tail.len() == TAIL_LINES {
            state.tail.pop_front();
        }
        state.tail.push_back(line);
    }
}

impl CallLog {
    fn new(limit: usize) -> Self {
        Self {
            text: Vec::new(),
            limit,
            truncated: false,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = self.limit - self.text.len();
        self.truncated |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What the function wrote before its first call takes half of the room at most: the rest is
    /// for what the call was about.
    fn begin_with(&mut self, start: &Self) {
        let kept = start.text.len().min(self.limit / 2);
        self.add(&start.text[..kept]);
        if start.truncated || kept < start.text.len() {
            self.add(START_CUT.as_bytes());
        }
    }

    /// A log that was cut says so, in the words that Fn's users know.
    fn into_text(mut self) -> Vec<u8> {
        if self.truncated {
            let note = format!(
                "\n-----max log size {} bytes exceeded, truncating log-----\n",
                self.limit
            );
            self.text.extend_from_slice(note.as_bytes());
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn piped() -> (Stderr, std::fs::File) {
        let (write, read) = {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            (
                std::fs::File::from(write),
                pipe::Receiver::from_owned_fd(read).unwrap(),
            )
        };
        (Stderr::new("a", "f", "i", Some(read)), write)
    }

    async fn tail_of(written: &'static [u8]) -> Vec<String> {
        let stderr = Stderr::new("a", "f", "i", None);
        stderr.pump(Some(Box::pin(written))).await;
        stderr.tail()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_and_an_unfinished_one_counts() {
        assert_eq!(tail_of(b"one\r\ntwo\nthree").await, ["one", "two", "three"]);
        let many: String = (0..100).map(|i| format!("{i}\n")).collect();
        let tail = tail_of(many.into_bytes().leak()).await;
        assert_eq!(
            (tail.len(), tail[0].as_str(), tail[19].as_str()),
            (20, "80", "99")
        );
    }

    // C15: a giant line must not grow without bound.
    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let tail = tail_of(vec![b'x'; 10 * LINE_BYTES].leak()).await;
        assert!(
            tail.iter()
                .all(|line| line.len() <= LINE_BYTES + CHUNK_BYTES)
        );
        assert!(tail.len() >= 8);
    }

    #[tokio::test]
    async fn a_log_holds_what_was_written_during_its_call_or_before_the_first() {
        let (stderr, mut function) = piped();
        function.write_all(b"starting\n").unwrap();
        stderr.begin_call(100, false);
        function.write_all(b"first").unwrap();
        assert_eq!(stderr.end_call(), b"starting\nfirst");
        function.write_all(b"between\n").unwrap();
        stderr.begin_call(100, false);
        function.write_all(b"second\n").unwrap();
        assert_eq!(stderr.end_call(), b"second\n");
        assert_eq!(stderr.end_call(), b"", "no call runs");
        drop(function);
        stderr.pump(None).await;
        assert_eq!(stderr.tail(), ["starting", "firstbetween", "second"]);
    }

    #[tokio::test]
    async fn a_long_start_leaves_room_for_the_call() {
        let (stderr, mut function) = piped();
        function.write_all(&[b'x'; 60 << 10]).unwrap();
        stderr.begin_call(1000, false);
        function.write_all(b"why it failed").unwrap();
        let log = String::from_utf8(stderr.end_call()).unwrap();
        assert!(log.starts_with(&"x".repeat(500)), "{log}");
        assert!(log.ends_with("is cut here-----\nwhy it failed"), "{log}");
    }

    #[tokio::test]
    async fn a_log_that_is_too_long_is_cut_and_says_so() {
        let (stderr, mut function) = piped();
        stderr.begin_call(4, false);
        function.write_all(b"12345678").unwrap();
        assert_eq!(
            String::from_utf8(stderr.end_call()).unwrap(),
            "1234\n-----max log size 4 bytes exceeded, truncating log-----\n"
        );
    }
}
