//! SIGTERM: whoever runs the process asks it to end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;
use signal_hook::flag::{register, register_conditional_shutdown};
use signal_hook::low_level::pipe;

use crate::app::Ending;
use crate::block_on::block_on;
use crate::error::{Error, Result};
use crate::run::describe;
use crate::source::is_call;
use crate::sync::{Lock, wait_for};

/// What a call in flight gets. `docker stop` kills after ten seconds, and a shutdown takes one.
const GRACE: Duration = Duration::from_secs(8);

/// What the thread that serves gets to see that it is over, where it can be woken.
const NOTICE: Duration = Duration::from_secs(1);

/// What a shell says of a process that SIGTERM has ended.
const BY_SIGNAL: i32 = 128 + SIGTERM;

/// What is served, and whoever ends it, in turn. None of it asks the kernel: a wait that a signal can
/// interrupt would cost every call a second system call.
pub(crate) trait Term {
    /// The functions have started.
    fn serves(&self, ending: Ending);

    /// No call is in flight; whether there may be another.
    fn waits(&self) -> bool;

    /// There is a call, or its answer; false where it is too late for it.
    fn goes_on(&self) -> bool;

    /// Whether it is over. If not, `waker` is told when it is.
    fn is_over(&self, waker: &Waker) -> bool;

    /// Nothing is served any more: what the functions want to be done then, and whether a call was
    /// broken off. What is left behind that, when this is dropped, is the program's own.
    fn leave(&self) -> (Ending, Result<()>);
}

/// What `future` comes to; `None` where it is over before that, or by then.
pub(crate) async fn unless_over<T>(
    term: &(impl Term + ?Sized),
    future: impl Future<Output = T>,
) -> Option<T> {
    let value = until_over(term, future).await;
    value.filter(|_| term.goes_on())
}

/// What `future` comes to; `None` where it is over before that.
pub(crate) async fn until_over<T>(
    term: &(impl Term + ?Sized),
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if term.is_over(cx.waker()) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Of a program that leaves nothing to be done: the signal's handler ends it while no call is in
/// flight. It needs no thread, which would be a twentieth of a small program.
#[derive(Default)]
pub(crate) struct Flags {
    asked: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
    ending: Cell<Ending>,
}

impl Flags {
    /// From here on this process ends at SIGTERM. As the first of a container it would not do so by
    /// itself.
    pub(crate) fn watch() -> Result<Box<dyn Term>> {
        let flags = Self::default();
        flags.idle.store(true, Ordering::SeqCst);
        let unasked = if is_call() { BY_SIGNAL } else { 0 };
        // In this order: the second signal does not wait for a call, the first one does.
        register_conditional_shutdown(SIGTERM, BY_SIGNAL, flags.asked.clone())?;
        register_conditional_shutdown(SIGTERM, unasked, flags.idle.clone())?;
        register(SIGTERM, flags.asked.clone())?;
        Ok(Box::new(flags))
    }
}

impl Term for Flags {
    fn serves(&self, ending: Ending) {
        self.ending.set(ending);
    }

    fn waits(&self) -> bool {
        self.idle.store(true, Ordering::SeqCst);
        !self.asked.load(Ordering::SeqCst)
    }

    fn goes_on(&self) -> bool {
        self.idle.store(false, Ordering::SeqCst);
        true
    }

    fn is_over(&self, _: &Waker) -> bool {
        false
    }

    fn leave(&self) -> (Ending, Result<()>) {
        (self.ending.take(), Ok(()))
    }
}

impl Drop for Flags {
    fn drop(&mut self) {
        // What is left is the program's own, and does as programs do. In this order: a signal between
        // the two is not lost.
        self.asked.store(true, Ordering::SeqCst);
        self.idle.store(false, Ordering::SeqCst);
    }
}

/// Who ends a process that waits for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The thread that watches: the one that serves sleeps in a read.
    Exit,
    /// The one that serves, which can be woken; its program goes on behind that.
    Return,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Waiting,
    Answering,
    /// Nothing is begun any more.
    Over,
    /// The functions let go of what they have.
    Ending,
    /// What is left to do is the program's own.
    Left,
    /// So it is, and it was not waited for any end: it may be for the very signal, which the program
    /// has seen first.
    Dropped,
}

/// Of any other program: a thread waits for the signal and does what is to be done.
pub(crate) struct Watched(Arc<Shared>);

struct Shared {
    /// Whether the process is one call, which fails without an answer.
    is_call: bool,
    state: Lock<State>,
    news: Condvar,
}

struct State {
    stage: Stage,
    leave: Leave,
    asked: bool,
    broken: Option<&'static str>,
    ending: Ending,
    waker: Option<Waker>,
}

impl Watched {
    /// As [`Flags::watch`].
    pub(crate) fn watch(leave: Leave) -> Result<Self> {
        let state = State {
            stage: Stage::Starting,
            leave,
            asked: false,
            broken: None,
            ending: Ending::default(),
            waker: None,
        };
        let shared = Arc::new(Shared {
            is_call: is_call(),
            state: Lock::new(state),
            news: Condvar::new(),
        });
        let watcher = shared.clone();
        let (mut signals, handler) = UnixStream::pair()?;
        // Before the handler: without a thread that acts, a signal would do nothing.
        std::thread::Builder::new()
            .name("fdk-term".to_owned())
            .spawn(move || {
                if signals.read_exact(&mut [0]).is_ok() {
                    watcher.end();
                }
                // What the first one has left to the program may not come to an end.
                if signals.read_exact(&mut [0]).is_ok() {
                    exit(BY_SIGNAL);
                }
            })?;
        pipe::register(SIGTERM, handler)?;
        Ok(Self(shared))
    }
}

#[cfg(feature = "compat")]
impl Watched {
    /// Nobody waits for what is served on another thread, which goes on with it until the signal.
    pub(crate) fn abandon(&self) {
        let mut state = self.0.state.lock();
        if state.asked {
            self.0.enter(&mut state, Stage::Dropped);
        } else {
            state.leave = Leave::Exit;
        }
    }

    /// Whether that other thread has to end the process.
    pub(crate) fn is_abandoned(&self) -> bool {
        let state = self.0.state.lock();
        state.asked && state.leave == Leave::Exit
    }
}

/// Whoever waits for its end may as well give it up.
impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let stage = match state.stage {
            Stage::Ending => Stage::Left,
            _ => Stage::Dropped,
        };
        self.0.enter(&mut state, stage);
    }
}

impl Shared {
    fn enter(&self, state: &mut State, stage: Stage) {
        state.stage = stage;
        self.news.notify_one();
    }

    /// Acts on the signal.
    fn end(&self) {
        let mut state = self.state.lock();
        state.asked = true;
        let until = Instant::now() + GRACE;
        match state.stage {
            Stage::Starting if self.is_call => exit(BY_SIGNAL),
            Stage::Starting => exit(0),
            Stage::Left => exit(BY_SIGNAL),
            Stage::Dropped => {
                drop(self.wait_while(state, Stage::Dropped, until));
                exit(BY_SIGNAL)
            }
            Stage::Waiting | Stage::Answering => {}
            // It has bounds of its own.
            Stage::Over | Stage::Ending => return,
        }
        state = self.wait_while(state, Stage::Answering, until);
        state.broken = match state.stage {
            Stage::Answering => Some(LATE),
            Stage::Waiting if self.is_call => Some(UNREAD),
            Stage::Waiting => None,
            _ => return,
        };
        state.stage = Stage::Over;
        let broken = verdict(state.broken);
        match state.leave {
            Leave::Return => {
                let waker = state.waker.take();
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                let until = until.max(Instant::now() + NOTICE);
                let state = self.wait_while(self.state.lock(), Stage::Over, until);
                if state.stage == Stage::Over {
                    finish(broken.and(Err(Error::msg(BUSY))));
                }
            }
            Leave::Exit => {
                let ending = std::mem::take(&mut state.ending);
                drop(state);
                let ended = catch_unwind(AssertUnwindSafe(|| block_on(ending.run())));
                let ended = ended.unwrap_or_else(|panic| Err(Error::msg(describe(&*panic))));
                finish(broken.and(ended));
            }
        }
    }

    fn wait_while<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        stage: Stage,
        until: Instant,
    ) -> MutexGuard<'a, State> {
        while state.stage == stage {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = wait_for(&self.news, state, left);
        }
        state
    }
}

impl Term for Watched {
    fn serves(&self, ending: Ending) {
        let mut state = self.0.state.lock();
        state.stage = Stage::Waiting;
        state.ending = ending;
    }

    fn waits(&self) -> bool {
        let mut state = self.0.state.lock();
        if state.asked {
            self.0.enter(&mut state, Stage::Over);
        } else {
            state.stage = Stage::Waiting;
        }
        !state.asked
    }

    fn goes_on(&self) -> bool {
        let mut state = self.0.state.lock();
        if matches!(state.stage, Stage::Waiting | Stage::Answering) {
            state.stage = Stage::Answering;
            return true;
        }
        if state.stage != Stage::Over || state.leave == Leave::Return {
            return false;
        }
        drop(state);
        loop {
            // The other thread is about to end the process.
            std::thread::park();
        }
    }

    fn is_over(&self, waker: &Waker) -> bool {
        let mut state = self.0.state.lock();
        let old = state.waker.replace(waker.clone());
        let over = state.stage == Stage::Over;
        drop(state);
        // Whoever it is that ends with it may want the lock.
        drop(old);
        over
    }

    fn leave(&self) -> (Ending, Result<()>) {
        let mut state = self.0.state.lock();
        self.0.enter(&mut state, Stage::Ending);
        (std::mem::take(&mut state.ending), verdict(state.broken))
    }
}

const LATE: &str = "a call was broken off: it took longer than 8 seconds after SIGTERM";

const UNREAD: &str = "SIGTERM came before the call was read";

const BUSY: &str = "SIGTERM was not seen in time: the thread that runs the functions was busy, and \
                    nothing was shut down";

fn verdict(broken: Option<&'static str>) -> Result<()> {
    broken.map_or(Ok(()), |broken| Err(Error::msg(broken)))
}

/// As `main` ends that returns this.
pub(crate) fn finish(ended: Result<()>) -> ! {
    match ended {
        Ok(()) => exit(0),
        Err(error) => {
            // If nobody reads the log there is nobody to tell.
            let _ = writeln!(io::stderr(), "Error: {error}");
            exit(1)
        }
    }
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "`main` is in a read, or in a function, that nothing interrupts"
)]
fn exit(status: i32) -> ! {
    std::process::exit(status)
}
