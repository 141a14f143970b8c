use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};

use super::frames::Frames;
use crate::launcher::Channel;

/// Pipes are enlarged to this when a body is larger than [`PIPE_DEFAULT`]; 1 MiB is what Linux
/// grants an unprivileged process.
const PIPE_LARGE: usize = 1 << 20;

/// A pipe's size unless told otherwise; bodies up to this pass in one go.
pub(crate) const PIPE_DEFAULT: usize = 64 << 10;

/// Where a function reads its requests from: its stdin, or a connection to its socket.
/// Dropping it is the function's end of file.
pub enum Stdin {
    /// A pipe of the kernel's.
    Pipe(pipe::Sender),
    /// Bytes that travel some other way.
    Stream(Pin<Box<dyn AsyncWrite + Send>>),
    /// A connection to the function's socket.
    Socket(OwnedWriteHalf),
    /// A connection to an engine, which passes on what it reads.
    Engine(OwnedWriteHalf),
    /// Nothing can be written.
    Closed,
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

/// Where a function writes its responses to: its stdout, or a connection to its socket.
pub enum Stdout {
    /// A pipe of the kernel's.
    Pipe(pipe::Receiver),
    /// Bytes that travel some other way.
    Stream(Pin<Box<dyn AsyncRead + Send>>),
    /// A connection to the function's socket.
    Socket(OwnedReadHalf),
    /// A connection to an engine.
    Engine(Frames),
    /// Nothing will be read.
    Closed,
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe(_) => "Stdin::Pipe",
            Self::Stream(_) => "Stdin::Stream",
            Self::Socket(_) => "Stdin::Socket",
            Self::Engine(_) => "Stdin::Engine",
            Self::Closed => "Stdin::Closed",
        })
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe(_) => "Stdout::Pipe",
            Self::Stream(_) => "Stdout::Stream",
            Self::Socket(_) => "Stdout::Socket",
            Self::Engine(_) => "Stdout::Engine",
            Self::Closed => "Stdout::Closed",
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
            Self::Socket(socket) | Self::Engine(socket) => {
                Pin::new(socket).poll_write_vectored(cx, parts)
            }
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Pushes out what a buffered stream holds back; the kernel holds nothing back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => stream.as_mut().poll_flush(cx),
            Self::Pipe(_) | Self::Socket(_) | Self::Engine(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    /// Ends what the function reads. Only a stream that is not the kernel's has to be told, and may
    /// not take it now.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Stream(stream) = self {
            // One that is broken has ended, too.
            let _ = std::task::ready!(stream.as_mut().poll_shutdown(cx));
        }
        *self = Self::Closed;
        Poll::Ready(())
    }

    /// How many of the bytes written the function has not read yet; `None` where nobody can tell.
    /// Over a socket, some number that is 0 only if there are none.
    pub fn unread(&self) -> Option<u64> {
        match self {
            Self::Pipe(pipe) => rustix::io::ioctl_fionread(pipe).ok(),
            Self::Socket(socket) => in_flight(socket.as_ref()),
            // An engine reads ahead of the function.
            Self::Stream(_) | Self::Engine(_) | Self::Closed => None,
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
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Engine(frames) => Pin::new(frames).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    /// What to ask the kernel about, if it is the kernel that knows.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pipe(pipe) => Some(pipe.as_fd()),
            Self::Socket(socket) => {
                let socket: &UnixStream = socket.as_ref();
                Some(socket.as_fd())
            }
            Self::Stream(_) | Self::Engine(_) | Self::Closed => None,
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
            Self::Socket(socket) => recv_now(socket, buf),
            Self::Engine(frames) => frames.read_now(buf),
            Self::Stream(_) => self.poll_now(&mut Context::from_waker(Waker::noop()), buf),
            Self::Closed => Now::Ended,
        }
    }

    /// As [`read_now`](Self::read_now) as far as the runtime knows; wakes `cx` when the answer
    /// stops being [`Now::Silent`].
    pub fn poll_now(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Now {
        let mut buf = ReadBuf::new(buf);
        match self.poll_read(cx, &mut buf) {
            Poll::Pending => match self {
                Self::Engine(frames) => frames.pause(),
                _ => Now::Silent,
            },
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

impl AsyncRead for Stdout {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Self::poll_read(self.get_mut(), cx, buf)
    }
}

/// Has the current runtime hear of both, where they are the kernel's. After an error they are closed.
pub(crate) fn register(stdin: &mut Stdin, stdout: &mut Stdout) -> io::Result<()> {
    let ends = (
        std::mem::replace(stdin, Stdin::Closed),
        std::mem::replace(stdout, Stdout::Closed),
    );
    (*stdin, *stdout) = match ends {
        (Stdin::Pipe(input), Stdout::Pipe(output)) => {
            let (input, output) = (input.into_nonblocking_fd()?, output.into_nonblocking_fd()?);
            (
                Stdin::Pipe(pipe::Sender::from_owned_fd_unchecked(input)?),
                Stdout::Pipe(pipe::Receiver::from_owned_fd_unchecked(output)?),
            )
        }
        (Stdin::Socket(write), Stdout::Socket(read)) => {
            let (read, write) = register_socket(read, write)?;
            (Stdin::Socket(write), Stdout::Socket(read))
        }
        (Stdin::Engine(write), Stdout::Engine(frames)) => {
            let (frames, write) = frames.register(write)?;
            (Stdin::Engine(write), Stdout::Engine(frames))
        }
        others => others,
    };
    Ok(())
}

/// Has the current runtime hear of a socket.
pub(super) fn register_socket(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let socket = read.reunite(write).map_err(io::Error::other)?;
    let socket = UnixStream::from_std(socket.into_std()?)?;
    Ok(socket.into_split())
}

/// Reads what a socket holds now, as the kernel knows it.
pub(super) fn recv_now(socket: &OwnedReadHalf, buf: &mut [u8]) -> Now {
    let socket: &UnixStream = socket.as_ref();
    match rustix::net::recv(socket, buf, rustix::net::RecvFlags::DONTWAIT) {
        Ok((0, _)) => Now::Ended,
        Ok((n, _)) => Now::Spoke(n),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Now::Silent,
        Err(_) => Now::Ended,
    }
}

/// What the peer of a unix socket has not read yet, as the kernel accounts for it.
fn in_flight(socket: &UnixStream) -> Option<u64> {
    /// SIOCOUTQ, see unix(7).
    const OUTQ: rustix::ioctl::Opcode = 0x5411;

    #[expect(unsafe_code, reason = "rustix has no wrapper for this request")]
    // SAFETY: the request writes one int and has no other effect.
    let bytes = unsafe {
        let request = rustix::ioctl::Getter::<OUTQ, std::ffi::c_int>::new();
        rustix::ioctl::ioctl(socket, request)
    };
    bytes.ok().and_then(|bytes| u64::try_from(bytes).ok())
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
    pub(crate) fn new(channel: Channel) -> io::Result<Self> {
        match channel {
            Channel::Stdio => Self::of_three(),
            Channel::Socket => Self::of_the_log(),
        }
    }

    fn of_three() -> io::Result<Self> {
        let (stdin_read, stdin_write) = pipe_pair()?;
        let (stdout_read, stdout_write) = pipe_pair()?;
        let (stderr_read, stderr_write) = pipe_pair()?;
        let theirs = for_everybody(vec![stdin_read, stdout_write, stderr_write])?;
        Ok(Self {
            theirs,
            stdin: Stdin::Pipe(pipe::Sender::from_owned_fd(stdin_write)?),
            stdout: Stdout::Pipe(pipe::Receiver::from_owned_fd(stdout_read)?),
            stderr: pipe::Receiver::from_owned_fd(stderr_read)?,
        })
    }

    /// Nothing on stdin, and all that the function prints in one pipe.
    fn of_the_log() -> io::Result<Self> {
        let (stdin, _) = pipe_pair()?;
        let (log, stderr) = pipe_pair()?;
        let stdout = stderr.try_clone()?;
        Ok(Self {
            theirs: for_everybody(vec![stdin, stdout, stderr])?,
            stdin: Stdin::Closed,
            stdout: Stdout::Closed,
            stderr: pipe::Receiver::from_owned_fd(log)?,
        })
    }
}

/// A function that does not run as our user may open /dev/stdout and the like by path, which
/// checks the pipe's mode as if it were a file's.
fn for_everybody(fds: Vec<std::os::fd::OwnedFd>) -> io::Result<Vec<std::os::fd::OwnedFd>> {
    for fd in &fds {
        rustix::fs::fchmod(fd, rustix::fs::Mode::from_raw_mode(0o666))?;
    }
    Ok(fds)
}

fn pipe_pair() -> io::Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::io::AsyncReadExt;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Asks `ping` of whoever answers at the other ends, over ends that came from another runtime.
    fn ask_elsewhere(make: impl AsyncFnOnce() -> (Stdin, Stdout)) -> String {
        let (first, second) = (runtime(), runtime());
        let (mut stdin, mut stdout) = first.block_on(make());
        second
            .block_on(async { register(&mut stdin, &mut stdout) })
            .unwrap();
        drop(first);
        second.block_on(async {
            let part = [IoSlice::new(b"ping")];
            let wrote = std::future::poll_fn(|cx| stdin.poll_write(cx, &part));
            assert_eq!(wrote.await.unwrap(), 4);
            let mut answer = String::new();
            stdout.read_to_string(&mut answer).await.unwrap();
            answer
        })
    }

    /// Says what it hears.
    fn echo(mut from: impl Read + Send + 'static, mut to: impl Write + Send + 'static) {
        std::thread::spawn(move || {
            let mut asked = [0; 4];
            from.read_exact(&mut asked).unwrap();
            to.write_all(&asked).unwrap();
        });
    }

    #[test]
    fn what_moved_to_another_runtime_does_without_the_first() {
        let pipes = ask_elsewhere(async || {
            let mut pipes = Pipes::new(Channel::Stdio).unwrap();
            let mut theirs = pipes.theirs.drain(..2).map(std::fs::File::from);
            echo(theirs.next().unwrap(), theirs.next().unwrap());
            (pipes.stdin, pipes.stdout)
        });
        let socket = ask_elsewhere(async || {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            echo(theirs.try_clone().unwrap(), theirs);
            let (read, write) = UnixStream::from_std(ours).unwrap().into_split();
            (Stdin::Socket(write), Stdout::Socket(read))
        });
        let engine = ask_elsewhere(async || {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            // Of this frame, one half comes before the move.
            theirs.write_all(&[1, 0, 0, 0]).unwrap();
            let (read, write) = UnixStream::from_std(ours).unwrap().into_split();
            let mut stdout = Stdout::Engine(Frames::new(read, 1..=1));
            // Not silence, as it should be.
            assert_eq!(stdout.read_now(&mut [0; 8]), Now::Ended);
            std::thread::spawn(move || {
                let mut asked = [0; 4];
                theirs.read_exact(&mut asked).unwrap();
                theirs.write_all(&[0, 0, 0, 4]).unwrap();
                theirs.write_all(&asked).unwrap();
            });
            (Stdin::Engine(write), stdout)
        });
        assert_eq!([pipes, socket, engine], ["ping"; 3]);
    }
}
