//! What was decided about each observation and each message, for whoever asks "why wasn't I told?".
//!
//! Decisions are effects like any other: written with the state that reflects them, or not at all. They hold positions, hashes
//! and routing keys, no words of events. Untold unless the policy says so: a flood has as many decisions as events.
//! Limits: [`DECISIONS_MAX`] between two commits; more are only counted.

use super::books::{Fate, Reason};
use super::policy::Decisions;
use super::release::routing_key;
use super::{Effects, Lane, Place};
use crate::event::frame::Drops;
use crate::event::{Fingerprint, Frame, Observation, Position, Timestamp};
use crate::missive::RoutingKey;

/// The most decisions that wait for a commit.
pub const DECISIONS_MAX: usize = 100_000;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// The conversation it is about; empty where it is about none.
    pub routing_key: Box<str>,
    pub what: What,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What became of an observation when it was folded.
    Observed { place: Place, entity: Fingerprint, fate: Fate },
    /// The intake left out repeats of a moment ago, the first and the last of them here.
    Repeated { topic: Box<str>, partition: i32, first: Position, last: Position, count: u64 },
    /// An operator has rewound offsets; so many had been folded before.
    Rewound { topic: Box<str>, partition: i32, count: u64 },
    /// The conversation's news is told in that of this routing key.
    RolledUp { into: Box<str>, covers: u32 },
    /// A message was taken by Missive.
    Told { sequence: u64, reason: Reason, covers: u32 },
    /// A message became a dead letter.
    DeadLettered { reason: Reason, covers: u32 },
}

impl Effects {
    fn decide(&mut self, decision: Decision) {
        if self.decisions.len() < DECISIONS_MAX {
            self.decisions.push(decision);
        } else {
            self.decisions_left_out += 1;
        }
    }
}

impl Lane {
    fn tells_decisions(&self) -> bool {
        self.policy.decisions == Decisions::Told
    }

    pub(super) fn decided(&self, frame: &Frame<'_>, observation: &Observation<'_>, fate: Fate, effects: &mut Effects) {
        if self.tells_decisions() {
            let place = Place::of(frame, observation.position);
            let what = What::Observed { place, entity: observation.entity, fate };
            let routing_key = self.key_named(observation.route, &observation.conversation);
            effects.decide(Decision { at: self.now, routing_key, what });
        }
    }

    /// Of what was left out, `count` had not been folded before.
    pub(super) fn decided_by_intake(&self, frame: &Frame<'_>, drops: &Drops<'_>, count: usize, effects: &mut Effects) {
        let first = drops.positions.len().saturating_sub(count);
        if self.tells_decisions()
            && let (Some(first), Some(last)) = (drops.positions.get(first), drops.positions.last())
        {
            let (topic, partition) = (frame.topic.into(), frame.partition);
            let what = What::Repeated { topic, partition, first: *first, last: *last, count: count as u64 };
            let routing_key = self.key_named(&drops.route, &drops.conversation);
            effects.decide(Decision { at: self.now, routing_key, what });
        }
    }

    pub(super) fn decided_before(&self, frame: &Frame<'_>, count: u64, effects: &mut Effects) {
        if self.tells_decisions() {
            let what = What::Rewound { topic: frame.topic.into(), partition: frame.partition, count };
            effects.decide(Decision { at: self.now, routing_key: "".into(), what });
        }
    }

    /// About a conversation as a whole.
    pub(super) fn decided_for(&self, id: Fingerprint, what: impl FnOnce(&Self) -> What, effects: &mut Effects) {
        if self.tells_decisions() {
            effects.decide(Decision { at: self.now, routing_key: self.key_of(id), what: what(self) });
        }
    }

    /// The routing key of a conversation that is known.
    pub(super) fn key_of(&self, id: Fingerprint) -> Box<str> {
        let conversation = self.conversations.get(&id);
        conversation.map_or_else(|| "".into(), |conversation| routing_key(id, conversation).as_str().into())
    }

    fn key_named(&self, route: &str, conversation: &str) -> Box<str> {
        let id = self.conversation_id(route, conversation);
        RoutingKey::new(route, conversation, &id.to_string()).as_str().into()
    }
}
