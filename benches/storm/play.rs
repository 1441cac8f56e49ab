//! The story: events come in as frames, deliveries leave after their commit, answers come back; until nothing is pending.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use missived::config::{Config, Intake};
use missived::event::frame::LedgerRecord;
use missived::event::{Fingerprint, FrameBuilder, HashKey, Timestamp, Urgency};
use missived::lane::policy::{Horizons, Policy};
use missived::lane::{Books, DeliveryId, Effects, Input, Lane, Request, Tally};
use missived::missive::Answer;
use missived::missive::answer::Status;

use crate::Scale;
use crate::events::{Event, Random, key_of, storm};
use crate::referee::{Referee, Told, Violations, most_within};

/// Sunday 22 November 2026, 03:12 UTC.
const START: u64 = 1_795_317_120_000;

const ROUTE: &str = "alerts";

/// How long a commit takes.
const COMMIT: Duration = Duration::from_millis(5);

/// Missive answers within this range of milliseconds.
const LATENCY_MS: std::ops::RangeInclusive<u64> = 80..=400;

/// Nothing may be pending this long after the last event.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Steps at one instant that change nothing before it counts as a lane that runs in circles.
const CIRCLES_MAX: u32 = 100;

/// What became of a storm.
pub struct Outcome {
    pub events: Vec<Event>,
    pub told: HashMap<u32, Told>,
    pub books: Books,
    pub tally: Tally,
    pub violations: Violations,
    pub at_once_max: usize,
    /// Roll-up messages, and the events that they say they stand for.
    pub told_together: (usize, u64),
    pub openings_max: usize,
    pub nonsense: Vec<String>,
    pub horizons: Horizons,
    /// By the lane's own word, sampled every second: how long the oldest untold news of each class had waited.
    pub oldest_untold: BTreeMap<Urgency, Duration>,
    /// From the last event until nothing was pending; `None`: something still was.
    pub calm_after: Option<Duration>,
    pub dedupe_evicted: u64,
    pub cost: Cost,
}

/// Wall-clock time, and what it was spent on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub steps: u64,
    pub stepping: Duration,
    pub longest_step: Duration,
    pub wakeups: Duration,
    pub records: u64,
    pub record_bytes: u64,
    pub recording: Duration,
    pub frames: u64,
    pub frame_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Answer,
    Release,
    Frame,
    Wakeup,
}

struct Stage {
    lane: Lane,
    policy: Arc<Policy>,
    now: Timestamp,
    effects: Effects,
    referee: Referee,
    random: Random,
    /// Ids by number, so that the heaps order by time alone.
    ids: Vec<DeliveryId>,
    releases: BinaryHeap<Reverse<(Timestamp, usize)>>,
    answers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    moments: Vec<[Timestamp; 3]>,
    cost: Cost,
    oldest_untold: BTreeMap<Urgency, Duration>,
    sampled: Timestamp,
    /// Idle steps in a row after which the lane wanted to be woken at once.
    circling: u32,
}

/// Plays the storm of this scale to its end.
pub fn play(scale: &Scale, config: &Config) -> Outcome {
    let key = HashKey::new([3; 16]);
    let events = storm(scale, Timestamp::from_millis(START));
    let keys: Vec<String> = (0..scale.groups).map(key_of).collect();
    let id_of = |group: &u32| key.fingerprint(&[ROUTE.as_bytes(), keys[*group as usize].as_bytes()]);
    let groups: HashMap<Fingerprint, u32> = (0..scale.groups).map(|group| (id_of(&group), group)).collect();
    let mut stage = Stage::new(config, key.clone(), scale.seed, Referee::new(groups));
    let mut builder = FrameBuilder::default();
    let mut bytes = Vec::new();
    let mut rest = &events[..];
    let end = events.last().map_or(stage.now, |event| event.at) + PATIENCE;
    loop {
        let frame_at = frame_due(rest, config.intake);
        let Some((at, next)) = stage.next(frame_at).filter(|(at, _)| *at <= end) else { break };
        stage.now = stage.now.max(at);
        match next {
            Next::Answer => stage.answer(),
            Next::Release => stage.release(),
            Next::Wakeup => stage.step(Input::Tick),
            Next::Frame => {
                let (batch, after) = rest.split_at(rest.partition_point(|event| event.at <= stage.now));
                rest = after;
                for event in batch {
                    builder.push(&event.observation(&key, ROUTE, &keys[event.group as usize]));
                }
                builder.seal(stage.lane.name(), "alerts", 0, &mut bytes);
                stage.frame(batch, &bytes);
            }
        }
        if rest.is_empty() && stage.is_calm() {
            break;
        }
    }
    stage.outcome(events)
}

/// A frame is written when its first event is this old.
fn frame_due(rest: &[Event], intake: Intake) -> Option<Timestamp> {
    rest.first().map(|event| event.at + intake.frame_interval)
}

impl Stage {
    fn new(config: &Config, key: HashKey, seed: u64, referee: Referee) -> Self {
        let policy = Arc::new(config.lanes[0].policy.clone());
        Self {
            lane: Lane::new(policy.clone(), key, seed),
            policy,
            now: Timestamp::from_millis(START),
            effects: Effects::default(),
            referee,
            random: Random::new(seed ^ 0x5eed),
            ids: Vec::new(),
            releases: BinaryHeap::new(),
            answers: BinaryHeap::new(),
            moments: Vec::new(),
            cost: Cost::default(),
            oldest_untold: BTreeMap::new(),
            sampled: Timestamp::EPOCH,
            circling: 0,
        }
    }

    fn next(&mut self, frame_at: Option<Timestamp>) -> Option<(Timestamp, Next)> {
        let begun = Instant::now();
        let wakeup = self.lane.next_wakeup().map(|at| at.max(self.now));
        self.cost.wakeups += begun.elapsed();
        let first = |heap: &BinaryHeap<Reverse<(Timestamp, usize)>>| heap.peek().map(|Reverse((at, _))| *at);
        let candidates = [
            (first(&self.answers), Next::Answer),
            (first(&self.releases), Next::Release),
            (frame_at, Next::Frame),
            (wakeup, Next::Wakeup),
        ];
        candidates.into_iter().filter_map(|(at, next)| Some((at?, next))).min()
    }

    fn frame(&mut self, batch: &[Event], bytes: &[u8]) {
        self.cost.frames += 1;
        self.cost.frame_bytes += bytes.len() as u64;
        for event in batch {
            self.referee.heard(event);
        }
        let begun = Instant::now();
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(bytes) else { panic!("a frame that was just built") };
        self.cost.stepping += begun.elapsed();
        self.step(Input::Observed(&frame));
    }

    fn answer(&mut self) {
        let Some(Reverse((_, place))) = self.answers.pop() else { return };
        let id = self.ids[place];
        self.referee.answered((id.conversation, id.sequence), self.moments[place]);
        let answer = Answer::Status(Status { code: 201, ..Status::default() });
        self.step(Input::Answered { id, answer });
    }

    fn release(&mut self) {
        let Some(Reverse((_, place))) = self.releases.pop() else { return };
        let id = self.ids[place];
        self.referee.sent((id.conversation, id.sequence), self.policy.limits.concurrent);
        self.answers.push(Reverse((self.moments[place][2], place)));
    }

    fn step(&mut self, input: Input<'_>) {
        let idle = matches!(input, Input::Tick);
        let begun = Instant::now();
        self.lane.step(self.now, input, &mut self.effects);
        let took = begun.elapsed();
        self.cost.steps += 1;
        self.cost.stepping += took;
        self.cost.longest_step = self.cost.longest_step.max(took);
        self.check_circles(idle);
        self.commit();
        self.sample();
    }

    /// A lane that wants to be woken at once, again and again, is at fault.
    fn check_circles(&mut self, idle: bool) {
        self.circling = if idle && self.effects.is_empty() && self.lane.next_wakeup() <= Some(self.now) {
            self.circling + 1
        } else {
            0
        };
        assert!(self.circling < CIRCLES_MAX, "the lane asks to be woken at {:?}, and does nothing then", self.now);
    }

    /// Writes what is dirty; what is to be sent leaves when that has been committed.
    fn commit(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        let begun = Instant::now();
        for key in &effects.dirty {
            self.cost.record_bytes += self.lane.record(*key).map_or(0, |record| record.len() as u64);
        }
        self.cost.recording += begun.elapsed();
        self.cost.records += effects.dirty.len() as u64;
        self.lane.committed();
        for delivery in effects.sends {
            let released = self.now + COMMIT;
            let span = LATENCY_MS.end() - LATENCY_MS.start() + 1;
            let latency = LATENCY_MS.start() + self.random.below(span);
            let counted = released + Duration::from_millis(self.random.below(latency + 1));
            let answered = released + Duration::from_millis(latency);
            assert!(released < delivery.send_before, "a commit takes longer than a delivery is good for");
            let Request::Message { body, .. } = &delivery.request else { panic!("nothing is in doubt here") };
            self.referee.message(delivery.id.conversation, body, [self.now, released, answered]);
            self.releases.push(Reverse((released, self.ids.len())));
            self.ids.push(delivery.id);
            self.moments.push([released, counted, answered]);
        }
    }

    fn sample(&mut self) {
        if self.now.since(self.sampled) < Duration::from_secs(1) {
            return;
        }
        self.sampled = self.now;
        for (urgency, since) in self.lane.untold(0).oldest {
            let waited = self.oldest_untold.entry(urgency).or_default();
            *waited = self.now.since(since).max(*waited);
        }
    }

    fn is_calm(&self) -> bool {
        self.lane.books().pending() == 0 && self.releases.is_empty() && self.answers.is_empty()
    }

    fn outcome(mut self, events: Vec<Event>) -> Outcome {
        let limits = self.policy.limits;
        let last = events.last().map_or(self.now, |event| event.at);
        let violations = self.referee.violations(limits.per_minute, limits.per_quarter_hour);
        let calm_after = self.is_calm().then(|| self.now.since(last));
        let told = self.referee.settle(&events).clone();
        let window = self.policy.channels["ops"].new_conversations_window;
        Outcome {
            told,
            books: self.lane.books().clone(),
            tally: *self.lane.tally(),
            violations,
            at_once_max: self.referee.at_once_max,
            told_together: self.referee.told_together(),
            openings_max: most_within(self.referee.references.values().copied().collect(), window),
            nonsense: std::mem::take(&mut self.referee.nonsense),
            horizons: self.policy.horizons,
            oldest_untold: self.oldest_untold,
            calm_after,
            dedupe_evicted: self.lane.dedupe_evicted(),
            cost: self.cost,
            events,
        }
    }
}
