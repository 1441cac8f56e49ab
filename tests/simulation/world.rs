//! The world of one seed: virtual time, what happens in it in order, and what must hold when all is over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use missived::event::{HashKey, Urgency};
use missived::lane::Delivery;
use missived::lane::policy::OnDoubt;

use super::inbox::{Fate, Inbox};
use super::owner::{Committed, Entry, Owner};
use super::random::Random;
use super::reference::{Expected, Reference};
use super::scenario::{HOUR, MINUTE, SECOND, START, Scenario, Troubles, Weather};
use super::source::{Gesture, Happening, SourcePartition, gestures, happenings};

#[path = "ending.rs"]
mod ending;
#[path = "waits.rs"]
mod waits;
#[path = "wire.rs"]
mod wire;

/// State that nobody waits for may stay uncommitted for this long.
const LINGER: u64 = 100;

/// After an aborted transaction.
const RETRY_PAUSE: u64 = 500;

/// More turns than this at one instant are a driver that spins.
const TURNS_PER_INSTANT_MAX: u32 = 2_000;

/// What a simulation has seen, for the summary.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub steps: u64,
    pub millis: u64,
    pub requests: u64,
    pub observations: u64,
    pub crashes: u64,
    /// The longest that something was untold while nothing stood in the way, by urgency.
    pub untold_max: BTreeMap<Urgency, u64>,
    pub roll_ups: u64,
    pub doubts: u64,
    pub drained_after: u64,
}

impl Report {
    /// Adds another simulation's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.millis += other.millis;
        self.requests += other.requests;
        self.observations += other.observations;
        self.crashes += other.crashes;
        self.roll_ups += other.roll_ups;
        self.doubts += other.doubts;
        self.drained_after = self.drained_after.max(other.drained_after);
        for (urgency, waited) in &other.untold_max {
            let longest = self.untold_max.entry(*urgency).or_default();
            *longest = (*longest).max(*waited);
        }
    }
}

#[derive(Debug)]
enum Event {
    Happens(Happening),
    Gesture(Gesture),
    Frame(usize),
    Turn { owner: u64 },
    Committed { owner: u64 },
    Dies { owner: u64 },
    TakeOver,
    Write { owner: u64, delivery: Box<Delivery> },
    Arrive { flight: u64 },
    End { flight: u64 },
    Healthy,
}

struct Flight {
    owner: u64,
    delivery: Delivery,
    fate: Fate,
}

/// See the module documentation.
pub struct World {
    scenario: Scenario,
    random: Random,
    key: HashKey,
    now: u64,
    agenda: BTreeMap<(u64, u64), Event>,
    events: u64,
    partitions: Vec<SourcePartition>,
    ledger: Vec<Entry>,
    reference: Reference,
    kafka: Committed,
    inbox: Inbox,
    flights: HashMap<u64, Flight>,
    owner: Option<Owner>,
    /// Counts owners; the current one's number.
    owners: u64,
    next_turn: Option<u64>,
    busy_until: u64,
    dirty_since: Option<u64>,
    retry_at: u64,
    /// A transaction is under way: the driver does nothing else.
    committing: bool,
    turns: (u64, u32),
    expected_left: usize,
    healthy: bool,
    /// Until when something stood in the way of telling in time.
    excused_until: u64,
    sampled_at: u64,
    was_stuck: bool,
    report: Report,
    trace: bool,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let scenario = Scenario::of(seed);
        let mut random = Random::new(seed ^ 0x5eed_5eed);
        let key = HashKey::new([5; 16]);
        if trace {
            println!("{scenario:#?}");
        }
        let happenings = happenings(&scenario, &mut random);
        let gestures = gestures(&scenario, &mut random);
        let count = i32::try_from(scenario.load.partitions).expect("few");
        let mut world = Self {
            key: key.clone(),
            now: START,
            agenda: BTreeMap::new(),
            events: 0,
            partitions: (0..count).map(SourcePartition::new).collect(),
            ledger: Vec::new(),
            reference: Reference::new(key),
            kafka: Committed::default(),
            inbox: Inbox::new(scenario.policy.limits),
            flights: HashMap::new(),
            owner: None,
            owners: 0,
            next_turn: None,
            busy_until: 0,
            dirty_since: None,
            retry_at: 0,
            committing: false,
            turns: (0, 0),
            expected_left: happenings.len() + gestures.len(),
            healthy: false,
            excused_until: START,
            sampled_at: 0,
            was_stuck: false,
            report: Report::default(),
            trace,
            random,
            scenario,
        };
        for happening in happenings {
            world.plan(happening.at, Event::Happens(happening));
        }
        for gesture in gestures {
            world.plan(gesture.at, Event::Gesture(gesture));
        }
        if world.expected_left == 0 {
            world.plan(START, Event::Healthy);
        }
        world.plan(START, Event::TakeOver);
        world
    }

    /// Lives through everything.
    pub fn run(mut self) -> Result<Report, String> {
        self.live().map_err(|fault| format!("at {} ms: {fault}", self.now - START))?;
        self.settle().map_err(|fault| format!("in the end: {fault}"))?;
        self.report.millis = self.now - START;
        self.report.requests = self.inbox.requests() as u64;
        self.report.observations = self.ledger.last().map_or(0, |entry| entry.distinct);
        Ok(self.report)
    }

    fn live(&mut self) -> Result<(), String> {
        let patience = self.patience();
        let mut healthy_since = None;
        while let Some(((at, _), event)) = self.agenda.pop_first() {
            self.now = at;
            self.happen(event)?;
            if self.healthy {
                let since = *healthy_since.get_or_insert(at);
                if self.is_over() {
                    self.report.drained_after = at - since;
                    return Ok(());
                }
                if at > since + patience {
                    let pending = self.owner.as_ref().map(|owner| owner.lane().books().pending());
                    return Err(format!("{pending:?} pending {patience} ms after all was well"));
                }
            }
        }
        Err(format!("nothing will happen any more, but {:?} is pending", self.kafka.pending))
    }

    /// How long it may take until everything is told, once all is well.
    fn patience(&self) -> u64 {
        let limits = &self.scenario.policy.limits;
        let words = self.scenario.load.words + self.scenario.load.steady;
        2 * HOUR + words * 6 * 15 * MINUTE / limits.per_quarter_hour as u64
    }

    fn is_over(&self) -> bool {
        let told = self.owner.as_ref().is_some_and(|owner| {
            let held =
                self.scenario.policy.on_doubt == OnDoubt::Hold && self.report.doubts + owner.lane().tally().doubts > 0;
            (owner.lane().books().pending() == 0 || held)
                && !owner.is_dirty(&self.kafka)
                && owner.lane().in_progress() == 0
        });
        told && self.kafka.position == self.ledger.len() && !self.partitions.iter().any(SourcePartition::is_behind)
    }

    fn plan(&mut self, at: u64, event: Event) {
        self.events += 1;
        self.agenda.insert((at.max(self.now), self.events), event);
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if self.trace && !matches!(event, Event::Turn { .. }) {
            println!("{:>10} {event:?}", self.now - START);
        }
        match event {
            Event::Happens(happening) => self.happens(happening),
            Event::Gesture(gesture) => self.gesture(&gesture),
            Event::Frame(partition) => self.frame(partition),
            Event::Turn { owner } if owner == self.owners && self.next_turn == Some(self.now) => return self.turn(),
            Event::Committed { owner } if owner == self.owners => self.committed(),
            Event::Dies { owner } if owner == self.owners => self.die(),
            Event::Turn { .. } | Event::Committed { .. } | Event::Dies { .. } => {}
            Event::TakeOver => return self.take_over(),
            Event::Write { owner, delivery } => return self.write(owner, *delivery),
            Event::Arrive { flight } => return self.arrive(flight),
            Event::End { flight } => self.end(flight),
            Event::Healthy => self.become_healthy(),
        }
        Ok(())
    }

    // ── the sources ──

    fn happens(&mut self, happening: Happening) {
        self.one_less();
        let place = usize::try_from(self.random.between(0, self.scenario.load.partitions - 1)).expect("few");
        self.partitions[place].append(&mut self.random, happening);
        let at = self.now + self.random.spread(1, 500);
        self.plan(at, Event::Frame(place));
    }

    fn gesture(&mut self, gesture: &Gesture) {
        self.one_less();
        self.reference.learn(gesture);
        self.append(gesture.write(&self.key), Expected::default());
    }

    fn one_less(&mut self) {
        self.expected_left -= 1;
        if self.expected_left == 0 {
            let spells = self.scenario.weather.spells.iter().map(|spell| spell.to).max();
            self.plan(spells.unwrap_or(0).max(self.now + 10 * SECOND), Event::Healthy);
        }
    }

    fn frame(&mut self, place: usize) {
        let partition = &mut self.partitions[place];
        let Some((bytes, items)) = partition.frame(self.now, &mut self.random, &self.scenario, &self.key) else {
            return;
        };
        let expected = self.reference.read(partition.number(), &items);
        self.append(bytes, expected);
        if self.partitions[place].is_behind() {
            let at = self.now + self.random.spread(1, 500);
            self.plan(at, Event::Frame(place));
        }
    }

    fn append(&mut self, bytes: Vec<u8>, expected: Expected) {
        let distinct = self.ledger.last().map_or(0, |entry| entry.distinct) + expected.distinct;
        self.ledger.push(Entry { bytes, expected, distinct });
        self.turn_at(self.now);
    }

    fn become_healthy(&mut self) {
        self.healthy = true;
        self.scenario.weather = Weather::calm();
        self.scenario.troubles = Troubles::default();
        self.scenario.load.intake_crashes_per_mille = 0;
        self.turn_at(self.now);
    }

    // ── the owner ──

    fn take_over(&mut self) -> Result<(), String> {
        let skew = i64::try_from(self.random.between(0, 800)).expect("small") - 400;
        let policy = Arc::clone(&self.scenario.policy);
        let owner = Owner::take_over(self.now, skew, &policy, &self.key, self.scenario.strict, &self.kafka)?;
        self.owner = Some(owner);
        self.busy_until = 0;
        self.committing = false;
        self.dirty_since = None;
        self.retry_at = 0;
        self.next_turn = None;
        self.excuse();
        self.turn_at(self.now);
        Ok(())
    }

    fn turn_at(&mut self, at: u64) {
        let at = at.max(self.busy_until).max(self.now);
        if self.owner.is_none()
            || self.committing
            || self.next_turn.is_some_and(|planned| planned <= at && planned >= self.now)
        {
            return;
        }
        self.next_turn = Some(at);
        self.plan(at, Event::Turn { owner: self.owners });
    }

    fn turn(&mut self) -> Result<(), String> {
        self.next_turn = None;
        if self.committing {
            return Ok(());
        }
        self.count_turn()?;
        let dies = self.random.chance(self.scenario.troubles.crash_steps);
        let steps_max = if dies { self.random.between(1, 4) } else { u64::MAX };
        let Some(owner) = &mut self.owner else { return Ok(()) };
        let steps = owner.steps;
        let lives = owner.turn(self.now, &self.ledger, steps_max)?;
        self.report.steps += owner.steps - steps;
        if self.random.chance(30) {
            owner.spurious(self.now)?;
        }
        if self.random.chance(self.scenario.troubles.hand_overs) && !owner.draining {
            owner.drain(self.now)?;
        }
        if !lives {
            self.die();
            return Ok(());
        }
        self.sample()?;
        self.commit_if_due()?;
        self.plan_next_turn();
        Ok(())
    }

    fn count_turn(&mut self) -> Result<(), String> {
        self.turns = if self.turns.0 == self.now { (self.now, self.turns.1 + 1) } else { (self.now, 1) };
        if self.turns.1 > TURNS_PER_INSTANT_MAX { Err("the driver spins".to_owned()) } else { Ok(()) }
    }

    fn plan_next_turn(&mut self) {
        let Some(owner) = &self.owner else { return };
        let wakeup = owner.next_wakeup(self.now);
        let commit = self.dirty_since.map(|since| (since + LINGER).max(self.retry_at));
        let more = (owner.is_dirty(&self.kafka) && owner.draining).then_some(self.retry_at.max(self.now + 1));
        if let Some(at) = [wakeup, commit, more].into_iter().flatten().min() {
            self.turn_at(at);
        }
    }

    fn commit_if_due(&mut self) -> Result<(), String> {
        let Some(owner) = &self.owner else { return Ok(()) };
        if !owner.is_dirty(&self.kafka) {
            self.dirty_since = None;
            if owner.draining && owner.is_drained() {
                self.leave();
            }
            return Ok(());
        }
        let since = *self.dirty_since.get_or_insert(self.now);
        let due = owner.is_urgent() || owner.draining || self.now >= since + LINGER;
        if !due || self.now < self.retry_at || self.now < self.busy_until {
            return Ok(());
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), String> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let troubles = &self.scenario.troubles;
        let slow = self.random.chance(troubles.slow_commits);
        let takes = if slow { self.random.spread(100, 20 * SECOND) } else { self.random.between(1, 5) };
        let crashes = self.random.chance(troubles.crash_commits);
        let takes_effect = if crashes { self.random.chance(500) } else { !self.random.chance(troubles.aborts) };
        if takes_effect {
            owner.commit_into(&mut self.kafka, &self.ledger)?;
        }
        self.busy_until = self.now + takes;
        if slow || crashes || !takes_effect {
            self.excuse_until(self.busy_until + RETRY_PAUSE);
        }
        let owner = self.owners;
        self.committing = crashes || takes_effect;
        if crashes {
            self.plan(self.busy_until, Event::Dies { owner });
        } else if takes_effect {
            self.plan(self.busy_until, Event::Committed { owner });
        } else {
            self.retry_at = self.busy_until + RETRY_PAUSE;
            self.turn_at(self.retry_at);
        }
        Ok(())
    }

    fn committed(&mut self) {
        self.committing = false;
        let Some(owner) = &mut self.owner else { return };
        self.dirty_since = None;
        for delivery in owner.committed() {
            let late = self.random.chance(self.scenario.troubles.late_writes);
            let delay = if late { self.random.spread(1, 4 * SECOND) } else { self.random.between(0, 30) };
            self.plan(self.now + delay, Event::Write { owner: self.owners, delivery: Box::new(delivery) });
        }
        self.turn_at(self.now);
    }

    /// The process dies, or only loses its partition: then what it has committed may still be written.
    fn die(&mut self) {
        self.report.crashes += 1;
        if self.random.chance(500) {
            let dead = self.owners;
            self.agenda.retain(|_, event| !matches!(event, Event::Write { owner, .. } if *owner == dead));
        }
        self.leave();
    }

    fn leave(&mut self) {
        if let Some(owner) = self.owner.take() {
            self.report.roll_ups += owner.lane().tally().roll_ups;
            self.report.doubts += owner.lane().tally().doubts;
        }
        self.owners += 1;
        let down = self.random.spread(1, 40 * SECOND);
        self.excuse_until(self.now + down);
        self.plan(self.now + down, Event::TakeOver);
    }
}
