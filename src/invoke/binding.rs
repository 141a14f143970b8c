//! Which pool serves a callable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use papaya::{Compute, HashMap, Operation};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::invoker::InvokeConfig;
use crate::format;
use crate::launcher::{Image, LaunchError, LaunchSpec, Reach};
use crate::model::{Callable, CallableId, ScaleStatus};
use crate::pool::{Pool, PoolConfig, Starts};

/// How long a revision that is replaced serves on while its successor's containers start.
const WARM_UP: Duration = Duration::from_secs(30);
/// Between two tries to find out what the image of a function means that is to be kept warm.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The outcome of looking up what an image means, for all who wait for it.
type Resolution = Shared<BoxFuture<'static, Result<Arc<Pool>, Arc<LaunchError>>>>;

/// One version of a callable and, once the first call needed it, its pool.
#[derive(Debug)]
struct Binding {
    callable: Arc<Callable>,
    pool: OnceLock<Arc<Pool>>,
    resolving: Mutex<Option<Resolution>>,
    past: Mutex<Past>,
    /// Whether it was tried to find this version's pool.
    tried: AtomicBool,
}

/// What there is until a version has its pool. Each version hands it on to the next, and only the
/// last one may end any of it.
#[derive(Clone, Debug, Default)]
struct Past {
    /// Serves until then.
    serving: Option<Arc<Pool>>,
    /// Made for this version or for one before that was replaced while its containers started: the
    /// next may be just like it.
    coming: Option<Arc<Pool>>,
    /// A newer version has it all, or there is none any more.
    gone: bool,
}

impl Past {
    fn find(&self, fits: impl Fn(&Pool) -> bool) -> Option<Arc<Pool>> {
        let mut pools = self.serving.iter().chain(&self.coming);
        pools.find(|pool| fits(pool)).cloned()
    }

    fn drain(self) {
        for pool in self.serving.into_iter().chain(self.coming) {
            pool.drain();
        }
    }
}

impl Binding {
    fn new(callable: &Arc<Callable>, past: Past) -> Arc<Self> {
        Arc::new(Self {
            callable: callable.clone(),
            pool: OnceLock::new(),
            resolving: Mutex::new(None),
            past: Mutex::new(past),
            tried: AtomicBool::new(false),
        })
    }

    /// The binding is to be taken from the map. Gives what its successor starts from, every time.
    fn leave(&self) -> Past {
        let mut past = self.past.lock();
        past.gone = true;
        match self.pool.get() {
            Some(pool) => Past {
                serving: Some(pool.clone()),
                ..Past::default()
            },
            None => Past {
                gone: false,
                ..past.clone()
            },
        }
    }

    fn serving(&self) -> Option<Arc<Pool>> {
        self.past.lock().serving.clone()
    }

    /// What serves calls while this version's own containers start. Only the first try is waited
    /// for like this: an author is to see what is wrong with a deploy.
    fn stand_in(&self) -> Option<Arc<Pool>> {
        if self.callable.scale.min == 0 || self.tried.load(Ordering::Acquire) {
            return None;
        }
        self.serving().filter(|pool| !pool.is_draining())
    }
}

impl Binding {
    /// The predecessor's pool, if nothing but what the image means can have changed. An engine that
    /// is away cannot tell, and must not take hot containers from calls: every change to an app
    /// makes new versions of all its functions.
    fn unchanged(&self, config: &InvokeConfig) -> Option<Arc<Pool>> {
        self.past.lock().find(|pool| {
            let image = pool.spec().image.clone();
            image.reference == self.callable.image
                && pool.serves(
                    &spec_of(&self.callable, image),
                    &pool_config(&self.callable, config),
                )
        })
    }
}

/// All bindings; the hot path reads them without a lock.
#[derive(Debug)]
pub(super) struct Bindings {
    map: HashMap<CallableId, Arc<Binding>>,
    config: InvokeConfig,
    starts: Arc<Starts>,
    /// Whether nothing is kept warm.
    paused: AtomicBool,
}

impl Bindings {
    pub(super) fn new(config: InvokeConfig, starts: Arc<Starts>) -> Self {
        Self {
            map: HashMap::new(),
            config,
            starts,
            paused: AtomicBool::new(false),
        }
    }

    /// The pool for `callable`, made if this version has none yet.
    ///
    /// What the image means is looked up once for all who wait, in a task of its own: a caller
    /// who leaves does not stop a pull, and a failure is everybody's. A version that differs in
    /// nothing from its predecessor keeps the predecessor's pool, so a deploy of the same image
    /// leaves its containers hot.
    pub(super) async fn pool(
        self: &Arc<Self>,
        callable: &Arc<Callable>,
    ) -> Result<Arc<Pool>, Arc<LaunchError>> {
        let binding = self.binding(callable);
        if let Some(pool) = binding.pool.get() {
            return Ok(pool.clone());
        }
        let resolution = self.resolution(&binding);
        if let Some(pool) = binding.stand_in() {
            return Ok(pool);
        }
        resolution.await.or_else(|error| {
            let away = matches!(*error, LaunchError::EngineDown(_));
            let unchanged = away.then(|| binding.unchanged(&self.config)).flatten();
            unchanged.ok_or(error)
        })
    }

    /// The pool for `callable`, if this version has one.
    pub(super) fn ready(&self, callable: &Arc<Callable>) -> Option<Arc<Pool>> {
        self.binding(callable).pool.get().cloned()
    }

    fn resolution(self: &Arc<Self>, binding: &Arc<Binding>) -> Resolution {
        let mut resolving = binding.resolving.lock();
        resolving
            .get_or_insert_with(|| self.resolve(binding))
            .clone()
    }

    /// Calls find `callable` from now on. If some of its containers are to be kept warm, or some
    /// of its predecessor's are, this does not wait for one.
    pub(super) fn shown(self: &Arc<Self>, callable: &Arc<Callable>) {
        let kept = |id| {
            let map = self.map.pin();
            let keeps = |b: &Arc<Binding>| b.callable.scale.min > 0 || b.serving().is_some();
            map.get(id).is_some_and(keeps)
        };
        if callable.scale.min == 0 && !kept(&callable.id) {
            return;
        }
        // Whoever lets calls in again finds it there.
        let (this, binding) = (self.clone(), self.bind(callable));
        if self.paused.load(Ordering::SeqCst) {
            return;
        }
        self.starts.spawn(async move { this.warm(binding).await });
    }

    async fn warm(self: Arc<Self>, binding: Arc<Binding>) {
        let mut delay = FIRST_RETRY;
        while binding.pool.get().is_none() && self.is_current(&binding) {
            let Err(error) = self.resolution(&binding).await else {
                return;
            };
            let callable = &binding.callable;
            tracing::warn!(
                app = %callable.app_name,
                function = %callable.name,
                %error,
                "containers that are to be kept warm cannot be started"
            );
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LAST_RETRY);
        }
    }

    fn is_current(&self, binding: &Arc<Binding>) -> bool {
        let map = self.map.pin();
        map.get(&binding.callable.id)
            .is_some_and(|found| Arc::ptr_eq(found, binding))
    }

    /// What a callable has and should have.
    pub(super) async fn status(&self, callable: &Callable) -> ScaleStatus {
        let pool = self.map.pin().get(&callable.id).and_then(|b| {
            let own = b.pool.get().cloned();
            own.or_else(|| b.serving())
        });
        match pool {
            Some(pool) => pool.status().await,
            None => {
                let (scale, most) = (callable.scale, self.config.max_containers);
                let max = scale.max.map_or(most, |max| most.min(max as usize));
                ScaleStatus {
                    mode: scale.mode,
                    min: max.min(scale.min as usize),
                    max,
                    vote: "none",
                    reason: "nobody has called it yet".to_owned(),
                    ..ScaleStatus::default()
                }
            }
        }
    }

    /// Forgets `pool`, so that the next call looks up anew what the image means.
    pub(super) fn forget(&self, callable: &Callable, pool: &Arc<Pool>) {
        let found = self.map.pin().get(&callable.id).cloned();
        let owns = |b: &Arc<Binding>| b.pool.get().is_some_and(|p| Arc::ptr_eq(p, pool));
        if let Some(binding) = found.filter(owns) {
            self.replace(&binding);
        }
    }

    /// The callable is no more: its containers end after the calls they have.
    pub(super) fn remove(&self, id: &CallableId) {
        let map = self.map.pin();
        if let Some(binding) = map.remove(id) {
            binding.leave().drain();
        }
    }

    /// The binding of this version, or of a newer one: a caller may hold a callable that was
    /// replaced while it was on its way, or withdrawn, and what is withdrawn keeps nothing warm.
    fn binding(&self, callable: &Arc<Callable>) -> Arc<Binding> {
        match self.map.pin().get(&callable.id) {
            Some(found) if found.callable.version >= callable.version => found.clone(),
            None if callable.scale.min > 0 => {
                let gone = Past {
                    gone: true,
                    ..Past::default()
                };
                Binding::new(callable, gone)
            }
            _ => self.bind(callable),
        }
    }

    fn bind(&self, callable: &Arc<Callable>) -> Arc<Binding> {
        let map = self.map.pin();
        let successor = |found: &Arc<Binding>| {
            if found.callable.version >= callable.version {
                return found.clone();
            }
            Binding::new(callable, found.leave())
        };
        let id = callable.id.clone();
        map.update_or_insert_with(id, successor, || Binding::new(callable, Past::default()))
            .clone()
    }

    fn resolve(self: &Arc<Self>, binding: &Arc<Binding>) -> Resolution {
        let (sender, receiver) = oneshot::channel();
        let (binding, this) = (binding.clone(), self.clone());
        self.starts.spawn(async move {
            let result = match spec(&binding.callable, &this.starts).await {
                Ok(spec) => {
                    let pool = adopt(&binding, spec, &this.config, &this.starts).await;
                    // Nobody saw it before now.
                    if this.paused.load(Ordering::SeqCst) {
                        pool.rest();
                    }
                    Ok(pool)
                }
                Err(error) => Err(Arc::new(error)),
            };
            binding.tried.store(true, Ordering::Release);
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

    /// Keeps nothing warm and nothing idle until [`renew`](Self::renew).
    pub(super) fn rest(&self) {
        self.paused.store(true, Ordering::SeqCst);
        for pool in self.pools() {
            pool.rest();
        }
    }

    /// Everything starts afresh, as after a restart.
    pub(super) fn renew(self: &Arc<Self>) {
        self.paused.store(false, Ordering::SeqCst);
        let all: Vec<_> = self.map.pin().values().cloned().collect();
        for binding in all {
            if self.replace(&binding) {
                self.shown(&binding.callable);
            }
        }
    }

    /// Puts a binding without a pool in the place of `binding`, if that is still there.
    fn replace(&self, binding: &Arc<Binding>) -> bool {
        let map = self.map.pin();
        let replaced = map.compute(binding.callable.id.clone(), |found| match found {
            Some((_, found)) if Arc::ptr_eq(found, binding) => {
                Operation::Insert(Binding::new(&binding.callable, Past::default()))
            }
            _ => Operation::Abort(()),
        });
        let replaced = matches!(replaced, Compute::Updated { .. });
        if replaced {
            binding.leave().drain();
        }
        replaced
    }

    /// Every pool there is.
    pub(super) fn pools(&self) -> Vec<Arc<Pool>> {
        let map = self.map.pin();
        map.values()
            .flat_map(|b| {
                let Past {
                    serving, coming, ..
                } = b.past.lock().clone();
                let own = b.pool.get().cloned();
                [own, serving, coming].into_iter().flatten()
            })
            .collect()
    }
}

/// The pool of a binding whose spec is now known: one that is there or on its way, or a new one.
/// Where containers are to be kept warm, they are before others go.
async fn adopt(
    binding: &Binding,
    spec: LaunchSpec,
    config: &InvokeConfig,
    starts: &Arc<Starts>,
) -> Arc<Pool> {
    let mut pool_config = pool_config(&binding.callable, config);
    let kept = pool_config.scale.min > 0;
    let (pool, passed_by, waits) = {
        let mut past = binding.past.lock();
        if let Some(pool) = binding.pool.get() {
            return pool.clone();
        }
        let found = past.find(|pool| pool.serves(&spec, &pool_config));
        if past.gone {
            // For those who waited for this version, and for nobody after them.
            pool_config.scale.min = 0;
            return found.unwrap_or_else(|| Pool::new(spec, pool_config, starts.clone()));
        }
        let pool = found
            .inspect(Pool::forgive)
            .unwrap_or_else(|| Pool::new(spec, pool_config, starts.clone()));
        let serving = past.serving.as_ref();
        if serving.is_some_and(|serving| Arc::ptr_eq(serving, &pool)) {
            (pool, past.coming.take(), false)
        } else {
            let waits = kept && serving.is_some();
            (pool.clone(), past.coming.replace(pool), waits)
        }
    };
    drain_other(passed_by, &pool);
    if waits {
        let _ = tokio::time::timeout(WARM_UP, pool.warmed()).await;
    }
    let mut past = binding.past.lock();
    if past.gone {
        return pool;
    }
    let pool = binding.pool.get_or_init(|| pool).clone();
    let Past { serving, .. } = std::mem::take(&mut *past);
    drop(past);
    drain_other(serving, &pool);
    pool
}

/// Drains `other`, unless it is `pool`.
fn drain_other(other: Option<Arc<Pool>>, pool: &Arc<Pool>) {
    if let Some(other) = other
        && !Arc::ptr_eq(&other, pool)
    {
        other.drain();
    }
}

fn pool_config(callable: &Callable, config: &InvokeConfig) -> PoolConfig {
    let scale = callable.scale;
    let within = |own: Option<u32>, most: usize| own.map_or(most, |own| most.min(own as usize));
    PoolConfig {
        format: callable.format,
        max: within(scale.max, config.max_containers),
        max_waiting: within(scale.max_waiting, config.max_waiting),
        max_wait: config.max_wait,
        idle_timeout: callable.idle_timeout,
        freeze_after: config.freeze_after,
        scale,
    }
}

async fn spec(callable: &Callable, starts: &Starts) -> Result<LaunchSpec, LaunchError> {
    let image = starts.launcher().resolve(&callable.image).await?;
    Ok(spec_of(callable, Arc::new(image)))
}

fn spec_of(callable: &Callable, image: Arc<Image>) -> LaunchSpec {
    LaunchSpec {
        image,
        channel: format::channel(callable.format),
        env: callable.env.clone(),
        memory_mb: callable.memory_mb,
        cpus: callable.cpus,
        tmpfs_mb: callable.tmpfs_mb,
        reach: Reach::Network,
        app: callable.app_name.clone(),
        function: callable.name.clone(),
    }
}
