//! Marks: the last position folded of every source partition.
//!
//! What stands at or below its partition's mark has been folded before. A mark belongs to one life of a topic: of a topic that
//! was deleted and created again, positions begin anew, and so does its mark. Frames that don't know their topic's id go by
//! the mark heard last, and a mark that doesn't know it is taken over by the first frame that does: both are left from the
//! version before ids, or come from a broker without them.
//!
//! Bounds: [`MARKS_MAX`]; a mark that nothing was heard of for [`SILENCE_MAX`] goes when another comes: by then Kafka has
//! forgotten the group's offset as well, so nothing below it can be read again but by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Position, Timestamp, TopicId};

/// Marks kept at most; then the one heard of least recently goes.
pub const MARKS_MAX: usize = 8_192;

/// A mark is kept for this long after it last moved.
const SILENCE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// One source partition in one life of its topic; ordered so that all lives of a partition stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    pub topic: Box<str>,
    pub partition: i32,
    pub id: TopicId,
}

/// What is known of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Everything up to this position has been folded.
    Upto(Position),
    /// Nothing of it was ever heard.
    Nothing,
    /// Its topic was known under another id: it was deleted and created again.
    Recreated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    position: Position,
    /// When it last moved.
    heard: Timestamp,
}

/// The marks of one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<Origin, Mark>);

impl Marks {
    /// The origin whose mark counts for what claims to come from `origin`, and what is known of it.
    pub fn find(&mut self, origin: Origin) -> (Origin, Known) {
        if let Some(mark) = self.0.get(&origin) {
            let known = Known::Upto(mark.position);
            return (origin, known);
        }
        let latest = self.lives(&origin).max_by_key(|(_, mark)| mark.heard).map(|(other, mark)| (other.clone(), *mark));
        let Some((other, mark)) = latest else { return (origin, Known::Nothing) };
        match (origin.id.is_known(), other.id.is_known()) {
            (true, true) => (origin, Known::Recreated),
            (false, _) => (other, Known::Upto(mark.position)),
            (true, false) => {
                self.0.remove(&other);
                self.0.insert(origin.clone(), mark);
                (origin, Known::Upto(mark.position))
            }
        }
    }

    /// Moves a mark, or makes one.
    pub fn put(&mut self, now: Timestamp, origin: Origin, position: Position) {
        if !self.0.contains_key(&origin) {
            self.make_room(now);
        }
        self.0.insert(origin, Mark { position, heard: now });
    }

    /// As they are stored.
    pub fn stored(&self) -> impl Serialize + use<'_> {
        self.0.iter().collect::<Vec<_>>()
    }

    /// From what [`stored`](Self::stored) gave.
    pub fn restore(stored: StoredMarks) -> Self {
        Self(stored.0.into_iter().collect())
    }

    /// From what the version before stored; they count as heard of at `now`, once that is known.
    pub fn restore_before(stored: Vec<((Box<str>, i32), Position)>) -> Self {
        let marked = |((topic, partition), position)| {
            (Origin { topic, partition, id: TopicId::UNKNOWN }, Mark { position, heard: Timestamp::EPOCH })
        };
        Self(stored.into_iter().map(marked).collect())
    }

    /// The owner begins: marks without a time are as old as now.
    pub fn resume(&mut self, now: Timestamp) {
        for mark in self.0.values_mut().filter(|mark| mark.heard == Timestamp::EPOCH) {
            mark.heard = now;
        }
    }

    fn lives(&self, origin: &Origin) -> impl Iterator<Item = (&Origin, &Mark)> {
        let first = Origin { id: TopicId::UNKNOWN, ..origin.clone() };
        let same = (origin.topic.clone(), origin.partition);
        self.0.range(first..).take_while(move |(other, _)| (&other.topic, other.partition) == (&same.0, same.1))
    }

    fn make_room(&mut self, now: Timestamp) {
        self.0.retain(|_, mark| now.since(mark.heard) < SILENCE_MAX);
        if self.0.len() < MARKS_MAX {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, mark)| mark.heard).map(|(origin, _)| origin.clone());
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

/// Marks as they stand in the state topic.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct StoredMarks(Vec<(Origin, Mark)>);

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(id: u128, partition: i32) -> Origin {
        Origin { topic: "alerts".into(), partition, id: TopicId::from_u128(id) }
    }

    fn at(offset: i64) -> Position {
        Position { offset, index: 0 }
    }

    fn moment(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000 + secs * 1_000)
    }

    #[test]
    fn a_mark_counts_for_one_life_of_its_topic() {
        let rows = [
            ("nothing is known yet", vec![], origin(7, 0), (origin(7, 0), Known::Nothing)),
            ("the same life", vec![origin(7, 0)], origin(7, 0), (origin(7, 0), Known::Upto(at(5)))),
            ("another partition", vec![origin(7, 1)], origin(7, 0), (origin(7, 0), Known::Nothing)),
            ("another life", vec![origin(6, 0)], origin(7, 0), (origin(7, 0), Known::Recreated)),
            (
                "back to an earlier one",
                vec![origin(7, 0), origin(6, 0)],
                origin(7, 0),
                (origin(7, 0), Known::Upto(at(5))),
            ),
            (
                "a mark from before ids is taken over",
                vec![origin(0, 0)],
                origin(7, 0),
                (origin(7, 0), Known::Upto(at(5))),
            ),
            (
                "a frame from before ids goes by what is known",
                vec![origin(7, 0)],
                origin(0, 0),
                (origin(7, 0), Known::Upto(at(5))),
            ),
            ("no ids at all", vec![origin(0, 0)], origin(0, 0), (origin(0, 0), Known::Upto(at(5)))),
        ];
        for (sentence, known, asked, found) in rows {
            let mut marks = Marks::default();
            for (number, origin) in (0..).zip(known) {
                marks.put(moment(number), origin, at(5));
            }
            assert_eq!(marks.find(asked), found, "{sentence}");
        }
    }

    #[test]
    fn a_mark_that_is_taken_over_is_not_kept_twice() {
        let mut marks = Marks::default();
        marks.put(moment(0), origin(0, 0), at(5));
        assert_eq!(marks.find(origin(7, 0)).1, Known::Upto(at(5)));
        assert_eq!(marks.find(origin(8, 0)).1, Known::Recreated, "its life is known now");
    }

    #[test]
    fn marks_of_topics_that_are_gone_go_when_another_comes_and_their_number_is_bounded() {
        let mut marks = Marks::default();
        marks.put(moment(0), origin(1, 0), at(1));
        marks.put(moment(600_000), origin(1, 1), at(1));
        marks.put(moment(604_799), origin(2, 0), at(1));
        assert_eq!(marks.0.len(), 3);
        marks.put(moment(604_801), origin(2, 1), at(1));
        assert_eq!((marks.0.len(), marks.find(origin(1, 0)).1), (3, Known::Recreated), "a week of silence");

        let many = i32::try_from(MARKS_MAX).expect("small") + 10;
        for partition in 0..many {
            marks.put(moment(700_000 + u64::from(partition.unsigned_abs())), origin(3, partition), at(1));
        }
        assert_eq!(marks.0.len(), MARKS_MAX);
        assert_eq!(marks.find(origin(3, many - 1)).1, Known::Upto(at(1)), "the newest stay");
    }
}
