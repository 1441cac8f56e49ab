//! The storm itself: alert events in the order in which they happen, the same for the same seed.
//!
//! Most are new alerts; one in ten resolves the last alert of its group, one in ten repeats the last event word for word.
//! Critical ones stand at even distances, each shifted at random. A group's other news is low in three groups of ten and
//! normal in the rest. What is a repeat is known here, without asking the lane.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use missived::event::{Facts, Fingerprint, HashKey, Observation, Position, State, Timestamp, Urgency};

use crate::Scale;

/// SplitMix64: small, seeded, good enough to spread a storm.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Is it told, or only counted?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Unique,
    Repeat,
}

/// One event. `alert` is the number of the event that began it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub number: u32,
    pub at: Timestamp,
    pub group: u32,
    pub alert: u32,
    pub state: State,
    pub since: Timestamp,
    pub urgency: Urgency,
    pub news: News,
}

/// All events, in order.
pub fn storm(scale: &Scale, start: Timestamp) -> Vec<Event> {
    let mut random = Random::new(scale.seed);
    let critical = criticals(scale, &mut random);
    let mut last: HashMap<u32, Event> = HashMap::new();
    let events = (0..scale.events).map(|number| {
        let group = u32::try_from(random.below(u64::from(scale.groups))).expect("below a u32");
        let millis = u64::from(number) * scale.minutes * 60_000 / u64::from(scale.events);
        let at = Timestamp::from_millis(start.as_millis() + millis);
        let dice = random.below(10);
        let event = match last.get(&group) {
            _ if critical.contains(&number) => fresh(number, at, group, Urgency::Critical),
            Some(last) if dice == 0 => Event { number, at, news: News::Repeat, ..*last },
            Some(last) if dice == 1 && last.state == State::Firing && last.urgency != Urgency::Critical => {
                Event { number, at, state: State::Resolved, since: at, news: News::Unique, ..*last }
            }
            Some(_) | None => fresh(number, at, group, usual(group)),
        };
        last.insert(group, event);
        event
    });
    events.collect()
}

/// The numbers of the critical events.
fn criticals(scale: &Scale, random: &mut Random) -> HashSet<u32> {
    let distance = scale.events / scale.criticals.max(1);
    let shifted = (0..scale.criticals).map(|place| {
        let shift = random.below(u64::from(distance.max(1)));
        place * distance + u32::try_from(shift).expect("below a u32")
    });
    shifted.collect()
}

const fn usual(group: u32) -> Urgency {
    if group % 10 < 3 { Urgency::Low } else { Urgency::Normal }
}

const fn fresh(number: u32, at: Timestamp, group: u32, urgency: Urgency) -> Event {
    Event { number, at, group, alert: number, state: State::Firing, since: at, urgency, news: News::Unique }
}

/// The conversation key of a group.
pub fn key_of(group: u32) -> String {
    format!("cluster-eu-1/service-{group}")
}

/// What a message names an alert by.
pub fn title_of(alert: u32) -> String {
    format!("alert-{alert}")
}

impl Event {
    /// What the intake would put on the ledger; `conversation` is the group's key.
    pub fn observation<'a>(&self, key: &HashKey, route: &'a str, conversation: &'a str) -> Observation<'a> {
        let severity = match self.urgency {
            Urgency::Critical => "critical",
            Urgency::Normal => "warning",
            Urgency::Low => "info",
        };
        let moment = self.since.as_millis().to_le_bytes();
        let entity = self.entity(key);
        Observation {
            position: Position { offset: i64::from(self.number), index: 0 },
            route,
            at: self.at,
            old: false,
            entity,
            identity: key.fingerprint(&[&entity.as_u128().to_le_bytes(), &[self.state as u8], &moment]),
            state: self.state,
            urgency: self.urgency,
            since: Some(self.since),
            conversation: Cow::Borrowed(conversation),
            facts: Facts {
                subject: Cow::Borrowed(conversation),
                title: Cow::Owned(title_of(self.alert)),
                text: Cow::Borrowed("5xx ratio is 12 % for 5 minutes, the limit is 1 %"),
                severity: Cow::Borrowed(severity),
                link: Cow::Borrowed("https://prometheus.example/graph?g0.expr=ratio"),
                ..Facts::default()
            },
        }
    }

    fn entity(&self, key: &HashKey) -> Fingerprint {
        key.fingerprint(&[b"alert", &self.alert.to_le_bytes()])
    }
}
