//! What travels on the ledger: frames of observations from the intake, lessons from the hook ([`lesson`]),
//! and what an operator sends back.
//!
//! A *frame* covers a contiguous range of one source partition for one lane: the observations in it, the positions of those
//! that the intake dropped as duplicates itself, and snapshots where a record named all of its conversation and that had
//! changed. Positions only grow within a frame and from frame to frame of one producer, so a lane that remembers the last
//! position it folded can drop whatever it sees again, frame by frame or in part.
//! Positions belong to one life of a topic: a frame names the topic's id beside its name, so that a topic that was deleted
//! and created again is not taken for what it was. It also says whether its partition is read on from our own commit or from
//! where somebody else has set the offset: what is then read again was asked for, and is counted.
//!
//! Layout: version byte, kind byte, then postcard: a header, the observations one after another, the drops, the snapshots.
//! The version belongs to the ledger alone; the current one and those before it are read (version 1 knew no topic ids, no
//! [`Course`], no snapshots and no [`Returned`], version 2 no facts beyond the first six; builds of version
//! 3 from before lessons shared a record call such a record damaged). Limits: [`FRAME_ITEMS_MAX`]
//! observations, [`SNAPSHOT_ENTITIES_MAX`] entities in a snapshot.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::lesson::{self, Lesson};
use super::{Facts, Fingerprint, State, Timestamp, Urgency};

/// The version that is written.
pub(super) const VERSION: u8 = 3;
/// Its predecessor, which is read as well.
pub(super) const VERSION_BEFORE: u8 = 2;
/// The one before that, likewise.
pub(super) const VERSION_FIRST: u8 = 1;
pub(super) const KIND_FRAME: u8 = 1;
/// One lesson; read, and no longer written.
pub(super) const KIND_LESSON: u8 = 2;
const KIND_RETURNED: u8 = 3;
pub(super) const KIND_LESSONS: u8 = 4;

/// The most observations or drops in one frame; more in one is damage.
pub const FRAME_ITEMS_MAX: u32 = 1_000_000;

/// No observation is shorter: each of its fields takes a byte at least.
const OBSERVATION_BYTES_MIN: usize = 16;

/// The most entities that a snapshot lists. A record with more is no snapshot: nothing that it leaves out is called gone.
pub const SNAPSHOT_ENTITIES_MAX: usize = 2_000;

/// Where an observation stands in its source partition: the record, and the event's place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub offset: i64,
    pub index: u32,
}

/// Kafka's id of a topic: one that is deleted and created again keeps its name and gets another id.
///
/// Shown as Kafka's own tools show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(u128);

impl TopicId {
    /// The broker doesn't say, or the frame is older than ids.
    pub const UNKNOWN: Self = Self(0);

    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    pub const fn is_known(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for place in 0..22_u32 {
            let six = if place < 21 { self.0 >> (122 - 6 * place) } else { self.0 << 4 };
            write!(f, "{}", char::from(DIGITS[(six & 63) as usize]))?;
        }
        Ok(())
    }
}

/// From where a source partition is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Course {
    /// From where this installation left off: what stands below the mark was read again after a crash.
    #[default]
    Onward,
    /// From where somebody else has set the group's offset: what stands below the mark was rewound on purpose.
    SetByOperator,
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
    pub entities: Cow<'a, [Fingerprint]>,
}

/// A delivery that was refused, or words that found no room, sent back to their lane because an operator said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned<'a> {
    pub lane: &'a str,
    /// Where it belongs: the routing key of the refused message, or `<route>/<conversation key>`.
    pub routing_key: &'a str,
    /// The conversation's title, should it have to be opened.
    pub subject: &'a str,
    /// Who said it, or empty.
    pub author: &'a str,
    /// What is to be told, verbatim.
    pub words: &'a str,
    /// The same for every copy of one replay.
    pub nonce: Fingerprint,
    pub at: Timestamp,
}

/// One record of the ledger.
#[derive(Debug)]
pub enum LedgerRecord<'a> {
    Frame(Frame<'a>),
    Lessons(Vec<Lesson<'a>>),
    Returned(Returned<'a>),
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
pub(super) struct Header<'a> {
    pub lane: &'a str,
    pub topic: &'a str,
    pub topic_id: TopicId,
    pub partition: i32,
    pub course: Course,
    pub observations: u32,
}

/// The header of version 1.
#[derive(Debug, Serialize, Deserialize)]
struct HeaderFirst<'a> {
    lane: &'a str,
    topic: &'a str,
    partition: i32,
    observations: u32,
}

impl<'a> From<HeaderFirst<'a>> for Header<'a> {
    fn from(HeaderFirst { lane, topic, partition, observations }: HeaderFirst<'a>) -> Self {
        Self { lane, topic, topic_id: TopicId::UNKNOWN, partition, course: Course::Onward, observations }
    }
}

/// An observation of versions 1 and 2.
#[derive(Serialize, Deserialize)]
struct ObservationBefore<'a> {
    position: Position,
    route: &'a str,
    at: Timestamp,
    old: bool,
    entity: Fingerprint,
    identity: Fingerprint,
    state: State,
    urgency: Urgency,
    since: Option<Timestamp>,
    #[serde(borrow)]
    conversation: Cow<'a, str>,
    #[serde(borrow)]
    facts: FactsBefore<'a>,
}

#[derive(Serialize, Deserialize)]
struct FactsBefore<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    link: Cow<'a, str>,
    #[serde(borrow)]
    author: Cow<'a, str>,
}

impl<'a> From<ObservationBefore<'a>> for Observation<'a> {
    fn from(before: ObservationBefore<'a>) -> Self {
        let ObservationBefore { position, route, at, old, entity, identity, state, .. } = before;
        let ObservationBefore { urgency, since, conversation, facts, .. } = before;
        let FactsBefore { subject, title, text, severity, link, author } = facts;
        let facts = Facts { subject, title, text, severity, link, author, ..Facts::default() };
        Self { position, route, at, old, entity, identity, state, urgency, since, conversation, facts }
    }
}

/// What the intake read of one source partition for one lane.
#[derive(Debug)]
pub struct Frame<'a> {
    pub lane: &'a str,
    /// The source topic and partition.
    pub topic: &'a str,
    pub topic_id: TopicId,
    pub partition: i32,
    pub course: Course,
    /// In order.
    pub observations: Vec<Observation<'a>>,
    pub drops: Vec<Drops<'a>>,
    pub snapshots: Vec<Snapshot<'a>>,
}

impl<'a> LedgerRecord<'a> {
    /// Reads a ledger record whole, so that damage is found before anything of it is folded.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LedgerError> {
        let damaged = |_| LedgerError::Damaged;
        match bytes {
            [VERSION, KIND_FRAME, rest @ ..] => {
                let (header, body) = postcard::take_from_bytes(rest).map_err(damaged)?;
                read_frame(header, body, Layout::Current).map(Self::Frame)
            }
            [VERSION_BEFORE, KIND_FRAME, rest @ ..] => {
                let (header, body) = postcard::take_from_bytes(rest).map_err(damaged)?;
                read_frame(header, body, Layout::Before).map(Self::Frame)
            }
            [VERSION_FIRST, KIND_FRAME, rest @ ..] => {
                let (header, body) = postcard::take_from_bytes::<HeaderFirst<'_>>(rest).map_err(damaged)?;
                read_frame(header.into(), body, Layout::First).map(Self::Frame)
            }
            [VERSION, KIND_LESSONS, rest @ ..] => lesson::read_all(rest).map(Self::Lessons).map_err(damaged),
            [VERSION | VERSION_BEFORE | VERSION_FIRST, KIND_LESSON, rest @ ..] => {
                postcard::from_bytes(rest).map(|lesson| Self::Lessons(vec![lesson])).map_err(damaged)
            }
            [VERSION | VERSION_BEFORE, KIND_RETURNED, rest @ ..] => {
                postcard::from_bytes(rest).map(Self::Returned).map_err(damaged)
            }
            [version, ..] if *version > VERSION => Err(LedgerError::Version(*version)),
            _ => Err(LedgerError::Damaged),
        }
    }
}

/// How a frame's observations are written, and what stands behind its drops.
#[derive(Clone, Copy, Debug)]
enum Layout {
    First,
    Before,
    Current,
}

impl Layout {
    fn observation<'a>(self, bytes: &'a [u8]) -> postcard::Result<(Observation<'a>, &'a [u8])> {
        match self {
            Self::Current => postcard::take_from_bytes(bytes),
            Self::First | Self::Before => postcard::take_from_bytes::<ObservationBefore<'a>>(bytes)
                .map(|(observation, rest)| (observation.into(), rest)),
        }
    }
}

fn read_frame<'a>(header: Header<'a>, body: &'a [u8], layout: Layout) -> Result<Frame<'a>, LedgerError> {
    let damaged = |_| LedgerError::Damaged;
    let Header { lane, topic, topic_id, partition, course, observations: count } = header;
    if count > FRAME_ITEMS_MAX {
        return Err(LedgerError::Damaged);
    }
    // no more room at once than the body can be worth, whatever the header says
    let mut observations = Vec::with_capacity((count as usize).min(body.len() / OBSERVATION_BYTES_MIN));
    let mut rest = body;
    for _ in 0..count {
        let (observation, behind) = layout.observation(rest).map_err(damaged)?;
        observations.push(observation);
        rest = behind;
    }
    let (drops, rest) = postcard::take_from_bytes(rest).map_err(damaged)?;
    let snapshots = match layout {
        Layout::Before | Layout::Current => postcard::from_bytes(rest).map_err(damaged)?,
        Layout::First => Vec::new(),
    };
    Ok(Frame { lane, topic, topic_id, partition, course, observations, drops, snapshots })
}

/// Writes what is sent back as a ledger record.
pub fn write_returned(returned: &Returned<'_>) -> Vec<u8> {
    postcard::to_extend(returned, vec![VERSION, KIND_RETURNED]).expect("a Vec takes everything")
}

#[cfg(test)]
mod tests {
    use super::super::FrameBuilder;
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
            facts: Facts { title: Cow::Borrowed("t"), link: Cow::Borrowed("https://x"), ..Facts::default() },
        }
    }

    fn before(offset: i64) -> ObservationBefore<'static> {
        let Observation { position, route, at, old, entity, identity, state, .. } = observation(offset);
        let Observation { urgency, since, conversation, facts, .. } = observation(offset);
        let Facts { subject, title, text, severity, link, author, .. } = facts;
        let facts = FactsBefore { subject, title, text, severity, link, author };
        ObservationBefore { position, route, at, old, entity, identity, state, urgency, since, conversation, facts }
    }

    fn snapshot() -> Snapshot<'static> {
        Snapshot {
            position: Position { offset: 6, index: 1 },
            route: Cow::Borrowed("alerts"),
            conversation: Cow::Borrowed("key"),
            at: Timestamp::from_millis(6),
            entities: vec![Fingerprint::from_u128(7)].into(),
        }
    }
    const ID: TopicId = TopicId::from_u128(77);

    fn sealed() -> Vec<u8> {
        let mut builder = FrameBuilder::of(ID, Course::SetByOperator);
        builder.push(&observation(3));
        let [one, other] = [1, 2].map(Fingerprint::from_u128);
        builder.drop_duplicate(one, Position { offset: 4, index: 0 }, || ("alerts", "key"));
        builder.push(&observation(5));
        builder.drop_duplicate(one, Position { offset: 6, index: 0 }, || unreachable!("they are known"));
        builder.drop_duplicate(other, Position { offset: 6, index: 1 }, || ("alerts", "other"));
        builder.snapshot(&snapshot());
        let mut bytes = Vec::new();
        builder.seal("default", "topic", 2, &mut bytes);
        assert!(builder.is_empty());
        bytes
    }

    fn frame(bytes: &[u8]) -> Frame<'_> {
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(bytes) else { panic!("not a frame") };
        frame
    }

    #[test]
    fn a_frame_comes_back_as_it_was_built() {
        let bytes = sealed();
        let frame = frame(&bytes);
        assert_eq!((frame.lane, frame.topic, frame.partition), ("default", "topic", 2));
        assert_eq!((frame.topic_id, frame.course), (ID, Course::SetByOperator));
        assert_eq!(frame.observations, [observation(3), observation(5)]);
        let drops: Vec<_> =
            frame.drops.iter().map(|drops| (drops.conversation.as_ref(), drops.positions.len())).collect();
        assert_eq!(drops, [("key", 2), ("other", 1)]);
        assert_eq!(frame.snapshots, [snapshot()]);
    }

    #[test]
    fn a_frame_of_the_first_version_is_read_and_its_topics_id_is_unknown() {
        let first = HeaderFirst { lane: "default", topic: "topic", partition: 2, observations: 1 };
        let bytes = postcard::to_extend(&first, vec![VERSION_FIRST, KIND_FRAME]).expect("written");
        let bytes = postcard::to_extend(&before(3), bytes).expect("written");
        let bytes = postcard::to_extend(&Vec::<Drops<'_>>::new(), bytes).expect("written");
        let frame = frame(&bytes);
        assert_eq!((frame.topic_id, frame.course, frame.partition), (TopicId::UNKNOWN, Course::Onward, 2));
        assert_eq!(frame.observations, [observation(3)]);
    }

    #[test]
    fn a_frame_of_the_version_before_is_read_with_all_that_it_knew() {
        let course = Course::SetByOperator;
        let header = Header { lane: "default", topic: "topic", topic_id: ID, partition: 2, course, observations: 2 };
        let bytes = postcard::to_extend(&header, vec![VERSION_BEFORE, KIND_FRAME]).expect("written");
        let bytes = postcard::to_extend(&before(3), bytes).expect("written");
        let bytes = postcard::to_extend(&before(5), bytes).expect("written");
        let bytes = postcard::to_extend(&(Vec::<Drops<'_>>::new(), [snapshot()].to_vec()), bytes).expect("written");
        let frame = frame(&bytes);
        assert_eq!((frame.topic_id, frame.course), (ID, course));
        assert_eq!(frame.observations, [observation(3), observation(5)]);
        assert_eq!(frame.snapshots, [snapshot()]);
    }

    #[test]
    fn what_is_sent_back_comes_back_as_it_was_written_but_not_in_a_version_that_did_not_know_it() {
        let returned = Returned {
            lane: "default",
            routing_key: "alerts/key",
            subject: "s",
            author: "",
            words: "two\nlines",
            nonce: Fingerprint::from_u128(4),
            at: Timestamp::from_millis(9),
        };
        let mut bytes = write_returned(&returned);
        let Ok(LedgerRecord::Returned(read)) = LedgerRecord::read(&bytes) else { panic!("not returned") };
        assert_eq!(read, returned);
        bytes[0] = VERSION_FIRST;
        assert_eq!(LedgerRecord::read(&bytes).err(), Some(LedgerError::Damaged));
    }

    #[test]
    fn a_topic_id_is_shown_as_kafkas_tools_show_it() {
        let rows = [
            (0, "AAAAAAAAAAAAAAAAAAAAAA"),
            (u128::MAX, "_____________________w"),
            (0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10, "AQIDBAUGBwgJCgsMDQ4PEA"),
        ];
        for (bits, shown) in rows {
            assert_eq!(TopicId::from_u128(bits).to_string(), shown);
        }
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
