//! Functions of every format, over every launcher.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, Reply, backends, eventually};

backends!(
    bodies_pass_in_every_format,
    failures_are_told_in_every_format,
    quirks_of_old_fdks_do_no_harm,
    a_socket_function_gets_and_gives_what_http_clients_mean,
    a_socket_function_may_end_its_connections,
    a_socket_may_be_made_in_several_ways,
    a_function_without_a_socket_says_so,
);

const FORMATS: [&str; 5] = ["http", "http-stream", "json", "cloudevent", "default"];

async fn with_every_format(backend: Backend, timeout: u32) -> Gateway {
    let gateway = Gateway::start(backend).await;
    for format in FORMATS {
        let settings = json!({ "format": format, "timeout": timeout, "memory": 128 });
        gateway.function(format, Example::Misbehave, settings).await;
    }
    gateway
}

/// A cloudevent carries JSON, so texts are quoted for it.
async fn post(gateway: &Gateway, format: &str, query: &str, text: &str) -> Reply {
    let body = match format {
        "cloudevent" if !text.is_empty() => json!(text).to_string(),
        _ => text.to_owned(),
    };
    gateway.post(&format!("/t/t/{format}{query}"), body).await
}

// C22, B5
async fn bodies_pass_in_every_format(backend: Backend) {
    let gateway = with_every_format(backend, 30).await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
    for format in FORMATS {
        let large = "grüße 🚀 {\"}\\ ".repeat(250_000);
        for text in [
            "",
            "hello",
            "HTTP/1.1 200 OK\r\n\r\n",
            "{\"a\": [1]}",
            &large,
        ] {
            let reply = post(&gateway, format, "", text).await;
            assert_eq!(reply.status, 200, "{format}: {}", reply.text());
            assert!(
                reply.body == text.as_bytes(),
                "{format}: {} bytes",
                text.len()
            );
        }
        if !["json", "cloudevent"].contains(&format) {
            let reply = gateway
                .post(&format!("/t/t/{format}"), every_byte.clone())
                .await;
            assert!(reply.body == every_byte, "{format}: {}", reply.body.len());
        }
        let calls = (0..12).map(|n| {
            let gateway = &gateway;
            async move {
                let text = format!("unique {n} {format}");
                assert_eq!(post(gateway, format, "", &text).await.text(), text);
            }
        });
        join_all(calls).await;
        if format != "default" {
            let reply = post(&gateway, format, "?mode=status&code=404", "gone").await;
            assert_eq!(
                (reply.status, reply.text()),
                (404, "gone".to_owned()),
                "{format}"
            );
        }
    }
}

// What images from 2017 and 2018 do: a reason phrase of their own (all answers here), a blank line
// behind each JSON object (likewise), a line feed behind each body, lengths in characters, and an
// exit after a 5xx.
async fn quirks_of_old_fdks_do_no_harm(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    for format in ["http", "json"] {
        let settings = json!({ "format": format });
        gateway.function(format, Example::Misbehave, settings).await;
    }
    let id = gateway.get("/t/t/http?mode=id").await.text();
    for n in 0..5 {
        let reply = post(&gateway, "http", "?mode=newline", &format!("body {n}")).await;
        assert_eq!((reply.status, reply.text()), (200, format!("body {n}")));
    }
    assert_eq!(gateway.get("/t/t/http?mode=id").await.text(), id);
    let reply = post(&gateway, "json", "?mode=charlen", "grüße").await;
    assert_eq!((reply.status, reply.text()), (200, "grüße".to_owned()));
    assert_eq!(reply.headers["content-length"], "7");
    for n in 0..3 {
        let query = "?mode=status,leave&code=500&ms=0";
        let reply = post(&gateway, "http", query, "failed").await;
        if backend.stdio() == "attach" && reply.status == 502 {
            // Nobody can tell whether the call was read, so it is not repeated.
            assert!(reply.text().contains("container exit code 2"));
            continue;
        }
        assert_eq!(
            (reply.status, reply.text()),
            (500, "failed".to_owned()),
            "{n}"
        );
    }
    eventually("the next answer", async || {
        post(&gateway, "http", "", "next").await.text() == "next"
    })
    .await;
}

// C1, C4, C18, B1
async fn failures_are_told_in_every_format(backend: Backend) {
    let gateway = with_every_format(backend, 3).await;
    for format in FORMATS {
        let crash = match format {
            "http-stream" => "error receiving function response",
            _ => "container exit code 3",
        };
        let garbage = match format {
            "http" => "invalid http response from function err: not HTTP",
            "http-stream" => "error receiving function response",
            _ => "invalid json response from function err: not an answer",
        };
        let cases = [
            ("exit&code=3", 502, crash),
            ("garbage", 502, garbage),
            ("neverread", 504, "Timed out"),
            ("sleep&ms=60000", 504, "Timed out"),
        ];
        for (mode, status, words) in cases {
            if (format, mode) == ("default", "garbage") {
                // Whatever it writes is its answer.
                continue;
            }
            let reply = post(&gateway, format, &format!("?mode={mode}"), "x").await;
            assert_eq!(reply.status, status, "{format} {mode}: {}", reply.text());
            assert!(
                reply.text().contains(words),
                "{format} {mode}: {}",
                reply.text()
            );
            let reply = post(&gateway, format, "", "next").await;
            assert_eq!(
                (reply.status, reply.text()),
                (200, "next".to_owned()),
                "{format} {mode}"
            );
        }
    }
}

// A6, and Fn's mapping of triggers.
async fn a_socket_function_gets_and_gives_what_http_clients_mean(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("s", Example::Misbehave, json!({ "format": "http-stream" }))
        .await;
    let request = gateway
        .client()
        .get(gateway.url("/t/t/s?mode=headers"))
        .header("X-Foo", "1")
        .header("Fn-Call-Id", "forged")
        .header("Content-Type", "text/x");
    let reply = gateway.send(request).await;
    let head = reply.text();
    let id = reply.headers["fn-call-id"].to_str().unwrap();
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "POST /call HTTP/1.1");
    let deadline = lines
        .iter()
        .position(|l| l.starts_with("Fn-Deadline: 2"))
        .unwrap();
    assert_eq!(
        lines.remove(deadline).len(),
        "Fn-Deadline: 2025-01-01T00:00:30Z".len()
    );
    assert_eq!(
        lines,
        [
            "Host: localhost",
            "Content-Length: 0",
            "Content-Type: text/x",
            &format!("Fn-Call-Id: {id}"),
            "Fn-Http-H-Accept: */*",
            "Fn-Http-H-Fn-Call-Depth: 1",
            "Fn-Http-H-X-Foo: 1",
            "Fn-Http-Method: GET",
            &format!(
                "Fn-Http-Request-Url: {}",
                gateway.url("/t/t/s?mode=headers")
            ),
            "Fn-Intent: httprequest",
        ]
    );
    // And back: only what it said to the client.
    let reply = gateway.get("/t/t/s?mode=status&code=201").await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["x-function"], "misbehave");
    assert!(
        reply
            .headers
            .keys()
            .all(|n| !n.as_str().starts_with("fn-http")),
        "{:?}",
        reply.headers
    );
    assert!(!reply.headers.contains_key("fn-fdk-version"));
    // Who calls the function itself sees and says all of it.
    let invoke = gateway.invoke_path("s").await;
    let request = gateway
        .client()
        .post(gateway.url(&invoke))
        .header("Fn-Intent", "mine")
        .header("Fn-Http-Request-Url", "/?mode=headers");
    let reply = gateway.send(request).await;
    assert!(
        reply.text().contains("\r\nFn-Intent: mine\r\n"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.headers["fn-http-status"], "200");
    // Whoever asks for the head only costs no container.
    let id = gateway.get("/t/t/s?mode=id").await.text();
    let url = gateway.url("/t/t/s?mode=big&n=1000000");
    assert_eq!(gateway.send(gateway.client().head(url)).await.status, 200);
    let url = gateway.url("/t/t/s?mode=big,status&n=1000000&code=204");
    assert_eq!(gateway.send(gateway.client().get(url)).await.status, 204);
    assert_eq!(gateway.get("/t/t/s?mode=id").await.text(), id);
    // Statuses that are the platform's.
    for (code, status, words) in [
        (502, 502, "function failed"),
        (504, 504, "Timed out"),
        (404, 502, "invalid function response"),
    ] {
        let reply = gateway
            .get(&format!("/t/t/s?mode=transport,status&code={code}"))
            .await;
        assert_eq!(
            (reply.status, reply.text()),
            (status, format!("{{\"message\":\"{words}\"}}\n"))
        );
    }
}

async fn a_socket_function_may_end_its_connections(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("s", Example::Misbehave, json!({ "format": "http-stream" }))
        .await;
    let id = gateway.get("/t/t/s?mode=id").await.text();
    for mode in ["close", "hangup", "transport,status&code=502", "len"] {
        gateway.get(&format!("/t/t/s?mode={mode}")).await;
        assert_eq!(
            gateway.get("/t/t/s?mode=id").await.text(),
            id,
            "after {mode}"
        );
    }
    // A connection that rested is not trusted, and made anew.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(gateway.get("/t/t/s?mode=id").await.text(), id);
    // One that does not read its request loses the connection, and what is left of the request is
    // nobody's.
    let smuggled = format!("{}POST /call HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    for mode in ["early", "ignores"] {
        let path = format!("/t/t/s?mode={mode}");
        let reply = gateway.post(&path, smuggled.clone()).await;
        assert_eq!(reply.status, 200, "{mode}: {}", reply.text());
        let after = gateway.get("/t/t/s?mode=id").await;
        assert_eq!(after.status, 200, "after {mode}: {}", after.text());
        // One that takes the rest for a request may answer it, and is ended for that.
        if mode == "early" {
            assert_eq!(after.text(), id);
        }
    }
    // One that ends itself is replaced. A call that meets its very end may fail: nobody can tell
    // whether it was read.
    assert_eq!(gateway.get("/t/t/s?mode=leave&ms=0").await.status, 200);
    eventually("another container's answer", async || {
        let after = gateway.get("/t/t/s?mode=id").await;
        assert!([200, 502].contains(&after.status), "{}", after.text());
        after.status == 200 && after.text() != id
    })
    .await;
}

async fn a_socket_may_be_made_in_several_ways(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    for how in ["link", "direct", "rename"] {
        let config = json!({ "format": "http-stream", "config": { "MISBEHAVE_LISTEN": how } });
        gateway.function(how, Example::Misbehave, config).await;
        let reply = gateway.post(&format!("/t/t/{how}"), "hello").await;
        assert_eq!(
            (reply.status, reply.text()),
            (200, "hello".to_owned()),
            "{how}"
        );
    }
}

// D3
async fn a_function_without_a_socket_says_so(backend: Backend) {
    let gateway = Gateway::start_with(backend, &[("FN_HOT_START_TIMEOUT_MSECS", "4000")]).await;
    let failed = "Container failed to initialize, please ensure you are using the latest fdk and \
                  check the logs";
    let late = "Container initialization timed out, please ensure you are using the latest fdk and \
                check the logs";
    for (name, config, status, words) in [
        ("exits", json!({ "MISBEHAVE_START": "exit:3" }), 502, failed),
        (
            "outside",
            json!({ "MISBEHAVE_LISTEN": "outside" }),
            502,
            failed,
        ),
        ("file", json!({ "MISBEHAVE_LISTEN": "file" }), 502, failed),
        ("never", json!({ "MISBEHAVE_LISTEN": "never" }), 504, late),
    ] {
        let settings = json!({ "format": "http-stream", "config": config });
        gateway.function(name, Example::Misbehave, settings).await;
        let reply = gateway.get(&format!("/t/t/{name}")).await;
        assert_eq!(
            (reply.status, reply.text()),
            (status, format!("{{\"message\":\"{words}\"}}\n")),
            "{name}"
        );
    }
    gateway.no_containers().await;
}
