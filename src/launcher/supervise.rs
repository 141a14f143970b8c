use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::launcher::Stderr;
use crate::launcher::stderr::Stream;
use crate::launcher::usage::Gauge;

/// How long a function may take to exit once its stdin is closed, or once it has closed its
/// stdout, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How long a function that reads stdin has to end by itself before it is told to by SIGTERM.
/// One that listens on a socket sees no end of file and is told at once.
const BEFORE_SIGTERM: Duration = Duration::from_secs(1);

/// How long the last stderr lines may take to arrive after the end; a grandchild that holds the
/// pipe open must not hold us up.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long a freeze or a thaw may take. A call waits for the latter.
const THAW: Duration = Duration::from_secs(5);

/// How an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code; 128 + n for signal n, as shells and engines count.
    Code(i64),
    /// The kernel ended it for using more memory than it may.
    OutOfMemory,
    /// It lived on and was killed by us.
    Killed,
    /// The function did nothing wrong; it was taken from us.
    Lost(Loss),
    /// Nobody can tell.
    Unknown,
}

/// What took an instance from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Paused,
    Killed,
    Removed,
    /// The engine went away, or came back without it.
    Engine,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paused => "it was paused by somebody else",
            Self::Killed => "it was killed by somebody else",
            Self::Removed => "it was removed by somebody else",
            Self::Engine => "the container engine went away, hangs or was restarted",
        })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Killed => f.write_str("killed"),
            Self::Lost(loss) => loss.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

enum Command {
    Kill,
    /// With the time until SIGTERM.
    Close(Duration),
    Autopsy,
    Hold(Box<dyn Any + Send>),
    /// It is of no use any more: end what is left of it.
    Lose(Loss),
    Freeze,
    /// With who wants to hear whether it could be done.
    Thaw(Option<oneshot::Sender<bool>>),
}

/// An instance's end of life. Dropping it kills the instance.
#[derive(Debug)]
pub struct Control {
    commands: mpsc::UnboundedSender<Command>,
    exit: watch::Receiver<Option<Exit>>,
    doubt: Arc<AtomicBool>,
    gauge: Option<Arc<dyn Gauge>>,
}

/// Tells of what happened to an instance that neither it nor its owner did. Does not keep it alive.
#[derive(Debug)]
pub(crate) struct Informer {
    commands: mpsc::WeakUnboundedSender<Command>,
    doubt: Arc<AtomicBool>,
}

impl Informer {
    /// The instance is of no use any more. False if it had ended anyway.
    pub(crate) fn lose(&self, loss: Loss) -> bool {
        self.send(Command::Lose(loss))
    }

    /// The instance may go on with what it does, and is not to be used again.
    pub(crate) fn doubt(&self) {
        self.doubt.store(true, Ordering::Relaxed);
    }

    /// Somebody else may be about to end the instance, which takes that it runs.
    pub(crate) fn thaw(&self) {
        self.send(Command::Thaw(None));
    }

    fn send(&self, command: Command) -> bool {
        let commands = self.commands.upgrade();
        commands.is_some_and(|commands| commands.send(command).is_ok())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "Kill",
            Self::Close(_) => "Close",
            Self::Autopsy => "Autopsy",
            Self::Hold(_) => "Hold",
            Self::Lose(_) => "Lose",
            Self::Freeze => "Freeze",
            Self::Thaw(_) => "Thaw",
        })
    }
}

impl Control {
    /// Kills the instance now. Returns at once; removal follows.
    pub fn kill(&self) {
        let _ = self.commands.send(Command::Kill);
    }

    /// Lets the instance exit by itself, its stdin having been closed, or tells it to by SIGTERM
    /// if it has none or takes too long; kills it after a grace.
    pub fn close(&self, has_stdin: bool) {
        let patience = if has_stdin {
            BEFORE_SIGTERM
        } else {
            Duration::ZERO
        };
        let _ = self.commands.send(Command::Close(patience));
    }

    /// Drops `thing` when the instance is gone and nothing is left of it.
    pub fn hold(&self, thing: Box<dyn Any + Send>) {
        let _ = self.commands.send(Command::Hold(thing));
    }

    /// Whether something happened to the instance after which it is not to be used again.
    pub fn is_doubtful(&self) -> bool {
        self.doubt.load(Ordering::Relaxed)
    }

    pub(crate) fn informer(&self) -> Informer {
        Informer {
            commands: self.commands.downgrade(),
            doubt: self.doubt.clone(),
        }
    }

    /// Lets nothing in the instance run until it is thawed, or ended. Returns at once.
    pub fn freeze(&self) {
        let _ = self.commands.send(Command::Freeze);
    }

    /// Lets the instance run again; harmless if it does. Returns whether it does, within a few
    /// seconds; one that does not is of no use any more.
    pub fn thaw(&self) -> impl Future<Output = bool> + Send + use<> {
        let (told, hears) = oneshot::channel();
        let _ = self.commands.send(Command::Thaw(Some(told)));
        // Before it, a freeze may have to end, which has a bound of its own.
        async { matches!(tokio::time::timeout(THAW, hears).await, Ok(Ok(true))) }
    }

    /// What tells how much the instance uses.
    pub fn gauge(&self) -> Option<&Arc<dyn Gauge>> {
        self.gauge.as_ref()
    }

    /// Waits for the end of an instance that is watched.
    pub fn ended(&self) -> impl Future<Output = Exit> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            match exit.wait_for(Option::is_some).await {
                Ok(exit) => exit.unwrap_or(Exit::Unknown),
                Err(_) => Exit::Unknown,
            }
        }
    }

    /// Finds out how the instance ended, its stdout having ended. One that lives on is killed
    /// after a grace. Takes a few seconds at most.
    pub fn autopsy(&self) -> impl Future<Output = Exit> + Send + use<> {
        let _ = self.commands.send(Command::Autopsy);
        self.ended()
    }
}

/// What differs between engines at the end of an instance's life.
pub(crate) trait Ward: Send + 'static {
    /// Waits for the end. May be called again after it was dropped or returned.
    fn ended(&mut self) -> impl Future<Output = Exit> + Send;
    /// Whether [`Ward::ended`] is cheap enough, or needed enough, to wait for all the
    /// instance's life.
    fn watched(&self) -> bool;
    /// What tells how much the instance uses.
    fn gauge(&self) -> Option<Arc<dyn Gauge>> {
        None
    }
    /// Lets nothing in the instance run; best effort.
    fn freeze(&mut self) -> impl Future<Output = ()> + Send;
    /// Lets it run again. Returns whether it does, also if it always did.
    fn thaw(&mut self) -> impl Future<Output = bool> + Send;
    /// Asks the instance to end, by SIGTERM; it may have ended already.
    fn terminate(&mut self) -> impl Future<Output = ()> + Send;
    /// Ends the instance; it may have ended already.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;
    /// What is behind an instance's end like this, as far as can be found out.
    fn explain(&self, exit: Exit) -> impl Future<Output = Exit> + Send {
        std::future::ready(exit)
    }
    /// Leaves nothing behind.
    fn remove(self) -> impl Future<Output = ()> + Send;
}

/// Starts the task that sees one instance to its end. `stream` is its stderr where that is no
/// pipe of ours.
pub(crate) fn supervise<W: Ward>(
    tasks: &TaskTracker,
    mut ward: W,
    stderr: Arc<Stderr>,
    stream: Option<Stream>,
) -> Control {
    let (commands, mut inbox) = mpsc::unbounded_channel();
    let (report, exit) = watch::channel(None);
    let doubt = Arc::new(AtomicBool::new(false));
    let gauge = ward.gauge();
    tasks.spawn(async move {
        let log = stderr.pump(stream);
        tokio::pin!(log);
        let mut log_open = true;
        let watched = ward.watched();
        let mut held = Vec::new();
        let mut frozen = false;
        let exit = loop {
            let command = tokio::select! {
                command = inbox.recv() => command,
                exit = ward.ended(), if watched => break exit,
                () = &mut log, if log_open => {
                    log_open = false;
                    continue;
                }
            };
            match command {
                Some(Command::Freeze) => {
                    // One that does not work out may still have had an effect.
                    frozen = true;
                    let _ = tokio::time::timeout(THAW, ward.freeze()).await;
                    continue;
                }
                Some(Command::Thaw(told)) => {
                    frozen = frozen && !thaw(&mut ward).await;
                    let _ = told.map(|told| told.send(!frozen));
                    continue;
                }
                Some(Command::Hold(thing)) => {
                    held.push(thing);
                    continue;
                }
                // What is frozen does not end by itself, and not everywhere by a signal.
                _ if std::mem::take(&mut frozen) => {
                    thaw(&mut ward).await;
                }
                _ => {}
            }
            let patience = match command {
                Some(Command::Close(patience)) => Some(patience),
                Some(Command::Autopsy) => None,
                // Its removal ends what is left of it, as soon as that is possible.
                Some(Command::Lose(loss)) => break Exit::Lost(loss),
                _ => {
                    ward.kill().await;
                    break Exit::Killed;
                }
            };
            break end(&mut ward, patience, &mut inbox, log.as_mut(), &mut log_open).await;
        };
        if log_open {
            let _ = tokio::time::timeout(LAST_WORDS, log).await;
        }
        let exit = match exit {
            Exit::Code(_) | Exit::Killed | Exit::Unknown => ward.explain(exit).await,
            known => known,
        };
        report.send_replace(Some(exit));
        // An end that was only told, not seen, may leave processes that nothing could kill.
        if frozen {
            thaw(&mut ward).await;
        }
        ward.remove().await;
        drop((held, inbox));
    });
    Control {
        commands,
        exit,
        doubt,
        gauge,
    }
}

async fn thaw<W: Ward>(ward: &mut W) -> bool {
    tokio::time::timeout(THAW, ward.thaw())
        .await
        .unwrap_or(false)
}

/// Waits for the end within the grace, reading stderr all the while; kills after it. `patience`:
/// the time until SIGTERM, if there is to be one.
async fn end<W: Ward>(
    ward: &mut W,
    patience: Option<Duration>,
    inbox: &mut mpsc::UnboundedReceiver<Command>,
    mut log: std::pin::Pin<&mut impl Future<Output = ()>>,
    log_open: &mut bool,
) -> Exit {
    let deadline = tokio::time::sleep(GRACE);
    let reminder = tokio::time::sleep(patience.unwrap_or_default());
    tokio::pin!(deadline, reminder);
    let mut reminded = patience.is_none();
    let mut owned = true;
    loop {
        tokio::select! {
            exit = ward.ended() => return exit,
            () = &mut deadline => break,
            () = &mut reminder, if !reminded => {
                reminded = true;
                // An engine that hangs must not keep us from what comes after.
                let _ = tokio::time::timeout(BEFORE_SIGTERM, ward.terminate()).await;
            }
            () = &mut log, if *log_open => *log_open = false,
            command = inbox.recv(), if owned => match command {
                Some(Command::Kill) => break,
                Some(Command::Lose(loss)) => return Exit::Lost(loss),
                // The owner let go of it on purpose; it still has its grace.
                None => owned = false,
                Some(_) => {}
            },
        }
    }
    ward.kill().await;
    // An engine that is busy may be late to tell that it had ended by itself.
    match tokio::time::timeout(GRACE, ward.ended()).await {
        Ok(exit @ (Exit::Code(_) | Exit::OutOfMemory | Exit::Lost(_))) if exit != KILLED => exit,
        _ => Exit::Killed,
    }
}

/// What an end by SIGKILL looks like.
const KILLED: Exit = Exit::Code(128 + 9);

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{Receiver, Sender};

    use super::*;

    /// Its end is told, whether it runs or not; tells in turn whether it was removed frozen.
    struct Told {
        end: Receiver<()>,
        is_frozen: bool,
        removed: Sender<bool>,
    }

    impl Ward for Told {
        async fn ended(&mut self) -> Exit {
            let _ = (&mut self.end).await;
            Exit::Unknown
        }

        fn watched(&self) -> bool {
            true
        }

        async fn freeze(&mut self) {
            self.is_frozen = true;
        }

        async fn thaw(&mut self) -> bool {
            self.is_frozen = false;
            true
        }

        async fn terminate(&mut self) {}

        async fn kill(&mut self) {}

        async fn remove(self) {
            self.removed.send(self.is_frozen).unwrap();
        }
    }

    // D9: what is frozen may not be killed, so it could not be removed.
    #[tokio::test(start_paused = true)]
    async fn what_is_frozen_when_its_end_is_told_is_thawed_before_its_removal() {
        let (end, ending) = oneshot::channel();
        let (removed, was_frozen) = oneshot::channel();
        let ward = Told {
            end: ending,
            is_frozen: false,
            removed,
        };
        let stderr = Arc::new(Stderr::new("a", "f", "told", None));
        let nothing: Stream = Box::pin(tokio::io::empty());
        let control = supervise(&TaskTracker::new(), ward, stderr, Some(nothing));
        control.freeze();
        // Commands are heeded in turn.
        control.hold(Box::new(()));
        tokio::task::yield_now().await;
        end.send(()).unwrap();
        assert_eq!(control.ended().await, Exit::Unknown);
        assert!(!was_frozen.await.unwrap());
    }
}
