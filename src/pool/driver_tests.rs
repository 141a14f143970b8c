//! The driver under paused time, over fake functions.

use std::collections::BTreeMap;
use std::io::IoSlice;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::launcher::fake::{FakeIo, FakeLauncher};

const IDLE: Duration = Duration::from_secs(10);

/// Answers each byte with itself, `!` with more a second later, `n` with a blank line after it,
/// `q` by exiting.
async fn peer(mut io: FakeIo) -> i64 {
    let mut byte = [0];
    while let Ok(1) = io.stdin.read(&mut byte).await {
        if byte == *b"q" {
            return 3;
        }
        let _ = io.stdout.write_all(&byte).await;
        if byte == *b"n" {
            let _ = io.stdout.write_all(b"\n").await;
        }
        if byte == *b"!" {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = io.stdout.write_all(b"extra").await;
        }
    }
    0
}

fn config(max: usize, max_waiting: usize) -> PoolConfig {
    PoolConfig {
        format: crate::model::Format::Http,
        max,
        max_waiting,
        max_wait: Duration::from_secs(60),
        idle_timeout: IDLE,
        freeze_after: None,
        scale: Scale::default(),
    }
}

fn pool(max: usize) -> (Arc<Pool>, Arc<FakeLauncher>) {
    pool_of("peer", config(max, 1000))
}

fn pool_of(image: &str, config: PoolConfig) -> (Arc<Pool>, Arc<FakeLauncher>) {
    let fake = FakeLauncher::default()
        .image("peer", peer)
        .image("dies", |_| std::future::ready(1))
        .image("banner", |mut io| async move {
            let _ = io.stdout.write_all(b"Listening\n").await;
            std::future::pending().await
        });
    let fake = Arc::new(fake);
    let spec = LaunchSpec {
        image: Arc::new(crate::launcher::Image {
            reference: image.to_owned(),
            id: image.to_owned(),
            command: Vec::new(),
            volumes: Vec::new(),
            labels: Default::default(),
        }),
        channel: crate::launcher::Channel::Stdio,
        env: BTreeMap::new(),
        memory_mb: 128,
        cpus: None,
        tmpfs_mb: 0,
        reach: crate::launcher::Reach::Network,
        app: "a".to_owned(),
        function: "f".to_owned(),
    };
    (
        Pool::new(
            spec,
            config,
            Starts::new(fake.clone(), 4, Resources::BOUNDLESS, Duration::ZERO),
        ),
        fake,
    )
}

async fn say(slot: &mut Slot, byte: u8) {
    slot.begin();
    let part = [byte];
    let wrote = std::future::poll_fn(|cx| slot.stdin.poll_write(cx, &[IoSlice::new(&part)]));
    assert_eq!(wrote.await.unwrap(), 1);
    let mut answer = [0];
    let mut buf = tokio::io::ReadBuf::new(&mut answer);
    std::future::poll_fn(|cx| slot.stdout.poll_read(cx, &mut buf))
        .await
        .unwrap();
    assert_eq!(answer, part);
}

/// Lets every task run until all of them wait for time to pass.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn calls_in_a_row_share_one_container() {
    let (pool, fake) = pool(8);
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut slot = pool.check_out().await.unwrap();
        say(&mut slot, b'x').await;
        ids.insert(slot.id.clone());
        slot.give_back();
    }
    assert_eq!((ids.len(), fake.started()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_get_containers_of_their_own_up_to_the_maximum() {
    let (pool, fake) = pool(3);
    let calls = (0..20).map(|_| async {
        let mut slot = pool.check_out().await.unwrap();
        say(&mut slot, b'x').await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        slot.give_back();
    });
    join_all(calls).await;
    assert_eq!(fake.most_alive(), 3);
    assert_eq!(
        pool.counts(),
        Counts {
            idle: 3,
            ..Counts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_container_is_reaped_after_its_timeout_and_not_before() {
    let (pool, fake) = pool(3);
    pool.check_out().await.unwrap().give_back();
    tokio::time::sleep(IDLE - Duration::from_millis(10)).await;
    assert_eq!(fake.alive(), 1);
    // Used again in time, it starts to idle anew.
    pool.check_out().await.unwrap().give_back();
    tokio::time::sleep(IDLE - Duration::from_millis(10)).await;
    assert_eq!(fake.alive(), 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((fake.alive(), pool.counts()), (0, Counts::default()));
}

// C2: extra bytes while idle end the container, so that no caller ever sees them.
#[tokio::test(start_paused = true)]
async fn a_container_that_speaks_while_idle_is_ended() {
    let (pool, fake) = pool(3);
    let mut slot = pool.check_out().await.unwrap();
    say(&mut slot, b'!').await;
    let first = slot.id.clone();
    slot.give_back();
    assert_eq!(pool.counts().idle, 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.counts(), fake.alive()), (Counts::default(), 0));
    let mut slot = pool.check_out().await.unwrap();
    assert_ne!(slot.id, first);
    say(&mut slot, b'x').await;
}

#[tokio::test(start_paused = true)]
async fn a_blank_line_after_a_response_is_no_doubt() {
    let (pool, fake) = pool(3);
    for _ in 0..100 {
        let mut slot = pool.check_out().await.unwrap();
        say(&mut slot, b'n').await;
        slot.give_back();
        settle().await;
    }
    assert_eq!(fake.started(), 1);
}

// D2: what a function does before its first call is that call's to report; replacing the
// container instead would start one after the other without end.
#[tokio::test(start_paused = true)]
async fn a_container_that_speaks_or_dies_at_its_start_is_given_to_one_caller() {
    for image in ["banner", "dies"] {
        let (pool, fake) = pool_of(image, config(4, 10));
        let mut slot = pool.check_out().await.unwrap();
        settle().await;
        slot.begin();
        drop(slot);
        assert_eq!(fake.started(), 1, "{image}");
        drop(pool.check_out().await.unwrap());
        settle().await;
        assert_eq!(
            pool.counts(),
            Counts::default(),
            "{image}: nobody asked for it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_dies_while_idle_is_replaced_unseen() {
    let (pool, fake) = pool(3);
    let mut slot = pool.check_out().await.unwrap();
    slot.begin();
    let wrote = std::future::poll_fn(|cx| slot.stdin.poll_write(cx, &[IoSlice::new(b"q")]));
    wrote.await.unwrap();
    slot.give_back();
    settle().await;
    let mut slot = pool.check_out().await.unwrap();
    say(&mut slot, b'x').await;
    assert_eq!(fake.started(), 2);
}

// A10: the client goes away in the middle of its call.
#[tokio::test(start_paused = true)]
async fn a_slot_dropped_in_its_call_kills_the_container_and_one_dropped_before_keeps_it() {
    let (pool, fake) = pool(3);
    drop(pool.check_out().await.unwrap());
    assert_eq!((pool.counts().idle, fake.alive()), (1, 1));
    let mut slot = pool.check_out().await.unwrap();
    slot.begin();
    drop(slot);
    settle().await;
    assert_eq!((pool.counts(), fake.alive()), (Counts::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_does_not_lose_the_container_it_caused() {
    let (pool, fake) = pool(3);
    let impatient = tokio::time::timeout(Duration::from_millis(1), pool.check_out()).await;
    assert!(impatient.is_err());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((pool.counts().idle, fake.started()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_tells_its_waiter_why() {
    let (pool, _) = pool_of("nothing", config(4, 10));
    let results = join_all((0..5).map(|_| pool.check_out())).await;
    let told = |result: &Result<Slot, PoolError>| match result {
        Err(PoolError::Launch(_)) => true,
        Err(PoolError::BackingOff { failure, .. }) => matches!(failure, Failure::Launch(_)),
        _ => false,
    };
    assert!(results.iter().all(told), "{results:?}");
    assert_eq!(pool.counts(), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded_in_number_and_in_time() {
    let config = PoolConfig {
        max_wait: Duration::from_secs(5),
        ..config(1, 1)
    };
    let (pool, _) = pool_of("peer", config);
    let slot = pool.check_out().await.unwrap();
    let began = Instant::now();
    let (first, second) = tokio::join!(pool.check_out(), pool.check_out());
    assert!(matches!(first, Err(PoolError::Waited(_))), "{first:?}");
    assert!(matches!(second, Err(PoolError::Full(1))), "{second:?}");
    assert_eq!(began.elapsed().as_secs(), 5);
    slot.give_back();
    assert_eq!(
        pool.counts(),
        Counts {
            idle: 1,
            ..Counts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_drained_pool_starts_containers_for_those_who_already_wait() {
    let (pool, fake) = pool(1);
    let mut slot = pool.check_out().await.unwrap();
    let waiting = pool.check_out();
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    pool.drain();
    slot.begin();
    slot.retire("no use any more");
    waiting.await.unwrap().give_back();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((fake.alive(), fake.started()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_drained_pool_serves_who_waits_and_ends() {
    let (pool, fake) = pool(1);
    let mut slot = pool.check_out().await.unwrap();
    let waiting = pool.check_out();
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    pool.drain();
    assert!(matches!(pool.check_out().await, Err(PoolError::Draining)));
    say(&mut slot, b'x').await;
    slot.give_back();
    waiting.await.unwrap().give_back();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((fake.alive(), pool.counts()), (0, Counts::default()));
}

// E7: a crowd before a cold function is served by no more starts than the bound allows.
#[tokio::test(start_paused = true)]
async fn a_thousand_callers_of_a_cold_function_are_all_served() {
    let (pool, fake) = pool(10);
    let calls = (0..1000).map(|_| async {
        let mut slot = pool.check_out().await.unwrap();
        say(&mut slot, b'x').await;
        slot.give_back();
    });
    join_all(calls).await;
    assert!(fake.most_alive() <= 10);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_before_a_fast_function_starts_nothing_and_before_a_slow_one_soon_does() {
    let (pool, fake) = pool(100);
    let crowd = async |millis| {
        let calls = (0..50).map(|_| async {
            let mut slot = pool.check_out().await.unwrap();
            say(&mut slot, b'x').await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            slot.give_back();
        });
        join_all(calls).await;
        // Nobody called for a while.
        tokio::time::sleep(IDLE / 4).await;
        fake.started()
    };
    // It takes some calls to see how fast it is.
    for _ in 0..4 {
        crowd(1).await;
    }
    let known = crowd(1).await;
    assert!(known < 50, "{known} containers for 50 callers");
    assert_eq!(crowd(1).await, known);
    assert!(crowd(100).await > known);
}

fn kept(image: &str, min: u32) -> (Arc<Pool>, Arc<FakeLauncher>) {
    let scale = Scale {
        min,
        ..Scale::default()
    };
    let config = PoolConfig {
        scale,
        ..config(4, 10)
    };
    pool_of(image, config)
}

#[tokio::test(start_paused = true)]
async fn the_minimum_is_warm_without_a_call_and_stays() {
    let (pool, fake) = kept("peer", 2);
    pool.warmed().await;
    assert_eq!((pool.counts().idle, fake.started()), (2, 2));
    tokio::time::sleep(10 * IDLE).await;
    assert_eq!((fake.alive(), fake.started()), (2, 2));
    let mut slot = pool.check_out().await.unwrap();
    slot.begin();
    slot.retire("no use any more");
    settle().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((fake.alive(), fake.started()), (2, 3), "it was replaced");
    pool.drain();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(fake.alive(), 0);
}

// D2: nobody calls, so only the back-off keeps it from being started without end.
#[tokio::test(start_paused = true)]
async fn a_kept_container_that_dies_at_its_start_is_not_started_in_a_loop() {
    let (pool, fake) = kept("dies", 1);
    pool.warmed().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(fake.started(), 1);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let started = fake.started();
    assert!((10..20).contains(&started), "{started}");
    let status = pool.status().await;
    let (failure, _) = status.failure.expect("it says why");
    assert!(failure.contains("before its first call"), "{failure}");
    let refused = pool.check_out().await.unwrap_err();
    assert!(
        matches!(refused, PoolError::BackingOff { retry, .. } if retry <= Duration::from_secs(60)),
        "{refused:?}"
    );
}

// D2
#[tokio::test(start_paused = true)]
async fn callers_of_what_cannot_start_are_told_why_and_start_nothing() {
    let (pool, _) = kept("nothing", 0);
    let began = Instant::now();
    assert!(matches!(pool.check_out().await, Err(PoolError::Launch(_))));
    let refused = pool.check_out().await.unwrap_err();
    let PoolError::BackingOff {
        failure: Failure::Launch(_),
        retry,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert!(began.elapsed() < Duration::from_millis(100));
    tokio::time::sleep(retry).await;
    settle().await;
    assert!(matches!(pool.check_out().await, Err(PoolError::Launch(_))));
    let refused = pool.check_out().await.unwrap_err();
    assert!(
        matches!(refused, PoolError::BackingOff { retry, .. } if retry > Duration::from_secs(1)),
        "the second time is longer: {refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_is_reached_in_steps() {
    let scale = Scale {
        mode: crate::model::ScaleMode::Target,
        ..Scale::default()
    };
    let config = PoolConfig {
        scale,
        ..config(64, 100)
    };
    let (pool, fake) = pool_of("peer", config);
    let first = pool.check_out().await.unwrap();
    let calls = (0..12).map(|_| async {
        let slot = pool.check_out().await.unwrap();
        tokio::time::sleep(Duration::from_secs(8)).await;
        slot.give_back();
    });
    let watch = async {
        let mut seen = Vec::new();
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..4 {
            seen.push(fake.started());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        seen
    };
    let (_, seen) = tokio::join!(join_all(calls), watch);
    assert_eq!(seen, [1, 5, 9, 13]);
    first.give_back();
    tokio::time::sleep(2 * IDLE).await;
    assert_eq!((fake.alive(), pool.counts()), (0, Counts::default()));
}

fn freezing() -> (Arc<Pool>, Arc<FakeLauncher>) {
    let freezes = PoolConfig {
        freeze_after: Some(Duration::from_secs(1)),
        ..config(4, 10)
    };
    pool_of("peer", freezes)
}

// D7: what idles does not run.
#[tokio::test(start_paused = true)]
async fn a_container_is_frozen_while_nobody_calls() {
    let (pool, fake) = freezing();
    for _ in 0..3 {
        let mut slot = pool.check_out().await.unwrap();
        assert_eq!(fake.frozen(), 0);
        say(&mut slot, b'a').await;
        slot.give_back();
        settle().await;
        assert_eq!(fake.frozen(), 0, "too early");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(fake.frozen(), 1);
    }
    assert_eq!(fake.started(), 1);
    // One that is frozen idles no longer than others, and it ends.
    tokio::time::sleep(IDLE).await;
    assert_eq!((fake.alive(), fake.frozen()), (0, 0));
}

// D9
#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_thawed_is_replaced() {
    let (pool, fake) = freezing();
    let mut slot = pool.check_out().await.unwrap();
    say(&mut slot, b'a').await;
    slot.give_back();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(fake.frozen(), 1);
    fake.ice_age.store(true, Ordering::SeqCst);
    let mut slot = pool.check_out().await.unwrap();
    say(&mut slot, b'b').await;
    assert_eq!(fake.started(), 2);
    slot.give_back();
}
