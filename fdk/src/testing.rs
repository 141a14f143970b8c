//! Tests of functions without a server: see [`TestApp`] and [`App::test`].

use std::cell::RefCell;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::{App, Ready};
use crate::block_on::block_on;
use crate::body::Body;
use crate::call::Call;
use crate::error::Result;
use crate::response::{Content, Framing, IntoResponse, Response};
use crate::source::head;
use crate::stream::preferred;
use crate::sync::Lock;

/// An app that is called by tests.
///
/// ```
/// use fdk::{App, Path, http};
///
/// fn app() -> App {
///     App::new().function("double", http::get("/double/{n:int}"), |Path(n): Path<i64>| {
///         (2 * n).to_string()
///     })
/// }
///
/// let app = app().test();
/// app.get("/double/4").wait().assert_text("8");
/// assert_eq!(app.get("/double/x").wait().status(), 404);
/// ```
///
/// In an async test, `.await` instead of `.wait()` leaves the thread to the runtime's other tasks.
/// Startup runs before the first call.
#[derive(Clone)]
pub struct TestApp {
    app: Rc<RefCell<Stage>>,
    index: Rc<serde_json::Value>,
}

type Starting = Pin<Box<dyn Future<Output = Result<Ready>>>>;

enum Stage {
    /// Polled by every call that waits for it.
    Starting(Starting, Arc<Waiting>),
    Ready(Rc<Ready>),
    Failed(String),
}

/// All who wait for the startup: whoever polled it last may have been given up.
#[derive(Default)]
struct Waiting(Lock<Vec<Waker>>);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let wakers = std::mem::take(&mut *self.0.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl std::fmt::Debug for TestApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestApp").finish_non_exhaustive()
    }
}

impl TestApp {
    pub(crate) fn new(app: App) -> Self {
        Self {
            index: Rc::new(app.index()),
            app: Rc::new(RefCell::new(Stage::Starting(
                Box::pin(app.ready(true)),
                Arc::default(),
            ))),
        }
    }

    /// What the program answers a server that asks which functions it has.
    pub fn index(&self) -> &serde_json::Value {
        &self.index
    }

    /// A GET of this path and query.
    pub fn get(&self, target: &str) -> TestCall {
        self.call(Method::GET, target)
    }

    /// A POST to this path and query.
    pub fn post(&self, target: &str) -> TestCall {
        self.call(Method::POST, target)
    }

    /// A call of this path and query by any method.
    pub fn call(&self, method: Method, target: &str) -> TestCall {
        TestCall {
            app: self.clone(),
            method,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            function: None,
        }
    }

    async fn ready(&self) -> Rc<Ready> {
        poll_fn(|cx| {
            let mut stage = self.app.borrow_mut();
            if let Stage::Starting(starting, waiting) = &mut *stage {
                waiting.0.lock().push(cx.waker().clone());
                let waker = Waker::from(waiting.clone());
                let polled = starting.as_mut().poll(&mut Context::from_waker(&waker));
                *stage = match polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(ready)) => Stage::Ready(Rc::new(ready)),
                    Poll::Ready(Err(error)) => Stage::Failed(error.to_string()),
                };
                waker.wake();
            }
            match &*stage {
                Stage::Ready(ready) => Poll::Ready(ready.clone()),
                Stage::Failed(error) => panic!("the app does not start: {error}"),
                Stage::Starting(..) => Poll::Pending,
            }
        })
        .await
    }
}

/// A call that a test is about to make: `.await` it, or [`wait`](Self::wait) for it.
///
/// ```
/// use fdk::{App, Call, Json, http};
///
/// let echo = |Json(text): Json<String>, call: Call| {
///     format!("{text} from {}", call.header("x-user").unwrap_or("nobody"))
/// };
/// let app = App::new().function("echo", http::post("/echo"), echo).test();
/// let call = app.post("/elsewhere").function("echo").header("x-user", "Ann");
/// call.json(&"hi").wait().assert_text("hi from Ann");
/// ```
#[derive(Debug)]
#[must_use = "nothing is called before the call is awaited"]
pub struct TestCall {
    app: TestApp,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    function: Option<String>,
}

impl TestCall {
    /// Adds a header.
    ///
    /// # Panics
    ///
    /// HTTP cannot carry it.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.append(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a body in JSON.
    ///
    /// # Panics
    ///
    /// The value has no JSON.
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("a value that JSON can hold");
        self.header("content-type", "application/json").body(body)
    }

    /// Asks for this function, whatever the path; as servers do.
    pub fn function(mut self, name: &str) -> Self {
        self.function = Some(name.to_owned());
        self
    }

    /// Makes the call on this thread.
    pub fn wait(self) -> TestResponse {
        block_on(self.make())
    }

    async fn make(self) -> TestResponse {
        let app = self.app.ready().await;
        let framing = preferred(&self.headers);
        let head = head(self.method, self.target, self.headers);
        let found = app.find(&head, self.function.as_deref(), false);
        let response = match found {
            Ok(found) => {
                let streams = found.read_on().is_some();
                let mut call = Call::new(head, self.body.clone());
                if streams {
                    call = call.streaming(Body::of(self.body));
                }
                app.answer(app.bind(found, call)).await
            }
            Err(response) => *response,
        };
        TestResponse::of(response, framing).await
    }
}

impl IntoFuture for TestCall {
    type Output = TestResponse;
    type IntoFuture = Pin<Box<dyn Future<Output = TestResponse>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

/// An answer, all of it.
///
/// ```
/// use fdk::{App, Error, Json, http};
///
/// let app = App::new()
///     .function("list", http::get("/list"), || Json([1, 2]))
///     .function("fails", http::get("/fails"), || Err::<(), _>(Error::msg("no database")))
///     .test();
/// let list = app.get("/list").wait();
/// assert_eq!(list.header("content-type"), Some("application/json"));
/// assert_eq!((list.json::<Vec<u8>>(), list.text()), (vec![1, 2], "[1,2]"));
/// let failed = app.get("/fails").wait();
/// assert_eq!((failed.status().as_u16(), failed.fault()), (500, Some("no database")));
/// ```
#[derive(Debug)]
pub struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    fault: Option<String>,
}

impl TestResponse {
    async fn of(response: Response, framing: Framing) -> Self {
        let Response {
            status,
            headers,
            body,
            fault,
            ..
        } = response;
        let body = match body {
            Content::Whole(body) => Ok(body),
            Content::Stream(mut pieces) => collect(poll_pieces(&mut pieces).await, |all, piece| {
                all.extend_from_slice(piece)
            }),
            Content::Items(mut pieces, own) => {
                let pieces = poll_pieces(&mut pieces).await;
                match own.unwrap_or(framing) {
                    Framing::Lines => collect(pieces, |all, piece| {
                        all.extend_from_slice(piece);
                        all.extend_from_slice(b"\n");
                    }),
                    Framing::Array => pieces.map(|pieces| {
                        let texts: Vec<_> =
                            pieces.iter().map(|p| String::from_utf8_lossy(p)).collect();
                        Bytes::from(format!("[{}]", texts.join(",")))
                    }),
                }
            }
        };
        match body {
            Ok(body) => Self {
                status,
                headers,
                body,
                fault,
            },
            Err(error) => {
                let Response {
                    status,
                    headers,
                    body,
                    fault,
                    ..
                } = error.into_response();
                Self {
                    status,
                    headers,
                    body: body.whole().unwrap_or_default(),
                    fault,
                }
            }
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers, but for those that frame the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first header of this name, if it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// It is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// It is not that JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the JSON that is asked for")
    }

    /// What the log is told of an error that its caller is not told.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Checks that the call succeeded with this text.
    ///
    /// # Panics
    ///
    /// It did not.
    #[track_caller]
    pub fn assert_text(&self, expected: &str) {
        assert_eq!(
            (self.status, self.text()),
            (StatusCode::OK, expected),
            "{self:?}"
        );
    }
}

type Pieces = Pin<Box<dyn futures_core::Stream<Item = Result<Bytes>> + Send>>;

async fn poll_pieces(pieces: &mut Pieces) -> Result<Vec<Bytes>> {
    let mut all = Vec::new();
    while let Some(piece) = poll_fn(|cx| pieces.as_mut().poll_next(cx)).await {
        all.push(piece?);
    }
    Ok(all)
}

fn collect(pieces: Result<Vec<Bytes>>, put: impl Fn(&mut BytesMut, &[u8])) -> Result<Bytes> {
    let mut all = BytesMut::new();
    for piece in pieces? {
        put(&mut all, &piece);
    }
    Ok(all.freeze())
}
