//! The management API over real connections.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Backend, Gateway, read_answer};

const TEN_MEGABYTES: usize = 10 << 20;

// A client that sends everything before it reads anything must find the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_ten_megabytes_is_refused_and_the_client_sees_it() {
    let gateway = Gateway::start(Backend::Process).await;
    let known = format!(
        "{{\"message\":\"Content-Length too large for this server, {TEN_MEGABYTES} > max 1048576\"}}\n"
    );
    let unknown = "{\"message\":\"Request content too large\"}\n".to_owned();
    let host = gateway.address();
    for fill in [b' ', b'{', b'x', 0] {
        let body = vec![fill; TEN_MEGABYTES];
        let plain = format!(
            "POST /v2/apps HTTP/1.1\r\nHost: {host}\r\nContent-Length: {TEN_MEGABYTES}\r\n\r\n"
        );
        let chunked = format!(
            "POST /v2/apps HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\
             {TEN_MEGABYTES:x}\r\n"
        );
        for (head, end, expected) in [(plain, "", &known), (chunked, "\r\n0\r\n\r\n", &unknown)] {
            let mut stream = TcpStream::connect(host).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.write_all(end.as_bytes()).await.unwrap();
            let said = read_answer(&mut stream).await;
            assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
            assert!(said.ends_with(expected.as_str()), "{said}");
            // The connection is in order, too.
            let get = format!("GET /v2/apps HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(get.as_bytes()).await.unwrap();
            let said = read_answer(&mut stream).await;
            assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        }
    }
    let asks = format!(
        "POST /v2/apps HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n\
         Content-Length: {TEN_MEGABYTES}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(asks.as_bytes()).await.unwrap();
    let said = read_answer(&mut stream).await;
    assert!(
        said.starts_with("HTTP/1.1 413 "),
        "before a byte was sent: {said}"
    );
    let reply = gateway.get("/v2/apps").await;
    assert_eq!(reply.text().trim(), json!({"items": []}).to_string());
}

// What a form or a script of any page could send to a server on the visitor's own machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_nothing() {
    let settings = [("FN_API_CORS_ORIGINS", "https://app.example.com")];
    let gateway = Gateway::start_with(Backend::Process, &settings).await;
    let send = async |method: &str, path: &str, origin: &str, body: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = gateway.client().request(method, gateway.url(path));
        let request = request.header("content-type", "text/plain");
        let request = request.header("origin", origin).body(body.to_owned());
        gateway.send(request).await
    };
    let evil = "https://evil.example";
    let words = format!(
        "Origin {evil} is not allowed, expected this server's own or one that \
         FN_API_CORS_ORIGINS names"
    );
    let flat = json!({"message": words});
    let nested = json!({"error": {"message": words}});
    for (method, path, said) in [
        ("POST", "/v2/apps", &flat),
        ("POST", "/v2/fns", &flat),
        ("PUT", "/v2/apps/x", &flat),
        ("DELETE", "/v2/apps/x", &flat),
        ("POST", "/v1/apps", &nested),
        ("PUT", "/v1/apps/a/routes/x", &nested),
        ("PATCH", "/v1/apps/a", &nested),
        ("DELETE", "/v1/apps/a", &nested),
    ] {
        let reply = send(method, path, evil, r#"{"name":"a","app":{"name":"a"}}"#).await;
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
        assert_eq!(reply.text().trim(), said.to_string());
    }
    let reply = send("POST", "/v2/apps", "null", r#"{"name":"a"}"#).await;
    assert_eq!(reply.status, 403, "a page without a site");
    let list = send("GET", "/v2/apps", evil, "").await;
    assert_eq!(list.text().trim(), json!({"items": []}).to_string());

    let own = format!("http://{}", gateway.address());
    for (name, origin) in [("own", own.as_str()), ("named", "https://app.example.com")] {
        let body = json!({"name": name}).to_string();
        let reply = send("POST", "/v2/apps", origin, &body).await;
        assert_eq!(reply.status, 200, "{origin}: {}", reply.text());
    }
    let reply = gateway
        .post("/v2/apps", json!({"name": "none"}).to_string())
        .await;
    assert_eq!(reply.status, 200, "the command line sends no origin");
    // Calls are the functions' own business.
    let reply = send("POST", "/t/own/x", evil, "").await;
    assert_eq!(reply.text(), "{\"message\":\"Trigger not found\"}\n");
}

// An environment that was made for Fn.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_mean_nothing_here_are_ignored() {
    let settings = [
        (
            "FN_LOGSTORE_URL",
            "s3://key:secret@storage.example.com/eu/logs",
        ),
        ("FN_MQ_URL", "redis://queue.example.com:6379/"),
        ("FN_NODE_TYPE", "full"),
    ];
    let gateway = Gateway::start_with(Backend::Process, &settings).await;
    assert_eq!(gateway.get("/health").await.status, 200);
    let reply = gateway
        .post("/v2/apps", json!({"name": "a"}).to_string())
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
