//! Several functions on one machine that has room for four containers of 100 MB.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::*;
use crate::launcher::fake::FakeLauncher;
use crate::launcher::{Channel, Image, LaunchSpec, Reach};
use crate::model::{Format, Scale};
use crate::pool::{PoolConfig, PoolError};

const MB: u64 = 1 << 20;
/// So long a container has to idle before it makes room for anybody.
const REST: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(60);

struct Machine {
    starts: Arc<Starts>,
    fake: Arc<FakeLauncher>,
}

impl Machine {
    fn new() -> Self {
        let fake = FakeLauncher::default().image("stays", |io| async move {
            let mut io = io;
            let _ = io.stdin.read(&mut [0]).await;
            0
        });
        let fake = Arc::new(fake);
        let total = Resources {
            memory: 400 * MB,
            mcpus: 4000,
        };
        Self {
            starts: Starts::new(fake.clone(), 4, total, REST),
            fake,
        }
    }

    fn pool(&self, function: &str, memory_mb: u64, min: u32) -> Arc<Pool> {
        let spec = LaunchSpec {
            image: Arc::new(Image {
                reference: "stays".to_owned(),
                id: "stays".to_owned(),
                command: Vec::new(),
                volumes: Vec::new(),
                labels: Default::default(),
            }),
            channel: Channel::Stdio,
            env: BTreeMap::new(),
            memory_mb,
            cpus: None,
            tmpfs_mb: 0,
            reach: Reach::Network,
            app: "a".to_owned(),
            function: function.to_owned(),
        };
        let config = PoolConfig {
            format: Format::Http,
            max: 64,
            max_waiting: 1000,
            max_wait: MAX_WAIT,
            idle_timeout: Duration::from_secs(600),
            freeze_after: None,
            scale: Scale {
                min,
                ..Scale::default()
            },
        };
        Pool::new(spec, config, self.starts.clone())
    }
}

/// Calls at once, each of which takes `millis`; how long the last one took.
async fn calls(pool: &Arc<Pool>, count: usize, millis: u64) -> Duration {
    let began = Instant::now();
    join_all((0..count).map(|_| async {
        let mut slot = pool.check_out().await.unwrap();
        slot.begin();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        slot.give_back();
    }))
    .await;
    began.elapsed()
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn have(pool: &Pool) -> usize {
    let counts = pool.counts();
    counts.idle + counts.busy
}

#[tokio::test(start_paused = true)]
async fn idle_containers_of_others_make_room_down_to_their_minimum() {
    let machine = Machine::new();
    let kept = machine.pool("kept", 100, 1);
    calls(&kept, 4, 100).await;
    assert_eq!(have(&kept), 4);
    let other = machine.pool("other", 100, 0);
    calls(&other, 3, 100).await;
    assert_eq!((have(&kept), have(&other)), (2, 2));
    let large = machine.pool("large", 400, 0);
    let began = Instant::now();
    let refused = large.check_out().await.unwrap_err();
    assert!(matches!(refused, PoolError::Waited(_)), "{refused}");
    assert_eq!(began.elapsed(), MAX_WAIT);
    assert_eq!((have(&kept), have(&other)), (2, 2), "nothing went in vain");
    calls(&other, 4, 1500).await;
    assert_eq!((have(&kept), have(&other)), (1, 3));
    assert_eq!(machine.fake.most_alive(), 4);
    settle().await;
    let reason = large.status().await.reason;
    assert!(!reason.contains("wait for room"), "nobody waits: {reason}");
}

// E5
#[tokio::test(start_paused = true)]
async fn a_flood_does_not_keep_another_function_from_its_container() {
    let machine = Machine::new();
    let flood = machine.pool("flood", 100, 0);
    let quiet = machine.pool("quiet", 100, 0);
    let flooding = calls(&flood, 400, 100);
    let quietly = async {
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert_eq!(have(&flood), 4);
        let waited = tokio::time::timeout(Duration::from_millis(300), calls(&quiet, 1, 0)).await;
        assert!(waited.is_ok(), "it waited for the flood");
        // Its container is not taken away for the flood while it is used now and then.
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let waited = tokio::time::timeout(Duration::from_millis(300), calls(&quiet, 1, 0));
            assert!(waited.await.is_ok(), "it waited for the flood");
        }
    };
    tokio::join!(flooding, quietly);
    assert_eq!(machine.fake.most_alive(), 4);
}

// E5: what is asked for at once is shared.
#[tokio::test(start_paused = true)]
async fn two_floods_share_the_machine() {
    let machine = Machine::new();
    let (one, other) = (machine.pool("one", 100, 0), machine.pool("other", 100, 0));
    let late = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        calls(&other, 100, 100).await
    };
    let shares = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        (one.counts().busy, other.counts().busy)
    };
    let (_, _, shares) = tokio::join!(calls(&one, 100, 100), late, shares);
    assert_eq!(shares, (2, 2));
    assert_eq!(machine.fake.most_alive(), 4);
}

// E4
#[tokio::test(start_paused = true)]
async fn what_can_never_fit_is_refused_at_once_and_nothing_is_started() {
    let machine = Machine::new();
    for min in [0, 2] {
        let pool = machine.pool("huge", 401, min);
        for refused in [
            pool.check_out().await.unwrap_err(),
            pool.check_out_cold(BTreeMap::new).await.unwrap_err(),
        ] {
            assert_eq!(
                refused.to_string(),
                "Requested CPU/Memory cannot be allocated: a container takes 401 MB of memory, \
                 and there are 400 MB for all of them"
            );
        }
    }
    settle().await;
    assert_eq!(machine.fake.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_are_not_started_for() {
    let machine = Machine::new();
    let busy = machine.pool("busy", 400, 0);
    let slot = busy.check_out().await.unwrap();
    let other = machine.pool("other", 100, 0);
    let waiting = tokio::time::timeout(Duration::from_secs(1), other.check_out());
    let told = async {
        settle().await;
        other.status().await.reason
    };
    let (waited, told) = tokio::join!(waiting, told);
    assert!(waited.is_err());
    assert!(
        told.ends_with(
            "1 starts wait for room: 400 of 400 MB of memory and 0 of 4000m of processor time \
             are taken"
        ),
        "{told}"
    );
    settle().await;
    drop(slot);
    settle().await;
    let left = (have(&busy), have(&other));
    assert_eq!(left, (1, 0), "it stays, nobody wants its room");
    assert!(other.check_out().await.is_ok());
    assert_eq!((have(&busy), have(&other)), (0, 1));
}

// A container that serves one call only takes its part, too.
#[tokio::test(start_paused = true)]
async fn containers_for_one_call_are_counted() {
    let machine = Machine::new();
    let pool = machine.pool("cold", 100, 0);
    join_all((0..12).map(|_| async {
        let mut slot = pool.check_out_cold(BTreeMap::new).await.unwrap();
        slot.begin();
        tokio::time::sleep(Duration::from_millis(100)).await;
        slot.give_back();
    }))
    .await;
    settle().await;
    assert_eq!((machine.fake.most_alive(), machine.fake.alive()), (4, 0));
    assert_eq!(
        machine.starts.books.lock().ledger.taken(),
        Resources::default()
    );
}
