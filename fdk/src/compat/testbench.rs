use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Cursor, Write};
use std::rc::Rc;
use std::sync::Arc;

use super::context::RuntimeContext;
use super::error::FunctionError;
use super::first::{Initializer, InputCoercible, OutputCoercible, Session};
use super::hyper::{Method, Request, Response, Uri};
use crate::source::{Conn, Source, Speech, Stream};
use crate::sync::Lock;
use crate::term::Flags;

/// Tests functions of 0.1: calls in, responses out.
///
/// ```
/// use fdk::{FunctionError, FunctionTestbench, RuntimeContext};
///
/// fn init(context: &RuntimeContext) -> Result<String, FunctionError> {
///     Ok(context.config()["GREETING"].clone())
/// }
///
/// fn greet(greeting: &mut String, name: String) -> Result<String, FunctionError> {
///     Ok(format!("{greeting}, {name}!"))
/// }
///
/// let mut bench = FunctionTestbench::new(init).with_config("GREETING", "Hi");
/// bench.enqueue_simple("Ann").enqueue_simple("Bo");
/// assert_eq!(bench.run(greet), 0);
/// let mut responses = bench.drain_responses();
/// let last = fdk::body_as_bytes(responses.pop().unwrap().body()).unwrap();
/// assert_eq!(last, b"Hi, Bo!");
/// ```
///
/// The calls go through the same code as in a container, in format http.
pub struct FunctionTestbench<S> {
    initializer: Initializer<S>,
    config: HashMap<String, String>,
    requests: Vec<Request>,
    responses: Vec<Response>,
    output: Vec<u8>,
    errlog: Vec<u8>,
}

impl<S> fmt::Debug for FunctionTestbench<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTestbench")
            .field("requests", &self.requests)
            .field("responses", &self.responses)
            .finish_non_exhaustive()
    }
}

impl<S> FunctionTestbench<S> {
    /// A bench for functions with this initializer.
    pub fn new(initializer: fn(&RuntimeContext) -> Result<S, FunctionError>) -> Self {
        Self {
            initializer,
            config: HashMap::new(),
            requests: Vec::new(),
            responses: Vec::new(),
            output: Vec::new(),
            errlog: Vec::new(),
        }
    }

    /// Sets a value of the configuration that the function sees.
    pub fn set_config(&mut self, key: &str, value: &str) {
        self.config.insert(key.to_owned(), value.to_owned());
    }

    /// Sets a value of the configuration that the function sees.
    #[must_use]
    pub fn with_config(mut self, key: &str, value: &str) -> Self {
        self.set_config(key, value);
        self
    }

    /// Adds a call for the next run.
    pub fn enqueue(&mut self, request: Request) -> &mut Self {
        self.requests.push(request);
        self
    }

    /// Adds a call for the next run: a GET of `/` with this body.
    pub fn enqueue_simple(&mut self, body: &str) -> &mut Self {
        let mut request = Request::new(Method::Get, Uri::default());
        request.set_body(body.to_owned());
        self.enqueue(request)
    }

    /// Makes the calls that were added, and returns what the process would exit with. What an
    /// earlier run left here is forgotten.
    pub fn run<T, U>(
        &mut self,
        handler: impl FnMut(&mut S, T) -> Result<U, FunctionError> + 'static,
    ) -> i32
    where
        S: 'static,
        T: InputCoercible + 'static,
        U: OutputCoercible + 'static,
    {
        let mut config = self.config.clone();
        config.insert("FN_FORMAT".to_owned(), "http".to_owned());
        let state = (self.initializer)(&RuntimeContext::of(config));
        if state.is_err() && self.requests.is_empty() {
            // That it did not start is told by an answer.
            self.enqueue_simple("");
        }
        let mut input = Vec::new();
        for request in self.requests.drain(..) {
            write(request, &mut input);
        }
        let output = Sink::default();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let conn = Conn::new(Speech::Http, Cursor::new(input), output.clone());
        let source = Source::One(Some(Box::new(conn)));
        let session = Session::new(state).seen_by(&seen);
        let served = session.serve(source, handler, &Flags::default());
        self.responses = seen.take();
        self.output = std::mem::take(&mut output.0.lock());
        self.errlog.clear();
        served.unwrap_or_else(|error| {
            self.errlog = format!("{error}\n").into_bytes();
            2
        })
    }

    /// The responses of the last run.
    pub fn responses(&self) -> &Vec<Response> {
        &self.responses
    }

    /// Takes the responses of the last run.
    pub fn drain_responses(&mut self) -> Vec<Response> {
        std::mem::take(&mut self.responses)
    }

    /// The bytes that the last run wrote.
    pub fn output(&self) -> &Vec<u8> {
        &self.output
    }

    /// Why the last run broke off, if it did.
    pub fn errlog(&self) -> &Vec<u8> {
        &self.errlog
    }
}

/// Puts a request behind those before it.
fn write(request: Request, input: &mut Vec<u8>) {
    let target = match request.uri().path_and_query() {
        Some(target) => target.to_string(),
        None => "/".to_owned(),
    };
    let framing = ["content-length", "transfer-encoding"];
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers().as_map() {
        if !framing.contains(&name.as_str()) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    let body = request.body().into_bytes();
    head.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    input.extend_from_slice(&head);
    input.extend_from_slice(&body);
}

impl Stream for Cursor<Vec<u8>> {}

#[derive(Default, Clone)]
struct Sink(Arc<Lock<Vec<u8>>>);

impl crate::source::Sink for Sink {}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
