//! A storm must not become a storm in the inbox.
//!
//! Each channel may open a number of new conversations per window. Beyond it, and whenever something is about to wait longer
//! than its class may, news is told together in the channel's roll-up conversation. Threads are never rolled up. What was
//! rolled up stays there for its episode, unless it is critical and still fires: then it opens its own as soon as it may.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::conversation::{Conversation, Subject, Told};
use super::decisions::What;
use super::digest::Line;
use super::policy::ChannelPolicy;
use super::schedule::Tier;
use super::{Blocked, Effects, Lane, StateKey};
use crate::event::frame::Observation;
use crate::event::{Fingerprint, Kind, Timestamp, Urgency};

/// Something that has been ready for this long, and is halfway to its horizon, will not be told in time on its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// New conversations of one channel in its window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Openings {
    critical: VecDeque<Timestamp>,
    others: VecDeque<Timestamp>,
}

/// May a conversation be opened?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Granted,
    Denied,
}

impl Openings {
    /// Takes a slot if there is one.
    pub fn take(&mut self, now: Timestamp, urgency: Urgency, policy: &ChannelPolicy) -> Opening {
        let (slots, slots_max) = match urgency {
            Urgency::Critical => (&mut self.critical, policy.new_conversations_critical),
            Urgency::Normal | Urgency::Low => (&mut self.others, policy.new_conversations),
        };
        while slots.front().is_some_and(|opened| *opened + policy.new_conversations_window <= now) {
            slots.pop_front();
        }
        if slots.len() >= slots_max {
            return Opening::Denied;
        }
        slots.push_back(now);
        Opening::Granted
    }
}

impl Lane {
    /// Moves what would be told too late to its channel's roll-up.
    pub(super) fn roll_up_overdue(&mut self, effects: &mut Effects) {
        if self.blocked != Blocked::No || self.draining {
            return;
        }
        for tier in Tier::ALL {
            let half = half_horizon(self, tier);
            let overdue: Vec<_> = self
                .schedule
                .ready(tier)
                .take_while(|(since, _)| *since + half <= self.now)
                .filter(|(_, id)| self.may_be_rolled_up(*id))
                .map(|(_, id)| id)
                .collect();
            for id in overdue {
                self.roll_up(id, effects);
            }
        }
    }

    /// The instant at which a ready conversation would next be rolled up. The one that waited longest is not always the first:
    /// it may have become ready later than others. Looks only as far as needed.
    pub(super) fn next_overdue(&self, tier: Tier) -> Option<Timestamp> {
        let half = half_horizon(self, tier);
        let mut next: Option<Timestamp> = None;
        for (since, id) in self.schedule.ready(tier) {
            if next.is_some_and(|next| next <= since + half) {
                break;
            }
            if self.can_roll_up(id) {
                let ready_at = self.conversations.get(&id).and_then(|conversation| conversation.ready_at);
                let patient_until = ready_at.map_or(Timestamp::EPOCH, |ready_at| ready_at + PATIENCE);
                let at = patient_until.max(since + half);
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        next
    }

    /// Hands a conversation's untold news to its channel's roll-up.
    pub(super) fn roll_up(&mut self, id: Fingerprint, effects: &mut Effects) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Subject::Route { route, .. } = &conversation.subject else { return };
        let policy = Arc::clone(&self.policy);
        let Some(channel) = policy.routes.get(route).map(|route| &*route.channel) else { return };
        let mut digest = std::mem::take(&mut conversation.digest);
        conversation.ready_at = None;
        if conversation.told != Told::Opened {
            conversation.told = Told::RolledUp;
        }
        let covers = digest.covers;
        let rollup_id = self.roll_up_id(channel);
        let round = self.rollup_mut(rollup_id, channel).sequence + 1;
        let conversation = self.conversations.get_mut(&id).expect("looked up above");
        let is_first = conversation.rolled_into != round;
        digest.conversations = u32::from(is_first);
        conversation.rolled_into = round;
        conversation.firing_told = conversation.firing();
        effects.dirty.insert(StateKey::Conversation(id));
        if is_first {
            self.told_here(channel, id);
        }
        self.rollup_mut(rollup_id, channel).absorb_digest(digest, policy.bounds.digest_lines_max);
        self.touch(rollup_id);
        self.decided_for(id, |lane| What::RolledUp { into: lane.key_of(rollup_id), covers }, effects);
        self.place(id, effects);
    }

    /// Hands an observation to a channel's roll-up: there was no room for a conversation, or it isn't worth one. Its files are
    /// named.
    pub(super) fn roll_up_one(&mut self, channel: &str, observation: &Observation<'_>) {
        let (now, bounds) = (self.now, &self.policy.bounds);
        let (line, lines_max) = (Line::of(observation, bounds.line_bytes_max), bounds.digest_lines_max);
        let id = self.roll_up_id(channel);
        let rollup = self.rollup_mut(id, channel);
        rollup.digest.absorb(now, line, observation.at, lines_max);
        rollup.digest.files.leave_all(&observation.facts.files);
        rollup.digest.conversations = rollup.digest.conversations.saturating_add(1);
        self.touch(id);
    }

    pub(super) fn roll_up_id(&self, channel: &str) -> Fingerprint {
        self.key.fingerprint(&[b"roll-up", channel.as_bytes(), b""])
    }

    fn rollup_mut(&mut self, id: Fingerprint, channel: &str) -> &mut Conversation {
        let now = self.now;
        let rollup = self.conversations.entry(id).or_insert_with(|| Conversation {
            // conversations remember the messages of one that is long forgotten
            sequence: now.as_millis(),
            ..Conversation::new(now, Subject::RollUp { channel: channel.into() }, "Storm")
        });
        rollup.last_heard = now;
        rollup
    }

    fn may_be_rolled_up(&self, id: Fingerprint) -> bool {
        let patient =
            |conversation: &Conversation| conversation.ready_at.is_some_and(|ready_at| ready_at + PATIENCE > self.now);
        self.can_roll_up(id) && self.conversations.get(&id).is_some_and(|conversation| !patient(conversation))
    }

    fn can_roll_up(&self, id: Fingerprint) -> bool {
        self.conversations.get(&id).is_some_and(|conversation| {
            !conversation.is_rollup()
                && conversation.kind() != Kind::Thread
                && conversation.words.is_empty()
                && conversation.in_flight.is_none()
                && !conversation.digest.is_empty()
        })
    }
}

impl Conversation {
    fn absorb_digest(&mut self, digest: super::digest::Digest, lines_max: usize) {
        self.digest.conversations = self.digest.conversations.saturating_add(digest.conversations);
        self.digest.merge(digest, lines_max);
    }
}

fn half_horizon(lane: &Lane, tier: Tier) -> Duration {
    let urgency = match tier {
        Tier::Reserved => Urgency::Critical,
        Tier::Normal => Urgency::Normal,
        Tier::Low => Urgency::Low,
    };
    lane.policy.horizons.of(urgency) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_counted_per_class_and_come_back_with_time() {
        let policy = super::super::release::tests_support::channel(2, 3, Duration::from_secs(300));
        let mut openings = Openings::default();
        let at = |secs: u64| Timestamp::from_millis(1_000_000 + secs * 1000);
        let granted =
            |openings: &mut Openings, secs, urgency| openings.take(at(secs), urgency, &policy) == Opening::Granted;
        assert!(granted(&mut openings, 0, Urgency::Normal) && granted(&mut openings, 100, Urgency::Low));
        assert!(!granted(&mut openings, 200, Urgency::Normal));
        assert!((0..3).all(|_| granted(&mut openings, 200, Urgency::Critical)));
        assert!(!granted(&mut openings, 299, Urgency::Critical));
        assert!(granted(&mut openings, 300, Urgency::Normal));
        assert!(!granted(&mut openings, 301, Urgency::Normal));
    }
}
