//! What the machine has for containers, who holds how much of it, and who starts next. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// What a container takes, or what all of them may take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// In bytes.
    pub memory: u64,
    /// In thousandths of a processor.
    pub mcpus: u64,
}

impl Resources {
    /// No bound.
    pub const BOUNDLESS: Self = Self {
        memory: u64::MAX,
        mcpus: u64::MAX,
    };

    pub(super) fn fits(self, room: Self) -> bool {
        self.memory <= room.memory && self.mcpus <= room.mcpus
    }

    fn plus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_add(other.memory),
            mcpus: self.mcpus.saturating_add(other.mcpus),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_sub(other.memory),
            mcpus: self.mcpus.saturating_sub(other.mcpus),
        }
    }

    fn times(self, count: usize) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            memory: self.memory.saturating_mul(count),
            mcpus: self.mcpus.saturating_mul(count),
        }
    }

    /// Whether it has any of what `missing` has.
    fn helps(self, missing: Self) -> bool {
        (self.memory > 0 && missing.memory > 0) || (self.mcpus > 0 && missing.mcpus > 0)
    }

    /// The larger of the two parts of `total` that this is, in billionths: its dominant share.
    fn share(self, total: Self) -> u128 {
        let part = |own: u64, all: u64| u128::from(own) * 1_000_000_000 / u128::from(all.max(1));
        part(self.memory, total.memory).max(part(self.mcpus, total.mcpus))
    }
}

/// A pool, as far as resources are concerned.
pub(super) type Tenant = u64;

/// A start that was asked for.
pub(super) type Ticket = u64;

/// All that is held and asked for.
///
/// The start that is granted next is that of the tenant with the smallest dominant share, so that
/// one who asks for much does not keep another from a first container.
#[derive(Debug)]
pub(super) struct Ledger {
    total: Resources,
    /// Of `total`: by containers that are there, come, or go.
    taken: Resources,
    /// Of `taken`: by containers that go.
    leaving: Resources,
    most_flying: usize,
    /// Who has nothing for so long comes before all others.
    patience: Duration,
    /// Starts that were granted and have not ended.
    flying: usize,
    accounts: BTreeMap<Tenant, Account>,
    next: Ticket,
}

#[derive(Debug)]
struct Account {
    /// What each of its containers takes.
    need: Resources,
    /// So many of them go for nobody.
    kept: usize,
    held: usize,
    leaving: usize,
    /// When it last came to have nothing that stays.
    bare: Instant,
    /// With the time from which on each has waited.
    waiting: VecDeque<(Ticket, Instant)>,
}

impl Account {
    /// Containers that do not go.
    fn staying(&self) -> usize {
        self.held - self.leaving
    }

    /// From when on its first start waits and it has nothing, or would if it had nothing.
    fn in_need(&self) -> Option<Instant> {
        let (_, since) = self.waiting.front()?;
        Some(self.bare.max(*since))
    }

    fn lost(&mut self, now: Instant) {
        if self.staying() == 0 {
            self.bare = now;
        }
    }

    /// What it would hold with `more` containers beyond those that stay.
    fn holding(&self, more: usize) -> Resources {
        self.need.times(self.staying() + more)
    }
}

/// An idle container that may be ended for another tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) tenant: Tenant,
    pub(super) since: Instant,
}

impl Ledger {
    /// At most `most_flying` starts at once, of containers that take `total` together. Who idles
    /// for `patience` makes room for anybody, and who waits for it without any container for
    /// those who have some.
    pub(super) fn new(total: Resources, most_flying: usize, patience: Duration) -> Self {
        Self {
            total,
            taken: Resources::default(),
            leaving: Resources::default(),
            most_flying,
            patience,
            flying: 0,
            accounts: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn total(&self) -> Resources {
        self.total
    }

    pub(super) fn taken(&self) -> Resources {
        self.taken
    }

    fn free(&self) -> Resources {
        self.total.minus(self.taken)
    }

    /// `tenant`, whose containers each take `need` and of which `kept` stay whatever happens,
    /// asks for one more.
    pub(super) fn ask(
        &mut self,
        tenant: Tenant,
        need: Resources,
        kept: usize,
        now: Instant,
    ) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let account = self.accounts.entry(tenant).or_insert_with(|| Account {
            need,
            kept,
            held: 0,
            leaving: 0,
            bare: now,
            waiting: VecDeque::new(),
        });
        account.waiting.push_back((ticket, now));
        ticket
    }

    /// A start is no longer asked for; harmless if it was granted.
    pub(super) fn withdraw(&mut self, tenant: Tenant, ticket: Ticket) {
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.waiting.retain(|(waiting, _)| *waiting != ticket);
        }
        self.forget(tenant);
    }

    /// Grants what can be granted now.
    pub(super) fn grant(&mut self, now: Instant) -> Vec<(Tenant, Ticket)> {
        let mut granted = Vec::new();
        // Those before whom nobody may take what they cannot have yet.
        let mut passed: BTreeSet<Tenant> = BTreeSet::new();
        while self.flying < self.most_flying
            && let Some(tenant) = self.next_in_line(&passed)
        {
            let fits = self.accounts[&tenant].need.fits(self.free());
            if !fits
                || passed
                    .iter()
                    .any(|other| self.precedes(*other, tenant, now))
            {
                passed.insert(tenant);
                continue;
            }
            let Some(account) = self.accounts.get_mut(&tenant) else {
                break;
            };
            granted.extend(
                account
                    .waiting
                    .pop_front()
                    .map(|(ticket, _)| (tenant, ticket)),
            );
            account.held += 1;
            self.taken = self.taken.plus(account.need);
            self.flying += 1;
        }
        granted
    }

    /// Who waits and holds least; among equals, who has waited for longest.
    fn next_in_line(&self, passed: &BTreeSet<Tenant>) -> Option<Tenant> {
        let waiting = |(tenant, account): (&Tenant, &Account)| {
            let (first, _) = *account.waiting.front()?;
            let share = account.holding(0).share(self.total);
            let in_need = account.in_need()?;
            (!passed.contains(tenant)).then_some((share, in_need, first, *tenant))
        };
        let next = self.accounts.iter().filter_map(waiting).min();
        next.map(|(.., tenant)| tenant)
    }

    /// Whether what is free is kept for `other`, who waits for more of it, from `tenant`, who
    /// asks for one container more.
    fn precedes(&self, other: Tenant, tenant: Tenant, now: Instant) -> bool {
        let then = self.accounts[&tenant].holding(1).share(self.total);
        let others = self.accounts[&other].holding(1).share(self.total);
        self.can_fit(other) && (then > others || self.is_desperate(other, now))
    }

    /// Whether `tenant` waits for long and has nothing.
    fn is_desperate(&self, tenant: Tenant, now: Instant) -> bool {
        let account = &self.accounts[&tenant];
        let in_need = account.in_need().filter(|_| account.staying() == 0);
        in_need.is_some_and(|since| now >= since + self.patience)
    }

    /// Whether one container of `tenant` would have room if all others gave up what they can.
    fn can_fit(&self, tenant: Tenant) -> bool {
        let others = self.accounts.iter().filter(|(other, _)| **other != tenant);
        let room = others.fold(self.room(), |room, (_, account)| {
            room.plus(
                account
                    .need
                    .times(account.staying().saturating_sub(account.kept)),
            )
        });
        self.accounts[&tenant].need.fits(room)
    }

    /// What is free, or soon will be.
    fn room(&self) -> Resources {
        self.free().plus(self.leaving)
    }

    /// A start that was granted has ended, well or not.
    pub(super) fn landed(&mut self) {
        self.flying -= 1;
    }

    /// One of `tenant`'s containers will be gone soon.
    pub(super) fn leave(&mut self, tenant: Tenant, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.leaving += 1;
            account.lost(now);
            self.leaving = self.leaving.plus(account.need);
        }
    }

    /// One of `tenant`'s containers is gone; `left`: [`leave`](Self::leave) was said of it.
    pub(super) fn release(&mut self, tenant: Tenant, left: bool, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.held -= 1;
            self.taken = self.taken.minus(account.need);
            if left {
                account.leaving -= 1;
                self.leaving = self.leaving.minus(account.need);
            } else {
                account.lost(now);
            }
        }
        self.forget(tenant);
    }

    fn forget(&mut self, tenant: Tenant) {
        let done = |account: &Account| account.held == 0 && account.waiting.is_empty();
        if self.accounts.get(&tenant).is_some_and(done) {
            self.accounts.remove(&tenant);
        }
    }

    /// Whether somebody waits for what others hold, not only for a start to end.
    pub(super) fn is_starved(&self) -> bool {
        let free = self.free();
        let mut accounts = self.accounts.values();
        accounts.any(|account| !account.waiting.is_empty() && !account.need.fits(free))
    }

    /// How many of `tenant`'s starts wait because there is not enough for them.
    pub(super) fn blocked(&self, tenant: Tenant) -> usize {
        let account = self.accounts.get(&tenant);
        let blocked = account.filter(|account| !account.need.fits(self.free()));
        blocked.map_or(0, |account| account.waiting.len())
    }

    /// Which of the idle containers are to go, so that those who wait can start: the ones that
    /// idled for longest, of other tenants than the one they go for, and none in vain. Those that
    /// rest for long are free for all; one that was used later goes only where its tenant would
    /// have to [cede](Self::must_cede) it.
    pub(super) fn evictions(&self, mut idle: Vec<Candidate>, now: Instant) -> Vec<Candidate> {
        idle.sort_by_key(|candidate| candidate.since);
        let mut room = self.room();
        let mut plan = Plan::default();
        let mut passed: Vec<Tenant> = Vec::new();
        for (tenant, need) in self.next_starts() {
            if passed
                .iter()
                .any(|other| self.precedes(*other, tenant, now))
            {
                continue;
            }
            if !need.fits(room) {
                let Some(chosen) = self.choose(tenant, need.minus(room), &idle, &plan, now) else {
                    passed.push(tenant);
                    continue;
                };
                for position in chosen.into_iter().rev() {
                    let candidate = idle.remove(position);
                    room = room.plus(self.need_of(candidate.tenant));
                    plan.evicted.push(candidate);
                }
            }
            room = room.minus(need);
            *plan.started.entry(tenant).or_default() += 1;
        }
        plan.evicted
    }

    /// The starts that would be granted next if there were room, as many as may be in flight.
    fn next_starts(&self) -> Vec<(Tenant, Resources)> {
        let mut waiting: Vec<_> = self.accounts.iter().collect();
        waiting.retain(|(_, account)| !account.waiting.is_empty());
        waiting.sort_by_key(|(_, account)| account.holding(0).share(self.total));
        let starts = waiting.into_iter().flat_map(|(tenant, account)| {
            std::iter::repeat_n((*tenant, account.need), account.waiting.len())
        });
        starts.take(self.most_flying).collect()
    }

    fn need_of(&self, tenant: Tenant) -> Resources {
        let account = self.accounts.get(&tenant);
        account.map(|account| account.need).unwrap_or_default()
    }

    /// Positions in `idle`, ascending, of those that give `missing` together, if there are any.
    fn choose(
        &self,
        tenant: Tenant,
        missing: Resources,
        idle: &[Candidate],
        plan: &Plan,
        now: Instant,
    ) -> Option<Vec<usize>> {
        let mut given = Resources::default();
        let mut chosen: Vec<usize> = Vec::new();
        for (position, candidate) in idle.iter().enumerate() {
            let need = self.need_of(candidate.tenant);
            let same = chosen
                .iter()
                .filter(|p| idle[**p].tenant == candidate.tenant);
            let going = plan.evicted_of(candidate.tenant) + same.count();
            let free_to_go = now >= candidate.since + self.patience
                || self.has_to_cede(
                    candidate.tenant,
                    going,
                    tenant,
                    plan.started_of(tenant),
                    now,
                );
            let helps = need.helps(missing.minus(given));
            if candidate.tenant != tenant && helps && free_to_go {
                given = given.plus(need);
                chosen.push(position);
            }
            if missing.fits(given) {
                break;
            }
        }
        if !missing.fits(given) {
            return None;
        }
        // An early one may be of no use beside a later, larger one.
        chosen.retain(|position| {
            let without = given.minus(self.need_of(idle[*position].tenant));
            let needed = !missing.fits(without);
            if !needed {
                given = without;
            }
            needed
        });
        Some(chosen)
    }

    /// Whether `tenant` has to let go of a container that is free, although its own calls wait:
    /// another one waits for what it takes and holds less, or has waited for long with nothing.
    pub(super) fn must_cede(&self, tenant: Tenant, now: Instant) -> bool {
        let need = self.need_of(tenant);
        let room = self.room();
        self.accounts.iter().any(|(other, waits)| {
            *other != tenant
                && !waits.waiting.is_empty()
                && need.helps(waits.need.minus(room))
                && self.can_fit(*other)
                && self.has_to_cede(tenant, 0, *other, 0, now)
        })
    }

    /// Whether `tenant`, without one container more than the `going` ones, would hold at least
    /// what `other` would with one more than the `coming` ones; or `other` is desperate.
    fn has_to_cede(
        &self,
        tenant: Tenant,
        going: usize,
        other: Tenant,
        coming: usize,
        now: Instant,
    ) -> bool {
        let (Some(account), Some(waits)) = (self.accounts.get(&tenant), self.accounts.get(&other))
        else {
            return false;
        };
        let Some(left) = account.staying().checked_sub(going + 1) else {
            return false;
        };
        let left = account.need.times(left).share(self.total);
        left >= waits.holding(coming + 1).share(self.total)
            || (coming == 0 && self.is_desperate(other, now))
    }
}

/// Evictions so far, and the starts that they make possible.
#[derive(Debug, Default)]
struct Plan {
    evicted: Vec<Candidate>,
    started: BTreeMap<Tenant, usize>,
}

impl Plan {
    fn evicted_of(&self, tenant: Tenant) -> usize {
        let of = self.evicted.iter().filter(|c| c.tenant == tenant);
        of.count()
    }

    fn started_of(&self, tenant: Tenant) -> usize {
        self.started.get(&tenant).copied().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
