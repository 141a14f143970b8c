use crate::call::Call;
use crate::extract::FromCall;
use crate::response::{IntoResponse, Response};

/// A function: a closure or `fn` of up to three [`FromCall`] arguments that returns an
/// [`IntoResponse`], or a future of one.
///
/// `Marker` tells the shapes apart so that the compiler finds the right one; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that Kiln can call",
    note = "take 0 to 3 arguments that implement `FromCall` (closures need their types spelled \
            out) and return something that implements `IntoResponse`, or a future of it"
)]
pub trait Handler<Marker> {
    /// Answers one call.
    fn call(&mut self, call: Call) -> impl Future<Output = Response>;
}

/// Marks functions that return their answer.
#[derive(Debug)]
pub enum Plain {}

/// Marks functions that return a future of it.
#[derive(Debug)]
pub enum Awaited {}

macro_rules! handlers {
    ($($arg:ident $value:ident),*) => {
        impl<F, R, $($arg),*> Handler<(Plain, $($arg),*)> for F
        where
            F: FnMut($($arg),*) -> R,
            R: IntoResponse,
            $($arg: FromCall,)*
        {
            async fn call(&mut self, call: Call) -> Response {
                $(let $value = match $arg::from_call(&call) {
                    Ok(value) => value,
                    Err(error) => return error.into_response(),
                };)*
                drop(call);
                self($($value),*).into_response()
            }
        }

        impl<F, R, $($arg),*> Handler<(Awaited, $($arg),*)> for F
        where
            F: FnMut($($arg),*) -> R,
            R: Future,
            R::Output: IntoResponse,
            $($arg: FromCall,)*
        {
            async fn call(&mut self, call: Call) -> Response {
                $(let $value = match $arg::from_call(&call) {
                    Ok(value) => value,
                    Err(error) => return error.into_response(),
                };)*
                drop(call);
                self($($value),*).await.into_response()
            }
        }
    };
}

handlers!();
handlers!(A a);
handlers!(A a, B b);
handlers!(A a, B b, C c);
