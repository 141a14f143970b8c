use crate::body::{Body, Step};
use crate::error::{DecodeError, seen};
use crate::head::BodyLength;
use crate::limits::Limits;
use crate::request::{METHOD_BYTES, check_opening};
use crate::rules::{Checked, check};
use crate::scan::{BlockScan, Flaw};

/// Looks on as a connection's requests pass by, one after another, and stops at the first byte that
/// may not.
///
/// It takes nothing apart and copies nothing: it is for whoever hands the bytes to another parser
/// and wants that one to see nothing ambiguous. It holds requests to more than
/// [`RequestDecoder`](crate::RequestDecoder) does, namely to what a server on a network must refuse:
/// a missing or a second Host, for example.
///
/// ```
/// use wire::{Limits, RequestWatch};
///
/// let mut watch = RequestWatch::new(Limits::default());
/// let bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /next HT";
/// let head = watch.advance(bytes)?.unwrap();
/// assert_eq!(head, bytes.len() - b"GET /next HT".len());
/// // Half a head has to wait for its other half.
/// assert_eq!(watch.advance(&bytes[head..])?, None);
/// # Ok::<(), wire::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct RequestWatch {
    limits: Limits,
    state: State,
    requests: u64,
    last: bool,
}

#[derive(Debug)]
enum State {
    Head { scan: BlockScan, line_seen: bool },
    Body(Body),
    Over,
}

impl State {
    fn head() -> Self {
        Self::Head {
            scan: BlockScan::default(),
            line_seen: false,
        }
    }
}

impl RequestWatch {
    /// A watch over a connection that starts now.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::head(),
            requests: 0,
            last: false,
        }
    }

    /// How many bytes at the start of `bytes` are sound and may pass, never 0; `None` when they
    /// cannot be told yet, or no request may follow any more.
    ///
    /// The next call must start behind the bytes that passed; after `None`, with the same bytes and
    /// more behind them. A head passes as a whole.
    ///
    /// # Errors
    ///
    /// The bytes start with something that is not a request, or one beyond the limits. Whatever
    /// follows means nothing.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let passed = loop {
            match &mut self.state {
                State::Over => break Ok(None),
                State::Head { .. } => break self.head(bytes),
                State::Body(body) => match body.step(bytes, &self.limits) {
                    Ok(Step::Data(length) | Step::Framing(length)) => break Ok(Some(length)),
                    Ok(Step::More) => break Ok(None),
                    Ok(Step::End) => self.end(),
                    Err(error) => break Err(error),
                },
            }
        };
        match &passed {
            // So that the end of a message shows with its last byte and not with the next one.
            Ok(Some(_)) => {
                if matches!(&self.state, State::Body(body) if body.is_over()) {
                    self.end();
                }
            }
            Ok(None) => {}
            Err(_) => self.state = State::Over,
        }
        passed
    }

    /// How many heads have passed.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether the last head's body is still to come, or a part of it.
    pub fn in_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether nothing that comes now can be a request.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn end(&mut self) {
        self.state = if self.last {
            State::Over
        } else {
            State::head()
        };
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let State::Head { scan, line_seen } = &mut self.state else {
            return Ok(None);
        };
        let blank = blank_lines(bytes, self.limits.leading_bytes)?;
        let head = &bytes[blank..];
        if matches!(head, [] | [b'\r']) {
            return Ok(None);
        }
        check_opening(head)?;
        let limit = self.limits.head_bytes;
        let found = match scan.find_end(head, limit) {
            Ok(found) => found,
            Err(Flaw::Bad(detail)) => {
                let seen = seen(head);
                return Err(DecodeError::BadHead { detail, seen });
            }
            Err(Flaw::TooLong) => return Err(too_long(scan.lines(), &self.limits)),
        };
        let Some((end, lines)) = found else {
            check_start(head, scan.lines(), line_seen, &self.limits)?;
            return Ok(None);
        };
        let Checked { length, last } = check(&head[..end], lines, &self.limits)?;
        if matches!(length, BodyLength::Known(bytes) if bytes > self.limits.body_bytes) {
            return Err(DecodeError::BodyTooLarge {
                limit: self.limits.body_bytes,
            });
        }
        self.requests += 1;
        self.last = last;
        self.state = State::Body(Body::new(length));
        Ok(Some(blank + end))
    }
}

/// Without the end of a single line, it is the request line that is too long.
fn too_long(lines: usize, limits: &Limits) -> DecodeError {
    if lines == 0 {
        DecodeError::TargetTooLong {
            limit: limits.target_bytes,
        }
    } else {
        DecodeError::HeadTooLarge {
            limit: limits.head_bytes,
        }
    }
}

/// What can be said of a head before its end is there: noise of other protocols often has no end.
fn check_start(
    head: &[u8],
    lines: usize,
    line_seen: &mut bool,
    limits: &Limits,
) -> Result<(), DecodeError> {
    const VERSION: usize = " HTTP/1.1\r\n".len();
    if lines == 0 && head.len() > METHOD_BYTES + limits.target_bytes + VERSION {
        return Err(too_long(lines, limits));
    }
    if lines > limits.headers + 1 {
        return Err(DecodeError::TooManyHeaders {
            limit: limits.headers,
        });
    }
    if lines > 0 && !*line_seen {
        *line_seen = true;
        let end = head.iter().position(|&byte| byte == b'\r').unwrap_or(0);
        let line = &head[..end];
        let Some(start) = line
            .strip_suffix(b" HTTP/1.1")
            .or_else(|| line.strip_suffix(b" HTTP/1.0"))
        else {
            return Err(DecodeError::BadVersion { seen: seen(line) });
        };
        let method = start.iter().take_while(|&&byte| byte != b' ').count();
        if start.len() - method > 1 + limits.target_bytes {
            return Err(too_long(0, limits));
        }
    }
    Ok(())
}

/// The length of the empty lines before a request, which a server skips (RFC 9112 section 2.2).
fn blank_lines(bytes: &[u8], limit: usize) -> Result<usize, DecodeError> {
    let length = bytes
        .chunks_exact(2)
        .take_while(|pair| *pair == b"\r\n")
        .count()
        * 2;
    if length > limit || matches!(bytes.get(length), Some(b'\n')) {
        return Err(DecodeError::NotHttp { seen: seen(bytes) });
    }
    match bytes[length..] {
        [b'\r', other, ..] if other != b'\n' => Err(DecodeError::NotHttp { seen: seen(bytes) }),
        _ => Ok(length),
    }
}
