//! One try at one container: the head of its response, and then its body, whole or as it comes.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::fault::{Blame, Fault};
use super::memory::Entry;
use super::response::{CallResponse, Piece, ResponseBody};
use crate::format::{Exchange, ExchangeError, Report, ResponseHead};
use crate::launcher::{Exit, Stdout};
use crate::model::{CallId, Callable, Format};
use crate::pool::Slot;

/// A body up to this is passed on in one piece, once all of it is there: if it breaks off, the
/// caller gets an error that says why rather than a connection that breaks.
const WHOLE: u64 = 64 << 10;

/// How long the rest of such a body is waited for. Functions write small bodies at once; one
/// that does not is passed on as it comes.
const LINGER: Duration = Duration::from_millis(50);
/// As above where the bytes come through an engine, which tells of a container's end some time
/// after it.
const ENGINES_LINGER: Duration = Duration::from_millis(300);

/// Pieces of a body that wait for a slow caller; a piece is at most 256 KiB. With this a body of
/// up to 1 MiB costs its container no time, however slow its caller is.
const AHEAD: usize = 4;

/// How long finding out how a container ended may keep its caller waiting; an engine that hangs
/// must not.
const AUTOPSY: Duration = Duration::from_secs(6);

/// How a line of a function's log begins that tells callers why it cannot start.
const FOR_CALLERS: &str = "fn-error: init-failed: ";
const REASON_CHARS: usize = 1000;

/// What became of one try.
pub(super) enum Attempt {
    Answered(CallResponse, Option<Rest>),
    Failed(Fault),
    /// The container had died before the call; another one may serve it.
    WasDead(Entry),
}

/// A call that a container has.
pub(super) struct Run {
    pub(super) slot: Slot,
    pub(super) exchange: Box<dyn Exchange>,
    pub(super) entry: Entry,
    pub(super) callable: Arc<Callable>,
    pub(super) format: Format,
    pub(super) id: CallId,
    /// When the function's time is over.
    pub(super) expiry: Instant,
    /// How long a function may pause within its response.
    pub(super) idle: Duration,
    /// How long a caller may take for one piece of it.
    pub(super) patience: Duration,
    /// The caller asked for the head only.
    pub(super) head_only: bool,
}

/// How far a response had come when its head was passed on.
enum Gathered {
    Whole(Bytes),
    Started(Bytes),
}

impl Run {
    /// Puts the call to the container. `may_repeat`: if the container turns out to have died
    /// before it could read the request, say so instead of failing.
    pub(super) async fn go(mut self: Box<Self>, may_repeat: bool) -> Attempt {
        match self.start_in_time().await {
            Some(Ok((head, Gathered::Whole(body)))) => {
                self.check_known(&head);
                self.succeed();
                Attempt::Answered(response(head, ResponseBody::from(body)), None)
            }
            Some(Ok((head, Gathered::Started(first)))) => {
                let (sender, receiver) = mpsc::channel(AHEAD);
                let left = head.length;
                let rest = Rest { run: self, sender };
                let body = ResponseBody::stream(first, left, receiver);
                Attempt::Answered(response(head, body), Some(rest))
            }
            Some(Err(ExchangeError::Ended {
                started: false,
                unread: Some(true),
                ..
            })) if may_repeat => {
                self.slot.retire("had died before the call");
                Attempt::WasDead(self.entry)
            }
            // Boxed, because there has to be room for it in each call, and few come here.
            Some(Err(error)) => Attempt::Failed(Box::pin(self.fail(error)).await),
            None => Attempt::Failed(self.time_out()),
        }
    }

    /// Tells the operator that what is deployed and what the image holds are not the same; once per
    /// container.
    fn check_known(&self, head: &ResponseHead) {
        let unknown = || {
            let said = head.headers.get("fn-error");
            said.is_some_and(|said| said == "unknown-function")
        };
        if head.status == StatusCode::NOT_FOUND && self.slot.calls == 0 && unknown() {
            tracing::warn!(
                app = %self.callable.app_name,
                function = %self.callable.name,
                image = %self.callable.image,
                call_id = %self.id,
                "the image does not have the function; `fn index IMAGE` shows which it has"
            );
        }
    }

    /// `None` once the function's time is over.
    async fn start_in_time(&mut self) -> Option<Result<(ResponseHead, Gathered), ExchangeError>> {
        let mut alarm = std::mem::take(&mut self.slot.alarm);
        alarm.set(Some(self.expiry));
        let started = {
            let mut start = pin!(self.start());
            std::future::poll_fn(|cx| match start.as_mut().poll(cx) {
                Poll::Ready(started) => Poll::Ready(Some(started)),
                Poll::Pending => alarm.poll(cx).map(|()| None),
            })
            .await
        };
        self.slot.alarm = alarm;
        started
    }

    async fn start(&mut self) -> Result<(ResponseHead, Gathered), ExchangeError> {
        let head = std::future::poll_fn(|cx| self.exchange.poll_head(cx, &mut self.slot)).await?;
        let gathered = self.gather(&head).await?;
        Ok((head, gathered))
    }

    /// Reads the body if it is small or all there, else as much of it as is there.
    async fn gather(&mut self, head: &ResponseHead) -> Result<Gathered, ExchangeError> {
        if self.head_only || is_bodiless(head.status) {
            // Nobody will read it, but the container is clean only behind it.
            while std::future::poll_fn(|cx| self.poll_data(cx))
                .await?
                .is_some()
            {}
            return Ok(Gathered::Whole(Bytes::new()));
        }
        let mut body = Gathering::default();
        let small = head.length.is_some_and(|length| length <= WHOLE);
        // Without a type, the start of the body has to tell what it is.
        let typed = head.headers.contains_key(http::header::CONTENT_TYPE);
        let wait = match self.slot.stdout {
            Stdout::Engine(_) => ENGINES_LINGER,
            _ => LINGER,
        };
        let mut linger = pin!(None);
        std::future::poll_fn(|cx| {
            loop {
                match self.poll_data(cx) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(Gathered::Whole(body.take()))),
                    Poll::Ready(Ok(Some(data))) => {
                        body.push(data);
                        let len = body.len();
                        if len >= WHOLE && head.length != Some(len) {
                            return Poll::Ready(Ok(Gathered::Started(body.take())));
                        }
                    }
                    Poll::Pending if small => {
                        if linger.is_none() {
                            linger.set(Some(tokio::time::sleep(wait)));
                        }
                        let over = linger.as_mut().as_pin_mut().map(|sleep| sleep.poll(cx));
                        if over.is_none_or(|over| over.is_pending()) || (body.len() == 0 && !typed)
                        {
                            return Poll::Pending;
                        }
                        return Poll::Ready(Ok(Gathered::Started(body.take())));
                    }
                    Poll::Pending if body.len() == 0 && !typed => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(Gathered::Started(body.take()))),
                }
            }
        })
        .await
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ExchangeError>> {
        self.exchange.poll_data(cx, &mut self.slot)
    }

    /// The response was complete.
    fn succeed(mut self: Box<Self>) {
        self.entry.take_log();
        self.entry.succeed();
        self.give_back();
    }

    fn give_back(mut self: Box<Self>) {
        if self.exchange.is_clean(&mut self.slot) {
            self.slot.give_back();
        } else {
            self.slot
                .retire("answered without reading its request, or serves no other");
        }
    }

    fn time_out(mut self: Box<Self>) -> Fault {
        self.entry.take_log();
        self.tell(&Fault::TimedOut);
        self.entry.fail(&Fault::TimedOut);
        self.slot.retire("ran out of time");
        Fault::TimedOut
    }

    async fn fail(mut self: Box<Self>, error: ExchangeError) -> Fault {
        if let ExchangeError::Reported(report) = error {
            let fault = match report {
                Report::Failed => Fault::Reported,
                Report::TimedOut => Fault::TimedOut,
            };
            self.entry.take_log();
            self.entry.fail(&fault);
            self.give_back();
            return fault;
        }
        // One that had read its call may have died of it; that is no reason to think that the next
        // container will. Where nobody can tell, it is for one that never answered a call.
        let unread = match error {
            ExchangeError::Ended {
                started: false,
                unread,
                ..
            } => unread,
            _ => Some(false),
        };
        let fault = self.diagnose(error).await;
        // After that, so that what it wrote while it died is in it.
        self.entry.take_log();
        let fault = self.with_reason(fault);
        self.tell(&fault);
        self.entry.fail(&fault);
        if unread != Some(false) && fault.blame() == Blame::Function {
            self.slot.stillborn(&fault.to_string(), unread.is_some());
        } else {
            self.slot.retire("did not answer properly");
        }
        fault
    }

    /// The cause behind what was seen of the response.
    async fn diagnose(&mut self, error: ExchangeError) -> Fault {
        let format = self.format;
        let seen = error.to_string();
        // What is quoted of a container's first answer can only be its own caller's.
        let detail = if self.slot.calls == 0 {
            seen.clone()
        } else {
            error.summary()
        };
        let bad = |detail| Fault::BadResponse {
            format,
            detail,
            seen: seen.clone(),
        };
        let started = match error {
            ExchangeError::Ended { started, .. } => started,
            ExchangeError::TooLarge { .. } => return Fault::ResponseTooLarge { format },
            ExchangeError::Malformed(wire::DecodeError::HeadTooLarge { .. })
                if format == Format::HttpStream =>
            {
                return Fault::ResponseHeadTooLarge;
            }
            // A status that the format does not know.
            ExchangeError::BadFrame(_) if format == Format::HttpStream => {
                return Fault::InvalidResponse { seen };
            }
            ExchangeError::UnknownContentType(kind) => return Fault::UnknownContentType(kind),
            ExchangeError::CallerLeft(_) => return Fault::CallerLeft,
            // What no engine and no function of ours can have written: nothing ended.
            ExchangeError::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Fault::Lost(detail);
            }
            ExchangeError::Io(_) => true,
            _ => return bad(detail),
        };
        let exit = timeout(AUTOPSY, self.slot.autopsy()).await;
        let exit = exit.unwrap_or(Exit::Unknown);
        match exit {
            Exit::Lost(loss) => Fault::Lost(format!("the container is lost: {loss}")),
            // Callers of this format are told one thing, whatever the cause.
            _ if format == Format::HttpStream => bad(format!("{detail}; the container: {exit}")),
            Exit::OutOfMemory => Fault::OutOfMemory {
                limit_mb: self.callable.memory_mb,
            },
            Exit::Code(0) if started => bad(detail),
            Exit::Code(code) => Fault::Exited(code),
            Exit::Killed => bad(format!("it closed its stdout, {detail}")),
            Exit::Unknown => Fault::Lost(format!("the container is lost: {detail}")),
        }
    }

    /// With what the function said to callers before it ended. Its other last words may hold what
    /// they are not to know.
    fn with_reason(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Exited(code) if self.slot.calls == 0 => {
                let words = self.slot.last_words();
                let said = words.iter().rev();
                match said
                    .filter_map(|line| line.strip_prefix(FOR_CALLERS))
                    .next()
                {
                    Some(reason) => Fault::NotStarted {
                        code,
                        reason: reason.chars().take(REASON_CHARS).collect(),
                    },
                    None => fault,
                }
            }
            other => other,
        }
    }

    /// Tells the operator what the caller is not told: the function's own last words.
    fn tell(&self, fault: &Fault) {
        if fault.blame() == Blame::Caller {
            return;
        }
        tracing::warn!(
            app = %self.callable.app_name,
            function = %self.callable.name,
            call_id = %self.id,
            container = %self.slot.id,
            blame = fault.blame().as_str(),
            stderr = ?self.slot.last_words(),
            detail = fault.detail(),
            "{fault}"
        );
    }
}

/// RFC 9110 section 6.4.1.
fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn response(head: ResponseHead, body: ResponseBody) -> CallResponse {
    CallResponse {
        status: head.status,
        headers: head.headers,
        body,
    }
}

/// A body in the making; one that comes in one piece is not copied.
#[derive(Default)]
struct Gathering {
    first: Bytes,
    joined: BytesMut,
}

impl Gathering {
    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&data);
    }

    fn len(&self) -> u64 {
        self.first.len().max(self.joined.len()) as u64
    }

    fn take(&mut self) -> Bytes {
        let first = std::mem::take(&mut self.first);
        if self.joined.is_empty() {
            first
        } else {
            self.joined.split().freeze()
        }
    }
}

/// The rest of a response whose head was passed on. Its caller may be slow; its container is
/// read ahead of it, within a bound.
pub(super) struct Rest {
    run: Box<Run>,
    sender: mpsc::Sender<Piece>,
}

impl Rest {
    /// Passes on what comes, until the response, the function's time or the caller's patience
    /// ends. A caller who has gone costs the container.
    pub(super) async fn pass_on(mut self) {
        let patience = self.run.patience;
        loop {
            let limit = self.run.expiry.min(Instant::now() + self.run.idle);
            let next = std::future::poll_fn(|cx| self.run.poll_data(cx));
            let next = tokio::select! {
                biased;
                next = timeout_at(limit, next) => next,
                () = self.sender.closed() => return self.run.abandon(),
            };
            match next {
                Ok(Ok(Some(data))) => {
                    let limit = self.run.expiry.min(Instant::now() + patience);
                    let sent = timeout_at(limit, self.sender.send(Piece::Data(data))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return self.run.abandon();
                    }
                }
                Ok(Ok(None)) => {
                    self.run.succeed();
                    let _ = timeout(patience, self.sender.send(Piece::End)).await;
                    return;
                }
                Ok(Err(error)) => {
                    let fault = self.run.fail(error).await;
                    return broken(&self.sender, &fault, patience).await;
                }
                Err(_) => {
                    let fault = self.run.time_out();
                    return broken(&self.sender, &fault, patience).await;
                }
            }
        }
    }
}

impl Run {
    /// The caller has gone: its container is in the middle of a response that nobody reads.
    fn abandon(mut self: Box<Self>) {
        self.entry.take_log();
        self.slot.retire("its caller left or stopped reading");
    }
}

async fn broken(sender: &mpsc::Sender<Piece>, fault: &Fault, patience: Duration) {
    let _ = timeout(patience, sender.send(Piece::Broken(fault.clone()))).await;
}
