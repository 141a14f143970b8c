//! What the gateway makes of the bytes of a caller, on the process launcher alone: no function is
//! involved in what is refused.

use serde_json::json;

use crate::support::{Answer, Backend, Example, Gateway, Raw};

async fn gateway() -> Gateway {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway
}

const GOOD: &str = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";

fn assert_refusal(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    assert!(answer.closes(), "{name}: {answer:?}");
    assert!(
        answer.text().starts_with("{\"message\":\"") && answer.text().ends_with("\"}\n"),
        "{name}: {answer:?}"
    );
}

/// Sends each request on its own, and behind a good one: it is refused with `status`, nothing
/// follows, and nothing of it gets to a function.
async fn refused(gateway: &Gateway, table: &[(&str, Vec<u8>, u16)]) {
    for (name, bytes, status) in table {
        let mut alone = Raw::sent(gateway, bytes).await;
        assert_refusal(&alone.answer().await, *status, name);
        assert_eq!(alone.rest().await, b"", "{name}");

        let mut second = Raw::sent(gateway, [GOOD.as_bytes(), bytes].concat()).await;
        let first = second.answer().await;
        assert_eq!(first.status, 200, "{name}: {first:?}");
        assert!(!first.closes(), "{name}: {first:?}");
        assert_refusal(&second.answer().await, *status, name);
        assert_eq!(second.rest().await, b"", "{name}");
    }
    assert!(gateway.containers().await.is_empty());
}

fn post(lines: &str) -> Vec<u8> {
    format!("POST /t/t/m HTTP/1.1\r\nHost: x\r\n{lines}\r\n0\r\n\r\nGET /t/t/m HTTP/1.1\r\n\r\n")
        .into_bytes()
}

// A1: two framings, or one that is not quite chunked.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_two_ends_is_refused() {
    let table = [
        (
            "CL, TE",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "TE, CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        ),
        (
            "case",
            "tRANSFER-eNCODING: CHUNKED\r\ncONTENT-lENGTH: 5\r\n",
        ),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("list", "Transfer-Encoding: chunked, identity\r\n"),
        ("list, chunked last", "Transfer-Encoding: gzip, chunked\r\n"),
        (
            "twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "twice, hidden",
            "Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n",
        ),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("space in the name", "Transfer-Encoding : chunked\r\n"),
        ("empty", "Transfer-Encoding:\r\n"),
    ]
    .map(|(name, lines)| (name, post(lines), 400));
    refused(&gateway().await, &table).await;
}

// A1: a tab behind the value is padding (RFC 9110 section 5.5), and only that.
#[tokio::test(flavor = "multi_thread")]
async fn a_padded_chunked_is_chunked() {
    let gateway = gateway().await;
    let head = "POST /t/t/m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\t\r\n\r\n";
    let mut raw = Raw::sent(&gateway, format!("{head}2\r\nhi\r\n0\r\n\r\n{GOOD}")).await;
    assert_eq!(raw.answer().await.text(), "hi");
    assert!(raw.answer().await.text().starts_with("{\"version\""));
}

// A2
#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_no_plain_number_is_refused() {
    let table = [
        ("twice", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        (
            "twice, differing",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
        ),
        ("list", "Content-Length: 5,5\r\n"),
        ("plus", "Content-Length: +5\r\n"),
        ("minus", "Content-Length: -1\r\n"),
        ("two spaces", "Content-Length:  5\r\n"),
        ("hexadecimal", "Content-Length: 0x5\r\n"),
        ("overflow", "Content-Length: 18446744073709551616\r\n"),
        ("20 digits", "Content-Length: 99999999999999999999\r\n"),
        ("letters", "Content-Length: five\r\n"),
        ("empty", "Content-Length: \r\n"),
        ("inner space", "Content-Length: 1 2\r\n"),
        ("fraction", "Content-Length: 5.0\r\n"),
    ]
    .map(|(name, lines)| (name, post(lines), 400));
    refused(&gateway().await, &table).await;
}

// A3
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_could_be_read_in_two_ways_are_refused() {
    let raw = |name, text: &str| (name, text.as_bytes().to_vec(), 400);
    let table = [
        raw("bare LF", "GET /t/t/m HTTP/1.1\nHost: x\n\n"),
        raw(
            "one bare LF",
            "GET /t/t/m HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        ),
        raw("LF at the end", "GET /t/t/m HTTP/1.1\r\nHost: x\r\n\n"),
        raw("bare CR", "GET /t/t/m HTTP/1.1\r\nHost: x\rA: b\r\n\r\n"),
        raw("NUL", "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"),
        raw(
            "NUL in a name",
            "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
        ),
        raw("DEL", "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n"),
        raw(
            "obs-fold",
            "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        ),
        raw(
            "space before the colon",
            "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        ),
        raw("no name", "GET /t/t/m HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n"),
        raw("no colon", "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA\r\n\r\n"),
        raw(
            "space before the first header",
            "GET /t/t/m HTTP/1.1\r\n Host: x\r\n\r\n",
        ),
        raw("two spaces", "GET  /t/t/m HTTP/1.1\r\nHost: x\r\n\r\n"),
        raw("tab", "GET\t/t/t/m HTTP/1.1\r\nHost: x\r\n\r\n"),
        raw(
            "bytes in a name",
            "GET /t/t/m HTTP/1.1\r\nHost: x\r\n\u{e9}: b\r\n\r\n",
        ),
    ];
    refused(&gateway().await, &table).await;
}

// A4: found before the end of the head is there, so that nothing has to be kept for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_named_as_such() {
    let long = "x".repeat(70_000);
    let many: String = (0..101).map(|i| format!("X-{i}: 1\r\n")).collect();
    let bytes = |text: String| text.into_bytes();
    let table = [
        (
            "head",
            bytes(format!(
                "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"
            )),
            431,
        ),
        (
            "head without end",
            bytes(format!("GET /t/t/m HTTP/1.1\r\nHost: x\r\nA: {long}")),
            431,
        ),
        (
            "headers",
            bytes(format!("GET /t/t/m HTTP/1.1\r\n{many}\r\n")),
            431,
        ),
        (
            "headers without end",
            bytes(format!("GET /t/t/m HTTP/1.1\r\n{many}X: 1\r\n")),
            431,
        ),
        (
            "target",
            bytes(format!(
                "GET /t/t/m?{} HTTP/1.1\r\nHost: x\r\n\r\n",
                &long[..8192]
            )),
            414,
        ),
        (
            "target without end",
            bytes(format!("GET /t/t/m?{}", &long[..9000])),
            414,
        ),
    ];
    let gateway = gateway().await;
    refused(&gateway, &table).await;
    let fits = format!(
        "GET /t/t/m?mode=len&{} HTTP/1.1\r\nHost: x\r\n{}\r\n",
        &long[..8000],
        "A: b\r\n".repeat(99)
    );
    assert_eq!(Raw::sent(&gateway, fits).await.answer().await.status, 200);
}

// A5: bytes beyond ASCII reach the function as they are.
#[tokio::test(flavor = "multi_thread")]
async fn header_values_pass_as_bytes() {
    let gateway = gateway().await;
    let request = b"GET /t/t/m?mode=headers HTTP/1.1\r\nHost: x\r\nX-Raw: \xff\xfe\xe9\r\nX-Utf8: h\xc3\xa9\r\n\r\n";
    let answer = Raw::sent(&gateway, request).await.answer().await;
    assert_eq!(answer.status, 200);
    for line in [
        &b"\r\nX-Raw: \xff\xfe\xe9\r\n"[..],
        b"\r\nX-Utf8: h\xc3\xa9\r\n",
    ] {
        let found = answer.body.windows(line.len()).any(|w| w == line);
        assert!(
            found,
            "{}: {}",
            line.escape_ascii(),
            answer.body.escape_ascii()
        );
    }
}

// A6
#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_speak_for_the_platform() {
    let gateway = gateway().await;
    let request = "GET /t/t/m?mode=headers HTTP/1.1\r\nHost: x\r\n\
        Connection: Fn-Call-Id, Fn_Call_Id, Fn_method, X-Drop, keep-alive\r\n\
        Fn-Call-Id: forged\r\nFN_CALL_ID: forged\r\nfn-deadline: forged\r\nFn_anything: forged\r\n\
        X-Drop: forged\r\nX-Foo: a\r\nX_Foo: b\r\nX-Forwarded-For: c\r\n\r\n";
    let answer = Raw::sent(&gateway, request).await.answer().await;
    let (seen, id) = (answer.text(), answer.head.split_once("\r\nfn-call-id: "));
    let id = id.unwrap().1.split_once("\r\n").unwrap().0.to_uppercase();
    assert!(!seen.contains("forged"), "{seen}");
    for line in [
        format!("Fn_call_id: {id}"),
        "Fn_method: GET".to_owned(),
        "X-Foo: a".to_owned(),
        "X_foo: b".to_owned(),
        "X-Forwarded-For: c".to_owned(),
    ] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line}: {seen}");
    }
}

// A12: and the connection stays in step after each of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_runs_as_it_is() {
    let gateway = gateway().await;
    let mut raw = Raw::connect(&gateway).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FROB"] {
        raw.send(format!(
            "{method} /t/t/m HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        ))
        .await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
    }
    raw.send("HEAD /t/t/m?mode=big&n=99 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let (status, head) = raw.head().await;
    assert_eq!(status, 200);
    assert!(head.contains("\r\ncontent-length: 99\r\n"), "{head}");
    for (request, shape) in [
        (
            "TRACE /t/t/m",
            "{\"message\":\"Method not allowed: TRACE /t/t/m\"}\n",
        ),
        (
            "TRACE /v2/apps",
            "{\"message\":\"Method not allowed: TRACE /v2/apps\"}\n",
        ),
        (
            "TRACE /r/t/m",
            "{\"error\":{\"message\":\"Method not allowed: TRACE /r/t/m\"}}\n",
        ),
        (
            "CONNECT x",
            "{\"message\":\"Method not allowed: CONNECT x\"}\n",
        ),
    ] {
        raw.send(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (405, shape));
    }
    raw.send(GOOD).await;
    assert_eq!(raw.answer().await.status, 200);
    // A refused HEAD has no body either.
    raw.send("HEAD /t/t/m HTTP/1.1\r\n\r\n").await;
    assert_eq!(raw.head().await.0, 400);
    assert_eq!(raw.rest().await, b"");
}

// A13: nobody is asked to switch, so nobody does.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_protocol_is_switched_to() {
    let gateway = gateway().await;
    let table = [
        (
            "h2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            400,
        ),
        (
            "HTTP/2.0",
            b"GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_vec(),
            400,
        ),
        ("HTTP/0.9", b"GET /\r\n".to_vec(), 400),
        ("ICY", b"SOURCE /x ICE/1.0\r\n\r\n".to_vec(), 400),
    ];
    refused(&gateway, &table).await;
    for upgrade in [
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ] {
        let request = format!("GET /t/t/m?mode=headers HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
        let mut raw = Raw::sent(&gateway, request).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("Upgrade"), "{}", answer.text());
        raw.send(GOOD).await;
        assert_eq!(raw.answer().await.status, 200);
    }
}

// A14
#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_are_refused_before_a_container_is_taken() {
    let gateway = gateway().await;
    const HEAD: &str = "POST /t/t/m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, body) in [
        ("no number", "x\r\n"),
        ("no size", "\r\nhi\r\n0\r\n\r\n"),
        ("minus", "-1\r\n"),
        ("prefix", "0x2\r\nhi\r\n0\r\n\r\n"),
        ("space first", " 2\r\nhi\r\n0\r\n\r\n"),
        ("space last", "2 \r\nhi\r\n0\r\n\r\n"),
        ("overflow", "10000000000000000\r\n"),
        ("more than there is", "ffffffffffffffffffffffffffffff\r\n"),
        ("bare LF", "2\nhi\r\n0\r\n\r\n"),
        ("bare LF in an extension", "2;a\nb\r\nhi\r\n0\r\n\r\n"),
        ("bare CR", "2\rhi\r\n0\r\n\r\n"),
        ("data beyond the size", "2\r\nhij\r\n0\r\n\r\n"),
        ("data cut by a line feed", "2\r\nhi\n0\r\n\r\n"),
        ("endless extension", &format!("2;{}", "x".repeat(300))),
        ("trailer with a fold", "0\r\nA: b\r\n c\r\n\r\n"),
        ("trailer with a space", "0\r\nA : b\r\n\r\n"),
        (
            "trailers without end",
            &format!("0\r\nA: {}", "x".repeat(9000)),
        ),
        (
            "no last line",
            "2\r\nhi\r\n0\r\nGET /t/t/m HTTP/1.1\r\n\r\n",
        ),
    ] {
        let mut raw = Raw::sent(&gateway, format!("{HEAD}{body}")).await;
        assert_refusal(&raw.answer().await, 400, name);
        assert_eq!(raw.rest().await, b"", "{name}");
    }
    assert!(gateway.containers().await.is_empty());

    let sound = "2;a=b;c=\"d\"\r\nhi\r\n0003\r\n you\r\n0\r\nTransfer-Encoding: x\r\nContent-Length: 9\r\n\r\n"
        .replace("0003\r\n you", "0004\r\n you");
    let mut raw = Raw::sent(&gateway, format!("{HEAD}{sound}{GOOD}")).await;
    assert_eq!(raw.answer().await.text(), "hi you");
    assert_eq!(raw.answer().await.status, 200);
}

// A15
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host_and_its_own_length() {
    let gateway = gateway().await;
    let raw = |name, text: &str| (name, text.as_bytes().to_vec(), 400);
    let table = [
        raw("no Host", "GET /t/t/m HTTP/1.1\r\n\r\n"),
        raw("two", "GET /t/t/m HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        raw(
            "two in 1.0",
            "GET /t/t/m HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        ),
        raw("list", "GET /t/t/m HTTP/1.1\r\nHost: x y\r\n\r\n"),
        raw("path", "GET /t/t/m HTTP/1.1\r\nHost: x/../y\r\n\r\n"),
        raw("user", "GET /t/t/m HTTP/1.1\r\nHost: a@x\r\n\r\n"),
        raw("another", "GET http://y/t/t/m HTTP/1.1\r\nHost: x\r\n\r\n"),
        raw(
            "1.0 with TE",
            "POST /t/t/m HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        raw("1.0 without a length", "POST /t/t/m HTTP/1.0\r\n\r\nbody"),
    ];
    refused(&gateway, &table).await;

    let absolute = "GET http://x/t/t/m?mode=headers HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = Raw::sent(&gateway, absolute).await.answer().await;
    let line = "\r\nFn_request_url: http://x/t/t/m?mode=headers\r\n";
    assert!(answer.text().contains(line), "{}", answer.text());

    // HTTP/1.0 closes unless it is asked not to, and what follows is no request.
    let mut raw = Raw::sent(
        &gateway,
        "POST /t/t/m HTTP/1.0\r\nContent-Length: 2\r\n\r\nhiGET /version HTTP/1.0\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.text(), "hi");
    assert_eq!(raw.rest().await, b"");
    let kept = "GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let mut raw = Raw::sent(&gateway, kept.repeat(2)).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 200);
}

// A16
#[tokio::test(flavor = "multi_thread")]
async fn a_path_has_one_meaning() {
    let gateway = gateway().await;
    for (path, status, message) in [
        ("/t/t/m", 200, ""),
        ("/t/t/%6D", 200, ""),
        ("//t/t/m", 404, "not found"),
        ("/t//t/m", 404, "not found"),
        ("/t/t//m", 404, "Trigger not found"),
        ("/t/t/m/", 404, "Trigger not found"),
        ("/t/t/m.", 404, "Trigger not found"),
        ("/t/t/m;x", 404, "Trigger not found"),
        ("/t/t/m%00", 404, "not found"),
        ("/t/t/./m", 404, "Trigger not found"),
        ("/t/t/x/../m", 404, "Trigger not found"),
        ("/t/t/x/%2e%2e/m", 404, "Trigger not found"),
        ("/t/t%2Fm", 404, "App not found"),
        ("/t/t%252Fm", 404, "App not found"),
        // A function's path cannot lead out to the API, nor the API's to a function.
        ("/t/../v2/apps", 404, "App not found"),
        ("/t/%2e%2e/v2/apps", 404, "App not found"),
        ("/r/t/../../v2/apps", 404, "Route not found"),
        ("/v2/../t/t/m", 404, "not found"),
        ("/v2/%2e%2e/t/t/m", 404, "not found"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = Raw::sent(&gateway, request).await.answer().await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.text().contains(message), "{path}: {answer:?}");
    }
    let table = [
        ("fragment", "GET /t/t/m#x HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("backslash", "GET \\t\\t\\m HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("relative", "GET t/t/m HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("bytes", "GET /t/t/<m> HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("all", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("v1", "GET /r/t/<m> HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    for (name, request) in table {
        let answer = Raw::sent(&gateway, request).await.answer().await;
        assert_eq!(answer.status, 400, "{name}");
        let nested = answer.text().starts_with("{\"error\":{\"message\":\"");
        assert_eq!(nested, name == "v1", "{name}: {answer:?}");
    }
}

// A18: what is compressed is nobody's business but the function's.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_pass_unopened() {
    let gateway = gateway().await;
    let body: Vec<u8> = [&b"\x1f\x8b\x08\0\0\0\0\0"[..], &[0xff; 1000]].concat();
    for coding in ["gzip", "br, deflate", "made-up"] {
        let head = format!(
            "POST /t/t/m HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\
             Content-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = Raw::sent(&gateway, [head.as_bytes(), &body].concat());
        let answer = answer.await.answer().await;
        assert_eq!((answer.status, &answer.body), (200, &body), "{coding}");
        assert!(!answer.head.contains("content-encoding"), "{answer:?}");
    }
}

// A19
#[tokio::test(flavor = "multi_thread")]
async fn noise_is_answered_at_once() {
    let table = [
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            400,
        ),
        ("SSL 2", b"\x80\x2e\x01\x03\x01\x00\x15".to_vec(), 400),
        (
            "PROXY 1",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
            400,
        ),
        (
            "PROXY 2",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec(),
            400,
        ),
        ("SMB", b"\0\0\0\x85\xffSMB".to_vec(), 400),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), 400),
        ("Redis", b"*1\r\n$4\r\nPING\r\n".to_vec(), 400),
        ("zeros", vec![0; 100_000], 400),
        ("letters", vec![b'A'; 100_000], 400),
        ("line feeds", vec![b'\n'; 1000], 400),
        ("empty lines", b"\r\n".repeat(1000), 400),
    ];
    refused(&gateway().await, &table).await;
}
