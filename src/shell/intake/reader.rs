//! What an intake thread does between Kafka and Kafka: source records in, frames and dead letters out.
//!
//! It knows which partitions are ours and how far each is read, and keeps what is being read now: one cycle, until it is
//! sealed. It asks nobody and writes nothing; whoever drives it (`Member`, or a bench from memory) brings the records and
//! the time, and takes the frames away.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Progress;
use super::cache::Cache;
use super::cycle::Cycle;
use super::dead_letter::Letter;
use super::footing::{Footing, Step};
use super::held::{FrameMax, Holdings, Spare};
use super::reading::{FRAME_ITEMS_MAX, Reading, Tools};
use super::stamping::Stamping;
use super::verbatim::Verbatim;
use super::whole::Whole;
use crate::config;
use crate::event::{Decoder, Fingerprint, HashKey, Timestamp};
use crate::route::{self, RouteHash, Rule, Scratch, Source};
use crate::shell::kafka::Partition;
use crate::shell::letters::Replaying;

/// A header's name, and its value if it has one.
pub type Header<'r> = (&'r str, Option<&'r [u8]>);

/// Records that are looked up together at most: enough for their waits for memory to overlap.
pub const GROUP_MAX: usize = 16;

/// One thing for each record of a group.
pub type Group<R> = ArrayVec<R, GROUP_MAX>;

/// One source record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'r> {
    pub topic: &'r str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch, if it says so.
    pub timestamp: Option<i64>,
    pub key: Option<&'r [u8]>,
    /// None is a tombstone.
    pub payload: Option<&'r [u8]>,
    /// In order.
    pub headers: &'r [Header<'r>],
}

/// A rule with its hash and its lane.
pub(super) struct Planned {
    pub(super) hash: RouteHash,
    /// Its lane's place among all lanes.
    pub(super) lane: usize,
    /// Its place among all routes.
    pub(super) hits: usize,
}

/// Where a lane's frames go.
pub struct FrameLane {
    pub name: Box<str>,
    pub ledger_partition: i32,
}

/// Reads records of many partitions into frames.
pub struct Reader {
    tools: Tools,
    lanes: Vec<FrameLane>,
    pub(super) holdings: Holdings,
    buffer: Vec<u8>,
}

impl Reader {
    /// `lanes` has the ledger partition of each lane; a letter's value has at most `letter_bytes_max`.
    pub fn new(
        sources: Arc<[Source]>,
        hash_key: HashKey,
        intake: &config::Intake,
        letter_bytes_max: usize,
        lanes: &BTreeMap<Box<str>, i32>,
    ) -> Self {
        let lanes = frame_lanes(&sources, lanes);
        let (horizon, keys_max) = (intake.dedupe_horizon, intake.dedupe_keys_max);
        let tools = Tools {
            rules: planned(&sources, &hash_key, &lanes),
            decoder: Decoder::new(hash_key.clone()),
            cache: Cache::new(horizon, keys_max),
            verbatim: Verbatim::new(horizon, keys_max),
            stamping: Stamping::new(&hash_key, sources.len()),
            whole: Whole::default(),
            scratch: Scratch::default(),
            frame_max: FrameMax { bytes: intake.frame_bytes_max, items: FRAME_ITEMS_MAX },
            spare: Spare::default(),
            letter_bytes_max,
            cycle: Cycle::default(),
            decoded: None,
            sources,
            hash_key,
        };
        Self { tools, lanes, holdings: Holdings::default(), buffer: Vec::new() }
    }

    /// Takes a partition over, to be read from wherever its records begin.
    pub fn hold(&mut self, partition: Partition, footing: Footing) {
        let source = self.tools.sources.iter().position(|source| source.topic == partition.topic);
        self.holdings.set(partition, footing, source);
    }

    /// Takes records in order. One whose partition is somebody else's by now, or whose offsets went back, is left.
    pub fn take(
        &mut self,
        now: Timestamp,
        records: &Group<Arrived<'_>>,
        letters: &mut dyn FnMut(Letter<'_>),
    ) -> Progress {
        let stamps: Group<_> = records.iter().map(|record| self.stamp(record)).collect();
        self.tools.bring(&stamps);
        let records = records.iter().zip(stamps);
        records.map(|(record, stamp)| self.take_one(now, record, stamp, letters)).max().unwrap_or(Progress::Read)
    }

    fn take_one(
        &mut self,
        now: Timestamp,
        record: &Arrived<'_>,
        stamp: Option<Fingerprint>,
        letters: &mut dyn FnMut(Letter<'_>),
    ) -> Progress {
        let Some(held) = self.holdings.find(record.topic, record.partition) else { return Progress::Read };
        if held.went_back_to.is_some() {
            return Progress::Read;
        }
        if held.footing.step(record.offset, record.timestamp) == Step::Back {
            held.went_back_to = Some(record.offset);
            return Progress::Read;
        }
        Reading { tools: &mut self.tools, held, stamp, progress: Progress::Read }.take(now, record, letters)
    }

    /// Its bytes, to be known again; none where they alone don't say what the record comes to.
    fn stamp(&mut self, record: &Arrived<'_>) -> Option<Fingerprint> {
        let source = self.holdings.find(record.topic, record.partition)?.source?;
        let (payload, bytes_max) = (record.payload?, self.tools.sources[source].record_bytes_max);
        let is_told_by_bytes = payload.len() <= bytes_max && !Replaying::is_named_in(record.headers);
        is_told_by_bytes.then(|| self.tools.stamping.stamp(source, record.headers, payload))
    }

    /// The format of the record that was taken last, if it had to be decoded.
    pub const fn decoded(&self) -> Option<&'static str> {
        self.tools.decoded
    }

    /// Seals all frames, and with them the cycle that is being read. None: nothing was read.
    pub fn seal(&mut self, write: &mut dyn FnMut(&FrameLane, &[u8])) -> Option<Cycle> {
        if !self.holdings.anything_is_read() {
            return None;
        }
        let mut cycle = std::mem::take(&mut self.tools.cycle);
        for held in self.holdings.iter_mut() {
            for (lane, mut frame) in held.take() {
                let lane = &self.lanes[lane];
                frame.seal(&lane.name, &held.partition.topic, held.partition.number, &mut self.buffer);
                self.tools.spare.put(frame);
                write(lane, &self.buffer);
                cycle.writes += 1;
                cycle.report.frames += 1;
                cycle.report.frame_bytes += self.buffer.len() as u64;
            }
            if let Some(reached) = held.reached.take() {
                cycle.reached.insert(held.partition.clone(), reached);
            }
        }
        Some(cycle)
    }

    /// Forgets what was read a moment ago: partitions have gone to somebody else.
    pub(super) fn forget(&mut self) {
        self.tools.cache.clear();
        self.tools.verbatim.clear();
    }
}

#[cfg(test)]
impl Reader {
    /// Forgets how records were decoded, and nothing else.
    pub(super) fn forget_records(&mut self) {
        self.tools.verbatim.clear();
    }

    pub(super) fn knows_record(&self, stamp: Fingerprint) -> bool {
        self.tools.verbatim.peek(stamp).is_some()
    }
}

/// Every lane that a rule names, once.
fn frame_lanes(sources: &[Source], partitions: &BTreeMap<Box<str>, i32>) -> Vec<FrameLane> {
    let mut lanes: Vec<FrameLane> = Vec::new();
    for rule in sources.iter().flat_map(|source| &source.rules) {
        if !lanes.iter().any(|lane| lane.name == rule.lane) {
            let ledger_partition = partitions.get(&rule.lane).copied().unwrap_or(0);
            lanes.push(FrameLane { name: rule.lane.clone(), ledger_partition });
        }
    }
    lanes
}

fn planned(sources: &[Source], key: &HashKey, lanes: &[FrameLane]) -> Vec<Vec<Planned>> {
    let routes = route::names(sources);
    let planned = |rule: &Rule| Planned {
        hash: rule.hash(key),
        lane: lanes.iter().position(|lane| lane.name == rule.lane).expect("it is among them"),
        hits: routes.iter().position(|name| *name == rule.name).expect("its name is among them"),
    };
    sources.iter().map(|source| source.rules.iter().map(planned).collect()).collect()
}
