//! Waiting, whatever runtime there is or is not.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Condvar, Once};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sync::{Lock, wait, wait_for};

/// One thread for all that wait; it is started by the first.
static CLOCK: Clock = Clock {
    due: Lock::new(BTreeMap::new()),
    news: Condvar::new(),
    start: Once::new(),
};

struct Clock {
    due: Lock<BTreeMap<(Instant, u64), Waker>>,
    news: Condvar,
    start: Once,
}

impl Clock {
    fn tick(&self) {
        let mut due = self.due.lock();
        loop {
            let now = Instant::now();
            let next = due.first_key_value().map(|((at, _), _)| *at);
            due = match next {
                None => wait(&self.news, due),
                Some(at) if at > now => wait_for(&self.news, due, at - now),
                Some(_) => {
                    if let Some((_, waker)) = due.pop_first() {
                        drop(due);
                        waker.wake();
                        due = self.due.lock();
                    }
                    due
                }
            };
        }
    }
}

/// Waits until `at`.
pub(crate) async fn sleep_until(at: Instant) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);

    /// Takes the waker back from the clock.
    struct Entry((Instant, u64));
    impl Drop for Entry {
        fn drop(&mut self) {
            CLOCK.due.lock().remove(&self.0);
        }
    }

    CLOCK.start.call_once(|| {
        // Without threads there is nothing to wait with, and whoever waits does so for ever: the
        // server's own clock ends the call.
        let _ = std::thread::Builder::new()
            .name("fdk-clock".to_owned())
            .spawn(|| CLOCK.tick());
    });
    let entry = Entry((at, NEXT.fetch_add(1, Ordering::Relaxed)));
    poll_fn(|cx| {
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        CLOCK.due.lock().insert(entry.0, cx.waker().clone());
        CLOCK.news.notify_one();
        Poll::Pending
    })
    .await;
}

/// Waits so long; for ever, if that is longer than the clock can tell.
async fn sleep(time: Duration) {
    match Instant::now().checked_add(time) {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What `future` comes to, if it does in time.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut over = pin!(sleep(time));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => over.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// How long to wait before another try, and how often to try.
///
/// ```
/// use std::time::Duration;
///
/// let patient = fdk::Backoff::new(10, Duration::from_millis(100), Duration::from_secs(5));
/// assert_eq!((patient.tries, fdk::Backoff::wake().tries), (10, 5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// Most tries, the first included.
    pub tries: u32,
    /// Before the second try; twice as long before each one after that, as far as `longest` lets it.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
}

impl Backoff {
    /// So many tries, the first included, with pauses between them that double from the first to
    /// the longest.
    pub const fn new(tries: u32, first: Duration, longest: Duration) -> Self {
        Self {
            tries,
            first,
            longest,
        }
    }

    /// For what sleeps until it is asked for, such as a database that scales to zero: five tries
    /// within three seconds.
    pub const fn wake() -> Self {
        Self {
            tries: 5,
            first: Duration::from_millis(200),
            longest: Duration::from_secs(2),
        }
    }
}

/// Tries until it works, within bounds, where trying again makes sense: when a connection is
/// refused, reset or not answered in time. Any other error, such as a wrong password, is final.
///
/// ```no_run
/// # use std::net::TcpStream;
/// # async fn connect() -> fdk::Result<()> {
/// let db = fdk::retry(fdk::Backoff::wake(), || async { TcpStream::connect("db:5432") }).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The last error.
pub async fn retry<T, E, F>(backoff: Backoff, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, E>>,
    E: Into<Error>,
{
    let mut pause = backoff.first.min(backoff.longest);
    let mut tries = 1;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        };
        if tries >= backoff.tries || !error.source().is_some_and(is_passing) {
            return Err(error);
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(backoff.longest);
        tries += 1;
    }
}

/// Whether an I/O error is behind it of which the next try may know nothing.
fn is_passing(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{
        AddrNotAvailable, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut,
    };
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                io.kind(),
                ConnectionRefused
                    | ConnectionReset
                    | ConnectionAborted
                    | TimedOut
                    | AddrNotAvailable
            );
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on::block_on;

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        let refused = || async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut)) };
        // Two pauses of an hour if the first one decided.
        let backoff = Backoff::new(3, Duration::from_secs(3600), Duration::from_millis(1));
        let tries = block_on(within(Duration::from_secs(60), retry(backoff, refused)));
        assert!(tries.is_some_and(|tried| tried.is_err()));
    }

    #[test]
    fn a_pause_without_end_is_one_and_no_panic() {
        let refused = || async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut)) };
        let backoff = Backoff::new(3, Duration::MAX, Duration::MAX);
        let short = Duration::from_millis(10);
        assert!(block_on(within(short, retry(backoff, refused))).is_none());
    }
}
