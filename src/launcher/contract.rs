use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::launcher::{Control, Socket, Stderr, Stdin, Stdout};
use crate::model::MilliCpus;

/// Starts functions somewhere and gives their pipes to the caller.
///
/// Calls may come at any time, in any order and at once. Every future may be dropped: what was
/// half started is then removed.
#[async_trait]
pub trait Launcher: Send + Sync + fmt::Debug {
    /// Finds out what `reference` means now, fetching it first if, and only if, it is missing.
    ///
    /// Two results with the same [`Image::id`] are the same bytes, whatever the reference says.
    async fn resolve(&self, reference: &str) -> Result<Image, LaunchError>;

    /// Starts a function. When this returns, the function's program has been started; it may
    /// not have read or written anything yet, and may even have exited. One that is called
    /// through its socket has opened it.
    async fn launch(&self, spec: &LaunchSpec) -> Result<Instance, LaunchError>;

    /// Removes what an earlier gateway of the same identity left behind, and nothing else.
    /// Returns how many containers those were.
    async fn sweep(&self) -> Result<usize, LaunchError>;

    /// Whether the engine answered when it was last asked; `None` where there is none.
    fn engine_answers(&self) -> Option<bool> {
        None
    }

    /// Waits until every instance is gone. Instances end by their owners' doing, not by this.
    async fn shutdown(&self);

    /// One word for people and scripts: `docker` or `process`.
    fn kind(&self) -> &'static str;

    /// How stdio travels by now: `link`, `attach` or `pipe`.
    fn stdio(&self) -> &'static str;
}

/// What a reference meant when it was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// As the user wrote it.
    pub reference: String,
    /// Names the content: an image id, or the path and state of a program file.
    pub id: String,
    /// ENTRYPOINT followed by CMD; the first word may be a bare name to be found via PATH.
    pub command: Vec<String>,
    /// Paths that the image wants to be writable.
    pub volumes: Vec<String>,
    /// What the image says about itself.
    pub labels: BTreeMap<String, String>,
}

/// Whom a function may talk to over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Whatever the launcher's settings allow.
    Network,
    /// Nobody, where the launcher can see to it.
    Nothing,
}

/// How calls reach a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Over its stdin and stdout; stderr is its log.
    Stdio,
    /// Over the unix socket that `FN_LISTENER` names; stdout and stderr are its log.
    Socket,
}

/// Everything that makes one instance like another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchSpec {
    pub image: Arc<Image>,
    pub channel: Channel,
    pub env: BTreeMap<String, String>,
    pub memory_mb: u64,
    pub cpus: Option<MilliCpus>,
    /// Size of the writable `/tmp`; 0 for the launcher's default.
    pub tmpfs_mb: u32,
    pub reach: Reach,
    /// For people who look at the engine: which app and function this is.
    pub app: String,
    pub function: String,
}

/// A started function. Dropping it kills and removes it.
#[derive(Debug)]
pub struct Instance {
    /// Unique among all instances of this launcher; the engine's name for it.
    pub id: String,
    pub stdin: Stdin,
    pub stdout: Stdout,
    /// The function's socket, where it has one; stdin and stdout are a first connection to it.
    pub socket: Option<Socket>,
    pub stderr: Arc<Stderr>,
    pub control: Control,
}

/// Why a function could not be started.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The image is not here and could not be fetched; `reason` is the engine's own message.
    #[error("Failed to pull image '{image}': {reason}")]
    Pull {
        image: String,
        status: Option<u16>,
        reason: String,
    },
    /// The image was here when it was resolved and is gone now.
    #[error("image '{image}' is no longer on the engine: {reason}")]
    ImageGone { image: String, reason: String },
    /// The image is here but names nothing to run.
    #[error("image '{image}' has neither ENTRYPOINT nor CMD")]
    NoCommand { image: String },
    /// The reference is not for this launcher.
    #[error("{0}")]
    WrongKind(String),
    /// The function's program could not be executed.
    #[error("cannot run '{command}' of image '{image}': {reason}")]
    Command {
        image: String,
        command: String,
        reason: String,
    },
    /// The engine refused to create or start the container; `reason` is its own message.
    #[error("the container engine refused to {doing}: {reason}")]
    Refused { doing: &'static str, reason: String },
    /// The engine cannot run the program that hands the pipes over; mostly it sees other files than
    /// the server.
    #[error(
        "the container engine cannot run what is in {folder}: {reason}; it has to see the folder \
         of FN_IOFS_PATH under the same path as this server, or under what FN_IOFS_DOCKER_PATH \
         says; without that, all formats but http-stream work with FN_DOCKER_STDIO=attach"
    )]
    Unseen { folder: String, reason: String },
    /// A network that containers are to join is not there.
    #[error(
        "the network '{network}', which FN_DOCKER_NETWORKS names, is not on the container \
         engine: {reason}"
    )]
    NoNetwork { network: String, reason: String },
    /// The engine cannot be reached.
    #[error("the container engine cannot be reached: {0}")]
    EngineDown(String),
    /// The function's program was not running in time.
    #[error("the container did not start within {0} seconds")]
    Slow(u64),
    /// The container ended before the function's program was started.
    #[error("the container ended while it was starting: {0}")]
    Ended(String),
    /// A function that should listen on a socket ended first, or made something else. Fn's text.
    #[error(
        "Container failed to initialize, please ensure you are using the latest fdk and check \
         the logs"
    )]
    Uninitialised { reason: String, log: Vec<String> },
    /// A function that should listen on a socket did not in time. Fn's text.
    #[error(
        "Container initialization timed out, please ensure you are using the latest fdk and \
         check the logs"
    )]
    InitTimedOut { log: Vec<String> },
    /// The host refused something the launcher needs.
    #[error("cannot {doing}: {source}")]
    Host {
        doing: &'static str,
        source: std::io::Error,
    },
}
