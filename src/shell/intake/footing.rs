//! Where each of our source partitions stands: in which life of its topic, who said where to begin, and how far it is read.
//!
//! Every offset that we commit carries the id of its topic in its metadata. So a commit of a former life is recognised and
//! void, and one that an operator has set (no metadata of ours) is known for what it is. While we read, a partition whose
//! offsets suddenly go back, or whose topic has another id, begins again from its beginning.

use crate::event::{Course, Timestamp, TopicId};

/// What our commits begin their metadata with.
const NOTE: &str = "topic-id=";

/// One partition that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footing {
    pub id: TopicId,
    pub course: Course,
    /// The next offset to be read; none before the first record.
    pub next: Option<i64>,
    /// The time of the newest record that was read.
    pub newest: Option<Timestamp>,
}

/// What the group knows of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed<'a> {
    Nothing,
    At { offset: i64, metadata: &'a str },
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Where its source's config says: nobody has read it before.
    AsConfigured,
    At {
        offset: i64,
        course: Course,
    },
    /// From its beginning: what was committed belongs to a topic that was deleted.
    Anew,
}

/// What the next record of a partition is to what was read before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Onward,
    /// It stands before what has been read already.
    Back,
}

/// The metadata of a commit.
pub fn note(id: TopicId) -> String {
    format!("{NOTE}{id}")
}

/// Where a partition of the topic with this id begins.
pub fn begin(id: TopicId, committed: Committed<'_>) -> Begin {
    let Committed::At { offset, metadata } = committed else { return Begin::AsConfigured };
    let Some(noted) = metadata.strip_prefix(NOTE) else {
        return Begin::At { offset, course: Course::SetByOperator };
    };
    let same = noted == id.to_string() || noted == TopicId::UNKNOWN.to_string() || !id.is_known();
    if same { Begin::At { offset, course: Course::Onward } } else { Begin::Anew }
}

impl Footing {
    /// Notes that a record is about to be read.
    pub fn step(&mut self, offset: i64, millis: Option<i64>) -> Step {
        if self.next.is_some_and(|next| offset < next) {
            return Step::Back;
        }
        self.next = Some(offset + 1);
        self.newest = millis.map(Timestamp::from_signed_millis).or(self.newest);
        Step::Onward
    }
}

/// Does a topic with this id stand where one with that id stood?
pub fn outlives(id: TopicId, former: TopicId) -> bool {
    id.is_known() && former.is_known() && id != former
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TopicId = TopicId::from_u128(7);
    const OTHER: TopicId = TopicId::from_u128(8);

    #[test]
    fn a_commit_counts_for_the_life_of_the_topic_that_it_names() {
        let (ours, former, unnamed) = (note(ID), note(OTHER), note(TopicId::UNKNOWN));
        let onward = Begin::At { offset: 5, course: Course::Onward };
        let by_hand = Begin::At { offset: 5, course: Course::SetByOperator };
        let rows = [
            ("nothing is committed", ID, None, Begin::AsConfigured),
            ("our own commit", ID, Some(&*ours), onward),
            ("of a topic that was deleted", ID, Some(&*former), Begin::Anew),
            ("from a broker that had no ids", ID, Some(&*unnamed), onward),
            ("by a broker that has none any more", TopicId::UNKNOWN, Some(&*former), onward),
            ("set by an operator", ID, Some(""), by_hand),
            ("set by another program", ID, Some("x"), by_hand),
        ];
        for (sentence, id, metadata, wanted) in rows {
            let committed = metadata.map_or(Committed::Nothing, |metadata| Committed::At { offset: 5, metadata });
            assert_eq!(begin(id, committed), wanted, "{sentence}");
        }
    }

    #[test]
    fn a_step_back_is_noticed_and_changes_nothing() {
        let mut footing = Footing { id: ID, ..Footing::default() };
        let steps = [5, 6, 9, 8, 10].map(|offset| footing.step(offset, None));
        assert_eq!(steps, [Step::Onward, Step::Onward, Step::Onward, Step::Back, Step::Onward]);
    }
}
