use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use wire::RequestHead;

use crate::block_on::block_on;
use crate::call::{Call, Function, Shared, path};
use crate::convert::{Conversion, Convert, Source as ConvertSource};
use crate::error::{Error, Result};
use crate::extract::{Config, State};
use crate::handler::{Handler, Within};
use crate::index;
use crate::layers::{CatchPanic, Layer, Next};
use crate::offload::{Here, Thread, Watch};
use crate::response::{After, Response};
use crate::route::{Fit, Route};
use crate::run::{self, ReadOn};
use crate::term::{Leave, Watched};
use crate::testing::TestApp;
use crate::time;

/// The server waits about as long before it kills the container.
const SHUTDOWN: Duration = Duration::from_secs(1);

type Local<T> = Pin<Box<dyn Future<Output = T>>>;
type Made = (TypeId, Arc<dyn Any + Send + Sync>);
type Startup = Box<dyn FnOnce(Config) -> Local<Result<Made>>>;
type Shutdown = Box<dyn FnOnce(&Shared) -> Result<Local<Result<()>>> + Send>;

/// Several functions in one program, with what they share.
///
/// ```no_run
/// use std::sync::Mutex;
///
/// use fdk::{App, Json, Path, State, StatusCode, http};
///
/// type Shelf = Mutex<Vec<String>>;
///
/// fn add(State(shelf): State<Shelf>, Json(item): Json<String>) -> StatusCode {
///     shelf.lock().unwrap().push(item);
///     StatusCode::CREATED
/// }
///
/// async fn show(Path(index): Path<usize>, shelf: State<Shelf>) -> fdk::Result<String> {
///     let item = shelf.lock().unwrap().get(index).cloned();
///     item.ok_or_else(|| fdk::Error::public(StatusCode::NOT_FOUND, "no such item"))
/// }
///
/// fn main() -> fdk::Result<()> {
///     App::new()
///         .startup(|_| async { fdk::Ok(Shelf::default()) })
///         .function("add", http::post("/items"), add)
///         .function("show", http::get("/items/{index:int}"), show)
///         .run_blocking()
/// }
/// ```
///
/// The server asks the program which functions it has when it is deployed with `indexing: true` in
/// func.yaml. Each container then serves one of them, whose name it is told.
#[derive(Default)]
pub struct App {
    pub(crate) functions: Vec<Entry>,
    layers: Vec<Box<dyn Layer>>,
    shared: Shared,
    startups: Vec<Startup>,
    shutdowns: Vec<Shutdown>,
    /// Who ends the process, where there is something to do then.
    pub(crate) watch: Option<Watch>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.functions.iter().map(|entry| &entry.function.name);
        f.debug_list().entries(names).finish()
    }
}

/// One function of an app.
pub(crate) struct Entry {
    pub(crate) function: Arc<Function>,
    pub(crate) route: Route,
    /// How its body is read as it comes, if it is. Known by who needs it only: a program without
    /// such functions is smaller.
    pub(crate) read_on: Option<ReadOn>,
    next: Next,
}

impl App {
    /// An app without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function. Its name is what the server knows it by, so no other may have it.
    #[must_use]
    pub fn function<H, Marker>(mut self, name: impl Into<String>, route: Route, handler: H) -> Self
    where
        H: Handler<Marker>,
    {
        let handler = Rc::new(RefCell::new(handler));
        // Borrowed for the arguments only, and not while the answer is waited for.
        let next = Next::new(move |call| handler.borrow_mut().call(call, Within));
        let function = Function {
            name: name.into(),
            bound: route.bound.clone(),
        };
        self.functions.push(Entry {
            function: Arc::new(function),
            route,
            read_on: if H::STREAMS { Some(run::READ_ON) } else { None },
            next,
        });
        self
    }

    /// Puts a layer around all functions; the first one is the outermost.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// Shares a value with all calls: see [`State`].
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        let state = Arc::new(value);
        self.shared.states.insert(TypeId::of::<T>(), state);
        self
    }

    /// Makes a value before the first call, once per container: a connection to a database, say.
    /// Calls find it as [`State`].
    ///
    /// While it runs the container is starting. If it fails, the process ends, and callers are told
    /// that the function did not start; and why, if that is an error [for them](Error::public).
    #[must_use]
    pub fn startup<F, R, T, E>(mut self, make: F) -> Self
    where
        F: FnOnce(Config) -> R + 'static,
        R: Future<Output = Result<T, E>> + 'static,
        T: Send + Sync + 'static,
        E: Into<Error>,
    {
        self.startups.push(Box::new(|config| {
            let made = make(config);
            Box::pin(async move {
                let value = made.await.map_err(Into::into)?;
                let state: Arc<dyn Any + Send + Sync> = Arc::new(value);
                Ok((TypeId::of::<T>(), state))
            })
        }));
        self
    }

    /// Runs when the server is done with the container: when it closes the container's stdin, or at
    /// SIGTERM, once the call in flight is answered. Each has a second: who stops a container does not
    /// wait for long.
    ///
    /// With [`run_blocking`](Self::run_blocking), SIGTERM makes it run on a thread of the FDK's where
    /// no call is in flight: the one that serves sleeps in a read.
    ///
    /// ```no_run
    /// use fdk::{App, State, http};
    ///
    /// struct Db;
    ///
    /// impl Db {
    ///     async fn close(&self) -> std::io::Result<()> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn main() -> fdk::Result<()> {
    ///     App::new()
    ///         .startup(|_| async { fdk::Ok(Db) })
    ///         .shutdown(|db: State<Db>| async move { db.close().await })
    ///         .function("count", http::get("/count"), |_: State<Db>| "1")
    ///         .run_blocking()
    /// }
    /// ```
    #[must_use]
    pub fn shutdown<F, R, T, E>(mut self, end: F) -> Self
    where
        F: FnOnce(State<T>) -> R + Send + 'static,
        R: Future<Output = Result<(), E>> + 'static,
        T: Send + Sync + 'static,
        E: Into<Error>,
    {
        self.watch = Some(|| Ok(Box::new(Watched::watch(Leave::Exit)?)));
        self.shutdowns.push(Box::new(|shared| {
            let ended = end(State::find(shared)?);
            Ok(Box::pin(async move {
                let ended = time::within(SHUTDOWN, ended).await;
                let late = || Error::msg("shutdown took longer than a second");
                ended.ok_or_else(late)?.map_err(Into::into)
            }))
        }));
        self
    }

    /// Adds a converter for [`Bind`](crate::Bind) arguments of type `T`.
    #[must_use]
    pub fn converter<T, F>(mut self, converter: F) -> Self
    where
        T: Convert + DeserializeOwned + 'static,
        F: Fn(&ConvertSource<'_>) -> Conversion<T> + Send + Sync + 'static,
    {
        self.shared.converters.add(converter);
        self
    }

    /// What the program answers a server that asks which functions it has.
    pub fn index(&self) -> serde_json::Value {
        serde_json::to_value(index::document(self)).unwrap_or_default()
    }

    /// The app for tests: calls without a server.
    pub fn test(self) -> TestApp {
        TestApp::new(self)
    }

    /// Serves calls until the server is done with this process.
    ///
    /// The thread sleeps while there is no call, and futures are polled on it. Functions that need
    /// a runtime, such as those that use tokio, want [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As for [`fdk::run`](crate::run()); or startup failed, or two functions have one name.
    pub fn run_blocking(self) -> Result<()> {
        block_on(run::main(self, Here))
    }

    /// As [`run_blocking`](Self::run_blocking), within any runtime: calls are waited for on another
    /// thread, and so are slow readers of long answers, so that the runtime's own tasks go on
    /// meanwhile.
    ///
    /// ```no_run
    /// # use fdk::{App, http};
    /// #[tokio::main(flavor = "current_thread")]
    /// async fn main() -> fdk::Result<()> {
    ///     let later = || async {
    ///         tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    ///         "later"
    ///     };
    ///     App::new().function("later", http::any("/later"), later).run().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run_blocking`](Self::run_blocking).
    pub async fn run(self) -> Result<()> {
        run::main(self, Thread::start()?).await
    }

    /// What is wrong with the functions themselves.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (at, entry) in self.functions.iter().enumerate() {
            let name = &entry.function.name;
            let before = &self.functions[..at];
            if before
                .iter()
                .any(|other| other.function.name.eq_ignore_ascii_case(name))
            {
                wrong.push((name.clone(), "another function has this name".to_owned()));
            }
            if entry.route.closed {
                wrong.push((name.clone(), "its route has no method".to_owned()));
            }
        }
        wrong
    }

    /// The app ready for calls. Startup is left out where it only has to say what it is.
    pub(crate) async fn ready(mut self, with_startup: bool) -> Result<Ready> {
        let wrong = self.check();
        if let Some((name, what)) = wrong.first() {
            return Err(Error::msg(format!("function {name:?}: {what}")));
        }
        let index = (!with_startup).then(|| index::document(&self).response());
        if with_startup {
            for startup in std::mem::take(&mut self.startups) {
                let (kind, state) = startup(Config::new())
                    .await
                    .map_err(|error| not_started(&error))?;
                self.shared.states.insert(kind, state);
            }
        }
        let layers = self.layers;
        let functions = self.functions.into_iter().map(|mut entry| {
            let wrapped = layers
                .iter()
                .rev()
                .fold(entry.next, |next, layer| layer.wrap(next));
            let caught = CatchPanic.wrap(wrapped);
            #[cfg(feature = "tracing")]
            let caught = crate::log::scoped(caught);
            entry.next = caught;
            entry
        });
        Ok(Ready {
            functions: functions.collect(),
            shared: Arc::new(self.shared),
            // What was not made cannot be let go.
            shutdowns: Cell::new(if with_startup {
                self.shutdowns
            } else {
                Vec::new()
            }),
            index: RefCell::new(index),
            over: Cell::new(false),
        })
    }
}

/// What callers may know goes to the log in words by which a server tells it from the rest.
fn not_started(error: &Error) -> Error {
    if error.problem().is_some() {
        let line = error.to_string().replace(['\r', '\n'], " ");
        let _ = writeln!(std::io::stderr(), "fn-error: init-failed: {line}");
    }
    Error::msg(format!("startup failed: {error}"))
}

/// An app that has started.
pub(crate) struct Ready {
    functions: Vec<Entry>,
    shared: Arc<Shared>,
    shutdowns: Cell<Vec<Shutdown>>,
    /// What it tells of itself, where that is what it was started for.
    index: RefCell<Option<Response>>,
    over: Cell<bool>,
}

/// Which function a call is for.
pub(crate) struct Match<'a> {
    entry: &'a Entry,
    params: Vec<(String, String)>,
}

impl Match<'_> {
    pub(crate) fn read_on(&self) -> Option<ReadOn> {
        self.entry.read_on
    }
}

impl Ready {
    /// The function that the server `named`, or the only one there is. Where no server has chosen,
    /// the one whose route fits.
    pub(crate) fn find(
        &self,
        head: &RequestHead,
        named: Option<&str>,
        chosen: bool,
    ) -> Result<Match<'_>, Box<Response>> {
        let named_here = |name| self.functions.iter().find(|f| f.function.name == name);
        let entry = named.and_then(named_here);
        // func.yaml may call it otherwise.
        let only = match &self.functions[..] {
            [only] if chosen || named.is_some() || only.route.pattern.is_empty() => Some(only),
            _ => None,
        };
        // Most calls need none of it.
        let path = || path(&head.headers, &head.target);
        if let Some(entry) = entry.or(only) {
            let route = &entry.route;
            let fit = route.has_params().then(|| fit(route, path()));
            return Ok(Match {
                entry,
                params: fit.flatten().unwrap_or_default().params,
            });
        }
        if let Some(name) = named {
            let message = format!("this image has no function {name:?}");
            let response = Response::error(StatusCode::NOT_FOUND, &message);
            let response = response.header("fn-error", "unknown-function");
            return Err(Box::new(response));
        }
        self.by_route(&head.method, path())
    }

    fn by_route(&self, method: &Method, path: &str) -> Result<Match<'_>, Box<Response>> {
        let (taken, refused): (Vec<_>, Vec<_>) = self
            .functions
            .iter()
            .filter_map(|entry| fit(&entry.route, path).map(|fit| (entry, fit)))
            .partition(|(entry, _)| entry.route.takes(method));
        if let Some((entry, fit)) = taken.into_iter().min_by(|a, b| a.1.ranks.cmp(&b.1.ranks)) {
            return Ok(Match {
                entry,
                params: fit.params,
            });
        }
        if refused.is_empty() {
            let message = format!("no function for {path}");
            let response = Response::error(StatusCode::NOT_FOUND, &message);
            return Err(Box::new(response));
        }
        let mut allowed = Vec::new();
        for method in refused.iter().flat_map(|(entry, _)| &entry.route.methods) {
            if !allowed.contains(&method.as_str()) {
                allowed.push(method.as_str());
            }
        }
        let message = format!("{method} is not allowed for {path}");
        let response = Response::error(StatusCode::METHOD_NOT_ALLOWED, &message);
        Err(Box::new(response.header("allow", allowed.join(", "))))
    }

    /// The call as one of the function's, and what answers it.
    pub(crate) fn bind(&self, found: Match<'_>, call: Call) -> (Call, Next) {
        let Match { entry, params } = found;
        let call = call.of(&self.shared, &entry.function, params);
        (call, entry.next.clone())
    }

    /// The function's answer.
    pub(crate) async fn answer(&self, (call, next): (Call, Next)) -> Response {
        let response = next.run(call).await;
        self.over.set(response.after == After::Ends);
        response
    }

    /// What it tells of itself, once, and only where a call with `headers` asks for it.
    pub(crate) fn take_index(&self, headers: &HeaderMap) -> Option<Response> {
        let mut index = self.index.borrow_mut();
        index.take_if(|_| index::is_asked(headers))
    }

    /// Whether the last answer was the last one of all.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// What is to be done once nothing is served any more.
    pub(crate) fn ending(&self) -> Ending {
        Ending {
            shutdowns: self.shutdowns.take(),
            shared: self.shared.clone(),
        }
    }
}

/// How the functions' state is let go.
#[derive(Default)]
pub(crate) struct Ending {
    shutdowns: Vec<Shutdown>,
    shared: Arc<Shared>,
}

impl Ending {
    pub(crate) async fn run(self) -> Result<()> {
        let mut ended = Ok(());
        for shutdown in self.shutdowns {
            let one = match shutdown(&self.shared) {
                Ok(end) => end.await,
                Err(error) => Err(error),
            };
            ended = ended.and(one);
        }
        ended
    }
}

fn fit(route: &Route, path: &str) -> Option<Fit> {
    let own = own_path(path);
    route.matches(own).or_else(|| route.matches(path))
}

/// The path behind what the server puts before it: `/t/<app>` or `/r/<app>`.
fn own_path(path: &str) -> &str {
    let rest = path
        .strip_prefix("/t/")
        .or_else(|| path.strip_prefix("/r/"));
    let Some(rest) = rest else { return path };
    rest.find('/').map_or("/", |start| &rest[start..])
}
