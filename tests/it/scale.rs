//! How many containers a function is given: the annotation `kiln/scale`, what it does, and what is
//! told of it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Backend, Example, Gateway, Reply, backends, eventually, run_cli};

backends!(
    the_maximum_is_never_exceeded,
    a_target_is_reached_in_steps_that_are_written_down,
    the_minimum_is_warm_after_a_deploy_and_after_a_restart,
    more_waiters_than_allowed_are_told_to_come_later,
    what_containers_use_is_told_when_somebody_asks,
);

async fn function(gateway: &Gateway, scale: Value) {
    let settings = json!({ "annotations": { "kiln/scale": scale }, "idle_timeout": 1 });
    gateway.function("m", Example::Misbehave, settings).await;
}

async fn calls(gateway: &Gateway, count: usize, millis: u32) -> Vec<Reply> {
    let path = format!("/t/t/m?mode=sleep&ms={millis}");
    join_all((0..count).map(|_| gateway.post(&path, "x"))).await
}

async fn status(gateway: &Gateway) -> Value {
    let invoke = gateway.invoke_path("m").await;
    let id = invoke.rsplit('/').next().unwrap();
    let reply = gateway.get(&format!("/v2/fns/{id}/scale")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

async fn what_containers_use_is_told_when_somebody_asks(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    function(&gateway, json!({ "min": 1, "max": 1 })).await;
    assert_eq!(gateway.post("/t/t/m", "works").await.text(), "works");
    let one = status(&gateway).await;
    // Less than a page, or more than the container may have, is something else's.
    let memory = one["memory_bytes"].as_u64();
    assert!(memory >= Some(4096) && memory <= Some(64 << 20), "{one}");
    let cpu = one["cpu_seconds"].as_f64().unwrap();
    assert!((0.0..10.0).contains(&cpu), "{one}");
    // One that is in the middle of a call counts as well.
    let busy = eventually("the call", async || {
        let now = status(&gateway).await;
        now["busy"] == 1 && now["memory_bytes"].as_u64() >= Some(4096)
    });
    let calls = async {
        loop {
            calls(&gateway, 1, 1000).await;
        }
    };
    tokio::select! {
        () = busy => {}
        () = calls => unreachable!("they are made again and again"),
    }
}

async fn the_maximum_is_never_exceeded(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    function(&gateway, json!({ "max": 3 })).await;
    let watch = async {
        let mut seen = BTreeSet::new();
        loop {
            seen.insert(gateway.containers().await.len());
            assert!(*seen.last().unwrap() <= 3, "{seen:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let replies = tokio::select! {
        replies = calls(&gateway, 20, 1000) => replies,
        () = watch => unreachable!("the watch has no end"),
    };
    assert!(replies.iter().all(|reply| reply.status == 200));
    let status = status(&gateway).await;
    assert_eq!(
        (&status["mode"], &status["max"]),
        (&json!("demand"), &json!(3))
    );
}

async fn a_target_is_reached_in_steps_that_are_written_down(backend: Backend) {
    let settings = [("FN_SCALE_LOG", "file:warning")];
    let gateway = Gateway::start_with(backend, &settings).await;
    function(
        &gateway,
        json!({ "mode": "target", "step": 4, "interval": 2 }),
    )
    .await;
    let log = || std::fs::read_to_string(gateway.data().join("scale.log")).unwrap_or_default();
    let first = async { calls(&gateway, 1, 12_000).await };
    let others = async {
        eventually("the first call", async || {
            status(&gateway).await["busy"] == 1
        })
        .await;
        calls(&gateway, 12, 12_000).await
    };
    let (mut replies, others) = tokio::join!(first, others);
    replies.extend(others);
    assert!(replies.iter().all(|reply| reply.status == 200));
    let log = log();
    let deltas: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("delta=+")?.1.split(' ').next())
        .collect();
    assert_eq!(deltas, ["1", "4", "4", "4"], "{log}");
    let told = "mode=target have=1 starting=0 waiting=12 running=1 want=13 vote=out delta=+4 \
                reason=\"13 calls / 1 per container, capped at 4 starts\"";
    assert!(log.contains("fn=t/m ") && log.contains(told), "{log}");

    let output = run_cli(&gateway, &["scale", "t", "m", "--output", "json"]).await;
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["mode"], "target");
    assert!(!shown["samples"].as_array().unwrap().is_empty(), "{shown}");
}

async fn the_minimum_is_warm_after_a_deploy_and_after_a_restart(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut first = Gateway::start_in(backend, &data, &[]).await;
    function(&first, json!({ "min": 2 })).await;
    warm(&first).await;
    // Longer than the idle timeout.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(first.containers().await.len(), 2);
    let before: BTreeSet<String> = first.containers().await.into_iter().collect();
    assert_eq!(first.post("/t/t/m", "x").await.text(), "x");
    assert!(before.is_superset(&first.containers().await.into_iter().collect()));
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.exit().await.code(), Some(0), "{}", first.log());

    let second = Gateway::start_in(backend, &data, &[]).await;
    warm(&second).await;
}

async fn warm(gateway: &Gateway) {
    eventually("two warm containers", async || {
        let status = status(gateway).await;
        status["idle"] == 2 && gateway.containers().await.len() == 2
    })
    .await;
}

async fn more_waiters_than_allowed_are_told_to_come_later(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    function(&gateway, json!({ "max": 2, "max_waiting": 5 })).await;
    let replies = calls(&gateway, 50, 500).await;
    let refused: Vec<_> = replies.iter().filter(|r| r.status == 429).collect();
    assert!(!refused.is_empty());
    assert!(
        refused
            .iter()
            .all(|r| r.headers.contains_key("retry-after"))
    );
    let served = replies.iter().filter(|r| r.status == 200).count();
    assert_eq!(served + refused.len(), 50, "nothing else came of it");
    assert!(served >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_that_cannot_be_is_refused_where_it_is_written() {
    let gateway = Gateway::start(Backend::Process).await;
    function(&gateway, json!({})).await;
    let invoke = gateway.invoke_path("m").await;
    let id = invoke.rsplit('/').next().unwrap();
    let change = json!({ "annotations": { "kiln/scale": { "min": 3, "max": 2 } } });
    let url = gateway.url(&format!("/v2/fns/{id}"));
    let reply = gateway.send(gateway.client().put(url).json(&change)).await;
    assert_eq!(reply.status, 400);
    let told =
        "kiln/scale: min: 3 is not allowed, expected a whole number from 0 to 2, which is max";
    assert!(reply.text().contains(told), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_scale_log_is_refused_before_the_port_is_bound() {
    for value in ["x", "stderr", "a:b:c", "file:all"] {
        let dir = tempfile::tempdir().unwrap();
        let settings = [("FN_SCALE_LOG", value)];
        let mut gateway = Gateway::begin_in(Backend::Process, dir.path(), &settings);
        assert_eq!(gateway.exit().await.code(), Some(2), "{value}");
        eventually("the reason", async || {
            let told = format!("FN_SCALE_LOG: {value} is not allowed, expected stderr or file");
            gateway.log().contains(&told)
        })
        .await;
        assert!(!gateway.log().contains("listens on"));
    }
}

// D2: what one caller's request does to a function is no reason to keep others from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_dies_of_its_calls_is_started_for_each() {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    for _ in 0..5 {
        let reply = gateway.post("/t/t/m?mode=crash", "x").await;
        let code = "container exit code 13";
        assert!(reply.text().contains(code), "{}", reply.text());
    }
    assert_eq!(gateway.post("/t/t/m", "x").await.status, 200);
}

// D2
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_dies_at_every_start_is_not_started_for_each_call() {
    let gateway = Gateway::start(Backend::Process).await;
    let dies = json!({"config": {"MISBEHAVE_START": "exit:3"}});
    gateway.function("m", Example::Misbehave, dies).await;
    let crash = "/t/t/m";
    let mut replies = Vec::new();
    for _ in 0..20 {
        replies.push(gateway.post(crash, "x").await);
    }
    assert!(replies.iter().all(|r| r.status == 502));
    let later = |r: &&Reply| r.headers.contains_key("retry-after");
    assert!(replies.iter().filter(later).count() >= 10);
    let told = replies.last().unwrap();
    assert!(
        told.text().contains("container exit code"),
        "{}",
        told.text()
    );
    assert!(status(&gateway).await["failure"].is_string());
    let starts = || gateway.log().matches("container started").count();
    let before = starts();
    assert!(before < 10, "{before} starts for {} calls", replies.len());
    eventually("the next start", async || {
        gateway.post(crash, "x").await;
        starts() > before
    })
    .await;
}
