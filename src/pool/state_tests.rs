use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::Scale;

const IDLE: Duration = Duration::from_secs(10);

fn state<W>(max: usize, max_waiting: usize) -> State<u32, W> {
    kept(0, max, max_waiting)
}

fn kept<W>(min: u32, max: usize, max_waiting: usize) -> State<u32, W> {
    let bounds = Bounds {
        max_waiting,
        idle_timeout: IDLE,
        freeze_after: None,
    };
    let scale = Scale {
        min,
        ..Scale::default()
    };
    State::new(bounds, Scaler::new(&scale, max))
}

/// Where threads do not matter.
pub(in crate::pool) fn anywhere<T>(_: &T) -> bool {
    true
}

impl<W> State<u32, W> {
    /// How many are to be started now.
    fn starts(&mut self) -> i64 {
        self.decide(Instant::now(), Moment::Event).delta
    }
}

/// Makes `lanes` idle, the last one most recently.
fn with_idle(lanes: std::ops::Range<u32>, now: Instant) -> State<u32, u32> {
    let mut state = state(100, 100);
    for lane in lanes {
        state.starting += 1;
        state.started();
        assert_eq!(
            state.offer(lane, now + Duration::from_secs(lane.into()), anywhere),
            Offer::Idle
        );
    }
    state
}

#[tokio::test(start_paused = true)]
async fn the_lane_used_last_is_given_first() {
    let mut state = with_idle(0..3, Instant::now());
    let given: Vec<_> = (0..3).map(|_| state.arrive(anywhere, || 0)).collect();
    assert_eq!(
        given,
        [Arrival::Lane(2), Arrival::Lane(1), Arrival::Lane(0)]
    );
}

#[tokio::test(start_paused = true)]
async fn one_of_the_lanes_used_last_is_given_to_who_is_near_it() {
    let mut state = with_idle(0..6, Instant::now());
    let given = [4, 4, 0, 0].map(|near| state.arrive(|lane| *lane == near, || 0));
    let lanes = [4, 5, 0, 3].map(Arrival::Lane);
    assert_eq!(
        given, lanes,
        "the first is near, but not one of the last four at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_frozen_is_not_taken_for_being_near() {
    let begin = Instant::now();
    let mut state = with_idle(0..2, begin);
    state.bounds.freeze_after = Some(IDLE);
    assert_eq!(state.freeze_due(begin + IDLE).count(), 1);
    assert_eq!(state.arrive(|lane| *lane == 0, || 0), Arrival::Lane(1));
    assert_eq!(state.arrive(|lane| *lane == 0, || 0), Arrival::Lane(0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_passed_over_for_who_is_near_but_not_for_ever() {
    const LAST: u32 = 20;
    for (pause, first_served) in [(0, FOREMOST), (300, 3), (2000, 0)] {
        let mut now = Instant::now();
        let mut state = with_idle(0..1, now);
        assert_eq!(state.arrive(anywhere, || 0), Arrival::Lane(0));
        let mut serve = |state: &mut State<_, _>, near: fn(&u32) -> bool| {
            now += Duration::from_micros(pause);
            match state.offer(0, now, near) {
                Offer::Serve(waiter, 0) => waiter,
                other => panic!("{other:?}"),
            }
        };
        // Until it is known how fast the lane comes free.
        for _ in 0..200 {
            assert!(matches!(state.arrive(anywhere, || 0), Arrival::Queued(_)));
            assert_eq!(serve(&mut state, |_| false), 0);
        }
        for waiter in 1..=LAST {
            let joined = state.arrive(anywhere, || waiter);
            assert!(matches!(joined, Arrival::Queued(_)));
        }
        let served: Vec<_> = (1..=LAST)
            .map(|_| serve(&mut state, |waiter| *waiter > 1))
            .collect();
        let mut expected: Vec<_> = (2..=LAST).collect();
        expected.insert(first_served, 1);
        assert_eq!(served, expected, "{pause} us");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_passed_over_after_a_call_that_took_long() {
    let now = Instant::now();
    let mut state = with_idle(0..1, now);
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Lane(0));
    for waiter in 0..103 {
        state.arrive(anywhere, || waiter);
        if waiter >= 3 {
            let served = state.offer(0, now, |_| false);
            assert_eq!(served, Offer::Serve(waiter - 3, 0));
        }
    }
    let later = now + Duration::from_secs(1);
    let served = state.offer(0, later, |waiter| *waiter > 100);
    assert_eq!(served, Offer::Serve(100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_frozen_once_each_time_it_idles() {
    let second = Duration::from_secs(1);
    let begin = Instant::now();
    let mut state = with_idle(0..3, begin);
    assert_eq!(state.freeze_due(begin + IDLE).count(), 0, "nobody asked");
    state.bounds.freeze_after = Some(second);
    assert_eq!(state.next_look(begin), Some(begin + second));
    let due: Vec<_> = state.freeze_due(begin + second * 2).map(|l| *l).collect();
    assert_eq!(due, [0, 1]);
    assert_eq!(state.freeze_due(begin + second * 2).count(), 0);
    assert_eq!(state.next_look(begin), Some(begin + second * 3));
    assert_eq!(state.freeze_due(begin + second * 3).count(), 1);
    // From here on only their expiry is looked for.
    assert_eq!(state.next_look(begin), Some(begin + IDLE));
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Lane(2));
    state.offer(2, begin + second * 4, anywhere);
    assert_eq!(state.freeze_due(begin + second * 5).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let mut state = state(1, 10);
    for waiter in 0..3 {
        assert!(matches!(
            state.arrive(anywhere, || waiter),
            Arrival::Queued(_)
        ));
    }
    assert_eq!(state.starts(), 1);
    state.started();
    let now = Instant::now();
    for waiter in 0..3 {
        assert_eq!(state.offer(7, now, anywhere), Offer::Serve(waiter, 7));
    }
    assert_eq!(state.offer(7, now, anywhere), Offer::Idle);
}

#[tokio::test(start_paused = true)]
async fn lanes_start_when_more_wait_than_are_idle_or_starting() {
    let mut state = state(3, 10);
    assert_eq!(state.starts(), 0);
    for (arrivals, starts) in [(1, 1), (1, 1), (0, 0), (2, 1), (1, 0)] {
        for _ in 0..arrivals {
            state.arrive(anywhere, || 0);
        }
        assert_eq!(state.starts(), starts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_fails_one_waiter() {
    let mut state = state(10, 10);
    for waiter in 0..3 {
        state.arrive(anywhere, || waiter);
    }
    assert_eq!(state.starts(), 3);
    assert_eq!(state.start_failed(Instant::now(), false), Some(0));
    assert_eq!(state.starts(), 0, "two wait and two are starting");
    assert_eq!(
        state.counts(),
        Counts {
            starting: 2,
            waiting: 2,
            ..Counts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_wants_any_more_is_called_off() {
    let mut state = state(10, 10);
    for waiter in 0..2 {
        state.arrive(anywhere, || waiter);
    }
    assert_eq!(state.starts(), 2);
    assert!(state.still_wanted(Instant::now()));
    state.leave(0);
    assert!(!state.still_wanted(Instant::now()));
    assert!(state.still_wanted(Instant::now()));
    assert_eq!(
        state.counts(),
        Counts {
            starting: 1,
            waiting: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn a_full_queue_takes_nobody() {
    let mut state = state(1, 2);
    assert!(matches!(state.arrive(anywhere, || 0), Arrival::Queued(0)));
    assert!(matches!(state.arrive(anywhere, || 0), Arrival::Queued(1)));
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Full);
    state.leave(0);
    assert!(matches!(state.arrive(anywhere, || 0), Arrival::Queued(2)));
}

#[tokio::test(start_paused = true)]
async fn lanes_expire_after_the_idle_timeout_and_not_before() {
    let start = Instant::now();
    let mut state = with_idle(0..3, start);
    assert_eq!(state.next_expiry(start), Some(start + IDLE));
    assert!(
        state
            .expire(start + IDLE - Duration::from_nanos(1))
            .is_empty()
    );
    assert_eq!(state.expire(start + IDLE + Duration::from_secs(1)), [0, 1]);
    assert_eq!(
        state.next_expiry(start),
        Some(start + IDLE + Duration::from_secs(2))
    );
}

// E1: the reaper and a caller at the same instant; whoever comes first has the lane.
#[tokio::test(start_paused = true)]
async fn a_lane_is_either_reaped_or_given_never_both() {
    let start = Instant::now();
    let mut reaped_first = with_idle(0..1, start);
    assert_eq!(reaped_first.expire(start + IDLE), [0]);
    assert_eq!(reaped_first.arrive(anywhere, || 1), Arrival::Queued(0));
    let mut given_first = with_idle(0..1, start);
    assert_eq!(given_first.arrive(anywhere, || 1), Arrival::Lane(0));
    assert!(given_first.expire(start + IDLE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn draining_empties_the_pool() {
    let now = Instant::now();
    let mut state = with_idle(0..2, now);
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Lane(1));
    assert_eq!(state.drain(), [0]);
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Draining);
    assert_eq!(state.offer(1, now, anywhere), Offer::Retire(1));
    assert_eq!(state.counts(), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_started_uncalled_and_not_reaped() {
    let start = Instant::now();
    let mut state = kept(2, 3, 10);
    assert_eq!(state.starts(), 2);
    for lane in 0..2 {
        assert!(state.still_wanted(Instant::now()));
        state.started();
        state.offer(lane, start, anywhere);
    }
    assert_eq!(state.starts(), 0);
    assert!(state.expire(start + 9 * IDLE).is_empty());
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Lane(1));
    state.retired();
    assert_eq!(state.starts(), 1, "what died is replaced");
    state.drain();
    assert!(
        !state.still_wanted(Instant::now()),
        "nothing is kept of what was replaced"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_minimum_goes_and_the_oldest_first() {
    let start = Instant::now();
    let mut state = kept::<u32>(1, 3, 10);
    state.starts();
    state.started();
    state.offer(0, start, anywhere);
    assert_eq!(state.next_expiry(start), Some(start + IDLE));
    state.starting += 1;
    state.started();
    state.offer(1, start + IDLE, anywhere);
    assert_eq!(state.expire(start + IDLE), [0]);
    assert!(state.expire(start + 9 * IDLE).is_empty());
}

// D2
#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_is_started_until_its_time_is_over() {
    let start = Instant::now();
    let mut state = state(3, 10);
    for waiter in 0..3 {
        state.arrive(anywhere, || waiter);
    }
    assert_eq!(state.starts(), 3);
    assert!(state.still_wanted(Instant::now()));
    assert_eq!(state.start_failed(start, false), Some(0));
    assert!(!state.still_wanted(Instant::now()) && !state.still_wanted(Instant::now()));
    assert_eq!(state.starts(), 0);
    assert!(state.hopeless().is_empty(), "after one failure they wait");
    let until = start + Duration::from_secs(1);
    assert_eq!(state.arrive(anywhere, || 9), Arrival::BackingOff(until));
    assert_eq!(state.next_look(start), Some(until));
    assert_eq!(state.decide(until, Moment::Event).delta, 2);
    assert_eq!(state.start_failed(until, false), Some(1));
    assert!(state.hopeless().is_empty(), "one is still on its way");
    assert!(!state.still_wanted(Instant::now()));
    assert_eq!(state.hopeless(), [2]);
}

#[tokio::test(start_paused = true)]
async fn while_something_lives_callers_wait_for_it() {
    let start = Instant::now();
    let mut state = with_idle(0..1, start);
    assert_eq!(state.arrive(anywhere, || 0), Arrival::Lane(0));
    assert!(matches!(state.arrive(anywhere, || 1), Arrival::Queued(_)));
    assert_eq!(state.starts(), 1);
    assert_eq!(state.start_failed(start, false), Some(1));
    assert!(matches!(state.arrive(anywhere, || 2), Arrival::Queued(_)));
    state.served();
    assert_eq!(state.starts(), 1, "a served call ends the back-off");
}

#[derive(Clone, Debug)]
enum Step {
    Arrive,
    Leave(usize),
    Started(bool),
    GiveBack(usize),
    Retire(usize),
    Pass(u64),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Arrive),
        1 => any::<usize>().prop_map(Step::Leave),
        4 => prop::bool::weighted(0.9).prop_map(Step::Started),
        5 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Retire),
        3 => (0..15_u64).prop_map(Step::Pass),
        1 => prop::bool::weighted(0.02).prop_map(|d| if d { Step::Drain } else { Step::Arrive }),
    ]
}

/// The world around the state: what the driver would know.
struct World {
    state: State<u32, u64>,
    max: usize,
    now: Instant,
    starting: usize,
    busy: Vec<u32>,
    gone: BTreeSet<u32>,
    next_lane: u32,
    next_waiter: u64,
    /// Who waits, in order, with their tickets.
    queue: VecDeque<(u64, u64)>,
    /// How often others were served who came later.
    passed_over: BTreeMap<u64, usize>,
    drained: bool,
}

impl World {
    fn new(max: usize) -> Self {
        Self {
            state: state(max, 5),
            max,
            now: Instant::now(),
            starting: 0,
            busy: Vec::new(),
            gone: BTreeSet::new(),
            next_lane: 0,
            next_waiter: 0,
            queue: VecDeque::new(),
            passed_over: BTreeMap::new(),
            drained: false,
        }
    }

    fn gave(&mut self, lane: u32) {
        assert!(!self.busy.contains(&lane), "lane {lane} was given twice");
        assert!(
            !self.gone.contains(&lane),
            "lane {lane} was given after its end"
        );
        self.busy.push(lane);
    }

    fn offer(&mut self, lane: u32) {
        self.busy.retain(|l| *l != lane);
        let near = |waiter: &u64| waiter % 2 == u64::from(lane) % 2;
        match self.state.offer(lane, self.now, near) {
            Offer::Serve(waiter, lane) => {
                let position = self.queue.iter().position(|(_, w)| *w == waiter);
                let position = position.expect("who is served waits");
                assert!(position == 0 || near(&waiter), "passed over for nothing");
                for (_, first) in self.queue.iter().take(position) {
                    let passed = self.passed_over.entry(*first).or_default();
                    *passed += 1;
                    assert!(
                        *passed <= FOREMOST * FOREMOST,
                        "{first} is passed over for ever"
                    );
                }
                self.queue.remove(position);
                self.gave(lane);
            }
            Offer::Idle => assert!(self.queue.is_empty(), "a lane idles while someone waits"),
            Offer::Retire(lane) => assert!(self.drained && self.gone.insert(lane)),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Arrive => {
                let waiter = self.next_waiter;
                self.next_waiter += 1;
                let near = |lane: &u32| waiter % 2 == u64::from(*lane) % 2;
                match self.state.arrive(near, || waiter) {
                    Arrival::Lane(lane) => self.gave(lane),
                    Arrival::Queued(ticket) => {
                        self.state.joined(self.now);
                        self.queue.push_back((ticket, waiter));
                    }
                    Arrival::Full => assert_eq!(self.queue.len(), 5),
                    Arrival::Draining => assert!(self.drained),
                    Arrival::BackingOff(_) => {
                        assert_eq!(self.busy.len() + self.starting, 0);
                        assert!(self.state.backing_off().is_some());
                    }
                }
            }
            Step::Leave(which) if !self.queue.is_empty() => {
                let (ticket, _) = self.queue.remove(which % self.queue.len()).unwrap();
                self.state.leave(ticket);
            }
            Step::Started(true) if self.starting > 0 => {
                self.starting -= 1;
                self.state.started();
                let lane = self.next_lane;
                self.next_lane += 1;
                self.busy.push(lane);
                self.offer(lane);
            }
            Step::Started(false) if self.starting > 0 => {
                self.starting -= 1;
                let told = self.state.start_failed(self.now, false);
                assert_eq!(told, self.queue.pop_front().map(|(_, waiter)| waiter));
            }
            Step::GiveBack(which) if !self.busy.is_empty() => {
                self.offer(self.busy[which % self.busy.len()]);
            }
            Step::Retire(which) if !self.busy.is_empty() => {
                let lane = self.busy.swap_remove(which % self.busy.len());
                self.gone.insert(lane);
                self.state.retired();
            }
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                for lane in self.state.expire(self.now) {
                    assert!(!self.busy.contains(&lane), "a busy lane was reaped");
                    assert!(self.gone.insert(lane));
                }
            }
            Step::Drain => {
                self.drained = true;
                self.gone.extend(self.state.drain());
            }
            _ => {}
        }
        let decision = self.state.decide(self.now, Moment::Event);
        self.starting += usize::try_from(decision.delta).expect("demand ends nothing");
        for waiter in self.state.hopeless() {
            assert_eq!(self.busy.len() + self.starting, 0);
            assert_eq!(Some(waiter), self.queue.pop_front().map(|(_, w)| w));
        }
    }

    fn check(&self) {
        let counts = self.state.counts();
        assert_eq!(counts.busy, self.busy.len());
        assert_eq!(counts.starting, self.starting);
        assert_eq!(counts.waiting, self.queue.len());
        assert!(
            counts.busy + counts.idle + counts.starting <= self.max,
            "{counts:?}"
        );
        assert!(counts.idle == 0 || counts.waiting == 0, "{counts:?}");
        if counts.waiting > 0 {
            let alive = counts.busy + counts.starting;
            let enough = counts.starting >= counts.waiting
                || alive == self.max
                || self.state.is_brief(self.now)
                || self.state.backing_off().is_some();
            assert!(enough, "someone waits and nothing starts: {counts:?}");
        }
    }
}

// E11: no lane is ever handed out twice, whatever happens in whatever order.
proptest! {
    #[test]
    fn any_history_keeps_the_invariants(
        max in 1..5_usize,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(max);
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
