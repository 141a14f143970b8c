use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime::{self, Handle};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::lane::Lane;
use super::reaper;
use super::record;
use super::resources::{Resources, Tenant};
use super::scale::{Decision, Moment, Scaler, size};
use super::slot::Slot;
use super::starts::{Charge, Permit, Starts};
use super::state::{Arrival, Bounds, Counts, Offer, State};
use crate::launcher::{Gauge, Instance, LaunchError, LaunchSpec};
use crate::model::{Format, Scale, Usage};

/// Bounds of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// What the containers speak. A call may have been made for another revision than the one
    /// that serves it.
    pub format: Format,
    /// Most containers at once.
    pub max: usize,
    /// Most calls that wait for a container at once.
    pub max_waiting: usize,
    /// How long a call may wait for a container, starts included.
    pub max_wait: Duration,
    /// How long a container may idle.
    pub idle_timeout: Duration,
    /// How long a container idles before nothing in it may run until the next call, if ever.
    pub freeze_after: Option<Duration>,
    /// What decides how many there are, within `max`.
    pub scale: Scale,
}

/// Why a function's last container is of no use.
#[derive(Clone, Debug, Error)]
pub enum Failure {
    #[error("{0}")]
    Launch(Arc<LaunchError>),
    /// It ended before it had answered anything.
    #[error("{0}")]
    Ended(Arc<str>),
}

/// Why there is no container for a call.
#[derive(Clone, Debug, Error)]
pub enum PoolError {
    #[error("{0}")]
    Launch(Arc<LaunchError>),
    /// The last containers were of no use, and none is started for a while.
    #[error("{failure}")]
    BackingOff { failure: Failure, retry: Duration },
    #[error("{0} calls wait for this function already")]
    Full(usize),
    #[error("no container was free within {} seconds", .0.as_secs())]
    Waited(Duration),
    /// One container takes more than there is for all. Fn's text, and what it is about.
    #[error("Requested CPU/Memory cannot be allocated: {0}")]
    Oversized(Arc<str>),
    /// The pool's revision is no longer the function's, or the gateway shuts down.
    #[error("the function is being replaced or the gateway shuts down")]
    Draining,
}

/// How often is looked whether there is room for what is to be warm.
const LOOK: Duration = Duration::from_millis(200);

/// A call that waits, and where.
#[derive(Debug)]
pub(super) struct Waiter {
    sender: oneshot::Sender<Result<Slot, PoolError>>,
    home: runtime::Id,
}

impl Waiter {
    /// One that has left is not told.
    fn tell(self, result: Result<Slot, PoolError>) {
        let _ = self.sender.send(result);
    }
}

/// The hot containers of one function revision.
#[derive(Debug)]
pub struct Pool {
    spec: LaunchSpec,
    config: PoolConfig,
    pub(super) starts: Arc<Starts>,
    pub(super) tenant: Tenant,
    /// What each container takes.
    need: Resources,
    /// Why no container can ever start.
    oversized: Option<Arc<str>>,
    /// Places for containers that serve one call each.
    cold: Arc<Semaphore>,
    cold_waiting: AtomicUsize,
    /// A start has ended, well or not.
    news: Notify,
    /// Starts that wait for room may no longer be wanted.
    review: Notify,
    /// Of all containers there are.
    gauges: Mutex<Vec<Weak<dyn Gauge>>>,
    pub(super) inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: State<Box<Lane>, Waiter>,
    /// Wakes the reaper; idle containers wake it when they speak.
    pub(super) reaper: Waker,
    /// When the reaper wakes by itself.
    pub(super) alarm: Option<Instant>,
    /// Why the last start was of no use.
    pub(super) failure: Option<Failure>,
}

impl Inner {
    /// Makes sure that the reaper looks when there is something to look at.
    fn rouse(&self, now: Instant) {
        if let Some(look) = self.state.next_look(now)
            && self.alarm.is_none_or(|alarm| alarm > look)
        {
            self.reaper.wake_by_ref();
        }
    }

    /// What callers are told until then.
    fn refusal(&self, until: Instant) -> PoolError {
        let retry = until.saturating_duration_since(Instant::now());
        match self.failure.clone() {
            Some(failure) => PoolError::BackingOff { failure, retry },
            None => PoolError::Waited(retry),
        }
    }
}

impl Pool {
    /// A pool of `spec` with no containers.
    pub fn new(spec: LaunchSpec, config: PoolConfig, starts: Arc<Starts>) -> Arc<Self> {
        let bounds = Bounds {
            max_waiting: config.max_waiting,
            idle_timeout: config.idle_timeout,
            freeze_after: config.freeze_after,
        };
        let need = need(&spec);
        let oversized = oversized(need, starts.total());
        // Nothing is ever started of what cannot fit.
        let max = if oversized.is_some() { 0 } else { config.max };
        let inner = Inner {
            state: State::new(bounds, Scaler::new(&config.scale, max)),
            reaper: Waker::noop().clone(),
            alarm: None,
            failure: None,
        };
        let pool = Arc::new(Self {
            spec,
            config,
            tenant: starts.number(),
            starts,
            need,
            oversized,
            cold: Arc::new(Semaphore::new(config.max)),
            cold_waiting: AtomicUsize::new(0),
            news: Notify::new(),
            review: Notify::new(),
            gauges: Mutex::default(),
            inner: Mutex::new(inner),
        });
        pool.starts.enroll(pool.tenant, Arc::downgrade(&pool));
        pool.starts.spawn(reaper::run(Arc::downgrade(&pool)));
        if config.scale.min > 0 {
            pool.adjust(Moment::Event);
        }
        pool
    }

    /// What this pool's containers speak.
    pub fn format(&self) -> Format {
        self.config.format
    }

    /// What this pool's containers are made of.
    pub fn spec(&self) -> &LaunchSpec {
        &self.spec
    }

    /// Whether this pool gives out containers that are just what `spec` asks for, as `config`
    /// says.
    pub fn serves(&self, spec: &LaunchSpec, config: &PoolConfig) -> bool {
        self.spec == *spec && self.config == *config && !self.inner.lock().state.ends()
    }

    /// Whether it gives out no more containers.
    pub fn is_draining(&self) -> bool {
        self.inner.lock().state.is_draining()
    }

    /// Something was deployed that may put right what it failed of.
    pub fn forgive(self: &Arc<Self>) {
        self.inner.lock().state.served();
        self.adjust(Moment::Event);
    }

    /// Waits until the containers that are kept anyway are there, or will not come soon.
    pub async fn warmed(&self) {
        loop {
            let news = self.news.notified();
            // Its predecessor may have to go first.
            if self.starts.shortage(self.tenant).is_some() {
                return;
            }
            {
                let state = &self.inner.lock().state;
                let counts = state.counts();
                let warm = counts.busy + counts.idle >= state.scaler().min();
                if warm || state.backing_off().is_some() || state.is_draining() {
                    return;
                }
            }
            let _ = tokio::time::timeout(LOOK, news).await;
        }
    }

    /// How many containers do what, and how many calls wait.
    pub fn counts(&self) -> Counts {
        self.inner.lock().state.counts()
    }

    /// Gets a container for one call: an idle one, or the next to be free or started.
    ///
    /// Dropping the future gives the place in the queue up; a start that it caused goes on and
    /// its container serves others.
    pub async fn check_out(self: &Arc<Self>) -> Result<Slot, PoolError> {
        self.check_size()?;
        let home = Handle::current().id();
        loop {
            let mut place = None;
            let waiter = || {
                let (sender, receiver) = oneshot::channel();
                place = Some(receiver);
                Waiter { sender, home }
            };
            let (arrival, moves_on) = {
                let mut inner = self.inner.lock();
                let arrival = inner.state.arrive(|lane| lane.home() == home, waiter);
                let queued = matches!(arrival, Arrival::Queued(_));
                (arrival, queued && self.moves_on(&mut inner))
            };
            let (mut slot, idled) = match arrival {
                Arrival::Lane(lane) => (Slot::new(self, lane), true),
                Arrival::Queued(ticket) => {
                    let place = place.expect("who is queued was made a waiter");
                    (self.wait(ticket, place, moves_on).await?, false)
                }
                Arrival::Full => return Err(PoolError::Full(self.config.max_waiting)),
                Arrival::BackingOff(until) => return Err(self.inner.lock().refusal(until)),
                Arrival::Draining => return Err(PoolError::Draining),
            };
            if !slot.lane().thaw().await {
                slot.retire("could not be thawed");
                continue;
            }
            let mut slot = slot.move_to(home)?;
            // The last look before the call: a container that spoke or died meanwhile is
            // replaced without anybody noticing. A fresh one is not: its first call tells what
            // is wrong with it, where replacing it would start one after the other.
            if (idled || slot.calls > 0) && slot.lane().in_doubt() {
                slot.retire("spoke or ended between calls");
                continue;
            }
            return Ok(slot);
        }
    }

    async fn wait(
        self: &Arc<Self>,
        ticket: u64,
        receiver: oneshot::Receiver<Result<Slot, PoolError>>,
        moves_on: bool,
    ) -> Result<Slot, PoolError> {
        let _place = Place { pool: self, ticket };
        if !moves_on {
            self.adjust(Moment::Event);
        }
        match tokio::time::timeout(self.config.max_wait, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(PoolError::Draining),
            Err(_) => Err(PoolError::Waited(self.config.max_wait)),
        }
    }

    /// Whether who has just begun to wait will soon have a container anyway. If that proves wrong,
    /// the reaper sees it.
    fn moves_on(&self, inner: &mut Inner) -> bool {
        let now = Instant::now();
        inner.state.joined(now);
        let brief = inner.state.is_brief(now);
        if brief {
            inner.rouse(now);
            if inner.state.counts().starting > 0 {
                self.review.notify_waiters();
            }
        }
        brief
    }

    /// Gets a container of its own for one call, with what `env` gives as it starts beside the
    /// revision's environment.
    ///
    /// Dropping the future gives the place up and calls the start off.
    pub async fn check_out_cold(
        self: &Arc<Self>,
        env: impl FnOnce() -> BTreeMap<String, String> + Send,
    ) -> Result<Slot, PoolError> {
        let limit = self.config.max_wait;
        tokio::time::timeout(limit, self.start_cold(env))
            .await
            .unwrap_or(Err(PoolError::Waited(limit)))
    }

    async fn start_cold(
        self: &Arc<Self>,
        env: impl FnOnce() -> BTreeMap<String, String> + Send,
    ) -> Result<Slot, PoolError> {
        self.check_size()?;
        let place = self.cold_place().await?;
        let permit = self.admit().await;
        self.may_start()?;
        let mut spec = self.spec.clone();
        spec.env.extend(env());
        let pool = self.clone();
        let launched = async move { pool.launch(permit, &spec).await };
        let launched = self.starts.run(launched).await;
        let launched = launched.ok_or(PoolError::Draining)?;
        let (lane, _) = launched.map_err(|error| {
            self.cold_failed(&error);
            PoolError::Launch(error)
        })?;
        let mut slot = Slot::new(self, lane);
        slot.cold = Some(place);
        slot.move_to(Handle::current().id())
    }

    fn admit(&self) -> impl Future<Output = Permit> + '_ {
        let kept = size(self.config.scale.min);
        self.starts.admit(self.tenant, self.need, kept)
    }

    fn check_size(&self) -> Result<(), PoolError> {
        match &self.oversized {
            Some(why) => Err(PoolError::Oversized(why.clone())),
            None => Ok(()),
        }
    }

    async fn cold_place(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        if let Ok(place) = self.cold.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::join(&self.cold_waiting, self.config.max_waiting)?;
        let place = self.cold.clone().acquire_owned().await;
        place.map_err(|_| PoolError::Draining)
    }

    fn may_start(&self) -> Result<(), PoolError> {
        let inner = self.inner.lock();
        match inner.state.backing_off() {
            Some(until) => Err(inner.refusal(until)),
            None => Ok(()),
        }
    }

    fn cold_failed(&self, error: &Arc<LaunchError>) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        inner.failure = Some(Failure::Launch(error.clone()));
        inner.state.cold_failed(now, is_passing(error));
        inner.rouse(now);
    }

    /// Starts, and ends, as many containers as the state asks for.
    pub(super) fn adjust(self: &Arc<Self>, moment: Moment) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let counts = inner.state.counts();
        let decision = inner.state.decide(now, moment);
        let surplus: Vec<Box<Lane>> = (decision.delta..0)
            .map_while(|_| inner.state.give_up())
            .collect();
        let hopeless = inner.state.hopeless();
        let refusal = inner.state.backing_off().map(|until| inner.refusal(until));
        inner.rouse(now);
        drop(inner);
        if refusal.is_some() {
            self.review.notify_waiters();
        }
        self.record(moment, counts, &decision);
        for _ in 0..decision.delta {
            let pool = self.clone();
            self.starts.spawn(async move { pool.start_one().await });
        }
        for lane in surplus {
            self.let_go(lane, "more than are needed");
        }
        for (waiter, refusal) in hopeless.into_iter().zip(refusal.into_iter().cycle()) {
            waiter.tell(Err(refusal));
        }
    }

    /// Writes a decision down for who follows them.
    pub(super) fn record(&self, moment: Moment, counts: Counts, decision: &Decision) {
        let Some(log) = self.starts.log() else {
            return;
        };
        if decision.delta != 0 || (log.every && moment == Moment::Tick) {
            let name = (&*self.spec.app, &*self.spec.function);
            let mode = self.config.scale.mode.as_str();
            log.lines.line(&record::line(name, mode, counts, decision));
        }
    }

    async fn start_one(self: Arc<Self>) {
        let admitted = {
            let mut admission = pin!(self.admit());
            let mut admitted = None;
            loop {
                // From before the question on, or the answer to it could be missed.
                let review = self.review.notified();
                if !self.inner.lock().state.still_wanted(Instant::now()) {
                    break None;
                }
                if admitted.is_some() {
                    break admitted;
                }
                tokio::select! {
                    permit = &mut admission => admitted = Some(permit),
                    () = review => {}
                }
            }
        };
        let Some(permit) = admitted else {
            self.adjust(Moment::Event);
            return;
        };
        match self.launch(permit, &self.spec).await {
            Ok((lane, took)) => {
                let now = Instant::now();
                let mut inner = self.inner.lock();
                inner.state.start_took(took);
                inner.state.started();
                drop(inner);
                self.offer(lane, now);
            }
            Err(error) => self.start_failed(error),
        }
        self.news.notify_waiters();
    }

    /// A new container, and how long its start took.
    async fn launch(
        &self,
        permit: Permit,
        spec: &LaunchSpec,
    ) -> Result<(Box<Lane>, Duration), Arc<LaunchError>> {
        let began = Instant::now();
        let launched = self.starts.launcher().launch(spec).await;
        let charge = permit.landed();
        let took = began.elapsed();
        self.tell(took, &launched);
        Ok((self.lane(launched?, charge), took))
    }

    fn lane(&self, instance: Instance, charge: Charge) -> Box<Lane> {
        let lane = Box::new(Lane::new(instance, charge));
        let mut gauges = self.gauges.lock();
        gauges.retain(|gauge| gauge.strong_count() > 0);
        gauges.extend(lane.gauge().map(Arc::downgrade));
        lane
    }

    /// What all containers use now; `None` if none of them can tell.
    pub async fn usage(&self) -> Option<Usage> {
        let gauges: Vec<_> = {
            let gauges = self.gauges.lock();
            gauges.iter().filter_map(Weak::upgrade).collect()
        };
        let read = join_all(gauges.into_iter().map(Gauge::read)).await;
        read.into_iter().flatten().reduce(|all, one| Usage {
            memory_bytes: all.memory_bytes + one.memory_bytes,
            cpu: all.cpu + one.cpu,
        })
    }

    fn start_failed(self: &Arc<Self>, error: Arc<LaunchError>) {
        let told = {
            let mut inner = self.inner.lock();
            inner.failure = Some(Failure::Launch(error.clone()));
            inner.state.start_failed(Instant::now(), is_passing(&error))
        };
        if let Some(waiter) = told {
            waiter.tell(Err(PoolError::Launch(error)));
        }
        self.adjust(Moment::Event);
    }

    fn tell(&self, took: Duration, launched: &Result<Instance, LaunchError>) {
        let (app, function) = (&self.spec.app, &self.spec.function);
        match launched {
            Ok(instance) => tracing::info!(
                %app,
                %function,
                container = %instance.id,
                millis = took.as_millis(),
                "container started"
            ),
            Err(error) => tracing::warn!(%app, %function, %error, "container did not start"),
        }
    }

    /// Takes a container back: one that served its only call ends.
    pub(super) fn release(
        self: &Arc<Self>,
        lane: Box<Lane>,
        cold: Option<OwnedSemaphorePermit>,
        now: Instant,
    ) {
        match cold {
            Some(_place) => {
                self.inner.lock().state.served();
                lane.kill();
            }
            None => self.offer(lane, now),
        }
    }

    /// Passes a free, busy-counted container on: to who waits for one, or to the idle ones.
    fn offer(self: &Arc<Self>, mut lane: Box<Lane>, now: Instant) {
        let mut inner = self.inner.lock();
        // Watched from before it is idle: what it says from here on wakes the reaper.
        let reaper = inner.reaper.clone();
        let in_doubt = lane.poll_in_doubt(&mut Context::from_waker(&reaper));
        if in_doubt && lane.calls > 0 {
            inner.state.served();
            drop(inner);
            self.end(lane, None, "spoke after its response or ended");
            return;
        }
        if lane.calls > 0 {
            inner.state.served();
        }
        let starved = self.starts.is_starved();
        if starved && lane.calls > 0 && inner.state.can_cede() && lane.cedes() {
            inner.state.retired();
            drop(inner);
            self.let_go(lane, MADE_ROOM);
            self.adjust(Moment::Event);
            return;
        }
        let home = lane.home();
        match inner.state.offer(lane, now, |waiter| waiter.home == home) {
            Offer::Serve(waiter, lane) => {
                drop(inner);
                // If the waiter has just left, the slot comes back here by its drop.
                waiter.tell(Ok(Slot::new(self, lane)));
            }
            Offer::Idle => {
                let idle = self.config.idle_timeout;
                let look = now
                    + self
                        .config
                        .freeze_after
                        .map_or(idle, |after| after.min(idle));
                if in_doubt || inner.alarm.is_none_or(|alarm| alarm > look) {
                    inner.reaper.wake_by_ref();
                }
                drop(inner);
                if starved {
                    self.starts.settle_soon();
                }
            }
            Offer::Retire(lane) => {
                drop(inner);
                self.let_go(lane, REPLACED);
            }
        }
    }

    /// Since when those idle that may be ended for another function's.
    pub(super) fn spare(&self) -> Vec<Instant> {
        self.inner.lock().state.spares().collect()
    }

    /// Ends up to `count` of those that idled for longest, for another function's.
    pub(super) fn evict(&self, count: usize) {
        let evicted = self.inner.lock().state.evict(count);
        for lane in evicted {
            self.let_go(lane, MADE_ROOM);
        }
    }

    /// Lets a container that nobody holds any more end by itself. `why` is for the log.
    pub(super) fn let_go(&self, lane: Box<Lane>, why: &str) {
        tell_retired(self, &lane, why);
        lane.close();
    }

    /// Kills a busy-counted container and replaces it if somebody waits.
    pub(super) fn end(
        self: &Arc<Self>,
        lane: Box<Lane>,
        cold: Option<OwnedSemaphorePermit>,
        why: &str,
    ) {
        tell_retired(self, &lane, why);
        lane.kill();
        match cold {
            Some(place) => drop(place),
            None => {
                self.inner.lock().state.retired();
                self.adjust(Moment::Event);
            }
        }
    }

    /// Gives out no more containers: idle ones end now, busy ones after their call. Calls that
    /// already wait are still served.
    pub fn drain(&self) {
        self.cold.close();
        self.end_idle(State::drain);
    }

    /// Keeps no container for calls to come, but serves them.
    pub fn rest(&self) {
        self.end_idle(State::rest);
    }

    fn end_idle(&self, take: impl FnOnce(&mut State<Box<Lane>, Waiter>) -> Vec<Box<Lane>>) {
        let mut inner = self.inner.lock();
        let idle = take(&mut inner.state);
        inner.reaper.wake_by_ref();
        drop(inner);
        self.review.notify_waiters();
        for lane in idle {
            self.let_go(lane, REPLACED);
        }
    }

    /// As [`drain`](Self::drain), and sends those away who wait.
    pub fn close(&self) {
        self.drain();
        let waiting = self.inner.lock().state.dismiss();
        for waiter in waiting {
            waiter.tell(Err(PoolError::Draining));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.starts.dismiss(self.tenant);
        // The reaper holds no pool; it has to look once more to see that this one is gone.
        self.inner.get_mut().reaper.wake_by_ref();
    }
}

/// What a container of `spec` takes: `/tmp` is memory.
fn need(spec: &LaunchSpec) -> Resources {
    Resources {
        memory: (spec.memory_mb + u64::from(spec.tmpfs_mb)) << 20,
        mcpus: spec.cpus.map_or(0, |cpus| u64::from(cpus.get())),
    }
}

/// Why `need` can never be had, if so.
fn oversized(need: Resources, total: Resources) -> Option<Arc<str>> {
    if need.fits(total) {
        return None;
    }
    let why = if need.memory > total.memory {
        format!(
            "a container takes {} MB of memory, and there are {} MB for all of them",
            need.memory >> 20,
            total.memory >> 20
        )
    } else {
        format!(
            "a container takes {}m of processor time, and there are {}m for all of them",
            need.mcpus, total.mcpus
        )
    };
    Some(why.into())
}

const MADE_ROOM: &str = "made room for another function's";
const REPLACED: &str = "its function was replaced, or the server stops";

pub(super) fn tell_retired(pool: &Pool, lane: &Lane, why: &str) {
    tracing::info!(
        app = %pool.spec.app,
        function = %pool.spec.function,
        container = %lane.id,
        calls = lane.calls,
        why,
        "container retired"
    );
}

/// Whether it may be over at any moment, whatever the function is.
fn is_passing(error: &LaunchError) -> bool {
    match error {
        LaunchError::EngineDown(_) | LaunchError::NoNetwork { .. } => true,
        LaunchError::Host { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
        LaunchError::Refused { reason, .. } => reason.contains("no space left on device"),
        _ => false,
    }
}

/// One of a bounded number that wait; dropping it counts it out.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize, limit: usize) -> Result<Self, PoolError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < limit {
            Ok(waiting)
        } else {
            Err(PoolError::Full(limit))
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in the queue; dropping it gives the place up.
struct Place<'a> {
    pool: &'a Arc<Pool>,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let surplus = self.pool.inner.lock().state.leave(self.ticket);
        // Nobody's container is to go for who has left.
        if surplus && self.pool.starts.is_starved() {
            self.pool.review.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
