//! What is remembered of calls.

use serde_json::{Value, json};

use crate::support::{Backend, Example, Gateway, backends, eventually, run_cli};

backends!(
    every_call_leaves_a_record_and_its_own_log,
    a_call_of_a_route_is_found_by_old_clients,
);

/// The JSON at `path`, once it is there: records are written behind the calls' backs.
async fn recorded(gateway: &Gateway, path: &str) -> Value {
    eventually("the record", async || gateway.get(path).await.status == 200).await;
    serde_json::from_slice(&gateway.get(path).await.body).unwrap()
}

// I1
async fn every_call_leaves_a_record_and_its_own_log(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"timeout": 1}))
        .await;
    let found: Value = serde_json::from_slice(&gateway.get("/v2/apps?name=t").await.body).unwrap();
    let app = found["items"][0]["id"].as_str().unwrap().to_owned();
    let list = gateway.get(&format!("/v2/fns?app_id={app}")).await;
    let found: Value = serde_json::from_slice(&list.body).unwrap();
    let function = found["items"][0]["id"].as_str().unwrap().to_owned();

    for (mode, status, error, blame, log) in [
        ("echo", "success", None, None, Some(0)),
        ("flood&n=300", "success", None, None, Some(300)),
        ("echo", "success", None, None, Some(0)),
        (
            "exit&code=3",
            "error",
            Some("container exit code 3"),
            Some("function"),
            None,
        ),
        (
            "sleep&ms=60000",
            "timeout",
            Some("Timed out"),
            Some("function"),
            None,
        ),
    ] {
        let reply = gateway.post(&format!("/t/t/m?mode={mode}"), "x").await;
        let id = reply.headers["fn-call-id"].to_str().unwrap();
        let path = format!("/v2/fns/{function}/calls/{id}");
        let call = recorded(&gateway, &path).await;
        assert_eq!(call["id"], id, "{mode}");
        assert_eq!(call["status"], status, "{mode}: {call}");
        assert_eq!(call["error"].as_str(), error, "{mode}: {call}");
        assert_eq!(call["blame"].as_str(), blame, "{mode}: {call}");
        assert!(
            call["created_at"].as_str() <= call["started_at"].as_str(),
            "{call}"
        );
        assert!(
            call["started_at"].as_str() <= call["completed_at"].as_str(),
            "{call}"
        );
        // Over the engine's API the log travels apart from the response and may come late.
        if let Some(bytes) = log
            && backend.stdio() != "attach"
        {
            let log = recorded(&gateway, &format!("{path}/log")).await;
            assert_eq!(log["log"].as_str().unwrap().len(), bytes, "{mode}: {log}");
        }
    }

    let listed = recorded(&gateway, &format!("/v2/fns/{function}/calls")).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 5);
    let output = run_cli(&gateway, &["list", "calls", "t", "m", "--output", "json"]).await;
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("\"timeout\""),
        "{output:?}"
    );
}

async fn a_call_of_a_route_is_found_by_old_clients(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let image = Example::Misbehave.image(&gateway).await;
    let route = json!({"route": {"image": image, "format": "http", "memory": 64}});
    let put = gateway
        .client()
        .put(gateway.url("/v1/apps/old/routes/m"))
        .json(&route);
    assert_eq!(gateway.send(put).await.status, 200);
    let reply = gateway.post("/r/old/m?mode=flood&n=100", "x").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.headers["fn_call_id"].to_str().unwrap();
    let call = recorded(&gateway, &format!("/v1/apps/old/calls/{id}")).await;
    assert_eq!(call["call"]["status"], "success", "{call}");
    assert_eq!(call["call"]["path"], "/m", "{call}");
    if backend.stdio() != "attach" {
        let output = run_cli(&gateway, &["logs", "get", "old", "last"]).await;
        assert!(output.stdout.len() >= 100, "{output:?}");
    }
}

// A server that ends writes down what it still remembers.
#[tokio::test(flavor = "multi_thread")]
async fn records_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut first = Gateway::start_in(Backend::Process, &data, &[]).await;
    first.function("m", Example::Misbehave, json!({})).await;
    let id = first.post("/t/t/m", "x").await.headers["fn-call-id"].clone();
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.exit().await.code(), Some(0));
    let second = Gateway::start_in(Backend::Process, &data, &[]).await;
    let reply = second
        .get(&format!("/v1/apps/t/calls/{}", id.to_str().unwrap()))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

// Records are written behind the calls' backs, but not behind the back of who looks for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_answered_can_be_looked_up_at_once() {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    for size in 1..=30 {
        let reply = gateway
            .post(&format!("/t/t/m?mode=flood&n={size}"), "x")
            .await;
        let id = reply.headers["fn-call-id"].to_str().unwrap().to_owned();
        let log = gateway.get(&format!("/v1/apps/t/calls/{id}/log")).await;
        assert_eq!(log.status, 200, "{}", log.text());
        let log: Value = serde_json::from_slice(&log.body).unwrap();
        assert_eq!(log["log"]["log"].as_str().unwrap().len(), size, "{log}");
    }
    let reply = gateway.post("/t/t/m?mode=flood&n=77", "x").await;
    assert_eq!(reply.status, 200);
    let output = run_cli(&gateway, &["get", "logs", "t", "m", "last"]).await;
    assert_eq!(output.stdout.len(), 77, "{output:?}");
}
