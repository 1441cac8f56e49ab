//! What travels on the ledger: frames of observations from the intake, and lessons from the hook.
//!
//! A *frame* covers a contiguous range of one source partition for one lane: the observations in it, the positions of those
//! that the intake dropped as duplicates itself, and snapshots where a record named all of its conversation and that had
//! changed. Positions only grow within a frame and from frame to frame of one producer, so a lane that remembers the last
//! position it folded can drop whatever it sees again, frame by frame or in part.
//!
//! Layout: version byte, kind byte, then postcard: a header, the observations one after another, the drops, the snapshots.
//! The version belongs to the ledger alone; the current one and its predecessor are read. Limits: [`FRAME_ITEMS_MAX`]
//! observations, [`SNAPSHOT_ENTITIES_MAX`] entities in a snapshot.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Facts, Fingerprint, State, Timestamp, Urgency};

/// The version that is written.
const VERSION: u8 = 1;
const KIND_FRAME: u8 = 1;
const KIND_LESSON: u8 = 2;

/// The most observations or drops in one frame; more in one is damage.
pub const FRAME_ITEMS_MAX: u32 = 1_000_000;

/// The most entities that a snapshot lists. A record with more is no snapshot: nothing that it leaves out is called gone.
pub const SNAPSHOT_ENTITIES_MAX: usize = 2_000;

/// Where an observation stands in its source partition: the record, and the event's place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub offset: i64,
    pub index: u32,
}

/// An event after routing, on its way to its lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation<'a> {
    pub position: Position,
    /// The route's name.
    pub route: &'a str,
    /// The record's own time.
    pub at: Timestamp,
    /// It happened longer ago than its source wants to hear about one by one.
    pub old: bool,
    /// What it is about, within its route.
    pub entity: Fingerprint,
    /// What makes it news, within its route.
    pub identity: Fingerprint,
    pub state: State,
    pub urgency: Urgency,
    /// When it happened, by its own account.
    pub since: Option<Timestamp>,
    #[serde(borrow)]
    pub conversation: Cow<'a, str>,
    #[serde(borrow)]
    pub facts: Facts<'a>,
}

/// Duplicates that the intake dropped, for one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops<'a> {
    #[serde(borrow)]
    pub route: Cow<'a, str>,
    #[serde(borrow)]
    pub conversation: Cow<'a, str>,
    /// Strictly growing.
    pub positions: Vec<Position>,
}

/// All that one record reports of its conversation: what is known beyond it isn't reported any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<'a> {
    /// That of the record's last observation, pushed or dropped; snapshots of a frame are in order.
    pub position: Position,
    #[serde(borrow)]
    pub route: Cow<'a, str>,
    #[serde(borrow)]
    pub conversation: Cow<'a, str>,
    /// The record's own time.
    pub at: Timestamp,
    /// At most [`SNAPSHOT_ENTITIES_MAX`], in any order.
    pub entities: Vec<Fingerprint>,
}

/// What the hook learned about a conversation, for the lane that owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson<'a> {
    /// The channel whose door it came through.
    pub channel: &'a str,
    /// The routing key that Missive echoed, or empty.
    pub routing_key: &'a str,
    /// Missive's conversation id, or empty.
    pub conversation_id: &'a str,
    pub about: Learned,
    pub at: Timestamp,
}

/// The kinds of lessons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Learned {
    /// A person answered: the conversation exists, and this is its id.
    Answered,
    Closed,
    Reopened,
    Muted,
    Unmuted,
}

/// One record of the ledger.
#[derive(Debug)]
pub enum LedgerRecord<'a> {
    Frame(Frame<'a>),
    Lesson(Lesson<'a>),
}

/// Why a ledger record can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    #[error("the record is of version {0}, written by a newer missived")]
    Version(u8),
    #[error("the record is damaged")]
    Damaged,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header<'a> {
    lane: &'a str,
    topic: &'a str,
    partition: i32,
    observations: u32,
}

/// A frame whose observations are read one by one.
#[derive(Debug)]
pub struct Frame<'a> {
    pub lane: &'a str,
    /// The source topic and partition.
    pub topic: &'a str,
    pub partition: i32,
    count: u32,
    body: &'a [u8],
    pub drops: Vec<Drops<'a>>,
    pub snapshots: Vec<Snapshot<'a>>,
}

impl<'a> Frame<'a> {
    /// The observations in order. A frame that could be read at all has been checked: none is damaged.
    pub fn observations(&self) -> impl Iterator<Item = Observation<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.count).map_while(move |_| {
            let (observation, after) = postcard::take_from_bytes(rest).ok()?;
            rest = after;
            Some(observation)
        })
    }
}

impl<'a> LedgerRecord<'a> {
    /// Reads a ledger record whole, so that damage is found before anything of it is folded.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LedgerError> {
        match bytes {
            [VERSION, KIND_FRAME, rest @ ..] => read_frame(rest).map(Self::Frame),
            [VERSION, KIND_LESSON, rest @ ..] => {
                postcard::from_bytes(rest).map(Self::Lesson).map_err(|_| LedgerError::Damaged)
            }
            [version, ..] if *version > VERSION => Err(LedgerError::Version(*version)),
            _ => Err(LedgerError::Damaged),
        }
    }
}

fn read_frame(bytes: &[u8]) -> Result<Frame<'_>, LedgerError> {
    let damaged = |_| LedgerError::Damaged;
    let (header, body) = postcard::take_from_bytes::<Header<'_>>(bytes).map_err(damaged)?;
    if header.observations > FRAME_ITEMS_MAX {
        return Err(LedgerError::Damaged);
    }
    let mut rest = body;
    for _ in 0..header.observations {
        (_, rest) = postcard::take_from_bytes::<Observation<'_>>(rest).map_err(damaged)?;
    }
    let body = &body[..body.len() - rest.len()];
    let (drops, rest) = postcard::take_from_bytes(rest).map_err(damaged)?;
    let snapshots = postcard::from_bytes(rest).map_err(damaged)?;
    Ok(Frame {
        lane: header.lane,
        topic: header.topic,
        partition: header.partition,
        count: header.observations,
        body,
        drops,
        snapshots,
    })
}

/// Writes a lesson as a ledger record.
pub fn write_lesson(lesson: &Lesson<'_>) -> Vec<u8> {
    postcard::to_extend(lesson, vec![VERSION, KIND_LESSON]).expect("a Vec takes everything")
}

/// Collects what one lane hears from one source partition until it is sealed as a frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    body: Vec<u8>,
    observations: u32,
    drops: Vec<Drops<'static>>,
    /// Where in `drops` a conversation stands, by hash; a collision only costs a second entry.
    by_conversation: HashMap<u64, usize>,
    hashing: RandomState,
    dropped: u32,
    snapshots: Vec<Snapshot<'static>>,
    snapshot_bytes: usize,
}

impl FrameBuilder {
    pub fn push(&mut self, observation: &Observation<'_>) {
        let body = std::mem::take(&mut self.body);
        self.body = postcard::to_extend(observation, body).expect("a Vec takes everything");
        self.observations += 1;
    }

    /// Notes an observation that is left out because the lane has just been told the same.
    pub fn drop_duplicate(&mut self, route: &str, conversation: &str, position: Position) {
        self.dropped += 1;
        let hash = self.hashing.hash_one((route, conversation));
        let slot = *self.by_conversation.entry(hash).or_insert(self.drops.len());
        let known = self.drops.get_mut(slot).filter(|drops| drops.conversation == conversation && drops.route == route);
        if let Some(drops) = known {
            return drops.positions.push(position);
        }
        let (route, conversation) = (Cow::Owned(route.to_owned()), Cow::Owned(conversation.to_owned()));
        self.drops.push(Drops { route, conversation, positions: vec![position] });
    }

    /// Adds a snapshot, after the observations of its record.
    pub fn snapshot(&mut self, snapshot: Snapshot<'static>) {
        debug_assert!(snapshot.entities.len() <= SNAPSHOT_ENTITIES_MAX, "the caller keeps the bound");
        self.snapshot_bytes += snapshot.entities.len() * size_of::<Fingerprint>() + snapshot.conversation.len();
        self.snapshots.push(snapshot);
    }

    pub const fn is_empty(&self) -> bool {
        self.observations == 0 && self.dropped == 0
    }

    /// About how many bytes the frame will have.
    pub const fn bytes(&self) -> usize {
        self.body.len() + self.dropped as usize * 4 + self.snapshot_bytes
    }

    /// How many observations and drops it holds.
    pub const fn items(&self) -> u32 {
        self.observations + self.dropped
    }

    /// The frame as a ledger record; the builder is empty afterwards and keeps its buffers.
    pub fn seal(&mut self, lane: &str, topic: &str, partition: i32, into: &mut Vec<u8>) {
        into.clear();
        into.extend([VERSION, KIND_FRAME]);
        let header = Header { lane, topic, partition, observations: self.observations };
        let written = postcard::to_extend(&header, std::mem::take(into)).expect("a Vec takes everything");
        *into = written;
        into.extend_from_slice(&self.body);
        let written = postcard::to_extend(&(&self.drops, &self.snapshots), std::mem::take(into));
        *into = written.expect("a Vec takes everything");
        self.body.clear();
        self.snapshots.clear();
        self.snapshot_bytes = 0;
        self.drops.clear();
        self.by_conversation.clear();
        self.observations = 0;
        self.dropped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(offset: i64) -> Observation<'static> {
        Observation {
            position: Position { offset, index: 1 },
            route: "alerts",
            at: Timestamp::from_millis(5),
            old: false,
            entity: Fingerprint::from_u128(7),
            identity: Fingerprint::from_u128(u128::MAX),
            state: State::Firing,
            urgency: Urgency::Critical,
            since: None,
            conversation: Cow::Borrowed("key"),
            facts: Facts { title: Cow::Borrowed("t"), ..Facts::default() },
        }
    }

    fn snapshot() -> Snapshot<'static> {
        Snapshot {
            position: Position { offset: 6, index: 1 },
            route: Cow::Borrowed("alerts"),
            conversation: Cow::Borrowed("key"),
            at: Timestamp::from_millis(6),
            entities: vec![Fingerprint::from_u128(7)],
        }
    }

    fn sealed() -> Vec<u8> {
        let mut builder = FrameBuilder::default();
        builder.push(&observation(3));
        builder.drop_duplicate("alerts", "key", Position { offset: 4, index: 0 });
        builder.push(&observation(5));
        builder.drop_duplicate("alerts", "key", Position { offset: 6, index: 0 });
        builder.drop_duplicate("alerts", "other", Position { offset: 6, index: 1 });
        builder.snapshot(snapshot());
        let mut bytes = Vec::new();
        builder.seal("default", "topic", 2, &mut bytes);
        assert!(builder.is_empty());
        bytes
    }

    #[test]
    fn a_frame_comes_back_as_it_was_built() {
        let bytes = sealed();
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("not a frame") };
        assert_eq!((frame.lane, frame.topic, frame.partition), ("default", "topic", 2));
        assert_eq!(frame.observations().collect::<Vec<_>>(), [observation(3), observation(5)]);
        let drops: Vec<_> =
            frame.drops.iter().map(|drops| (drops.conversation.as_ref(), drops.positions.len())).collect();
        assert_eq!(drops, [("key", 2), ("other", 1)]);
        assert_eq!(frame.snapshots, [snapshot()]);
    }

    #[test]
    fn a_lesson_comes_back_as_it_was_written() {
        let lesson = Lesson {
            channel: "ops",
            routing_key: "alerts/key",
            conversation_id: "c",
            about: Learned::Muted,
            at: Timestamp::from_millis(9),
        };
        let bytes = write_lesson(&lesson);
        let Ok(LedgerRecord::Lesson(read)) = LedgerRecord::read(&bytes) else { panic!("not a lesson") };
        assert_eq!(read, lesson);
    }

    #[test]
    fn a_frame_cut_anywhere_is_damage_and_never_half_a_frame() {
        let bytes = sealed();
        for end in 0..bytes.len() {
            assert_eq!(LedgerRecord::read(&bytes[..end]).err(), Some(LedgerError::Damaged), "cut at {end}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = sealed();
        bytes[0] = 9;
        assert_eq!(LedgerRecord::read(&bytes).err(), Some(LedgerError::Version(9)));
    }
}
