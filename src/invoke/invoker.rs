use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::attempt::{Attempt, Run};
use super::binding::Bindings;
use super::fault::Fault;
use super::memory::{Entry, Memory};
use super::response::CallResponse;
use super::traffic::Traffic;
use crate::format::{self, CallRequest, ExchangeLimits, RequestBody};
use crate::launcher::{LaunchError, Launcher};
use crate::model::{
    Callable, CallableId, DrainStatus, Format, InvocationType, ScaleStatus, Timestamp,
};
use crate::pool::{Failure, PoolError, Resources, ScaleLog, Slot, Starts};
use crate::store::Changes;

/// Bounds for all functions.
#[derive(Clone, Copy, Debug)]
pub struct InvokeConfig {
    /// Most containers of one function revision.
    pub max_containers: usize,
    /// Most calls of one function that wait for a container.
    pub max_waiting: usize,
    /// How long a call may wait for a container.
    pub max_wait: Duration,
    /// Most container starts in flight.
    pub max_starts: usize,
    /// What all containers may take together.
    pub resources: Resources,
    /// How long a container idles before it makes room for any other function's.
    pub eject_idle: Duration,
    /// How long a container idles before nothing in it may run until the next call, if ever.
    pub freeze_after: Option<Duration>,
    /// How long a function may pause within a response whose start was passed on.
    pub response_idle: Duration,
    /// How long a caller may take for the next piece of a response.
    pub caller_patience: Duration,
    pub exchange: ExchangeLimits,
}

/// Makes calls.
#[derive(Debug)]
pub struct Invoker {
    config: InvokeConfig,
    bindings: Arc<Bindings>,
    starts: Arc<Starts>,
    memory: Option<Arc<Memory>>,
    traffic: Arc<Traffic>,
    /// Held while calls are stopped or let in again.
    draining: Mutex<()>,
}

impl Invoker {
    /// An invoker with no pools yet; calls are remembered in `memory`, if any.
    pub fn new(launcher: Arc<dyn Launcher>, config: InvokeConfig, memory: Option<Memory>) -> Self {
        let starts = Starts::new(
            launcher,
            config.max_starts,
            config.resources,
            config.eject_idle,
        );
        Self {
            config,
            bindings: Arc::new(Bindings::new(config, starts.clone())),
            starts,
            memory: memory.map(Arc::new),
            traffic: Arc::default(),
            draining: Mutex::new(()),
        }
    }

    /// Writes down in `log` why functions get more or fewer containers; the first one stays.
    pub fn log_scaling_to(&self, log: ScaleLog) {
        self.starts.log_to(log);
    }

    /// What `callable` has and should have.
    pub async fn scaling(&self, callable: &Callable) -> ScaleStatus {
        self.bindings.status(callable).await
    }

    /// Calls `callable` and waits for the start of its response, or for all of a small one.
    ///
    /// Dropping the future gives a waiting call's place up, and kills the container of one that
    /// has begun. So does dropping a body before its end.
    pub async fn call(
        &self,
        callable: &Arc<Callable>,
        mut request: CallRequest,
    ) -> Result<CallResponse, Fault> {
        let in_flight = self.traffic.enter().ok_or(Fault::ShuttingDown)?;
        let entry = Entry::begin(self.memory.clone(), in_flight, callable, request.id);
        self.run(callable, &mut request, entry).await
    }

    async fn run(
        &self,
        callable: &Arc<Callable>,
        request: &mut CallRequest,
        mut entry: Entry,
    ) -> Result<CallResponse, Fault> {
        if let Err(fault) = self.admit(callable, request) {
            entry.fail(&fault);
            return Err(fault);
        }
        let mut may_repeat = matches!(request.body, RequestBody::Whole(_));
        loop {
            let env = format::environment(callable.format, request);
            let slot = match self.check_out(callable, env).await {
                Ok(slot) => slot,
                Err(fault) => {
                    entry.log(fault.init_log());
                    entry.fail(&fault);
                    return Err(fault);
                }
            };
            let reused = slot.calls > 0;
            let run = self.begin(slot, callable, request, entry);
            match run.go(reused && may_repeat).await {
                Attempt::Answered(response, rest) => {
                    if let Some(rest) = rest {
                        self.starts.spawn_here(rest.pass_on());
                    }
                    return Ok(response);
                }
                Attempt::Failed(fault) => return Err(fault),
                Attempt::WasDead(returned) => {
                    entry = returned;
                    may_repeat = false;
                }
            }
        }
    }

    fn admit(&self, callable: &Callable, request: &CallRequest) -> Result<(), Fault> {
        if callable.kind == InvocationType::Async {
            return Err(Fault::AsyncUnsupported);
        }
        match format::refusal(callable.format, request) {
            Some(reason) => Err(Fault::BadRequest(reason)),
            None => Ok(()),
        }
    }

    fn begin(
        &self,
        mut slot: Slot,
        callable: &Arc<Callable>,
        request: &mut CallRequest,
        mut entry: Entry,
    ) -> Box<Run> {
        slot.begin();
        // The clock runs from here: waiting for a container is not the function's time.
        let now = Timestamp::now();
        entry.started(now, &mut slot);
        let deadline = now.plus(callable.timeout);
        let limits = &self.config.exchange;
        let format = slot.format();
        Box::new(Run {
            slot,
            format,
            exchange: format::begin(format, request, deadline, limits),
            entry,
            callable: callable.clone(),
            id: request.id,
            expiry: Instant::now() + callable.timeout,
            idle: self.config.response_idle,
            patience: self.config.caller_patience,
            head_only: request.method == http::Method::HEAD,
        })
    }

    async fn check_out(
        &self,
        callable: &Arc<Callable>,
        env: Option<BTreeMap<String, String>>,
    ) -> Result<Slot, Fault> {
        let mut again = !self.starts.is_closing();
        loop {
            let pool = match self.bindings.ready(callable) {
                Some(pool) => pool,
                None => timeout(self.config.max_wait, self.bindings.pool(callable))
                    .await
                    .map_err(|_| Fault::TooBusy)??,
            };
            let slot = match (pool.format(), &env) {
                (Format::Default, Some(env)) => {
                    let (env, time) = (env.clone(), callable.timeout);
                    let told = move || format::with_deadline(env, Timestamp::now().plus(time));
                    Box::pin(pool.check_out_cold(told)).await
                }
                // Deployed as another format while the call was on its way.
                (Format::Default, None) => return Err(Fault::TooBusy),
                _ => pool.check_out().await,
            };
            match slot {
                Ok(slot) => return Ok(slot),
                // Replaced between finding the pool and asking it: the binding has the new one.
                Err(PoolError::Draining) if again => {}
                // Pruned, say. The reference may well lead to it again.
                Err(error) if again && lost_its_image(&error) => {
                    self.bindings.forget(callable, &pool);
                }
                Err(PoolError::Draining) => return Err(Fault::ShuttingDown),
                Err(PoolError::Launch(error)) => return Err(error.into()),
                Err(PoolError::BackingOff { failure, retry }) => {
                    return Err(Fault::backing_off(failure, retry));
                }
                Err(PoolError::Full(_)) => return Err(Fault::TooManyWaiting),
                Err(PoolError::Waited(_)) => return Err(Fault::TooBusy),
                Err(error @ PoolError::Oversized(_)) => {
                    return Err(Fault::Oversized(error.to_string()));
                }
            }
            again = false;
        }
    }

    /// Takes no more calls. Those in flight go on; idle containers end.
    pub fn drain(&self) {
        let _alone = self.draining.lock();
        self.traffic.close();
        self.bindings.rest();
    }

    /// Takes calls again.
    pub fn resume(&self) {
        let _alone = self.draining.lock();
        if self.traffic.is_closed() {
            self.bindings.renew();
            self.traffic.open();
        }
    }

    /// Whether calls are taken, and how many are in flight.
    pub fn draining(&self) -> DrainStatus {
        DrainStatus {
            draining: self.traffic.is_closed(),
            calls: self.traffic.calls(),
        }
    }

    /// Ends every idle container, calls off every start, gives out no more, and writes down what
    /// is still to be remembered.
    pub async fn close(&self) {
        for pool in self.bindings.pools() {
            pool.close();
        }
        self.starts.close().await;
        if let Some(memory) = &self.memory {
            memory.close().await;
        }
    }
}

fn lost_its_image(error: &PoolError) -> bool {
    let (PoolError::Launch(launch)
    | PoolError::BackingOff {
        failure: Failure::Launch(launch),
        ..
    }) = error
    else {
        return false;
    };
    matches!(**launch, LaunchError::ImageGone { .. })
}

impl Changes for Invoker {
    fn shown(&self, callable: &Arc<Callable>) {
        self.bindings.shown(callable);
    }

    fn withdrawn(&self, id: &CallableId) {
        self.bindings.remove(id);
    }
}

#[cfg(test)]
#[path = "invoker_tests.rs"]
mod tests;
