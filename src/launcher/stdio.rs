use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// Pipes are enlarged to this when a body is larger than [`PIPE_DEFAULT`]; 1 MiB is what Linux
/// grants an unprivileged process.
const PIPE_LARGE: usize = 1 << 20;

/// A pipe's size unless told otherwise; bodies up to this pass in one go.
pub(crate) const PIPE_DEFAULT: usize = 64 << 10;

/// The write end of a function's stdin. Dropping it is the function's end of file.
pub enum Stdin {
    /// A pipe of the kernel's.
    Pipe(pipe::Sender),
    /// Bytes that travel some other way.
    Stream(Pin<Box<dyn AsyncWrite + Send>>),
}

/// What a function does between calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// Nothing, as it should.
    Silent,
    /// It wrote this many bytes.
    Spoke(usize),
    /// It closed its stdout, or died.
    Ended,
}

/// The read end of a function's stdout.
pub enum Stdout {
    /// A pipe of the kernel's.
    Pipe(pipe::Receiver),
    /// Bytes that travel some other way.
    Stream(Pin<Box<dyn AsyncRead + Send>>),
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe(_) => "Stdin::Pipe",
            Self::Stream(_) => "Stdin::Stream",
        })
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe(_) => "Stdout::Pipe",
            Self::Stream(_) => "Stdout::Stream",
        })
    }
}

impl Stdin {
    /// Writes as much of `parts` as the function takes now.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write_vectored(cx, parts),
            Self::Stream(stream) => stream.as_mut().poll_write_vectored(cx, parts),
        }
    }

    /// Pushes out what a buffered stream holds back; pipes hold nothing back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Pipe(_) => Poll::Ready(Ok(())),
            Self::Stream(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    /// How many of the bytes written the function has not read yet; `None` where nobody can tell.
    pub fn unread(&self) -> Option<u64> {
        match self {
            Self::Pipe(pipe) => rustix::io::ioctl_fionread(pipe).ok(),
            Self::Stream(_) => None,
        }
    }

    /// Makes room for a body of `bytes`. Best effort: a host that refuses is only slower.
    pub fn make_room(&self, bytes: u64) {
        if let Self::Pipe(pipe) = self {
            enlarge(pipe, bytes);
        }
    }
}

impl Stdout {
    /// Reads into the unfilled part of `buf`; a read of nothing is end of file.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Self::Stream(stream) => stream.as_mut().poll_read(cx, buf),
        }
    }

    /// Reads what is there *now* into `buf`. Asks the kernel itself: the runtime's idea of
    /// readiness may lag behind what another process has just done.
    pub fn read_now(&mut self, buf: &mut [u8]) -> Now {
        match self {
            Self::Pipe(pipe) => match rustix::io::read(&*pipe, buf) {
                Ok(0) => Now::Ended,
                Ok(n) => Now::Spoke(n),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Now::Silent,
                Err(_) => Now::Ended,
            },
            Self::Stream(_) => self.poll_now(&mut Context::from_waker(Waker::noop()), buf),
        }
    }

    /// As [`read_now`](Self::read_now) as far as the runtime knows; wakes `cx` when the answer
    /// stops being [`Now::Silent`].
    pub fn poll_now(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Now {
        let mut buf = ReadBuf::new(buf);
        match self.poll_read(cx, &mut buf) {
            Poll::Pending => Now::Silent,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => Now::Spoke(buf.filled().len()),
            Poll::Ready(_) => Now::Ended,
        }
    }

    /// Makes room for a body of `bytes`, as [`Stdin::make_room`].
    pub fn make_room(&self, bytes: u64) {
        if let Self::Pipe(pipe) = self {
            enlarge(pipe, bytes);
        }
    }
}

fn enlarge(pipe: &impl AsFd, bytes: u64) {
    if bytes <= PIPE_DEFAULT as u64 {
        return;
    }
    let small = rustix::pipe::fcntl_getpipe_size(pipe).is_ok_and(|size| size < PIPE_LARGE);
    if small {
        // An unprivileged user has a budget for large pipes; without it the default size works.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_LARGE);
    }
}

/// Three pipes: the ends for the function, and the ends for us.
pub(crate) struct Pipes {
    pub(crate) theirs: Vec<std::os::fd::OwnedFd>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stdout,
    pub(crate) stderr: pipe::Receiver,
}

impl Pipes {
    pub(crate) fn new() -> io::Result<Self> {
        let (stdin_read, stdin_write) = pipe_pair()?;
        let (stdout_read, stdout_write) = pipe_pair()?;
        let (stderr_read, stderr_write) = pipe_pair()?;
        // A function that does not run as our user may open /dev/stdout and the like by path,
        // which checks the pipe's mode as if it were a file's.
        for fd in [&stdin_read, &stdout_write, &stderr_write] {
            rustix::fs::fchmod(fd, rustix::fs::Mode::from_raw_mode(0o666))?;
        }
        Ok(Self {
            theirs: vec![stdin_read, stdout_write, stderr_write],
            stdin: Stdin::Pipe(pipe::Sender::from_owned_fd(stdin_write)?),
            stdout: Stdout::Pipe(pipe::Receiver::from_owned_fd(stdout_read)?),
            stderr: pipe::Receiver::from_owned_fd(stderr_read)?,
        })
    }
}

fn pipe_pair() -> io::Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}
