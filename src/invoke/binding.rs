//! Which pool serves a callable.

use std::sync::Arc;

use papaya::HashMap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::launcher::{LaunchError, LaunchSpec};
use crate::model::{Callable, CallableId};
use crate::pool::Pool;

/// One version of a callable and, once the first call needed it, its pool.
#[derive(Debug)]
struct Binding {
    version: u64,
    pool: OnceCell<Arc<Pool>>,
    /// Serves until the new version's image is known, then is reused or drained.
    previous: Mutex<Option<Arc<Pool>>>,
}

/// All bindings; the hot path reads them without a lock.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    map: HashMap<CallableId, Arc<Binding>>,
}

impl Bindings {
    /// The pool for `callable`, made by `make` from its spec if this version has none yet.
    ///
    /// A version that differs in nothing from its predecessor keeps the predecessor's pool, so a
    /// deploy of the same image leaves its containers hot.
    pub(super) async fn pool<F>(
        &self,
        callable: &Callable,
        spec: impl FnOnce() -> F,
        make: impl FnOnce(LaunchSpec) -> Arc<Pool>,
    ) -> Result<Arc<Pool>, Arc<LaunchError>>
    where
        F: Future<Output = Result<LaunchSpec, LaunchError>>,
    {
        let binding = self.binding(callable);
        let pool = binding
            .pool
            .get_or_try_init(|| async {
                let spec = spec().await?;
                let previous = binding.previous.lock().take();
                match previous {
                    Some(pool) if pool.serves(&spec, callable.idle_timeout) => Ok(pool),
                    Some(pool) => {
                        pool.drain();
                        Ok(make(spec))
                    }
                    None => Ok(make(spec)),
                }
            })
            .await
            .map_err(Arc::new)?;
        Ok(pool.clone())
    }

    /// The binding of this version, or of a newer one: a caller may hold a callable that was
    /// replaced while it was on its way.
    fn binding(&self, callable: &Callable) -> Arc<Binding> {
        let map = self.map.pin();
        if let Some(found) = map.get(&callable.id)
            && found.version >= callable.version
        {
            return found.clone();
        }
        let fresh = |previous: Option<&Arc<Binding>>| {
            let previous =
                previous.and_then(|b| b.pool.get().cloned().or_else(|| b.previous.lock().clone()));
            Arc::new(Binding {
                version: callable.version,
                pool: OnceCell::new(),
                previous: Mutex::new(previous),
            })
        };
        map.update_or_insert_with(
            callable.id.clone(),
            |found| {
                if found.version >= callable.version {
                    found.clone()
                } else {
                    fresh(Some(found))
                }
            },
            || fresh(None),
        )
        .clone()
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
