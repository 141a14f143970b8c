use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::vigil::Vigil;

/// The threads that serve callers, one for each processor.
///
/// Each has a runtime of its own, and a connection stays with one of them: the thread that goes on
/// with a call is the one that hears of what the call waits for, and mostly no other is woken.
/// Everything else, whatever starts containers or stores, is for the main runtime.
///
/// Dropping this tells the threads to end, and drops what is left of their connections.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    _ends: DropGuard,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    vigil: Arc<Vigil>,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads.
    pub fn start() -> io::Result<Self> {
        let ends = CancellationToken::new();
        let guard = ends.clone().drop_guard();
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: io::Result<_> = (0..count).map(|_| Worker::start(ends.clone())).collect();
        Ok(Self {
            workers: workers?,
            _ends: guard,
        })
    }

    /// A place with the worker that has the fewest connections.
    pub(super) fn place(&self) -> Place {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let least = self.workers.iter().min_by_key(load);
        let worker = least.expect("there is one for each processor");
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Place {
            runtime: worker.runtime.clone(),
            vigil: worker.vigil.clone(),
            connections: worker.connections.clone(),
        }
    }
}

impl Worker {
    fn start(ends: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let vigil = Arc::new(Vigil::default());
        let watched = vigil.clone();
        runtime.spawn(async move { watched.watch().await });
        std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || runtime.block_on(ends.cancelled()))?;
        Ok(Self {
            runtime: handle,
            vigil,
            connections: Arc::default(),
        })
    }
}

/// One connection's place with a worker.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) runtime: Handle,
    pub(super) vigil: Arc<Vigil>,
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
        let mut places: Vec<_> = (0..3 * count).map(|_| workers.place()).collect();
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
        let place = workers.place();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        place.runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(workers);
        assert!(receiver.await.is_err());
    }
}
