//! Containers that are kept warm, and functions that cannot run.

use super::*;
use crate::model::SCALE_ANNOTATION;
use crate::store::Changes;

fn keeping(min: u32) -> Bench {
    let mut bench = Bench::new();
    bench.keep(min);
    bench
}

impl Bench {
    /// A deploy that says how many containers are to be kept warm, as the catalog tells it.
    fn keep(&mut self, min: u32) {
        let scale = serde_json::json!({ "min": min });
        let annotations = &mut self.function.annotations;
        annotations.insert(SCALE_ANNOTATION.to_owned(), scale);
        self.show();
    }

    fn show(&mut self) {
        self.redeploy();
        self.invoker.shown(&self.callable);
    }
}

async fn a_while() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_started_by_the_deploy_and_ends_with_the_function() {
    let bench = keeping(2);
    a_while().await;
    assert_eq!(bench.fake.alive(), 2);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((bench.fake.alive(), bench.fake.started()), (2, 2));
    assert_eq!(bench.body("/calls").await, "1");
    assert_eq!(bench.fake.started(), 2, "no cold start");
    bench.invoker.withdrawn(&bench.callable.id);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_that_keeps_none_ends_those_that_were_kept() {
    let mut bench = keeping(2);
    a_while().await;
    bench.keep(0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((bench.fake.alive(), bench.fake.started()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_after_its_function_went_keeps_nothing_warm() {
    let bench = keeping(2);
    a_while().await;
    bench.invoker.withdrawn(&bench.callable.id);
    assert_eq!(bench.body("/calls").await, "1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((bench.fake.alive(), bench.fake.started()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_goes_after_a_deploy_that_could_not_run() {
    let mut bench = keeping(2);
    a_while().await;
    bench.function.image = "missing".to_owned();
    bench.keep(0);
    a_while().await;
    assert_eq!(bench.fake.alive(), 2);
    bench.function.image = "peer2".to_owned();
    bench.show();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_is_warm_before_its_predecessor_goes() {
    let mut bench = keeping(1);
    assert_eq!(bench.body("/calls").await, "1");
    bench.function.image = "peer2".to_owned();
    bench.show();
    // The old one serves on while the new one starts.
    assert_eq!(bench.body("/calls").await, "2");
    a_while().await;
    assert_eq!(bench.body("/calls").await, "1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((bench.fake.alive(), bench.fake.started()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn deploys_in_quick_succession_keep_the_last_ones_only() {
    let mut bench = keeping(2);
    for key in ["a", "b", "c"] {
        let config = &mut bench.function.config;
        config.insert(key.to_owned(), String::new());
        bench.show();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.fake.alive(), 2);
    bench.show();
    bench.invoker.withdrawn(&bench.callable.id);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_that_changes_nothing_waits_for_what_its_predecessor_has_begun_to_start() {
    let mut bench = keeping(2);
    a_while().await;
    bench.function.config.insert("a".to_owned(), String::new());
    for _ in 0..5 {
        bench.show();
        // A start takes longer.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    a_while().await;
    assert_eq!(bench.body("/calls").await, "1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((bench.fake.alive(), bench.fake.started()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_before_its_successor_was_warm_keeps_what_serves() {
    let mut bench = keeping(2);
    a_while().await;
    let first = bench.function.clone();
    bench.function.image = "peer2".to_owned();
    bench.show();
    tokio::time::sleep(Duration::from_millis(1)).await;
    bench.function = first;
    bench.show();
    assert_eq!(bench.body("/calls").await, "1");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.body("/calls").await, "2", "the container is the same");
    assert_eq!(bench.fake.alive(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_that_cannot_start_is_told_to_callers() {
    let mut bench = keeping(1);
    a_while().await;
    bench.function.image = "missing".to_owned();
    bench.show();
    a_while().await;
    let fault = bench.call("/", b"").await.unwrap_err();
    assert!(fault.to_string().starts_with("Failed to pull"), "{fault}");
    bench.function.image = "peer2".to_owned();
    bench.show();
    a_while().await;
    assert!(bench.call("/", b"").await.is_ok());
}

// D2: the first deaths are told as they are, and then nothing is started for a while.
#[tokio::test(start_paused = true)]
async fn a_function_that_dies_at_every_start_is_not_started_for_each_call() {
    let dies = FakeLauncher::default().image("dies", |_| std::future::ready(3));
    let mut bench = Bench::with(dies);
    let working = bench.function.image.clone();
    bench.function.image = "dies".to_owned();
    bench.redeploy();
    for _ in 0..2 {
        let fault = bench.call("/", b"").await.unwrap_err();
        assert!(matches!(fault, Fault::Exited(3)), "{fault:?}");
    }
    for _ in 0..10 {
        let fault = bench.call("/", b"").await.unwrap_err();
        assert_eq!(fault.to_string(), "container exit code 3");
        assert_eq!(fault.blame(), crate::invoke::Blame::Function);
        assert!(matches!(fault, Fault::BackingOff { .. }), "{fault:?}");
    }
    assert_eq!(bench.fake.started(), 2);
    bench.redeploy();
    let fault = bench.call("/", b"").await.unwrap_err();
    assert!(
        matches!(fault, Fault::Exited(3)),
        "a deploy may help: {fault:?}"
    );
    bench.function.image = working;
    bench.redeploy();
    assert!(bench.call("/", b"").await.is_ok());
}

// D2: a container that may have died of its start or of its call, as nobody can tell here.
#[tokio::test(start_paused = true)]
async fn a_second_container_that_dies_in_its_first_call_is_taken_for_one_that_cannot_start() {
    let bench = Bench::new();
    for _ in 0..2 {
        let fault = bench.call("/crash", b"").await.unwrap_err();
        assert!(matches!(fault, Fault::Exited(3)), "{fault:?}");
    }
    let fault = bench.call("/", b"").await.unwrap_err();
    assert!(matches!(fault, Fault::BackingOff { .. }), "{fault:?}");
    assert_eq!(bench.fake.started(), 2);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // One that has answered is no reason to doubt the next.
    for _ in 0..5 {
        bench.call("/", b"").await.unwrap();
        let fault = bench.call("/crash", b"").await.unwrap_err();
        assert!(matches!(fault, Fault::Exited(3)), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_says_what_is_there_before_and_after_the_first_call() {
    let mut bench = Bench::new();
    let scale = serde_json::json!({ "max": 3, "mode": "target" });
    let annotations = &mut bench.function.annotations;
    annotations.insert(SCALE_ANNOTATION.to_owned(), scale);
    bench.show();
    let before = bench.invoker.scaling(&bench.callable).await;
    assert_eq!((before.have, before.max), (0, 3));
    bench.call("/", b"").await.unwrap();
    let after = bench.invoker.scaling(&bench.callable).await;
    assert_eq!((after.have, after.idle, after.max), (1, 1, 3));
    assert_eq!(after.reason, "a call waits and there is no container");
}
