//! A database server that goes away and comes back under a running gateway.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Backend, Example, Gateway, eventually, run_cli};

/// A Postgres server of one test's own; dropping it stops it and removes its folder.
struct Cluster {
    url: String,
    dir: PathBuf,
}

impl Cluster {
    /// `None`, and a word about it, where the tests have no Postgres at all.
    async fn start(test: &str) -> Option<Self> {
        if std::env::var("FN_TEST_POSTGRES_URL")
            .unwrap_or_default()
            .is_empty()
        {
            eprintln!("skipped: {test}: FN_TEST_POSTGRES_URL is not set, see scripts/postgres-up");
            return None;
        }
        let said = postgres_up(&[]).await;
        assert!(said.status.success(), "{said:?}");
        let said = String::from_utf8(said.stdout).unwrap();
        let named = |name: &str| {
            let start = format!("export {name}=");
            let line = said.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap().replace('\\', "")
        };
        Some(Self {
            url: named("FN_TEST_POSTGRES_URL"),
            dir: named("FN_TEST_POSTGRES_DIR").into(),
        })
    }

    /// As the system does it to a process that takes too much memory.
    async fn kill(&self) {
        let file = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap();
        let pid: i32 = file.lines().next().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        let gone = || !Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid);
        eventually("the end of Postgres", async || gone()).await;
    }

    async fn start_again(&self) {
        let dir = self.dir.to_str().unwrap();
        // The first tries fail: processes of the killed server notice its end a little later.
        eventually("Postgres", async || {
            postgres_up(&["again", dir]).await.status.success()
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::process::Command::new(script())
            .arg("stop")
            .arg(&self.dir)
            .output();
        // A cluster that is not running cannot be stopped, but its folder is still there.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres-up")
}

async fn postgres_up(args: &[&str]) -> Output {
    Command::new(script())
        .args(args)
        .env_remove("FN_TEST_POSTGRES_URL")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn id(reply: &crate::support::Reply) -> String {
    reply.headers["fn-call-id"].to_str().unwrap().to_owned()
}

async fn create_app(gateway: &Gateway, name: &str) -> crate::support::Reply {
    gateway
        .post("/v2/apps", json!({"name": name}).to_string())
        .await
}

// A killed database server costs management, not calls, and the gateway needs no restart.
#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_postgres_is_killed_and_management_comes_back_with_it() {
    let Some(postgres) = Cluster::start("a killed database").await else {
        return;
    };
    let settings = [("FN_DB_URL", postgres.url.as_str())];
    let gateway = Gateway::start_with(Backend::Process, &settings).await;
    gateway.function("hello", Example::Hello, json!({})).await;
    let call = async || gateway.post("/t/t/hello", "Ann").await;
    let reply = call().await;
    assert_eq!(
        (reply.status, reply.text()),
        (200, "Hello Ann\n".to_owned())
    );
    let before = format!("/v1/apps/t/calls/{}", id(&reply));
    eventually("the record", async || {
        gateway.get(&before).await.status == 200
    })
    .await;
    let hot = gateway.containers().await;

    postgres.kill().await;
    for _ in 0..20 {
        let reply = call().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(gateway.containers().await, hot, "the container stays hot");
    let words = "The store is unavailable, try again later";
    for (reply, body) in [
        (gateway.get("/v2/apps").await, json!({"message": words})),
        (
            gateway.get("/v2/apps?name=t").await,
            json!({"message": words}),
        ),
        (
            create_app(&gateway, "refused").await,
            json!({"message": words}),
        ),
        (
            gateway.get("/v1/apps/t/routes").await,
            json!({"error": {"message": words}}),
        ),
        (
            gateway.get(&before).await,
            json!({"error": {"message": words}}),
        ),
    ] {
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(reply.headers.contains_key("retry-after"));
        assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), body);
    }
    let output = run_cli(&gateway, &["list", "apps"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(words), "{said}");
    assert_eq!(gateway.get("/health").await.status, 200);
    eventually("a word about lost records", async || {
        call().await;
        gateway.log().contains("cannot be recorded")
    })
    .await;

    postgres.start_again().await;
    eventually("management", async || {
        gateway.get("/v2/apps").await.status == 200
    })
    .await;
    let reply = create_app(&gateway, "after").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let found = gateway.get("/v2/apps?name=refused").await.text();
    assert_eq!(found.trim(), json!({"items": []}).to_string());
    assert_eq!(call().await.status, 200);
    assert_eq!(gateway.containers().await, hot, "the same container, still");
    let after = format!("/v1/apps/t/calls/{}", id(&call().await));
    eventually("records", async || gateway.get(&after).await.status == 200).await;
    assert_eq!(gateway.get(&before).await.status, 200, "nothing was lost");
    gateway.function("again", Example::Hello, json!({})).await;
    assert_eq!(gateway.post("/t/t/again", "Ann").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_a_database_that_is_away_at_start() {
    let Some(postgres) = Cluster::start("a late database").await else {
        return;
    };
    postgres.kill().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");

    let impatient = [
        ("FN_DB_URL", postgres.url.as_str()),
        ("FN_DS_DB_PING_MAX_RETRIES", "1"),
    ];
    let mut gateway = Gateway::begin_in(Backend::Process, &data, &impatient);
    assert_eq!(gateway.exit().await.code(), Some(1), "{}", gateway.log());
    eventually("the reason", async || gateway.log().contains("hint: ")).await;
    let log = gateway.log();
    for words in [
        "cannot open the database",
        "Connection refused",
        "FN_DB_URL",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(
        !log.contains("kiln@"),
        "who we are there is nobody's business: {log}"
    );
    assert_eq!(log.matches("trying again").count(), 1, "{log}");

    let patient = [
        ("FN_DB_URL", postgres.url.as_str()),
        ("FN_DS_DB_PING_MAX_RETRIES", "1000"),
    ];
    let mut gateway = Gateway::begin_in(Backend::Process, &data, &patient);
    eventually("a first try", async || {
        gateway.log().contains("trying again")
    })
    .await;
    postgres.start_again().await;
    gateway.listening().await;
    let reply = create_app(&gateway, "a").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
