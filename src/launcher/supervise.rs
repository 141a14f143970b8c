use std::fmt;
use std::sync::Arc;
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
    /// Nobody can tell; the engine was away.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Killed => f.write_str("killed"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

enum Command {
    Kill,
    /// With the time until SIGTERM.
    Close(Duration),
    Autopsy,
    Freeze,
    /// With who wants to hear whether it could be done.
    Thaw(oneshot::Sender<bool>),
}

/// An instance's end of life. Dropping it kills the instance.
#[derive(Debug)]
pub struct Control {
    commands: mpsc::UnboundedSender<Command>,
    exit: watch::Receiver<Option<Exit>>,
    gauge: Option<Arc<dyn Gauge>>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "Kill",
            Self::Close(_) => "Close",
            Self::Autopsy => "Autopsy",
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

    /// Lets nothing in the instance run until it is thawed, or ended. Returns at once.
    pub fn freeze(&self) {
        let _ = self.commands.send(Command::Freeze);
    }

    /// Lets the instance run again; harmless if it does. Returns whether it does, within a few
    /// seconds; one that does not is of no use any more.
    pub fn thaw(&self) -> impl Future<Output = bool> + Send + use<> {
        let (told, hears) = oneshot::channel();
        let _ = self.commands.send(Command::Thaw(told));
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
    let gauge = ward.gauge();
    tasks.spawn(async move {
        let log = stderr.pump(stream);
        tokio::pin!(log);
        let mut log_open = true;
        let watched = ward.watched();
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
                    let _ = told.send(!frozen);
                    continue;
                }
                // What is frozen does not end by itself, and not everywhere by a signal.
                _ if frozen => {
                    thaw(&mut ward).await;
                }
                _ => {}
            }
            let patience = match command {
                Some(Command::Close(patience)) => Some(patience),
                Some(Command::Autopsy) => None,
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
        report.send_replace(Some(exit));
        ward.remove().await;
    });
    Control {
        commands,
        exit,
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
                // The owner let go of it on purpose; it still has its grace.
                None => owned = false,
                Some(_) => {}
            },
        }
    }
    ward.kill().await;
    // An engine that is busy may be late to tell that it had ended by itself.
    match tokio::time::timeout(GRACE, ward.ended()).await {
        Ok(exit @ (Exit::Code(_) | Exit::OutOfMemory)) if exit != KILLED => exit,
        _ => Exit::Killed,
    }
}

/// What an end by SIGKILL looks like.
const KILLED: Exit = Exit::Code(128 + 9);
