use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::BytesMut;

use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use super::starts::Charge;
use crate::alarm::Alarm;
use crate::launcher::{
    Control, Exit, Gauge, Instance, Now, Socket, Stderr, Stdin, Stdout, register,
};

/// A connection to a function's socket is not used after it rested for this long: the function
/// may be about to end it, and a request on its way would be lost. As Fn does.
const STALE: Duration = Duration::from_secs(1);

/// One hot container and the way to it.
pub struct Lane {
    /// The engine's name for the container.
    pub id: String,
    /// The function's stdin, or a connection to its socket.
    pub stdin: Stdin,
    /// The function's stdout, or the same connection.
    pub stdout: Stdout,
    /// Where connections can be made, if the function has a socket.
    pub socket: Option<Arc<Socket>>,
    /// The one buffer for all that is read from stdout. Empty between calls.
    pub inbox: BytesMut,
    /// Ends the call that runs. Kept from call to call: to move it costs less than a new one.
    pub alarm: Alarm,
    /// Calls that this container has answered.
    pub calls: u64,
    /// Whether the function has ever echoed a call id; from then on it always must.
    pub echoes: bool,
    /// Blank bytes the function wrote since its last response.
    blank: usize,
    /// When the last call ended.
    rested: Instant,
    /// The end of a container that has a socket; over stdio the end of stdout tells.
    end: Option<Pin<Box<dyn Future<Output = Exit> + Send>>>,
    ended: bool,
    /// It was told to freeze, and not thawed since.
    frozen: bool,
    /// Neither stdout nor stderr held anything when last asked for a call that has yet to begin.
    silent: bool,
    /// The runtime that hears of its stdin and stdout, where those are the kernel's.
    home: runtime::Id,
    stderr: Arc<Stderr>,
    control: Control,
    /// What the container takes; the supervisor holds it too, until the container is gone.
    charge: Arc<Charge>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("id", &self.id)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

/// More blank bytes than this between two calls are a doubt after all.
const BLANK_BYTES: usize = 64;

fn is_blank(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t'))
}

impl Lane {
    pub(super) fn new(instance: Instance, charge: Charge) -> Self {
        let Instance {
            id,
            stdin,
            stdout,
            socket,
            stderr,
            control,
        } = instance;
        let charge = Arc::new(charge);
        control.hold(Box::new(charge.clone()));
        let end = socket.is_some().then(|| Box::pin(control.ended()) as _);
        Self {
            id,
            stdin,
            stdout,
            inbox: BytesMut::new(),
            alarm: Alarm::default(),
            calls: 0,
            echoes: false,
            blank: 0,
            socket: socket.map(Arc::new),
            rested: Instant::now(),
            end,
            ended: false,
            frozen: false,
            silent: false,
            home: Handle::current().id(),
            stderr,
            control,
            charge,
        }
    }

    /// Whether there is a connection to the function's socket that can be used.
    pub fn is_connected(&mut self) -> bool {
        let open = !matches!(self.stdin, Stdin::Closed);
        if open && self.rested.elapsed() > STALE {
            self.disconnect();
            return false;
        }
        open
    }

    pub(super) fn home(&self) -> runtime::Id {
        self.home
    }

    /// From here on `home`, which has to be the current runtime, hears of its stdin and stdout. One
    /// that runs on another thread would have to wake this one at each step of a call.
    pub(super) fn move_to(&mut self, home: runtime::Id) -> io::Result<()> {
        if self.home == home {
            return Ok(());
        }
        self.home = home;
        self.alarm = Alarm::default();
        register(&mut self.stdin, &mut self.stdout)
    }

    /// Uses a new connection to the function's socket from here on.
    pub fn connect(&mut self, stdin: Stdin, stdout: Stdout) {
        self.stdin = stdin;
        self.stdout = stdout;
        self.inbox.clear();
    }

    /// Ends the connection to the function's socket.
    pub fn disconnect(&mut self) {
        self.connect(Stdin::Closed, Stdout::Closed);
    }

    /// Whether the function said anything it was not asked for, or ended. Asks the kernel.
    pub(super) fn in_doubt(&mut self) -> bool {
        if self.poll_end(&mut Context::from_waker(std::task::Waker::noop())) {
            return true;
        }
        self.silent = self.inbox.is_empty() && self.stderr.is_silent_beside(&self.stdout);
        !self.silent && self.doubt(Stdout::read_now)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        if self.control.is_doubtful() {
            return true;
        }
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            self.end = None;
            self.ended = true;
        }
        self.ended
    }

    /// As [`in_doubt`](Self::in_doubt) as far as the runtime knows; wakes `cx` on any change.
    pub(super) fn poll_in_doubt(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_end(cx) || self.doubt(|stdout, buf| stdout.poll_now(cx, buf))
    }

    /// Blank lines between calls are no doubt, up to a bound: an old Python FDK ends every
    /// response with one that its Content-Length does not count.
    fn doubt(&mut self, mut look: impl FnMut(&mut Stdout, &mut [u8]) -> Now) -> bool {
        let mut said = [0; BLANK_BYTES];
        if matches!(self.stdout, Stdout::Closed) {
            // No connection is open, and no response can come on none.
            return self.socket.is_none();
        }
        if !is_blank(&self.inbox) {
            return true;
        }
        self.blank += self.inbox.len();
        self.inbox.clear();
        while self.blank < said.len() {
            match look(&mut self.stdout, &mut said) {
                Now::Silent => return false,
                Now::Spoke(n) if is_blank(&said[..n]) => self.blank += n,
                Now::Spoke(n) => {
                    // Kept, so that a first call can quote what was said before it.
                    self.inbox.extend_from_slice(&said[..n]);
                    return true;
                }
                Now::Ended if self.socket.is_some() => {
                    // The function ended a connection, not itself.
                    self.disconnect();
                    return false;
                }
                Now::Ended => return true,
            }
        }
        true
    }

    /// How long it has been there since its start or its last call.
    pub(super) fn rested(&self) -> Duration {
        self.rested.elapsed()
    }

    /// A call has ended.
    pub(super) fn rest(&mut self, now: Instant) {
        self.calls += 1;
        self.blank = 0;
        self.alarm.rest();
        if self.inbox.is_empty() {
            // The response holds on to it, and an idle container should cost little.
            self.inbox = BytesMut::new();
        }
        self.rested = now;
    }

    /// Finds out how the function ended, its stdout having ended.
    pub fn autopsy(&self) -> impl Future<Output = Exit> + Send + use<> {
        self.control.autopsy()
    }

    /// What tells how much the container uses.
    pub(super) fn gauge(&self) -> Option<&Arc<dyn Gauge>> {
        self.control.gauge()
    }

    /// A call begins: what the function logs from here on, up to `limit` bytes, is its log; the first
    /// one's begins with what the function logged before.
    pub fn begin_log(&mut self, limit: usize) -> Arc<Stderr> {
        let said_nothing = std::mem::take(&mut self.silent);
        self.stderr.begin_call(limit, said_nothing);
        self.stderr.clone()
    }

    /// The last lines the function wrote to stderr.
    pub fn last_words(&self) -> Vec<String> {
        self.stderr.tail()
    }

    /// Lets nothing in the container run until it is thawed or ends.
    pub(super) fn freeze(&mut self) {
        self.frozen = true;
        self.control.freeze();
    }

    /// Makes sure that the container runs; returns whether it does.
    pub(super) async fn thaw(&mut self) -> bool {
        if self.frozen {
            self.frozen = !self.control.thaw().await;
        }
        !self.frozen
    }

    /// Whether it has to go for another function's, although calls wait for it.
    pub(super) fn cedes(&self) -> bool {
        self.charge.cede()
    }

    /// Lets the function end by itself: end of file on its stdin or SIGTERM, then a grace.
    pub(super) fn close(self) {
        self.charge.leave();
        self.control.close(self.socket.is_none());
    }

    /// Ends the function now.
    pub(super) fn kill(self) {
        self.charge.leave();
        self.control.kill();
    }
}
