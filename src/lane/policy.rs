//! What the config asks of a lane, as types that can't hold nonsense the lane would have to check again.
//!
//! Built by `config`, read by the lane, changed only as a whole.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::telling::Telling;
use crate::event::{Kind, Timing, Urgency};
use crate::missive::Channel;

/// What the config calls by a name. Looked up for every observation, and only the config decides on names: so the hash is fast
/// rather than safe against strangers.
pub type ByName<T> = HashMap<Box<str>, T>;

/// Everything one lane is told by the config.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The lane's key in the config.
    pub lane: Box<str>,
    /// Prefix of topics, groups and references; the same for all lanes.
    pub namespace: Box<str>,
    pub limits: Limits,
    pub retry: Retry,
    pub horizons: Horizons,
    pub bounds: Bounds,
    pub on_doubt: OnDoubt,
    pub decisions: Decisions,
    /// How long the lane is halted before its critical news goes elsewhere too; `None`: it never does.
    pub fallback_after: Option<Duration>,
    pub channels: ByName<ChannelPolicy>,
    pub routes: ByName<RoutePolicy>,
}

impl Policy {
    /// The policy of a lane that the config doesn't know: the same bounds, nowhere to send to.
    #[must_use]
    pub fn without_routes(&self, lane: &str) -> Self {
        Self { lane: lane.into(), channels: ByName::new(), routes: ByName::new(), ..self.clone() }
    }
}

/// Missive's rate limits, and how close to them we go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in progress at once.
    pub concurrent: usize,
    /// Requests in any 60 s.
    pub per_minute: usize,
    /// Requests in any 900 s.
    pub per_quarter_hour: usize,
    /// Share of both windows, in percent, that only critical news and threads may spend.
    pub critical_share_percent: u8,
    /// Added to both windows, for clocks and networks that disagree with Missive's.
    pub skew_margin: Duration,
    /// A request is over after this long, whatever happened.
    pub request_timeout: Duration,
    /// A committed intent is sent within this span or not at all.
    pub send_within: Duration,
    /// The longest `Retry-After` that is believed.
    pub retry_after_max: Duration,
}

/// Exponential backoff with jitter for what was certainly not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    pub first: Duration,
    pub longest: Duration,
}

/// How long news of a class may stay untold while Missive answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizons {
    pub critical: Duration,
    pub normal: Duration,
    pub low: Duration,
}

impl Horizons {
    pub const fn of(&self, urgency: Urgency) -> Duration {
        match urgency {
            Urgency::Critical => self.critical,
            Urgency::Normal => self.normal,
            Urgency::Low => self.low,
        }
    }
}

/// Upper limits on what a lane keeps; reaching one is a counted, named outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Identities remembered.
    pub dedupe_keys_max: usize,
    /// Conversations kept.
    pub conversations_max: usize,
    /// Alerts remembered by name in one conversation; more are only counted.
    pub alerts_per_conversation_max: usize,
    /// Lines a digest names; more are only counted.
    pub digest_lines_max: usize,
    /// Bytes of one line.
    pub line_bytes_max: usize,
    /// Bytes of people's own words waiting in one thread.
    pub thread_bytes_max: usize,
    /// Bytes of files waiting in one conversation, and again in its message on its way.
    pub files_bytes_max: usize,
}

/// What to do with a delivery that may or may not have arrived, when it can't be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDoubt {
    /// Send again, marked "may repeat".
    Resend,
    /// Into the dead letters with it, where a person decides.
    Hold,
}

/// Is every decision told, for whoever asks why they were told something or not?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decisions {
    Untold,
    Told,
}

/// When an alert is called flapping: more than `changes` changes of its state within `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flap {
    pub changes: u32,
    pub window: Duration,
}

/// A channel, and how many conversations may be opened in it.
#[derive(Clone, Debug)]
pub struct ChannelPolicy {
    pub channel: Channel,
    /// New conversations per window for normal and low news.
    pub new_conversations: usize,
    /// New conversations per window for critical news.
    pub new_conversations_critical: usize,
    pub new_conversations_window: Duration,
}

/// A route as the lane needs it.
#[derive(Clone, Debug)]
pub struct RoutePolicy {
    pub name: Box<str>,
    /// Name of the channel it goes to.
    pub channel: Box<str>,
    pub kind: Kind,
    pub action: Action,
    /// How long an identity counts as the same news, from when it was first seen.
    pub window: Duration,
    /// For all but critical news.
    pub timing: Timing,
    /// For critical news.
    pub timing_critical: Timing,
    pub flap: Flap,
    /// How it says what it has to say.
    pub telling: Arc<Telling>,
}

/// What becomes of a route's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are told.
    Tell,
    /// They are signs of life; what is told is that none has come for so long.
    Heartbeat { within: Duration },
}

impl RoutePolicy {
    pub const fn timing(&self, urgency: Urgency) -> &Timing {
        match urgency {
            Urgency::Critical => &self.timing_critical,
            Urgency::Normal | Urgency::Low => &self.timing,
        }
    }
}
