//! Who waits longest to be told, and for what: for metrics and for people who ask.
//!
//! Walks all conversations: for reports, not for steps. No words of events: a conversation is named by its routing key.

use std::collections::{BTreeMap, BinaryHeap};

use super::conversation::{Conversation, Phase};
use super::{Blocked, Lane};
use crate::event::{Fingerprint, Timestamp, Urgency};

/// What waits to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// When the oldest untold news of each urgency arrived.
    pub oldest: BTreeMap<Urgency, Timestamp>,
    /// Those that wait longest, the longest first.
    pub longest: Vec<Waiting>,
}

/// A conversation with something untold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub routing_key: Box<str>,
    pub urgency: Urgency,
    pub since: Timestamp,
    /// Observations that it has yet to tell.
    pub pending: u32,
    pub waits_for: WaitsFor,
}

/// Why it is not told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Missive has been sent it and has not answered.
    Answer,
    /// An attempt failed; the next one is not before this instant.
    Retry(Timestamp),
    /// The token is refused; one request tries again at this instant.
    Halt(Timestamp),
    /// Missive asked for patience until then, or a predecessor may still be sending.
    Patience(Timestamp),
    /// Its channel refuses most of what it gets.
    Channel,
    /// `group_wait` or `group_interval`, until then.
    Grouping(Timestamp),
    /// Others go first: the budget lets one message a second out.
    Budget,
    /// This config doesn't know its route.
    Route,
}

impl WaitsFor {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Retry(_) => "retry",
            Self::Halt(_) => "halt",
            Self::Patience(_) => "patience",
            Self::Channel => "channel",
            Self::Grouping(_) => "grouping",
            Self::Budget => "budget",
            Self::Route => "route",
        }
    }

    /// A few words for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Answer => "Missive has not answered yet",
            Self::Retry(_) => "an attempt failed and is made again",
            Self::Halt(_) => "Missive refuses the lane's token",
            Self::Patience(_) => "Missive asked the lane to wait, or a former owner may still be sending",
            Self::Channel => "the channel refuses most of what it gets",
            Self::Grouping(_) => "group_wait or group_interval",
            Self::Budget => "others go first within the budget",
            Self::Route => "this config doesn't know its route",
        }
    }

    /// Until when, where that is known.
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Retry(at) | Self::Halt(at) | Self::Patience(at) | Self::Grouping(at) => Some(at),
            Self::Answer | Self::Channel | Self::Budget | Self::Route => None,
        }
    }
}

impl Lane {
    /// What is untold, with at most `count` conversations by name.
    pub fn untold(&self, count: usize) -> Untold {
        let mut oldest = BTreeMap::new();
        let mut longest = BinaryHeap::with_capacity(count + 1);
        for (id, conversation) in &self.conversations {
            let Some((since, urgency)) = waiting_since(conversation) else { continue };
            let known = oldest.entry(urgency).or_insert(since);
            *known = since.min(*known);
            if longest.len() < count || longest.peek().is_some_and(|newest| (since, *id) < *newest) {
                longest.push((since, *id));
            }
            if longest.len() > count {
                longest.pop();
            }
        }
        let longest = longest.into_sorted_vec().into_iter();
        Untold { oldest, longest: longest.filter_map(|(since, id)| self.waiting(since, id)).collect() }
    }

    fn waiting(&self, since: Timestamp, id: Fingerprint) -> Option<Waiting> {
        let conversation = self.conversations.get(&id)?;
        Some(Waiting {
            routing_key: self.key_of(id),
            urgency: waiting_since(conversation)?.1,
            since,
            pending: conversation.pending(),
            waits_for: self.waits_for(conversation),
        })
    }

    fn waits_for(&self, conversation: &Conversation) -> WaitsFor {
        let phase = conversation.in_flight.as_ref().map(|delivery| delivery.phase);
        if let Some(Phase::Sending { .. }) = phase {
            return WaitsFor::Answer;
        }
        let Some(channel) = self.channel_of(conversation) else { return WaitsFor::Route };
        match (self.blocked, phase) {
            (Blocked::Halted { retry_at, .. }, _) => WaitsFor::Halt(retry_at),
            (Blocked::Until(at), _) if at > self.now => WaitsFor::Patience(at),
            _ if self.breakers.get(&channel.name).is_some_and(super::Breaker::is_open) => WaitsFor::Channel,
            (_, Some(Phase::Waiting { until })) if until > self.now => WaitsFor::Retry(until),
            (_, Some(_)) => WaitsFor::Budget,
            (_, None) => match self.due_at(conversation) {
                at if at > self.now => WaitsFor::Grouping(at),
                _ => WaitsFor::Budget,
            },
        }
    }
}

/// Since when it has something untold, and how urgent that is.
fn waiting_since(conversation: &Conversation) -> Option<(Timestamp, Urgency)> {
    let digest = &conversation.digest;
    let on_its_way = conversation.in_flight.as_ref().map(|delivery| (delivery.since, delivery.urgency));
    let untold = digest.waiting_since.zip(digest.worst_urgency);
    match (on_its_way, untold) {
        (Some((since, one)), Some((_, other))) => Some((since, one.min(other))),
        (one, other) => one.or(other),
    }
}
