//! Containers that stand still while nobody calls: `FN_FREEZE_IDLE_MSECS`.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, backends, eventually};

const AT_ONCE: [(&str, &str); 1] = [("FN_FREEZE_IDLE_MSECS", "0")];

backends!(
    a_container_stands_still_between_calls_and_answers_the_next,
    a_frozen_container_ends_with_its_function_and_with_the_server,
    a_killed_gateways_frozen_containers_are_gone_after_its_restart,
);

/// A process of the only container.
pub(crate) async fn process(gateway: &Gateway) -> String {
    let containers = gateway.containers().await;
    let [container] = &containers[..] else {
        panic!("{containers:?}");
    };
    #[cfg(feature = "docker-tests")]
    if gateway.backend().is_docker() {
        return crate::docker::pid(container).await.to_string();
    }
    container.clone()
}

/// Whether a process may not run: stopped by a signal, or by its control group of either version.
fn is_frozen(process: &str) -> bool {
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}"));
    let Ok(groups) = proc("cgroup") else {
        return false;
    };
    let group = |line: &str| {
        let (controller, path) = line.split_once(':')?.1.split_once(':')?;
        Some(match controller {
            "freezer" => (
                format!("/sys/fs/cgroup/freezer{path}/freezer.state"),
                "FROZEN",
            ),
            "" => (format!("/sys/fs/cgroup{path}/cgroup.freeze"), "1"),
            _ => return None,
        })
    };
    let frozen = |(file, wanted): (String, &str)| {
        std::fs::read_to_string(file).is_ok_and(|state| state.trim() == wanted)
    };
    proc("stat").is_ok_and(|stat| stat.contains(") T "))
        || groups.lines().filter_map(group).any(frozen)
}

/// A gateway with one container, which is frozen.
async fn frozen(gateway: &Gateway) -> String {
    gateway.function("m", Example::Misbehave, json!({})).await;
    assert_eq!(gateway.post("/t/t/m", "works").await.text(), "works");
    let process = process(gateway).await;
    eventually("the freeze", async || is_frozen(&process)).await;
    process
}

async fn a_container_stands_still_between_calls_and_answers_the_next(backend: Backend) {
    let gateway = Gateway::start_with(backend, &AT_ONCE).await;
    let before = frozen(&gateway).await;
    for round in 0..5 {
        let body = format!("round {round}");
        assert_eq!(gateway.post("/t/t/m", body.clone()).await.text(), body);
        eventually("the freeze", async || is_frozen(&before)).await;
    }
    assert_eq!(process(&gateway).await, before, "it is the same container");
}

async fn a_frozen_container_ends_with_its_function_and_with_the_server(backend: Backend) {
    let mut gateway = Gateway::start_with(backend, &AT_ONCE).await;
    frozen(&gateway).await;
    let delete = ["delete", "app", "t", "--force"];
    let output = crate::support::run_cli(&gateway, &delete).await;
    assert!(output.status.success(), "{output:?}");
    gateway.no_containers().await;
    frozen(&gateway).await;
    gateway.signal(Signal::TERM);
    assert!(gateway.exit().await.success());
    assert!(gateway.containers().await.is_empty());
    assert!(!gateway.log().contains("could not be removed"));
}

// D12: the engine cannot end what it does not know to be frozen.
async fn a_killed_gateways_frozen_containers_are_gone_after_its_restart(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut first = Gateway::start_in(backend, &data, &AT_ONCE).await;
    frozen(&first).await;
    let left = first.containers().await;
    first.signal(Signal::KILL);
    first.exit().await;

    let second = Gateway::start_in(backend, &data, &AT_ONCE).await;
    let now = second.containers().await;
    assert!(!now.contains(&left[0]), "{} was left behind", left[0]);
    assert!(!second.log().contains("slow to remove"));
    assert_eq!(second.post("/t/t/m", "again").await.text(), "again");
}
