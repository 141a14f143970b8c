//! The gateway's own answers, and the edges of what it takes.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Backend, Example, Gateway};

/// Sends literal bytes and reads until the server closes or falls silent.
async fn raw(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_in_the_shape_of_its_api() {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    for (path, status, body) in [
        (
            "/r/nope/x",
            404,
            "{\"error\":{\"message\":\"App not found\"}}\n",
        ),
        (
            "/r/t/x",
            404,
            "{\"error\":{\"message\":\"Route not found\"}}\n",
        ),
        ("/t/nope/x", 404, "{\"message\":\"App not found\"}\n"),
        ("/t/t/x", 404, "{\"message\":\"Trigger not found\"}\n"),
        ("/t/t/m/", 404, "{\"message\":\"Trigger not found\"}\n"),
        (
            "/invoke/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            404,
            "{\"message\":\"Fn not found\"}\n",
        ),
    ] {
        let reply = gateway.post(path, "").await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (status, body),
            "{path}"
        );
        assert!(reply.headers.contains_key("fn-call-id"), "{path}");
        assert!(reply.headers.contains_key("fn_call_id"), "{path}");
    }
    let url = gateway.url(&gateway.invoke_path("m").await);
    let detached = gateway
        .client()
        .post(url)
        .header("Fn-Invoke-Type", "detached");
    let reply = gateway.send(detached).await;
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (
            501,
            "{\"message\":\"Detach call functions are not supported on this server\"}\n"
        )
    );
    let reply = gateway.get("/invoke/x").await;
    assert_eq!(reply.status, 405);
    assert_eq!(
        reply.text(),
        "{\"message\":\"Method not allowed: GET /invoke/x\"}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_version_are_told() {
    let gateway = Gateway::start(Backend::Process).await;
    let health = gateway.health().await;
    assert_eq!(health["status"], "ok");
    assert_eq!(health["launcher"], "process");
    let version = gateway.get("/version").await;
    assert_eq!(
        version.text().trim(),
        format!("{{\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_before_a_container_starts() {
    let limits = [
        ("FN_MAX_REQUEST_SIZE", "1000"),
        ("FN_MAX_REQUEST_HEADER_SIZE", "8192"),
    ];
    let gateway = Gateway::start_with(Backend::Process, &limits).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let reply = gateway.post("/t/t/m", vec![0; 1001]).await;
    assert_eq!(reply.status, 413);
    assert_eq!(
        reply.text(),
        "{\"message\":\"Content-Length too large for this server, 1001 > max 1000\"}\n"
    );
    let chunks =
        futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>([0_u8; 100].to_vec())));
    let reply = gateway
        .post("/t/t/m", reqwest::Body::wrap_stream(chunks))
        .await;
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (413, "{\"message\":\"Request content too large\"}\n")
    );
    // A4
    let head = format!(
        "GET /t/t/m HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert!(
        raw(&gateway, head.as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    let head = format!(
        "GET /t/t/m HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(8192)
    );
    assert!(
        raw(&gateway, head.as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    let many: String = (0..300).map(|i| format!("X-{i}: 1\r\n")).collect();
    let head = format!("GET /t/t/m HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    assert!(
        raw(&gateway, head.as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    assert!(gateway.containers().await.is_empty());
    assert_eq!(
        gateway.post("/t/t/m", vec![1; 1000]).await.body,
        vec![1; 1000]
    );
}

// A8, B4: a body that trickles in, or never ends, holds no container.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_request_holds_no_container() {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = "POST /t/t/m HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(gateway.post("/t/t/m?mode=id", "").await.status, 200);
    assert_eq!(
        gateway.containers().await.len(),
        1,
        "only the finished one has a container"
    );
    drop(stream);
    assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");
}

// A11
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let one = |body: &str, close: &str| {
        format!("POST /t/t/m HTTP/1.1\r\nHost: x\r\n{close}Content-Length: 1\r\n\r\n{body}")
    };
    let all = one("1", "") + &one("2", "") + &one("3", "Connection: close\r\n");
    let said = raw(&gateway, all.as_bytes()).await;
    let bodies: Vec<&str> = said
        .split("HTTP/1.1 200 OK")
        .skip(1)
        .map(|r| r.rsplit("\r\n\r\n").next().unwrap())
        .collect();
    assert_eq!(bodies, ["1", "2", "3"], "{said}");
}

// E9: as if each call were made by the function that the one before it reached.
#[tokio::test(flavor = "multi_thread")]
async fn calls_in_a_circle_are_stopped() {
    let settings = [("FN_MAX_CALL_DEPTH", "3")];
    let gateway = Gateway::start_with(Backend::Process, &settings).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let url = gateway.url("/t/t/m?mode=headers");
    let call = async |depth: &str| {
        let request = gateway.client().post(&url).header("Fn-Call-Depth", depth);
        gateway.send(request).await
    };
    let mut depth = "0".to_owned();
    for _ in 0..3 {
        let reply = call(&depth).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let head = reply.text().to_lowercase();
        let passed = head.lines().find_map(|l| l.strip_prefix("fn-call-depth: "));
        depth = passed.unwrap().to_owned();
    }
    let refused = call(&depth).await;
    assert_eq!(refused.status, 508);
    assert!(refused.text().contains("3 calls led to this one"));
    assert_eq!(call("deep").await.status, 400);
    let plain = gateway.get("/t/t/m?mode=headers").await;
    assert!(plain.text().to_lowercase().contains("fn-call-depth: 1"));
}
