//! The intake's own memory of what it has just sent: an optimisation with a horizon of seconds.
//!
//! What it calls a repeat is left out of the frame and only counted there; what it misses, the lane finds. It never hides
//! a change of state: an alert is known by its entity and its *last* identity, so firing → resolved → firing is three times
//! news. Two generations are kept and dropped whole, by age or by number.
//!
//! A first sight counts at once, before its frame is acknowledged: its own record is read again after a crash unless that
//! frame was acknowledged, so nothing that is left out here can be the only witness of its news.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use super::generations::{Generation, Generations, Room};
use crate::event::{Fingerprint, Observation, State, Timestamp};
use crate::lane::AlreadyHashed;

/// Was this sent a moment ago?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    New,
    Repeat,
}

/// What is said of something.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    key: u128,
    identity: u128,
}

/// What was sent within the horizon.
pub struct Cache(Generations<Known>);

struct Known {
    identities: HashMap<u128, u128, BuildHasherDefault<AlreadyHashed>>,
    keys_max: usize,
}

impl Claim {
    pub const fn of(observation: &Observation<'_>) -> Self {
        Self { key: key(observation).as_u128(), identity: observation.identity.as_u128() }
    }

    /// What a whole conversation reports: `content` stands for all of it.
    pub const fn of_whole(conversation: Fingerprint, content: u128) -> Self {
        Self { key: conversation.as_u128(), identity: content }
    }
}

impl Cache {
    pub fn new(horizon: Duration, keys_max: usize) -> Self {
        let generation = || Known { identities: HashMap::default(), keys_max: (keys_max / 2).max(1) };
        Self(Generations::new(horizon, [generation(), generation()]))
    }

    /// Is this a repeat? If not, the next one is.
    pub fn note(&mut self, now: Timestamp, claim: Claim) -> Sent {
        self.0.turn(now);
        let Generations { current, previous, .. } = &mut self.0;
        let known = match current.identities.entry(claim.key) {
            Entry::Occupied(mut known) => Some(known.insert(claim.identity)),
            Entry::Vacant(room) => {
                let known = previous.identities.get(&claim.key).copied();
                if known != Some(claim.identity) {
                    room.insert(claim.identity);
                }
                known
            }
        };
        if known == Some(claim.identity) { Sent::Repeat } else { Sent::New }
    }

    /// Are all of these repeats? Whatever the answer, nothing is noted.
    pub fn judge_all(&mut self, now: Timestamp, claims: &[Claim]) -> Sent {
        self.0.turn(now);
        if claims.iter().all(|claim| self.judge(*claim) == Sent::Repeat) { Sent::Repeat } else { Sent::New }
    }

    /// Is this a repeat? Nothing is noted.
    pub fn judge(&self, Claim { key, identity }: Claim) -> Sent {
        let Generations { current, previous, .. } = &self.0;
        let known = current.identities.get(&key).or_else(|| previous.identities.get(&key));
        if known == Some(&identity) { Sent::Repeat } else { Sent::New }
    }

    /// Forgets everything: partitions have gone to somebody else.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Generation for Known {
    fn room(&self) -> Room {
        if self.identities.len() >= self.keys_max { Room::Full } else { Room::Left }
    }

    fn forget(&mut self) {
        self.identities.clear();
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
            assert_eq!(cache.note(at(secs), Claim::of(observation)), sent, "second {secs}");
        }
    }

    #[test]
    fn it_is_bounded_and_forgets_on_request() {
        let mut cache = Cache::new(Duration::from_secs(1_000), 10);
        for number in 0..1_000 {
            cache.note(at(0), Claim::of(&observation(number, number, State::Changed)));
        }
        let known = [&cache.0.current, &cache.0.previous].map(|generation| generation.identities.len());
        assert!(known.iter().sum::<usize>() <= 10, "{known:?}");
        let last = Claim::of(&observation(999, 999, State::Changed));
        assert_eq!(cache.note(at(0), last), Sent::Repeat);
        cache.clear();
        assert_eq!(cache.note(at(0), last), Sent::New);
    }
}
