//! What the record being read says of whole conversations.
//!
//! A record that covers its conversation is a snapshot of it: a lane that knows more than it lists knows something that is
//! gone. Only the fingerprints of what is listed travel, and only when they are not the same as a moment ago. Records that
//! list more than [`SNAPSHOT_ENTITIES_MAX`] are no snapshots.

use std::borrow::Cow;

use crate::event::frame::SNAPSHOT_ENTITIES_MAX;
use crate::event::{Fingerprint, HashKey, Observation, Position, Snapshot, Timestamp};

/// The listed entities, by the rule that took them. Kept from record to record for its buffers.
#[derive(Default)]
pub struct Whole {
    conversation: String,
    at: Timestamp,
    listed: Vec<Listed>,
    /// The same without rules and positions, in the order of `listed` once that is sorted.
    entities: Vec<Fingerprint>,
}

#[derive(Clone, Copy)]
struct Listed {
    rule: usize,
    entity: Fingerprint,
    position: Position,
    home: Fingerprint,
}

/// What one rule has taken of a whole conversation.
pub struct Part<'w> {
    pub rule: usize,
    /// Stands for the conversation within its route.
    pub home: Fingerprint,
    pub conversation: &'w str,
    at: Timestamp,
    last: Position,
    entities: &'w [Fingerprint],
}

/// Stands for a conversation within its route.
pub fn home(key: &HashKey, route: &str, conversation: &str) -> Fingerprint {
    key.fingerprint(&[b"home", route.as_bytes(), conversation.as_bytes()])
}

impl Whole {
    /// Forgets the last record.
    pub fn begin(&mut self) {
        self.listed.clear();
    }

    /// Adds an observation of a record that covers its conversation; all of them share one.
    pub fn add(&mut self, rule: usize, home: Fingerprint, observation: &Observation<'_>) {
        if self.listed.is_empty() {
            self.conversation.clear();
            self.conversation.push_str(&observation.conversation);
            self.at = observation.at;
        }
        self.listed.push(Listed { rule, entity: observation.entity, position: observation.position, home });
    }

    /// What each rule has taken.
    pub fn parts(&mut self) -> impl Iterator<Item = Part<'_>> {
        self.listed.sort_unstable_by_key(|listed| (listed.rule, listed.position));
        self.entities.clear();
        self.entities.extend(self.listed.iter().map(|listed| listed.entity));
        let (conversation, at, mut left) = (self.conversation.as_str(), self.at, self.entities.as_slice());
        self.listed.chunk_by(|a, b| a.rule == b.rule).map(move |listed| {
            let (entities, behind) = left.split_at(listed.len());
            left = behind;
            let Listed { rule, home, .. } = listed[0];
            Part { rule, home, conversation, at, last: listed[listed.len() - 1].position, entities }
        })
    }
}

impl Part<'_> {
    pub const fn is_bounded(&self) -> bool {
        self.entities.len() <= SNAPSHOT_ENTITIES_MAX
    }

    /// Stands for the set of what is listed, in any order.
    pub fn content(&self) -> u128 {
        let sum = |sum: u128, entity: &Fingerprint| sum.wrapping_add(entity.as_u128());
        self.entities.iter().fold(self.entities.len() as u128, sum)
    }

    pub const fn snapshot<'p>(&'p self, route: &'p str) -> Snapshot<'p> {
        Snapshot {
            position: self.last,
            route: Cow::Borrowed(route),
            conversation: Cow::Borrowed(self.conversation),
            at: self.at,
            entities: Cow::Borrowed(self.entities),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Facts, State, Urgency};

    const HOME: Fingerprint = Fingerprint::from_u128(1);

    fn observation(index: u32, entity: u128) -> Observation<'static> {
        Observation {
            position: Position { offset: 4, index },
            route: "r",
            at: Timestamp::from_millis(9),
            old: false,
            entity: Fingerprint::from_u128(entity),
            identity: Fingerprint::from_u128(0),
            state: State::Firing,
            urgency: Urgency::Normal,
            since: None,
            conversation: Cow::Borrowed("group"),
            facts: Facts::default(),
        }
    }

    fn contents(listed: &[(usize, u128)]) -> Vec<(usize, u128)> {
        let mut whole = Whole::default();
        whole.begin();
        for (index, (rule, entity)) in (0..).zip(listed) {
            whole.add(*rule, HOME, &observation(index, *entity));
        }
        whole.parts().map(|part| (part.rule, part.content())).collect()
    }

    #[test]
    fn a_set_is_the_same_in_any_order_and_another_when_one_is_gone() {
        assert_eq!(contents(&[(0, 5), (0, 6)]), contents(&[(0, 6), (0, 5)]));
        assert_ne!(contents(&[(0, 5), (0, 6)]), contents(&[(0, 5)]));
        assert_ne!(contents(&[(0, 0), (0, 6)]), contents(&[(0, 6)]), "whatever its fingerprint");
    }

    #[test]
    fn every_rule_has_its_own_part_with_the_position_of_its_last() {
        let mut whole = Whole::default();
        for (index, (rule, entity)) in (0..).zip([(1, 5), (0, 6), (1, 7)]) {
            whole.add(rule, HOME, &observation(index, entity));
        }
        let parts: Vec<_> = whole.parts().collect();
        let snapshots = parts.iter().map(|part| part.snapshot("r"));
        let told = snapshots.map(|snapshot| {
            let entities: Vec<_> = snapshot.entities.iter().map(|entity| entity.as_u128()).collect();
            (snapshot.conversation.into_owned(), snapshot.position.index, entities)
        });
        assert_eq!(told.collect::<Vec<_>>(), [("group".into(), 1, vec![6]), ("group".into(), 2, vec![5, 7])]);
    }
}
