//! Networks that are prepared for containers to come.

use bollard::Docker;
use bollard::query_parameters::{KillContainerOptions, RemoveContainerOptionsBuilder};
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::docker::{containers, labelled, pid};
use crate::support::{Backend, Example, Gateway, eventually, run_cli};

async fn sleepers(gateway: &Gateway) -> Vec<String> {
    let identity = gateway.identity();
    labelled(None, &identity, |role| role.is_some_and(|r| r == "network")).await
}

async fn all_run(ids: &[String]) -> bool {
    let pids = join_all(ids.iter().map(|id| pid(id))).await;
    pids.iter().all(|pid| *pid > 0)
}

/// Waits until there are `count` that sleep.
async fn prepared(gateway: &Gateway, count: usize) -> Vec<String> {
    eventually("the networks that are prepared", async || {
        let ids = sleepers(gateway).await;
        ids.len() == count && all_run(&ids).await
    })
    .await;
    sleepers(gateway).await
}

fn docker() -> Docker {
    Docker::connect_with_unix_defaults().unwrap()
}

async fn kill(id: &str) {
    let options = None::<KillContainerOptions>;
    docker().kill_container(id, options).await.unwrap();
}

/// What tells the network namespace of a container from others.
async fn namespace(id: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{}/ns/net", pid(id).await)).unwrap();
    link.to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_joins_a_network_that_is_there_already() {
    for backend in [Backend::Link, Backend::Attach] {
        let mut gateway = Gateway::start(backend).await;
        gateway.function("m", Example::Misbehave, json!({})).await;
        let ready = prepared(&gateway, 2).await;
        let ready = join_all(ready.iter().map(|id| namespace(id))).await;
        assert_eq!(gateway.post("/t/t/m", "works").await.text(), "works");
        let [function] = &containers(None, &gateway.identity()).await[..] else {
            panic!("one function, one container");
        };
        assert!(ready.contains(&namespace(function).await));
        let devices = format!("/proc/{}/net/dev", pid(function).await);
        let devices = std::fs::read_to_string(devices).unwrap();
        assert!(devices.contains("eth0"), "{devices}");
        // What was taken is made up for.
        prepared(&gateway, 3).await;
        gateway.signal(Signal::TERM);
        assert!(gateway.exit().await.success());
        let left = labelled(None, &gateway.identity(), |_| true).await;
        assert!(left.is_empty(), "{left:?}");
    }
}

// A sleeping container may do no more than a function may.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_keeps_a_network_can_do_nothing_else() {
    let tag = [("FN_CONTAINER_LABEL_TAG", "mine")];
    let gateway = Gateway::start_with(Backend::Link, &tag).await;
    let ids = prepared(&gateway, 2).await;
    let found = docker().inspect_container(&ids[0], None).await.unwrap();
    let config = found.config.unwrap();
    assert_eq!(config.user.as_deref(), Some("65534:65534"));
    assert_eq!(config.labels.unwrap()["kiln.tag"], "mine");
    assert!(found.name.unwrap().starts_with("/kiln-network-"));
    let host = found.host_config.unwrap();
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.memory_swap, host.memory);
    assert!(host.memory.unwrap() > 0 && host.pids_limit.unwrap() > 0);
    assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("none"));
    let privileges = vec!["no-new-privileges".to_owned()];
    assert_eq!(host.security_opt, Some(privileges));
}

/// The containers, once none of them is on its way or has ended.
async fn running(gateway: &Gateway) -> Vec<String> {
    let listed = async || containers(None, &gateway.identity()).await;
    eventually("nothing but containers that run", async || {
        all_run(&listed().await).await
    })
    .await;
    listed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_containers_are_in_one_network() {
    let gateway = Gateway::start(Backend::Link).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    prepared(&gateway, 2).await;
    for round in 0..3 {
        let calls = (0..4).map(|_| gateway.post("/t/t/m?mode=sleep&ms=500", "x"));
        for reply in join_all(calls).await {
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let ids = running(&gateway).await;
        assert!(ids.len() >= 2, "{ids:?}");
        let mut namespaces = join_all(ids.iter().map(|id| namespace(id))).await;
        namespaces.sort();
        namespaces.dedup();
        assert_eq!(namespaces.len(), ids.len(), "round {round}");
        // They end, and what they used goes back, while others start.
        for id in &ids[..ids.len() / 2] {
            kill(id).await;
        }
    }
}

// D10, D11
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_network_that_is_gone_costs_no_call() {
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        for (name, removed) in [("killed", false), ("removed", true)] {
            gateway.function(name, Example::Misbehave, json!({})).await;
            for id in prepared(&gateway, 2).await {
                if removed {
                    let force = RemoveContainerOptionsBuilder::default().force(true);
                    let options = Some(force.build());
                    docker().remove_container(&id, options).await.unwrap();
                } else {
                    kill(&id).await;
                }
            }
            let reply = gateway.post(&format!("/t/t/{name}"), "works").await;
            assert_eq!((reply.status, reply.text()), (200, "works".to_owned()));
            let told = gateway.log().matches("starting without").count();
            assert_eq!(told, if removed { 2 } else { 1 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_prepared_where_it_is_not_wanted() {
    for (name, value) in [
        ("FN_DOCKER_NETWORKS", "host"),
        ("FN_EXPERIMENTAL_PREFORK_POOL_SIZE", "0"),
    ] {
        let gateway = Gateway::start_with(Backend::Link, &[(name, value)]).await;
        gateway.function("m", Example::Misbehave, json!({})).await;
        assert_eq!(gateway.post("/t/t/m", "works").await.text(), "works");
        assert!(sleepers(&gateway).await.is_empty());
    }
}

// D12
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_listen_leaves_the_engine_alone() {
    let other = Gateway::start(Backend::Process).await;
    let (_, port) = other.address().rsplit_once(':').unwrap();
    let mut gateway = Gateway::start(Backend::Link).await;
    let before = prepared(&gateway, 2).await;
    gateway.signal(Signal::KILL);
    gateway.exit().await;
    let data = ["--data-dir", gateway.data().to_str().unwrap()];
    let start = ["start", "--launcher", "docker", "--port", port];
    let output = run_cli(&other, &[&start[..], &data].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on"), "{said}");
    // Had it begun, it would have removed what was left, and started its own.
    assert_eq!(sleepers(&gateway).await, before);
}
