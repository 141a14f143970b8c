//! Several functions on one machine: who gets what of it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, Reply, backends, eventually};

backends!(
    idle_containers_make_room_for_another_function,
    what_can_never_fit_is_refused_at_once,
    a_thousand_first_calls_start_few_containers,
    a_flooded_function_leaves_the_other_its_pace,
);

const MB: u64 = 1 << 20;

/// Room for four containers of 64 MB.
async fn small(backend: Backend) -> Gateway {
    let bytes = (256 * MB).to_string();
    Gateway::start_with(backend, &[("FN_MAX_TOTAL_MEMORY_BYTES", &bytes)]).await
}

async fn calls(gateway: &Gateway, path: &str, count: usize) -> Vec<Reply> {
    join_all((0..count).map(|_| gateway.post(path, "x"))).await
}

fn all_answered(replies: &[Reply]) {
    for reply in replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

// E4
async fn idle_containers_make_room_for_another_function(backend: Backend) {
    let gateway = small(backend).await;
    let kept = json!({ "annotations": { "kiln/scale": { "min": 1 } } });
    gateway.function("kept", Example::Misbehave, kept).await;
    gateway
        .function("other", Example::Misbehave, json!({}))
        .await;
    let status = format!("{}/scale", gateway.invoke_path("kept").await);
    let status = status.replace("/invoke/", "/v2/fns/");
    eventually("the kept container", async || {
        let reply = gateway.get(&status).await;
        let there = gateway.containers().await.len();
        there == 1 && reply.text().contains(r#""idle":1"#)
    })
    .await;
    let watch = async {
        loop {
            let containers = gateway.containers().await;
            assert!(containers.len() <= 4, "{containers:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let work = async {
        all_answered(&calls(&gateway, "/t/t/kept?mode=sleep&ms=4000", 4).await);
        assert_eq!(gateway.containers().await.len(), 4);
        all_answered(&calls(&gateway, "/t/t/other?mode=sleep&ms=1500", 8).await);
        all_answered(&calls(&gateway, "/t/t/kept", 1).await);
    };
    tokio::select! {
        () = work => {}
        () = watch => unreachable!("the watch has no end"),
    }
    let log = gateway.log();
    let made_room = log.matches("made room for another function's");
    assert_eq!(made_room.count(), 3, "the last one that is kept has stayed");
}

// E4
async fn what_can_never_fit_is_refused_at_once(backend: Backend) {
    let gateway = small(backend).await;
    for (name, min) in [("huge", 0), ("kept", 2)] {
        let settings = json!({
            "memory": 257, "annotations": { "kiln/scale": { "min": min } },
        });
        gateway.function(name, Example::Hello, settings).await;
        let reply = gateway.post(&format!("/t/t/{name}"), "x").await;
        let told = "Requested CPU/Memory cannot be allocated: a container takes 257 MB of \
                    memory, and there are 256 MB for all of them";
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains(told), "{}", reply.text());
    }
    assert!(gateway.containers().await.is_empty());
}

// D4
async fn a_thousand_first_calls_start_few_containers(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("cold", Example::Hello, json!({})).await;
    all_answered(&calls(&gateway, "/t/t/cold", 1000).await);
    let starts = gateway.log().matches("container started").count();
    eprintln!("{backend:?}: 1000 first calls started {starts} containers");
    // A process is there sooner than the calls before one are answered.
    let few = if backend.is_docker() { 32 } else { 64 };
    assert!(starts <= few, "{starts} containers");
}

/// The 99th of a hundred.
async fn p99(gateway: &Gateway, path: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        let reply = gateway.post(path, "x").await;
        times.push(began.elapsed());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    times.sort_unstable();
    times[98]
}

// E5: a full machine, and far more calls than it has containers for.
async fn a_flooded_function_leaves_the_other_its_pace(backend: Backend) {
    let gateway = small(backend).await;
    for name in ["flood", "quiet"] {
        gateway.function(name, Example::Misbehave, json!({})).await;
    }
    let path = "/t/t/quiet?mode=sleep&ms=20";
    all_answered(&calls(&gateway, path, 1).await);
    let alone = p99(&gateway, path).await;
    let flood = async {
        let caller = async || {
            loop {
                let reply = gateway.post("/t/t/flood?mode=sleep&ms=20", "x").await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        };
        join_all((0..100).map(|_| caller())).await;
    };
    let quiet = async {
        eventually("the flood", async || {
            // Called all the time, or its container would be free for the flood.
            all_answered(&calls(&gateway, path, 1).await);
            gateway.log().matches("container started").count() >= 4
        })
        .await;
        p99(&gateway, path).await
    };
    let beside = tokio::select! {
        beside = quiet => beside,
        _ = flood => unreachable!("the flood has no end"),
    };
    // Told, not asserted: times depend on what else this machine does.
    eprintln!("{backend:?}: p99 alone {alone:?}, beside a flood {beside:?}");
    let log = gateway.log();
    let given_up = log
        .lines()
        .filter(|line| line.contains("made room") && line.contains("function=quiet"));
    assert_eq!(given_up.count(), 0, "the flood took the other's container");
}
