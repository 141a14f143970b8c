//! What functions made with the FDK answer to calls that are wrong: `examples/manners`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Backend, Example, Gateway, backends, deploy, eventually, said};

backends!(
    wrong_calls_are_told_what_is_wrong_and_cost_no_container,
    a_panic_costs_no_container_and_startup_runs_once,
    an_image_without_the_function_says_so,
);

/// A call of `manners`: the method, the path, a header of its own, and the body.
type Call<'a> = (Method, &'a str, Option<(&'a str, &'a str)>, &'a [u8]);

async fn send(gateway: &Gateway, (method, path, header, body): Call<'_>) -> (u16, String, String) {
    let mut request = gateway
        .client()
        .request(method, gateway.url(&format!("/t/a{path}")))
        .body(body.to_vec());
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let reply = gateway.send(request).await;
    let container = reply.headers.get("x-container");
    let container = container.map_or("", |id| id.to_str().unwrap());
    (reply.status, reply.text(), container.to_owned())
}

async fn wrong_calls_are_told_what_is_wrong_and_cost_no_container(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "manners").await;
    let (post, get) = (Method::POST, Method::GET);
    let json = Some(("content-type", "application/json"));
    // `curl -d` says so of all that it sends.
    let form = Some(("content-type", "application/x-www-form-urlencoded"));
    let bomb = "[".repeat(1_000_000);
    // A sound call and its answer; a wrong one, its status, and words of its answer.
    let cases: [(Call<'_>, &str, Call<'_>, u16, &[&str]); 6] = [
        (
            (get.clone(), "/order", None, b""),
            "1 from page 1\n",
            (post.clone(), "/order?page=y", form, br#"{"qty":"x"}"#),
            400,
            &[
                r#"{"error":"cannot read 2 parameters of function 'order'","details":[{"param":"page","message":""#,
                r#"},{"param":"body","message":""#,
            ],
        ),
        (
            (post.clone(), "/order?page=2", form, br#"{"qty":3}"#),
            "3 from page 2\n",
            (
                post.clone(),
                "/order",
                Some(("content-type", "image/png")),
                b"{}",
            ),
            415,
            &["is of content type image/png, expected application/json"],
        ),
        (
            (post.clone(), "/text", None, "grüße".as_bytes()),
            "grüße",
            (post.clone(), "/text", None, b"gr\xfc\xdfe"),
            400,
            &["is not UTF-8"],
        ),
        (
            (post.clone(), "/tree", json, b"[[],[[]]]"),
            "4",
            (post.clone(), "/tree", json, bomb.as_bytes()),
            400,
            &["recursion limit exceeded"],
        ),
        (
            (post.clone(), "/tree", json, b"[]"),
            "1",
            (post, "/tree", json, b"[[]"),
            400,
            &["is not the JSON expected"],
        ),
        (
            (get.clone(), "/key", Some(("x-key", "sesame")), b""),
            "sesame",
            (get, "/key", None, b""),
            400,
            &[r#""param":"x-key""#, "is missing"],
        ),
    ];
    for (sound, answer, wrong, status, words) in cases {
        let (before, text, container) = send(&gateway, sound.clone()).await;
        assert_eq!((before, text.as_str()), (200, answer));
        let (told, text, _) = send(&gateway, wrong).await;
        assert_eq!(told, status, "{text}");
        for words in words {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        let after = send(&gateway, sound).await;
        assert_eq!(
            after,
            (200, answer.to_owned(), container),
            "after {words:?}"
        );
    }
}

async fn a_panic_costs_no_container_and_startup_runs_once(backend: Backend) {
    // What functions log is in the server's own log then.
    let settings = [("FN_LOG_LEVEL", "info,function=debug")];
    let gateway = Gateway::start_with(backend, &settings).await;
    deploy(&gateway, "manners").await;
    let first = gateway.get("/t/a/panic").await;
    let calm = (Method::GET, "/panic", None, &b""[..]);
    let (_, _, container) = send(&gateway, calm.clone()).await;
    for _ in 0..10 {
        let panic = (Method::GET, "/panic?now", None, &b""[..]);
        let (status, text, _) = send(&gateway, panic).await;
        assert_eq!(status, 500, "{text}");
        assert!(!text.contains("asked to"), "that is for the log: {text}");
        let after = send(&gateway, calm.clone()).await;
        assert_eq!(after, (200, "calm\n".to_owned(), container.clone()));
    }
    let count = |text: &str| gateway.log().matches(text).count();
    eventually("the panics in the log", async || {
        count("the function panicked: asked to") >= 10
    })
    .await;
    assert_eq!(count("startup ran"), 1, "{}", gateway.log());
    // Its owner finds it in the log of the first call.
    let id = first.headers["fn-call-id"].to_str().unwrap();
    let get = format!("get logs a panic {id}");
    eventually("the startup in the first call's log", async || {
        said(&gateway, &get).await.out.contains("startup ran")
    })
    .await;
}

// The server's record and the image may disagree: the name is the record's.
async fn an_image_without_the_function_says_so(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("nobody", Example::Manners, json!({}))
        .await;
    let reply = gateway.get("/t/t/nobody").await;
    assert_eq!(reply.status, 404, "{}", reply.text());
    assert_eq!(reply.headers["fn-error"], "unknown-function");
    assert!(
        reply.text().contains("this image has no function"),
        "{}",
        reply.text()
    );
    eventually("a word to the operator", async || {
        let log = gateway.log();
        log.contains("the image does not have the function") && log.contains("function=nobody")
    })
    .await;
    gateway.function("key", Example::Manners, json!({})).await;
    assert_eq!(gateway.get("/t/t/key").await.status, 400);
}
