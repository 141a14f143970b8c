use std::pin::Pin;

use crate::call::Call;
use crate::error::Problems;
use crate::extract::FromCall;
use crate::response::{IntoResponse, Response};

/// An answer that may take its time.
///
/// What [`Handler::call`] and the inside of layers give.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response>>>;

/// A function: a closure or `fn` of up to six [`FromCall`] arguments that returns an
/// [`IntoResponse`], or a future of one.
///
/// `Marker` tells the shapes apart so that the compiler finds the right one; it is always inferred.
/// No other types can be functions: what wraps one is a [layer](crate::layers::Layer).
///
/// ```
/// use fdk::{App, Handler, http};
///
/// /// Adds a function under two names.
/// fn twice<M>(app: App, one: impl Handler<M>, other: impl Handler<M>) -> App {
///     app.function("one", http::any("/one"), one)
///         .function("other", http::any("/other"), other)
/// }
///
/// let hello = |name: String| format!("Hello {name}");
/// let app = twice(App::new(), hello, hello).test();
/// app.post("/other").body("Ann").wait().assert_text("Hello Ann");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that Kiln can call",
    note = "take 0 to 6 arguments that implement `FromCall` (closures need their types spelled \
            out) and return something that implements `IntoResponse`, or a future of it"
)]
pub trait Handler<Marker>: 'static {
    /// Whether it reads the body as it comes.
    #[doc(hidden)]
    const STREAMS: bool = false;

    /// Answers one call.
    #[doc(hidden)]
    fn call(&mut self, call: Call, within: Within) -> Answer;
}

/// Only the FDK can name it: its traits may change as long as nobody else calls or implements them.
#[derive(Debug)]
pub struct Within;

/// Marks functions that return their answer.
#[derive(Debug)]
pub enum Plain {}

/// Marks functions that return a future of it.
#[derive(Debug)]
pub enum Awaited {}

fn ready(response: Response) -> Answer {
    Box::pin(std::future::ready(response))
}

/// The arguments, or the answer to a call that does not have them all.
macro_rules! arguments {
    ($call:ident $($arg:ident $value:ident),*) => {
        let problems = &mut Problems::default();
        $(let $value = problems.take($arg::from_call(&$call));)*
        if let Some(refusal) = std::mem::take(problems).response($call.function()) {
            return ready(refusal);
        }
        $(let Some($value) = $value else {
            // What is not there is a problem, so this is behind the refusal.
            return ready(().into_response());
        };)*
        drop($call);
    };
}

/// Whether a function reads its body as it comes, which is refused where so many `readers` want it.
const fn streams(any: bool, readers: u8) -> bool {
    assert!(
        !any || readers == 1,
        "a body that is taken as it comes can be taken by one argument only"
    );
    any
}

macro_rules! handlers {
    ($($arg:ident $value:ident),*) => {
        impl<F, R, $($arg),*> Handler<(Plain, $($arg),*)> for F
        where
            F: FnMut($($arg),*) -> R + 'static,
            R: IntoResponse,
            $($arg: FromCall,)*
        {
            const STREAMS: bool = streams(
                false $(|| $arg::STREAMS)*,
                0 $(+ $arg::READS_BODY as u8)*,
            );

            fn call(&mut self, call: Call, _: Within) -> Answer {
                arguments!(call $($arg $value),*);
                ready(self($($value),*).into_response())
            }
        }

        impl<F, R, $($arg),*> Handler<(Awaited, $($arg),*)> for F
        where
            F: FnMut($($arg),*) -> R + 'static,
            R: Future + 'static,
            R::Output: IntoResponse,
            $($arg: FromCall,)*
        {
            const STREAMS: bool = streams(
                false $(|| $arg::STREAMS)*,
                0 $(+ $arg::READS_BODY as u8)*,
            );

            fn call(&mut self, call: Call, _: Within) -> Answer {
                arguments!(call $($arg $value),*);
                let answer = self($($value),*);
                Box::pin(async move { answer.await.into_response() })
            }
        }
    };
}

handlers!();
handlers!(A a);
handlers!(A a, B b);
handlers!(A a, B b, C c);
handlers!(A a, B b, C c, D d);
handlers!(A a, B b, C c, D d, E e);
handlers!(A a, B b, C c, D d, E e, G g);
