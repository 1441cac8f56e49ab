//! What a record says.
//!
//! A source's [`Format`] turns the bytes of one Kafka record into events; each event names what it is about (its entity),
//! what makes it news (its identity), what state it reports and the facts that a message may show. Nothing here knows
//! routes, channels or Kafka clients, and nothing does I/O.

pub mod time;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use time::Timestamp;

/// How long news may wait, and who goes first. Ordered: critical first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    Critical,
    Normal,
    Low,
}

impl Urgency {
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Low];

    /// The word used in config, metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// How a conversation behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Opens, changes, resolves; may be digested and rolled up.
    Alert,
    /// Changes of a CRM object; may be digested and rolled up.
    Record,
    /// People's own words: verbatim, in order, never summarised.
    Thread,
}

/// When an alert conversation speaks; Alertmanager's words and meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the first message of a conversation waits for siblings.
    pub group_wait: Duration,
    /// The least time between two messages of one conversation.
    pub group_interval: Duration,
    /// How often an unchanged firing conversation may be told again, when events still come in.
    pub repeat_interval: Duration,
    /// Silence after which a firing conversation says "nothing heard since".
    pub stale_after: Duration,
    /// A re-fire within this span of "all resolved" continues the episode; a later one starts a new one.
    pub episode_gap: Duration,
}

/// How a source's records are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// Alertmanager's webhook body, version 4.
    Alertmanager,
    /// CloudEvents 1.0 on Kafka, structured or binary.
    CloudEvents,
    /// Any JSON object, read by pointers.
    Json(Box<Pointers>),
}

/// Where a `json` source finds what an event needs (RFC 6901 pointers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointers {
    pub kind: Kind,
    /// What the event is about; required.
    pub entity: Box<str>,
    /// What makes it news beside entity and state: an event id, a change time. None: the whole record's bytes.
    pub id: Option<Box<str>>,
    /// The conversation key; the entity if absent.
    pub conversation: Option<Box<str>>,
    pub title: Option<Box<str>>,
    pub text: Option<Box<str>>,
    pub severity: Option<Box<str>>,
    /// `firing` or `resolved` for alerts (also `open`/`closed`, `ok`/`problem`, true/false); ignored otherwise.
    pub state: Option<Box<str>>,
    /// RFC 3339, or Unix seconds or milliseconds.
    pub time: Option<Box<str>>,
    pub link: Option<Box<str>>,
    /// Who is speaking, for threads.
    pub author: Option<Box<str>>,
}
