//! What only an engine can show.

use std::process::{Command, Stdio};

use bollard::Docker;
use bollard::query_parameters::{BuildImageOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::TryStreamExt;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, eventually};

/// A client of the engine at `host`, as `DOCKER_HOST`, or of the one of everybody.
fn client(host: Option<&str>) -> Docker {
    let path = host.map(|host| host.strip_prefix("unix://").unwrap());
    match path {
        Some(path) => Docker::connect_with_unix(path, 60, bollard::API_DEFAULT_VERSION).unwrap(),
        None => Docker::connect_with_unix_defaults().unwrap(),
    }
}

/// The functions' containers.
pub(crate) async fn containers(host: Option<&str>, identity: &str) -> Vec<String> {
    labelled(host, identity, |role| role.is_none()).await
}

/// The containers of the gateway `identity` whose role is a wanted one.
pub(crate) async fn labelled(
    host: Option<&str>,
    identity: &str,
    wanted: impl Fn(Option<&String>) -> bool,
) -> Vec<String> {
    let label = format!("kiln.instance={identity}");
    let filters = std::collections::HashMap::from([("label".to_owned(), vec![label])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let found = client(host).list_containers(Some(options)).await.unwrap();
    found
        .into_iter()
        .filter(|c| wanted(c.labels.as_ref().and_then(|l| l.get("kiln.role"))))
        .filter_map(|c| c.id)
        .collect()
}

/// Of a container's first process; 0 if it does not run.
pub(crate) async fn pid(id: &str) -> i64 {
    let docker = Docker::connect_with_unix_defaults().unwrap();
    match docker.inspect_container(id, None).await {
        Ok(found) => found.state.unwrap().pid.unwrap(),
        Err(_) => 0,
    }
}

/// For the end of a test, which has no runtime to await on. What the engine was just asked to make
/// comes a moment later.
pub(crate) fn remove_all(host: Option<&str>, identity: &str) {
    let script = format!(
        "end() {{ docker ps -aq --filter label=kiln.instance={identity} | xargs -r docker rm -f; }}
         end >/dev/null
         (sleep 3; end) >/dev/null 2>&1 &
         grep -F 'kiln-{identity}/' /proc/mounts | cut -d' ' -f2 | xargs -r umount -l"
    );
    let mut shell = Command::new("timeout");
    shell.args(["30", "sh", "-c", &script]);
    if let Some(host) = host {
        shell.env("DOCKER_HOST", host).stderr(Stdio::null());
    }
    let _ = shell.status();
}

/// Builds an image from a Dockerfile and nothing else.
async fn image(tag: &str, dockerfile: &str) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
        .unwrap();
    let options = BuildImageOptionsBuilder::default().t(tag).rm(true).build();
    let body = bollard::body_full(tar.into_inner().unwrap().into());
    let docker = Docker::connect_with_unix_defaults().unwrap();
    docker
        .build_image(options, None, Some(body))
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
}

// D5, C18
#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_memory_is_named_with_the_limit() {
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        gateway
            .function("m", Example::Misbehave, json!({"memory": 32}))
            .await;
        let reply = gateway.post("/t/t/m?mode=alloc&mb=256", "").await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(
            reply.text().contains("container out of memory"),
            "{}",
            reply.text()
        );
        assert!(reply.text().contains("32MB"), "{}", reply.text());
        assert_eq!(
            gateway.post("/t/t/m", "still here").await.text(),
            "still here"
        );
    }
}

// D5: nothing is left of such a body for whoever calls next.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_the_functions_memory_is_the_functions_own_fault() {
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        for format in ["http", "http-stream"] {
            let small = json!({ "memory": 16, "format": format });
            gateway.function(format, Example::Hello, small).await;
            let path = format!("/t/t/{format}");
            assert_eq!(gateway.post(&path, "Ann").await.text(), "Hello Ann\n");
            let reply = gateway.post(&path, vec![b'x'; 64_000_000]).await;
            assert_eq!(reply.status, 502, "{backend:?}: {}", reply.text());
            let words = match format {
                "http" => "container out of memory",
                // As Fn tells the callers of this format, whatever happened.
                _ => "error receiving function response",
            };
            assert!(reply.text().contains(words), "{}", reply.text());
            for name in ["Ben", "Eve"] {
                let reply = gateway.post(&path, name).await;
                assert_eq!(reply.text(), format!("Hello {name}\n"), "{backend:?}");
            }
        }
        assert!(
            gateway.log().contains("blame=\"function\""),
            "{}",
            gateway.log()
        );
    }
}

// D5: the function lives on, and nobody knows in what state.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_lost_a_child_for_its_memory_serves_no_other_call() {
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        gateway
            .function("m", Example::Misbehave, json!({"memory": 32}))
            .await;
        assert_eq!(gateway.post("/t/t/m", "first").await.text(), "first");
        let fed = gateway.containers().await.remove(0);
        let reply = gateway.post("/t/t/m?mode=greedychild&mb=256", "fed").await;
        assert_eq!(reply.text(), "fed", "{backend:?}");
        eventually("another container", async || {
            assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");
            !gateway.containers().await.contains(&fed)
        })
        .await;
    }
}

// D1
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_run_is_reported_in_the_engines_words() {
    let nobody = "FROM scratch\nLABEL kiln.test=1\n";
    image("kiln-test-no-command:1", nobody).await;
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        let base = Example::Misbehave.image(&gateway).await;
        let absent = format!("FROM {base}\nENTRYPOINT [\"/not/there\"]\n");
        image("kiln-test-absent:1", &absent).await;
        gateway
            .function_of("absent", "kiln-test-absent:1", json!({}))
            .await;
        gateway
            .function_of("mute", "kiln-test-no-command:1", json!({}))
            .await;
        gateway
            .function_of("gone", "kiln-test-gone.invalid/x:1", json!({}))
            .await;
        for (name, words) in [
            ("absent", &["/not/there", "o such file or directory"][..]),
            (
                "mute",
                &["kiln-test-no-command:1", "neither ENTRYPOINT nor CMD"],
            ),
            (
                "gone",
                &["Failed to pull image 'kiln-test-gone.invalid/x:1': "],
            ),
        ] {
            let reply = gateway.post(&format!("/t/t/{name}"), "").await;
            assert_eq!(reply.status, 502, "{backend:?} {name}: {}", reply.text());
            for word in words {
                assert!(
                    reply.text().contains(word),
                    "{backend:?} {name}: {}",
                    reply.text()
                );
            }
            assert!(reply.headers.contains_key("fn-call-id"), "{name}");
        }
        gateway.no_containers().await;
    }
}

// D11: the engine's address leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_down_is_a_503_with_the_reason() {
    let host = [("DOCKER_HOST", "unix:///nowhere/docker.sock")];
    let gateway = Gateway::start_with(Backend::Link, &host).await;
    gateway.function_of("f", "any:1", json!({})).await;
    let reply = gateway.post("/t/t/f", "").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply
            .text()
            .contains("the container engine cannot be reached"),
        "{}",
        reply.text()
    );
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(gateway.get("/health").await.status, 200);
}

// The least a function can have: an empty image, no network, no capabilities, another user.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_runs_with_next_to_nothing_and_can_open_its_stdio() {
    for backend in [Backend::Link, Backend::Attach] {
        let none = [
            ("FN_DOCKER_NETWORKS", "none"),
            ("FN_EXPERIMENTAL_PREFORK_POOL_SIZE", "0"),
        ];
        let gateway = Gateway::start_with(backend, &none).await;
        gateway.function("m", Example::Misbehave, json!({})).await;
        let reply = gateway.post("/t/t/m?mode=writeout", "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        if backend == Backend::Link {
            assert!(
                !reply.text().to_lowercase().contains("error"),
                "{}",
                reply.text()
            );
            assert!(reply.text().contains("/dev/stdout: ok"), "{}", reply.text());
            assert!(reply.text().contains("/dev/stderr: ok"), "{}", reply.text());
        }
        let ids = containers(None, &gateway.identity()).await;
        let docker = Docker::connect_with_unix_defaults().unwrap();
        let found = docker.inspect_container(&ids[0], None).await.unwrap();
        let host = found.host_config.unwrap();
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(
            host.security_opt,
            Some(vec!["no-new-privileges".to_owned()])
        );
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.pids_limit, Some(50));
        assert_eq!(found.config.unwrap().user.as_deref(), Some("1000:1000"));
    }
}

// D1, D6: what an image declares as volumes is memory of the container's, bounded; the engine would
// make folders on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn containers_are_bounded_as_the_settings_say() {
    let settings = [
        ("FN_DOCKER_NETWORKS", "none none"),
        ("FN_MAX_PIDS", "20"),
        ("FN_MAX_OPEN_FILES", "100"),
        ("FN_MAX_TMPFS_INODES", "1000"),
    ];
    let gateway = Gateway::start_with(Backend::Link, &settings).await;
    let base = Example::Misbehave.image(&gateway).await;
    let tag = "kiln-test-volumes:1";
    image(tag, &format!("FROM {base}\nVOLUME /data\n")).await;
    gateway.function_of("f", tag, json!({})).await;
    let reply = gateway.post("/t/t/f", "works").await;
    assert_eq!(reply.text(), "works");
    let ids = containers(None, &gateway.identity()).await;
    let docker = Docker::connect_with_unix_defaults().unwrap();
    let found = docker.inspect_container(&ids[0], None).await.unwrap();
    let volumes = found.mounts.unwrap_or_default();
    let is_volume = |m: &bollard::models::MountPoint| m.name.is_some();
    assert!(!volumes.iter().any(is_volume), "{volumes:?}");
    let host = found.host_config.unwrap();
    let options = "size=64m,mode=1777,nr_inodes=1000".to_owned();
    let tmpfs = host.tmpfs.unwrap();
    assert_eq!(tmpfs.get("/data"), Some(&options));
    assert_eq!(tmpfs.get("/tmp"), Some(&options));
    assert_eq!(host.pids_limit, Some(20));
    let limits = host.ulimits.unwrap();
    let nofile = limits.iter().find(|l| l.name.as_deref() == Some("nofile"));
    assert_eq!(nofile.unwrap().hard, Some(100));
    assert_eq!(limits.len(), 4);
}

// D6: threads, files, a full /tmp, the root. The function, and every other, works on.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_all_it_can_gets_its_bounds() {
    let gateway = Gateway::start(Backend::Link).await;
    for name in ["greedy", "other"] {
        let roomy = json!({ "memory": 256 });
        gateway.function(name, Example::Misbehave, roomy).await;
    }
    assert_eq!(gateway.post("/t/t/other", "x").await.text(), "x");
    for _ in 0..2 {
        let reply = gateway.post("/t/t/greedy?mode=grab", "x").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = reply.text();
        let got = |what: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(what));
            line.unwrap().trim().parse::<usize>().unwrap()
        };
        assert!((20..50).contains(&got("threads")), "{text}");
        assert!((300..350).contains(&got("files")), "{text}");
        assert!((40..=64).contains(&got("megabytes")), "{text}");
        assert!(text.contains("root false"), "{text}");
        assert_eq!(gateway.post("/t/t/other", "x").await.text(), "x");
    }
    let starts = gateway.log().matches("container started").count();
    assert_eq!(starts, 2, "both live on");
}

// D6: where a function makes its socket it can make little else, and nothing of it is left.
#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_socket_is_bounded_memory() {
    for backend in [Backend::Link, Backend::Attach] {
        let mut gateway = Gateway::start(backend).await;
        let settings = json!({"format": "http-stream"});
        gateway.function("s", Example::Misbehave, settings).await;
        assert_eq!(gateway.post("/t/t/s", "works").await.text(), "works");
        let ours = format!("kiln-{}/", gateway.identity());
        let mounts = || {
            let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
            mounts
                .lines()
                .filter(|line| line.contains(&ours))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let [mount] = &mounts()[..] else {
            panic!("{:?}", mounts())
        };
        for bound in ["tmpfs", "size=1024k", "nr_inodes=64", "noexec"] {
            assert!(mount.contains(bound), "{mount}");
        }
        gateway.signal(rustix::process::Signal::TERM);
        assert!(gateway.exit().await.success());
        assert!(mounts().is_empty(), "{:?}", mounts());
    }
}

// E2, and Fn's cli#719: the tag stays, the image behind it changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_tag_is_noticed_at_the_next_deploy() {
    let gateway = Gateway::start(Backend::Link).await;
    let base = Example::Misbehave.image(&gateway).await;
    let tag = "kiln-test-rebuilt:1";
    for build in ["one", "two"] {
        image(tag, &format!("FROM {base}\nENV BUILD={build}\n")).await;
        if build == "one" {
            gateway.function_of("f", tag, json!({})).await;
        } else {
            let list = gateway.get("/v2/apps?name=t").await;
            let app: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
            let app = app["items"][0]["id"].as_str().unwrap().to_owned();
            let list = gateway.get(&format!("/v2/fns?app_id={app}&name=f")).await;
            let found: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
            let id = found["items"][0]["id"].as_str().unwrap();
            let url = gateway.url(&format!("/v2/fns/{id}"));
            let put = gateway.client().put(url).json(&json!({"image": tag}));
            assert_eq!(gateway.send(put).await.status, 200);
        }
        let env = gateway.post("/t/t/f?mode=env", "").await.text();
        assert!(env.contains(&format!("BUILD={build}")), "{env}");
    }
}

/// A call that takes long, once it has begun.
pub(crate) async fn long_call(
    gateway: &Gateway,
    path: &str,
) -> tokio::task::JoinHandle<(u16, String)> {
    let (client, url) = (gateway.client().clone(), gateway.url(path));
    let call = tokio::spawn(async move {
        let reply = client.post(url).body("long").send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    });
    gateway.has_a_call().await;
    // And the function reads it.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    call
}

/// Runs the `docker` client; returns what it printed.
fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

// D9, D10
#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_a_container_is_named_and_the_next_call_is_served() {
    for backend in [Backend::Link, Backend::Attach] {
        let (gateway, other) = (Gateway::start(backend).await, Gateway::start(backend).await);
        other.function("m", Example::Misbehave, json!({})).await;
        other.post("/t/t/m", "warm").await;
        let others = other.containers().await;
        gateway.function("m", Example::Misbehave, json!({})).await;
        for (action, cause) in [
            (&["pause"][..], "was paused by somebody else"),
            (&["kill"], "was killed by somebody else"),
            (&["rm", "-f"], "by somebody else"),
        ] {
            assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
            // The one before it may still be on its way out.
            eventually("one container", async || {
                gateway.containers().await.len() == 1
            })
            .await;
            let idle = gateway.containers().await.remove(0);
            docker(&[action, &[idle.as_str()]].concat());
            eventually("the idle container's end", async || {
                !gateway.containers().await.contains(&idle)
            })
            .await;
            assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");

            let call = long_call(&gateway, "/t/t/m?mode=sleep&ms=25000").await;
            let busy = gateway.containers().await.remove(0);
            docker(&[action, &[busy.as_str()]].concat());
            let (status, told) = call.await.unwrap();
            assert_eq!(status, 502, "{backend:?} {action:?}: {told}");
            assert!(told.contains(cause), "{backend:?} {action:?}: {told}");
            assert_eq!(gateway.post("/t/t/m", "after").await.text(), "after");
        }
        assert_eq!(other.containers().await, others, "nobody touched them");
    }
}

// D10: people may call a container whatever they like.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_container_serves_on_and_is_removed() {
    let mut gateway = Gateway::start(Backend::Link).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway.post("/t/t/m", "warm").await;
    let containers = gateway.containers().await;
    let name = format!("renamed-{}", gateway.identity());
    docker(&["rename", &containers[0], &name]);
    assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
    assert_eq!(gateway.containers().await, containers);
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.exit().await.success());
    assert!(gateway.containers().await.is_empty());
}

/// As a server that runs in a container and was given the engine's socket and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_sees_other_files_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let hidden = format!("-t tmpfs hidden {path}");
    let place = ("FN_IOFS_PATH", path);
    let settings = [place, ("FN_DOCKER_STDIO", "auto")];
    let gateway = Gateway::start_apart(Backend::Link, &hidden, &settings).await;
    assert_eq!(gateway.health().await["stdio"], "link");
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway.function("n", Example::Misbehave, json!({})).await;
    // Each is started anew, and all of them are the first.
    let served = ["m", "n", "m", "n"].map(|name| {
        let path = format!("/t/t/{name}?mode=sleep&ms=500");
        let gateway = &gateway;
        async move { gateway.post(&path, "served").await }
    });
    for served in futures_util::future::join_all(served).await {
        assert_eq!(served.status, 200, "{}", served.text());
    }
    assert_eq!(gateway.health().await["stdio"], "attach");
    let noticed = "stdio goes through the engine's API";
    let log = gateway.log();
    assert_eq!(log.matches(noticed).count(), 1, "{log}");

    let listens = json!({"format": "http-stream"});
    gateway.function("s", Example::Misbehave, listens).await;
    let refused = gateway.post("/t/t/s", "refused").await;
    let text = refused.text();
    assert_eq!(refused.status, 502, "{text}");
    assert!(text.contains("FN_IOFS_DOCKER_PATH"), "{text}");

    let settings = [place, ("FN_DOCKER_STDIO", "link")];
    let gateway = Gateway::start_apart(Backend::Link, &hidden, &settings).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let refused = gateway.post("/t/t/m", "refused").await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert!(
        refused.text().contains("FN_DOCKER_STDIO"),
        "{}",
        refused.text()
    );
    assert_eq!(gateway.health().await["stdio"], "link");
}

/// A volume of the engine's; dropping it removes it.
struct Volume(&'static str);

impl Volume {
    fn create(name: &'static str) -> Self {
        docker(&["volume", "create", name]);
        Self(name)
    }

    fn folder(&self) -> String {
        docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", self.0])
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let mut remove = Command::new("docker");
        let _ = remove.args(["volume", "rm", "-f", self.0]).output();
    }
}

/// As a server that runs in a container with a folder of the host's, or with a volume.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_is_told_where_it_finds_the_servers_files() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (ours.path().display(), theirs.path().display());
    let volume = Volume::create("kiln-test-iofs");
    for (folder, seen) in [
        (theirs.to_string(), theirs.to_string()),
        (volume.folder(), volume.0.to_owned()),
    ] {
        let mount = format!("--bind {folder} {ours}");
        let ours = ours.to_string();
        let settings = [
            ("FN_IOFS_PATH", ours.as_str()),
            ("FN_IOFS_DOCKER_PATH", seen.as_str()),
            ("FN_DOCKER_STDIO", "auto"),
        ];
        let gateway = Gateway::start_apart(Backend::Link, &mount, &settings).await;
        for (name, format) in [("m", "http"), ("s", "http-stream")] {
            let settings = json!({"format": format});
            gateway.function(name, Example::Misbehave, settings).await;
            let path = format!("/t/t/{name}");
            assert_eq!(gateway.post(&path, "served").await.text(), "served");
        }
        assert_eq!(gateway.health().await["stdio"], "link", "{seen}");
    }

    let settings = [
        ("FN_IOFS_DOCKER_PATH", "kiln-test-no-volume"),
        ("FN_DOCKER_STDIO", "link"),
    ];
    let gateway = Gateway::start_with(Backend::Link, &settings).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let refused = gateway.post("/t/t/m", "refused").await.text();
    assert!(refused.contains("FN_IOFS_DOCKER_PATH"), "{refused}");
}
