//! An engine that dies, hangs, comes late or lacks something, under a gateway that stays.

use std::ffi::CStr;

use rustix::process::Signal;
use serde_json::json;

use crate::docker::long_call;
use crate::support::{Backend, Engine, Example, Gateway, eventually};

async fn engine_is(gateway: &Gateway, word: &str) {
    eventually("the word on the engine", async || {
        gateway.health().await["engine"] == word
    })
    .await;
}

/// Calls until the answer is there; until then callers are told why not.
async fn served_at_last(gateway: &Gateway, path: &str, why_not: &str) {
    eventually("an answer", async || {
        let reply = gateway.post(path, "again").await;
        if reply.status != 200 {
            assert!(matches!(reply.status, 502 | 503), "{}", reply.text());
            assert!(reply.text().contains(why_not), "{}", reply.text());
            return false;
        }
        assert_eq!(reply.text(), "again");
        true
    })
    .await;
}

pub(crate) async fn stopped(mut gateway: Gateway) {
    gateway.signal(Signal::TERM);
    assert!(gateway.exit().await.success(), "{}", gateway.log());
}

async fn a_killed_engine(backend: Backend, with_containerd: bool) {
    let mut engine = Engine::start().await;
    let gateway = Gateway::start_on(backend, &engine).await;
    let other = Gateway::start_on(backend, &engine).await;
    engine.load(&gateway, Example::Misbehave).await;
    for gateway in [&gateway, &other] {
        gateway.function("m", Example::Misbehave, json!({})).await;
        assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
    }
    let listens = json!({"format": "http-stream"});
    gateway.function("s", Example::Misbehave, listens).await;
    assert_eq!(gateway.post("/t/t/s", "warm").await.text(), "warm");
    let doomed = json!({"timeout": 120});
    gateway.function("doomed", Example::Misbehave, doomed).await;
    gateway
        .function("cold", Example::Misbehave, json!({}))
        .await;
    assert_eq!(gateway.post("/t/t/doomed", "warm").await.text(), "warm");
    let doomed = long_call(&gateway, "/t/t/doomed?mode=sleep&ms=50000").await;
    assert_eq!(engine.containers().len(), 4);

    if with_containerd {
        engine.kill9_all();
    } else {
        engine.kill9();
    }
    engine_is(&gateway, "down").await;
    for path in ["/t/t/m", "/t/t/s"] {
        let hot = gateway.post(path, "hot").await;
        if backend == Backend::Link {
            assert_eq!(hot.text(), "hot", "no byte of it passes the engine");
        } else {
            assert_eq!(hot.status, 503, "{}", hot.text());
            assert!(
                hot.text().contains("the container engine"),
                "{}",
                hot.text()
            );
        }
    }
    let cold = gateway.post("/t/t/cold", "").await;
    assert_eq!(cold.status, 503, "{}", cold.text());
    assert!(
        cold.text()
            .contains("the container engine cannot be reached"),
        "{}",
        cold.text()
    );
    assert!(cold.headers.contains_key("retry-after"));

    engine.restart().await;
    let (status, told) = doomed.await.unwrap();
    assert_eq!(status, 502, "{told}");
    assert!(told.contains("the container engine went away"), "{told}");
    engine_is(&gateway, "ok").await;
    for path in ["/t/t/m", "/t/t/s", "/t/t/cold"] {
        served_at_last(&gateway, path, "the container engine").await;
    }
    served_at_last(&other, "/t/t/m", "the container engine").await;
    eventually("the removal of what the crash left", async || {
        engine.containers().len() == 4
    })
    .await;
    for once in ["only containers that are there serve", "answers again"] {
        assert_eq!(gateway.log().matches(once).count(), 1, "{}", gateway.log());
    }
    stopped(gateway).await;
    stopped(other).await;
    assert!(engine.leftovers().is_empty(), "{:?}", engine.leftovers());
}

// D11
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_is_survived_over_link() {
    a_killed_engine(Backend::Link, false).await;
}

// D11
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_is_survived_over_attach() {
    a_killed_engine(Backend::Attach, true).await;
}

// D11, D17
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_holds_up_nobody_who_does_not_need_it() {
    let engine = Engine::start().await;
    let gateway = Gateway::start_on(Backend::Link, &engine).await;
    engine.load(&gateway, Example::Misbehave).await;
    for name in ["m", "cold"] {
        gateway.function(name, Example::Misbehave, json!({})).await;
    }
    assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
    engine.freeze();
    let cold = gateway.post("/t/t/cold", "").await;
    assert_eq!(cold.status, 503, "{}", cold.text());
    assert!(cold.text().contains("does not answer"), "{}", cold.text());
    assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
    engine_is(&gateway, "down").await;
    engine.thaw();
    engine_is(&gateway, "ok").await;
    served_at_last(&gateway, "/t/t/cold", "does not answer").await;
    assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
    eventually("the removal of what nobody waits for", async || {
        engine.containers().len() == 2
    })
    .await;
    stopped(gateway).await;
    assert!(engine.leftovers().is_empty(), "{:?}", engine.leftovers());
}

// D11: what passes the engine stops with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_through_an_engine_that_hangs_is_given_up() {
    let engine = Engine::start().await;
    let gateway = Gateway::start_on(Backend::Attach, &engine).await;
    engine.load(&gateway, Example::Misbehave).await;
    gateway
        .function("m", Example::Misbehave, json!({"timeout": 120}))
        .await;
    assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
    let call = long_call(&gateway, "/t/t/m?mode=sleep&ms=50000").await;
    engine.freeze();
    let (status, told) = call.await.unwrap();
    assert_eq!(status, 502, "{told}");
    assert!(told.contains("the container engine"), "{told}");
    engine.thaw();
    served_at_last(&gateway, "/t/t/m", "the container engine").await;
    eventually("the removal of what was given up", async || {
        engine.containers().len() == 1
    })
    .await;
    stopped(gateway).await;
    assert!(engine.leftovers().is_empty(), "{:?}", engine.leftovers());
}

// D11, D12
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_comes_late_is_swept_then() {
    let mut engine = Engine::start().await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let host = engine.host();
    let settings = [("DOCKER_HOST", &*host)];
    let mut first = Gateway::start_in(Backend::Link, &data, &settings).await;
    engine.load(&first, Example::Misbehave).await;
    first.function("m", Example::Misbehave, json!({})).await;
    first.post("/t/t/m", "warm").await;
    let left = engine.containers();
    assert_eq!(left.len(), 1);
    let image = Example::Misbehave.image(&first).await;
    let label = "kiln.instance=somebody-else";
    let foreign = engine.docker(&["create", "--network", "none", "--label", label, &image]);
    first.signal(Signal::KILL);
    first.exit().await;
    engine.stop();

    let second = Gateway::start_in(Backend::Link, &data, &settings).await;
    let early = second.post("/t/t/m", "").await;
    assert_eq!(early.status, 503, "{}", early.text());
    engine.restart().await;
    served_at_last(&second, "/t/t/m", "the container engine").await;
    eventually("the removal of what was left", async || {
        !engine.containers().contains(&left[0])
    })
    .await;
    stopped(second).await;
    assert_eq!(
        engine.containers(),
        [foreign],
        "another gateway's is not ours"
    );
}

// D11, D12
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_ends_without_its_engine_and_cleans_up_later() {
    let mut engine = Engine::start().await;
    let host = engine.host();
    let settings = [("DOCKER_HOST", &*host)];
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut first = Gateway::start_in(Backend::Link, &data, &settings).await;
    engine.load(&first, Example::Misbehave).await;
    first.function("m", Example::Misbehave, json!({})).await;
    first.post("/t/t/m", "warm").await;
    engine.kill9();
    first.signal(Signal::TERM);
    assert!(first.exit().await.success(), "{}", first.log());
    let told = "what is left on it is removed at the next start";
    // Its last line may come after its end.
    eventually(told, async || first.log().contains(told)).await;
    engine.restart().await;
    assert_eq!(engine.containers().len(), 1);
    let second = Gateway::start_in(Backend::Link, &data, &settings).await;
    assert!(engine.containers().is_empty(), "{:?}", engine.containers());
    stopped(second).await;
    assert!(engine.leftovers().is_empty(), "{:?}", engine.leftovers());
}

// D10
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_gone_is_named_until_it_is_back() {
    let engine = Engine::start().await;
    engine.docker(&["network", "create", "shop"]);
    let host = engine.host();
    let settings = [
        ("DOCKER_HOST", &*host),
        ("FN_DOCKER_NETWORKS", "shop"),
        // The engine removes no network that somebody is in.
        ("FN_EXPERIMENTAL_PREFORK_POOL_SIZE", "0"),
    ];
    let gateway = Gateway::start_with(Backend::Link, &settings).await;
    engine.load(&gateway, Example::Misbehave).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
    let warm = engine.containers().remove(0);
    engine.docker(&["network", "disconnect", "-f", "shop", &warm]);
    engine.docker(&["network", "rm", "shop"]);
    assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
    engine.docker(&["rm", "-f", &warm]);
    eventually("a call that needs the network", async || {
        let reply = gateway.post("/t/t/m", "").await;
        reply.status != 200 && reply.text().contains("the network 'shop'")
    })
    .await;
    engine.docker(&["network", "create", "shop"]);
    served_at_last(&gateway, "/t/t/m", "the network 'shop'").await;
}

/// A file system of a few megabytes, taken away at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &CStr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("kiln-test", dir.path(), "tmpfs", flags, size).unwrap();
        Self(dir)
    }

    fn fill(&self) {
        use std::io::Write;

        let mut file = std::fs::File::create(self.0.path().join("ballast")).unwrap();
        for piece in [64 << 10, 1 << 10, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

// D14
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_nobody_from_calling_and_passes() {
    let disk = SmallDisk::new(c"size=8m");
    let gateway = Gateway::start_in(Backend::Link, &disk.0.path().join("data"), &[]).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
    disk.fill();
    let create = async |name: String| {
        let url = gateway.url("/v2/apps");
        let app = json!({"name": name});
        gateway.send(gateway.client().post(url).json(&app)).await
    };
    // What there is room for in the pages that the database has is stored yet.
    let mut made = Vec::new();
    let refused = loop {
        let name = format!("app{}", made.len());
        let reply = create(name.clone()).await;
        if reply.status != 200 {
            break reply;
        }
        made.push(name);
    };
    assert!(
        matches!(refused.status, 503 | 507),
        "{}: {}",
        refused.status,
        refused.text()
    );
    assert!(refused.text().contains("full"), "{}", refused.text());
    for _ in 0..50 {
        assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
    }
    assert_eq!(gateway.get("/v2/apps").await.status, 200);
    disk.make_room();
    let late = create("late".to_owned()).await;
    assert_eq!(late.status, 200, "{}", late.text());
    let all = gateway.get("/v2/apps?per_page=100").await.text();
    for name in made {
        assert!(all.contains(&format!("\"{name}\"")), "{name}: {all}");
    }
    assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
}

// D14: the engine's own disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_with_a_full_disk_is_told_of_and_passes() {
    let disk = SmallDisk::new(c"size=64m");
    let engine = Engine::start_in(disk.0.path().join("data")).await;
    let gateway = Gateway::start_on(Backend::Link, &engine).await;
    engine.load(&gateway, Example::Misbehave).await;
    for name in ["m", "cold"] {
        gateway.function(name, Example::Misbehave, json!({})).await;
    }
    assert_eq!(gateway.post("/t/t/m", "warm").await.text(), "warm");
    disk.fill();
    let cold = gateway.post("/t/t/cold", "").await;
    assert_eq!(cold.status, 502, "{}", cold.text());
    assert!(
        cold.text().contains("no space left on device"),
        "{}",
        cold.text()
    );
    assert_eq!(gateway.post("/t/t/m", "hot").await.text(), "hot");
    disk.make_room();
    served_at_last(&gateway, "/t/t/cold", "no space left on device").await;
}
