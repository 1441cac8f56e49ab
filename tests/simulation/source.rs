//! The intake: from the records of source partitions to the frames that tell the lane of them.
//!
//! Each source partition is a log. A *producer* reads it from some record on and writes frames that cover contiguous
//! ranges; after an intake crash another one starts further back, without the memory of the first, which may go on for a
//! while. So the ledger holds the same position more than once, in frames with other boundaries, here as an observation and
//! there as a dropped duplicate.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use missived::event::{FrameBuilder, HashKey, Position, Timestamp};

use super::happening::{Happening, Place, Snapshot, SourceRecord};
use super::random::Random;
use super::scenario::SECOND;

/// How long an intake remembers what it has sent.
const CACHE_HORIZON: u64 = 10 * SECOND;

/// Of what stands for conversations in frames.
const HOMES: HashKey = HashKey::new([9; 16]);

/// The most of one frame.
const FRAME_ITEMS_MAX: u64 = 64;

/// One item of a frame, as the naive model reads it.
#[derive(Clone, Debug)]
pub struct Item {
    pub position: Position,
    /// The record's own time.
    pub at: u64,
    pub happening: Rc<Happening>,
    pub dropped: bool,
}

/// A snapshot in a frame, as the naive model reads it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub position: Position,
    pub at: u64,
    pub place: Rc<Place>,
    pub entities: BTreeSet<u64>,
}

/// A frame, as the lane and as the naive model read it.
#[derive(Default)]
pub struct Framed {
    pub bytes: Vec<u8>,
    pub items: Vec<Item>,
    pub snapshots: Vec<Listed>,
}

#[derive(Debug, Default)]
struct Producer {
    /// The next record.
    next: usize,
    /// What was last sent of a thing, and when.
    sent: BTreeMap<(usize, u64), (u64, u64)>,
    /// What was last listed of a group, and when.
    listed: BTreeMap<usize, (BTreeSet<u64>, u64)>,
    /// A predecessor that has not noticed yet: frames it may still write.
    writes_left: Option<u32>,
}

/// One source partition and who reads it.
#[derive(Debug)]
pub struct SourcePartition {
    number: i32,
    /// Records that tell of a whole group are told of as such.
    tells_whole: bool,
    log: Vec<(i64, SourceRecord)>,
    producers: Vec<Producer>,
    builder: FrameBuilder,
}

impl SourcePartition {
    pub fn new(number: i32, tells_whole: bool) -> Self {
        Self {
            number,
            tells_whole,
            log: Vec::new(),
            producers: vec![Producer::default()],
            builder: FrameBuilder::default(),
        }
    }

    /// A record is written to the source topic; now and then it comes as one with the one before.
    pub fn append(&mut self, random: &mut Random, record: SourceRecord) {
        let (joins, gap) = (random.chance(200), i64::from(random.chance(50)));
        let unread = self.producers.iter().all(|producer| producer.next < self.log.len());
        let next = self.log.last().map_or(0, |(offset, _)| offset + 1 + gap);
        match self.log.last_mut() {
            Some((_, last)) if joins && unread && last.snapshot == Snapshot::No && record.snapshot == Snapshot::No => {
                last.says.extend(record.says);
            }
            Some(_) | None => self.log.push((next, record)),
        }
    }

    pub fn is_behind(&self) -> bool {
        self.producers.iter().any(|producer| producer.next < self.log.len())
    }

    /// Writes one frame, if there is something to write.
    pub fn frame(&mut self, now: u64, random: &mut Random, crashes_pm: u64) -> Option<Framed> {
        if random.chance(crashes_pm) {
            self.crash(random);
        }
        let behind: Vec<_> = (0..self.producers.len()).filter(|at| self.producers[*at].next < self.log.len()).collect();
        if behind.is_empty() {
            return None;
        }
        let chosen = random.pick(&behind);
        let items_max = usize::try_from(random.spread(1, FRAME_ITEMS_MAX)).expect("small");
        let mut framed = self.read(now, chosen, items_max);
        self.retire(chosen);
        self.builder.seal("default", "source", self.number, &mut framed.bytes);
        Some(framed)
    }

    pub const fn number(&self) -> i32 {
        self.number
    }

    /// Whole records, at least one.
    fn read(&mut self, now: u64, chosen: usize, items_max: usize) -> Framed {
        let producer = &mut self.producers[chosen];
        let mut framed = Framed::default();
        for (offset, record) in &self.log[producer.next..] {
            if !framed.items.is_empty() && framed.items.len() + record.says.len() > items_max {
                break;
            }
            for (index, happening) in (0..).zip(&record.says) {
                let position = Position { offset: *offset, index };
                let dropped = producer.has_just_sent(now, happening);
                if dropped {
                    let names = (happening.place.route, &*happening.place.key);
                    let home = HOMES.fingerprint(&[names.0.as_bytes(), names.1.as_bytes()]);
                    self.builder.drop_duplicate(home, position, || names);
                } else {
                    self.builder.push(&happening.observation(position, record.stamped));
                }
                framed.items.push(Item {
                    position,
                    at: record.stamped.unwrap_or(happening.at),
                    happening: Rc::clone(happening),
                    dropped,
                });
            }
            if let Some(listed) = listed_by(*offset, record).filter(|_| self.tells_whole)
                && !producer.has_just_listed(now, &listed)
            {
                self.builder.snapshot(&listed.snapshot());
                framed.snapshots.push(listed);
            }
            producer.next += 1;
        }
        framed
    }

    /// Another producer takes over from further back; the old one may not notice at once.
    fn crash(&mut self, random: &mut Random) {
        let Some(current) = self.producers.last_mut() else { return };
        let back = usize::try_from(random.spread(1, 40)).expect("small");
        let next = current.next.saturating_sub(back);
        current.writes_left = Some(u32::try_from(random.between(0, 2)).expect("small"));
        self.producers.retain(|producer| producer.writes_left != Some(0));
        self.producers.push(Producer { next, ..Producer::default() });
    }

    fn retire(&mut self, at: usize) {
        if let Some(left) = &mut self.producers[at].writes_left {
            *left -= 1;
        }
        self.producers.retain(|producer| producer.writes_left != Some(0));
    }
}

/// All that a record lists, if that is all there is.
fn listed_by(offset: i64, record: &SourceRecord) -> Option<Listed> {
    let last = record.says.last().filter(|_| record.snapshot == Snapshot::Whole)?;
    Some(Listed {
        position: Position { offset, index: u32::try_from(record.says.len() - 1).expect("few") },
        at: record.stamped.unwrap_or(last.at),
        place: Rc::clone(&last.place),
        entities: record.says.iter().map(|says| says.entity).collect(),
    })
}

impl Listed {
    fn snapshot(&self) -> missived::event::Snapshot<'static> {
        missived::event::Snapshot {
            position: self.position,
            route: Cow::Borrowed(self.place.route),
            conversation: Cow::Owned(self.place.key.clone()),
            at: Timestamp::from_millis(self.at),
            entities: self.entities.iter().map(|entity| self.place.fingerprint(*entity)).collect(),
        }
    }
}

impl Producer {
    fn has_just_listed(&mut self, now: u64, listed: &Listed) -> bool {
        let known = self.listed.get(&listed.place.number);
        let known = known.is_some_and(|(entities, at)| *entities == listed.entities && now - at < CACHE_HORIZON);
        if !known {
            self.listed.insert(listed.place.number, (listed.entities.clone(), now));
        }
        known
    }

    fn has_just_sent(&mut self, now: u64, happening: &Happening) -> bool {
        let thing = happening.thing();
        let known = self.sent.get(&thing).is_some_and(|(news, at)| *news == happening.news && now - at < CACHE_HORIZON);
        if !known {
            self.sent.insert(thing, (happening.news, now));
        }
        known
    }
}
