//! The lane's records in the state topic.
//!
//! Keys are `<lane>/c/<conversation>`, `<lane>/i/<window>/<slice>/<chunk>`, `<lane>/marks`, `<lane>/history`
//! and `<lane>/channels`; values begin
//! with a version byte, then postcard. Version [`VERSION`] is written and read; anything else is refused by name, and the
//! partition with it. Marks and conversations have versions of their own, [`MARKS_VERSION`] and [`CONVERSATION_VERSION`], and
//! are read in the ones before as well. A record without a value is a tombstone.

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::answers::quiet_at;
use super::before::ConversationBefore;
use super::books::Books;
use super::conversation::{Conversation, Phase};
use super::dedupe::ChunkKey;
use super::marks::{Marks, StoredMarks};
use super::pacing::{History, Pacing};
use super::{Blocked, Effects, Lane, note};
use crate::event::{Fingerprint, Position, Timestamp};

/// The version of values that is written.
pub const VERSION: u8 = 1;

/// The version of marks that is written: 2 knows the ids of topics.
pub const MARKS_VERSION: u8 = 2;
const MARKS_VERSION_BEFORE: u8 = 1;

/// The version of conversations that is written: 2 knows files, labels and what templates name.
pub const CONVERSATION_VERSION: u8 = 2;
const CONVERSATION_VERSION_BEFORE: u8 = 1;

/// Names one record of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    Conversation(Fingerprint),
    /// A chunk of identities.
    Identities(ChunkKey),
    /// The last position folded of every source partition.
    Marks,
    /// When requests ended, and until when Missive asked for patience.
    History,
    /// What each channel has opened and refused.
    Channels,
}

/// Why a record of the state topic can't be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    #[error("state record {key} is of version {version}; this missived reads version {VERSION}")]
    Version { key: String, version: u8 },
    #[error("state record {key} is damaged")]
    Damaged { key: String },
}

impl StateKey {
    /// The record's key in the topic.
    pub fn topic_key(&self, lane: &str) -> String {
        match self {
            Self::Conversation(id) => format!("{lane}/c/{id}"),
            Self::Identities(key) => format!("{lane}/i/{}/{}/{}", key.window, key.slice, key.chunk),
            Self::Marks => format!("{lane}/marks"),
            Self::History => format!("{lane}/history"),
            Self::Channels => format!("{lane}/channels"),
        }
    }

    /// Lane and key of a record, if it is one of a lane's.
    pub fn parse(topic_key: &str) -> Option<(&str, Self)> {
        let (lane, rest) = topic_key.split_once('/')?;
        let mut parts = rest.split('/');
        let key = match parts.next()? {
            "c" => Self::Conversation(Fingerprint::from_u128(u128::from_str_radix(parts.next()?, 16).ok()?)),
            "i" => Self::Identities(ChunkKey {
                window: parts.next()?.parse().ok()?,
                slice: parts.next()?.parse().ok()?,
                chunk: parts.next()?.parse().ok()?,
            }),
            "marks" => Self::Marks,
            "history" => Self::History,
            "channels" => Self::Channels,
            _ => return None,
        };
        parts.next().is_none().then_some((lane, key))
    }
}

impl Lane {
    /// The value of a dirty record; `None` is a tombstone.
    pub fn record(&self, key: StateKey) -> Option<Vec<u8>> {
        match key {
            StateKey::Conversation(id) => {
                let known = self.conversations.get(&id);
                known.map(|conversation| write_as(CONVERSATION_VERSION, conversation))
            }
            StateKey::Identities(chunk) => self.dedupe.chunk(chunk).map(write),
            StateKey::Marks => Some(write_as(MARKS_VERSION, &self.marks.stored())),
            StateKey::History => Some(write(&(self.pacing.history(), self.waits_until()))),
            StateKey::Channels => Some(write(&(&self.openings, &self.breakers))),
        }
    }

    /// Takes a record back, before [`Lane::resume`]. The last value of a key is the one that counts; tombstones are not
    /// passed here.
    pub fn restore(&mut self, key: StateKey, value: &[u8]) -> Result<(), StateError> {
        let name = || key.topic_key(self.name());
        match key {
            StateKey::Conversation(id) => {
                let conversation = read_conversation(value, name)?;
                self.conversations.insert(id, conversation);
            }
            StateKey::Identities(chunk) => {
                let identities: Vec<Fingerprint> = read(value, name)?;
                self.dedupe.restore(chunk, &identities);
            }
            StateKey::Marks => {
                self.marks = read_marks(value, name)?;
            }
            StateKey::History => {
                let (history, waits_until): (History, Timestamp) = read(value, name)?;
                self.pacing = Pacing::restore(self.policy.limits, history);
                self.blocked = Blocked::Until(waits_until);
            }
            StateKey::Channels => (self.openings, self.breakers) = read(value, name)?,
        }
        Ok(())
    }

    /// Begins to act on what was restored. While a predecessor's deliveries may still be on the wire, nothing is sent.
    pub fn resume(&mut self, now: Timestamp, effects: &mut Effects) {
        self.now = now;
        self.marks.resume(now);
        self.dedupe.resume(&mut |chunk| note(effects, chunk));
        let pending = self.conversations.values().map(|conversation| u64::from(conversation.pending())).sum();
        self.books = Books::restored(pending);
        self.listen();
        self.gather_companies();
        let mut ids: Vec<_> = self.conversations.keys().copied().collect();
        ids.sort_unstable();
        let mut quiet = Timestamp::EPOCH;
        for id in ids {
            if let Some(Phase::Sending { send_before }) = self.phase(id) {
                self.pacing.begin();
                quiet = quiet.max(quiet_at(send_before, &self.policy.limits));
            }
            self.place(id, effects);
        }
        self.place_touched(effects);
        let until = quiet.max(self.waits_until());
        self.blocked = if until > now { Blocked::Until(until) } else { Blocked::No };
    }

    fn phase(&self, id: Fingerprint) -> Option<Phase> {
        Some(self.conversations.get(&id)?.in_flight.as_ref()?.phase)
    }
}

fn write<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    write_as(VERSION, value)
}

fn write_as<T: serde::Serialize + ?Sized>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("a Vec takes everything")
}

fn read_marks(bytes: &[u8], key: impl Fn() -> String) -> Result<Marks, StateError> {
    match bytes {
        [MARKS_VERSION_BEFORE, ..] => {
            let before: Vec<((Box<str>, i32), Position)> = read_as(MARKS_VERSION_BEFORE, bytes, key)?;
            Ok(Marks::restore_before(before))
        }
        _ => read_as::<StoredMarks>(MARKS_VERSION, bytes, key).map(Marks::restore),
    }
}

fn read_conversation(bytes: &[u8], key: impl Fn() -> String) -> Result<Conversation, StateError> {
    match bytes {
        [CONVERSATION_VERSION_BEFORE, ..] => {
            read_as::<ConversationBefore>(CONVERSATION_VERSION_BEFORE, bytes, key).map(Into::into)
        }
        _ => read_as(CONVERSATION_VERSION, bytes, key),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8], key: impl Fn() -> String) -> Result<T, StateError> {
    read_as(VERSION, bytes, key)
}

fn read_as<T: DeserializeOwned>(wanted: u8, bytes: &[u8], key: impl Fn() -> String) -> Result<T, StateError> {
    match bytes {
        [version, rest @ ..] if *version == wanted => {
            postcard::from_bytes(rest).map_err(|_| StateError::Damaged { key: key() })
        }
        [version, ..] => Err(StateError::Version { key: key(), version: *version }),
        [] => Err(StateError::Damaged { key: key() }),
    }
}
