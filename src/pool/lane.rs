use std::sync::Arc;
use std::task::Context;

use bytes::BytesMut;

use crate::launcher::{Control, Exit, Instance, Now, Stderr, Stdin, Stdout};

/// One hot container and the way to it.
#[derive(Debug)]
pub struct Lane {
    /// The engine's name for the container.
    pub id: String,
    pub stdin: Stdin,
    pub stdout: Stdout,
    /// The one buffer for all that is read from stdout. Empty between calls.
    pub inbox: BytesMut,
    /// Calls that this container has answered.
    pub calls: u64,
    /// Whether the function has ever echoed a call id; from then on it always must.
    pub echoes: bool,
    /// Blank bytes the function wrote since its last response.
    blank: usize,
    stderr: Arc<Stderr>,
    control: Control,
}

/// More blank bytes than this between two calls are a doubt after all.
const BLANK_BYTES: usize = 64;

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b'\r' | b'\n'))
}

impl Lane {
    pub(super) fn new(instance: Instance) -> Self {
        let Instance {
            id,
            stdin,
            stdout,
            stderr,
            control,
        } = instance;
        Self {
            id,
            stdin,
            stdout,
            inbox: BytesMut::new(),
            calls: 0,
            echoes: false,
            blank: 0,
            stderr,
            control,
        }
    }

    /// Whether the function said anything it was not asked for, or ended. Asks the kernel.
    pub(super) fn in_doubt(&mut self) -> bool {
        self.doubt(Stdout::read_now)
    }

    /// As [`in_doubt`](Self::in_doubt) as far as the runtime knows; wakes `cx` on any change.
    pub(super) fn poll_in_doubt(&mut self, cx: &mut Context<'_>) -> bool {
        self.doubt(|stdout, buf| stdout.poll_now(cx, buf))
    }

    /// Blank lines between calls are no doubt, up to a bound: an old Python FDK ends every
    /// response with one that its Content-Length does not count.
    fn doubt(&mut self, mut look: impl FnMut(&mut Stdout, &mut [u8]) -> Now) -> bool {
        let mut said = [0; BLANK_BYTES];
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
                Now::Ended => return true,
            }
        }
        true
    }

    /// A call begins or has ended: what the function says is its response again.
    pub(super) fn reset_blank(&mut self) {
        self.blank = 0;
    }

    /// Finds out how the function ended, its stdout having ended.
    pub async fn autopsy(&mut self) -> Exit {
        self.control.autopsy().await
    }

    /// A call begins: what the function logs from here on, up to `limit` bytes, is the call's.
    pub fn begin_log(&self, limit: usize) {
        self.stderr.begin_call(limit);
    }

    /// The log of the call that has ended.
    pub fn end_log(&self) -> Vec<u8> {
        self.stderr.end_call()
    }

    /// The last lines the function wrote to stderr.
    pub fn last_words(&self) -> Vec<String> {
        self.stderr.tail()
    }

    /// Lets the function end by itself: end of file on its stdin, then a grace.
    pub(super) fn close(self) {
        self.control.close();
    }

    /// Ends the function now.
    pub(super) fn kill(self) {
        self.control.kill();
    }
}
