use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::runtime;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::driver::{Failure, Pool, PoolError};
use super::lane::Lane;
use crate::launcher::LaunchError;
use crate::model::Format;

/// One container, owned for one call.
///
/// Dropped before [`begin`](Self::begin), it goes back to the pool; dropped after, it is killed:
/// nobody knows what the function still has to say.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Pool>,
    lane: Option<Box<Lane>>,
    begun: bool,
    /// The container serves this call only, and holds this place until it ends.
    pub(super) cold: Option<OwnedSemaphorePermit>,
}

impl Slot {
    pub(super) fn new(pool: &Arc<Pool>, lane: Box<Lane>) -> Self {
        Self {
            pool: pool.clone(),
            lane: Some(lane),
            begun: false,
            cold: None,
        }
    }

    /// The way to the container.
    pub(super) fn lane(&mut self) -> &mut Lane {
        self.lane
            .as_mut()
            .expect("a slot holds its lane until it is given back or retired")
    }

    /// The slot with its container heard of at `home`, the current runtime.
    pub(super) fn move_to(mut self, home: runtime::Id) -> Result<Self, PoolError> {
        match self.lane().move_to(home) {
            Ok(()) => Ok(self),
            Err(source) => {
                self.retire("cannot be listened to");
                let doing = "listen to a container's pipes";
                let error = LaunchError::Host { doing, source };
                Err(PoolError::Launch(Arc::new(error)))
            }
        }
    }

    /// What the container speaks.
    pub fn format(&self) -> Format {
        self.pool.format()
    }

    /// The call begins: from here on only [`give_back`](Self::give_back) saves the container.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// The call is over and the container is clean as far as the caller can tell.
    pub fn give_back(mut self) {
        if let Some(mut lane) = self.lane.take() {
            let now = Instant::now();
            lane.rest(now);
            self.pool.release(lane, self.cold.take(), now);
        }
    }

    /// The container ended before it read the call, or, if that is not `certain`, in it. If that was
    /// its first one, `told` is what callers hear while nothing is started.
    pub fn stillborn(mut self, told: &str, certain: bool) {
        if let Some(lane) = self.lane.take() {
            if lane.calls == 0 && self.cold.is_none() {
                let mut inner = self.pool.inner.lock();
                inner.failure = Some(Failure::Ended(told.into()));
                inner.state.crashed(Instant::now(), certain);
            }
            self.pool
                .end(lane, self.cold.take(), "ended before its first call");
        }
    }

    /// The container is in doubt: kill it. `why` is for the log.
    pub fn retire(mut self, why: &str) {
        if let Some(lane) = self.lane.take() {
            self.pool.end(lane, self.cold.take(), why);
        }
    }
}

impl Deref for Slot {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        self.lane
            .as_ref()
            .expect("a slot holds its lane until it is given back or retired")
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut Lane {
        self.lane()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        match self.lane.take() {
            Some(lane) if self.begun => {
                self.pool
                    .end(lane, self.cold.take(), "its call was abandoned");
            }
            Some(lane) => self.pool.release(lane, self.cold.take(), Instant::now()),
            None => {}
        }
    }
}
