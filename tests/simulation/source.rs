//! The sources and the intake: what happens, and the frames that tell the lane of it.
//!
//! Each source partition is a log. A *producer* reads it from some position on and writes frames that cover contiguous
//! ranges; after an intake crash another one starts further back, without the memory of the first, which may go on for a
//! while. So the ledger holds the same position more than once, in frames with other boundaries, here as an observation and
//! there as a dropped duplicate.

use std::borrow::Cow;
use std::collections::HashMap;

use missived::event::frame::{Learned, Lesson, write_lesson};
use missived::event::{Facts, Fingerprint, FrameBuilder, HashKey, Observation, Position, State, Timestamp, Urgency};

use super::inbox::conversation_id;
use super::random::Random;
use super::scenario::{MINUTE, SECOND, START, Scenario};

/// How long an intake remembers what it has sent.
const CACHE_HORIZON: u64 = 10 * SECOND;

/// The most of one frame.
const FRAME_ITEMS_MAX: u64 = 64;

/// Something a source says.
#[derive(Clone, Debug)]
pub struct Happening {
    pub at: u64,
    pub route: &'static str,
    pub key: String,
    pub entity: u64,
    pub state: State,
    pub since: Option<u64>,
    pub urgency: Urgency,
    pub old: bool,
    /// Names it; a person's words.
    pub text: String,
}

/// What a person does in the inbox.
#[derive(Clone, Debug)]
pub struct Gesture {
    pub at: u64,
    pub route: &'static str,
    pub key: String,
    pub about: Learned,
}

/// One item of a frame, as the naive model reads it.
#[derive(Clone, Debug)]
pub struct Item {
    pub position: Position,
    pub happening: Happening,
    pub dropped: bool,
}

#[derive(Debug, Default)]
struct Producer {
    next: usize,
    /// What was last sent of a thing, and when.
    sent: HashMap<Fingerprint, (Fingerprint, u64)>,
    /// A predecessor that has not noticed yet: frames it may still write.
    writes_left: Option<u32>,
}

/// One source partition and who reads it.
#[derive(Debug)]
pub struct SourcePartition {
    number: i32,
    log: Vec<(Position, Happening)>,
    producers: Vec<Producer>,
}

impl Happening {
    /// What makes it news.
    pub fn identity(&self, key: &HashKey) -> Fingerprint {
        let since = self.since.unwrap_or(0).to_be_bytes();
        match self.state {
            State::Firing | State::Resolved => {
                let state: &[u8] = if self.state == State::Firing { b"firing" } else { b"resolved" };
                key.fingerprint(&[
                    self.route.as_bytes(),
                    self.key.as_bytes(),
                    &self.entity.to_be_bytes(),
                    state,
                    &since,
                ])
            }
            State::Changed | State::Said => key.fingerprint(&[self.route.as_bytes(), self.text.as_bytes()]),
        }
    }

    pub fn entity(&self, key: &HashKey) -> Fingerprint {
        key.fingerprint(&[self.route.as_bytes(), self.key.as_bytes(), &self.entity.to_be_bytes()])
    }

    fn observation(&self, key: &HashKey, position: Position) -> Observation<'_> {
        Observation {
            position,
            route: self.route,
            at: Timestamp::from_millis(self.at),
            old: self.old,
            entity: self.entity(key),
            identity: self.identity(key),
            state: self.state,
            urgency: self.urgency,
            since: self.since.map(Timestamp::from_millis),
            conversation: Cow::Borrowed(&self.key),
            facts: Facts {
                title: Cow::Borrowed(if self.state == State::Said { "" } else { &self.text }),
                text: Cow::Borrowed(&self.text),
                author: Cow::Borrowed(if self.state == State::Said { "ann" } else { "" }),
                ..Facts::default()
            },
        }
    }
}

impl Gesture {
    pub fn write(&self, key: &HashKey) -> Vec<u8> {
        let conversation = key.fingerprint(&[self.route.as_bytes(), self.key.as_bytes()]);
        write_lesson(&Lesson {
            channel: "ops",
            routing_key: &format!("{}/{}", self.route, self.key),
            conversation_id: &conversation_id(conversation).to_string(),
            about: self.about,
            at: Timestamp::from_millis(self.at),
        })
    }
}

impl SourcePartition {
    pub fn new(number: i32) -> Self {
        Self { number, log: Vec::new(), producers: vec![Producer::default()] }
    }

    /// A record is written to the source topic; now and then its event shares a record with the one before.
    pub fn append(&mut self, random: &mut Random, happening: Happening) {
        let position = match self.log.last() {
            Some((last, _)) if random.chance(200) => Position { offset: last.offset, index: last.index + 1 },
            Some((last, _)) => Position { offset: last.offset + i64::from(random.chance(50)) + 1, index: 0 },
            None => Position { offset: 0, index: 0 },
        };
        self.log.push((position, happening));
    }

    pub fn is_behind(&self) -> bool {
        self.producers.iter().any(|producer| producer.next < self.log.len())
    }

    /// Writes one frame, if there is something to write.
    pub fn frame(
        &mut self,
        now: u64,
        random: &mut Random,
        scenario: &Scenario,
        key: &HashKey,
    ) -> Option<(Vec<u8>, Vec<Item>)> {
        if random.chance(scenario.load.intake_crashes_per_mille) {
            self.crash(random);
        }
        let behind: Vec<_> = (0..self.producers.len()).filter(|at| self.producers[*at].next < self.log.len()).collect();
        if behind.is_empty() {
            return None;
        }
        let chosen = random.pick(&behind);
        let producer = &mut self.producers[chosen];
        let left = (self.log.len() - producer.next) as u64;
        let take = random.spread(1, left.min(FRAME_ITEMS_MAX));
        let end = producer.next + usize::try_from(take).expect("bounded");
        let mut builder = FrameBuilder::default();
        let mut items = Vec::new();
        for (position, happening) in &self.log[producer.next..end] {
            let dropped = producer.has_just_sent(now, happening, key);
            if dropped {
                builder.drop_duplicate(happening.route, &happening.key, *position);
            } else {
                builder.push(&happening.observation(key, *position));
            }
            items.push(Item { position: *position, happening: happening.clone(), dropped });
        }
        producer.next = end;
        self.retire(chosen);
        let mut bytes = Vec::new();
        builder.seal("default", "source", self.number, &mut bytes);
        Some((bytes, items))
    }

    pub const fn number(&self) -> i32 {
        self.number
    }

    /// Another producer takes over from further back; the old one may not notice at once.
    fn crash(&mut self, random: &mut Random) {
        let Some(current) = self.producers.last_mut() else { return };
        let back = usize::try_from(random.spread(1, 40)).expect("small");
        let next = current.next.saturating_sub(back);
        current.writes_left = Some(u32::try_from(random.between(0, 2)).expect("small"));
        self.producers.retain(|producer| producer.writes_left != Some(0));
        self.producers.push(Producer { next, ..Producer::default() });
    }

    fn retire(&mut self, at: usize) {
        if let Some(left) = &mut self.producers[at].writes_left {
            *left -= 1;
        }
        self.producers.retain(|producer| producer.writes_left != Some(0));
    }
}

impl Producer {
    fn has_just_sent(&mut self, now: u64, happening: &Happening, key: &HashKey) -> bool {
        let identity = happening.identity(key);
        let thing = match happening.state {
            State::Firing | State::Resolved => happening.entity(key),
            State::Changed | State::Said => identity,
        };
        let known = self.sent.get(&thing).is_some_and(|(sent, at)| *sent == identity && now - at < CACHE_HORIZON);
        if !known {
            self.sent.insert(thing, (identity, now));
        }
        known
    }
}

/// Everything that will happen, in order of time.
pub fn happenings(scenario: &Scenario, random: &mut Random) -> Vec<Happening> {
    let mut plan = Plan { scenario, random, told: Vec::new() };
    plan.steady();
    plan.storm();
    plan.flapping();
    plan.records();
    plan.huge();
    plan.words();
    plan.repeat_and_disorder();
    plan.told.sort_by_key(|happening| happening.at);
    plan.told
}

/// What people do in the inbox meanwhile.
pub fn gestures(scenario: &Scenario, random: &mut Random) -> Vec<Gesture> {
    let gesture = |_| Gesture {
        at: START + random.between(0, scenario.span),
        route: random.pick(&["alerts", "single", "deals", "chat"]),
        key: format!("k{}", random.between(0, 5)),
        about: random.pick(&[Learned::Answered, Learned::Answered, Learned::Muted, Learned::Unmuted, Learned::Closed]),
    };
    (0..scenario.load.lessons).map(gesture).collect()
}

struct Plan<'a> {
    scenario: &'a Scenario,
    random: &'a mut Random,
    told: Vec<Happening>,
}

impl Plan<'_> {
    fn sometime(&mut self) -> u64 {
        START + self.random.between(0, self.scenario.span)
    }

    fn urgency(&mut self) -> Urgency {
        self.scenario.urgency.unwrap_or_else(|| self.random.pick(&Urgency::ALL))
    }

    fn add(&mut self, at: u64, route: &'static str, key: String, entity: u64, state: State, urgency: Urgency) {
        let since = matches!(state, State::Firing | State::Resolved).then_some(at);
        let padding = if state == State::Said && self.random.chance(200) { "lorem ".repeat(30) } else { String::new() };
        let text = format!("<{}>{padding}", self.told.len());
        let old = self.random.chance(self.scenario.load.old_per_mille);
        self.told.push(Happening { at, route, key, entity, state, since, urgency, old, text });
    }

    /// An alert that fires and, mostly, resolves.
    fn alert(&mut self, at: u64, route: &'static str, key: &str, entity: u64) {
        let urgency = self.urgency();
        self.add(at, route, key.to_owned(), entity, State::Firing, urgency);
        if self.random.chance(800) {
            let lasts = self.random.spread(100, 20 * MINUTE);
            self.add(at + lasts, route, key.to_owned(), entity, State::Resolved, urgency);
        }
    }

    fn steady(&mut self) {
        for _ in 0..self.scenario.load.steady {
            let at = self.sometime();
            let (key, entity) = (format!("k{}", self.random.between(0, 5)), self.random.between(0, 8));
            match self.random.between(0, 3) {
                0 => self.alert(at, "alerts", &key, entity),
                1 => self.alert(at, "single", &key, entity),
                2 => {
                    let urgency = self.urgency();
                    self.add(at, "deals", key, entity, State::Changed, urgency);
                }
                _ => {
                    let urgency = self.urgency();
                    self.add(at, "chat", key, entity, State::Said, urgency);
                }
            }
        }
    }

    /// Hundreds of groups within seconds.
    fn storm(&mut self) {
        let begins = self.sometime();
        let lasts = self.random.spread(100, MINUTE);
        for group in 0..self.scenario.load.storm_groups {
            let route = self.random.pick(&["alerts", "single"]);
            for entity in 0..self.random.spread(1, 4) {
                let at = begins + self.random.between(0, lasts);
                self.alert(at, route, &format!("g{group}"), entity);
            }
        }
    }

    fn flapping(&mut self) {
        let mut at = self.sometime();
        let pause = self.random.spread(100, 2 * MINUTE);
        let urgency = self.urgency();
        for flap in 0..self.scenario.load.flaps {
            let state = if flap % 2 == 0 { State::Firing } else { State::Resolved };
            self.add(at, "alerts", "flapping".to_owned(), 1, state, urgency);
            at += self.random.between(1, pause);
        }
    }

    fn records(&mut self) {
        let keys = self.random.spread(1, 200);
        for _ in 0..self.scenario.load.records {
            let (at, urgency) = (self.sometime(), self.urgency());
            let key = format!("d{}", self.random.between(0, keys));
            self.add(at, "deals", key, 1, State::Changed, urgency);
        }
    }

    /// One conversation of very many alerts.
    fn huge(&mut self) {
        let begins = self.sometime();
        let lasts = self.random.spread(SECOND, self.scenario.span);
        for entity in 0..self.scenario.load.huge {
            let at = begins + self.random.between(0, lasts);
            self.alert(at, "alerts", "huge", entity);
        }
    }

    fn words(&mut self) {
        let begins = self.sometime();
        let lasts = self.random.spread(SECOND, self.scenario.span);
        let people = self.random.spread(1, 30);
        for _ in 0..self.scenario.load.words {
            let at = begins + self.random.between(0, lasts);
            let (key, urgency) = (format!("p{}", self.random.between(0, people)), self.urgency());
            self.add(at, "chat", key, 1, State::Said, urgency);
        }
    }

    fn repeat_and_disorder(&mut self) {
        for number in 0..self.told.len() {
            if self.random.chance(self.scenario.load.repeats_per_mille) {
                for _ in 0..self.random.spread(1, 5) {
                    let mut copy = self.told[number].clone();
                    copy.at += self.random.spread(1, 10 * MINUTE);
                    self.told.push(copy);
                }
            }
        }
        for happening in &mut self.told {
            happening.at += self.random.between(0, self.scenario.load.disorder);
        }
    }
}
