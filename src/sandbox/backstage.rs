//! What stands behind the sandbox when it is part of something larger (the demo), as its page shows it: the daemon's books,
//! the records that replies became, and knobs for the parts that aren't the sandbox's own.
//!
//! The sandbox never looks behind itself: it is told, and it passes wishes on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clip::Clipped;

/// The largest storm that can be wished for.
pub const STORM_EVENTS_MAX: u64 = 50_000;

/// How much of a record is kept.
pub const RECORD_BYTES_MAX: usize = 2048;

/// What the daemon has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Events that were read.
    pub consumed: u64,
    pub duplicates: u64,
    pub suppressed: u64,
    /// Delivered in a message of their own conversation.
    pub told: u64,
    /// Delivered in a roll-up.
    pub rolled_up: u64,
    pub dead_lettered: u64,
    pub pending: u64,
    /// Replies that stand on their topic.
    pub replies_read: u64,
    /// Unix milliseconds since when the oldest of each class is untold.
    pub oldest_untold: BTreeMap<&'static str, u64>,
    /// What the daemon is doing.
    pub daemon: Daemon,
}

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Daemon {
    #[default]
    Joining,
    Running,
    /// Letting answers come in, before it ends.
    Draining,
    Stopped,
}

/// What somebody at the page wants of those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wish {
    /// So many events of alerts, as fast as they are taken.
    Storm { events: u64 },
    /// The daemon drains and ends.
    Stop,
    /// It starts, and goes on from what Kafka knows.
    Start,
    /// It dies in the middle of what it does, and starts again.
    Kill,
}

/// The record that a reply became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrived {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: Vec<(String, String)>,
    /// At most [`RECORD_BYTES_MAX`].
    pub value: Clipped,
}

impl Wish {
    /// The same wish within what can be granted.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::Storm { events } => Self::Storm { events: events.clamp(1, STORM_EVENTS_MAX) },
            Self::Stop | Self::Start | Self::Kill => self,
        }
    }
}
