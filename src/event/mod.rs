//! What a record says.
//!
//! A source's [`Format`] turns the bytes of one Kafka record into [`Event`]s; each names what it is about (its entity), what
//! makes it news (its identity), what state it reports and the facts that a message may show. Nothing here knows routes,
//! channels or Kafka clients, and nothing does I/O.
//!
//! Strings of an event borrow from the decoder's scratch buffer; one decode makes no allocation per field. Every string that
//! leaves is bounded ([`TEXT_BYTES_MAX`], [`KEY_BYTES_MAX`]) and cut on a character boundary.

mod alertmanager;
mod cloudevents;
mod debezium;
mod decode;
pub mod frame;
mod framing;
mod grafana;
mod hubspot;
mod identity;
mod json;
pub mod lesson;
pub mod links;
mod markup;
mod opened;
mod path;
mod place;
mod pointers;
mod screen;
mod time;

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use simd_json::tape::Value;

pub use debezium::{SnapshotRows, Table};
pub use decode::{Decoder, EVENTS_PER_RECORD_MAX, Handling, Record, Refusal};
pub use frame::{Course, Frame, Observation, Position, Snapshot, TopicId};
pub use framing::FrameBuilder;
pub use identity::{Fingerprint, HashKey};
pub use json::Fields;
pub use markup::text_of;
pub use opened::Compression;
pub use path::{Field, Found, Path};
pub use place::{Alternative, Part, Place, Typed};
pub use pointers::Pointers;
pub use screen::{Needs, Privacy};
pub use time::Timestamp;

/// The longest text of one event that is carried on; a person's own words may be this long, a line of a digest is shorter.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The longest conversation key; longer ones are replaced by their hash.
pub const KEY_BYTES_MAX: usize = 512;

/// How a source's records are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// Alertmanager's webhook body, version 4, or one alert of it.
    Alertmanager,
    /// Grafana's webhook body: Alertmanager's, and more.
    Grafana,
    /// CloudEvents 1.0 on Kafka, structured or binary.
    CloudEvents { kind: Kind },
    /// HubSpot's webhook subscriptions.
    HubSpot,
    /// Rows as Debezium saw them change.
    Debezium(Box<Table>),
    /// JSON of any shape, read by pointers.
    Json(Box<Pointers>),
}

impl Format {
    /// The word used in config and output.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::CloudEvents { .. } => "cloudevents",
            Self::HubSpot => "hubspot",
            Self::Debezium(_) => "debezium",
            Self::Json(_) => "json",
        }
    }

    /// What of a record it lives on, whatever a source keeps to itself.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Alertmanager | Self::Grafana => alertmanager::needs(),
            Self::CloudEvents { .. } => cloudevents::needs(),
            Self::HubSpot => hubspot::needs(),
            Self::Debezium(table) => debezium::needs(table),
            Self::Json(pointers) => pointers::needs(pointers),
        }
    }
}

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

    /// What monitoring systems mean by their severity words; anything unknown, or nothing, is normal.
    pub fn of_severity(word: &str) -> Self {
        const CRITICAL: [&str; 9] =
            ["critical", "crit", "page", "emergency", "fatal", "disaster", "p1", "sev1", "urgent"];
        const LOW: [&str; 7] = ["info", "information", "informational", "none", "debug", "low", "notice"];
        let among = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        if among(&CRITICAL) {
            Self::Critical
        } else if among(&LOW) {
            Self::Low
        } else {
            Self::Normal
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

/// What an event reports of its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    Firing,
    Resolved,
    /// An object changed.
    Changed,
    /// A person said something.
    Said,
}

/// How much of what its conversation reports a record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// This event, and nothing about others.
    Part,
    /// All of it: what the conversation knew and this record leaves out is not reported any more.
    Whole,
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

/// One event, borrowed from the record it was decoded from.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its place among the events of the record, from 0.
    pub index: u32,
    /// What it is about.
    pub entity: Fingerprint,
    /// What makes it news; the same for every copy of it.
    pub identity: Fingerprint,
    pub state: State,
    pub urgency: Urgency,
    /// When it happened, by its own account.
    pub since: Option<Timestamp>,
    /// Which conversation it belongs to, within its route.
    pub conversation: Cow<'a, str>,
    /// The same for all events of one record.
    pub coverage: Coverage,
    pub telling: Telling<'a>,
    /// Where conditions look fields up.
    pub fields: Fields<'a>,
}

impl Event<'_> {
    /// What a message may show of it; put together now, in `names` where it doesn't stand in the record as it is told.
    pub fn facts<'t>(&'t self, names: &'t mut String) -> Facts<'t> {
        match &self.telling {
            Telling::Told(facts) => facts.clone(),
            Telling::Untold { root, element, tell } => tell(*root, *element, names),
        }
    }
}

/// How the facts of an event are put together, of the record and the event's part of it; what has to be written for them goes
/// into the text, whatever stood there.
pub type Tell = for<'t> fn(Value<'t, 't>, Value<'t, 't>, &'t mut String) -> Facts<'t>;

/// Where the facts of an event come from. Most events are repeats, and nobody asks for theirs.
#[derive(Clone, Debug)]
pub enum Telling<'a> {
    /// They are at hand.
    Told(Facts<'a>),
    /// They are put together of the record and the event's part of it.
    Untold { root: Value<'a, 'a>, element: Value<'a, 'a>, tell: Tell },
}

/// What a message may show of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts<'a> {
    /// The conversation's title.
    #[serde(borrow)]
    pub subject: Cow<'a, str>,
    /// What a list line names: the alert's name, the object.
    #[serde(borrow)]
    pub title: Cow<'a, str>,
    /// What it says; a person's words verbatim.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// The source's own severity word.
    #[serde(borrow)]
    pub severity: Cow<'a, str>,
    /// An address to look at, or empty; of an observation an `https` one.
    #[serde(borrow)]
    pub link: Cow<'a, str>,
    /// Who is speaking, for threads; or empty.
    #[serde(borrow)]
    pub author: Cow<'a, str>,
    /// An `https` address that says what to do about it, or empty.
    #[serde(borrow)]
    pub runbook: Cow<'a, str>,
    /// An `https` address where it can be silenced, or empty.
    #[serde(borrow)]
    pub silence: Cow<'a, str>,
    /// Name and value of the fields that its route's templates name.
    pub named: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What goes along with its message.
    pub files: Vec<Enclosed<'a>>,
}

/// A file of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosed<'a> {
    pub name: Cow<'a, str>,
    pub content: Enclosure<'a>,
}

/// What is in a file, as far as it goes along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enclosure<'a> {
    /// As it is sent: valid base64.
    Base64(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// Larger than what may go along.
    TooLarge {
        bytes: u64,
    },
    /// What should have been base64 isn't.
    Unreadable,
}

impl Enclosure<'_> {
    /// How much of what may go along it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Base64(data) | Self::Text(data) => data.len(),
            Self::TooLarge { .. } | Self::Unreadable => 0,
        }
    }
}

/// The longest prefix of `text` with at most `bytes_max` bytes that ends on a character boundary.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        for (bytes_max, kept) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (4, "aé"), (9, "aé🔴b")] {
            assert_eq!(cut("aé🔴b", bytes_max), kept, "{bytes_max}");
        }
    }

    #[test]
    fn severity_words_of_common_systems_are_understood_in_any_case() {
        let rows = [
            ("critical", Urgency::Critical),
            ("PAGE", Urgency::Critical),
            ("Disaster", Urgency::Critical),
            ("warning", Urgency::Normal),
            ("", Urgency::Normal),
            ("whatever", Urgency::Normal),
            ("info", Urgency::Low),
        ];
        for (word, urgency) in rows {
            assert_eq!(Urgency::of_severity(word), urgency, "{word}");
        }
    }
}
