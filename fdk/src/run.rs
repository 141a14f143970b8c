use std::any::Any;
use std::future::poll_fn;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName};

use crate::app::{App, Match, Ready};
use crate::body::{self, Body};
use crate::call::Call;
use crate::error::{Error, Result};
use crate::handler::Handler;
use crate::index;
use crate::input::Input;
use crate::log::Scoped;
use crate::offload::{self, Worker};
use crate::output::Asked;
use crate::response::{After, Content, Framing, IntoResponse, Response};
use crate::route;
use crate::source::{Arrival, Conn, Many, Reader, Source};
use crate::term::Term;
use crate::time::within;

/// Runs `handler` for every call until the server closes stdin.
///
/// ```no_run
/// fn main() -> fdk::Result<()> {
///     fdk::run(|name: String| format!("Hello {name}"))
/// }
/// ```
///
/// At SIGTERM the call in flight is answered, this returns, and `main` goes on. A program that waits
/// for a call ends at once: what it has printed without a newline may be lost.
///
/// # Errors
///
/// The process was not started by a function server; the stream holds something other than calls;
/// or the server is gone. Return the error from `main`, so that it is printed and the exit status
/// tells.
pub fn run<H, Marker>(handler: H) -> Result<()>
where
    H: Handler<Marker>,
{
    // What it is called, and where, is for func.yaml to say.
    let name = std::env::var("FN_FN_NAME").unwrap_or_else(|_| "function".to_owned());
    App::new()
        .function(name, route::any(""), handler)
        .run_blocking()
}

const BY_HAND: &str = "this is a function: it reads framed calls from stdin, not keys.
Deploy it with `fn deploy --app <app> --local` and call it with `fn invoke <app> <function>`,
or try it alone:
  <this program> --serve 127.0.0.1:9000      and then  curl -d Ann 127.0.0.1:9000";

/// Starts the app and serves calls from wherever they come.
pub(crate) async fn main<W: Worker>(app: App, worker: W) -> Result<()> {
    let source = source("http")?;
    let term = W::watch(app.watch)?;
    let app = app.ready(!index::is_all()).await?;
    serve(app, source, worker, &*term).await
}

/// Where calls come from; `usual` is the format where the server names none.
pub(crate) fn source(usual: &str) -> Result<Source> {
    let mut arguments = std::env::args().skip(1);
    let source = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--serve"), Some(address)) => {
            let (many, address) = Many::at(&address)?;
            let _ = writeln!(std::io::stderr(), "listening on http://{address}");
            Source::Many(many)
        }
        (Some("--serve"), None) => {
            return Err(Error::msg(
                "--serve needs an address, such as 127.0.0.1:9000",
            ));
        }
        _ if std::env::var_os("FN_FORMAT").is_none() && std::io::stdin().is_terminal() => {
            return Err(Error::msg(BY_HAND));
        }
        // Before anything of the app's runs: what it prints must not be taken for an answer.
        _ => Source::of_server(usual)?,
    };
    #[cfg(feature = "tracing")]
    crate::log::install();
    Ok(source)
}

/// Answers calls until there are no more.
pub(crate) async fn serve(
    app: Ready,
    mut source: Source,
    worker: impl Worker,
    term: &dyn Term,
) -> Result<()> {
    term.serves(app.ending());
    source.announce()?;
    let served = serve_all(&app, source, worker, term).await;
    let (ending, timely) = term.leave();
    served.and(timely).and(ending.run().await)
}

async fn serve_all(
    app: &Ready,
    mut source: Source,
    worker: impl Worker,
    term: &dyn Term,
) -> Result<()> {
    let name = std::env::var("FN_FN_NAME").ok();
    let host = Host {
        app,
        name: name.as_deref(),
        chosen: !source.is_open_to_all(),
        worker: &worker,
    };
    // Its answer is there, if it has been answered: nothing is to end it as if there were none.
    while !source.is_over() && term.waits() {
        let next = worker.run(move || {
            let next = source.next();
            (source, next)
        });
        let Some(next) = worker.unless_over(term, next).await else {
            break;
        };
        let (back, next) = next?;
        source = back;
        let Some((conn, arrival)) = next? else {
            break;
        };
        let asked = conn.asked(&arrival.head);
        let answer = host.answer(conn, arrival, &asked);
        let Some(answered) = worker.unless_over(term, answer).await else {
            break;
        };
        match answered {
            Ok(Some(conn)) => source.give_back(conn),
            // The rest of the request would be taken for the next one.
            Ok(None) if !source.survives() => break,
            Ok(None) => {}
            Err(error) if source.survives() => asked.fault(&error.to_string()),
            Err(error) => return Err(error),
        }
        if app.is_over() {
            break;
        }
    }
    Ok(())
}

/// Which function a call is for, where the caller says it.
const FUNCTION: HeaderName = HeaderName::from_static("fn-function");

/// What answers calls.
struct Host<'a, W> {
    app: &'a Ready,
    /// The function that this process serves.
    name: Option<&'a str>,
    /// Whether a server has chosen the function of each call.
    chosen: bool,
    worker: &'a W,
}

impl<W: Worker> Host<'_, W> {
    /// Answers one call; gives the connection back if it can serve another.
    async fn answer(
        &self,
        mut conn: Box<Conn>,
        arrival: Arrival,
        asked: &Asked,
    ) -> Result<Option<Box<Conn>>> {
        let Arrival { head, body, flaw } = arrival;
        let worker = self.worker;
        if let Some(flaw) = flaw {
            return send(
                worker,
                conn,
                None,
                asked,
                &Scoped::none(),
                flaw.into_response(),
            )
            .await;
        }
        if let Some(response) = self.app.take_index(&head.headers) {
            let _ = conn.input()?.body()?;
            return send(worker, conn, None, asked, &Scoped::none(), response).await;
        }
        // The environment first: only a server writes there.
        let named = self
            .name
            .or_else(|| head.headers.get(FUNCTION)?.to_str().ok());
        let found = self.app.find(&head, named, self.chosen);
        let read_on = found.as_ref().ok().and_then(Match::read_on);
        let mut reading = None;
        let call = match (body, read_on) {
            (Some(body), _) => Call::new(head, body),
            (None, Some(read_on)) => {
                let call = Call::new(head, Bytes::new());
                let (body, rest) = read_on(&mut conn, call.remaining())?;
                reading = Some(rest);
                call.streaming(body)
            }
            (None, None) => {
                let (back, body) = worker
                    .run(move || {
                        let body = conn.input().and_then(Input::body);
                        (conn, body)
                    })
                    .await?;
                conn = back;
                match body? {
                    Ok(body) => Call::new(head, body),
                    Err(refusal) => {
                        let refusal = refusal.into_response();
                        return send(worker, conn, None, asked, &Scoped::none(), refusal).await;
                    }
                }
            }
        };
        let (scoped, response) = match found {
            Ok(found) => {
                let bound = self.app.bind(found, call);
                (Scoped::of(&bound.0), self.app.answer(bound).await)
            }
            Err(response) => {
                drop(call);
                (Scoped::none(), *response)
            }
        };
        send(worker, conn, reading, asked, &scoped, response).await
    }
}

/// Reads the body behind the back of who waits for it. What nobody wants is dropped, within a
/// bound: what is left would be taken for the next call.
fn read_on(conn: &mut Conn, remaining: Option<Duration>) -> Result<(Body, Rest)> {
    let mut input = conn.take_input()?;
    let (feed, body) = body::channel();
    let pump = offload::spawn(move || {
        let mut unwanted = 0;
        loop {
            match input.data() {
                Ok(Some(data)) => {
                    let length = data.len();
                    if !feed.push(Ok(data)) {
                        unwanted += length;
                    }
                    if unwanted > DRAINED_BYTES {
                        return None;
                    }
                }
                Ok(None) => return Some(input),
                Err(error) => {
                    feed.push(Err(error));
                    return None;
                }
            }
        }
    })?;
    let leave = body.leaver();
    let remaining = remaining.filter(|left| !left.is_zero());
    let until = remaining.and_then(|left| Instant::now().checked_add(left));
    let drained = async move {
        leave.now();
        // The answer waits for this, and has to be there before the deadline.
        let left = until.map(|until| until.saturating_duration_since(Instant::now()) / 2);
        let time = left.map_or(DRAIN_TIME, |left| left.min(DRAIN_TIME));
        let rest = within(time, pump).await;
        rest.and_then(Result::ok).flatten()
    };
    Ok((body, Box::pin(drained)))
}

/// What reads a body as it comes.
pub(crate) type ReadOn = fn(&mut Conn, Option<Duration>) -> Result<(Body, Rest)>;

pub(crate) const READ_ON: ReadOn = read_on;

/// Waits for the rest of such a body, in time; gives the reader back if it may go on.
type Rest = Pin<Box<dyn Future<Output = Option<Reader>>>>;

/// How much of a body that nobody wants is read, and for how long.
const DRAINED_BYTES: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Waits for the rest of the request; whether the connection can serve another.
async fn drain(conn: &mut Conn, reading: &mut Option<Rest>) -> bool {
    let Some(rest) = reading.take() else {
        return true;
    };
    let input = rest.await;
    let goes_on = input.is_some();
    input.into_iter().for_each(|input| conn.put_input(input));
    goes_on
}

/// Up to here an answer fits into a pipe with its head, whoever reads it.
const PIPED_BYTES: usize = 32 << 10;

/// Writes to a connection where it may take its time: a reader that is slow must not hold up a
/// runtime's other tasks.
async fn write(
    worker: &impl Worker,
    mut conn: Box<Conn>,
    what: impl FnOnce(&mut Conn) -> Result<()> + Send + 'static,
) -> Result<Box<Conn>> {
    let written = worker.run(move || what(&mut conn).map(|()| conn));
    written.await?
}

/// Sends an answer, and gives the connection back if it can serve another call.
async fn send(
    worker: &impl Worker,
    mut conn: Box<Conn>,
    mut reading: Option<Rest>,
    asked: &Asked,
    scoped: &Scoped,
    response: Response,
) -> Result<Option<Box<Conn>>> {
    let Response {
        status,
        headers,
        body,
        fault,
        after,
        ..
    } = response;
    if let Some(fault) = fault {
        asked.fault(&fault);
    }
    if after == After::Told || after == After::Failed {
        conn.answer_within(after == After::Told);
    }
    let (pieces, framing) = match body {
        Content::Whole(body) => {
            // First, because the server takes an answer to an unfinished request for the last.
            let goes_on = drain(&mut conn, &mut reading).await;
            let body = conn.pack(asked, status, &headers, body);
            if body.len() <= PIPED_BYTES {
                conn.whole(asked, status, headers, body)?;
            } else {
                let asked = asked.clone();
                let whole = move |conn: &mut Conn| conn.whole(&asked, status, headers, body);
                conn = write(worker, conn, whole).await?;
            }
            return Ok(goes_on.then_some(conn));
        }
        Content::Stream(pieces) => (pieces, None),
        Content::Items(pieces, framing) => {
            (pieces, Some(framing.unwrap_or_else(|| asked.framing())))
        }
    };
    let headers = typed(headers, framing);
    if asked.is_bodiless(status) {
        // Not even begun: it may have no end.
        drop(pieces);
        let goes_on = drain(&mut conn, &mut reading).await;
        conn.head_only(asked, status, headers)?;
        return Ok(goes_on.then_some(conn));
    }
    let mut batches = Batches {
        pieces,
        framing,
        scoped,
        count: 0,
        buf: BytesMut::new(),
        ended: false,
        failed: None,
    };
    let mut first = batches.next().await;
    if !conn.streams() {
        // These formats have no way to send a body as it comes.
        let mut all = BytesMut::new();
        while let Ok(Some(data)) = first {
            all.extend_from_slice(&data);
            first = if all.len() > HELD_BYTES {
                Err(Error::msg(format!(
                    "the answer is longer than the {HELD_BYTES} bytes that are held for a format \
                     that cannot stream"
                )))
            } else {
                batches.next().await
            };
        }
        drop(batches);
        let answer = match first {
            Ok(_) => Response::of_parts(status, headers, all.freeze()),
            Err(error) => error.into_response(),
        };
        return Box::pin(send(worker, conn, reading, asked, scoped, answer)).await;
    }
    let first = match first {
        Ok(first) => first,
        Err(error) => {
            drop(batches);
            let answer = error.into_response();
            return Box::pin(send(worker, conn, reading, asked, scoped, answer)).await;
        }
    };
    conn.begin(asked, status, headers)?;
    let mut next = Ok(first);
    loop {
        match next {
            Ok(Some(data)) => {
                let chunk = move |conn: &mut Conn| Ok(conn.output.chunk(&data)?);
                conn = write(worker, conn, chunk).await?;
                breathe().await;
            }
            Ok(None) => break,
            Err(error) => {
                // Without the end of the chunks, so that nobody takes it for the whole.
                if framing == Some(Framing::Lines) {
                    conn.output.chunk(&last_line(&error))?;
                }
                // Told here, with the call's id: what `main` prints has none.
                asked.fault(&error.to_string());
                return Err(Error::msg("an answer was broken off"));
            }
        }
        next = batches.next().await;
    }
    // It may hold the body that is to be read to its end.
    drop(batches);
    let goes_on = drain(&mut conn, &mut reading).await;
    conn.output.end()?;
    Ok(goes_on.then_some(conn))
}

fn typed(mut headers: HeaderMap, framing: Option<Framing>) -> HeaderMap {
    let kind = match framing {
        None => return headers,
        Some(Framing::Lines) => "application/x-ndjson",
        Some(Framing::Array) => "application/json",
    };
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static(kind));
    headers
}

/// What went wrong in the middle of lines, as one more of them.
fn last_line(error: &Error) -> Vec<u8> {
    let told = match error.problem() {
        Some(problem) => Response::error(problem.status, &problem.to_string()),
        None => Response::failure(String::new()),
    };
    let line = told.body.whole().unwrap_or_default();
    [&line[..], b"\n"].concat()
}

/// Lets other tasks have their turn between two pieces, however fast they come.
async fn breathe() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The longest streamed answer that is put together for a format that has no streams.
const HELD_BYTES: usize = 64 << 20;

/// As much of a body as is there goes in one piece, up to here.
const BATCH_BYTES: usize = 16 << 10;

/// The pieces of a body, put together as far as they are there.
struct Batches<'a> {
    scoped: &'a Scoped,
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    framing: Option<Framing>,
    count: u64,
    buf: BytesMut,
    ended: bool,
    failed: Option<Error>,
}

impl Batches<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| {
            while !self.ended && self.buf.len() < BATCH_BYTES {
                let polled = catch_unwind(AssertUnwindSafe(|| {
                    let _scope = self.scoped.enter();
                    self.pieces.as_mut().poll_next(cx)
                }));
                let piece = polled
                    .unwrap_or_else(|panic| Poll::Ready(Some(Err(Error::msg(describe(&*panic))))));
                match piece {
                    Poll::Pending if self.buf.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(data))) => self.put(&data),
                    Poll::Ready(Some(Err(error))) => {
                        self.ended = true;
                        self.failed = Some(error);
                    }
                    Poll::Ready(None) => {
                        self.ended = true;
                        if self.framing == Some(Framing::Array) {
                            let end: &[u8] = if self.count == 0 { b"[]" } else { b"]" };
                            self.buf.extend_from_slice(end);
                        }
                    }
                }
            }
            if !self.buf.is_empty() {
                return Poll::Ready(Ok(Some(self.buf.split().freeze())));
            }
            Poll::Ready(self.failed.take().map_or(Ok(None), Err))
        })
        .await
    }

    fn put(&mut self, data: &[u8]) {
        if self.framing == Some(Framing::Array) {
            let before: &[u8] = if self.count == 0 { b"[" } else { b"," };
            self.buf.extend_from_slice(before);
        }
        self.buf.extend_from_slice(data);
        if self.framing == Some(Framing::Lines) {
            self.buf.extend_from_slice(b"\n");
        }
        self.count += 1;
    }
}

/// What a panic says.
pub(crate) fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "the function panicked: {}",
        text.unwrap_or("for no stated reason")
    )
}
