//! How a gateway ends, and what it finds when it starts again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends, eventually};

backends!(
    a_call_in_flight_survives_sigterm,
    a_second_signal_ends_it_at_once,
    a_killed_gateways_leftovers_are_gone_after_its_restart,
    a_drained_server_finishes_its_calls_and_takes_no_more,
    fifty_deploys_under_load_lose_no_call,
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
    gateway.has_a_call().await;
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
    gateway.has_a_call().await;
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

async fn a_drained_server_finishes_its_calls_and_takes_no_more(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let kept = json!({ "annotations": { "kiln/scale": { "min": 1 } } });
    gateway.function("m", Example::Misbehave, kept).await;
    gateway.post("/t/t/m", "warm").await;
    let url = gateway.url("/v2/drain");
    let state = async || gateway.get("/v2/drain").await.text().trim().to_owned();
    assert_eq!(state().await, r#"{"state":"serving","calls":0}"#);
    let slow = gateway.post("/t/t/m?mode=sleep&ms=3000", "slow");
    let drain = async {
        gateway.has_a_call().await;
        let reply = gateway.send(gateway.client().post(&url)).await;
        let told = r#"{"state":"draining","calls":1}"#;
        assert_eq!((reply.status, reply.text().trim()), (202, told));
        let refused = gateway.post("/t/t/m", "x").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(gateway.get("/v2/apps").await.status, 200);
    };
    let (slow, ()) = tokio::join!(slow, drain);
    assert_eq!((slow.status, slow.text().as_str()), (200, "slow"));
    eventually("the drain", async || state().await.contains("drained")).await;
    gateway.no_containers().await;

    let reply = gateway.send(gateway.client().delete(&url)).await;
    assert_eq!(reply.text().trim(), r#"{"state":"serving","calls":0}"#);
    eventually("the kept container", async || {
        gateway.containers().await.len() == 1
    })
    .await;
    assert_eq!(gateway.post("/t/t/m", "back").await.text(), "back");
}

// E2: nobody waits longer than for a start, nobody is refused, and who calls after a deploy gets
// what it deployed.
async fn fifty_deploys_under_load_lose_no_call(backend: Backend) {
    const DEPLOYS: usize = 50;
    let gateway = Gateway::start(backend).await;
    gateway
        .function(
            "m",
            Example::Misbehave,
            json!({ "config": { "REVISION": "0" } }),
        )
        .await;
    let id = gateway.invoke_path("m").await.replace("/invoke/", "");
    let revision = async || {
        let reply = gateway.post("/t/t/m?mode=env", "x").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let env = reply.text();
        let line = env.lines().find_map(|line| line.strip_prefix("REVISION="));
        line.unwrap().parse::<usize>().unwrap()
    };
    let deployed = AtomicUsize::new(0);
    let calls = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let caller = async || {
        while !done.load(Ordering::SeqCst) {
            let before = deployed.load(Ordering::SeqCst);
            let got = revision().await;
            assert!(got >= before, "revision {got} after {before} was deployed");
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let deployer = async {
        for number in 1..=DEPLOYS {
            let change = json!({ "config": { "REVISION": number.to_string() } });
            let url = gateway.url(&format!("/v2/fns/{id}"));
            let reply = gateway.send(gateway.client().put(url).json(&change)).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            deployed.store(number, Ordering::SeqCst);
            let before = calls.load(Ordering::SeqCst);
            eventually("calls of this revision", async || {
                calls.load(Ordering::SeqCst) > before + 4
            })
            .await;
        }
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(deployer, join_all((0..4).map(|_| caller())));
    eprintln!(
        "{backend:?}: {} calls over {DEPLOYS} deploys",
        calls.load(Ordering::SeqCst)
    );
    assert_eq!(revision().await, DEPLOYS);
    eventually("the last revision's containers", async || {
        gateway.containers().await.len() <= 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_log_nobody_reads_serves_on() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_fn"))
        .args([
            "start",
            "--port",
            "0",
            "--launcher",
            "process",
            "--data-dir",
        ])
        .arg(dir.path())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let address = loop {
        let line = log.next_line().await.unwrap().unwrap();
        if let Some((_, rest)) = line.split_once("listens on ") {
            break rest.split_whitespace().next().unwrap().to_owned();
        }
    };
    drop(log);
    let health = gateway_health(&address).await;
    assert_eq!(health, 200);
    // The end writes to the log, too.
    let pid = rustix::process::Pid::from_raw(server.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::time::timeout(crate::support::PATIENCE, server.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

async fn gateway_health(address: &str) -> u16 {
    let host = address.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request)
        .await
        .unwrap();
    let answer = crate::support::read_answer(&mut stream).await;
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
