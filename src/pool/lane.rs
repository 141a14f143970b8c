use bytes::BytesMut;
use std::task::{Context, Poll};

use crate::launcher::{Exit, Instance, Stderr, Stdin, Stdout};

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
    instance: Remains,
}

/// What is left of an instance once its pipes are taken out.
#[derive(Debug)]
struct Remains {
    stderr: std::sync::Arc<Stderr>,
    control: crate::launcher::Control,
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
            instance: Remains { stderr, control },
        }
    }

    /// Whether the function said anything it was not asked for, or ended. Asks the kernel.
    pub(super) fn in_doubt(&mut self) -> bool {
        !self.inbox.is_empty() || self.stdout.spoke()
    }

    /// As [`in_doubt`](Self::in_doubt) as far as the runtime knows; wakes `cx` on any change.
    pub(super) fn poll_in_doubt(&mut self, cx: &mut Context<'_>) -> bool {
        !self.inbox.is_empty() || matches!(self.stdout.poll_spoke(cx), Poll::Ready(()))
    }

    /// Finds out how the function ended, its stdout having ended.
    pub async fn autopsy(&mut self) -> Exit {
        self.instance.control.autopsy().await
    }

    /// The last lines the function wrote to stderr.
    pub fn last_words(&self) -> Vec<String> {
        self.instance.stderr.tail()
    }

    /// Lets the function end by itself: end of file on its stdin, then a grace.
    pub(super) fn close(self) {
        self.instance.control.close();
    }

    /// Ends the function now.
    pub(super) fn kill(self) {
        self.instance.control.kill();
    }
}
