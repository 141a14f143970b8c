//! Where calls come from, and what they look like there: one reader and writer for each format.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rustix::event::{PollFd, PollFlags, poll};
use wire::{BodyLength, RequestHead};

use crate::call::{self, target_of};
use crate::error::{Error, Result};
use crate::frame;
use crate::input::Input;
use crate::log::Line;
use crate::output::{Asked, Output};
use crate::stdio;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Requests and responses as they are.
    Http,
    /// The same over the server's socket: the caller's request in headers of the server's.
    HttpStream,
    Json,
    CloudEvent,
    /// One body, one answer, and the end.
    Plain,
}

/// A way in and a way out.
pub(crate) struct Conn {
    speech: Speech,
    /// Away while a body is read behind the back of who waits for it.
    input: Option<Reader>,
    pub(crate) output: Output<Box<dyn Sink>>,
    /// The caller's own request, where it is wrapped in another.
    wrapped: bool,
    /// It ends after this call.
    last: bool,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("speech", &self.speech)
            .finish_non_exhaustive()
    }
}

/// What reads calls off a connection.
pub(crate) type Reader = Input<Box<dyn Stream>>;

/// Something to read from.
pub(crate) trait Stream: Read + Send {
    /// What to ask the kernel about, if there is more than one to wait for.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Stream for File {}

impl Stream for UnixStream {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Stream for TcpStream {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

/// Something to write to.
pub(crate) trait Sink: Write + Send {
    /// Ends both directions, whoever else holds the other one.
    fn end(&self) {}
}

impl Sink for File {}

impl Sink for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Sink for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// A connection that is given up ends, also where its body is still being read.
impl Drop for Conn {
    fn drop(&mut self) {
        self.output.writer().end();
    }
}

/// A call that has come: its head, and its body if it came with it.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) head: RequestHead,
    pub(crate) body: Option<Bytes>,
    /// What is wrong with it, where it can be told apart from the next all the same.
    pub(crate) flaw: Option<Error>,
}

impl Arrival {
    fn of(head: RequestHead) -> Self {
        Self {
            head,
            body: None,
            flaw: None,
        }
    }
}

impl Conn {
    pub(crate) fn new(
        speech: Speech,
        reader: impl Stream + 'static,
        writer: impl Sink + 'static,
    ) -> Self {
        Self {
            speech,
            input: Some(Input::new(Box::new(reader))),
            output: Output::new(Box::new(writer)),
            wrapped: false,
            last: false,
        }
    }

    fn has_more(&self) -> bool {
        self.input.as_ref().is_some_and(Input::has_more)
    }

    pub(crate) fn input(&mut self) -> Result<&mut Reader> {
        self.input
            .as_mut()
            .ok_or_else(|| Error::msg("the body is being read"))
    }

    pub(crate) fn take_input(&mut self) -> Result<Reader> {
        self.input
            .take()
            .ok_or_else(|| Error::msg("the body is being read"))
    }

    pub(crate) fn put_input(&mut self, input: Reader) {
        self.input = Some(input);
    }

    /// The next call; `None` once there is none.
    fn next(&mut self) -> Result<Option<Arrival>> {
        let speech = self.speech;
        let input = self.input()?;
        match speech {
            Speech::Http => {
                let head = input.head()?;
                self.last = head.as_ref().is_some_and(|head| says_close(&head.headers));
                Ok(head.map(Arrival::of))
            }
            Speech::HttpStream => {
                let Some(head) = input.head()? else {
                    return Ok(None);
                };
                self.last = says_close(&head.headers);
                let (head, wrapped) = unwrap(head)?;
                self.wrapped = wrapped;
                Ok(Some(Arrival::of(head)))
            }
            Speech::Json => frame::next_json(input),
            Speech::CloudEvent => frame::next_event(input),
            Speech::Plain => {
                let call = frame::only(input)?;
                self.last = true;
                Ok(Some(call))
            }
        }
    }

    /// A body as [`whole`](Self::whole) sends it, which may be several times longer.
    pub(crate) fn pack(
        &self,
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Bytes {
        match self.speech {
            Speech::Json => frame::json(status, headers, &body).into(),
            Speech::CloudEvent => frame::event(asked, status, headers, &body).into(),
            _ => body,
        }
    }

    /// An answer that is there as a whole, and [packed](Self::pack).
    pub(crate) fn whole(
        &mut self,
        asked: &Asked,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<()> {
        match self.speech {
            Speech::Http => self.output.whole(asked, status, headers, body),
            Speech::HttpStream => {
                let (status, headers) = wrap(self.wrapped, status, headers)?;
                self.output.whole(asked, status, headers, body)
            }
            Speech::Json | Speech::CloudEvent => Ok(self.output.raw(&body)?),
            Speech::Plain => {
                self.output.raw(&body)?;
                frame::verdict(asked, status, &body)
            }
        }
    }

    /// Answers as if the server had wrapped a caller's request in this call, or had not.
    pub(crate) fn answer_within(&mut self, wrapped: bool) {
        self.wrapped = wrapped;
    }

    /// What the answer to this call has to know of it.
    pub(crate) fn asked(&self, head: &RequestHead) -> Asked {
        Asked::by(head, self.speech != Speech::Http)
    }

    /// The answer to a caller who wants no body, of which nobody knows how long it would be.
    pub(crate) fn head_only(
        &mut self,
        asked: &Asked,
        status: StatusCode,
        headers: HeaderMap,
    ) -> Result<()> {
        if self.speech != Speech::Http {
            let body = self.pack(asked, status, &headers, Bytes::new());
            return self.whole(asked, status, headers, body);
        }
        self.output.begin(asked, status, headers)?;
        Ok(self.output.push()?)
    }

    /// Whether a body can be sent as it comes.
    pub(crate) fn streams(&self) -> bool {
        matches!(self.speech, Speech::Http | Speech::HttpStream)
    }

    /// The head of an answer whose body follows in chunks.
    pub(crate) fn begin(
        &mut self,
        asked: &Asked,
        status: StatusCode,
        headers: HeaderMap,
    ) -> Result<()> {
        let (status, headers) = match self.speech {
            Speech::HttpStream => wrap(self.wrapped, status, headers)?,
            _ => (status, headers),
        };
        self.output.begin(asked, status, headers)
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    let value = headers.get(CONNECTION);
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

static IS_CALL: AtomicBool = AtomicBool::new(false);

/// Whether this process is one call: its stdin the body, and its end the verdict.
pub(crate) fn is_call() -> bool {
    IS_CALL.load(Ordering::Relaxed)
}

/// Where calls come from. What it gives out for a call comes back when that is answered.
#[derive(Debug)]
pub(crate) enum Source {
    /// One stream.
    One(Option<Box<Conn>>),
    /// All who connect.
    Many(Many),
}

impl Source {
    /// What the server gave this process to speak over, by the format it names or the `usual` one.
    pub(crate) fn of_server(usual: &str) -> Result<Self> {
        let named = std::env::var_os("FN_FORMAT").filter(|format| !format.is_empty());
        // A server names it always; without one, somebody tries it out.
        let format = named.unwrap_or_else(|| usual.into());
        let speech = match format.to_str() {
            Some("http") => Speech::Http,
            Some("json") => Speech::Json,
            Some("cloudevent") => Speech::CloudEvent,
            Some("default") => {
                IS_CALL.store(true, Ordering::Relaxed);
                Speech::Plain
            }
            Some("http-stream") => return Many::of_server().map(Self::Many),
            _ => {
                return Err(Error::msg(format!(
                    "FN_FORMAT is {format:?}, expected http, json, cloudevent, default or \
                     http-stream: set `format` in func.yaml and deploy again"
                )));
            }
        };
        let (requests, responses) = stdio::take()?;
        let conn = Conn::new(speech, requests, responses);
        Ok(Self::One(Some(Box::new(conn))))
    }

    /// The next call and how to answer it; `None` once there is none.
    pub(crate) fn next(&mut self) -> Result<Option<(Box<Conn>, Arrival)>> {
        match self {
            Self::One(conn) => {
                let Some(mut conn) = conn.take() else {
                    return Ok(None);
                };
                Ok(conn.next()?.map(|arrival| (conn, arrival)))
            }
            Self::Many(many) => many.next().map(|(conn, call)| Some((Box::new(conn), call))),
        }
    }

    /// Takes back what a call was answered over.
    pub(crate) fn give_back(&mut self, conn: Box<Conn>) {
        match self {
            Self::One(place) => *place = Some(conn).filter(|conn| conn.speech != Speech::Plain),
            Self::Many(many) if !conn.last => many.idle.push(*conn),
            Self::Many(_) => {}
        }
    }

    /// Whether there cannot be another call.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::One(None))
    }

    /// The functions are ready: tells the server, where it waits to be told.
    pub(crate) fn announce(&mut self) -> Result<()> {
        match self {
            Self::One(_) => Ok(()),
            Self::Many(many) => many.announce(),
        }
    }

    /// Whether somebody tries the functions out: no server has chosen one of them.
    pub(crate) fn is_open_to_all(&self) -> bool {
        matches!(self, Self::Many(many) if matches!(many.listener, Listener::Tcp(_)))
    }

    /// Whether the process may go on where one connection cannot.
    pub(crate) fn survives(&self) -> bool {
        matches!(self, Self::Many(_))
    }
}

/// How long somebody who tries a function out may pause within a request.
const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket and those who have connected to it.
#[derive(Debug)]
pub(crate) struct Many {
    listener: Listener,
    idle: Vec<Conn>,
    /// The name that the server waits for, and what is to be behind it.
    name: Option<(PathBuf, String)>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<Conn> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                let writer: UnixStream = stream.try_clone()?;
                Ok(Conn::new(Speech::HttpStream, stream, writer))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                // One call at a time: who stops in the middle of a request holds up all others.
                stream.set_read_timeout(Some(PATIENCE))?;
                let writer = stream.try_clone()?;
                Ok(Conn::new(Speech::Http, stream, writer))
            }
        }
    }
}

/// Makes room for a socket or a link to one.
fn remove(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let kind = found.file_type();
    // Anything else that has the name is somebody's, and a mistake.
    if kind.is_socket() || kind.is_symlink() {
        fs::remove_file(path)?;
    }
    Ok(())
}

impl Many {
    /// Listens where the server of today's Fn waits for a socket to appear. It takes what it finds
    /// there for ready, so the name comes [last](Self::announce).
    fn of_server() -> Result<Self> {
        let place = std::env::var("FN_LISTENER").unwrap_or_default();
        let Some(path) = place.strip_prefix("unix:").map(PathBuf::from) else {
            return Err(Error::msg(format!(
                "FN_LISTENER is {place:?}, expected unix:<path> for format http-stream"
            )));
        };
        let bad = || {
            Error::msg(format!(
                "FN_LISTENER is {place:?}, which has no folder and name"
            ))
        };
        let (folder, name) = path.parent().zip(path.file_name()).ok_or_else(bad)?;
        let hidden = format!("{}.private", name.to_string_lossy());
        let own = folder.join(&hidden);
        // Of an earlier run in the same container. First the one that the server takes for ready.
        remove(&path)?;
        remove(&own)?;
        let listener = UnixListener::bind(&own)?;
        // The server need not run as the same user.
        fs::set_permissions(&own, fs::Permissions::from_mode(0o666))?;
        // What is printed is the log in this format too, and both streams are.
        let mut many = Self::over(Listener::Unix(listener));
        many.name = Some((path, hidden));
        Ok(many)
    }

    /// Listens for any HTTP client, to try a function out.
    pub(crate) fn at(address: &str) -> Result<(Self, SocketAddr)> {
        // Names are not looked up: a resolver is a quarter of a small program.
        let number = address.replacen("localhost:", "127.0.0.1:", 1);
        let number: SocketAddr = number.parse().map_err(|_| {
            Error::msg(format!(
                "cannot listen on {address:?}, expected an address and a port, such as 127.0.0.1:9000"
            ))
        })?;
        let listener = TcpListener::bind(number)
            .map_err(|error| Error::msg(format!("cannot listen on {address}: {error}")))?;
        let address = listener.local_addr()?;
        Ok((Self::over(Listener::Tcp(listener)), address))
    }

    fn over(listener: Listener) -> Self {
        Self {
            listener,
            idle: Vec::new(),
            name: None,
        }
    }

    fn announce(&mut self) -> Result<()> {
        if let Some((path, hidden)) = self.name.take() {
            std::os::unix::fs::symlink(Path::new(&hidden), &path)?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Conn, Arrival)> {
        loop {
            let mut conn = self.ready()?;
            match conn.next() {
                Ok(Some(arrival)) => return Ok((conn, arrival)),
                Ok(None) => {}
                // Whoever speaks no HTTP is no reason to stop for others.
                Err(error) => {
                    let mut line = Line::new("WARN", "", None);
                    line.field("msg", &format_args!("a connection was dropped: {error}"));
                    line.write();
                }
            }
        }
    }

    /// A connection over which something has come.
    fn ready(&mut self) -> Result<Conn> {
        loop {
            if let Some(at) = self.idle.iter().position(Conn::has_more) {
                return Ok(self.idle.swap_remove(at));
            }
            let idle = self.idle.iter().filter_map(|conn| conn.input.as_ref());
            let mut asked: Vec<PollFd<'_>> = idle
                .filter_map(|input| input.reader().fd())
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            asked.push(PollFd::from_borrowed_fd(
                self.listener.as_fd(),
                PollFlags::IN,
            ));
            match poll(&mut asked, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let ready = asked.iter().position(|fd| !fd.revents().is_empty());
            drop(asked);
            match ready {
                Some(at) if at < self.idle.len() => return Ok(self.idle.swap_remove(at)),
                Some(_) => match self.listener.accept() {
                    Ok(conn) => self.idle.push(conn),
                    Err(error) => {
                        let mut line = Line::new("WARN", "", None);
                        line.field("msg", &format_args!("cannot accept a connection: {error}"));
                        line.write();
                        // Most often for want of descriptors, which others will give back.
                        std::thread::park_timeout(ACCEPT_PAUSE);
                    }
                },
                None => {}
            }
        }
    }
}

const METHOD: HeaderName = HeaderName::from_static("fn-http-method");
const URL: HeaderName = HeaderName::from_static("fn-http-request-url");
const STATUS: HeaderName = HeaderName::from_static("fn-http-status");
/// What stands before a header that is the HTTP caller's.
const FORWARDED: &str = "fn-http-h-";

/// The caller's own request, and whether there is one: the server wraps what came by a trigger, and
/// passes on as it is what came from a client of functions.
fn unwrap(head: RequestHead) -> Result<(RequestHead, bool)> {
    let mut headers = HeaderMap::new();
    let of_server = head
        .headers
        .iter()
        .filter(|(name, _)| !name.as_str().starts_with(FORWARDED) && !is_forged(name.as_str()));
    for (name, value) in of_server {
        headers.try_append(name.clone(), value.clone())?;
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(method), Some(url)) = (text(&METHOD), text(&URL)) else {
        return Ok((RequestHead { headers, ..head }, false));
    };
    let method = Method::from_bytes(method.as_bytes())?;
    let target = target_of(url).into_owned();
    let url = HeaderValue::from_str(url)?;
    let mut last = None;
    for (name, value) in &head.headers {
        let Some(own) = name.as_str().strip_prefix(FORWARDED) else {
            continue;
        };
        // The platform's names are the platform's to say.
        if own.starts_with("fn-") || own.starts_with("fn_") {
            continue;
        }
        let own = HeaderName::from_bytes(own.as_bytes())?;
        // Equal names come one after the other.
        if last.as_ref() != Some(&own) {
            headers.remove(&own);
        }
        headers.try_append(own.clone(), value.clone())?;
        last = Some(own);
    }
    headers.try_insert(call::URL, url)?;
    let head = RequestHead {
        method,
        target,
        headers,
        length: head.length,
    };
    Ok((head, true))
}

/// Names that this format's server never sets, and that mean something here.
fn is_forged(name: &str) -> bool {
    name.starts_with("fn_") || matches!(name, "fn-function" | "fn-control")
}

/// The answer in headers of the server's, which takes any other status for a failure.
fn wrap(wrapped: bool, status: StatusCode, headers: HeaderMap) -> Result<(StatusCode, HeaderMap)> {
    let mut all = HeaderMap::new();
    let mut last = None;
    for (name, value) in headers {
        last = name.or(last);
        let Some(name) = &last else { continue };
        if [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name) {
            continue;
        }
        let plain = *name == CONTENT_TYPE || !wrapped;
        let name = if plain {
            name.clone()
        } else {
            HeaderName::from_bytes(format!("{FORWARDED}{name}").as_bytes())?
        };
        all.try_append(name, value)?;
    }
    let transport = match status {
        _ if wrapped => StatusCode::OK,
        StatusCode::GATEWAY_TIMEOUT => StatusCode::GATEWAY_TIMEOUT,
        failed if failed.is_server_error() => StatusCode::BAD_GATEWAY,
        _ => StatusCode::OK,
    };
    if transport == StatusCode::OK {
        all.try_insert(STATUS, HeaderValue::from_str(status.as_str())?)?;
    }
    Ok((transport, all))
}

/// A head for calls that come without one.
pub(crate) fn head(method: Method, target: String, headers: HeaderMap) -> RequestHead {
    RequestHead {
        method,
        target,
        headers,
        length: BodyLength::Empty,
    }
}
