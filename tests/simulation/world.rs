//! The world of one simulation: virtual time, and what happens in it in order.
//!
//! Layout: `telling` (the sources and the intake), `driving` (the owner's turns, commits and deaths), `wire` (requests),
//! `waits` (how long news waits), `ending` (what must hold in the end).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use missived::event::{Fingerprint, HashKey};
use missived::lane::Delivery;

use super::committed::{Committed, Entry};
use super::dials::Dials;
use super::fate::Fate;
use super::happening::{Gesture, Jump, SourceRecord};
use super::inbox::Inbox;
use super::owner::{Channels, Owner};
use super::policy::{CHANNELS, channel_of};
use super::random::Random;
use super::reference::Reference;
use super::report::Report;
use super::scenario::{HOUR, MINUTE, START, Scenario, Weather};
use super::source::SourcePartition;
use super::spoken::Letter;
use super::workloads::{gestures, jumps, source_records};

#[path = "driving.rs"]
mod driving;
#[path = "ending.rs"]
mod ending;
#[path = "telling.rs"]
mod telling;
#[path = "waits.rs"]
mod waits;
#[path = "wire.rs"]
mod wire;

/// What chance is drawn for.
#[derive(Clone, Copy)]
enum For {
    Intake = 10,
    Owners,
    Missive,
}

#[derive(Debug)]
enum Event {
    Happens(SourceRecord),
    Gesture(Gesture),
    Jump(Jump),
    Frame(usize),
    Turn { owner: u64 },
    Committed { owner: u64 },
    Dies { owner: u64, committed: bool },
    TakeOver,
    Write { writer: Writer, delivery: Box<Delivery> },
    Arrive { flight: u64 },
    End { flight: u64 },
    Healthy,
}

/// Who writes a request: an owner, perhaps one that is none any more and doesn't know it.
#[derive(Clone, Copy, Debug)]
struct Writer {
    owner: u64,
    skew: i64,
}

struct Flight {
    owner: u64,
    delivery: Delivery,
    letter: Option<Letter>,
    fate: Fate,
}

/// See the module documentation.
pub struct World {
    scenario: Scenario,
    /// Chance, apart for the intake, the owners and Missive.
    intake: Random,
    fortune: Random,
    missive: Random,
    hash: HashKey,
    channels: Channels,
    now: u64,
    agenda: BTreeMap<(u64, u64), Event>,
    events: u64,
    partitions: Vec<SourcePartition>,
    ledger: Vec<Entry>,
    reference: Reference,
    kafka: Committed,
    inbox: Inbox,
    /// Messages that were asked for after a doubt.
    looked_up: HashSet<(Fingerprint, u64)>,
    flights: HashMap<u64, Flight>,
    owner: Option<Owner>,
    /// Counts owners; the current one's number.
    owners: u64,
    /// What the wall clocks were set to, against the world's.
    clock: i64,
    /// The latest that they have shown before they were set.
    clock_max: u64,
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
    pub fn new(dials: Dials, trace: bool) -> Self {
        let seed = dials.seed;
        let scenario = Scenario::of(dials);
        let hash = HashKey::new([5; 16]);
        if trace {
            println!("{scenario:#?}");
        }
        let count = 1 + i32::try_from(scenario.dials.more_partitions).expect("few");
        let world = Self {
            intake: Random::apart(seed, For::Intake as u64),
            fortune: Random::apart(seed, For::Owners as u64),
            missive: Random::apart(seed, For::Missive as u64),
            hash,
            channels: Channels::default(),
            now: START,
            agenda: BTreeMap::new(),
            events: 0,
            partitions: (0..count).map(|number| SourcePartition::new(number, scenario.tells_whole)).collect(),
            ledger: Vec::new(),
            reference: Reference::new(scenario.dials.flap_changes),
            kafka: Committed::default(),
            inbox: Inbox::new(scenario.policy.limits),
            looked_up: HashSet::new(),
            flights: HashMap::new(),
            owner: None,
            owners: 0,
            clock: 0,
            clock_max: 0,
            next_turn: None,
            busy_until: 0,
            dirty_since: None,
            retry_at: 0,
            committing: false,
            turns: (0, 0),
            expected_left: 1,
            healthy: false,
            excused_until: START,
            sampled_at: 0,
            was_stuck: false,
            report: Report::of(scenario.dials.workload),
            trace,
            scenario,
        };
        world.with_a_future()
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

    fn with_a_future(mut self) -> Self {
        let records = source_records(&self.scenario, &self.hash);
        self.channels = Rc::new(channels_of(&records, &self.hash));
        let (gestures, jumps) = (gestures(&self.scenario), jumps(&self.scenario));
        self.expected_left = records.len() + gestures.len() + jumps.len() + 1;
        for record in records {
            self.plan(record.at, Event::Happens(record));
        }
        for gesture in gestures {
            self.plan(gesture.at, Event::Gesture(gesture));
        }
        for jump in jumps {
            self.plan(jump.at, Event::Jump(jump));
        }
        self.one_less();
        self.plan(START, Event::TakeOver);
        self
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
        let dials = &self.scenario.dials;
        let words = dials.words + dials.steady;
        2 * HOUR + words * 6 * 15 * MINUTE / limits.per_quarter_hour as u64 + dials.jumps * 2 * HOUR
    }

    fn is_over(&self) -> bool {
        let told = self.owner.as_ref().is_some_and(|owner| {
            owner.lane().books().pending() == 0
                && owner.has_told_all()
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
            Event::Happens(record) => self.happens(record),
            Event::Gesture(gesture) => self.gesture(&gesture),
            Event::Jump(jump) => self.jump(jump),
            Event::Frame(partition) => self.frame(partition),
            Event::Turn { owner } if owner == self.owners && self.next_turn == Some(self.now) => return self.turn(),
            Event::Committed { owner } if owner == self.owners => self.committed(),
            Event::Dies { owner, committed } if owner == self.owners => self.die(committed),
            Event::Turn { .. } | Event::Committed { .. } | Event::Dies { .. } => {}
            Event::TakeOver => return self.take_over(),
            Event::Write { writer, delivery } => return self.write(writer, *delivery),
            Event::Arrive { flight } => return self.arrive(flight),
            Event::End { flight } => self.end(flight),
            Event::Healthy => self.become_healthy(),
        }
        Ok(())
    }

    fn become_healthy(&mut self) {
        self.healthy = true;
        self.scenario.weather = Weather::calm();
        self.scenario.dials.become_healthy();
        self.turn_at(self.now);
    }
}

/// Where every conversation belongs: those that sources speak of, and the roll-ups.
fn channels_of(records: &[SourceRecord], hash: &HashKey) -> HashMap<Fingerprint, &'static str> {
    let places = records.iter().flat_map(|record| &record.says).map(|says| &says.place);
    let own = places.map(|place| (place.id, channel_of(place.route)));
    let roll_ups = CHANNELS.map(|(name, _)| (hash.fingerprint(&[b"roll-up", name.as_bytes(), b""]), name));
    own.chain(roll_ups).collect()
}
