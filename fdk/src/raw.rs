//! The framing alone, for those who bring their own framework.
//!
//! ```no_run
//! use fdk::raw::Conn;
//! use fdk::{Response, StatusCode};
//!
//! let mut conn = Conn::stdio()?;
//! while let Some(call) = conn.next_call()? {
//!     conn.respond(Response::new(StatusCode::OK).body(call.body().clone()))?;
//! }
//! # Ok::<(), fdk::Error>(())
//! ```

use std::fs::File;
use std::io::{Read, Write};

use crate::call::Call;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::output::{Asked, Output};
use crate::response::{Content, IntoResponse, Response};
use crate::stdio;

/// Calls in, answers out, strictly in turn.
///
/// ```
/// use fdk::raw::Conn;
/// use fdk::{Response, StatusCode};
///
/// let mut conn = Conn::new(&b"GET / HTTP/1.1\r\n\r\n"[..], Vec::new());
/// let call = conn.next_call()?.expect("a call");
/// assert_eq!(call.path(), "/");
/// conn.respond(Response::new(StatusCode::NO_CONTENT))?;
/// assert!(conn.next_call()?.is_none());
/// # Ok::<(), fdk::Error>(())
/// ```
///
/// It does nothing about SIGTERM, which is its program's to do.
#[derive(Debug)]
pub struct Conn<R, W> {
    input: Input<R>,
    output: Output<W>,
    open: Option<Asked>,
}

impl Conn<File, File> {
    /// Takes over the stdin and stdout of this process: from here on, what is printed goes to
    /// stderr and stdin is empty.
    ///
    /// # Errors
    ///
    /// The process was started without stdin, stdout or stderr.
    pub fn stdio() -> Result<Self> {
        let (requests, responses) = stdio::take()?;
        Ok(Self::new(requests, responses))
    }
}

impl<R: Read, W: Write> Conn<R, W> {
    /// Calls from `reader`, answers to `writer`. Neither needs a buffer of its own.
    pub fn new(reader: R, writer: W) -> Self {
        Self {
            input: Input::new(reader),
            output: Output::new(writer),
            open: None,
        }
    }

    /// Waits for the next call with its whole body; `None` once the server is done with us. A call
    /// whose body does not fit into memory is answered with 413.
    ///
    /// # Errors
    ///
    /// The stream breaks off or holds something other than requests, or the last call has not been
    /// answered. No further call can be read.
    pub fn next_call(&mut self) -> Result<Option<Call>> {
        if self.open.is_some() {
            return Err(Error::msg("the last call has no answer yet"));
        }
        loop {
            let Some(head) = self.input.head()? else {
                return Ok(None);
            };
            self.open = Some(Asked::by(&head, false));
            match self.input.body()? {
                Ok(body) => return Ok(Some(Call::new(head, body))),
                Err(refusal) => self.respond(refusal.into_response())?,
            }
        }
    }

    /// Answers the call that came last.
    ///
    /// # Errors
    ///
    /// Nobody reads the answer any more, no call waits for one, or its body is a stream: those are
    /// for [`App`](crate::App).
    pub fn respond(&mut self, response: Response) -> Result<()> {
        if matches!(response.body, Content::Stream(_) | Content::Items(..)) {
            return Err(Error::msg(
                "the answer's body is a stream, which is for App",
            ));
        }
        let asked = self
            .open
            .take()
            .ok_or_else(|| Error::msg("no call waits for an answer"))?;
        if let Some(fault) = &response.fault {
            asked.fault(fault);
        }
        let Response {
            status,
            headers,
            body,
            ..
        } = response;
        let body = body.whole().unwrap_or_default();
        self.output.whole(&asked, status, headers, body)
    }
}
