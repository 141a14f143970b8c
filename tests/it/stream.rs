//! Bodies that are passed on as they come.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Backend, Example, Gateway, backends, eventually};

backends!(
    a_gigabyte_streams_through_flat_memory,
    the_first_byte_comes_before_the_last_is_written,
    a_response_that_breaks_off_never_looks_complete,
    an_endless_request_goes_to_those_who_ask_for_it,
);

async fn a_gigabyte_streams_through_flat_memory(backend: Backend) {
    const GIGABYTE: u64 = 1 << 30;
    let gateway = Gateway::start(backend).await;
    for format in ["http", "http-stream"] {
        let settings = json!({ "format": format, "timeout": 120 });
        gateway.function(format, Example::Misbehave, settings).await;
        gateway.get(&format!("/t/t/{format}")).await;
        let before = gateway.peak_memory();
        for framing in ["", ",chunked"] {
            let path = format!("/t/t/{format}?mode=endless{framing}&n={GIGABYTE}");
            let reply = gateway
                .client()
                .get(gateway.url(&path))
                .send()
                .await
                .unwrap();
            assert_eq!(reply.status(), 200);
            let mut pieces = reply.bytes_stream();
            let mut got = 0;
            while let Some(piece) = pieces.next().await {
                let piece = piece.unwrap();
                assert!(piece.iter().all(|&b| b == b'x'));
                got += piece.len() as u64;
            }
            assert_eq!(got, GIGABYTE, "{path}");
        }
        // The kernel counts in batches, so that a peak may look a little lower later on.
        let grown = gateway.peak_memory().saturating_sub(before);
        assert!(grown < 64 << 20, "{format}: {grown} bytes for {GIGABYTE}");
    }
}

async fn the_first_byte_comes_before_the_last_is_written(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    for format in ["http", "http-stream"] {
        let settings = json!({ "format": format, "timeout": 120 });
        gateway.function(format, Example::Misbehave, settings).await;
        // The function writes the second half only when it is told to, by a second call that
        // it could not get before.
        for framing in ["", ",chunked"] {
            let path = format!("/t/t/{format}?mode=halves{framing}&ms=1000");
            let reply = gateway
                .client()
                .get(gateway.url(&path))
                .send()
                .await
                .unwrap();
            let mut pieces = reply.bytes_stream();
            let first = pieces.next().await.unwrap().unwrap();
            assert_eq!(first, "first half ");
            let rest: Vec<_> = pieces.map(Result::unwrap).collect().await;
            assert_eq!(rest.concat(), b"second half");
        }
    }
}

// C4, C18: whatever the framing, the client's connection fails.
async fn a_response_that_breaks_off_never_looks_complete(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    for mode in ["endless,dies", "endless,dies,chunked"] {
        let url = gateway.url(&format!("/t/t/m?mode={mode}&n=1000000"));
        let reply = gateway.client().get(url).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        assert!(reply.bytes().await.is_err(), "{mode}");
        assert_eq!(gateway.get("/t/t/m").await.status, 200);
    }
    // A caller that knows no chunks gets a length, or is told what went wrong.
    let old = async |query: &str| {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        let request = format!("GET /t/t/m?mode={query} HTTP/1.0\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = old("endless,chunked&n=1000000").await;
    assert!(answer.contains("\r\nContent-Length: 1000000\r\n"));
    assert!(answer.ends_with(&"x".repeat(1_000_000)));
    let answer = old("endless,dies,chunked&n=1000000").await;
    assert!(answer.starts_with("HTTP/1.0 502 "), "{answer}");
    assert!(answer.contains("container exit code 3"), "{answer}");
}

// B3
async fn an_endless_request_goes_to_those_who_ask_for_it(backend: Backend) {
    let gateway = Gateway::start_with(backend, &[("FN_MAX_REQUEST_SIZE", "2000000")]).await;
    let streaming = json!({ "annotations": { "kiln/streaming": "true" }, "timeout": 60 });
    gateway.function("yes", Example::Misbehave, streaming).await;
    gateway.function("no", Example::Misbehave, json!({})).await;
    let pieces = |count: usize| {
        let piece = vec![b'x'; 100_000];
        reqwest::Body::wrap_stream(stream::iter(
            (0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
        ))
    };
    let reply = gateway.post("/t/t/yes?mode=len", pieces(100)).await;
    assert_eq!((reply.status, reply.text()), (200, "10000000".to_owned()));
    let head = gateway
        .post("/t/t/yes?mode=headers", pieces(100))
        .await
        .text();
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    let head = gateway.post("/t/t/yes?mode=headers", "short").await.text();
    assert!(head.contains("Content-Length: 5"), "{head}");
    // Others get the same in one piece, with its length.
    let head = gateway
        .post("/t/t/no?mode=headers", pieces(10))
        .await
        .text();
    assert!(head.contains("Content-Length: 1000000\r\n"), "{head}");
    assert!(!head.contains("Transfer-Encoding"), "{head}");
    let reply = gateway.post("/t/t/no?mode=len", pieces(10)).await;
    assert_eq!((reply.status, reply.text()), (200, "1000000".to_owned()));
    // Beyond what is drained after an answer that came early, the connection would break.
    let reply = gateway.post("/t/t/no?mode=len", pieces(50)).await;
    assert_eq!(reply.status, 413);
    // A caller who breaks off costs the container, which has half a request.
    let broken =
        stream::iter([Ok("half"), Err(std::io::Error::other("gone"))]).then(|item| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            item
        });
    let id = gateway.get("/t/t/yes?mode=id").await.text();
    let body = reqwest::Body::wrap_stream(broken);
    let sent = gateway
        .client()
        .post(gateway.url("/t/t/yes"))
        .body(body)
        .send()
        .await;
    assert!(sent.is_err());
    eventually("another container", async || {
        gateway.get("/t/t/yes?mode=id").await.text() != id
    })
    .await;
}
