//! A lock that a panic does not spoil.
#![expect(
    clippy::disallowed_types,
    reason = "every function would be built with five more crates"
)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the lock up until there is news.
pub(crate) fn wait<'a, T>(news: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    news.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// As [`wait`], for so long at most.
pub(crate) fn wait_for<'a, T>(
    news: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    let waited = news.wait_timeout(guard, time);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
