//! The scaler by itself, case by case, and together with the state it decides for.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pool::state::tests::anywhere;
use crate::pool::state::{Arrival, Bounds, Offer, State};

fn counts(idle: usize, busy: usize, starting: usize, waiting: usize) -> Counts {
    Counts {
        idle,
        busy,
        starting,
        waiting,
    }
}

fn scale(mode: ScaleMode) -> Scale {
    Scale {
        mode,
        ..Scale::default()
    }
}

#[test]
fn each_step_of_the_vote_has_its_case() {
    for (case, samples, workers, most, ratio, expected) in [
        ("1: no samples", &[][..], 1, 1, 1, (Vote::None, 1)),
        ("2: too many workers", &[0], 3, 2, 1, (Vote::In, 2)),
        ("2 needs one sample only", &[9], 3, 2, 1, (Vote::In, 2)),
        ("3: four samples", &[9, 9, 9, 9], 1, 9, 1, (Vote::None, 3)),
        (
            "4: more than the ratio",
            &[0, 0, 0, 0, 21],
            2,
            9,
            10,
            (Vote::Out, 4),
        ),
        (
            "4 is no vote at the ratio",
            &[0, 0, 0, 0, 20],
            2,
            9,
            10,
            (Vote::None, 9),
        ),
        (
            "4 wakes none at all",
            &[0, 0, 0, 0, 1],
            0,
            9,
            1,
            (Vote::Out, 4),
        ),
        (
            "5: work in every sample",
            &[1, 1, 1, 1, 1],
            1,
            2,
            1,
            (Vote::Out, 5),
        ),
        (
            "5 looks at all samples",
            &[0, 1, 1, 1, 1, 1],
            1,
            2,
            1,
            (Vote::None, 9),
        ),
        (
            "5 is no vote at the most",
            &[1, 1, 1, 1, 1],
            2,
            2,
            1,
            (Vote::None, 9),
        ),
        (
            "6: no work in any sample",
            &[0, 0, 0, 0, 0],
            1,
            9,
            1,
            (Vote::In, 6),
        ),
        (
            "6 looks at all samples",
            &[1, 0, 0, 0, 0, 0],
            1,
            9,
            1,
            (Vote::None, 9),
        ),
        (
            "6 with no workers",
            &[0, 0, 0, 0, 0],
            0,
            9,
            1,
            (Vote::In, 6),
        ),
        ("7: ever more", &[1, 2, 3, 4, 5], 5, 5, 1, (Vote::Out, 7)),
        ("7 is strict", &[1, 2, 3, 4, 4], 5, 5, 1, (Vote::None, 9)),
        (
            "7 not from nothing",
            &[0, 1, 2, 3, 4],
            5,
            5,
            1,
            (Vote::None, 9),
        ),
        (
            "7 from the oldest kept",
            &[0, 1, 2, 3, 4, 5],
            5,
            5,
            1,
            (Vote::None, 9),
        ),
        ("8: ever fewer", &[9, 5, 4, 3, 2, 1], 5, 5, 1, (Vote::In, 8)),
        ("8 is strict", &[5, 4, 3, 2, 2], 5, 5, 1, (Vote::None, 9)),
        ("9: steady", &[3, 1, 3, 1, 3], 5, 5, 1, (Vote::None, 9)),
    ] {
        assert_eq!(vote(samples, workers, most, ratio), expected, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_target_is_within_its_bounds_and_its_step() {
    let now = Instant::now();
    for (min, max, target, load, want, delta, told) in [
        (
            0,
            10,
            1,
            counts(0, 1, 0, 7),
            8,
            4,
            "8 calls / 1 per container, capped at 4 starts",
        ),
        (
            0,
            3,
            1,
            counts(0, 1, 0, 7),
            3,
            2,
            "8 calls / 1 per container, held at the maximum of 3",
        ),
        (
            0,
            10,
            3,
            counts(0, 1, 0, 6),
            3,
            2,
            "7 calls / 3 per container",
        ),
        (
            0,
            10,
            1,
            counts(0, 1, 7, 7),
            8,
            0,
            "8 calls / 1 per container",
        ),
        (
            2,
            10,
            1,
            counts(2, 0, 0, 0),
            2,
            0,
            "0 calls / 1 per container, held at the minimum of 2",
        ),
        (
            2,
            10,
            1,
            counts(1, 0, 0, 0),
            2,
            1,
            "0 calls / 1 per container, held at the minimum of 2",
        ),
        (
            0,
            10,
            1,
            counts(5, 1, 0, 0),
            1,
            0,
            "1 calls / 1 per container",
        ),
    ] {
        let scale = Scale {
            min,
            target,
            ..scale(ScaleMode::Target)
        };
        let decision = Scaler::new(&scale, max).decide(now, Moment::Tick, load);
        assert_eq!((decision.want, decision.delta), (want, delta), "{load:?}");
        assert_eq!(decision.reason.to_string(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn between_samples_only_nothing_and_too_few_are_acted_on() {
    let now = Instant::now();
    for mode in [ScaleMode::Target, ScaleMode::Vote] {
        let mut scaler = Scaler::new(&scale(mode), 10);
        let mut at_once = |load| scaler.decide(now, Moment::Event, load).delta;
        assert_eq!(at_once(counts(0, 0, 0, 1)), 1);
        assert_eq!(at_once(counts(0, 0, 1, 9)), 0);
        assert_eq!(at_once(counts(0, 1, 0, 9)), 0);
        let kept = Scale {
            min: 6,
            ..scale(mode)
        };
        let mut scaler = Scaler::new(&kept, 10);
        let mut at_once = |load| scaler.decide(now, Moment::Event, load).delta;
        assert_eq!(
            at_once(counts(0, 0, 0, 0)),
            4,
            "the step holds here as well"
        );
        assert_eq!(at_once(counts(1, 0, 3, 0)), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn samples_are_kept_for_the_window_and_end_with_the_pool() {
    let mut now = Instant::now();
    let mut scaler = Scaler::new(&scale(ScaleMode::Vote), 10);
    assert_eq!(scaler.tick(), None);
    scaler.decide(now, Moment::Event, counts(0, 0, 0, 1));
    assert_eq!(scaler.tick(), Some(now + Duration::from_secs(1)));
    for _ in 0..500 {
        now += Duration::from_secs(1);
        scaler.decide(now, Moment::Tick, counts(1, 1, 0, 0));
    }
    assert_eq!(scaler.samples().count(), 121);
    scaler.decide(now, Moment::Tick, counts(0, 0, 0, 0));
    assert_eq!((scaler.samples().count(), scaler.tick()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_vote_changes_the_count_by_one_and_within_the_bounds() {
    let mut now = Instant::now();
    let kept = Scale {
        min: 1,
        ..scale(ScaleMode::Vote)
    };
    let mut scaler = Scaler::new(&kept, 3);
    let mut last = |load| {
        let mut decision = Decision::default();
        for _ in 0..200 {
            now += Duration::from_secs(1);
            decision = scaler.decide(now, Moment::Tick, load);
        }
        (decision.delta, decision.reason.to_string())
    };
    let told = |delta, text: &str| (delta, text.to_owned());
    let many = "more calls wait than the containers are to have waiting";
    assert_eq!(last(counts(0, 2, 0, 9)), told(1, many));
    let full = format!("{many}, held at the maximum of 3");
    assert_eq!(last(counts(0, 3, 0, 9)), told(0, &full));
    let none = "no call waits in any sample";
    assert_eq!(last(counts(2, 0, 0, 0)), told(-1, none));
    assert_eq!(
        last(counts(0, 2, 0, 0)),
        told(0, &format!("{none}, but none is idle"))
    );
    let least = format!("{none}, held at the minimum of 1");
    assert_eq!(last(counts(1, 0, 0, 0)), told(0, &least));
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(usize),
    Leave(usize),
    Started,
    GiveBack(usize),
    Die(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..8_usize).prop_map(Step::Arrive),
        1 => any::<usize>().prop_map(Step::Leave),
        5 => Just(Step::Started),
        5 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Die),
        5 => (0..4_u64).prop_map(Step::Pass),
    ]
}

fn settings() -> impl Strategy<Value = (Scale, usize)> {
    let mode = prop::sample::select(vec![ScaleMode::Demand, ScaleMode::Target, ScaleMode::Vote]);
    (mode, 0..4_u32, 1..9_usize, 1..4_u32, 1..5_u32).prop_map(|(mode, min, max, target, step)| {
        let scale = Scale {
            min,
            target,
            step,
            ..scale(mode)
        };
        (scale, max)
    })
}

/// A pool without containers, on a clock of its own.
struct World {
    state: State<u32, u32>,
    scale: Scale,
    min: usize,
    max: usize,
    now: Instant,
    busy: Vec<u32>,
    ended: Vec<u32>,
    queue: VecDeque<(u64, u32)>,
    lanes: u32,
    waiters: u32,
}

impl World {
    fn new(scale: Scale, max: usize) -> Self {
        let bounds = Bounds {
            max_waiting: 1000,
            idle_timeout: Duration::from_secs(10),
            freeze_after: None,
        };
        let mut world = Self {
            state: State::new(bounds, Scaler::new(&scale, max)),
            scale,
            min: size(scale.min).min(max),
            max,
            now: Instant::now(),
            busy: Vec::new(),
            ended: Vec::new(),
            queue: VecDeque::new(),
            lanes: 0,
            waiters: 0,
        };
        world.decide(Moment::Event);
        world
    }

    fn decide(&mut self, moment: Moment) {
        let before = self.state.counts();
        let decision = self.state.decide(self.now, moment);
        if self.scale.mode != ScaleMode::Demand {
            assert!(
                decision.delta <= signed(size(self.scale.step)),
                "{decision:?}"
            );
        }
        if decision.delta < 0 {
            assert_eq!(decision.delta, -1);
            let lane = self.state.give_up().expect("only idle lanes are given up");
            assert!(!self.busy.contains(&lane), "lane {lane} is busy");
            assert!(before.alive() > self.min);
            self.ended.push(lane);
        }
    }

    fn offer(&mut self, lane: u32) {
        match self.state.offer(lane, self.now, anywhere) {
            Offer::Serve(waiter, lane) => {
                let (_, first) = self.queue.pop_front().expect("somebody waits");
                assert_eq!(waiter, first, "who came first is served first");
                self.busy.push(lane);
            }
            Offer::Idle => {}
            Offer::Retire(_) => unreachable!("nothing drains here"),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Arrive(calls) => (0..calls).for_each(|_| self.arrive()),
            Step::Leave(which) if !self.queue.is_empty() => {
                let (ticket, _) = self.queue.remove(which % self.queue.len()).unwrap();
                self.state.leave(ticket);
            }
            Step::Started if self.state.counts().starting > 0 => self.start(),
            Step::GiveBack(which) if !self.busy.is_empty() => {
                let lane = self.busy.swap_remove(which % self.busy.len());
                self.offer(lane);
            }
            Step::Die(which) if !self.busy.is_empty() => {
                self.busy.swap_remove(which % self.busy.len());
                self.state.retired();
                self.decide(Moment::Event);
            }
            Step::Pass(seconds) => (0..seconds).for_each(|_| self.second()),
            _ => {}
        }
        self.check();
    }

    fn arrive(&mut self) {
        self.waiters += 1;
        let waiter = self.waiters;
        match self.state.arrive(anywhere, || waiter) {
            Arrival::Lane(lane) => {
                assert!(!self.busy.contains(&lane) && !self.ended.contains(&lane));
                self.busy.push(lane);
            }
            Arrival::Queued(ticket) => {
                self.queue.push_back((ticket, waiter));
                self.decide(Moment::Event);
            }
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self) {
        if self.state.still_wanted(self.now) {
            self.state.started();
            self.lanes += 1;
            self.offer(self.lanes);
        } else {
            self.decide(Moment::Event);
        }
    }

    /// As the reaper does: what is old goes, what is due is looked at.
    fn second(&mut self) {
        self.now += Duration::from_secs(1);
        let ready = |counts: Counts| counts.idle + counts.busy;
        let before = ready(self.state.counts());
        let expired = self.state.expire(self.now);
        assert!(expired.is_empty() || before - expired.len() >= self.min);
        for lane in expired {
            assert!(!self.busy.contains(&lane), "lane {lane} is busy");
            self.ended.push(lane);
        }
        if self.state.tick_due(self.now) {
            self.decide(Moment::Tick);
        } else {
            self.decide(Moment::Event);
        }
    }

    fn check(&self) {
        let counts = self.state.counts();
        assert!(counts.alive() <= self.max, "{counts:?}");
        assert_eq!(counts.busy, self.busy.len());
        assert_eq!(counts.waiting, self.queue.len());
        if counts.waiting > 0 {
            assert!(
                counts.alive() > 0,
                "somebody waits and nothing comes: {counts:?}"
            );
            assert_eq!(counts.idle, 0, "{counts:?}");
        }
    }

    /// Seconds in which every start succeeds and every call ends with probability one.
    fn calm_down(&mut self) {
        for _ in 0..400 {
            while self.state.counts().starting > 0 {
                self.start();
            }
            while let Some(lane) = self.busy.pop() {
                self.offer(lane);
                if self.queue.is_empty() {
                    continue;
                }
            }
            self.second();
            self.check();
        }
    }
}

proptest! {
    // E1, E11, and the bounds: whatever happens in whatever order.
    #[test]
    fn any_history_keeps_the_bounds_and_ends_at_the_minimum(
        (scale, max) in settings(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(scale, max);
        for step in &steps {
            world.take(step);
        }
        world.calm_down();
        let counts = world.state.counts();
        prop_assert_eq!(counts, Counts { idle: world.min, ..Counts::default() });
    }

    #[test]
    fn a_burst_only_ever_adds_and_gets_what_it_needs(
        (scale, max) in settings(),
        calls in 1..30_usize,
    ) {
        let mut world = World::new(scale, max);
        let mut alive = world.state.counts().alive();
        for _ in 0..calls {
            world.arrive();
            world.check();
            prop_assert!(world.state.counts().alive() >= alive);
            alive = world.state.counts().alive();
        }
        for _ in 0..200 {
            world.second();
            while world.state.counts().starting > 0 {
                world.start();
            }
            // An old sample without waiting calls may let a vote for fewer through only where
            // something idles; here it is the idle timeout alone that takes.
            if world.state.counts().waiting > 0 {
                prop_assert!(world.state.counts().alive() >= alive);
            }
            alive = world.state.counts().alive();
        }
        let enough = match scale.mode {
            ScaleMode::Demand => calls,
            ScaleMode::Target => calls.div_ceil(size(scale.target)),
            // It is steady while fewer wait than there are containers, and not in every sample.
            ScaleMode::Vote => 1,
        };
        prop_assert!(world.state.counts().alive() >= enough.min(max).max(world.min));
    }
}
