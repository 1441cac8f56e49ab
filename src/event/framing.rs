//! Frames in the making: what one lane hears from one source partition, until it is sealed.
//!
//! A builder is used again and again, and what it left out costs no allocation once its buffers have grown: names of
//! conversations stand one behind the other in one text, and positions in one list, sorted by conversation when it is sealed.
//! Limits are the caller's: it looks at [`FrameBuilder::bytes`] and [`FrameBuilder::items`].

use hashbrown::HashTable;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::Fingerprint;
use super::frame::{
    Course, Header, KIND_FRAME, Observation, Position, SNAPSHOT_ENTITIES_MAX, Snapshot, TopicId, VERSION,
};

/// Collects what one lane hears from one source partition.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    topic_id: TopicId,
    course: Course,
    body: Vec<u8>,
    observations: u32,
    left_out: LeftOut,
    /// As they are written, one after another.
    snapshots: Vec<u8>,
    snapshot_count: usize,
}

impl FrameBuilder {
    /// For a partition of a topic with this id.
    pub fn of(topic_id: TopicId, course: Course) -> Self {
        Self { topic_id, course, ..Self::default() }
    }

    /// The same for one that was sealed, which keeps its buffers.
    pub fn begin(&mut self, topic_id: TopicId, course: Course) {
        debug_assert!(self.is_empty(), "what it holds would change sides");
        (self.topic_id, self.course) = (topic_id, course);
    }

    pub fn push(&mut self, observation: &Observation<'_>) {
        let body = std::mem::take(&mut self.body);
        self.body = postcard::to_extend(observation, body).expect("a Vec takes everything");
        self.observations += 1;
    }

    /// Notes an observation that is left out because the lane has just been told the same. `home` stands for its route and
    /// conversation; their names are asked for once a frame.
    pub fn drop_duplicate<'n>(
        &mut self,
        home: Fingerprint,
        position: Position,
        names: impl FnOnce() -> (&'n str, &'n str),
    ) {
        self.left_out.note(home, position, names);
    }

    /// Adds a snapshot, after the observations of its record.
    pub fn snapshot(&mut self, snapshot: &Snapshot<'_>) {
        debug_assert!(snapshot.entities.len() <= SNAPSHOT_ENTITIES_MAX, "the caller keeps the bound");
        let snapshots = std::mem::take(&mut self.snapshots);
        self.snapshots = postcard::to_extend(snapshot, snapshots).expect("a Vec takes everything");
        self.snapshot_count += 1;
    }

    pub const fn is_empty(&self) -> bool {
        self.observations == 0 && self.left_out.items.is_empty()
    }

    /// About how many bytes the frame will have.
    pub const fn bytes(&self) -> usize {
        self.body.len() + self.left_out.names.len() + self.left_out.items.len() * 4 + self.snapshots.len()
    }

    /// How many observations and drops it holds.
    pub fn items(&self) -> u32 {
        self.observations + u32::try_from(self.left_out.items.len()).unwrap_or(u32::MAX)
    }

    /// The frame as a ledger record; the builder is empty afterwards and keeps its buffers.
    pub fn seal(&mut self, lane: &str, topic: &str, partition: i32, into: &mut Vec<u8>) {
        into.clear();
        into.extend([VERSION, KIND_FRAME]);
        let Self { topic_id, course, observations, .. } = *self;
        let header = Header { lane, topic, topic_id, partition, course, observations };
        let written = postcard::to_extend(&header, std::mem::take(into)).expect("a Vec takes everything");
        *into = written;
        into.extend_from_slice(&self.body);
        self.left_out.sort();
        let written = postcard::to_extend(&(&self.left_out, self.snapshot_count), std::mem::take(into));
        *into = written.expect("a Vec takes everything");
        into.extend_from_slice(&self.snapshots);
        self.body.clear();
        self.snapshots.clear();
        self.snapshot_count = 0;
        self.left_out.clear();
        self.observations = 0;
    }
}

/// What was left out, by conversation.
#[derive(Debug, Default)]
struct LeftOut {
    /// Routes and conversation keys, one behind the other.
    names: String,
    conversations: Vec<Named>,
    /// Places in `conversations`, by their homes.
    by_home: HashTable<u32>,
    items: Vec<(u32, Position)>,
    /// Filled for sealing: positions by conversation.
    sorted: Vec<Position>,
}

/// Where the names of one conversation stand.
#[derive(Debug)]
struct Named {
    home: Fingerprint,
    route: usize,
    key: usize,
    end: usize,
    /// How many items are its own; while they are sorted, where in `sorted` they end so far.
    items: usize,
}

impl LeftOut {
    fn note<'n>(&mut self, home: Fingerprint, position: Position, names_of: impl FnOnce() -> (&'n str, &'n str)) {
        let Self { names, conversations, by_home, items, .. } = self;
        let hash = |home: Fingerprint| home.as_u128() as u64;
        let is_it = |place: &u32| conversations[*place as usize].home == home;
        if let Some(place) = by_home.find(hash(home), is_it) {
            conversations[*place as usize].items += 1;
            return items.push((*place, position));
        }
        let place = u32::try_from(conversations.len()).expect("frames are far smaller");
        let (begin, (route, key)) = (names.len(), names_of());
        names.push_str(route);
        names.push_str(key);
        conversations.push(Named { home, route: begin, key: begin + route.len(), end: names.len(), items: 1 });
        by_home.insert_unique(hash(home), place, |place| hash(conversations[*place as usize].home));
        items.push((place, position));
    }

    /// Brings together what belongs together, in one pass; positions stay in order, as they only grow.
    fn sort(&mut self) {
        let Self { conversations, items, sorted, .. } = self;
        let mut begin = 0;
        for named in &mut *conversations {
            begin += std::mem::replace(&mut named.items, begin);
        }
        sorted.clear();
        sorted.resize(items.len(), Position::default());
        for (place, position) in items {
            let end = &mut conversations[*place as usize].items;
            sorted[*end] = *position;
            *end += 1;
        }
    }

    fn clear(&mut self) {
        self.names.clear();
        self.conversations.clear();
        self.by_home.clear();
        self.items.clear();
    }
}

/// As a sequence of [`super::frame::Drops`].
impl Serialize for LeftOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.conversations.len()))?;
        let mut begin = 0;
        for named in &self.conversations {
            let positions = &self.sorted[begin..named.items];
            begin = named.items;
            let (route, conversation) = (&self.names[named.route..named.key], &self.names[named.key..named.end]);
            sequence.serialize_element(&Together { route, conversation, positions })?;
        }
        sequence.end()
    }
}

/// As one of [`super::frame::Drops`].
#[derive(Serialize)]
struct Together<'l> {
    route: &'l str,
    conversation: &'l str,
    positions: &'l [Position],
}
