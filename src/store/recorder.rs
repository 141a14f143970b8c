use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::{CallStatus, FinishedCall};
use crate::store::{CallStore, StoreError};

/// Longest wait for one batch; what takes longer is given up, so that the next has a chance.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many times as long as it wrote the writer rests, so that records take a small part of what
/// the machine has for calls, however many there are.
const REST: u32 = 31;

/// A store that is slow for once must not keep calls from being seen.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The part of the queue that is kept for calls that did not succeed.
const KEPT_FOR_FAILURES: usize = 4;

/// How often old calls are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// Longest wait at shutdown for what is still queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait of a reader for what was recorded before it came.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// The bounds of a [`Recorder`].
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// Calls that may wait to be written.
    pub queue: usize,
    /// Bytes of logs that may wait to be written.
    pub queue_bytes: usize,
    /// Calls written by one transaction, at most.
    pub batch: usize,
    /// How long the first call of a batch waits for others.
    pub interval: Duration,
    /// How long a call is kept.
    pub max_age: Duration,
    /// How many calls are kept.
    pub max_count: u64,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            queue: 8192,
            queue_bytes: 64 << 20,
            batch: 4096,
            interval: Duration::from_millis(20),
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_count: 100_000,
        }
    }
}

/// Writes calls to the store behind the back of whoever made them.
///
/// A call's answer never waits for its record: what the store cannot take in time is dropped and
/// counted. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<FinishedCall>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dropped: AtomicU64,
    queued_bytes: AtomicUsize,
    max_queued_bytes: usize,
    /// Calls handed over, ever.
    taken: AtomicU64,
    /// Those of them that were written or given up.
    settled: watch::Sender<u64>,
    /// Somebody waits: write what is there and do not wait for more.
    hurry: Notify,
    /// Asks the writer to take no more and to finish.
    stop: CancellationToken,
    /// Asks the writer to leave the rest.
    abandon: CancellationToken,
    ended: CancellationToken,
}

impl Shared {
    fn count_dropped(&self, calls: usize) {
        self.dropped.fetch_add(calls as u64, Ordering::Relaxed);
    }

    fn count_settled(&self, calls: usize) {
        self.settled.send_modify(|settled| *settled += calls as u64);
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Recorder {
    /// Starts the writer as one of `tasks`.
    pub fn start(store: Arc<dyn CallStore>, config: RecorderConfig, tasks: &TaskTracker) -> Self {
        let (queue, incoming) = mpsc::channel(config.queue);
        let shared = Arc::new(Shared {
            dropped: AtomicU64::new(0),
            queued_bytes: AtomicUsize::new(0),
            max_queued_bytes: config.queue_bytes,
            taken: AtomicU64::new(0),
            settled: watch::Sender::new(0),
            hurry: Notify::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let writer = Writer {
            store,
            config,
            incoming,
            batch: Vec::new(),
            shared: shared.clone(),
            rested: Instant::now(),
            failing: false,
        };
        tasks.spawn(writer.run());
        Self { queue, shared }
    }

    /// Hands a call over. Never waits: where the queue is full the call is dropped, and one that
    /// succeeded already where it is nearly full.
    pub fn record(&self, call: FinishedCall) {
        let bytes = call.log.len();
        let kept = match call.call.status {
            CallStatus::Success => self.queue.max_capacity() / KEPT_FOR_FAILURES,
            _ => 0,
        };
        let queued = &self.shared.queued_bytes;
        let before = queued.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.shared.max_queued_bytes;
        if !fits || self.queue.capacity() <= kept {
            queued.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.count_dropped(1);
            return;
        }
        // Before it is in the queue: who counts it must not find fewer settled than taken.
        self.shared.taken.fetch_add(1, Ordering::Release);
        if self.queue.try_send(call).is_err() {
            queued.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.count_dropped(1);
            self.shared.count_settled(1);
        }
    }

    /// Waits until what was recorded before is in the store, so that a reader finds the call it
    /// has just made. Not for long: a store that is slow or away shows in the read itself.
    pub async fn catch_up(&self) {
        let taken = self.shared.taken.load(Ordering::Acquire);
        let mut settled = self.shared.settled.subscribe();
        let all = async {
            // Each batch takes one hint, and there may be several batches.
            while *settled.borrow_and_update() < taken {
                self.shared.hurry.notify_one();
                if settled.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(CATCH_UP_TIMEOUT, all).await;
    }

    /// How many calls were not stored since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// Writes what is queued and ends, within a few seconds whatever the store does. Calls that
    /// are recorded from here on are dropped.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        if timeout(FLUSH_TIMEOUT, self.shared.ended.cancelled())
            .await
            .is_err()
        {
            self.shared.abandon.cancel();
            self.shared.ended.cancelled().await;
        }
        match self.dropped() {
            0 => {}
            calls => tracing::warn!(calls, "some calls were not recorded"),
        }
    }
}

struct Writer {
    store: Arc<dyn CallStore>,
    config: RecorderConfig,
    incoming: mpsc::Receiver<FinishedCall>,
    /// What is being gathered or written.
    batch: Vec<FinishedCall>,
    shared: Arc<Shared>,
    /// When the next batch is due, unless somebody waits for it.
    rested: Instant,
    /// Whether the last batch failed; the log tells of the first failure only.
    failing: bool,
}

impl Writer {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let _ended = shared.ended.clone().drop_guard();
        let written = shared.abandon.run_until_cancelled(self.write_all()).await;
        if written.is_none() {
            self.incoming.close();
            let mut left = self.batch.len();
            while self.incoming.try_recv().is_ok() {
                left += 1;
            }
            shared.count_dropped(left);
        }
    }

    async fn write_all(&mut self) {
        let stop = self.shared.stop.clone();
        let mut prune = interval(PRUNE_INTERVAL);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A queue that is never empty must put off neither the end nor the pruning.
                biased;
                () = stop.cancelled(), if !self.incoming.is_closed() => self.incoming.close(),
                _ = prune.tick(), if !stop.is_cancelled() => self.prune().await,
                first = self.incoming.recv() => match first {
                    Some(first) => {
                        self.batch.push(first);
                        self.gather(&stop).await;
                        self.write().await;
                    }
                    None => return,
                },
            }
        }
    }

    /// Adds what comes within the interval, or what is there already when the end is near or
    /// somebody waits. The queue is not listened to meanwhile: a call that is handed over would
    /// wake this task, which costs the call more than its place in the queue.
    async fn gather(&mut self, stop: &CancellationToken) {
        let full = self.batch.len() + self.incoming.len() >= self.config.batch;
        let wait = if full {
            Duration::ZERO
        } else {
            self.config.interval
        };
        let due = self.rested.max(Instant::now() + wait);
        tokio::select! {
            () = sleep_until(due) => {}
            () = stop.cancelled() => {}
            () = self.shared.hurry.notified() => {}
        }
        while self.batch.len() < self.config.batch
            && let Ok(call) = self.incoming.try_recv()
        {
            self.batch.push(call);
        }
    }

    async fn write(&mut self) {
        let began = Instant::now();
        let answer = timeout(WRITE_TIMEOUT, self.store.record(&self.batch)).await;
        let took = began.elapsed();
        let bytes = self.batch.iter().map(|call| call.log.len()).sum();
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let calls = self.batch.len();
        self.batch.clear();
        self.shared.count_settled(calls);
        let rest = match answer {
            Ok(Ok(())) => (took * REST).min(LONGEST_REST),
            // To wait for a store that is away costs the machine nothing.
            _ => Duration::ZERO,
        };
        self.rested = Instant::now() + rest;
        let failure = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(elapsed) => Some(StoreError::unavailable(elapsed)),
        };
        match failure {
            Some(error) => {
                self.shared.count_dropped(calls);
                if !self.failing {
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(%error, cause, "calls are answered but cannot be recorded");
                }
                self.failing = true;
            }
            None if self.failing => {
                tracing::info!(lost = self.shared.dropped(), "calls are recorded again");
                self.failing = false;
            }
            None => {}
        }
    }

    async fn prune(&self) {
        let pruned = self.store.prune(self.config.max_age, self.config.max_count);
        match timeout(WRITE_TIMEOUT, pruned).await {
            Ok(Ok(0)) => {}
            Ok(Ok(calls)) => tracing::debug!(calls, "old calls were deleted"),
            // The next time may do better, and a store that is away shows in other ways.
            Ok(Err(_)) | Err(_) => tracing::debug!("old calls cannot be deleted now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::model::{AppId, Call, CallId};
    use crate::store::conformance::a_call;
    use crate::store::{CallFilter, CallRead};

    /// Keeps the sizes of batches; each write takes a permit, and fails while `broken` says so.
    #[derive(Debug)]
    struct FakeStore {
        batches: Mutex<Vec<usize>>,
        prunes: Mutex<u32>,
        permits: Semaphore,
        broken: Mutex<bool>,
    }

    #[async_trait]
    impl CallRead for FakeStore {
        async fn call(&self, _: AppId, _: CallId) -> Result<Call, StoreError> {
            unreachable!("a recorder reads nothing")
        }

        async fn calls(&self, _: &CallFilter) -> Result<Vec<Call>, StoreError> {
            unreachable!("a recorder reads nothing")
        }

        async fn log(&self, _: AppId, _: CallId) -> Result<Vec<u8>, StoreError> {
            unreachable!("a recorder reads nothing")
        }
    }

    #[async_trait]
    impl CallStore for FakeStore {
        async fn record(&self, calls: &[FinishedCall]) -> Result<(), StoreError> {
            self.permits.acquire().await.unwrap().forget();
            if *self.broken.lock() {
                return Err(StoreError::unavailable("broken"));
            }
            self.batches.lock().push(calls.len());
            Ok(())
        }

        async fn prune(&self, _: Duration, _: u64) -> Result<u64, StoreError> {
            *self.prunes.lock() += 1;
            Ok(0)
        }
    }

    fn recorder(permits: usize, config: RecorderConfig) -> (Recorder, Arc<FakeStore>) {
        let store = Arc::new(FakeStore {
            batches: Mutex::default(),
            prunes: Mutex::default(),
            permits: Semaphore::new(permits),
            broken: Mutex::new(false),
        });
        let recorder = Recorder::start(store.clone(), config, &TaskTracker::new());
        (recorder, store)
    }

    fn record(recorder: &Recorder, count: usize) {
        for _ in 0..count {
            recorder.record(a_call(AppId::generate()));
        }
    }

    fn small() -> RecorderConfig {
        RecorderConfig {
            queue: 16,
            batch: 4,
            interval: Duration::from_millis(100),
            ..RecorderConfig::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_written_in_batches_when_the_interval_is_over() {
        let (recorder, store) = recorder(100, small());
        record(&recorder, 3);
        tokio::time::sleep(Duration::from_millis(99)).await;
        assert!(store.batches.lock().is_empty());
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(*store.batches.lock(), [3]);
        record(&recorder, 9);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(
            *store.batches.lock(),
            [3, 4, 4],
            "a full batch does not wait"
        );
        recorder.stop().await;
        assert_eq!(*store.batches.lock(), [3, 4, 4, 1]);
        assert_eq!(recorder.dropped(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_store_loses_calls_and_holds_nobody_up() {
        let (recorder, store) = recorder(0, small());
        record(&recorder, 4);
        tokio::time::sleep(Duration::from_millis(1)).await;
        record(&recorder, 14);
        assert_eq!(recorder.dropped(), 2, "four in hand, twelve queued");
        store.permits.add_permits(100);
        recorder.stop().await;
        assert_eq!(store.batches.lock().iter().sum::<usize>(), 16);
        assert_eq!(recorder.dropped(), 2);
        record(&recorder, 1);
        assert_eq!(recorder.dropped(), 3, "after the end");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_failed_find_room_where_others_do_not() {
        let (recorder, _store) = recorder(0, small());
        record(&recorder, 13);
        assert_eq!(recorder.dropped(), 1);
        let mut failed = a_call(AppId::generate());
        failed.call.status = CallStatus::Timeout;
        for _ in 0..4 {
            recorder.record(failed.clone());
        }
        assert_eq!(recorder.dropped(), 1);
        recorder.record(failed);
        assert_eq!(recorder.dropped(), 2, "within the bound");
    }

    #[tokio::test(start_paused = true)]
    async fn the_writer_rests_for_longer_than_it_writes() {
        let (recorder, store) = recorder(0, small());
        record(&recorder, 8);
        tokio::time::sleep(Duration::from_millis(10)).await;
        store.permits.add_permits(100);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(*store.batches.lock(), [4], "ten milliseconds of each 320");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(*store.batches.lock(), [4, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_does_not_hold_up_the_end() {
        let (recorder, store) = recorder(0, small());
        record(&recorder, 9);
        let began = Instant::now();
        recorder.stop().await;
        assert!(began.elapsed() < Duration::from_secs(6));
        assert_eq!(recorder.dropped(), 9);
        assert!(store.batches.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_tried_again_with_later_calls() {
        let (recorder, store) = recorder(100, small());
        *store.broken.lock() = true;
        record(&recorder, 5);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(recorder.dropped(), 5);
        *store.broken.lock() = false;
        record(&recorder, 2);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*store.batches.lock(), [2]);
        assert_eq!(recorder.dropped(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_sees_what_was_recorded_before() {
        let (recorder, store) = recorder(100, small());
        recorder.catch_up().await;
        let began = Instant::now();
        for round in 1..=3 {
            record(&recorder, 5);
            recorder.catch_up().await;
            let written: usize = store.batches.lock().iter().sum();
            assert_eq!(written, 5 * round);
        }
        assert!(
            began.elapsed() < small().interval,
            "nobody waits for others"
        );
        record(&recorder, 30);
        assert!(recorder.dropped() > 0);
        recorder.catch_up().await;
        assert!(
            began.elapsed() < small().interval,
            "what was dropped is not waited for"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_does_not_wait_long_for_a_slow_store() {
        let (recorder, _store) = recorder(0, small());
        record(&recorder, 1);
        let began = Instant::now();
        recorder.catch_up().await;
        assert_eq!(began.elapsed(), CATCH_UP_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn logs_that_wait_are_bounded_in_bytes() {
        let config = RecorderConfig {
            queue_bytes: 100,
            ..small()
        };
        let (recorder, store) = recorder(0, config);
        let big = || FinishedCall {
            log: vec![b'x'; 60],
            ..a_call(AppId::generate())
        };
        recorder.record(big());
        recorder.record(big());
        assert_eq!(recorder.dropped(), 1);
        store.permits.add_permits(100);
        tokio::time::sleep(Duration::from_secs(1)).await;
        recorder.record(big());
        assert_eq!(recorder.dropped(), 1, "what is written makes room");
    }

    #[tokio::test(start_paused = true)]
    async fn old_calls_are_deleted_now_and_then_even_under_load() {
        let (recorder, store) = recorder(100_000, small());
        for _ in 0..180 {
            record(&recorder, 8);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((3..=4).contains(&*store.prunes.lock()));
        assert_eq!(recorder.dropped(), 0);
    }
}
