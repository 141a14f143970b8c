//! JSON values that come and go one by one.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::extract::{FromCall, unsupported};
use crate::response::{Framing, IntoResponse, Response};

/// Longest JSON text of one value.
const VALUE_BYTES: usize = 1 << 20;

/// One JSON value per line, as an argument: each is there as soon as its line has come.
///
/// Lines end with a line feed, before which a carriage return may stand; empty lines are skipped.
/// What is no JSON, or no `T`, ends the values with an error that names its line. A line may have
/// 1 MiB.
///
/// The function of the same name makes an answer of a stream of values.
///
/// ```
/// use fdk::{App, Ndjson, http};
///
/// async fn sum(mut numbers: Ndjson<f64>) -> fdk::Result<String> {
///     let mut sum = 0.0;
///     while let Some(number) = numbers.try_next().await? {
///         sum += number;
///     }
///     Ok(sum.to_string())
/// }
/// # let _ = App::new().function("sum", http::post("/sum"), sum);
/// ```
#[derive(Debug)]
pub struct Ndjson<T> {
    values: Values<T>,
}

/// JSON values as the caller sends them, as an argument: one per line, or the elements of one array
/// where the content type is `application/json`.
///
/// The function of the same name makes an answer that is framed as the caller's `Accept` wants it.
///
/// ```
/// use fdk::{App, Streamed, http};
/// use futures_util::StreamExt;
///
/// let double = |rows: Streamed<u32>| Streamed(rows.map(|row| row.map(|n| 2 * n)));
/// let app = App::new().function("double", http::post("/"), double).test();
/// app.post("/").body("1\n2\n").wait().assert_text("2\n4\n");
/// ```
#[derive(Debug)]
pub struct Streamed<T> {
    values: Values<T>,
}

macro_rules! sequence {
    ($name:ident) => {
        impl<T: DeserializeOwned> $name<T> {
            /// The next value, or what is wrong with it; `None` behind the last one.
            pub async fn next(&mut self) -> Option<Result<T>> {
                std::future::poll_fn(|cx| self.values.poll_next(cx)).await
            }

            /// The next value; `None` behind the last one.
            ///
            /// # Errors
            ///
            /// It is not what it should be, or the caller broke off. With `?` the caller is told.
            pub async fn try_next(&mut self) -> Result<Option<T>> {
                self.next().await.transpose()
            }
        }

        impl<T: DeserializeOwned> Stream for $name<T> {
            type Item = Result<T>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.values.poll_next(cx)
            }
        }
    };
}

sequence!(Ndjson);
sequence!(Streamed);

const LINES: [&str; 2] = ["application/x-ndjson", "application/jsonl"];

impl<T: DeserializeOwned> FromCall for Ndjson<T> {
    const STREAMS: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        check_charset(call)?;
        match call.content_type() {
            Some(kind) if kind == "application/json" => Err(unsupported(&kind, LINES[0])),
            _ => Ok(Self {
                values: Values::new(call, Framing::Lines),
            }),
        }
    }
}

impl<T: DeserializeOwned> FromCall for Streamed<T> {
    const STREAMS: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        check_charset(call)?;
        let framing = match call.content_type().as_deref() {
            Some("application/json") => Framing::Array,
            _ => Framing::Lines,
        };
        Ok(Self {
            values: Values::new(call, framing),
        })
    }
}

/// JSON that is exchanged is UTF-8 (RFC 8259 section 8.1).
fn check_charset(call: &Call) -> Result<()> {
    let kind = call.header("content-type").unwrap_or_default();
    let charset = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    });
    let charset = charset.map(|charset| charset.trim().trim_matches('"'));
    match charset {
        Some(other) if !other.eq_ignore_ascii_case("utf-8") => {
            let message = format!("is in {other}, expected UTF-8");
            Err(Error::param("body", message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
        _ => Ok(()),
    }
}

/// Cuts a body into the texts of its values.
#[derive(Debug)]
struct Values<T> {
    body: Body,
    buf: BytesMut,
    cutter: Cutter,
    /// The line, or the element, that comes next; from 1 on.
    number: u64,
    ended: bool,
    failed: bool,
    values: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Values<T> {
    fn new(call: &Call, framing: Framing) -> Self {
        let cutter = match framing {
            Framing::Lines => Cutter::Lines { seen: 0 },
            Framing::Array => Cutter::Array(Array::default()),
        };
        Self {
            body: call.take_stream(),
            buf: BytesMut::new(),
            cutter,
            number: 1,
            ended: false,
            failed: false,
            values: PhantomData,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        loop {
            match self.cut() {
                Ok(Some(text)) => {
                    let number = self.number;
                    self.number += 1;
                    if text.is_empty() {
                        continue;
                    }
                    let value = serde_json::from_slice(&text);
                    let value =
                        value.map_err(|error| self.cutter.wrong(number, &error.to_string()));
                    self.failed = value.is_err();
                    return Poll::Ready(Some(value));
                }
                Ok(None) if self.ended => return Poll::Ready(None),
                Ok(None) => match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                    Some(Ok(data)) => self.buf.extend_from_slice(&data),
                    Some(Err(error)) => {
                        self.failed = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => self.ended = true,
                },
                Err(error) => {
                    self.failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn cut(&mut self) -> Result<Option<Bytes>> {
        const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
        if self.number == 1 && self.buf.starts_with(&MARK) {
            return Err(self.cutter.wrong(1, "starts with a byte order mark"));
        }
        let text = self
            .cutter
            .cut(&mut self.buf, self.ended)
            .map_err(|message| self.cutter.wrong(self.number, message))?;
        let length = text.as_ref().map_or(self.buf.len(), Bytes::len);
        if length > VALUE_BYTES {
            let message = format!("is longer than {VALUE_BYTES} bytes");
            let error = self.cutter.wrong(self.number, &message);
            return Err(error.with_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Ok(text)
    }
}

#[derive(Debug)]
enum Cutter {
    Lines {
        /// Bytes in which no line ends.
        seen: usize,
    },
    Array(Array),
}

impl Cutter {
    fn wrong(&self, number: u64, message: &str) -> Error {
        let what = match self {
            Self::Lines { .. } => "line",
            Self::Array(_) => "element",
        };
        Error::param(format!("{what} {number}"), message)
    }

    /// The next text, if it is all there; `ended`: nothing more comes.
    fn cut(&mut self, buf: &mut BytesMut, ended: bool) -> Result<Option<Bytes>, &'static str> {
        match self {
            Self::Array(array) => array.cut(buf, ended),
            Self::Lines { seen } => {
                let end = buf[*seen..].iter().position(|&byte| byte == b'\n');
                let line = match end {
                    Some(at) => {
                        let line = buf.split_to(*seen + at);
                        buf.advance(1);
                        line
                    }
                    None if ended && !buf.is_empty() => buf.split(),
                    None => {
                        *seen = buf.len();
                        return Ok(None);
                    }
                };
                *seen = 0;
                let length = line.trim_ascii_end().len();
                Ok(Some(line.freeze().slice(..length)))
            }
        }
    }
}

/// Where an array is read.
#[derive(Debug, Default)]
struct Array {
    place: Place,
    /// How much of the buffer has been looked at.
    at: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    /// Behind the bracket: an element, or the end.
    First,
    /// Behind a comma: an element.
    Element,
    /// Behind the end.
    Behind,
}

impl Array {
    fn cut(&mut self, buf: &mut BytesMut, ended: bool) -> Result<Option<Bytes>, &'static str> {
        if self.at == 0 {
            let blank = buf.iter().take_while(|b| b.is_ascii_whitespace()).count();
            buf.advance(blank);
        }
        if self.place == Place::Before {
            match buf.first() {
                None if ended => return Err("is missing: expected an array"),
                None => return Ok(None),
                Some(b'[') => {
                    buf.advance(1);
                    self.place = Place::First;
                    return self.cut(buf, ended);
                }
                Some(_) => return Err("is not in an array"),
            }
        }
        if self.place == Place::Behind {
            return match buf.is_empty() {
                true => Ok(None),
                false => Err("stands behind the end of the array"),
            };
        }
        while let Some(&byte) = buf.get(self.at) {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                match byte {
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'[' | b'{' => self.depth += 1,
                    b',' | b']' if self.depth == 0 => return self.take(buf, byte),
                    b']' | b'}' => {
                        self.depth = self.depth.checked_sub(1).ok_or("is no JSON")?;
                    }
                    _ => {}
                }
            }
            self.at += 1;
        }
        if ended {
            return Err("is cut off: the array has no end");
        }
        Ok(None)
    }

    fn take(&mut self, buf: &mut BytesMut, end: u8) -> Result<Option<Bytes>, &'static str> {
        let text = buf.split_to(std::mem::take(&mut self.at)).freeze();
        buf.advance(1);
        let text = text.slice(..text.trim_ascii_end().len());
        let before = self.place;
        self.place = match end {
            b',' => Place::Element,
            _ => Place::Behind,
        };
        if text.is_empty() && !(before == Place::First && end == b']') {
            return Err("is missing");
        }
        Ok(Some(text))
    }
}

/// An answer made of a stream of values: see [`Ndjson()`], [`JsonArray()`] and [`Streamed()`].
#[derive(Debug)]
pub struct Sequence<S> {
    values: S,
    framing: Option<Framing>,
}

/// An answer of one JSON value per line, each sent as it comes.
///
/// ```
/// use fdk::{App, Ndjson, http};
/// use futures_util::stream;
///
/// let lines = || Ndjson(stream::iter([1, 2].map(fdk::Ok)));
/// let app = App::new().function("lines", http::get("/"), lines).test();
/// app.get("/").wait().assert_text("1\n2\n");
/// ```
#[expect(
    non_snake_case,
    reason = "it makes what the argument of the same name reads"
)]
pub fn Ndjson<S>(values: S) -> Sequence<S> {
    Sequence {
        values,
        framing: Some(Framing::Lines),
    }
}

/// An answer of one JSON array, each element sent as it comes.
///
/// ```
/// use fdk::{App, JsonArray, http};
/// use futures_util::stream;
///
/// let array = || JsonArray(stream::iter([1, 2].map(fdk::Ok)));
/// let app = App::new().function("array", http::get("/"), array).test();
/// app.get("/").wait().assert_text("[1,2]");
/// ```
#[expect(non_snake_case, reason = "it stands beside Ndjson and Streamed")]
pub fn JsonArray<S>(values: S) -> Sequence<S> {
    Sequence {
        values,
        framing: Some(Framing::Array),
    }
}

/// An answer of JSON values, each sent as it comes: an array for callers whose `Accept` names
/// `application/json` and no type of lines, else one value per line.
///
/// ```
/// use fdk::{App, Streamed, http};
/// use futures_util::stream;
///
/// let app = App::new().function("count", http::get("/count"), || {
///     Streamed(stream::iter((1..4).map(Ok::<u32, fdk::Error>)))
/// });
/// ```
#[expect(
    non_snake_case,
    reason = "it makes what the argument of the same name reads"
)]
pub fn Streamed<S>(values: S) -> Sequence<S> {
    Sequence {
        values,
        framing: None,
    }
}

impl<S, T, E> IntoResponse for Sequence<S>
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: Serialize,
    E: Into<Error>,
{
    fn into_response(self) -> Response {
        Response::items(Box::pin(Texts(Box::pin(self.values))), self.framing)
    }
}

/// Each value as JSON.
struct Texts<S>(Pin<Box<S>>);

impl<S, T, E> Stream for Texts<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Serialize,
    E: Into<Error>,
{
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.0.as_mut().poll_next(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(error.into())),
            Some(Ok(value)) => Some(
                serde_json::to_vec(&value)
                    .map(Bytes::from)
                    .map_err(|error| Error::msg(format!("the answer is no JSON: {error}"))),
            ),
        })
    }
}

/// How an answer is framed that does not say so itself, by what its caller accepts.
pub(crate) fn preferred(headers: &HeaderMap) -> Framing {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let Some(accept) = accept else {
        return Framing::Lines;
    };
    let wants = |kind: &str| {
        accept.split(',').any(|part| {
            part.split(';')
                .next()
                .is_some_and(|part| part.trim().eq_ignore_ascii_case(kind))
        })
    };
    if wants("application/json") && !LINES.iter().any(|kind| wants(kind)) {
        Framing::Array
    } else {
        Framing::Lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `text`, fed in pieces of `size` bytes.
    fn read(framing: Framing, text: &[u8], size: usize) -> String {
        let mut cutter = match framing {
            Framing::Lines => Cutter::Lines { seen: 0 },
            Framing::Array => Cutter::Array(Array::default()),
        };
        let mut buf = BytesMut::new();
        let mut found = Vec::new();
        let mut pieces = text.chunks(size).peekable();
        loop {
            let piece = pieces.next();
            buf.extend_from_slice(piece.unwrap_or_default());
            loop {
                match cutter.cut(&mut buf, piece.is_none()) {
                    Ok(Some(text)) => found.push(String::from_utf8(text.to_vec()).unwrap()),
                    Ok(None) => break,
                    Err(message) => {
                        found.push(format!("! {message}"));
                        return found.join("|");
                    }
                }
            }
            if piece.is_none() {
                return found.join("|");
            }
        }
    }

    #[test]
    fn values_are_cut_the_same_however_they_come() {
        use Framing::{Array, Lines};
        let table = [
            (Lines, "", ""),
            (Lines, "1\n2\r\n\n 3", "1|2|| 3"),
            (Lines, "{\"a\":\"\\n\"}\n", "{\"a\":\"\\n\"}"),
            (Array, " [ ] ", ""),
            (Array, "[1]", "1"),
            (
                Array,
                " [1, {\"a\":[1,2]} ,\"],\\\"\"]\n",
                "1|{\"a\":[1,2]}|\"],\\\"\"",
            ),
            (Array, "", "! is missing: expected an array"),
            (Array, "{}", "! is not in an array"),
            (Array, "[1,]", "1|! is missing"),
            (Array, "[,1]", "! is missing"),
            (Array, "[1", "! is cut off: the array has no end"),
            (Array, "[\"]", "! is cut off: the array has no end"),
            (Array, "[1}]", "! is no JSON"),
            (Array, "[1] 2", "1|! stands behind the end of the array"),
        ];
        for (framing, text, expected) in table {
            for size in 1..=text.len().max(1) {
                assert_eq!(
                    read(framing, text.as_bytes(), size),
                    expected,
                    "{text:?} by {size}"
                );
            }
        }
    }
}
