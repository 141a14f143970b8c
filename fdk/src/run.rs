use std::any::Any;
use std::ffi::OsStr;
use std::io::{IsTerminal, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::block_on::block_on;
use crate::error::{Error, Result};
use crate::handler::Handler;
use crate::raw::Conn;
use crate::response::Response;

/// Runs `handler` for every call until the server closes stdin.
///
/// # Errors
///
/// The process was not started by a function server, or by one that speaks another format than
/// `http`; the stream holds something other than requests; or the server is gone. Return the error
/// from `main`, so that it is printed and the exit status tells.
pub fn run<H, Marker>(handler: H) -> Result<()>
where
    H: Handler<Marker>,
{
    check_format(std::env::var_os("FN_FORMAT").as_deref())?;
    if std::io::stdin().is_terminal() {
        return Err(Error::msg(BY_HAND));
    }
    serve(Conn::stdio()?, handler)
}

const BY_HAND: &str = "this is a function: it reads framed HTTP requests from stdin, not keys.
Deploy it with `fn deploy --app <app> --local` and call it with `fn invoke <app> <function>`,
or try it alone:
  printf 'POST / HTTP/1.1\\r\\nContent-Length: 3\\r\\n\\r\\nAnn' | <this program>";

fn check_format(format: Option<&OsStr>) -> Result<()> {
    match format {
        None => Ok(()),
        Some(format) if format == "http" => Ok(()),
        Some(format) => Err(Error::msg(format!(
            "FN_FORMAT is {format:?} but this function speaks \"http\" only: \
             set `format: http` in its func.yaml and deploy it again",
        ))),
    }
}

pub(crate) fn serve<H, Marker>(mut conn: Conn<impl Read, impl Write>, mut handler: H) -> Result<()>
where
    H: Handler<Marker>,
{
    while let Some(call) = conn.next_call()? {
        // The handler may have been left in the middle of a change. That is its author's to
        // prevent; a cold start for every panic would cost the callers behind it.
        let answer = catch_unwind(AssertUnwindSafe(|| block_on(handler.call(call))));
        conn.respond(answer.unwrap_or_else(|panic| Response::failure(describe(&*panic))))?;
    }
    Ok(())
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "the function panicked: {}",
        text.unwrap_or("for no stated reason")
    )
}
