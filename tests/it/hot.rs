//! Containers are reused, multiplied and reaped.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends};

backends!(
    calls_in_a_row_share_one_container,
    calls_at_once_run_at_once,
    a_quiet_container_is_reaped,
    a_deleted_function_leaves_no_container,
    a_function_does_not_interrupt_who_calls_it,
);

async fn calls_in_a_row_share_one_container(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        let reply = gateway.post("/t/t/m?mode=id", "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        ids.insert(reply.text());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(gateway.containers().await.len(), 1);
}

async fn calls_at_once_run_at_once(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let calls = (0..20).map(|i| {
        let gateway = &gateway;
        async move {
            // A function answers one call after the other, so an answer that carries another
            // call's body would show two calls in one container.
            let body = format!("call {i}");
            let reply = gateway.post("/t/t/m?mode=sleep&ms=200", body.clone()).await;
            assert_eq!((reply.status, reply.text()), (200, body));
        }
    });
    join_all(calls).await;
    let containers = gateway.containers().await.len();
    assert!((2..=20).contains(&containers), "{containers} containers");
}

async fn a_quiet_container_is_reaped(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"idle_timeout": 2}))
        .await;
    let first = gateway.post("/t/t/m?mode=id", "").await.text();
    assert_eq!(gateway.containers().await.len(), 1);
    gateway.no_containers().await;
    let second = gateway.post("/t/t/m?mode=id", "").await.text();
    assert_ne!(first, second);
}

// E3: and a function of the same name that is made later is another one.
async fn a_deleted_function_leaves_no_container(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    gateway
        .function("m", Example::Misbehave, json!({"idle_timeout": 3600}))
        .await;
    let first = gateway.post("/t/t/m?mode=id", "").await.text();
    let delete = ["delete", "app", "t", "--force"];
    let output = crate::support::run_cli(&gateway, &delete).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(gateway.post("/t/t/m", "").await.status, 404);
    gateway.no_containers().await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    assert_ne!(gateway.post("/t/t/m?mode=id", "").await.text(), first);
}

/// Woken by a call, it would otherwise take the processor from the gateway that is about to hand
/// out others. Over attach nothing of ours runs in the container.
async fn a_function_does_not_interrupt_who_calls_it(backend: Backend) {
    const BATCH: &str = "3";

    let gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    assert_eq!(gateway.post("/t/t/m", "works").await.text(), "works");
    let process = crate::freeze::process(&gateway).await;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let policy = fields.split(' ').nth(38).unwrap();
    assert_eq!(policy == BATCH, backend.stdio() != "attach", "{stat}");
}
