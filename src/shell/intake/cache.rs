//! The intake's own memory of what it has just sent: an optimisation with a horizon of seconds.
//!
//! What it calls a repeat is left out of the frame and only counted there; what it misses, the lane finds. It never hides
//! a change of state: an alert is known by its entity and its *last* identity, so firing → resolved → firing is three times
//! news. Two generations are kept and dropped whole, by age or by number.
//!
//! A first sight counts at once, before its frame is acknowledged: its own record is read again after a crash unless that
//! frame was acknowledged, so nothing that is left out here can be the only witness of its news.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use crate::event::{Fingerprint, Observation, State, Timestamp};
use crate::lane::AlreadyHashed;

/// Was this sent a moment ago?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    New,
    Repeat,
}

type Generation = HashMap<u128, u128, BuildHasherDefault<AlreadyHashed>>;

/// What was sent within the horizon.
pub struct Cache {
    half_horizon: Duration,
    generation_max: usize,
    turned_at: Timestamp,
    current: Generation,
    previous: Generation,
}

impl Cache {
    pub fn new(horizon: Duration, keys_max: usize) -> Self {
        let generation_max = (keys_max / 2).max(1);
        Self {
            half_horizon: horizon / 2,
            generation_max,
            turned_at: Timestamp::EPOCH,
            current: Generation::default(),
            previous: Generation::default(),
        }
    }

    pub fn note(&mut self, now: Timestamp, observation: &Observation<'_>) -> Sent {
        self.turn(now);
        self.put(key(observation).as_u128(), observation.identity.as_u128())
    }

    /// The same for what a whole conversation reports: `content` stands for all of it.
    pub fn note_whole(&mut self, now: Timestamp, conversation: Fingerprint, content: u128) -> Sent {
        self.turn(now);
        self.put(conversation.as_u128(), content)
    }

    fn turn(&mut self, now: Timestamp) {
        let age = now.since(self.turned_at);
        if age >= self.half_horizon * 2 {
            self.clear();
        }
        if age >= self.half_horizon || self.current.len() >= self.generation_max {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.clear();
            self.turned_at = now;
        }
    }

    fn put(&mut self, key: u128, identity: u128) -> Sent {
        let known = self.current.get(&key).or_else(|| self.previous.get(&key));
        if known == Some(&identity) {
            return Sent::Repeat;
        }
        self.current.insert(key, identity);
        Sent::New
    }

    /// Forgets everything: partitions have gone to somebody else.
    pub fn clear(&mut self) {
        self.current.clear();
        self.previous.clear();
    }
}

const fn key(observation: &Observation<'_>) -> Fingerprint {
    match observation.state {
        State::Firing | State::Resolved => observation.entity,
        State::Changed | State::Said => observation.identity,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::{Facts, Position, Urgency};

    fn observation(entity: u128, identity: u128, state: State) -> Observation<'static> {
        Observation {
            position: Position::default(),
            route: "r",
            at: Timestamp::EPOCH,
            old: false,
            entity: Fingerprint::from_u128(entity),
            identity: Fingerprint::from_u128(identity),
            state,
            urgency: Urgency::Normal,
            since: None,
            conversation: Cow::Borrowed("k"),
            facts: Facts::default(),
        }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + secs * 1_000)
    }

    #[test]
    fn a_repeat_is_one_only_until_the_state_changes_or_the_horizon_passes() {
        let mut cache = Cache::new(Duration::from_secs(10), 100);
        let (firing, resolved) = (observation(1, 10, State::Firing), observation(1, 11, State::Resolved));
        let steps = [
            (0, &firing, Sent::New),
            (1, &firing, Sent::Repeat),
            (2, &resolved, Sent::New),
            (3, &firing, Sent::New),
            (4, &firing, Sent::Repeat),
            (60, &firing, Sent::New),
        ];
        for (secs, observation, sent) in steps {
            assert_eq!(cache.note(at(secs), observation), sent, "second {secs}");
        }
    }

    #[test]
    fn it_is_bounded_and_forgets_on_request() {
        let mut cache = Cache::new(Duration::from_secs(1_000), 10);
        for number in 0..1_000 {
            cache.note(at(0), &observation(number, number, State::Changed));
        }
        assert!(cache.current.len() + cache.previous.len() <= 10);
        let last = observation(999, 999, State::Changed);
        assert_eq!(cache.note(at(0), &last), Sent::Repeat);
        cache.clear();
        assert_eq!(cache.note(at(0), &last), Sent::New);
    }
}
