//! What the hook learned, as the ledger carries it: lessons, as many as came together, one after another in one record.
//!
//! Layout: version byte, kind byte, then postcard, lesson by lesson. A record of one lesson, as earlier builds wrote it, is
//! read as well.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::frame::{KIND_LESSONS, VERSION};

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
    /// A person began it in Missive: this is its id, and the routing key is the recipient that was written to, none of ours.
    Begun,
}

/// A ledger record of lessons in the making.
#[derive(Debug, PartialEq, Eq)]
pub struct LessonsBuilder {
    record: Vec<u8>,
    count: usize,
}

impl LessonsBuilder {
    /// With its first lesson: there is no record without any.
    pub fn of(lesson: &Lesson<'_>) -> Self {
        let mut lessons = Self { record: vec![VERSION, KIND_LESSONS], count: 0 };
        lessons.push(lesson);
        lessons
    }

    pub fn push(&mut self, lesson: &Lesson<'_>) {
        let record = std::mem::take(&mut self.record);
        self.record = postcard::to_extend(lesson, record).expect("a Vec takes everything");
        self.count += 1;
    }

    /// The ledger record, as it stands.
    pub fn as_bytes(&self) -> &[u8] {
        &self.record
    }

    /// How many lessons it holds.
    pub const fn count(&self) -> usize {
        self.count
    }
}

/// Reads what stands behind the kind byte: one lesson at least, and nothing but lessons.
pub(super) fn read_all(bytes: &[u8]) -> postcard::Result<Vec<Lesson<'_>>> {
    let (first, mut rest) = postcard::take_from_bytes(bytes)?;
    let mut lessons = vec![first];
    while !rest.is_empty() {
        let (lesson, after) = postcard::take_from_bytes(rest)?;
        lessons.push(lesson);
        rest = after;
    }
    Ok(lessons)
}

#[cfg(test)]
mod tests {
    use super::super::frame::{KIND_LESSON, LedgerError, LedgerRecord, VERSION_BEFORE, VERSION_FIRST};
    use super::*;

    fn lesson(about: Learned) -> Lesson<'static> {
        let at = Timestamp::from_millis(9);
        Lesson { channel: "ops", routing_key: "alerts/key", conversation_id: "c", about, at }
    }

    fn read(bytes: &[u8]) -> Vec<Lesson<'_>> {
        match LedgerRecord::read(bytes) {
            Ok(LedgerRecord::Lessons(lessons)) => lessons,
            other => panic!("no lessons: {other:?}"),
        }
    }

    #[test]
    fn lessons_come_back_as_they_were_written_and_in_order() {
        let said = [Learned::Answered, Learned::Muted, Learned::Answered, Learned::Closed].map(lesson);
        let mut written = LessonsBuilder::of(&said[0]);
        for (before, lesson) in said.iter().enumerate().skip(1) {
            assert_eq!((written.count(), read(written.as_bytes())), (before, said[..before].to_vec()));
            written.push(lesson);
        }
        assert_eq!(read(written.as_bytes()), said);
    }

    #[test]
    fn one_by_itself_is_read_as_builds_and_versions_before_wrote_it() {
        for version in [VERSION, VERSION_BEFORE, VERSION_FIRST] {
            let record = postcard::to_extend(&lesson(Learned::Muted), vec![version, KIND_LESSON]).expect("a Vec");
            assert_eq!(read(&record), [lesson(Learned::Muted)]);
        }
    }

    #[test]
    fn lessons_that_are_cut_within_one_are_damage() {
        let mut written = LessonsBuilder::of(&lesson(Learned::Answered));
        let whole = written.as_bytes().len();
        written.push(&lesson(Learned::Closed));
        let bytes = written.as_bytes();
        for end in (0..bytes.len()).filter(|end| *end != whole) {
            assert_eq!(LedgerRecord::read(&bytes[..end]).err(), Some(LedgerError::Damaged), "cut at {end}");
        }
    }
}
