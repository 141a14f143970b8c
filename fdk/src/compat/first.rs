//! The generation of 2017.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::context::RuntimeContext;
use super::error::FunctionError;
use super::hyper::{Body, Request, Response, StatusCode, header};
use super::unframe;
use crate::app::App;
use crate::block_on::block_on;
use crate::call::Call;
use crate::error::Result as FdkResult;
use crate::offload::Here;
use crate::response::{After, Response as Answer};
use crate::run::{describe, serve, source};
use crate::source::Source;
use crate::term::{Flags, Term};
use crate::{index, route};

/// What a call is made of for functions of 0.1. Implement it for types of your own.
///
/// ```
/// use fdk::compat::hyper::Request;
/// use fdk::{FunctionError, InputCoercible};
///
/// struct Words(usize);
///
/// impl InputCoercible for Words {
///     fn try_decode(request: Request) -> Result<Self, FunctionError> {
///         let text = String::try_decode(request)?;
///         Ok(Self(text.split_whitespace().count()))
///     }
/// }
/// ```
pub trait InputCoercible: Sized {
    /// Makes it of a request.
    ///
    /// # Errors
    ///
    /// The request does not say it.
    fn try_decode(request: Request) -> Result<Self, FunctionError>;
}

/// What functions of 0.1 answer with. Implement it for types of your own.
///
/// ```
/// use fdk::compat::hyper::Response;
/// use fdk::{FunctionError, OutputCoercible};
///
/// struct Count(usize);
///
/// impl OutputCoercible for Count {
///     fn try_encode(self) -> Result<Response, FunctionError> {
///         Ok(fdk::success(self.0.to_string()))
///     }
/// }
/// ```
pub trait OutputCoercible {
    /// Makes a response of it.
    ///
    /// # Errors
    ///
    /// There is none for this value.
    fn try_encode(self) -> Result<Response, FunctionError>;
}

impl InputCoercible for Request {
    fn try_decode(request: Request) -> Result<Self, FunctionError> {
        Ok(request)
    }
}

impl OutputCoercible for Response {
    fn try_encode(self) -> Result<Response, FunctionError> {
        Ok(self)
    }
}

/// Whatever the request says.
impl InputCoercible for () {
    fn try_decode(_: Request) -> Result<(), FunctionError> {
        Ok(())
    }
}

/// 204
impl OutputCoercible for () {
    fn try_encode(self) -> Result<Response, FunctionError> {
        Ok(no_content())
    }
}

impl InputCoercible for Vec<u8> {
    fn try_decode(request: Request) -> Result<Self, FunctionError> {
        body_as_bytes(request.body())
    }
}

impl OutputCoercible for Vec<u8> {
    fn try_encode(self) -> Result<Response, FunctionError> {
        Ok(success(self))
    }
}

impl InputCoercible for String {
    fn try_decode(request: Request) -> Result<Self, FunctionError> {
        let body = body_as_bytes(request.body())?;
        Self::from_utf8(body).map_err(FunctionError::invalid_input)
    }
}

impl OutputCoercible for String {
    fn try_encode(self) -> Result<Response, FunctionError> {
        Ok(success(self))
    }
}

impl InputCoercible for serde_json::Value {
    fn try_decode(request: Request) -> Result<Self, FunctionError> {
        let body = body_as_bytes(request.body())?;
        serde_json::from_slice(&body).map_err(FunctionError::invalid_input)
    }
}

impl OutputCoercible for serde_json::Value {
    fn try_encode(self) -> Result<Response, FunctionError> {
        Ok(success(self.to_string()).with_header(header::ContentType::json()))
    }
}

/// A body's bytes.
///
/// # Errors
///
/// None any more: the body has been read when the function is called.
///
/// See [`FunctionTestbench`](crate::FunctionTestbench) for an example.
pub fn body_as_bytes(body: Body) -> Result<Vec<u8>, FunctionError> {
    Ok(body.into_bytes().into())
}

/// 200 with this body.
///
/// ```
/// use fdk::compat::hyper::StatusCode;
///
/// assert_eq!(fdk::success("done").status(), StatusCode::Ok);
/// assert_eq!(fdk::client_error("what?").status(), StatusCode::BadRequest);
/// assert_eq!(fdk::server_error("oh").status(), StatusCode::InternalServerError);
/// assert_eq!(fdk::no_content().status(), StatusCode::NoContent);
/// ```
pub fn success<T: Into<Vec<u8>>>(data: T) -> Response {
    with(StatusCode::Ok, data)
}

/// 400 with this body.
///
/// As [`success`] shows.
pub fn client_error<T: Into<Vec<u8>>>(data: T) -> Response {
    with(StatusCode::BadRequest, data)
}

/// 500 with this body. The function ends behind it.
///
/// As [`success`] shows.
pub fn server_error<T: Into<Vec<u8>>>(data: T) -> Response {
    with(StatusCode::InternalServerError, data)
}

/// 204
///
/// As [`success`] shows.
pub fn no_content() -> Response {
    Response::new().with_status(StatusCode::NoContent)
}

fn with<T: Into<Vec<u8>>>(status: StatusCode, data: T) -> Response {
    let data = data.into();
    Response::new()
        .with_status(status)
        .with_header(header::ContentLength(data.len() as u64))
        .with_body(data)
}

impl From<FunctionError> for Response {
    fn from(error: FunctionError) -> Self {
        if error.is_user_error() {
            client_error(error.to_string())
        } else {
            server_error(error.to_string())
        }
    }
}

fn stateless(_: &RuntimeContext) -> Result<(), FunctionError> {
    Ok(())
}

/// The initializer of functions that keep nothing between calls.
///
/// See [the module](crate::compat) for an example.
pub const STATELESS: fn(&RuntimeContext) -> Result<(), FunctionError> = stateless;

pub(crate) type Initializer<S> = fn(&RuntimeContext) -> Result<S, FunctionError>;

/// A function of 0.1 that can be run: what [`Function::new`](super::Function::new) makes.
///
/// See [the module](crate::compat) for an example.
pub struct Runner<S> {
    initializer: Initializer<S>,
}

impl<S> fmt::Debug for Runner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runner")
    }
}

impl<S> Runner<S> {
    pub(crate) fn new(initializer: Initializer<S>) -> Self {
        Self { initializer }
    }

    /// Makes the state, then answers calls until there are no more. Without `FN_FORMAT` there is
    /// one, as in format default.
    ///
    /// Returns what the process is to exit with: 0; 1 if the last call was answered with a status
    /// from 400 to 499; 2 if with one from 500 on, which ends the function, or if it did not start.
    pub fn run<T, U>(
        &self,
        handler: impl FnMut(&mut S, T) -> Result<U, FunctionError> + 'static,
    ) -> i32
    where
        S: 'static,
        T: InputCoercible + 'static,
        U: OutputCoercible + 'static,
    {
        let run = || {
            let source = source("default")?;
            let term = Flags::watch()?;
            if index::is_all() {
                // What the state needs may not be there where nothing is to be called.
                let state = Err(FunctionError::other("started to tell its functions"));
                return Session::new(state)
                    .serve(source, handler, &*term)
                    .map(|_| 0);
            }
            let state = (self.initializer)(&RuntimeContext::of_process());
            if let Err(error) = &state {
                tell(&format!("the function did not start: {error}"));
            }
            Session::new(state).serve(source, handler, &*term)
        };
        run().unwrap_or_else(|error| {
            tell(&error.to_string());
            FAILED
        })
    }
}

/// Stderr is the log; if nobody reads it there is nobody to tell.
fn tell(message: &str) {
    let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
}

const FAILED: i32 = 2;

/// A function that runs.
pub(crate) struct Session<S> {
    state: Result<S, FunctionError>,
    status: Rc<Cell<i32>>,
    /// What it has answered, where somebody wants to know.
    seen: Option<Rc<RefCell<Vec<Response>>>>,
}

impl<S: 'static> Session<S> {
    pub(crate) fn new(state: Result<S, FunctionError>) -> Self {
        let status = if state.is_err() { FAILED } else { 0 };
        Self {
            state,
            status: Rc::new(Cell::new(status)),
            seen: None,
        }
    }

    pub(crate) fn seen_by(mut self, seen: &Rc<RefCell<Vec<Response>>>) -> Self {
        self.seen = Some(seen.clone());
        self
    }

    /// Answers calls until there are no more; what the process is to exit with.
    pub(crate) fn serve<T, U>(
        mut self,
        source: Source,
        mut handler: impl FnMut(&mut S, T) -> Result<U, FunctionError> + 'static,
        term: &dyn Term,
    ) -> FdkResult<i32>
    where
        T: InputCoercible + 'static,
        U: OutputCoercible + 'static,
    {
        let status = self.status.clone();
        let name = std::env::var("FN_FN_NAME").unwrap_or_else(|_| "function".to_owned());
        let app = App::new().function(name, route::any(""), move |call: Call| {
            self.answer(&mut handler, &call)
        });
        block_on(async {
            let app = app.ready(false).await?;
            serve(app, source, Here, term).await
        })?;
        Ok(status.get())
    }

    fn answer<T, U>(
        &mut self,
        handler: &mut impl FnMut(&mut S, T) -> Result<U, FunctionError>,
        call: &Call,
    ) -> Answer
    where
        T: InputCoercible,
        U: OutputCoercible,
    {
        let started = self.state.is_ok();
        let mut fault = None;
        let answered = match &mut self.state {
            Err(error) => Err(error.clone()),
            Ok(state) => catch_unwind(AssertUnwindSafe(|| {
                let input = T::try_decode(Request::of(call))?;
                handler(state, input)?.try_encode()
            }))
            .unwrap_or_else(|panic| {
                fault = Some(describe(&*panic));
                Err(FunctionError::other("internal server error"))
            }),
        };
        let response = answered.unwrap_or_else(Response::from);
        if let Some(seen) = &self.seen {
            seen.borrow_mut().push(response.clone());
        }
        let (status, mut headers, body) = response.into_parts();
        unframe(&mut headers);
        let failed = status.is_server_error() || !started;
        self.status.set(match status {
            _ if failed => FAILED,
            status if status.is_client_error() => 1,
            _ => 0,
        });
        let mut answer = Answer::of_parts(status, headers, body);
        answer.fault = fault;
        if failed {
            answer.after = After::Ends;
        }
        answer
    }
}
