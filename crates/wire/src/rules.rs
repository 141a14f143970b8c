//! What a server has to refuse, or to notice, in a request whose head is well-formed.

use http::uri::{PathAndQuery, Uri};
use httparse::Header;

use crate::error::{DecodeError, seen};
use crate::head::{BodyLength, Declared, with_request};
use crate::limits::Limits;

/// What a server needs to know of a head to find the end of its message.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) length: BodyLength,
    /// The client sends no request after this one.
    pub(crate) last: bool,
}

/// Checks the whole head `bytes`, of so many `lines`.
pub(crate) fn check(bytes: &[u8], lines: usize, limits: &Limits) -> Result<Checked, DecodeError> {
    with_request(bytes, lines, limits.headers, |parsed| {
        let bad = |detail| DecodeError::BadHead {
            detail,
            seen: seen(bytes),
        };
        let (method, target) = (
            parsed.method.unwrap_or_default(),
            parsed.path.unwrap_or_default(),
        );
        if target.len() > limits.target_bytes {
            return Err(DecodeError::TargetTooLong {
                limit: limits.target_bytes,
            });
        }
        let first_minor = parsed.version == Some(1);
        let mut declared = Declared::Nothing;
        let (mut host, mut hosts) = (None, 0);
        let (mut close, mut keep) = (false, first_minor);
        for field in &*parsed.headers {
            // By length first: most names are none of these.
            match field.name.len() {
                4 if is(field, "host") => {
                    hosts += 1;
                    host = Some(field.value);
                }
                10 if is(field, "connection") => {
                    close |= has_token(field.value, b"close");
                    keep |= has_token(field.value, b"keep-alive");
                }
                14 if is(field, "content-length") => {
                    declared = declared.and_length(bytes, field)?
                }
                17 if is(field, "transfer-encoding") => {
                    declared = declared.and_transfer_encoding(field, parsed.version)?;
                }
                _ => {}
            }
        }
        // RFC 9112 section 3.2: a 1.1 request names its host, and none names two.
        if hosts == 0 && first_minor {
            return Err(bad("no Host"));
        }
        if hosts > 1 {
            return Err(bad("more than one Host"));
        }
        if host.is_some_and(|host| !host.iter().copied().all(is_host)) {
            return Err(bad("invalid Host"));
        }
        check_target(method, target, host).map_err(bad)?;
        let wants_body = matches!(method, "POST" | "PUT" | "PATCH");
        if declared == Declared::Nothing && !first_minor && wants_body {
            // RFC 1945 section 7.2.2. Such a body would end with the connection, or be taken for
            // another request.
            return Err(bad("no Content-Length in an HTTP/1.0 request"));
        }
        Ok(Checked {
            length: declared.length().unwrap_or(BodyLength::Empty),
            last: close || !keep,
        })
    })
}

fn is(field: &Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// The bytes of a host and a port (RFC 3986 section 3.2.2).
fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%[]:".contains(&byte)
}

/// RFC 9112 section 3.2: which of the four forms a target may have.
fn check_target(method: &str, target: &str, host: Option<&[u8]>) -> Result<(), &'static str> {
    const INVALID: &str = "invalid request target";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/?-._~=&%+,:@".contains(&byte);
    match target.as_bytes() {
        [b'/', rest @ ..] if rest.iter().copied().all(plain) => Ok(()),
        // A fragment is never sent; what follows it would be cut off unseen.
        bytes if bytes.contains(&b'#') => Err(INVALID),
        [b'/', ..] => PathAndQuery::try_from(target)
            .map(drop)
            .map_err(|_| INVALID),
        b"*" if method == "OPTIONS" => Ok(()),
        _ => {
            let uri = Uri::try_from(target).map_err(|_| INVALID)?;
            let authority = uri.authority().ok_or(INVALID)?.as_str();
            if uri.scheme().is_none() && method != "CONNECT" {
                return Err(INVALID);
            }
            // RFC 9112 section 3.2.2 would have the target win. Whoever looked at the other one
            // before us has let something else pass.
            if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority.as_bytes())) {
                return Err("another Host than the request target's");
            }
            Ok(())
        }
    }
}
