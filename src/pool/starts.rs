use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::driver::Pool;
use super::record::ScaleLog;
use super::resources::{Candidate, Ledger, Resources, Tenant, Ticket};
use crate::launcher::Launcher;

/// Calls that end within this time look for room together.
const SOON: Duration = Duration::from_millis(5);

/// What all pools share: the launcher, the tasks that start containers with it, and the machine.
///
/// Starts in flight are bounded, because engines degrade beyond about ten.
#[derive(Debug)]
pub struct Starts {
    launcher: Arc<dyn Launcher>,
    books: Mutex<Books>,
    /// Whether a start waits for what containers take; read by every call's end.
    starved: AtomicBool,
    /// Held while room is made, so that nobody makes it twice.
    making_room: Mutex<()>,
    /// When room is looked for although nothing happens.
    next_look: Mutex<Option<Instant>>,
    /// Whether there is a reason to look for room once more.
    room_wanted: AtomicBool,
    tasks: TaskTracker,
    /// Where containers are started and looked after.
    main: Handle,
    closing: CancellationToken,
    rest: Duration,
    log: OnceLock<ScaleLog>,
}

/// Never locked while a pool is, but for a question to the ledger; nothing is dropped or sent
/// under its lock.
#[derive(Debug)]
struct Books {
    ledger: Ledger,
    waiting: HashMap<Ticket, oneshot::Sender<Permit>>,
    pools: HashMap<Tenant, Weak<Pool>>,
    next: Tenant,
}

impl Starts {
    /// At most `limit` starts of `launcher` at once, of containers that take `total` together.
    /// Who idles for `rest` makes room for anybody.
    pub fn new(
        launcher: Arc<dyn Launcher>,
        limit: usize,
        total: Resources,
        rest: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            launcher,
            books: Mutex::new(Books {
                ledger: Ledger::new(total, limit, rest),
                waiting: HashMap::new(),
                pools: HashMap::new(),
                next: 0,
            }),
            starved: AtomicBool::new(false),
            making_room: Mutex::new(()),
            next_look: Mutex::new(None),
            room_wanted: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            main: Handle::current(),
            closing: CancellationToken::new(),
            rest,
            log: OnceLock::new(),
        })
    }

    /// Writes decisions to `log` from now on; the first one stays.
    pub fn log_to(&self, log: ScaleLog) {
        let _ = self.log.set(log);
    }

    pub(super) fn log(&self) -> Option<&ScaleLog> {
        self.log.get()
    }

    /// The launcher.
    pub fn launcher(&self) -> &Arc<dyn Launcher> {
        &self.launcher
    }

    /// Runs `task` until it ends or [`close`](Self::close) is called, whichever is first, on the
    /// runtime that this was made on.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.until_closing(task);
        self.tasks.spawn_on(task.map(drop), &self.main);
    }

    /// As [`spawn`](Self::spawn) on the caller's own runtime: for what goes on with a call.
    pub fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.until_closing(task).map(drop));
    }

    /// Waits for what `task` comes to, which runs as with [`spawn`](Self::spawn); `None` once that has
    /// been called off. Dropping the future does so, too.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let run = self.tasks.track_future(self.until_closing(task));
        let run = AbortOnDropHandle::new(self.main.spawn(run));
        // Only its own drop aborts it.
        run.await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    fn until_closing<F: Future>(
        &self,
        task: F,
    ) -> impl Future<Output = Option<F::Output>> + use<F> {
        self.closing.clone().run_until_cancelled_owned(task)
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Calls every start off and waits until the last one has let go of its container.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A number for a pool that is about to be made.
    pub(super) fn number(&self) -> Tenant {
        let mut books = self.books.lock();
        books.next += 1;
        books.next
    }

    /// Room may be made in this pool from now on.
    pub(super) fn enroll(&self, tenant: Tenant, pool: Weak<Pool>) {
        self.books.lock().pools.insert(tenant, pool);
    }

    pub(super) fn dismiss(&self, tenant: Tenant) {
        self.books.lock().pools.remove(&tenant);
    }

    /// All there is for containers.
    pub(super) fn total(&self) -> Resources {
        self.books.lock().ledger.total()
    }

    /// Waits until one of `tenant`'s containers may start, which take `need` each and of which
    /// `kept` go for nobody.
    pub(super) async fn admit(
        self: &Arc<Self>,
        tenant: Tenant,
        need: Resources,
        kept: usize,
    ) -> Permit {
        let (sender, receiver) = oneshot::channel();
        let ticket = {
            let mut books = self.books.lock();
            let ticket = books.ledger.ask(tenant, need, kept, Instant::now());
            books.waiting.insert(ticket, sender);
            ticket
        };
        let _asked = Asked {
            starts: self,
            tenant,
            ticket,
        };
        self.settle();
        match receiver.await {
            Ok(permit) => permit,
            // Only a withdrawal drops the sender, and that is this future's own drop.
            Err(_) => std::future::pending().await,
        }
    }

    /// Grants what can be granted, and makes room for what cannot. To be called when something
    /// has become free, without a lock.
    pub(super) fn settle(self: &Arc<Self>) {
        let (granted, starved) = {
            let mut books = self.books.lock();
            let granted = books.ledger.grant(Instant::now());
            let granted: Vec<_> = granted
                .into_iter()
                .map(|(tenant, ticket)| (books.waiting.remove(&ticket), tenant))
                .collect();
            let starved = books.ledger.is_starved();
            // Under the lock, or an older word could be the last one.
            self.starved.store(starved, Ordering::Relaxed);
            (granted, starved)
        };
        for (sender, tenant) in granted {
            let permit = Permit {
                flight: Flight(self.clone()),
                charge: Charge {
                    starts: self.clone(),
                    tenant,
                    leaving: AtomicBool::new(false),
                },
            };
            // One that nobody takes any more gives back what it holds by its drop.
            if let Some(sender) = sender {
                let _ = sender.send(permit);
            }
        }
        if starved {
            self.want_room();
        }
    }

    /// Makes room, or leaves it to who does so already. Never waits: what is dropped on the way
    /// may lead back here.
    fn want_room(self: &Arc<Self>) {
        self.room_wanted.store(true, Ordering::SeqCst);
        // Whoever holds the lock looks at the flag after it; we look at the lock after the flag.
        fence(Ordering::SeqCst);
        while self.room_wanted.load(Ordering::SeqCst)
            && let Some(_alone) = self.making_room.try_lock()
        {
            while self.room_wanted.swap(false, Ordering::SeqCst) {
                self.make_room();
            }
        }
    }

    /// Ends idle containers for those who wait.
    fn make_room(self: &Arc<Self>) {
        let pools: Vec<_> = {
            let books = self.books.lock();
            let pools = books.pools.iter();
            pools
                .filter_map(|(tenant, pool)| Some((*tenant, pool.upgrade()?)))
                .collect()
        };
        let idle = pools.iter().flat_map(|(tenant, pool)| {
            let since = pool.spare();
            since.into_iter().map(|since| Candidate {
                tenant: *tenant,
                since,
            })
        });
        let now = Instant::now();
        let idle: Vec<_> = idle.collect();
        let next = idle.iter().map(|candidate| candidate.since + self.rest);
        let next = next.filter(|rested| *rested > now).min();
        let evicted = self.books.lock().ledger.evictions(idle, now);
        for (tenant, pool) in &pools {
            let count = evicted.iter().filter(|c| c.tenant == *tenant).count();
            if count > 0 {
                pool.evict(count);
            }
        }
        // Those who wait have more of a right later.
        self.look_again(next.unwrap_or(now + self.rest));
    }

    /// Looks for room at `at`, unless it is to be looked for earlier.
    fn look_again(self: &Arc<Self>, at: Instant) {
        let earlier = {
            let mut next = self.next_look.lock();
            let earlier = next.is_some_and(|next| next <= at);
            if !earlier {
                *next = Some(at);
            }
            earlier
        };
        if earlier {
            return;
        }
        let starts = self.clone();
        self.spawn(async move {
            tokio::time::sleep_until(at).await;
            starts.next_look.lock().take_if(|next| *next <= at);
            if starts.is_starved() {
                starts.settle();
            }
        });
    }

    /// Whether a start waits for what containers take.
    pub(super) fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }

    /// As after a change that many calls may make: looks for room once for all of them.
    pub(super) fn settle_soon(self: &Arc<Self>) {
        self.look_again(Instant::now() + SOON);
    }

    /// What `tenant`'s starts wait for, if for room.
    pub(super) fn shortage(&self, tenant: Tenant) -> Option<Shortage> {
        let books = self.books.lock();
        let starts = books.ledger.blocked(tenant);
        (starts > 0).then(|| Shortage {
            starts,
            taken: books.ledger.taken(),
            total: books.ledger.total(),
        })
    }

    fn release(self: &Arc<Self>, tenant: Tenant, left: bool) {
        self.books
            .lock()
            .ledger
            .release(tenant, left, Instant::now());
        self.settle();
    }
}

/// A start that is waited for; dropping it withdraws it.
struct Asked<'a> {
    starts: &'a Arc<Starts>,
    tenant: Tenant,
    ticket: Ticket,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let withdrawn = {
            let mut books = self.starts.books.lock();
            books.ledger.withdraw(self.tenant, self.ticket);
            books.waiting.remove(&self.ticket)
        };
        // Others may have waited for it to go first.
        if withdrawn.is_some() {
            self.starts.settle();
        }
    }
}

/// The right to start one container now.
#[derive(Debug)]
pub(super) struct Permit {
    flight: Flight,
    charge: Charge,
}

impl Permit {
    /// The start has ended. What its container takes stays taken until the charge is dropped.
    pub(super) fn landed(self) -> Charge {
        drop(self.flight);
        self.charge
    }
}

/// A start in flight.
#[derive(Debug)]
struct Flight(Arc<Starts>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.books.lock().ledger.landed();
        self.0.settle();
    }
}

/// What one container takes, until it is gone.
pub(super) struct Charge {
    starts: Arc<Starts>,
    tenant: Tenant,
    leaving: AtomicBool,
}

impl Charge {
    /// Whether the container has to go for another tenant's, although calls wait for it. From
    /// then on it is about to end.
    pub(super) fn cede(&self) -> bool {
        let mut books = self.starts.books.lock();
        let cedes = books.ledger.must_cede(self.tenant, Instant::now());
        if cedes && !self.leaving.swap(true, Ordering::Relaxed) {
            books.ledger.leave(self.tenant, Instant::now());
        }
        cedes
    }

    /// The container is about to end.
    pub(super) fn leave(&self) {
        if !self.leaving.swap(true, Ordering::Relaxed) {
            self.starts
                .books
                .lock()
                .ledger
                .leave(self.tenant, Instant::now());
        }
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge")
            .field("tenant", &self.tenant)
            .field("leaving", &self.leaving)
            .finish_non_exhaustive()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.starts.release(self.tenant, *self.leaving.get_mut());
    }
}

/// Why starts wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortage {
    starts: usize,
    taken: Resources,
    total: Resources,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            starts,
            taken,
            total,
        } = self;
        write!(
            f,
            "{starts} starts wait for room: {} of {} MB of memory",
            taken.memory >> 20,
            total.memory >> 20
        )?;
        if total.mcpus < u64::MAX {
            write!(
                f,
                " and {} of {}m of processor time",
                taken.mcpus, total.mcpus
            )?;
        }
        f.write_str(" are taken")
    }
}

#[cfg(test)]
#[path = "starts_tests.rs"]
mod tests;
