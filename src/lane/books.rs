//! The books: what became of every observation.
//!
//! Each ends in exactly one outcome with a reason, or is pending. Every message has a reason too; those that tell what no
//! observation has said (a repeat, silence, an alert that is gone) stand for none. The names are the metric labels.

use std::collections::BTreeMap;

use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Serialize};

/// What became of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Delivered,
    Duplicate,
    Suppressed,
    DeadLettered,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::DeadLettered => "dead_lettered",
        }
    }
}

/// Why it became that, and why a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Delivered in the first message of a conversation or episode.
    First,
    /// Told in a later message of its own conversation, which says more than one of what follows.
    Digest,
    /// An alert more, or again.
    NewFiring,
    /// Some are over.
    Resolved,
    /// The last is over.
    AllResolved,
    /// Gone from its group without a resolve.
    NoLongerReported,
    /// An alert changes its state all the time.
    Flapping,
    /// A record changed, or a person spoke.
    Update,
    /// Still firing, and events still say so.
    Repeat,
    /// Was firing, and nothing has been heard since.
    Stale,
    /// Told in a roll-up.
    RolledUp,
    /// A duplicate by identity within the window.
    Identity,
    /// A duplicate of an alert's known state.
    Unchanged,
    /// A duplicate that the intake had dropped.
    Intake,
    /// Suppressed: older than what is known.
    Late,
    /// Suppressed: a resolve of something never heard of.
    UnknownResolve,
    /// Suppressed: people muted the conversation.
    Muted,
    /// Dead-lettered: Missive will never take the message.
    Refused,
    /// Dead-lettered: Missive may have taken it or not, and the config says that a person decides.
    InDoubt,
    /// Dead-lettered: more of people's own words are waiting than may.
    ThreadFull,
    /// Dead-lettered: no more conversations are kept, and people's words can't be rolled up.
    ConversationsFull,
    /// Suppressed: an operator rewound the offsets, and this had been folded before.
    Rewound,
    /// Suppressed: a sign of life, which only its absence makes news.
    Heartbeat,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Digest => "digest",
            Self::NewFiring => "new_firing",
            Self::Resolved => "resolved",
            Self::AllResolved => "all_resolved",
            Self::NoLongerReported => "no_longer_reported",
            Self::Flapping => "flapping",
            Self::Update => "update",
            Self::Repeat => "repeat",
            Self::Stale => "stale",
            Self::RolledUp => "rolled_up",
            Self::Identity => "identity",
            Self::Unchanged => "unchanged",
            Self::Intake => "intake",
            Self::Late => "late",
            Self::UnknownResolve => "unknown_resolve",
            Self::Muted => "muted",
            Self::Refused => "refused",
            Self::InDoubt => "in_doubt",
            Self::ThreadFull => "thread_full",
            Self::ConversationsFull => "conversations_full",
            Self::Rewound => "rewound",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// The reason of this name, as [`Self::as_str`] has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::deserialize(name.into_deserializer()).map_err(|_: serde::de::value::Error| ()).ok()
    }

    /// A sentence for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::First => "the first message of a conversation or episode",
            Self::Digest => "a later message of its conversation",
            Self::NewFiring => "an alert more, or again",
            Self::Resolved => "some are over",
            Self::AllResolved => "the last is over",
            Self::NoLongerReported => "gone from its group without a resolve",
            Self::Flapping => "an alert changes its state all the time",
            Self::Update => "a record changed, or a person spoke",
            Self::Repeat => "still firing, and events still say so",
            Self::Stale => "was firing, and nothing has been heard since",
            Self::RolledUp => "told together with others",
            Self::Identity => "the same news within the window",
            Self::Unchanged => "the alert's state was known",
            Self::Intake => "the same news a moment ago",
            Self::Late => "older than what is known",
            Self::UnknownResolve => "a resolve of something never heard of",
            Self::Muted => "people muted the conversation",
            Self::Refused => "Missive will never take the message",
            Self::InDoubt => "Missive may have taken it or not, and the config lets a person decide",
            Self::ThreadFull => "more words than lane.bounds allow are waiting in the conversation",
            Self::ConversationsFull => "no more conversations are kept, and people's words can't be rolled up",
            Self::Rewound => "an operator rewound the offsets, and this had been folded before",
            Self::Heartbeat => "a sign of life, which only its absence makes news",
        }
    }
}

/// What an observation meets when it is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits to be told in its conversation.
    Waits,
    /// It waits to be told in its channel's roll-up.
    WaitsInRollUp,
    Settled(Outcome, Reason),
}

/// Counts since the lane was created or restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    entries: BTreeMap<(Outcome, Reason), u64>,
    messages: BTreeMap<Reason, u64>,
    folded: u64,
    pending: u64,
}

impl Books {
    /// Continues with what was pending.
    pub fn restored(pending: u64) -> Self {
        Self { folded: pending, pending, ..Self::default() }
    }

    /// An observation arrived.
    pub(super) fn enter(&mut self, fate: Fate) {
        match fate {
            Fate::Waits | Fate::WaitsInRollUp => {
                self.folded += 1;
                self.pending += 1;
            }
            Fate::Settled(outcome, reason) => self.settle_new(outcome, reason, 1),
        }
    }

    /// Observations arrived and are settled at once.
    pub(super) fn settle_new(&mut self, outcome: Outcome, reason: Reason, count: u64) {
        self.folded += count;
        *self.entries.entry((outcome, reason)).or_default() += count;
    }

    /// `count` pending observations are settled.
    pub(super) fn settle(&mut self, outcome: Outcome, reason: Reason, count: u32) {
        debug_assert!(self.pending >= u64::from(count), "more settled than was pending");
        self.pending = self.pending.saturating_sub(u64::from(count));
        *self.entries.entry((outcome, reason)).or_default() += u64::from(count);
    }

    /// A message was taken.
    pub(super) fn told(&mut self, reason: Reason) {
        *self.messages.entry(reason).or_default() += 1;
    }

    /// Messages that were taken, by the reason they were sent for.
    pub fn messages(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.messages.iter().map(|(reason, count)| (*reason, *count))
    }

    /// Observations that arrived, with what was pending at the start.
    pub const fn folded(&self) -> u64 {
        self.folded
    }

    pub const fn pending(&self) -> u64 {
        self.pending
    }

    pub fn of(&self, outcome: Outcome) -> u64 {
        self.entries.iter().filter(|((of, _), _)| *of == outcome).map(|(_, count)| count).sum()
    }

    pub fn entries(&self) -> impl Iterator<Item = (Outcome, Reason, u64)> + '_ {
        self.entries.iter().map(|((outcome, reason), count)| (*outcome, *reason, *count))
    }

    /// Does everything that arrived stand somewhere?
    pub fn balance(&self) -> bool {
        self.folded == self.pending + self.entries.values().sum::<u64>()
    }
}
