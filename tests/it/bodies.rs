//! What goes in and what comes out.

use reqwest::Method;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends};

backends!(
    bodies_of_every_kind_pass_unchanged,
    requests_reach_the_function_as_they_were_made
);

// C22
async fn bodies_of_every_kind_pass_unchanged(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    let edge = 64 << 10;
    for body in [
        Vec::new(),
        every_byte.clone(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        vec![b'\n'; edge - 1],
        vec![b'\r'; edge],
        vec![0; edge + 1],
        large,
    ] {
        let reply = gateway.post("/t/t/m", body.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(
            reply.body == body,
            "{} bytes came back as {}",
            body.len(),
            reply.body.len()
        );
    }
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter([
        Ok::<_, std::io::Error>("in "),
        Ok("pieces"),
    ]));
    assert_eq!(gateway.post("/t/t/m", chunked).await.text(), "in pieces");
    assert_eq!(gateway.get("/t/t/m?mode=binary").await.body, every_byte);
    let reply = gateway.get("/t/t/m?mode=chunked,big&n=10000").await;
    assert_eq!(reply.body, vec![b'x'; 10_000]);
    // With its head and its chunks, no more than pipes promise to pass in one piece: PIPE_BUF.
    let reply = gateway.get("/t/t/m?mode=chunked,big&n=3000").await;
    assert_eq!(reply.body, vec![b'x'; 3000]);
    assert_eq!(
        reply.headers["content-length"], "3000",
        "what is all there at once is passed on whole"
    );
    let reply = gateway.get("/t/t/m?mode=chunked,big&n=1000000").await;
    assert_eq!(reply.body, vec![b'x'; 1_000_000]);
    assert_eq!(reply.headers["transfer-encoding"], "chunked");
    assert_eq!(
        gateway.containers().await.len(),
        1,
        "one container served all of it"
    );
}

// A12
async fn requests_reach_the_function_as_they_were_made(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;

    let reply = gateway.get("/t/t/m?mode=headers&a=b%20c&d=%C3%A9").await;
    assert!(
        reply
            .text()
            .starts_with("GET /t/t/m?mode=headers&a=b%20c&d=%C3%A9 HTTP/1.1\r\n"),
        "{}",
        reply.text()
    );
    let id = reply.headers["fn-call-id"].to_str().unwrap().to_owned();
    assert_eq!(reply.headers["fn_call_id"], id.as_str());
    for line in [
        format!("Fn_call_id: {id}"),
        "Fn_method: GET".to_owned(),
        format!(
            "Fn_request_url: {}",
            gateway.url("/t/t/m?mode=headers&a=b%20c&d=%C3%A9")
        ),
        "Content-Length: 0".to_owned(),
        format!("Host: {}", gateway.address()),
    ] {
        assert!(
            reply.text().contains(&format!("\r\n{line}\r\n")),
            "{line}: {}",
            reply.text()
        );
    }

    let mut request = gateway.client().get(gateway.url("/t/t/m?mode=headers"));
    for i in 0..90 {
        request = request.header(format!("X-Number-{i}"), i.to_string());
    }
    let text = gateway
        .send(request.header("Fn_deadline", "forged"))
        .await
        .text();
    for i in 0..90 {
        assert!(
            text.contains(&format!("\r\nX-Number-{i}: {i}\r\n")),
            "{i} is missing: {text}"
        );
    }
    assert!(!text.contains("forged"), "{text}");

    // HEAD: the function runs, its length is told, no body comes and nothing gets out of step.
    let head = gateway
        .client()
        .request(Method::HEAD, gateway.url("/t/t/m?mode=big&n=1234"));
    let reply = gateway.send(head).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.headers["content-length"], "1234");

    for (method, status) in [
        ("PATCH", 201),
        ("DELETE", 204),
        ("OPTIONS", 404),
        ("FROB", 503),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = gateway.url(&format!("/t/t/m?mode=status&code={status}"));
        let reply = gateway
            .send(gateway.client().request(method, url).body("b"))
            .await;
        assert_eq!(reply.status, status);
    }
    assert_eq!(
        gateway.containers().await.len(),
        1,
        "one container served all of it"
    );
}
