//! The process itself: what it was built from, its config, how far behind it is, what its parts are busy with.
//!
//! Gauges of partitions that are not ours any more are set to 0, so that a sum over all instances stays right.
#![expect(clippy::disallowed_macros, reason = "this is where metrics are named")]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::event::Timestamp;

/// What this program is: `version`, `commit`, `features`.
pub const BUILD: &str = "missived_build_info";

/// Time of one turn of an intake thread that read something.
pub const INTAKE_TURN: &str = "missived_intake_turn_seconds";

/// Time from a record's bytes to its place in a frame; a sample.
pub const DECODE: &str = "missived_decode_seconds";

/// Time from writing a request to Missive to the end of its answer.
pub const REQUEST: &str = "missived_request_seconds";

/// The commit that was built, where whoever built it said so.
pub const COMMIT: &str = match option_env!("MISSIVED_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What is built in beyond the default: nothing can be left out or added.
pub const FEATURES: &str = "default";

pub(super) fn describe() {
    describe_gauge!(BUILD, Unit::Count, "1, with what this program was built from");
    describe_counter!(
        "missived_halt_fallbacks_total",
        Unit::Count,
        "Critical news of halted lanes that went another way, and that found none"
    );
    describe_gauge!("missived_ready", Unit::Count, "1 while every part is ready");
    describe_gauge!("missived_config_hash", Unit::Count, "A hash of what the config in use says");
    describe_gauge!(
        "missived_config_last_reload_successful",
        Unit::Count,
        "0 if the config was asked to be read again, and what is there is of no use"
    );
    describe_gauge!(
        "missived_config_last_reload_success_timestamp_seconds",
        Unit::Seconds,
        "When the config in use was taken over"
    );
    describe_counter!("missived_config_reloads_total", Unit::Count, "Attempts to take a config over, by outcome");
    describe_gauge!("missived_source_lag_records", Unit::Count, "Records of a source partition that are not committed");
    describe_gauge!(
        "missived_source_lag_seconds",
        Unit::Seconds,
        "Age of the newest record read of a source partition, while there are more"
    );
    describe_gauge!("missived_restoring", Unit::Count, "1 while a partition's state is being read");
    describe_gauge!("missived_restored_records", Unit::Count, "State records read in the last takeover, so far");
    describe_gauge!("missived_restored_seconds", Unit::Seconds, "How long the last takeover took");
    describe_gauge!("missived_parts_stalled", Unit::Count, "Parts whose loop does not turn");
    describe_histogram!(INTAKE_TURN, Unit::Seconds, "Time of an intake turn that read up to 1000 records");
    describe_histogram!(
        DECODE,
        Unit::Seconds,
        "Time to decode and route one record, by format; a sample: the first record of each batch, unless it repeats one of a moment ago"
    );
    describe_histogram!(REQUEST, Unit::Seconds, "Time of a request to Missive until its answer");
    describe_gauge!("process_start_time_seconds", Unit::Seconds, "When this process began");
    describe_gauge!("process_resident_memory_bytes", Unit::Bytes, "Memory that is resident");
    describe_gauge!("process_open_fds", Unit::Count, "Open file descriptors");
}

/// How far a source partition is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionLag {
    /// Records that are not committed; none while it is not known.
    pub records: Option<u64>,
    /// The time of the newest record that was read.
    pub newest: Option<Timestamp>,
}

impl PartitionLag {
    /// How old what is being read is; zero when there is nothing more to read.
    pub fn age(&self, now: Timestamp) -> Duration {
        match (self.records, self.newest) {
            (Some(1..), Some(newest)) => now.since(newest),
            (Some(_) | None, _) => Duration::ZERO,
        }
    }
}

/// A source partition: topic and number.
pub type SourcePartition = (Box<str>, i32);

/// What became of a request to take a config over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOutcome {
    Applied,
    Refused,
}

/// Everything here that is not simply a metric.
#[derive(Debug, Default)]
pub struct Process {
    /// By intake member: what it reads.
    lags: Mutex<BTreeMap<Box<str>, BTreeMap<SourcePartition, PartitionLag>>>,
}

impl Process {
    /// A member's word on how many records of each of its partitions are not committed: those are all that it reads.
    pub fn lags(&self, member: &str, records: BTreeMap<SourcePartition, Option<u64>>) {
        let mut lags = self.lock();
        let known = lags.entry(member.into()).or_default();
        let before = std::mem::take(known);
        for (partition, records) in records {
            let newest = before.get(&partition).and_then(|lag| lag.newest);
            known.insert(partition, PartitionLag { records, newest });
        }
        for (partition, _) in before.into_iter().filter(|(partition, _)| !known.contains_key(partition)) {
            lag(&partition, 0.0, 0.0);
        }
    }

    /// A member has committed what it read up to a record of this time.
    pub fn reached(&self, member: &str, partition: SourcePartition, newest: Option<Timestamp>) {
        if newest.is_some() {
            self.lock().entry(member.into()).or_default().entry(partition).or_default().newest = newest;
        }
    }

    /// A member reads nothing any more.
    pub fn member_gone(&self, member: &str) {
        self.lags(member, BTreeMap::new());
    }

    /// How far every partition is read that is read by this process.
    pub fn partitions(&self) -> BTreeMap<SourcePartition, PartitionLag> {
        self.lock().values().flatten().map(|(partition, lag)| (partition.clone(), lag.clone())).collect()
    }

    pub(super) fn render(&self, now: Timestamp) {
        for (partition, read) in self.partitions() {
            lag(&partition, read.records.unwrap_or_default() as f64, read.age(now).as_secs_f64());
        }
        memory();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, BTreeMap<SourcePartition, PartitionLag>>> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lag((topic, partition): &SourcePartition, records: f64, seconds: f64) {
    let (topic, partition) = (topic.to_string(), partition.to_string());
    gauge!("missived_source_lag_records", "topic" => topic.clone(), "partition" => partition.clone()).set(records);
    gauge!("missived_source_lag_seconds", "topic" => topic, "partition" => partition).set(seconds);
}

/// The process has begun.
pub fn started(now: Timestamp) {
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "commit" => COMMIT, "features" => FEATURES).set(1.0);
    gauge!("process_start_time_seconds").set(seconds(now));
    for outcome in ["taken", "failed"] {
        counter!("missived_halt_fallbacks_total", "outcome" => outcome).absolute(0);
    }
    for outcome in [ConfigOutcome::Applied, ConfigOutcome::Refused] {
        counter!("missived_config_reloads_total", "outcome" => outcome.as_str()).absolute(0);
    }
}

/// This config is in use from now on.
pub fn config_in_use(now: Timestamp, hash: u64) {
    gauge!("missived_config_hash").set(hash as f64);
    gauge!("missived_config_last_reload_successful").set(1.0);
    gauge!("missived_config_last_reload_success_timestamp_seconds").set(seconds(now));
}

/// Somebody asked for a config to be taken over.
pub fn config_reloaded(outcome: ConfigOutcome) {
    counter!("missived_config_reloads_total", "outcome" => outcome.as_str()).increment(1);
    if outcome == ConfigOutcome::Refused {
        gauge!("missived_config_last_reload_successful").set(0.0);
    }
}

/// Is every part ready, and how many hang?
pub fn parts(ready: bool, stalled: usize) {
    gauge!("missived_ready").set(f64::from(u8::from(ready)));
    gauge!("missived_parts_stalled").set(stalled as f64);
}

/// How far a partition's state is read.
pub fn restoring(partition: i32, records: usize) {
    let partition = partition.to_string();
    gauge!("missived_restoring", "partition" => partition.clone()).set(1.0);
    gauge!("missived_restored_records", "partition" => partition).set(records as f64);
}

/// A partition's state is read, or the attempt has failed.
pub fn restored(partition: i32, took: Duration) {
    let partition = partition.to_string();
    gauge!("missived_restoring", "partition" => partition.clone()).set(0.0);
    gauge!("missived_restored_seconds", "partition" => partition).set(took.as_secs_f64());
}

/// One turn of an intake thread.
pub fn intake_turned(took: Duration) {
    histogram!(INTAKE_TURN).record(took.as_secs_f64());
}

/// One record out of a batch, decoded and routed.
pub fn decoded(format: &'static str, took: Duration) {
    histogram!(DECODE, "format" => format).record(took.as_secs_f64());
}

/// One request to Missive.
pub fn requested(lane: &str, took: Duration) {
    histogram!(REQUEST, "lane" => lane.to_owned()).record(took.as_secs_f64());
}

/// What became of critical news on its other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    Taken,
    Failed,
}

/// Critical news of a halted lane went another way, or didn't.
pub fn handed_over(handed: Handed) {
    let outcome = match handed {
        Handed::Taken => "taken",
        Handed::Failed => "failed",
    };
    counter!("missived_halt_fallbacks_total", "outcome" => outcome).increment(1);
}

impl ConfigOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1_000.0
}

/// As far as the system tells.
fn memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    if let Some(kib) = resident {
        let kib: u32 = kib;
        gauge!("process_resident_memory_bytes").set(f64::from(kib) * 1024.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_has_an_age_only_while_there_is_more_to_read() {
        let newest = Some(Timestamp::from_millis(1_000));
        let now = Timestamp::from_millis(4_500);
        let rows = [
            (PartitionLag { records: Some(3), newest }, 3_500, "behind"),
            (PartitionLag { records: Some(0), newest }, 0, "all is read: an old topic is not late"),
            (PartitionLag { records: None, newest }, 0, "not known yet"),
            (PartitionLag { records: Some(3), newest: None }, 0, "nothing is read yet"),
        ];
        for (lag, millis, sentence) in rows {
            assert_eq!(lag.age(now), Duration::from_millis(millis), "{sentence}");
        }
    }

    #[test]
    fn a_member_knows_all_that_it_reads_and_nothing_else() {
        let process = Process::default();
        let at = |number| (Box::from("t"), number);
        process.reached("a", at(0), Some(Timestamp::from_millis(5)));
        process.lags("a", BTreeMap::from([(at(0), Some(2)), (at(1), None)]));
        process.lags("b", BTreeMap::from([(at(2), Some(1))]));
        let known = process.partitions();
        assert_eq!(known.keys().map(|(_, number)| *number).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(known[&at(0)], PartitionLag { records: Some(2), newest: Some(Timestamp::from_millis(5)) });
        process.member_gone("a");
        assert_eq!(process.partitions().len(), 1);
    }
}
