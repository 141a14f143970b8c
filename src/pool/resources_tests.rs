use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MB: u64 = 1 << 20;
/// Everything happens long before anybody loses it, unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(100);

fn memory(mb: u64) -> Resources {
    Resources {
        memory: mb * MB,
        mcpus: 0,
    }
}

fn both(mb: u64, mcpus: u64) -> Resources {
    Resources {
        memory: mb * MB,
        mcpus,
    }
}

/// A ledger of 1000 MB and four processors.
fn ledger() -> Ledger {
    Ledger::new(both(1000, 4000), 8, PATIENCE)
}

/// Asks `count` times for `tenant`, and grants.
fn ask(ledger: &mut Ledger, tenant: Tenant, need: Resources, count: usize) -> Vec<Tenant> {
    for _ in 0..count {
        ledger.ask(tenant, need, 0, now());
    }
    grant(ledger)
}

fn grant(ledger: &mut Ledger) -> Vec<Tenant> {
    let granted = ledger.grant(now());
    for _ in &granted {
        ledger.landed();
    }
    granted.into_iter().map(|(tenant, _)| tenant).collect()
}

fn now() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now) + Duration::from_secs(10_000)
}

/// Idle for `age` seconds by now.
fn idle(tenant: Tenant, age: u64) -> Candidate {
    Candidate {
        tenant,
        since: now() - Duration::from_secs(age),
    }
}

/// For so long that it is free for all.
fn rested(tenant: Tenant, age: u64) -> Candidate {
    idle(tenant, 1000 + age)
}

fn at(tenant: Tenant) -> usize {
    usize::try_from(tenant).unwrap()
}

fn tenants(candidates: &[Candidate]) -> Vec<Tenant> {
    candidates.iter().map(|c| c.tenant).collect()
}

// E4
#[test]
fn what_fits_exactly_is_granted_and_one_byte_more_is_not() {
    let mut ledger = ledger();
    assert_eq!(ask(&mut ledger, 1, memory(500), 2), [1, 1]);
    assert!(!ledger.is_starved());
    assert!(ask(&mut ledger, 2, memory(1), 1).is_empty());
    assert!(ledger.is_starved());
    assert_eq!(ledger.blocked(2), 1);
    ledger.release(1, false, now());
    assert_eq!(grant(&mut ledger), [2]);
    assert!(!ledger.is_starved());
}

#[test]
fn processor_time_is_accounted_as_memory_is_and_none_is_free() {
    let mut ledger = ledger();
    assert_eq!(ask(&mut ledger, 1, both(1, 3000), 2), [1]);
    assert_eq!(ask(&mut ledger, 2, memory(1), 1), [2]);
    assert_eq!(ledger.blocked(1), 1);
}

// D17
#[test]
fn no_more_starts_fly_than_the_engine_takes() {
    let mut ledger = ledger();
    for _ in 0..20 {
        ledger.ask(1, memory(1), 0, now());
    }
    assert_eq!(ledger.grant(now()).len(), 8);
    assert!(!ledger.is_starved(), "it is not for want of room");
    ledger.landed();
    assert_eq!(ledger.grant(now()).len(), 1);
}

// E5
#[test]
fn who_asks_for_many_does_not_go_before_who_asks_for_a_first() {
    let mut ledger = ledger();
    for _ in 0..20 {
        ledger.ask(1, memory(10), 0, now());
    }
    assert_eq!(ledger.grant(now()).len(), 8);
    ledger.ask(2, memory(10), 0, now());
    ledger.landed();
    assert_eq!(ledger.grant(now())[0].0, 2);
}

// E5: what a large one waits for is not taken away by the small ones of a tenant that has more.
#[test]
fn room_is_kept_for_who_holds_less() {
    let mut ledger = ledger();
    assert_eq!(ask(&mut ledger, 1, memory(100), 8).len(), 8);
    assert!(ask(&mut ledger, 2, memory(400), 1).is_empty());
    assert!(ask(&mut ledger, 1, memory(100), 1).is_empty());
    assert_eq!(
        ask(&mut ledger, 3, memory(100), 1),
        [3],
        "it holds less yet"
    );
    ledger.release(1, false, now());
    assert!(grant(&mut ledger).is_empty());
    ledger.release(1, false, now());
    ledger.release(1, false, now());
    assert_eq!(grant(&mut ledger), [2]);
}

#[test]
fn the_longest_idle_of_others_go_and_none_in_vain() {
    let mut ledger = ledger();
    ask(&mut ledger, 1, memory(100), 5);
    ask(&mut ledger, 2, memory(400), 1);
    assert!(ask(&mut ledger, 3, memory(300), 1).is_empty());
    // 100 MB are free, 200 are missing.
    let all = vec![rested(2, 5), rested(1, 10), rested(1, 20), rested(3, 90)];
    assert_eq!(tenants(&ledger.evictions(all, now())), [1, 1]);
    let little = vec![rested(1, 10)];
    assert!(
        ledger.evictions(little, now()).is_empty(),
        "it would be in vain"
    );
    // The early small one is of no use beside the large one.
    let late = vec![rested(1, 10), rested(2, 5)];
    assert_eq!(tenants(&ledger.evictions(late, now())), [2]);
    // What leaves anyway need not be made room for.
    ledger.leave(1, now());
    ledger.leave(1, now());
    assert!(
        ledger
            .evictions(vec![idle(1, 10), idle(2, 5)], now())
            .is_empty()
    );
}

// E5: or a function that is called all the time would lose its container between two calls.
#[test]
fn what_was_used_just_now_goes_only_to_who_would_hold_less() {
    let mut ledger = ledger();
    ask(&mut ledger, 1, memory(500), 1);
    ask(&mut ledger, 2, memory(100), 5);
    ledger.ask(2, memory(100), 0, now());
    assert!(ledger.evictions(vec![idle(1, 1)], now()).is_empty());
    assert_eq!(tenants(&ledger.evictions(vec![rested(1, 1)], now())), [1]);
    ledger.ask(3, memory(100), 0, now());
    // The third holds nothing yet.
    let young = vec![idle(2, 1), idle(2, 1)];
    assert_eq!(tenants(&ledger.evictions(young, now())), [2]);
}

#[test]
fn evictions_leave_both_the_same() {
    let mut ledger = ledger();
    ask(&mut ledger, 1, memory(200), 5);
    for _ in 0..5 {
        ledger.ask(2, memory(200), 0, now());
    }
    let young = vec![idle(1, 1); 5];
    assert_eq!(tenants(&ledger.evictions(young, now())), [1, 1]);
}

// E5: who has nothing and cannot have a fair share has its turn, and all of it.
#[test]
fn who_has_nothing_for_long_comes_before_all() {
    for (holds, count, wants) in [
        (memory(1000), 1, memory(100)),
        (both(1, 1000), 4, both(1, 3000)),
        (memory(100), 10, memory(600)),
    ] {
        let mut ledger = ledger();
        assert_eq!(ask(&mut ledger, 1, holds, count).len(), count.min(8));
        ask(&mut ledger, 1, holds, 20);
        ask(&mut ledger, 2, wants, 1);
        while ledger.must_cede(1, now()) {
            ledger.leave(1, now());
            ledger.release(1, true, now());
            assert!(grant(&mut ledger).is_empty(), "kept for the other");
        }
        let later = now() + PATIENCE;
        let mut granted = ledger.grant(later);
        while ledger.must_cede(1, later) {
            ledger.leave(1, later);
            ledger.release(1, true, later);
            granted.extend(ledger.grant(later));
        }
        assert_eq!(
            granted.first().map(|(tenant, _)| *tenant),
            Some(2),
            "{wants:?}"
        );
    }
}

// What can never be had for those who are kept is no reason for others to wait.
#[test]
fn who_cannot_fit_beside_what_is_kept_keeps_nobody_waiting() {
    let mut ledger = ledger();
    for _ in 0..6 {
        ledger.ask(1, memory(100), 6, now());
    }
    assert_eq!(grant(&mut ledger).len(), 6);
    assert!(ask(&mut ledger, 2, memory(500), 1).is_empty());
    assert_eq!(ask(&mut ledger, 3, memory(100), 4), [3; 4]);
    assert!(!ledger.must_cede(3, now() + PATIENCE));
}

// E5
#[test]
fn a_flood_gives_way_until_both_hold_the_same() {
    let mut ledger = ledger();
    assert_eq!(ask(&mut ledger, 1, memory(100), 8).len(), 8);
    assert_eq!(ask(&mut ledger, 1, memory(100), 12).len(), 2);
    assert!(ask(&mut ledger, 2, memory(100), 10).is_empty());
    let mut ceded = 0;
    while ledger.must_cede(1, now()) {
        ledger.leave(1, now());
        assert!(!ledger.must_cede(1, now()), "one at a time");
        ledger.release(1, true, now());
        assert_eq!(grant(&mut ledger), [2]);
        ceded += 1;
    }
    assert_eq!(ceded, 5);
    assert!(!ledger.must_cede(2, now()));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Tenant),
    Withdraw(usize),
    Land,
    /// A container of the tenant is free although calls wait for it.
    Free(Tenant),
    Release(Tenant),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u64).prop_map(Step::Ask),
        1 => (0..8_usize).prop_map(Step::Withdraw),
        3 => Just(Step::Land),
        2 => (0..4_u64).prop_map(Step::Free),
        2 => (0..4_u64).prop_map(Step::Release),
    ]
}

proptest! {
    #[test]
    fn any_history_keeps_within_the_bounds_and_ends_with_everybody_served(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let total = both(1000, 4000);
        let needs = [memory(50), memory(300), both(100, 1500), both(700, 100)];
        let mut ledger = Ledger::new(total, 3, PATIENCE);
        let mut waiting: Vec<(Tenant, Ticket)> = Vec::new();
        let mut held = [0_usize; 4];
        let mut flying = 0;
        for step in steps {
            match step {
                Step::Ask(tenant) => {
                    let ticket = ledger.ask(tenant, needs[at(tenant)], 0, now());
                    waiting.push((tenant, ticket));
                }
                Step::Withdraw(n) if n < waiting.len() => {
                    let (tenant, ticket) = waiting.remove(n);
                    ledger.withdraw(tenant, ticket);
                }
                Step::Land if flying > 0 => {
                    flying -= 1;
                    ledger.landed();
                }
                Step::Free(tenant) if ledger.must_cede(tenant, now()) => {
                    prop_assert!(waiting.iter().any(|(other, _)| *other != tenant));
                    held[at(tenant)] -= 1;
                    ledger.leave(tenant, now());
                    ledger.release(tenant, true, now());
                }
                Step::Release(tenant) if held[at(tenant)] > 0 => {
                    held[at(tenant)] -= 1;
                    ledger.release(tenant, false, now());
                }
                _ => {}
            }
            for (tenant, ticket) in ledger.grant(now()) {
                let first = waiting.iter().find(|(t, _)| *t == tenant);
                prop_assert_eq!(first, Some(&(tenant, ticket)), "first come, first served");
                waiting.retain(|waiting| *waiting != (tenant, ticket));
                held[at(tenant)] += 1;
                flying += 1;
            }
            prop_assert!(flying <= 3);
            let taken = (0..4).fold(Resources::default(), |sum, tenant| {
                sum.plus(needs[tenant].times(held[tenant]))
            });
            prop_assert!(taken.fits(total));
            prop_assert_eq!(ledger.taken(), taken);
        }
        // Whoever waits is served in the end, when those before have gone.
        for _ in 0..flying {
            ledger.landed();
        }
        for _ in 0..waiting.len() + 1 {
            for (tenant, ticket) in ledger.grant(now()) {
                waiting.retain(|waiting| *waiting != (tenant, ticket));
                held[at(tenant)] += 1;
                ledger.landed();
            }
            for tenant in 0..4_u64 {
                for _ in 0..std::mem::take(&mut held[at(tenant)]) {
                    ledger.release(tenant, false, now());
                }
            }
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(ledger.taken(), Resources::default());
        prop_assert!(ledger.accounts.is_empty());
    }

    #[test]
    fn evictions_give_what_is_missing_or_nothing(
        held in prop::collection::vec(0..5_usize, 3),
        asker in 0..4_usize,
        ages in prop::collection::vec((0..3_u64, 0..100_u64), 0..12),
    ) {
        let needs = [memory(50), memory(100), both(100, 500), both(400, 1000)];
        let mut ledger = Ledger::new(both(1000, 4000), 64, PATIENCE);
        for (tenant, count) in held.iter().enumerate() {
            for _ in 0..*count {
                ledger.ask(tenant as u64, needs[tenant], 0, now());
            }
        }
        ledger.grant(now());
        let asker = asker as u64 + 10;
        let need = needs[at(asker) - 10];
        ledger.ask(asker, need, 0, now());
        ledger.grant(now());
        let mut left = held;
        let idle: Vec<_> = ages
            .into_iter()
            .filter(|(tenant, _)| {
                let left = &mut left[at(*tenant)];
                let there = *left > 0;
                *left -= usize::from(there);
                there
            })
            .map(|(tenant, age)| rested(tenant, age))
            .collect();
        let evicted = ledger.evictions(idle.clone(), now());
        let freed = evicted.iter().fold(ledger.free(), |sum, c| {
            sum.plus(needs[at(c.tenant)])
        });
        if !evicted.is_empty() {
            prop_assert!(need.fits(freed));
            for candidate in &evicted {
                let without = freed.minus(needs[at(candidate.tenant)]);
                prop_assert!(!need.fits(without), "{candidate:?} in vain");
            }
        } else if ledger.blocked(asker) > 0 {
            let all = idle.iter().fold(ledger.free(), |sum, c| {
                sum.plus(needs[at(c.tenant)])
            });
            prop_assert!(!need.fits(all));
        }
    }
}
