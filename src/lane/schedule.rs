//! Who goes next.
//!
//! A conversation with something to say is either *later* (not due before an instant) or *ready* in one tier, ordered by how
//! long its oldest news has waited, so that nothing starves inside a tier. Every conversation has at most one place.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use super::dedupe::AlreadyHashed;
use super::pacing::Share;
use crate::event::{Fingerprint, Timestamp, Urgency};

/// Ready conversations are served tier by tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Threads, critical news and roll-ups; in order of waiting among themselves.
    Reserved,
    Normal,
    Low,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Reserved, Self::Normal, Self::Low];

    pub const fn of(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Critical => Self::Reserved,
            Urgency::Normal => Self::Normal,
            Urgency::Low => Self::Low,
        }
    }

    pub const fn share(self) -> Share {
        match self {
            Self::Reserved => Share::Reserved,
            Self::Normal | Self::Low => Share::Common,
        }
    }
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Later(Timestamp),
    Ready { tier: Tier, waiting_since: Timestamp },
}

/// All places.
#[derive(Debug, Default)]
pub struct Schedule {
    later: BTreeSet<(Timestamp, Fingerprint)>,
    ready: [BTreeSet<(Timestamp, Fingerprint)>; 3],
    places: HashMap<Fingerprint, Place, BuildHasherDefault<AlreadyHashed>>,
}

impl Schedule {
    /// Puts a conversation where it belongs now, wherever it stood.
    pub fn put(&mut self, conversation: Fingerprint, place: Place) {
        if self.places.get(&conversation) == Some(&place) {
            return;
        }
        self.remove(conversation);
        self.places.insert(conversation, place);
        match place {
            Place::Later(at) => self.later.insert((at, conversation)),
            Place::Ready { tier, waiting_since } => self.ready[tier as usize].insert((waiting_since, conversation)),
        };
    }

    pub fn remove(&mut self, conversation: Fingerprint) {
        match self.places.remove(&conversation) {
            None => {}
            Some(Place::Later(at)) => {
                self.later.remove(&(at, conversation));
            }
            Some(Place::Ready { tier, waiting_since }) => {
                self.ready[tier as usize].remove(&(waiting_since, conversation));
            }
        }
    }

    /// A conversation whose instant has come, out of its place.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Fingerprint> {
        let (at, conversation) = *self.later.first()?;
        if at > now {
            return None;
        }
        self.remove(conversation);
        Some(conversation)
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    /// The ready conversations of a tier, the longest waiting first.
    pub fn ready(&self, tier: Tier) -> impl Iterator<Item = (Timestamp, Fingerprint)> + '_ {
        self.ready[tier as usize].iter().copied()
    }

    pub fn has_ready(&self, tier: Tier) -> bool {
        !self.ready[tier as usize].is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Fingerprint {
        Fingerprint::from_u128(number)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_conversation_has_one_place_and_the_longest_waiting_is_first() {
        let mut schedule = Schedule::default();
        schedule.put(id(1), Place::Later(at(5)));
        schedule.put(id(1), Place::Ready { tier: Tier::Normal, waiting_since: at(3) });
        schedule.put(id(2), Place::Ready { tier: Tier::Normal, waiting_since: at(2) });
        assert_eq!(schedule.next_due(), None);
        assert_eq!(schedule.ready(Tier::Normal).collect::<Vec<_>>(), [(at(2), id(2)), (at(3), id(1))]);
        schedule.remove(id(2));
        schedule.put(id(1), Place::Later(at(9)));
        assert!(!schedule.has_ready(Tier::Normal));
        assert_eq!(
            (schedule.pop_due(at(8)), schedule.pop_due(at(9)), schedule.pop_due(at(9))),
            (None, Some(id(1)), None)
        );
    }
}
