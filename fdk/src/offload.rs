//! Threads for what blocks, so that whoever waits for it need not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::sync::Lock;
use crate::term::{Flags, Leave, Term, Watched, unless_over};

type Work = Box<dyn FnOnce() + Send>;

/// What makes a process end at SIGTERM.
pub(crate) type Watch = fn() -> Result<Box<dyn Term>>;

/// Where blocking work is done. A type for each place, so that a program holds only the one that
/// it uses.
pub(crate) trait Worker {
    /// What ends the process at SIGTERM, if an app with something to do then has no `wish`.
    fn watch(wish: Option<Watch>) -> Result<Box<dyn Term>>;

    /// What `future` comes to; `None` where the process ends first.
    async fn unless_over<T>(&self, term: &dyn Term, future: impl Future<Output = T>) -> Option<T>;

    /// Does `job` and waits for what comes of it.
    async fn run<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;
}

/// Here: nothing else is to go on meanwhile.
#[derive(Debug)]
pub(crate) struct Here;

impl Worker for Here {
    fn watch(wish: Option<Watch>) -> Result<Box<dyn Term>> {
        wish.unwrap_or(Flags::watch)()
    }

    async fn unless_over<T>(&self, term: &dyn Term, future: impl Future<Output = T>) -> Option<T> {
        // Nothing can wake this thread.
        let value = future.await;
        term.goes_on().then_some(value)
    }

    async fn run<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Ok(job())
    }
}

/// On a thread of its own, which ends with this.
#[derive(Debug)]
pub(crate) struct Thread(Sender<Work>);

impl Thread {
    pub(crate) fn start() -> Result<Self> {
        let (work, todo) = channel::<Work>();
        let name = "fdk".to_owned();
        std::thread::Builder::new()
            .name(name)
            .spawn(move || todo.into_iter().for_each(|work| work()))?;
        Ok(Self(work))
    }
}

impl Worker for Thread {
    fn watch(_: Option<Watch>) -> Result<Box<dyn Term>> {
        Ok(Box::new(Watched::watch(Leave::Return)?))
    }

    async fn unless_over<T>(&self, term: &dyn Term, future: impl Future<Output = T>) -> Option<T> {
        unless_over(term, future).await
    }

    async fn run<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (work, outcome) = prepare(job);
        self.0.send(work).map_err(|_| Error::msg(GONE))?;
        outcome.await
    }
}

const GONE: &str = "a thread of the FDK has ended before its work was done";

/// Does `job` on a thread of its own.
pub(crate) fn spawn<T, F>(job: F) -> Result<Outcome<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (work, outcome) = prepare(job);
    let name = "fdk-body".to_owned();
    std::thread::Builder::new().name(name).spawn(work)?;
    Ok(outcome)
}

fn prepare<T, F>(job: F) -> (Work, Outcome<T>)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let slot = Arc::new(Lock::new(Slot {
        value: None,
        waker: None,
        over: false,
    }));
    let teller = Teller(slot.clone());
    let work = move || {
        let value = job();
        teller.0.lock().value = Some(value);
    };
    (Box::new(work), Outcome(slot))
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    over: bool,
}

/// Wakes who waits, also where the job panics.
struct Teller<T>(Arc<Lock<Slot<T>>>);

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.lock();
            slot.over = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What comes of a job.
#[derive(Debug)]
pub(crate) struct Outcome<T>(Arc<Lock<Slot<T>>>);

impl<T> Future for Outcome<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut slot = self.0.lock();
        if slot.over {
            let value = slot.value.take();
            return Poll::Ready(value.ok_or_else(|| Error::msg(GONE)));
        }
        let old = slot.waker.replace(cx.waker().clone());
        drop(slot);
        // Whoever it is that ends with it may want the lock.
        drop(old);
        Poll::Pending
    }
}
