use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::stdio::{Now, recv_now, register_socket};

/// What comes over a connection to an engine: the bytes of a container's streams, in frames.
#[derive(Debug)]
pub struct Frames {
    socket: OwnedReadHalf,
    deframer: Deframer,
}

impl Frames {
    /// A frame of any other stream than `streams` is an error.
    pub(crate) fn new(socket: OwnedReadHalf, streams: RangeInclusive<u8>) -> Self {
        Self {
            socket,
            deframer: Deframer::new(streams),
        }
    }

    /// As [`Stdout::read_now`](super::Stdout::read_now).
    pub(super) fn read_now(&mut self, buf: &mut [u8]) -> Now {
        loop {
            let read = match recv_now(&self.socket, buf) {
                Now::Spoke(n) => n,
                Now::Silent => return self.pause(),
                Now::Ended => return Now::Ended,
            };
            match self.deframer.strip(&mut buf[..read]) {
                Ok(0) => {}
                Ok(n) => return Now::Spoke(n),
                Err(_) => return Now::Ended,
            }
        }
    }

    /// What it says of the function that nothing comes now: in the middle of a frame, that there is
    /// more to come, which nobody asked for.
    pub(super) fn pause(&self) -> Now {
        if self.deframer.is_between() {
            Now::Silent
        } else {
            Now::Ended
        }
    }

    /// Has the current runtime hear of the connection, of which `write` is the other half.
    pub(super) fn register(self, write: OwnedWriteHalf) -> io::Result<(Self, OwnedWriteHalf)> {
        let (socket, write) = register_socket(self.socket, write)?;
        Ok((Self { socket, ..self }, write))
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        loop {
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            let read = &mut buf.filled_mut()[start..];
            if read.is_empty() {
                return Poll::Ready(this.deframer.end());
            }
            let stripped = this.deframer.strip(read);
            buf.set_filled(start + *stripped.as_ref().unwrap_or(&0));
            // What was nothing but headers would look like the end.
            if !matches!(stripped, Ok(0)) {
                return Poll::Ready(stripped.map(drop));
            }
        }
    }
}

/// Takes an engine's frames apart, each a header of 8 bytes and as many of payload as it says, where
/// they lie: whoever reads needs no buffer but its own, and whatever a length claims costs nothing.
#[derive(Debug)]
struct Deframer {
    streams: RangeInclusive<u8>,
    /// What has come of the next frame's header.
    header: [u8; HEADER],
    known: usize,
    /// What is yet to come of the frame's payload.
    left: usize,
}

const HEADER: usize = 8;

impl Deframer {
    fn new(streams: RangeInclusive<u8>) -> Self {
        Self {
            streams,
            header: [0; HEADER],
            known: 0,
            left: 0,
        }
    }

    /// Moves the payload in `bytes`, which came next, to their start; returns how much it is.
    fn strip(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (mut at, mut payload) = (0, 0);
        while at < bytes.len() {
            let next = bytes.len() - at;
            if self.left > 0 {
                let n = self.left.min(next);
                if at > payload {
                    bytes.copy_within(at..at + n, payload);
                }
                self.left -= n;
                payload += n;
                at += n;
            } else {
                let n = (HEADER - self.known).min(next);
                self.header[self.known..][..n].copy_from_slice(&bytes[at..at + n]);
                self.known += n;
                at += n;
                if self.known == HEADER {
                    self.known = 0;
                    self.left = self.length()?;
                }
            }
        }
        Ok(payload)
    }

    /// Of the frame that the header begins.
    fn length(&self) -> io::Result<usize> {
        let [stream, 0, 0, 0, length @ ..] = self.header else {
            return Err(unknown_stream());
        };
        if !self.streams.contains(&stream) {
            return Err(unknown_stream());
        }
        Ok(u32::from_be_bytes(length) as usize)
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.known == 0
    }

    /// Nothing comes any more, which an engine that is well says between two frames only.
    fn end(&self) -> io::Result<()> {
        if !self.is_between() {
            let broke_off = "the engine broke off in a frame";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, broke_off));
        }
        Ok(())
    }
}

fn unknown_stream() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the engine sent a frame of an unknown stream",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0][..], &length, payload].concat()
    }

    /// What is read of a connection on which `sent` came, with room for `room` bytes at a time.
    async fn read(sent: &[u8], room: usize) -> io::Result<Vec<u8>> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(sent).await.unwrap();
        drop(theirs);
        let mut frames = Frames::new(ours.into_split().0, 1..=1);
        let (mut all, mut buf) = (Vec::new(), vec![0; room]);
        loop {
            match frames.read(&mut buf).await? {
                0 => return Ok(all),
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_bytes(
            payloads in proptest::collection::vec((1..=2_u8, proptest::collection::vec(any::<u8>(), 0..40)), 0..10),
            reads in proptest::collection::vec(1..50_usize, 1..20),
        ) {
            let frames = payloads.iter().map(|(stream, payload)| frame(*stream, payload));
            let sent = frames.collect::<Vec<_>>().concat();
            let mut deframer = Deframer::new(1..=2);
            let (mut rest, mut reads) = (&sent[..], reads.iter().cycle());
            let mut all = Vec::new();
            while !rest.is_empty() {
                let read;
                (read, rest) = rest.split_at(rest.len().min(*reads.next().unwrap()));
                let mut buf = read.to_vec();
                let n = deframer.strip(&mut buf).unwrap();
                all.extend_from_slice(&buf[..n]);
            }
            let wanted: Vec<_> = payloads.into_iter().map(|(_, payload)| payload).collect();
            prop_assert_eq!(all, wanted.concat());
            prop_assert!(deframer.end().is_ok());
        }
    }

    #[tokio::test]
    async fn a_buffer_may_be_smaller_than_a_header() {
        let sent = [frame(1, b"one"), frame(1, b""), frame(1, b"two")].concat();
        for room in 1..sent.len() {
            assert_eq!(read(&sent, room).await.unwrap(), b"onetwo", "{room}");
        }
    }

    #[tokio::test]
    async fn what_is_there_now_is_told_without_its_headers() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut frames = Frames::new(ours.into_split().0, 1..=1);
        let mut buf = [0; 4];
        assert_eq!(frames.read_now(&mut buf), Now::Silent);
        theirs.write_all(&frame(1, b"12345")).await.unwrap();
        for read in [4, 1] {
            assert_eq!(frames.read_now(&mut buf), Now::Spoke(read));
        }
        assert_eq!(frames.read_now(&mut buf), Now::Silent);
        drop(theirs);
        assert_eq!(frames.read_now(&mut buf), Now::Ended);
    }

    // What is still to come of a frame would be taken for the next call's answer.
    #[tokio::test]
    async fn a_pause_in_a_frame_is_not_silence() {
        for cut in [1, HEADER - 1, HEADER] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let frames = Frames::new(ours.into_split().0, 1..=1);
            let mut stdout = crate::launcher::Stdout::Engine(frames);
            theirs.write_all(&frame(1, b"x")[..cut]).await.unwrap();
            assert_eq!(stdout.read_now(&mut [0; 64]), Now::Ended, "{cut}");
            let waker = std::task::Waker::noop();
            let polled = stdout.poll_now(&mut Context::from_waker(waker), &mut [0; 64]);
            assert_eq!(polled, Now::Ended, "{cut}");
        }
    }

    // C20: bytes that no stream of ours can have sent are a fault, not a response.
    #[tokio::test]
    async fn a_frame_of_another_stream_breaks_stdout() {
        let terminal = [1, 0, 1, 0, 0, 0, 0, 1, b'x'];
        for odd in [
            &frame(0, b"x"),
            &frame(2, b"x"),
            &frame(3, b"x"),
            &terminal[..],
        ] {
            let sent = [&frame(1, b"a"), odd].concat();
            let error = read(&sent, 64).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn an_end_within_a_frame_is_none() {
        let sent = frame(1, b"whole");
        for cut in 1..sent.len() {
            let error = read(&sent[..cut], 64).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
    }
}
