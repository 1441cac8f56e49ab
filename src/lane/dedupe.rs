//! Which identities are no news any more.
//!
//! Time-sliced sets, one series per window length: an identity is put into the newest slice, a slice is dropped whole when
//! the window has passed since its end. No eviction order to keep. A slice is [`SHARDS`] small tables, so that no insert ever
//! rehashes a large one. The number of identities is capped: the oldest slice goes first, and is counted.
//!
//! What has been added since the last commit is one *chunk* of a slice in the state topic; a slice that is dropped leaves
//! tombstones for its chunks. It is forgotten at once, and its memory and its tombstones go bit by bit in the steps that
//! follow: neither millions of keys nor thousands of chunks may hold one step up. A crash in between costs nothing: chunks
//! that come back are past their window, and dropped again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use crate::event::{Fingerprint, Timestamp};

/// Slices a window is divided into; an identity lives between one window and one window and a quarter. Each slice more is one
/// more table to look into.
const SLICES: u32 = 4;

/// Tables of a slice; an insert that grows one moves a 256th of the slice.
const SHARDS: usize = 256;

/// Identities in one chunk at most: well below what a record may hold.
const CHUNK_KEYS_MAX: usize = 16_384;

/// Identities of a dropped slice that are freed in one step, in whole tables.
const BURIED_KEYS: usize = 128 * 1024;

/// Tombstones of a dropped slice that are written in one step.
const BURIED_CHUNKS: u32 = 512;

/// How long it waits before it goes on freeing.
const BURIAL_PAUSE: Duration = Duration::from_millis(10);

/// Has this been seen within its window?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Fresh,
    Duplicate,
}

/// Names one chunk in the state topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// The window, in milliseconds.
    pub window: u64,
    /// Number of the slice: its start divided by its length.
    pub slice: u64,
    pub chunk: u32,
}

/// All identities of a lane.
#[derive(Debug)]
pub struct Dedupe {
    keys_max: usize,
    keys: usize,
    evicted: u64,
    windows: BTreeMap<u64, Slices>,
    /// Dropped slices, oldest first, with their windows.
    graves: VecDeque<(u64, Slice)>,
    /// When something was last freed.
    buried_at: Timestamp,
}

#[derive(Debug, Default)]
struct Slices {
    /// Oldest first.
    slices: VecDeque<Slice>,
}

#[derive(Debug)]
struct Slice {
    number: u64,
    /// [`SHARDS`] of them, until it is dropped.
    shards: Vec<Shard>,
    len: usize,
    /// Chunks in the state topic.
    chunks: u32,
    /// Chunks that are not committed yet; their numbers go on from `chunks`.
    fresh: Vec<Vec<Fingerprint>>,
}

type Shard = HashSet<u128, BuildHasherDefault<AlreadyHashed>>;

/// Identities are keyed hashes already; half of one is as good a hash as any.
#[derive(Debug, Default)]
pub struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = bits as u64;
    }
}

impl Dedupe {
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            keys: 0,
            evicted: 0,
            windows: BTreeMap::new(),
            graves: VecDeque::new(),
            buried_at: Timestamp::EPOCH,
        }
    }

    /// Looks identities up. Each slice may cost each of them a wait for memory; so slice by slice, all of them wait together.
    pub fn look_up(&self, window: Duration, identities: &[Fingerprint], seen: &mut Vec<Seen>) {
        let first = seen.len();
        seen.resize(first + identities.len(), Seen::Fresh);
        let slices = self.windows.get(&window_millis(window)).into_iter().flat_map(|slices| &slices.slices);
        for slice in slices {
            for (identity, seen) in identities.iter().zip(&mut seen[first..]) {
                *seen = if slice.contains(*identity) { Seen::Duplicate } else { *seen };
            }
        }
    }

    /// Notes an identity that was looked up in this step, and since then can only have come into the newest slice; tells
    /// whether it was known. A chunk is told as dirty when it begins, and grows until it is committed.
    pub fn note(
        &mut self,
        now: Timestamp,
        window: Duration,
        identity: Fingerprint,
        looked_up: Seen,
        dirty: &mut impl FnMut(ChunkKey),
    ) -> Seen {
        if looked_up == Seen::Duplicate {
            return Seen::Duplicate;
        }
        let millis = window_millis(window);
        let slice = self.windows.entry(millis).or_default().newest(now, millis);
        if slice.insert(identity) == Seen::Duplicate {
            return Seen::Duplicate;
        }
        slice.record(millis, identity, dirty);
        self.keys += 1;
        if self.keys > self.keys_max {
            self.evict_oldest(dirty);
        }
        Seen::Fresh
    }

    /// Puts a known identity into the newest slice: it goes on being no news for another window.
    pub fn touch(&mut self, now: Timestamp, window: Duration, identity: Fingerprint, dirty: &mut impl FnMut(ChunkKey)) {
        let millis = window_millis(window);
        let slice = self.windows.entry(millis).or_default().newest(now, millis);
        if slice.insert(identity) == Seen::Fresh {
            slice.record(millis, identity, dirty);
            self.keys += 1;
            if self.keys > self.keys_max {
                self.evict_oldest(dirty);
            }
        }
    }

    /// Drops what is older than its window, and goes on freeing what was dropped.
    pub fn expire(&mut self, now: Timestamp, dirty: &mut impl FnMut(ChunkKey)) {
        for (window, slices) in &mut self.windows {
            while slices.slices.front().is_some_and(|slice| slice.expires(*window) <= now) {
                let Some(slice) = slices.slices.pop_front() else { break };
                self.keys -= slice.len;
                self.graves.push_back((*window, slice));
            }
        }
        if self.buried_at + BURIAL_PAUSE <= now {
            self.buried_at = now;
            self.bury(dirty);
        }
    }

    /// When the next slice can be dropped, or more of a dropped one freed.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        if !self.graves.is_empty() {
            return Some(self.buried_at + BURIAL_PAUSE);
        }
        let oldest = |(window, slices): (&u64, &Slices)| Some(slices.slices.front()?.expires(*window));
        self.windows.iter().filter_map(oldest).min()
    }

    pub const fn len(&self) -> usize {
        self.keys
    }

    /// Identities that went early because there were too many.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The identities of a chunk that is to be written; `None` is a tombstone.
    pub fn chunk(&self, key: ChunkKey) -> Option<&[Fingerprint]> {
        let slice = self.windows.get(&key.window)?.slices.iter().find(|slice| slice.number == key.slice)?;
        let place = usize::try_from(key.chunk.checked_sub(slice.chunks)?).ok()?;
        slice.fresh.get(place).map(Vec::as_slice)
    }

    /// Everything that was dirty has been committed: what comes next goes into new chunks.
    pub fn committed(&mut self) {
        for slice in self.windows.values_mut().flat_map(|slices| &mut slices.slices) {
            slice.chunks += slice.fresh_chunks();
            slice.fresh.clear();
        }
    }

    /// Takes back a chunk from the state topic. Chunks may come in any order.
    pub fn restore(&mut self, key: ChunkKey, identities: &[Fingerprint]) {
        let slice = self.windows.entry(key.window).or_default().numbered(key.slice);
        slice.chunks = slice.chunks.max(key.chunk + 1);
        self.keys += identities.iter().filter(|identity| slice.insert(**identity) == Seen::Fresh).count();
    }

    /// All chunks are back. What had been evicted may be among them, if its tombstones had not been written.
    pub fn resume(&mut self, dirty: &mut impl FnMut(ChunkKey)) {
        while self.keys > self.keys_max {
            self.evict_oldest(dirty);
        }
    }

    fn evict_oldest(&mut self, dirty: &mut impl FnMut(ChunkKey)) {
        let oldest = |(window, slices): (&u64, &Slices)| Some((slices.slices.front()?.expires(*window), *window));
        let Some((_, window)) = self.windows.iter().filter_map(oldest).min() else { return };
        let Some(slices) = self.windows.get_mut(&window) else { return };
        let Some(slice) = slices.slices.pop_front() else { return };
        let was_the_newest = slices.slices.is_empty();
        self.keys -= slice.len;
        self.evicted += slice.len as u64;
        self.graves.push_back((window, slice));
        if was_the_newest {
            // Its number begins anew with the next identity, and must not meet its own tombstones.
            while !self.graves.is_empty() {
                self.bury_some(usize::MAX, u32::MAX, dirty);
            }
        }
    }

    /// Frees a part of what was dropped; slices that are dropped faster than that are freed whole.
    fn bury(&mut self, dirty: &mut impl FnMut(ChunkKey)) {
        while self.graves.len() > 1 {
            self.bury_some(usize::MAX, u32::MAX, dirty);
        }
        self.bury_some(BURIED_KEYS, BURIED_CHUNKS, dirty);
    }

    fn bury_some(&mut self, keys_max: usize, chunks_max: u32, dirty: &mut impl FnMut(ChunkKey)) {
        let Some((window, slice)) = self.graves.front_mut() else { return };
        slice.chunks += slice.fresh_chunks();
        slice.fresh.clear();
        let mut freed = 0;
        while freed < keys_max {
            let Some(shard) = slice.shards.pop() else { break };
            freed += shard.len();
        }
        let chunks_left = slice.chunks.saturating_sub(chunks_max);
        for chunk in chunks_left..slice.chunks {
            dirty(ChunkKey { window: *window, slice: slice.number, chunk });
        }
        slice.chunks = chunks_left;
        if slice.shards.is_empty() && slice.chunks == 0 {
            self.graves.pop_front();
        }
    }
}

fn window_millis(window: Duration) -> u64 {
    u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(u64::from(SLICES))
}

fn slice_millis(window: u64) -> u64 {
    window / u64::from(SLICES)
}

impl Slices {
    fn newest(&mut self, now: Timestamp, window: u64) -> &mut Slice {
        let newest = self.slices.back().map_or(0, |slice| slice.number);
        self.numbered((now.as_millis() / slice_millis(window)).max(newest))
    }

    fn numbered(&mut self, number: u64) -> &mut Slice {
        let place = self.slices.partition_point(|slice| slice.number < number);
        if self.slices.get(place).is_none_or(|slice| slice.number != number) {
            self.slices.insert(place, Slice::new(number));
        }
        &mut self.slices[place]
    }
}

impl Slice {
    fn new(number: u64) -> Self {
        let shards = std::iter::repeat_with(Shard::default).take(SHARDS).collect();
        Self { number, shards, len: 0, chunks: 0, fresh: Vec::new() }
    }

    fn contains(&self, identity: Fingerprint) -> bool {
        self.len > 0 && self.shards[shard_of(identity)].contains(&identity.as_u128())
    }

    fn insert(&mut self, identity: Fingerprint) -> Seen {
        if !self.shards[shard_of(identity)].insert(identity.as_u128()) {
            return Seen::Duplicate;
        }
        self.len += 1;
        Seen::Fresh
    }

    /// Puts an identity down to be committed.
    fn record(&mut self, window: u64, identity: Fingerprint, dirty: &mut impl FnMut(ChunkKey)) {
        match self.fresh.last_mut().filter(|chunk| chunk.len() < CHUNK_KEYS_MAX) {
            Some(chunk) => chunk.push(identity),
            None => {
                dirty(ChunkKey { window, slice: self.number, chunk: self.chunks + self.fresh_chunks() });
                self.fresh.push(vec![identity]);
            }
        }
    }

    fn fresh_chunks(&self) -> u32 {
        u32::try_from(self.fresh.len()).expect("a commit is far smaller than this")
    }

    fn expires(&self, window: u64) -> Timestamp {
        Timestamp::from_millis((self.number + 1).saturating_mul(slice_millis(window)).saturating_add(window))
    }
}

/// By the half of the identity that the tables don't hash by.
const fn shard_of(identity: Fingerprint) -> usize {
    (identity.as_u128() >> 64) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn identity(number: u128) -> Fingerprint {
        Fingerprint::from_u128(number)
    }

    #[test]
    fn what_comes_back_before_its_tombstones_were_written_is_evicted_again() {
        let mut dedupe = Dedupe::new(2);
        let window = u64::try_from(HOUR.as_millis()).expect("small");
        for slice in 0..3 {
            let identities = [identity(u128::from(slice)), identity(100 + u128::from(slice))];
            dedupe.restore(ChunkKey { window, slice, chunk: 0 }, &identities);
        }
        dedupe.resume(&mut |_| {});
        assert_eq!((dedupe.len(), dedupe.evicted()), (2, 4));
        let mut seen = Vec::new();
        dedupe.look_up(HOUR, &[identity(2)], &mut seen);
        assert_eq!(seen, [Seen::Duplicate], "the newest stay");
    }

    fn note(dedupe: &mut Dedupe, now: Timestamp, identity: Fingerprint) -> Seen {
        note_dirty(dedupe, now, identity, &mut |_| {})
    }

    fn note_dirty(
        dedupe: &mut Dedupe,
        now: Timestamp,
        identity: Fingerprint,
        dirty: &mut impl FnMut(ChunkKey),
    ) -> Seen {
        let mut looked_up = Vec::new();
        dedupe.look_up(HOUR, &[identity], &mut looked_up);
        dedupe.note(now, HOUR, identity, looked_up[0], dirty)
    }

    fn minutes(number: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_100_000 + number * 60_000)
    }

    #[test]
    fn an_identity_is_a_duplicate_for_its_window_and_news_again_afterwards() {
        let mut dedupe = Dedupe::new(100);
        let dirty = &mut |_| {};
        assert_eq!(note(&mut dedupe, minutes(0), identity(1)), Seen::Fresh);
        for minute in [0, 30, 59, 60] {
            dedupe.expire(minutes(minute), dirty);
            assert_eq!(note(&mut dedupe, minutes(minute), identity(1)), Seen::Duplicate, "minute {minute}");
        }
        dedupe.expire(minutes(76), dirty);
        assert_eq!(note(&mut dedupe, minutes(76), identity(1)), Seen::Fresh);
    }

    #[test]
    fn a_touched_identity_lives_another_window() {
        let mut dedupe = Dedupe::new(100);
        let dirty = &mut |_| {};
        note(&mut dedupe, minutes(0), identity(1));
        dedupe.touch(minutes(50), HOUR, identity(1), dirty);
        dedupe.expire(minutes(100), dirty);
        assert_eq!(note(&mut dedupe, minutes(100), identity(1)), Seen::Duplicate);
    }

    #[test]
    fn one_commit_of_many_identities_is_many_chunks() {
        let mut dedupe = Dedupe::new(100_000);
        let mut keys = std::collections::BTreeSet::new();
        for number in 0..40_000 {
            note_dirty(&mut dedupe, minutes(0), identity(number), &mut |key| {
                keys.insert(key);
            });
        }
        let sizes: Vec<_> = keys.iter().map(|key| dedupe.chunk(*key).map_or(0, <[_]>::len)).collect();
        assert_eq!(sizes, [CHUNK_KEYS_MAX, CHUNK_KEYS_MAX, 40_000 - 2 * CHUNK_KEYS_MAX]);
        dedupe.committed();
        note_dirty(&mut dedupe, minutes(0), identity(50_000), &mut |key| assert_eq!(key.chunk, 3));
    }

    #[test]
    fn too_many_identities_cost_the_oldest_slice_and_are_counted() {
        let mut dedupe = Dedupe::new(3);
        for (minute, number) in [(0, 1), (0, 2), (20, 3), (40, 4)] {
            note(&mut dedupe, minutes(minute), identity(number));
        }
        assert_eq!((dedupe.len(), dedupe.evicted()), (2, 2));
        assert_eq!(note(&mut dedupe, minutes(40), identity(3)), Seen::Duplicate);
        assert_eq!(note(&mut dedupe, minutes(40), identity(1)), Seen::Fresh);
    }

    #[test]
    fn a_slice_that_overflows_begins_anew_and_its_tombstones_never_hit_what_came_later() {
        let mut dedupe = Dedupe::new(2);
        let mut keys = Vec::new();
        for number in 1..=3 {
            note_dirty(&mut dedupe, minutes(0), identity(number), &mut |key| keys.push(key));
        }
        assert_eq!((dedupe.len(), dedupe.evicted()), (0, 3));
        note_dirty(&mut dedupe, minutes(0), identity(4), &mut |_| {});
        dedupe.committed();
        for minute in 1..100 {
            dedupe.expire(minutes(minute.min(59)), &mut |key| panic!("{key:?} is alive"));
        }
    }

    #[test]
    fn chunks_restore_what_they_recorded_and_are_tombstoned_with_their_slice() {
        let mut dedupe = Dedupe::new(100);
        let mut keys = Vec::new();
        note_dirty(&mut dedupe, minutes(0), identity(1), &mut |key| keys.push(key));
        let first = (keys[0], dedupe.chunk(keys[0]).map(<[_]>::to_vec));
        dedupe.committed();
        note_dirty(&mut dedupe, minutes(0), identity(2), &mut |key| keys.push(key));
        let second = (keys[1], dedupe.chunk(keys[1]).map(<[_]>::to_vec));
        assert_eq!((first.0.chunk, second.0.chunk), (0, 1));

        let mut restored = Dedupe::new(100);
        for (key, identities) in [second, first] {
            restored.restore(key, &identities.expect("a chunk to be written"));
        }
        assert_eq!(restored.len(), 2);
        let mut expired = Vec::new();
        restored.expire(minutes(100), &mut |key| expired.push(key));
        assert_eq!(restored.len(), 0, "it is forgotten at once");
        while let Some(at) = restored.next_expiry() {
            restored.expire(at.max(minutes(100)), &mut |key| expired.push(key));
        }
        assert_eq!(expired.iter().map(|key| key.chunk).collect::<Vec<_>>(), [0, 1]);
        assert!(expired.iter().all(|key| restored.chunk(*key).is_none()), "a dropped slice leaves tombstones");
        assert_eq!(restored.len(), 0);
    }
}
