//! Watches a pool's idle containers: one task per pool, asleep unless an idle container speaks,
//! dies or has idled for too long.

use std::pin::pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use tokio::time::{Instant, sleep_until};

use super::driver::Pool;
use super::lane::Lane;

/// Runs until the pool is gone.
pub(super) async fn run(pool: Weak<Pool>) {
    let mut alarm = pin!(sleep_until(Instant::now()));
    std::future::poll_fn(|cx| {
        loop {
            let Some(pool) = pool.upgrade() else {
                return Poll::Ready(());
            };
            let Some(at) = reap(&pool, cx) else {
                return Poll::Pending;
            };
            alarm.as_mut().reset(at);
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// Ends what is to end; returns when to look again.
fn reap(pool: &Pool, cx: &mut Context<'_>) -> Option<Instant> {
    let mut inner = pool.inner.lock();
    inner.reaper = cx.waker().clone();
    let now = Instant::now();
    let expired = inner.state.expire(now);
    let doubtful = inner.state.claim(|lane| lane.poll_in_doubt(cx));
    let next = inner.state.next_expiry(now);
    inner.alarm = next;
    drop(inner);
    for lane in expired {
        log(pool, &lane, "idle timeout");
        lane.close();
    }
    for lane in doubtful {
        log(pool, &lane, "spoke or ended while idle");
        lane.kill();
    }
    next
}

fn log(pool: &Pool, lane: &Lane, why: &str) {
    let spec = pool.spec();
    tracing::info!(
        app = %spec.app,
        function = %spec.function,
        container = %lane.id,
        calls = lane.calls,
        why,
        "container retired"
    );
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The reaper holds no pool; it has to look once more to see that this one is gone.
        self.inner.lock().reaper.wake_by_ref();
    }
}
