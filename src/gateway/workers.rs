use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The threads that serve callers, one for each processor.
///
/// Each has a runtime of its own, and a connection stays with one of them: whatever its calls wait
/// for is polled by the thread that goes on with them, and wakes no other. Everything else, whatever
/// starts containers, stores or decides, is for the runtime that these were started from.
///
/// Dropping this ends the threads and what is left of their connections.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    _ends: DropGuard,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads.
    pub fn start() -> io::Result<Self> {
        let ends = CancellationToken::new();
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: io::Result<_> = (0..count).map(|_| Worker::start(ends.clone())).collect();
        Ok(Self {
            workers: workers?,
            _ends: ends.drop_guard(),
        })
    }

    /// A place with the worker that has the fewest connections.
    pub(super) fn place(&self) -> Option<Place> {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let worker = self.workers.iter().min_by_key(load)?;
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            runtime: worker.runtime.clone(),
            connections: worker.connections.clone(),
        })
    }
}

impl Worker {
    fn start(ends: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || runtime.block_on(ends.cancelled()))?;
        Ok(Self {
            runtime: handle,
            connections: Arc::default(),
        })
    }
}

/// One connection's place with a worker.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly_also_after_some_have_ended() {
        let workers = Workers::start().unwrap();
        let count = workers.workers.len();
        let mut places: Vec<_> = (0..3 * count).filter_map(|_| workers.place()).collect();
        let loads = || {
            let loads = workers.workers.iter().map(|w| &w.connections);
            loads.map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>()
        };
        assert_eq!(loads(), vec![3; count]);
        places.truncate(count);
        assert_eq!(loads(), vec![1; count]);
    }

    #[tokio::test]
    async fn what_is_left_ends_with_the_threads() {
        let workers = Workers::start().unwrap();
        let place = workers.place().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        place.runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(workers);
        assert!(receiver.await.is_err());
    }
}
