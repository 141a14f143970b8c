use std::sync::Arc;
use std::time::Duration;

use super::binding::Bindings;
use super::fault::Fault;
use super::memory::{Entry, Memory};
use crate::format::{
    Answer, CallRequest, CallResponse, ExchangeError, ExchangeLimits, exchange_http,
};
use crate::launcher::{Exit, LaunchError, Launcher};
use crate::model::{Callable, CallableId, Format, InvocationType, Timestamp};
use crate::pool::{PoolError, Slot, Starts};
use crate::store::Withdrawals;

/// How long finding out how a container ended may keep its caller waiting; an engine that hangs
/// must not.
const AUTOPSY: Duration = Duration::from_secs(4);

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
    pub exchange: ExchangeLimits,
}

/// Makes calls.
#[derive(Debug)]
pub struct Invoker {
    config: InvokeConfig,
    bindings: Bindings,
    starts: Arc<Starts>,
    memory: Option<Memory>,
}

/// What became of one try at one container.
enum Attempt {
    Answered(CallResponse),
    Failed(Fault),
    /// The container had died before the call; another one may serve it.
    WasDead,
}

impl Invoker {
    /// An invoker with no pools yet; calls are remembered in `memory`, if any.
    pub fn new(launcher: Arc<dyn Launcher>, config: InvokeConfig, memory: Option<Memory>) -> Self {
        let starts = Starts::new(launcher, config.max_starts);
        Self {
            config,
            bindings: Bindings::new(config, starts.clone()),
            starts,
            memory,
        }
    }

    /// Calls `callable` and waits for its response.
    ///
    /// Dropping the future gives a waiting call's place up, and kills the container of one that
    /// has begun.
    pub async fn call(
        &self,
        callable: &Arc<Callable>,
        request: &CallRequest,
    ) -> Result<CallResponse, Fault> {
        let mut entry = Entry::begin(self.memory.as_ref(), callable, request.id);
        let result = self.run(callable, request, &mut entry).await;
        entry.end(&result);
        result
    }

    async fn run(
        &self,
        callable: &Arc<Callable>,
        request: &CallRequest,
        entry: &mut Entry<'_>,
    ) -> Result<CallResponse, Fault> {
        if callable.format != Format::Http {
            return Err(Fault::UnsupportedFormat(callable.format));
        }
        if callable.kind == InvocationType::Async {
            return Err(Fault::AsyncUnsupported);
        }
        let mut retried = false;
        loop {
            let slot = self.check_out(callable).await?;
            match self.attempt(slot, callable, request, entry, retried).await {
                Attempt::Answered(response) => return Ok(response),
                Attempt::Failed(fault) => return Err(fault),
                Attempt::WasDead => retried = true,
            }
        }
    }

    async fn check_out(&self, callable: &Arc<Callable>) -> Result<Slot, Fault> {
        let mut again = !self.starts.is_closing();
        loop {
            let pool = tokio::time::timeout(self.config.max_wait, self.bindings.pool(callable));
            let pool = pool.await.map_err(|_| Fault::TooBusy)??;
            match pool.check_out().await {
                Ok(slot) => return Ok(slot),
                // Replaced between finding the pool and asking it: the binding has the new one.
                Err(PoolError::Draining) if again => {}
                // Pruned, say. The reference may well lead to it again.
                Err(PoolError::Launch(error))
                    if again && matches!(*error, LaunchError::ImageGone { .. }) =>
                {
                    self.bindings.forget(callable, &pool);
                }
                Err(PoolError::Draining) => return Err(Fault::ShuttingDown),
                Err(PoolError::Launch(error)) => return Err(error.into()),
                Err(PoolError::Full(_)) => return Err(Fault::TooManyWaiting),
                Err(PoolError::Waited(_)) => return Err(Fault::TooBusy),
            }
            again = false;
        }
    }

    async fn attempt(
        &self,
        mut slot: Slot,
        callable: &Callable,
        request: &CallRequest,
        entry: &mut Entry<'_>,
        retried: bool,
    ) -> Attempt {
        let reused = slot.calls > 0;
        slot.begin();
        slot.begin_log(entry.log_limit());
        // The clock runs from here: waiting for a container is not the function's time.
        let now = Timestamp::now();
        entry.started(now);
        let deadline = now.plus(callable.timeout);
        let exchange = exchange_http(&mut slot, request, deadline, &self.config.exchange);
        let outcome = tokio::time::timeout(callable.timeout, exchange).await;
        entry.log(slot.end_log());
        match outcome {
            Ok(Ok(Answer { response, clean })) => {
                if clean {
                    slot.give_back();
                } else {
                    slot.retire("answered without reading its request");
                }
                Attempt::Answered(response)
            }
            Ok(Err(ExchangeError::Ended {
                started: false,
                unread: true,
                ..
            })) if reused && !retried => {
                slot.retire("had died before the call");
                Attempt::WasDead
            }
            Ok(Err(error)) => {
                let fault = diagnose(&mut slot, callable, error).await;
                blame(&slot, callable, request, &fault);
                slot.retire("did not answer properly");
                Attempt::Failed(fault)
            }
            Err(_) => {
                blame(&slot, callable, request, &Fault::TimedOut);
                slot.retire("ran out of time");
                Attempt::Failed(Fault::TimedOut)
            }
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

impl Withdrawals for Invoker {
    fn withdrawn(&self, id: &CallableId) {
        self.bindings.remove(id);
    }
}

/// The cause behind what was seen on stdout.
async fn diagnose(slot: &mut Slot, callable: &Callable, error: ExchangeError) -> Fault {
    let (started, detail) = match error {
        ExchangeError::Ended { started, error, .. } => (started, error.to_string()),
        ExchangeError::TooLarge { .. } => return Fault::ResponseTooLarge,
        ExchangeError::Io(_) => return Fault::Lost(error.to_string()),
        other => return Fault::BadResponse(other.to_string()),
    };
    let exit = tokio::time::timeout(AUTOPSY, slot.autopsy()).await;
    match exit.unwrap_or(Exit::Unknown) {
        Exit::OutOfMemory => Fault::OutOfMemory {
            limit_mb: callable.memory_mb,
        },
        Exit::Code(0) if started => Fault::BadResponse(detail),
        Exit::Code(code) => Fault::Exited(code),
        Exit::Killed => Fault::BadResponse(format!("it closed its stdout, {detail}")),
        Exit::Unknown => Fault::Lost(format!("the container is lost: {detail}")),
    }
}

/// Tells the operator what the caller is not told: the function's own last words.
fn blame(slot: &Slot, callable: &Callable, request: &CallRequest, fault: &Fault) {
    tracing::warn!(
        app = %callable.app_name,
        function = %callable.name,
        call_id = %request.id,
        container = %slot.id,
        blame = fault.blame().as_str(),
        stderr = ?slot.last_words(),
        "{fault}"
    );
}

#[cfg(test)]
#[path = "invoker_tests.rs"]
mod tests;
