use bytes::BytesMut;
use proptest::prelude::*;
use wire::{DecodeError, Event, Limits, RequestDecoder, RequestWatch};

/// What became of a stream: how many bytes passed, how many heads were among them, the refusal.
#[derive(Debug, PartialEq)]
struct Outcome {
    passed: usize,
    requests: u64,
    fault: Option<String>,
    in_body: bool,
    over: bool,
}

fn fault(error: &DecodeError) -> String {
    match error {
        DecodeError::BadHead { detail, .. } | DecodeError::BadChunk { detail, .. } => {
            (*detail).to_owned()
        }
        other => {
            let text = format!("{other:?}");
            text.split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default()
                .to_owned()
        }
    }
}

fn watch_with(limits: Limits, pieces: &[&[u8]]) -> Outcome {
    let mut watch = RequestWatch::new(limits);
    let mut buf = Vec::new();
    let mut passed = 0;
    let mut error = None;
    for piece in pieces {
        buf.extend_from_slice(piece);
        while error.is_none() {
            match watch.advance(&buf[passed..]) {
                Ok(Some(length)) => {
                    assert!(length > 0, "no progress");
                    passed += length;
                }
                Ok(None) => break,
                Err(found) => error = Some(fault(&found)),
            }
        }
    }
    Outcome {
        passed,
        requests: watch.requests(),
        fault: error,
        in_body: watch.in_body(),
        over: watch.is_over(),
    }
}

/// The outcome, which must be the same for every cut into two and for single bytes.
fn watch(input: &[u8]) -> Outcome {
    let whole = watch_with(Limits::default(), &[input]);
    for at in 0..=input.len() {
        let (a, b) = input.split_at(at);
        assert_eq!(
            watch_with(Limits::default(), &[a, b]),
            whole,
            "cut at {at}: {}",
            input.escape_ascii()
        );
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(watch_with(Limits::default(), &bytes), whole);
    whole
}

#[test]
fn requests_pass_whole_and_one_after_another() {
    for (name, input, requests, over) in [
        ("plain", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1, false),
        (
            "A12: body on GET",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
            1,
            false,
        ),
        (
            "A11: pipelined",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            2,
            false,
        ),
        (
            "A14: extensions and trailers",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            2,
            false,
        ),
        (
            "blank lines first",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            1,
            false,
        ),
        ("A15: 1.0 ends it", "GET / HTTP/1.0\r\n\r\n", 1, true),
        (
            "A15: 1.0 kept alive",
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            2,
            true,
        ),
        (
            "asked to close",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\n\r\n",
            1,
            true,
        ),
        (
            "asked to close, then not",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
            1,
            true,
        ),
        (
            "absolute",
            "GET http://X:1/y?z HTTP/1.1\r\nHost: x:1\r\n\r\n",
            1,
            false,
        ),
        ("any", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 1, false),
        (
            "authority",
            "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
            1,
            false,
        ),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 1, false),
        (
            "bytes beyond ASCII",
            "GET /\u{e9} HTTP/1.1\r\nHost: x\r\nX: \u{e9}\r\n\r\n",
            1,
            false,
        ),
        (
            "braces",
            "GET /{a}|\"?b={c} HTTP/1.1\r\nHost: x\r\n\r\n",
            1,
            false,
        ),
    ] {
        let outcome = watch(input.as_bytes());
        let expected = Outcome {
            passed: input.len(),
            requests,
            fault: None,
            in_body: false,
            over,
        };
        assert_eq!(outcome, expected, "{name}");
    }
}

#[test]
fn nothing_passes_behind_the_last_request() {
    let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let outcome = watch(format!("{head}GET / HTTP/1.1\r\n\r\n").as_bytes());
    assert_eq!((outcome.passed, outcome.fault), (head.len(), None));
}

#[test]
fn what_two_servers_could_read_differently_stops_there() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\n";
    let post = |lines: &str| format!("{POST}{lines}\r\n");
    let chunks = |body: &str| format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}");
    let table: Vec<(String, &str)> = vec![
        // A1
        (
            post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"),
            "ConflictingLength",
        ),
        (
            post("TRANSFER-ENCODING: chunked\r\ncontent-length: 2\r\n"),
            "ConflictingLength",
        ),
        (
            post("Transfer-Encoding: xchunked\r\n"),
            "UnsupportedTransferEncoding",
        ),
        (
            post("Transfer-Encoding: chunked, identity\r\n"),
            "UnsupportedTransferEncoding",
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            "UnsupportedTransferEncoding",
        ),
        (
            post("Transfer-Encoding:\r\n"),
            "UnsupportedTransferEncoding",
        ),
        // A2
        (
            post("Content-Length: 2\r\nContent-Length: 2\r\n"),
            "ConflictingLength",
        ),
        (post("Content-Length: 5,5\r\n"), "BadLength"),
        (post("Content-Length: +5\r\n"), "BadLength"),
        (post("Content-Length:  5\r\n"), "BadLength"),
        (post("Content-Length: 0x5\r\n"), "BadLength"),
        (
            post("Content-Length: 99999999999999999999\r\n"),
            "BadLength",
        ),
        // A3
        ("GET / HTTP/1.1\nHost: x\n\n".into(), "bare line feed"),
        (post("A: b\rc\r\n"), "bare carriage return"),
        (post("A: b\0c\r\n"), "NUL byte"),
        (post("A: b\r\n c\r\n"), "invalid header name"),
        (post("A : b\r\n"), "invalid header name"),
        (post(": b\r\n"), "invalid header name"),
        (
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n".into(),
            "invalid header name",
        ),
        // A13, A19
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "BadVersion"),
        ("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".into(), "BadVersion"),
        ("\r\n\r\n\0\r\nQUIT\n".into(), "NotHttp"),
        ("\u{16}\u{3}\u{1}".into(), "NotHttp"),
        ("\nGET / HTTP/1.1\r\n".into(), "NotHttp"),
        // A14
        (chunks("2x\r\n"), "invalid size"),
        (chunks("2\r\nhij"), "more data than the chunk's size"),
        (chunks("fffffffffffffffff\r\n"), "size too large"),
        (chunks("1\r\na\r\nffffffffffffffff\r\n"), "BodyTooLarge"),
        (chunks("2\nhi"), "invalid size"),
        (chunks("2;a\nb\r\n"), "bare line feed"),
        (chunks("0\r\nA : b\r\n\r\n"), "invalid header name"),
        // A15
        ("GET / HTTP/1.1\r\n\r\n".into(), "no Host"),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".into(),
            "more than one Host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n".into(),
            "invalid Host",
        ),
        (
            "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "another Host than the request target's",
        ),
        (
            "POST / HTTP/1.0\r\n\r\n".into(),
            "no Content-Length in an HTTP/1.0 request",
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            "UnsupportedTransferEncoding",
        ),
        // A16
        (
            "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "invalid request target",
        ),
        (
            "GET a HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "invalid request target",
        ),
        (
            "GET * HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "invalid request target",
        ),
        (
            "GET x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n".into(),
            "invalid request target",
        ),
    ];
    for (input, expected) in table {
        let outcome = watch(input.as_bytes());
        assert_eq!(outcome.fault.as_deref(), Some(expected), "{input:?}");
        assert!(outcome.over);
        // Behind a good request it is found just the same, and the good one has passed.
        let good = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let both = watch(format!("{good}{input}").as_bytes());
        assert_eq!(both.fault, outcome.fault);
        assert_eq!(both.passed, outcome.passed + good.len());
    }
}

// A4
#[test]
fn too_much_is_named_before_its_end_is_there() {
    let limits = Limits {
        head_bytes: 2000,
        target_bytes: 100,
        headers: 3,
        ..Limits::default()
    };
    let long = "x".repeat(3000);
    for (input, expected) in [
        (format!("GET /{}", &long[..200]), "TargetTooLong"),
        (
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", &long[..100]),
            "TargetTooLong",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost", &long[..100]),
            "TargetTooLong",
        ),
        (format!("GET / HTTP/1.1\r\nA: {long}"), "HeadTooLarge"),
        (
            format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"),
            "HeadTooLarge",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(5)),
            "TooManyHeaders",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(4)),
            "TooManyHeaders",
        ),
    ] {
        let outcome = watch_with(limits.clone(), &[input.as_bytes()]);
        assert_eq!(outcome.fault.as_deref(), Some(expected));
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(watch_with(limits.clone(), &bytes), outcome);
    }
}

#[test]
fn a_body_beyond_the_limit_does_not_pass_whatever_its_framing() {
    let limits = Limits {
        body_bytes: 10,
        ..Limits::default()
    };
    for (framing, size, fault) in [
        ("Content-Length: 10\r\n\r\n", "", None),
        ("Content-Length: 11\r\n\r\n", "", Some("BodyTooLarge")),
        ("Transfer-Encoding: chunked\r\n\r\n", "a\r\n", None),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            "b\r\n",
            Some("BodyTooLarge"),
        ),
    ] {
        let input = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}{size}");
        let outcome = watch_with(limits.clone(), &[input.as_bytes()]);
        assert_eq!(outcome.fault.as_deref(), fault, "{framing}{size}");
    }
}

#[test]
fn a_body_that_is_not_all_there_is_known_as_such() {
    let mut watch = RequestWatch::new(Limits::default());
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(watch.advance(head), Ok(Some(head.len())));
    assert!(watch.in_body());
    assert_eq!(watch.advance(b"h"), Ok(Some(1)));
    assert!(watch.in_body());
    assert_eq!(watch.advance(b"iGET"), Ok(Some(1)));
    assert!(!watch.in_body() && !watch.is_over());
}

/// What a request is made of, and what breaks it.
const PARTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"Host: x\r\n",
    b"\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"3\r\n",
    b"abc",
    b"0\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\0",
];

/// The decoder makes as many requests of what has passed, and finds nothing wrong with them.
fn assert_decodes(passed: &[u8], requests: u64) {
    let mut buf = BytesMut::from(passed);
    let mut decoded = 0;
    'message: while !buf.is_empty() {
        let mut decoder = RequestDecoder::new(Limits::default());
        loop {
            match decoder.decode(&mut buf).expect("what has passed is sound") {
                Some(Event::Head(_)) => decoded += 1,
                Some(Event::Data(_)) => {}
                Some(Event::End) => break,
                None => break 'message,
            }
        }
    }
    assert_eq!(decoded, requests);
    assert!(buf.is_empty(), "half a head has passed");
}

proptest! {
    #[test]
    fn noise_never_panics_and_passes_the_same_however_it_is_cut(
        first in 0_usize..3,
        noise in proptest::collection::vec(proptest::sample::select(PARTS), 0..20),
        size in 1_usize..9,
    ) {
        // Noise alone hardly ever gets as far as a second request.
        let good = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let input = [good.repeat(first), noise.concat()].concat();
        let whole = watch_with(Limits::default(), &[&input]);
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        assert_decodes(&input[..whole.passed], whole.requests);
        // Which of two flaws is found first may depend on the cut, but not what passes.
        let cut = watch_with(Limits::default(), &pieces);
        prop_assert_eq!((cut.passed, cut.requests, cut.over), (whole.passed, whole.requests, whole.over));
        prop_assert_eq!(cut.fault.is_some(), whole.fault.is_some());
    }
}
