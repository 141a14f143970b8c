//! The loop over bytes in memory: every argument, every answer, every way of reading.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use wire::{Event, Limits, ResponseDecoder, ResponseHead};

use crate::block_on::block_on;
use crate::handler::{self, Within};
use crate::offload::Here;
use crate::run::serve;
use crate::source::{Conn, Sink, Source, Speech, Stream};
use crate::sync::Lock;
use crate::term::Flags;
use crate::{
    App, Body, Call, Error, Handler, IntoResponse, Json, Ndjson, Response, Result, StatusCode,
    Streamed, raw, route,
};

#[path = "../../crates/wire/tests/codec/vectors.rs"]
mod vectors;

/// Hands out at most `size` bytes per read, and complains now and then as signals make it.
struct Trickle {
    left: VecDeque<u8>,
    size: usize,
    reads: usize,
}

impl Read for Trickle {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads % 7 == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.size.min(buf.len());
        self.left.read(&mut buf[..size])
    }
}

impl Stream for Trickle {}

/// What was written, for two to look at.
#[derive(Clone, Default)]
struct Written(Arc<Lock<Vec<u8>>>);

impl Sink for Written {}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Answer {
    head: ResponseHead,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.head
            .headers
            .get(name)
            .map_or("", |value| value.to_str().expect("plain text"))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }
}

fn run<M>(handler: impl Handler<M>, input: &[u8], size: usize) -> (Result<()>, Vec<u8>) {
    let app = App::new().function("f", route::any(""), handler);
    run_app(app, input, size)
}

fn run_app(app: App, input: &[u8], size: usize) -> (Result<()>, Vec<u8>) {
    let output = Written::default();
    let reader = Trickle {
        left: input.to_vec().into(),
        size,
        reads: 0,
    };
    let conn = Conn::new(Speech::Http, reader, output.clone());
    let result = block_on(async {
        let app = app.ready(true).await?;
        let source = Source::One(Some(Box::new(conn)));
        serve(app, source, Here, &Flags::default()).await
    });
    let output = std::mem::take(&mut *output.0.lock());
    (result, output)
}

/// Decodes answers to requests of which `heads` tells which were HEAD; nothing may be left over.
fn answers(output: &[u8], heads: &[bool]) -> Vec<Answer> {
    let mut buf = BytesMut::from(output);
    let answers = heads.iter().map(|&to_head| {
        let mut decoder = ResponseDecoder::new(Limits::default(), to_head);
        let mut answer: Option<Answer> = None;
        loop {
            match decoder
                .decode(&mut buf)
                .expect("a valid response")
                .expect("a whole response")
            {
                Event::Head(head) => answer = Some(Answer { head, body: vec![] }),
                Event::Data(data) => answer.as_mut().expect("head first").body.extend(data),
                Event::End => return answer.expect("head first"),
            }
        }
    });
    let answers = answers.collect();
    assert!(buf.is_empty(), "surplus: {}", buf.escape_ascii());
    answers
}

fn post(body: &[u8]) -> Vec<u8> {
    let mut input = format!(
        "POST /r/app/f?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nFn_call_id: 01C9\r\n\
         Fn_request_url: http://h/r/app/f?x=1\r\nFn_deadline: 2018-06-01T10:00:30.000Z\r\n\r\n",
        body.len()
    )
    .into_bytes();
    input.extend_from_slice(body);
    input
}

/// The answer to one POST, which must be the same however the request is read.
fn answer<M: 'static>(handler: impl Handler<M>, body: &[u8]) -> Answer {
    let input = post(body);
    let handler = Twice(Rc::new(RefCell::new(handler)));
    let (result, whole) = run(handler.clone(), &input, usize::MAX);
    result.expect("a clean end");
    let (result, bytewise) = run(handler, &input, 1);
    result.expect("a clean end");
    assert_eq!(whole, bytewise);
    let answer = answers(&whole, &[false]).remove(0);
    assert_eq!(answer.header("fn-call-id"), "01C9");
    answer
}

struct Twice<H>(Rc<RefCell<H>>);

impl<H> Clone for Twice<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: 'static, H: Handler<M>> Handler<(Twice<()>, M)> for Twice<H> {
    const STREAMS: bool = H::STREAMS;

    fn call(&mut self, call: Call, within: Within) -> handler::Answer {
        self.0.borrow_mut().call(call, within)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[test]
fn a_closure_of_text_answers_text() {
    let answer = answer(|name: String| format!("Hello {name}"), "Änn".as_bytes());
    assert_eq!(answer.head.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.text(), "Hello Änn");
}

#[test]
fn functions_take_none_to_three_arguments_and_may_be_async() {
    async fn named(Json(order): Json<Order>, call: Call, raw: Bytes) -> Result<Json<Order>> {
        assert_eq!((call.id(), raw.len()), ("01C9", 25));
        Ok(Json(Order {
            count: order.count + 1,
            ..order
        }))
    }
    let order = br#"{"item":"tea", "count":2}"#;
    assert_eq!(answer(named, order).text(), r#"{"item":"tea","count":3}"#);
    assert_eq!(answer(|| "none", b"").text(), "none");
    assert_eq!(
        answer(|| async { "none, later" }, b"").text(),
        "none, later"
    );
    assert_eq!(
        answer(
            |call: Call, body: String| format!("{}{body}", call.id()),
            b"!"
        )
        .text(),
        "01C9!"
    );
    let waits = |body: Bytes| async move {
        let mut first = true;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::take(&mut first) {
                std::task::Poll::Pending
            } else {
                ().into()
            }
        })
        .await;
        body
    };
    assert_eq!(answer(waits, b"bytes").text(), "bytes");
}

#[test]
fn a_function_may_keep_state() {
    let mut count = 0;
    let counter = move || {
        count += 1;
        count.to_string()
    };
    let input = [post(b""), post(b"")].concat();
    let (_, output) = run(counter, &input, usize::MAX);
    let answers = answers(&output, &[false, false]);
    assert_eq!((answers[0].text(), answers[1].text()), ("1", "2"));
}

#[test]
fn a_call_knows_who_asks_for_what() {
    let seen = |call: Call| {
        let deadline = call
            .deadline()
            .and_then(|deadline| deadline.at().duration_since(std::time::UNIX_EPOCH).ok());
        format!(
            "{} {} {} {:?} {:?} {:?} {:?}",
            call.id(),
            call.method(),
            call.url(),
            call.header("HOST"),
            call.header("x-none"),
            deadline,
            call.remaining(),
        )
    };
    assert_eq!(
        answer(seen, b"").text(),
        "01C9 POST http://h/r/app/f?x=1 Some(\"h\") None Some(1527847230s) Some(0ns)"
    );
    let bare = |call: Call| format!("{:?} {} {:?}", call.id(), call.url(), call.remaining());
    let (_, output) = run(bare, b"GET /a?b HTTP/1.1\r\n\r\n", usize::MAX);
    let answer = answers(&output, &[false]).remove(0);
    assert_eq!(answer.text(), "\"\" /a?b None");
    assert!(!answer.head.headers.contains_key("fn-call-id"));
}

#[test]
fn every_answer_has_its_type_and_status() {
    fn check<T: IntoResponse + 'static>(
        handler: impl Fn() -> T + 'static,
        status: u16,
        content_type: &str,
        body: &str,
    ) {
        let answer = answer(move || handler().into_response(), b"");
        assert_eq!(answer.head.status, status, "{body}");
        assert_eq!(answer.header("content-type"), content_type, "{body}");
        assert_eq!(answer.text(), body);
        assert_eq!(answer.header("content-length"), body.len().to_string());
    }
    const TEXT: &str = "text/plain; charset=utf-8";
    check(|| (), 200, "", "");
    check(|| "text", 200, TEXT, "text");
    check(|| "text".to_owned(), 200, TEXT, "text");
    check(|| b"data".to_vec(), 200, "application/octet-stream", "data");
    let bytes = || Bytes::from_static(b"data");
    check(bytes, 200, "application/octet-stream", "data");
    check(|| Json([1, 2]), 200, "application/json", "[1,2]");
    check(|| StatusCode::NOT_FOUND, 404, "", "");
    let created = || (StatusCode::CREATED, Json("x"));
    check(created, 201, "application/json", "\"x\"");
    let page = || {
        Response::new(StatusCode::IM_A_TEAPOT)
            .header("content-type", "text/html")
            .body("<p>")
    };
    check(page, 418, "text/html", "<p>");
}

type Fails = fn() -> Result<()>;

#[test]
fn what_a_caller_may_not_know_goes_to_the_log_only() {
    let generic = r#"{"error":"internal server error"}"#;
    let table: [(Fails, u16, &str); 4] = [
        (
            || Err(io::Error::other("password is hunter2").into()),
            500,
            generic,
        ),
        (|| Err(Error::msg("password is hunter2")), 500, generic),
        (
            || Err(Error::public(StatusCode::CONFLICT, "say \"x\"")),
            409,
            r#"{"error":"say \"x\""}"#,
        ),
        (|| Ok("x".parse::<f32>().map(drop)?), 500, generic),
    ];
    for (handler, status, body) in table {
        let answer = answer(handler, b"");
        assert_eq!((answer.head.status.as_u16(), answer.text()), (status, body));
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

// C12
#[test]
fn an_answer_that_http_cannot_carry_is_a_500() {
    fn ok() -> Response {
        Response::new(StatusCode::OK)
    }
    let table: [fn() -> Response; 8] = [
        || ok().header("x", "a\r\nSet-Cookie: b"),
        || ok().header("x y", "a"),
        || ok().header("x", "a\n").body("late"),
        || Response::new(StatusCode::CONTINUE),
        || Response::new(StatusCode::SWITCHING_PROTOCOLS).body("x"),
        || Response::new(StatusCode::from_u16(600).unwrap()),
        || (StatusCode::CONTINUE, "x").into_response(),
        || Json(std::collections::BTreeMap::from([((1, 2), 3)])).into_response(),
    ];
    for response in table {
        let answer = answer(response, b"");
        assert_eq!(answer.head.status, 500);
        assert_eq!(answer.text(), r#"{"error":"internal server error"}"#);
    }
}

// C12, C19
#[test]
fn a_function_cannot_change_the_framing_or_the_call_id() {
    let forged = || {
        Response::new(StatusCode::OK)
            .header("content-length", "99")
            .header("transfer-encoding", "chunked")
            .header("connection", "close")
            .header("fn-call-id", "another")
            .header("fn-call-id", "yet another")
            .body("ok")
    };
    let answer = answer(forged, b"");
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.head.headers.get_all("fn-call-id").iter().count(), 1);
    assert!(!answer.head.headers.contains_key("connection"));
}

#[test]
fn an_argument_that_does_not_fit_is_a_400() {
    let text = answer(|text: String| text, b"\xff\xfe");
    assert_eq!(text.head.status, 400);
    assert!(
        text.text().starts_with(r#"{"error":"body: is not UTF-8: "#),
        "{}",
        text.text()
    );
    for (body, start) in [
        (
            &b""[..],
            r#"{"error":"body: is empty where JSON is expected","details":[{"param":"body","message":"is empty where JSON is expected"}]}"#,
        ),
        (b"{", r#"{"error":"body: is not the JSON expected: "#),
        (
            b"{\"item\":1}",
            r#"{"error":"body: is not the JSON expected: "#,
        ),
    ] {
        let answer = answer(|_: Json<Order>| -> () { unreachable!("no order") }, body);
        assert_eq!(answer.head.status, 400);
        assert!(answer.text().starts_with(start), "{}", answer.text());
    }
}

#[test]
fn a_panic_costs_one_call_and_not_the_process() {
    let plain = |body: String| -> String { if body == "boom" { panic!("boom") } else { body } };
    let later = |body: String| async move {
        std::future::ready(()).await;
        if body == "boom" {
            panic!("{body}")
        } else {
            body
        }
    };
    fn check<M>(handler: impl Handler<M>) {
        let input = [post(b"boom"), post(b"fine")].concat();
        let (result, output) = run(handler, &input, 1);
        result.expect("a clean end");
        let answers = answers(&output, &[false, false]);
        assert_eq!(answers[0].head.status, 500);
        assert_eq!(answers[0].text(), r#"{"error":"internal server error"}"#);
        assert_eq!(answers[1].text(), "fine");
    }
    check(plain);
    check(later);
}

// C9
#[test]
fn head_is_told_the_length_and_sent_no_body() {
    let input = b"HEAD / HTTP/1.1\r\nFn_call_id: 1\r\n\r\nGET / HTTP/1.1\r\nFn-Call-Id: 2\r\n\r\n";
    let (_, output) = run(|| "hello", input, usize::MAX);
    let answers = answers(&output, &[true, false]);
    assert_eq!(answers[0].header("content-length"), "5");
    assert_eq!(answers[0].header("fn-call-id"), "1");
    assert_eq!(answers[1].header("fn-call-id"), "2");
    assert_eq!(answers[1].text(), "hello");
}

// C9
#[test]
fn statuses_without_a_body_send_none() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        let answer = answer(move || (status, "hello"), b"");
        assert_eq!(answer.head.status, status);
        assert_eq!(answer.header("content-length"), "");
    }
}

// C22
#[test]
fn large_and_binary_bodies_come_through_whole() {
    let mut sizes = vec![5 * 1024 * 1024];
    sizes.extend([65_535, 65_536, 65_537]);
    for size in sizes {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        for read in [4096, usize::MAX] {
            let (result, output) = run(|body: Bytes| body, &post(&body), read);
            result.expect("a clean end");
            assert!(answers(&output, &[false])[0].body == body, "{size} {read}");
        }
    }
}

#[test]
fn a_chunked_request_is_one_body() {
    let input =
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    for size in [1, 3, usize::MAX] {
        let (_, output) = run(|body: String| body, input, size);
        assert_eq!(answers(&output, &[false])[0].text(), "hello");
    }
}

// B5
#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let body = b"GET / HTTP/1.1\r\n\r\n";
    let calls = Rc::new(RefCell::new(0));
    let counted = calls.clone();
    let echo = move |body: Bytes| {
        *counted.borrow_mut() += 1;
        body
    };
    let (_, output) = run(echo, &post(body), 1);
    assert_eq!(answers(&output, &[false])[0].body, body);
    assert_eq!(*calls.borrow(), 1);
}

#[test]
fn the_stream_may_end_only_between_calls() {
    for end in ["", "\n", "\r\n\r\n"] {
        let (result, output) = run(|| (), end.as_bytes(), 1);
        assert!(result.is_ok() && output.is_empty(), "{end:?}");
        let (result, _) = run(|| (), &[&post(b"x"), end.as_bytes()].concat(), 1);
        assert!(result.is_ok(), "{end:?}");
    }
    let input = post(b"hello");
    for end in 1..input.len() {
        let (result, output) = run(|| (), &input[..end], usize::MAX);
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("stream ended "), "{end}: {error}");
        assert!(output.is_empty(), "no answer to half a call");
    }
}

#[test]
fn anything_but_a_request_is_an_error_that_shows_it() {
    let (result, _) = run(|| (), b"{\"call_id\":\"x\"}", 1);
    assert_eq!(result.unwrap_err().to_string(), "not HTTP: read \"{\"");
    let (result, _) = run(|| (), b"{\"call_id\":\"x\"}", usize::MAX);
    assert_eq!(
        result.unwrap_err().to_string(),
        r#"not HTTP: read "{\"call_id\":\"x\"}""#
    );
}

#[test]
fn calls_and_answers_go_strictly_in_turn() {
    let input = [post(b"1"), post(b"2")].concat();
    let mut conn = raw::Conn::new(&input[..], vec![]);
    let ok = || Response::new(StatusCode::OK);
    assert!(conn.respond(ok()).is_err(), "no call yet");
    assert_eq!(conn.next_call().unwrap().unwrap().body(), "1");
    assert!(conn.next_call().is_err(), "not answered yet");
    conn.respond(ok()).unwrap();
    assert!(conn.respond(ok()).is_err(), "answered already");
    assert_eq!(conn.next_call().unwrap().unwrap().body(), "2");
    conn.respond(ok()).unwrap();
    assert!(conn.next_call().unwrap().is_none());
}

// The container may hold another revision of the image than the server believes.
#[test]
fn a_function_that_is_not_there_costs_nobody_else_a_call() {
    let app = App::new()
        .function("one", crate::http::post("/one"), |body: String| body)
        .function("two", crate::http::post("/two"), || "two");
    let call = |name: &str| {
        format!("POST /one HTTP/1.1\r\nFn-Function: {name}\r\nContent-Length: 4\r\n\r\nbody")
    };
    let input = [call("nobody"), call("one")].concat();
    let (result, output) = run_app(app, input.as_bytes(), usize::MAX);
    result.expect("a clean end");
    let answers = answers(&output, &[false, false]);
    assert_eq!(answers[0].head.status, 404);
    assert_eq!(answers[0].header("fn-error"), "unknown-function");
    assert_eq!(answers[1].text(), "body");
}

fn chunked(pieces: &[&str]) -> Vec<u8> {
    let mut input =
        b"POST /t/a/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\nFn_call_id: 1\r\n\r\n".to_vec();
    for piece in pieces {
        input.extend(format!("{:x}\r\n{piece}\r\n", piece.len()).bytes());
    }
    input.extend(b"0\r\n\r\n");
    input
}

async fn double(rows: Ndjson<u64>) -> impl IntoResponse {
    Streamed(rows.map(|row| row.map(|n| 2 * n)))
}

#[test]
fn lines_go_as_they_come_however_they_are_read() {
    let calls = [
        chunked(&["1\n", "2\n3", "\r\n\n4"]),
        post(b"5\n6\n"),
        chunked(&[]),
    ];
    for size in [1, 2, 3, 5, 8, 13, usize::MAX] {
        let (result, output) = run(double, &calls.concat(), size);
        result.expect("a clean end");
        let answers = answers(&output, &[false; 3]);
        let texts: Vec<_> = answers.iter().map(Answer::text).collect();
        assert_eq!(texts, ["2\n4\n6\n8\n", "10\n12\n", ""]);
        assert_eq!(answers[0].header("content-type"), "application/x-ndjson");
        assert_eq!(answers[0].header("transfer-encoding"), "chunked");
        assert_eq!(answers[0].header("fn-call-id"), "1");
    }
}

// B5: what a function does not read is not the next request.
#[test]
fn a_body_that_nobody_reads_is_no_request() {
    let ignores = |_: Body| "done";
    let hidden = "GET /hidden HTTP/1.1\r\n\r\n";
    let input = [
        post(hidden.as_bytes()),
        chunked(&[hidden, hidden]),
        post(b""),
    ]
    .concat();
    for size in [1, 7, usize::MAX] {
        let (result, output) = run(ignores, &input, size);
        result.expect("a clean end");
        assert!(
            answers(&output, &[false; 3])
                .iter()
                .all(|a| a.text() == "done")
        );
    }
}

#[test]
fn more_than_can_be_dropped_ends_the_process_behind_its_answer() {
    let body = vec![b'x'; 3 << 20];
    let input = [post(&body), post(b"next")].concat();
    let (result, output) = run(|_: Body| "done", &input, usize::MAX);
    result.expect("a clean end");
    assert_eq!(answers(&output, &[false])[0].text(), "done");
}

#[test]
fn a_flaw_in_what_comes_first_is_an_answer_like_any_other() {
    let input = [post(b"nope\n1\n"), post(b"1\n")].concat();
    let (result, output) = run(double, &input, usize::MAX);
    result.expect("a clean end");
    let answers = answers(&output, &[false; 2]);
    assert_eq!(answers[0].head.status, 400);
    assert!(
        answers[0].text().starts_with(r#"{"error":"line 1: "#),
        "{}",
        answers[0].text()
    );
    assert_eq!(answers[1].text(), "2\n");
}

#[test]
fn a_flaw_behind_that_breaks_the_answer_off_and_is_named() {
    // Two pieces that cannot be there at once: the first has left before the second is read.
    let slow = |rows: Ndjson<u64>| {
        let rows = rows.then(|row| async {
            let mut waited = false;
            std::future::poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut waited, true) {
                    return std::task::Poll::Ready(());
                }
                std::task::Poll::Pending
            })
            .await;
            row
        });
        Streamed(rows)
    };
    let (result, output) = run(slow, &post(b"1\nnope\n3\n"), usize::MAX);
    let error = result.expect_err("a broken answer").to_string();
    assert_eq!(error, "an answer was broken off");
    let output = String::from_utf8(output).unwrap();
    assert!(output.contains("\r\n1\n\r\n"), "{output}");
    assert!(output.contains(r#"{"error":"line 2: "#), "{output}");
    assert!(!output.ends_with("0\r\n\r\n"), "{output}");
}

#[test]
fn a_panic_in_a_stream_breaks_the_answer_off() {
    let panics = || {
        let values = stream::iter(0..).map(|n| {
            assert!(n < 100_000, "too many");
            Ok::<u32, Error>(n)
        });
        Streamed(values)
    };
    let (result, output) = run(panics, &post(b""), usize::MAX);
    let error = result.expect_err("a broken answer").to_string();
    assert_eq!(error, "an answer was broken off");
    assert!(!output.ends_with(b"0\r\n\r\n"));
}

#[test]
fn head_is_sent_no_stream() {
    let input = b"HEAD / HTTP/1.1\r\nFn_call_id: 1\r\n\r\n";
    // One that would never end.
    let values = || Streamed(stream::iter(0..).map(Ok::<u64, Error>));
    let (result, output) = run(values, input, usize::MAX);
    result.expect("a clean end");
    let answer = answers(&output, &[true]).remove(0);
    assert_eq!(answer.header("transfer-encoding"), "chunked");
    assert_eq!(answer.header("content-length"), "", "nobody knows");
}

// What the codec's own tests hold every peer to, cut at every byte.
#[test]
fn the_vectors_of_the_codec_are_answered_however_they_are_cut() {
    for (name, input, body, rest, _) in vectors::REQUESTS {
        let mut heads = vec![input.starts_with(b"HEAD ")];
        heads.extend((!rest.is_empty()).then_some(false));
        let mut whole = None;
        for at in 0..=input.len() {
            let output = Written::default();
            let pieces = [&input[..at], &input[at..]].map(<[u8]>::to_vec);
            let conn = Conn::new(Speech::Http, Pieces(pieces.into()), output.clone());
            let result = block_on(async {
                let app = App::new().function("f", route::any(""), |body: Bytes| body);
                let source = Source::One(Some(Box::new(conn)));
                serve(app.ready(true).await?, source, Here, &Flags::default()).await
            });
            assert!(result.is_ok(), "{name} at {at}: {result:?}");
            let output = std::mem::take(&mut *output.0.lock());
            let whole = whole.get_or_insert_with(|| output.clone());
            assert_eq!(output, *whole, "{name} at {at}");
        }
        let answers = answers(&whole.unwrap_or_default(), &heads);
        let length = answers[0].header("content-length");
        assert_eq!(length, body.len().to_string(), "{name}");
        let sent: &[u8] = if heads[0] { b"" } else { body };
        assert_eq!(answers[0].body, sent, "{name}");
    }
}

/// Hands out what it has piece by piece.
struct Pieces(VecDeque<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // An empty one would be the end.
        while self.0.front().is_some_and(Vec::is_empty) {
            self.0.pop_front();
        }
        let Some(piece) = self.0.front_mut() else {
            return Ok(0);
        };
        let length = piece.len().min(buf.len());
        buf[..length].copy_from_slice(&piece[..length]);
        piece.drain(..length);
        Ok(length)
    }
}

impl Stream for Pieces {}
