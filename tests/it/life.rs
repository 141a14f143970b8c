//! How a gateway ends, and what it finds when it starts again.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends, eventually};

backends!(
    a_call_in_flight_survives_sigterm,
    a_second_signal_ends_it_at_once,
    a_killed_gateways_leftovers_are_gone_after_its_restart,
);

async fn a_call_in_flight_survives_sigterm(backend: Backend) {
    let mut gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway.post("/t/t/m", "warm").await;
    let call = tokio::spawn({
        let (client, url) = (
            gateway.client().clone(),
            gateway.url("/t/t/m?mode=sleep&ms=2000"),
        );
        async move {
            client
                .post(url)
                .body("slow")
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap()
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    gateway.signal(Signal::TERM);
    assert_eq!(call.await.unwrap(), "slow");
    assert_eq!(gateway.exit().await.code(), Some(0), "{}", gateway.log());
    assert!(gateway.containers().await.is_empty());
}

async fn a_second_signal_ends_it_at_once(backend: Backend) {
    let mut gateway = Gateway::start(backend).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway.post("/t/t/m", "warm").await;
    let call = tokio::spawn({
        let (client, url) = (
            gateway.client().clone(),
            gateway.url("/t/t/m?mode=sleep&ms=20000"),
        );
        async move { client.post(url).body("slow").send().await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let began = tokio::time::Instant::now();
    gateway.signal(Signal::TERM);
    eventually("the drain", async || gateway.log().contains("stopping;")).await;
    gateway.signal(Signal::TERM);
    assert!(call.await.unwrap().is_err(), "the call is cut off");
    assert_eq!(gateway.exit().await.code(), Some(0), "{}", gateway.log());
    assert!(
        began.elapsed().as_secs() < 15,
        "it did not wait for the call"
    );
    assert!(gateway.containers().await.is_empty());
}

// D12
async fn a_killed_gateways_leftovers_are_gone_after_its_restart(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let other = Gateway::start(backend).await;
    other.function("m", Example::Misbehave, json!({})).await;
    other.post("/t/t/m", "warm").await;
    let others = other.containers().await;

    let mut first = Gateway::start_in(backend, &data, &[]).await;
    first.function("m", Example::Misbehave, json!({})).await;
    first.post("/t/t/m", "warm").await;
    let left = first.containers().await;
    assert_eq!(left.len(), 1);
    first.signal(Signal::KILL);
    first.exit().await;

    let second = Gateway::start_in(backend, &data, &[]).await;
    let now = second.containers().await;
    assert!(!now.contains(&left[0]), "{} was left behind", left[0]);
    assert_eq!(
        second.post("/t/t/m", "again").await.text(),
        "again",
        "what was deployed is there"
    );
    assert_eq!(
        other.containers().await,
        others,
        "another gateway's are not ours to touch"
    );
    assert_eq!(other.post("/t/t/m", "still").await.text(), "still");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_cannot_share_a_data_folder() {
    let first = Gateway::start(Backend::Process).await;
    let data = first.data().to_str().unwrap();
    let output =
        crate::support::run_cli(&first, &["start", "--port", "0", "--data-dir", data]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("another server uses the data folder"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_not_offered_to_the_network() {
    let first = Gateway::start(Backend::Process).await;
    let args = [
        "start",
        "--port",
        "0",
        "--host",
        "0.0.0.0",
        "--launcher",
        "process",
    ];
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data-dir", dir.path().to_str().unwrap()];
    let output = crate::support::run_cli(&first, &[&args[..], &data].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--host 0.0.0.0 is not allowed"), "{said}");
}
