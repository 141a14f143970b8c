use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use wire::{BodyLength, DecodeError, Event, Limits, ResponseDecoder};

use super::problem::quoted;
use super::read::{MAX_ANSWER_BYTES, declines};
use crate::launcher::{
    Channel, Exit, Image, Instance, LaunchError, LaunchSpec, Launcher, Reach, Stderr, Stdin, Stdout,
};
use crate::model::Format;

/// The label by which an image says that it can be asked for its functions.
pub const LABEL: &str = "fn.indexing";
/// The content type that makes an answer an index.
const INDEX_TYPE: &str = "application/vnd.fn.index+json";
const TARGET: &str = "/_fn/index";
/// Nothing runs in there but what says its functions.
const MEMORY_MB: u64 = 256;
/// How long the container may take to end, once it was asked.
const LAST_SECONDS: Duration = Duration::from_secs(5);
/// How long it may take until it is known how a container ended.
const AUTOPSY: Duration = Duration::from_secs(6);
/// Last lines of stderr that go with a failure.
const LOG_LINES: usize = 10;
/// Images asked at once: each takes a container beside those that serve calls.
const AT_ONCE: usize = 2;
/// Longest wait for others to have answered. An image that is well takes less than a second, so
/// whoever waits for longer is held up by images that are not.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an image answers when it is asked for its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An index, which may be a bad one.
    Index(Bytes),
    /// The image's func.yaml is to be used.
    Declined,
    /// More than is read of an index.
    TooLong,
}

/// An answer, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub answer: Answer,
    pub took: Duration,
    /// What is odd about it, and does no harm.
    pub warnings: Vec<String>,
}

/// Why there is no answer. `log` has the last lines of stderr.
#[derive(Debug, Error)]
pub enum AskError {
    #[error(
        "the image was not asked within {} seconds: the server asks {AT_ONCE} at once, and still \
         waits for {}",
        PATIENCE.as_secs(),
        asked.join(" and ")
    )]
    Busy { asked: Vec<String> },
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("it did not answer within {} seconds", limit.as_secs_f64())]
    TimedOut { limit: Duration, log: Vec<String> },
    #[error("it ended before it had answered: {exit}")]
    Ended { exit: Exit, log: Vec<String> },
    #[error("what it wrote is no answer: {reason}")]
    Malformed { reason: String, log: Vec<String> },
    #[error("it answered with status {status} and content type {found}, expected {INDEX_TYPE}")]
    NoIndex {
        status: StatusCode,
        found: String,
        log: Vec<String>,
    },
}

impl AskError {
    /// The last lines that the image wrote to stderr.
    pub fn log(&self) -> &[String] {
        match self {
            Self::Busy { .. } | Self::Launch(_) => &[],
            Self::TimedOut { log, .. }
            | Self::Ended { log, .. }
            | Self::Malformed { log, .. }
            | Self::NoIndex { log, .. } => log,
        }
    }
}

/// Whether the image says that it can be asked.
pub fn declares(image: &Image) -> bool {
    let value = image.labels.get(LABEL);
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Asks images for their functions, few at a time.
#[derive(Debug)]
pub struct Indexer {
    launcher: Arc<dyn Launcher>,
    limit: Duration,
    places: Semaphore,
    /// The images that are being asked, for those who wait for them.
    asked: Mutex<Vec<String>>,
}

/// What entitles to ask an image.
struct Place<'a> {
    indexer: &'a Indexer,
    reference: &'a str,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut asked = self.indexer.asked.lock();
        if let Some(at) = asked.iter().position(|name| name == self.reference) {
            asked.remove(at);
        }
    }
}

impl Indexer {
    /// An answer has to come within `limit` unless the one who asks says otherwise.
    pub fn new(launcher: Arc<dyn Launcher>, limit: Duration) -> Self {
        Self {
            launcher,
            limit,
            places: Semaphore::new(AT_ONCE),
            asked: Mutex::default(),
        }
    }

    /// Finds out what `reference` means now.
    pub async fn resolve(&self, reference: &str) -> Result<Image, LaunchError> {
        self.launcher.resolve(reference).await
    }

    /// Runs one container of `image` to ask it for its functions; it is gone when this returns,
    /// or a moment later.
    pub async fn ask(&self, image: Arc<Image>, limit: Option<Duration>) -> Result<Asked, AskError> {
        let reference = image.reference.clone();
        let place = self.place(&reference).await?;
        let limit = limit.unwrap_or(self.limit);
        let begun = Instant::now();
        let mut instance = self.launcher.launch(&spec(image)).await?;
        let (answer, spoke) = match timeout(limit, converse(&mut instance)).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(broken)) => return Err(explain(broken, instance).await),
            Err(_) => {
                instance.control.kill();
                let _ = timeout(AUTOPSY, instance.control.ended()).await;
                let log = last_lines(&instance.stderr);
                return Err(AskError::TimedOut { limit, log });
            }
        };
        let took = begun.elapsed();
        // To end it is nobody's turn.
        drop(place);
        Ok(Asked {
            answer,
            took,
            warnings: dismiss(instance, spoke).await,
        })
    }

    async fn place<'a>(&'a self, reference: &'a str) -> Result<Place<'a>, AskError> {
        let permit = match timeout(PATIENCE, self.places.acquire()).await {
            Ok(permit) => permit.expect("nobody closes the semaphore"),
            Err(_) => {
                let asked = self.asked.lock().clone();
                return Err(AskError::Busy { asked });
            }
        };
        self.asked.lock().push(reference.to_owned());
        Ok(Place {
            indexer: self,
            reference,
            _permit: permit,
        })
    }
}

fn spec(image: Arc<Image>) -> LaunchSpec {
    let env = [("FN_FORMAT", Format::Http.as_str()), ("FN_INDEXING", "1")];
    LaunchSpec {
        channel: Channel::Stdio,
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        memory_mb: MEMORY_MB,
        cpus: None,
        tmpfs_mb: 0,
        reach: Reach::Nothing,
        app: String::new(),
        function: "index".to_owned(),
        image,
    }
}

/// Why a conversation came to nothing.
enum Broken {
    /// Its stdout ended.
    Ended,
    Malformed(String),
    NoIndex(StatusCode, String),
}

/// The answer, and whether something came behind it.
async fn converse(instance: &mut Instance) -> Result<(Answer, bool), Broken> {
    // A function that does not read may have ended, or answer all the same.
    let _ = write(&mut instance.stdin, request()).await;
    let limits = Limits {
        body_bytes: MAX_ANSWER_BYTES as u64,
        ..Limits::default()
    };
    let mut decoder = ResponseDecoder::new(limits, false);
    let (mut inbox, mut body) = (BytesMut::new(), BytesMut::new());
    let mut head = None;
    loop {
        match decoder.decode(&mut inbox) {
            Ok(Some(Event::Head(read))) => head = Some(read),
            Ok(Some(Event::Data(data))) => body.extend_from_slice(&data),
            Ok(Some(Event::End)) => break,
            Ok(None) => {
                if read_some(&mut instance.stdout, &mut inbox).await? == 0 {
                    let said = decoder.started() || !inbox.is_empty();
                    return Err(if said {
                        Broken::Malformed(decoder.eof(&inbox).to_string())
                    } else {
                        Broken::Ended
                    });
                }
            }
            // Known from the head alone, of which nothing else is told then.
            Err(DecodeError::BodyTooLarge { .. }) => return Ok((Answer::TooLong, false)),
            Err(error) => return Err(Broken::Malformed(error.to_string())),
        }
    }
    let head = head.expect("a decoder yields a head before the end");
    let answer = judge(&head, body.freeze())?;
    Ok((answer, !inbox.is_empty()))
}

fn judge(head: &wire::ResponseHead, body: Bytes) -> Result<Answer, Broken> {
    if head.status == StatusCode::NOT_IMPLEMENTED {
        return Ok(Answer::Declined);
    }
    if !is_index(head) || head.status.is_server_error() {
        let found = match head.headers.get(CONTENT_TYPE) {
            None => "none".to_owned(),
            Some(value) => quoted(&String::from_utf8_lossy(value.as_bytes())),
        };
        return Err(Broken::NoIndex(head.status, found));
    }
    Ok(if declines(&body) {
        Answer::Declined
    } else {
        Answer::Index(body)
    })
}

/// Parameters of the type, such as a version or a charset, say nothing that the body does not.
fn is_index(head: &wire::ResponseHead) -> bool {
    let value = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(INDEX_TYPE))
}

fn request() -> Bytes {
    let accepts = format!("{INDEX_TYPE};version=1");
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("fn"));
    let control = HeaderName::from_static("fn-control");
    headers.insert(control, HeaderValue::from_static("index"));
    if let Ok(accepts) = HeaderValue::try_from(accepts) {
        headers.insert(ACCEPT, accepts);
    }
    let mut head = BytesMut::new();
    let length = BodyLength::Known(0);
    wire::encode_request_head(&mut head, &Method::GET, TARGET, &headers, &[], length);
    head.freeze()
}

async fn write(stdin: &mut Stdin, mut bytes: Bytes) -> std::io::Result<()> {
    while bytes.has_remaining() {
        let written = poll_fn(|cx| stdin.poll_write(cx, &[IoSlice::new(&bytes)])).await?;
        bytes.advance(written);
    }
    poll_fn(|cx| stdin.poll_flush(cx)).await
}

async fn read_some(stdout: &mut Stdout, inbox: &mut BytesMut) -> Result<usize, Broken> {
    let read = stdout.read_buf(inbox).await;
    read.map_err(|error| Broken::Malformed(error.to_string()))
}

async fn explain(broken: Broken, instance: Instance) -> AskError {
    let Instance {
        stdin,
        stderr,
        control,
        ..
    } = instance;
    // One that has not ended can do so now.
    drop(stdin);
    let autopsy = timeout(AUTOPSY, control.autopsy());
    let exit = autopsy.await.unwrap_or(Exit::Unknown);
    let log = last_lines(&stderr);
    match broken {
        Broken::Ended => AskError::Ended { exit, log },
        Broken::Malformed(reason) => AskError::Malformed { reason, log },
        Broken::NoIndex(status, found) => AskError::NoIndex { status, found, log },
    }
}

/// Ends a container that has answered, and maybe `spoke` on.
async fn dismiss(instance: Instance, mut spoke: bool) -> Vec<String> {
    let Instance {
        mut stdin,
        mut stdout,
        control,
        ..
    } = instance;
    let mut warnings = Vec::new();
    let end = async {
        poll_fn(|cx| stdin.poll_close(cx)).await;
        let mut rest = BytesMut::new();
        while let Ok(1..) = stdout.read_buf(&mut rest).await {
            spoke = true;
            rest.clear();
        }
        spoke
    };
    match timeout(LAST_SECONDS, end).await {
        Ok(spoke) => {
            if spoke {
                warnings.push("it wrote more than its answer to stdout".to_owned());
            }
            match timeout(AUTOPSY, control.autopsy()).await {
                Ok(Exit::Code(0)) => {}
                Ok(exit) => warnings.push(format!("it ended with {exit}, expected exit code 0")),
                Err(_) => {}
            }
        }
        Err(_) => {
            control.kill();
            warnings.push(format!(
                "it did not exit within {} seconds after its answer and was killed",
                LAST_SECONDS.as_secs()
            ));
        }
    }
    warnings
}

fn last_lines(stderr: &Stderr) -> Vec<String> {
    let mut lines = stderr.tail();
    lines.drain(..lines.len().saturating_sub(LOG_LINES));
    lines
}
