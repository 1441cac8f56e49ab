//! The source partitions that are ours, and what has been read of them since the last seal.
//!
//! Frames are made here: of one partition for one lane, in order. Builders go round between partitions, so that a steady flow
//! allocates nothing. A record of a partition that isn't ours any more is left to whoever has it now.

use std::collections::BTreeMap;

use super::footing::{Footing, outlives};
use crate::event::{FrameBuilder, TopicId};
use crate::shell::kafka::Partition;

/// Builders that are kept for their buffers.
const SPARE_MAX: usize = 64;

/// When a frame is full.
#[derive(Clone, Copy, Debug)]
pub struct FrameMax {
    pub bytes: usize,
    pub items: u32,
}

/// One source partition of ours.
#[derive(Debug)]
pub struct Held {
    pub partition: Partition,
    pub footing: Footing,
    /// Its place among the sources.
    pub source: Option<usize>,
    /// The next offset to be read after what is in `frames`.
    pub reached: Option<i64>,
    /// Its offsets went back: nothing of it is taken until it has begun again.
    pub went_back_to: Option<i64>,
    /// By lane, in order; of those of one lane all but the last are full.
    frames: Vec<(usize, FrameBuilder)>,
}

/// Builders without work.
#[derive(Debug, Default)]
pub struct Spare(Vec<FrameBuilder>);

/// All partitions that are ours, sorted.
#[derive(Debug, Default)]
pub struct Holdings {
    held: Vec<Held>,
    /// The one that was looked for last: records come in runs of one partition.
    last: usize,
}

impl Held {
    /// The frame for what is read next for a lane.
    pub fn frame(&mut self, lane: usize, max: FrameMax, spare: &mut Spare) -> &mut FrameBuilder {
        let open = self.frames.iter().rposition(|(of, frame)| *of == lane && !max.is_reached_by(frame));
        let place = open.unwrap_or_else(|| {
            self.frames.push((lane, spare.take(self.footing)));
            self.frames.len() - 1
        });
        &mut self.frames[place].1
    }

    /// The frame that something was just put into.
    pub fn last_frame(&mut self, lane: usize) -> Option<&mut FrameBuilder> {
        self.frames.iter_mut().rfind(|(of, _)| *of == lane).map(|(_, frame)| frame)
    }

    /// Takes all frames out, in order, by lane.
    pub fn take(&mut self) -> Vec<(usize, FrameBuilder)> {
        std::mem::take(&mut self.frames)
    }
}

impl FrameMax {
    pub fn is_reached_by(self, frame: &FrameBuilder) -> bool {
        frame.bytes() >= self.bytes || frame.items() >= self.items
    }
}

impl Spare {
    /// Takes back what has been sealed.
    pub fn put(&mut self, sealed: FrameBuilder) {
        if self.0.len() < SPARE_MAX {
            self.0.push(sealed);
        }
    }

    fn take(&mut self, footing: Footing) -> FrameBuilder {
        let mut frame = self.0.pop().unwrap_or_default();
        frame.begin(footing.id, footing.course);
        frame
    }
}

impl Holdings {
    /// Takes a partition over, or lets it stand on another footing; what was being made of it is gone.
    pub fn set(&mut self, partition: Partition, footing: Footing, source: Option<usize>) {
        let held = Held { partition, footing, source, reached: None, went_back_to: None, frames: Vec::new() };
        match self.place(&held.partition.topic, held.partition.number) {
            Ok(place) => self.held[place] = held,
            Err(place) => self.held.insert(place, held),
        }
    }

    pub fn find(&mut self, topic: &str, number: i32) -> Option<&mut Held> {
        let is_it = |held: &Held| held.partition.number == number && *held.partition.topic == *topic;
        if !self.held.get(self.last).is_some_and(is_it) {
            self.last = self.place(topic, number).ok()?;
        }
        self.held.get_mut(self.last)
    }

    /// Nothing is known of what isn't ours.
    pub fn footing(&self, partition: &Partition) -> Footing {
        let place = self.place(&partition.topic, partition.number);
        place.map_or_else(|_| Footing::default(), |place| self.held[place].footing)
    }

    pub fn forget(&mut self, partitions: &[Partition]) {
        self.held.retain(|held| !partitions.contains(&held.partition));
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut()
    }

    /// Bytes of all frames in the making.
    pub fn made_bytes(&self) -> usize {
        self.held.iter().flat_map(|held| &held.frames).map(|(_, frame)| frame.bytes()).sum()
    }

    pub fn anything_is_read(&self) -> bool {
        self.held.iter().any(|held| held.reached.is_some())
    }

    /// The topics that are being read, each once.
    pub fn topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.held.iter().map(|held| &*held.partition.topic).collect();
        topics.dedup();
        topics
    }

    /// Partitions whose topic has another id by now. A topic that is gone is left to the group.
    pub fn outlived(&self, ids: &BTreeMap<Box<str>, TopicId>) -> Vec<(Partition, TopicId)> {
        let other = |held: &Held| {
            let id = *ids.get(&held.partition.topic)?;
            outlives(id, held.footing.id).then(|| (held.partition.clone(), id))
        };
        self.held.iter().filter_map(other).collect()
    }

    fn place(&self, topic: &str, number: i32) -> Result<usize, usize> {
        self.held.binary_search_by(|held| (&*held.partition.topic, held.partition.number).cmp(&(topic, number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fingerprint, Position};

    const ID: TopicId = TopicId::from_u128(7);
    const OTHER: TopicId = TopicId::from_u128(8);

    fn partition(topic: &str, number: i32) -> Partition {
        Partition { topic: topic.into(), number }
    }

    fn holdings() -> Holdings {
        let mut holdings = Holdings::default();
        for (topic, number) in [("b", 1), ("a", 3), ("b", 0)] {
            holdings.set(partition(topic, number), Footing { id: ID, ..Footing::default() }, None);
        }
        holdings
    }

    #[test]
    fn what_is_ours_is_found_in_any_order_and_nothing_else() {
        let mut holdings = holdings();
        for (topic, number, ours) in [("b", 0, true), ("b", 0, true), ("a", 3, true), ("a", 0, false), ("b", 1, true)] {
            let found = holdings.find(topic, number).map(|held| held.partition.clone());
            assert_eq!(found, ours.then(|| partition(topic, number)), "{topic} {number}");
        }
        holdings.forget(&[partition("b", 1), partition("a", 3)]);
        assert!(holdings.find("b", 1).is_none() && holdings.find("a", 3).is_none());
        assert_eq!(holdings.topics(), ["b"]);
    }

    #[test]
    fn a_lane_has_one_open_frame_and_a_full_one_is_not_opened_again() {
        let (mut holdings, mut spare) = (holdings(), Spare::default());
        let max = FrameMax { bytes: 1 << 20, items: 2 };
        let held = holdings.find("a", 3).expect("ours");
        for (offset, lane) in [(1, 0), (2, 1), (3, 0), (4, 0), (5, 1)] {
            let (home, position) = (Fingerprint::from_u128(1), Position { offset, index: 0 });
            held.frame(lane, max, &mut spare).drop_duplicate(home, position, || ("r", "k"));
        }
        let made: Vec<_> = held.take().into_iter().map(|(lane, frame)| (lane, frame.items())).collect();
        assert_eq!(made, [(0, 2), (1, 2), (0, 1)]);
    }

    #[test]
    fn a_topic_with_another_id_has_outlived_its_footing_but_one_that_is_gone_has_not() {
        let holdings = holdings();
        let ids = |id| BTreeMap::from([("b".into(), id)]);
        assert_eq!(holdings.outlived(&ids(OTHER)), [(partition("b", 0), OTHER), (partition("b", 1), OTHER)]);
        for known in [ids(ID), ids(TopicId::UNKNOWN), BTreeMap::new()] {
            assert_eq!(holdings.outlived(&known), [], "{known:?}");
        }
    }
}
