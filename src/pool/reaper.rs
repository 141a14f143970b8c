//! Watches a pool's idle containers and takes its samples: one task per pool, asleep unless an idle
//! container speaks, dies or has idled for too long, a sample is due, a back-off ends, or a queue that
//! moved may stand still.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::driver::{Failure, Pool, tell_retired};
use super::lane::Lane;
use super::scale::Moment;

/// A container that lived for this long without a call did start; some functions end by themselves
/// when nobody calls them.
const STILLBORN: Duration = Duration::from_secs(10);

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

/// Ends what is to end and starts what is missing; returns when to look again.
fn reap(pool: &Arc<Pool>, cx: &mut Context<'_>) -> Option<Instant> {
    let now = Instant::now();
    let mut inner = pool.inner.lock();
    inner.reaper = cx.waker().clone();
    // Nobody needs to wake us before the look below.
    inner.alarm = Some(now);
    let counts = inner.state.counts();
    let expired = inner.state.expire(now);
    let decision = inner.state.last();
    let doubtful = inner.state.claim(|lane| lane.poll_in_doubt(cx));
    inner.state.freeze_due(now).for_each(|lane| lane.freeze());
    let mut fresh = doubtful.iter().filter(|lane| lane.calls == 0);
    if let Some(lane) = fresh.find(|lane| lane.rested() < STILLBORN) {
        inner.failure = Some(Failure::Ended(last_words(lane).into()));
        inner.state.stillborn(now);
    }
    let moment = if inner.state.tick_due(now) {
        Moment::Tick
    } else {
        Moment::Event
    };
    drop(inner);
    if !expired.is_empty() {
        pool.record(Moment::Event, counts, &decision);
    }
    for lane in expired {
        pool.let_go(lane, "idle timeout");
    }
    for lane in doubtful {
        tell_retired(pool, &lane, "spoke or ended while idle");
        lane.kill();
    }
    pool.adjust(moment);
    let mut inner = pool.inner.lock();
    inner.alarm = inner.state.next_look(now);
    inner.alarm
}

/// What callers are told of a container that nobody had called yet.
fn last_words(lane: &Lane) -> String {
    let mut told = "the container ended or spoke before its first call".to_owned();
    if let Some(last) = lane.last_words().last() {
        told.push_str(": ");
        told.push_str(last);
    }
    told
}
