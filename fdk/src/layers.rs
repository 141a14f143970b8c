//! What goes around every call.
//!
//! ```
//! use fdk::{App, Response, StatusCode, http, layers};
//!
//! let app = App::new()
//!     .layer(layers::from_fn(|call, next| async move {
//!         if call.header("x-api-key").is_none() {
//!             return Response::new(StatusCode::UNAUTHORIZED);
//!         }
//!         next.run(call).await
//!     }))
//!     .layer(layers::AccessLog::new())
//!     .function("hello", http::get("/hello"), || "hello");
//! ```
//!
//! The first layer added is the outermost. A layer may answer by itself, change the answer, or run
//! the rest more than once.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::call::Call;
use crate::handler::Answer;
use crate::log::Line;
use crate::response::Response;
use crate::run::describe;
use crate::time::sleep_until;

/// What is inside of a layer: the layers after it, and the function. See
/// [the module](crate::layers) for an example.
#[derive(Clone)]
pub struct Next(Rc<dyn Fn(Call) -> Answer>);

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

impl Next {
    pub(crate) fn new(call: impl Fn(Call) -> Answer + 'static) -> Self {
        Self(Rc::new(call))
    }

    /// Answers the call.
    pub async fn run(&self, call: Call) -> Response {
        (self.0)(call).await
    }

    pub(crate) fn call(&self, call: Call) -> Answer {
        (self.0)(call)
    }
}

/// What goes around calls. [`from_fn`] makes one of a function, which is enough for most.
///
/// ```
/// use fdk::layers::{self, Layer, Next};
/// use fdk::{App, Call, http};
///
/// /// Says which version answers.
/// struct Version(&'static str);
///
/// impl Layer for Version {
///     fn wrap(&self, next: Next) -> Next {
///         let version = self.0;
///         layers::from_fn(move |call: Call, next: Next| async move {
///             next.run(call).await.header("x-version", version)
///         })
///         .wrap(next)
///     }
/// }
///
/// let app = App::new().layer(Version("7")).function("f", http::any("/"), || "ok").test();
/// assert_eq!(app.get("/").wait().header("x-version"), Some("7"));
/// ```
pub trait Layer {
    /// `next` with this around it. Asked once for each function.
    fn wrap(&self, next: Next) -> Next;
}

/// A layer made of a function: what [`from_fn`] gives.
pub struct FromFn<F>(Rc<F>);

impl<F> Clone for FromFn<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

/// Makes a layer of an async function of a call and what is inside, as in
/// [the example](crate::layers).
pub fn from_fn<F, R>(layer: F) -> FromFn<F>
where
    F: Fn(Call, Next) -> R + 'static,
    R: Future<Output = Response> + 'static,
{
    FromFn(Rc::new(layer))
}

impl<F, R> Layer for FromFn<F>
where
    F: Fn(Call, Next) -> R + 'static,
    R: Future<Output = Response> + 'static,
{
    fn wrap(&self, next: Next) -> Next {
        let layer = self.0.clone();
        Next::new(move |call| Box::pin(layer(call, next.clone())))
    }
}

/// Writes a line for each call to the log: method, path, status, how long it took, and its ids. As
/// in [the example](crate::layers).
#[derive(Debug, Clone, Default)]
pub struct AccessLog(());

impl AccessLog {
    /// A layer that writes all of it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Layer for AccessLog {
    fn wrap(&self, next: Next) -> Next {
        let logged = from_fn(async |call: Call, next: Next| {
            let began = Instant::now();
            let response = next.run(call.clone()).await;
            let mut line = Line::new("INFO", call.id(), call.trace_id());
            line.field("function", &call.function());
            line.field("method", call.method());
            line.field("path", &call.path());
            line.field("status", &response.status().as_u16());
            line.field("micros", &began.elapsed().as_micros());
            line.write();
            response
        });
        logged.wrap(next)
    }
}

/// Answers 504 shortly before the call's deadline, where the server would kill the container.
///
/// It can do so only while the function waits: one that computes without a pause is not
/// interrupted.
///
/// ```
/// use std::time::Duration;
///
/// use fdk::layers::Timeout;
/// use fdk::{App, http};
///
/// let stuck = async || std::future::pending::<()>().await;
/// let app = App::new()
///     .layer(Timeout::before(Duration::from_millis(50)))
///     .function("stuck", http::any("/"), stuck)
///     .test();
/// let late = app.get("/").header("fn_deadline", "2018-06-01T10:00:30Z").wait();
/// assert_eq!(late.status(), 504);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Timeout {
    margin: Duration,
}

impl Timeout {
    /// So long before the deadline.
    pub const fn before(margin: Duration) -> Self {
        Self { margin }
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self::before(Duration::from_millis(100))
    }
}

impl Layer for Timeout {
    fn wrap(&self, next: Next) -> Next {
        let margin = self.margin;
        Next::new(move |call| {
            let left = call.remaining();
            let left = left.map(|left| left.saturating_sub(margin));
            let Some(until) = left.and_then(|left| Instant::now().checked_add(left)) else {
                return next.call(call);
            };
            let mut answer = next.call(call);
            Box::pin(async move {
                let mut over = pin!(sleep_until(until));
                poll_fn(|cx| match answer.as_mut().poll(cx) {
                    Poll::Ready(response) => Poll::Ready(response),
                    Poll::Pending => over.as_mut().poll(cx).map(|()| {
                        Response::error(StatusCode::GATEWAY_TIMEOUT, "the function took too long")
                    }),
                })
                .await
            })
        })
    }
}

/// Answers 500 where what is inside panics. Every [`App`](crate::App) has one around all; another
/// one lets layers outside of it see that answer.
///
/// ```
/// use fdk::{App, http};
///
/// let app = App::new().function("falls", http::any("/"), || -> String { panic!("oh") }).test();
/// let answer = app.get("/").wait();
/// assert_eq!(answer.status(), 500);
/// assert_eq!(answer.fault(), Some("the function panicked: oh"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CatchPanic;

impl Layer for CatchPanic {
    fn wrap(&self, next: Next) -> Next {
        Next::new(move |call| {
            // The function may have been left in the middle of a change. That is its author's to
            // prevent; a cold start for every panic would cost the callers behind it.
            let mut answer = match catch_unwind(AssertUnwindSafe(|| next.call(call))) {
                Ok(answer) => answer,
                Err(panic) => {
                    return Box::pin(std::future::ready(Response::failure(describe(&*panic))));
                }
            };
            Box::pin(poll_fn(move |cx| {
                let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
                polled.unwrap_or_else(|panic| Poll::Ready(Response::failure(describe(&*panic))))
            }))
        })
    }
}

#[cfg(feature = "tower")]
mod tower {
    use std::cell::RefCell;
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll};

    use tower_service::Service;

    use super::{Call, Layer, Next};
    use crate::error::Error;
    use crate::response::{IntoResponse, Response};

    impl Service<Call> for Next {
        type Response = Response;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, call: Call) -> Self::Future {
            let answer = Self::call(self, call);
            Box::pin(async move { Ok(answer.await) })
        }
    }

    /// A layer of tower's: see [`from_tower`].
    #[derive(Debug, Clone)]
    pub struct Tower<L>(L);

    /// Makes a layer of one of tower's. Its service takes [`Call`]s and gives [`Response`]s; its
    /// errors are answered as those of functions are.
    ///
    /// ```
    /// use fdk::layers::{Next, from_tower};
    /// use fdk::{App, http};
    ///
    /// /// Any of tower's, such as a limit; this one does nothing.
    /// struct Nothing;
    ///
    /// impl tower_layer::Layer<Next> for Nothing {
    ///     type Service = Next;
    ///
    ///     fn layer(&self, inner: Next) -> Next {
    ///         inner
    ///     }
    /// }
    ///
    /// let app = App::new()
    ///     .layer(from_tower(Nothing))
    ///     .function("f", http::any("/"), || "ok")
    ///     .test();
    /// app.get("/").wait().assert_text("ok");
    /// ```
    pub fn from_tower<L>(layer: L) -> Tower<L> {
        Tower(layer)
    }

    impl<L, S> Layer for Tower<L>
    where
        L: tower_layer::Layer<Next, Service = S>,
        S: Service<Call, Response = Response> + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        fn wrap(&self, next: Next) -> Next {
            let service = Rc::new(RefCell::new(self.0.layer(next)));
            Next::new(move |call| {
                let service = service.clone();
                Box::pin(async move {
                    let ready = poll_fn(|cx| service.borrow_mut().poll_ready(cx)).await;
                    let answer = match ready {
                        Ok(()) => {
                            let answer = service.borrow_mut().call(call);
                            answer.await
                        }
                        Err(error) => Err(error),
                    };
                    answer.unwrap_or_else(|error| {
                        Error::msg(error.into().to_string()).into_response()
                    })
                })
            })
        }
    }
}

#[cfg(feature = "tower")]
pub use self::tower::{Tower, from_tower};
