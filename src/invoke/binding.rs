//! Which pool serves a callable.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use papaya::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::invoker::InvokeConfig;
use crate::format;
use crate::launcher::{LaunchError, LaunchSpec};
use crate::model::{Callable, CallableId, Scale};
use crate::pool::{Pool, PoolConfig, Starts};

/// The outcome of looking up what an image means, for all who wait for it.
type Resolution = Shared<BoxFuture<'static, Result<Arc<Pool>, Arc<LaunchError>>>>;

/// One version of a callable and, once the first call needed it, its pool.
#[derive(Debug)]
struct Binding {
    callable: Arc<Callable>,
    pool: OnceLock<Arc<Pool>>,
    resolving: Mutex<Option<Resolution>>,
    /// The predecessor's pool, until it is known whether it serves this version too.
    previous: Mutex<Option<Arc<Pool>>>,
}

impl Binding {
    fn new(callable: &Arc<Callable>, previous: Option<Arc<Pool>>) -> Arc<Self> {
        Arc::new(Self {
            callable: callable.clone(),
            pool: OnceLock::new(),
            resolving: Mutex::new(None),
            previous: Mutex::new(previous),
        })
    }
}

/// All bindings; the hot path reads them without a lock.
#[derive(Debug)]
pub(super) struct Bindings {
    map: HashMap<CallableId, Arc<Binding>>,
    config: InvokeConfig,
    starts: Arc<Starts>,
}

impl Bindings {
    pub(super) fn new(config: InvokeConfig, starts: Arc<Starts>) -> Self {
        Self {
            map: HashMap::new(),
            config,
            starts,
        }
    }

    /// The pool for `callable`, made if this version has none yet.
    ///
    /// What the image means is looked up once for all who wait, in a task of its own: a caller
    /// who leaves does not stop a pull, and a failure is everybody's. A version that differs in
    /// nothing from its predecessor keeps the predecessor's pool, so a deploy of the same image
    /// leaves its containers hot.
    pub(super) async fn pool(
        &self,
        callable: &Arc<Callable>,
    ) -> Result<Arc<Pool>, Arc<LaunchError>> {
        let binding = self.binding(callable);
        if let Some(pool) = binding.pool.get() {
            return Ok(pool.clone());
        }
        let resolution = {
            let mut resolving = binding.resolving.lock();
            resolving
                .get_or_insert_with(|| self.resolve(&binding))
                .clone()
        };
        resolution.await
    }

    /// Forgets `pool`, so that the next call looks up anew what the image means.
    pub(super) fn forget(&self, callable: &Callable, pool: &Arc<Pool>) {
        let map = self.map.pin();
        if let Some(found) = map.get(&callable.id)
            && found.pool.get().is_some_and(|p| Arc::ptr_eq(p, pool))
        {
            pool.drain();
            map.insert(callable.id.clone(), Binding::new(&found.callable, None));
        }
    }

    /// The callable is no more: its containers end after the calls they have.
    pub(super) fn remove(&self, id: &CallableId) {
        let map = self.map.pin();
        if let Some(binding) = map.remove(id) {
            let pools = binding
                .pool
                .get()
                .cloned()
                .into_iter()
                .chain(binding.previous.lock().take());
            for pool in pools {
                pool.drain();
            }
        }
    }

    /// The binding of this version, or of a newer one: a caller may hold a callable that was
    /// replaced while it was on its way.
    fn binding(&self, callable: &Arc<Callable>) -> Arc<Binding> {
        let map = self.map.pin();
        if let Some(found) = map.get(&callable.id)
            && found.callable.version >= callable.version
        {
            return found.clone();
        }
        let successor = |found: &Arc<Binding>| {
            if found.callable.version >= callable.version {
                return found.clone();
            }
            let previous = found
                .pool
                .get()
                .cloned()
                .or_else(|| found.previous.lock().clone());
            Binding::new(callable, previous)
        };
        let id = callable.id.clone();
        map.update_or_insert_with(id, successor, || Binding::new(callable, None))
            .clone()
    }

    fn resolve(&self, binding: &Arc<Binding>) -> Resolution {
        let (sender, receiver) = oneshot::channel();
        let (binding, starts, config) = (binding.clone(), self.starts.clone(), self.config);
        self.starts.spawn(async move {
            let result = spec(&binding.callable, &starts)
                .await
                .map(|spec| adopt(&binding, spec, &config, &starts))
                .map_err(Arc::new);
            // A failure is forgotten: whoever calls later tries again.
            binding.resolving.lock().take();
            let _ = sender.send(result);
        });
        let stopped = || Arc::new(LaunchError::Ended("the server is shutting down".to_owned()));
        receiver
            .map(move |result| result.unwrap_or_else(|_| Err(stopped())))
            .boxed()
            .shared()
    }

    /// Every pool there is.
    pub(super) fn pools(&self) -> Vec<Arc<Pool>> {
        let map = self.map.pin();
        map.values()
            .flat_map(|b| {
                b.pool
                    .get()
                    .cloned()
                    .into_iter()
                    .chain(b.previous.lock().clone())
            })
            .collect()
    }
}

/// The pool of a binding whose spec is now known: its predecessor's, or a new one.
fn adopt(
    binding: &Binding,
    spec: LaunchSpec,
    config: &InvokeConfig,
    starts: &Arc<Starts>,
) -> Arc<Pool> {
    let pool_config = PoolConfig {
        max: config.max_containers,
        max_waiting: config.max_waiting,
        max_wait: config.max_wait,
        idle_timeout: binding.callable.idle_timeout,
        scale: Scale::default(),
    };
    let previous = binding.previous.lock().take();
    let pool = match previous {
        Some(pool) if pool.serves(&spec, &pool_config) => pool,
        other => {
            if let Some(pool) = other {
                pool.drain();
            }
            Pool::new(spec, pool_config, starts.clone())
        }
    };
    binding.pool.get_or_init(|| pool).clone()
}

async fn spec(callable: &Callable, starts: &Starts) -> Result<LaunchSpec, LaunchError> {
    let image = starts.launcher().resolve(&callable.image).await?;
    Ok(LaunchSpec {
        image: Arc::new(image),
        channel: format::channel(callable.format),
        env: callable.env.clone(),
        memory_mb: callable.memory_mb,
        cpus: callable.cpus,
        tmpfs_mb: callable.tmpfs_mb,
        app: callable.app_name.clone(),
        function: callable.name.clone(),
    })
}
