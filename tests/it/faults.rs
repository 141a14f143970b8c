//! Functions that misbehave: their caller learns why, and nobody else notices.

use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends};

backends!(
    a_misbehaving_function_is_named_and_replaced,
    a_call_that_overruns_is_cut_off,
    what_follows_a_response_reaches_nobody,
    a_function_that_fails_at_its_start_says_how,
    a_caller_that_leaves_frees_the_container,
    a_container_that_was_leaving_is_replaced_unseen,
    a_request_that_is_not_read_as_it_should_be_costs_the_container,
    a_child_that_outlives_the_function_holds_nobody_up,
    what_a_function_may_say_is_passed_on_as_it_is,
);

// C1, C4, C5, C6, C8, C11, C16, C18, C19, B1
async fn a_misbehaving_function_is_named_and_replaced(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"timeout": 10}))
        .await;
    for (mode, status, words) in [
        ("exit&code=3", 502, "container exit code 3"),
        ("exit&code=0", 502, "container exit code 0"),
        // As a container's first process it cannot abort, and faults instead: 139, not 134.
        ("crash", 502, "container exit code 13"),
        (
            "garbage",
            502,
            "invalid http response from function err: not HTTP",
        ),
        (
            "prints",
            502,
            "invalid http response from function err: not HTTP",
        ),
        ("nolength", 502, "neither content-length nor chunked"),
        (
            "short",
            502,
            "invalid http response from function err: stream ended after",
        ),
        ("dupcl", 502, "conflicting body lengths"),
        ("clte", 502, "conflicting body lengths"),
        ("wrongid", 502, "another call"),
        ("head100", 200, ""),
        ("status&code=299", 299, ""),
        ("manyheads&n=300", 502, "more than 256 headers"),
        ("bighead&n=100000", 502, "head longer than 65536 bytes"),
        ("flood&n=5000000", 200, ""),
        ("early", 200, ""),
    ] {
        let reply = gateway.post(&format!("/t/t/m?mode={mode}"), "body").await;
        assert_eq!(reply.status, status, "{mode}: {}", reply.text());
        assert!(reply.text().contains(words), "{mode}: {}", reply.text());
        assert!(reply.headers.contains_key("fn-call-id"), "{mode}");
        assert!(reply.headers.contains_key("fn_call_id"), "{mode}");
        if status == 502 {
            assert_eq!(
                reply.headers["content-type"],
                "application/json; charset=utf-8"
            );
            assert!(reply.text().starts_with("{\"message\":\"") && reply.text().ends_with("}\n"));
        }
        let after = gateway.post("/t/t/m", "next").await;
        assert_eq!(
            (after.status, after.text()),
            (200, "next".to_owned()),
            "after {mode}"
        );
    }
    // Over the engine's API a closed stream is not told apart from a silent one.
    if backend.stdio() != "attach" {
        let reply = gateway.post("/t/t/m?mode=closeout", "").await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(
            reply.text().contains("closed its stdout"),
            "{}",
            reply.text()
        );
    }
}

// C14, D3, B1
async fn a_call_that_overruns_is_cut_off(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"timeout": 1}))
        .await;
    let id = gateway.post("/t/t/m?mode=id", "").await.text();
    for mode in ["sleep&ms=60000", "neverread", "drip&ms=60000"] {
        let began = tokio::time::Instant::now();
        let reply = gateway
            .post(&format!("/t/t/m?mode={mode}"), vec![0; 1 << 20])
            .await;
        assert_eq!(reply.status, 504, "{mode}: {}", reply.text());
        assert_eq!(reply.text(), "{\"message\":\"Timed out\"}\n");
        assert!(began.elapsed().as_secs() >= 1, "{mode}");
        assert_ne!(
            gateway.post("/t/t/m?mode=id", "").await.text(),
            id,
            "after {mode}"
        );
    }
    // What has been passed on by then cannot be taken back, but never looks complete.
    let id = gateway.post("/t/t/m?mode=id", "").await.text();
    let url = gateway.url("/t/t/m?mode=stall");
    let reply = gateway
        .client()
        .post(url)
        .body("half")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.bytes().await.is_err());
    assert_ne!(gateway.post("/t/t/m?mode=id", "").await.text(), id);
}

// C2, C3
async fn what_follows_a_response_reaches_nobody(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    for mode in ["extra", "extra2"] {
        let id = gateway.post("/t/t/m?mode=id", "").await.text();
        let reply = gateway.post(&format!("/t/t/m?mode={mode}"), "mine").await;
        assert_eq!(
            (reply.status, reply.text()),
            (200, "mine".to_owned()),
            "{mode}"
        );
        let reply = gateway.post("/t/t/m?mode=id", "").await;
        assert_eq!(reply.status, 200, "{mode}: {}", reply.text());
        assert_ne!(reply.text(), id, "the container is retired after {mode}");
    }
    // Junk that comes while the container idles retires it without a call.
    gateway.post("/t/t/m?mode=late&ms=50", "mine").await;
    gateway.no_containers().await;
    assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");
}

// D2: and a start that fails is no reason to start again and again.
async fn a_function_that_fails_at_its_start_says_how(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let start = |how: &str| json!({"config": {"MISBEHAVE_START": how}});
    gateway
        .function("dies", Example::Misbehave, start("exit:9"))
        .await;
    gateway
        .function("banner", Example::Misbehave, start("garbage"))
        .await;
    gateway
        .function("slow", Example::Misbehave, start("sleep:500"))
        .await;
    let reply = gateway.post("/t/t/dies", "").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        reply.text().contains("container exit code 9"),
        "{}",
        reply.text()
    );
    let reply = gateway.post("/t/t/banner", "").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        reply.text().contains("Starting up, please wait"),
        "{}",
        reply.text()
    );
    assert_eq!(gateway.post("/t/t/slow", "x").await.text(), "x");
    assert_eq!(
        gateway.log().matches("container started").count(),
        3,
        "{}",
        gateway.log()
    );
}

// A10, C21: an answer that comes after its caller has gone reaches nobody.
async fn a_caller_that_leaves_frees_the_container(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway.post("/t/t/m", "").await;
    let url = gateway.url("/t/t/m?mode=sleep&ms=60000");
    let call = gateway.client().post(url).body("x").send();
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(300), call)
            .await
            .is_err()
    );
    gateway.no_containers().await;
    assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");
}

// A reused container that has stopped reading, and is about to end, has not seen the call.
async fn a_container_that_was_leaving_is_replaced_unseen(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    assert_eq!(
        gateway
            .post("/t/t/m?mode=leave&ms=300", "first")
            .await
            .text(),
        "first"
    );
    let reply = gateway.post("/t/t/m", "second").await;
    // Over the engine's API nobody can tell whether the call was read, so it is not repeated.
    if backend.stdio() == "attach" && reply.status == 502 {
        assert!(
            reply.text().contains("container exit code 2"),
            "{}",
            reply.text()
        );
    } else {
        assert_eq!((reply.status, reply.text()), (200, "second".to_owned()));
    }
    assert_eq!(gateway.post("/t/t/m", "third").await.text(), "third");
}

// B2, B6, B7, C13: one that stops reading may still answer; one that reads too much waits for
// what never comes. Neither sees the next request.
async fn a_request_that_is_not_read_as_it_should_be_costs_the_container(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"timeout": 2}))
        .await;
    for (mode, status) in [("shuts", 200), ("early", 200), ("overread", 504)] {
        let id = gateway.post("/t/t/m?mode=id", "").await.text();
        let reply = gateway
            .post(&format!("/t/t/m?mode={mode}"), vec![b'x'; 1 << 20])
            .await;
        assert_eq!(reply.status, status, "{mode}: {}", reply.text());
        let after = gateway.post("/t/t/m?mode=id", "").await;
        assert_eq!(after.status, 200, "after {mode}: {}", after.text());
        // One that answered early reads the rest by itself, and may do so in time.
        if mode != "early" {
            assert_ne!(after.text(), id, "after {mode}");
        }
    }
}

// C17: a grandchild that holds stdout open is ended with its parent.
async fn a_child_that_outlives_the_function_holds_nobody_up(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"timeout": 30}))
        .await;
    let began = tokio::time::Instant::now();
    let reply = gateway
        .post("/t/t/m?mode=grandchild,exit&ms=60000&code=3", "")
        .await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        reply.text().contains("container exit code 3"),
        "{}",
        reply.text()
    );
    assert!(began.elapsed().as_secs() < 20, "nobody waits for the child");
    gateway.no_containers().await;
}

// C9, C10, C12
async fn what_a_function_may_say_is_passed_on_as_it_is(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for code in [201, 205, 206, 301, 307, 404, 418, 500, 503, 599] {
        let url = gateway.url(&format!("/t/t/m?mode=status&code={code}"));
        let reply = gateway.send(client.post(url).body("said")).await;
        assert_eq!((reply.status, reply.text()), (code, "said".to_owned()));
    }
    for code in [204, 304] {
        let url = gateway.url(&format!("/t/t/m?mode=status&code={code}"));
        let reply = gateway.send(client.post(url).body("said")).await;
        assert_eq!((reply.status, reply.text()), (code, String::new()));
    }
    let id = gateway.get("/t/t/m?mode=id").await.text();
    let url = gateway.url("/t/t/m?mode=status,forcebody&code=204");
    let reply = gateway.send(client.post(url).body("said")).await;
    assert_ne!(reply.text(), "said", "204 has no body, whatever follows");
    assert_ne!(gateway.get("/t/t/m?mode=id").await.text(), id);
    for code in [99, 101, 600, 999] {
        let url = gateway.url(&format!("/t/t/m?mode=status&code={code}"));
        let reply = gateway.send(client.post(url).body("said")).await;
        assert_eq!(reply.status, 502, "{code}: {}", reply.text());
    }
    let reply = gateway.get("/t/t/m?mode=hops").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let cookies = reply.headers.get_all("set-cookie").iter();
    assert_eq!(cookies.collect::<Vec<_>>(), ["a=1", "b=2"]);
    for name in [
        "keep-alive",
        "upgrade",
        "proxy-authenticate",
        "x-hop",
        "trailer",
    ] {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
    assert_ne!(reply.headers["fn-call-id"], "forged");
}
