//! What lanes have counted under former owners of this process: a new owner's books begin anew, and counters may not fall.

use std::collections::BTreeMap;

use super::LaneReport;
use crate::lane::{Outcome, Reason, Tally};

/// The counts of all former owners of one lane; what was pending went on with the lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    settled: BTreeMap<(Outcome, Reason), u64>,
    messages: BTreeMap<Reason, u64>,
    tally: Tally,
    dedupe_evicted: u64,
}

impl Past {
    /// This owner has ended.
    pub fn add(&mut self, report: &LaneReport) {
        for (outcome, reason, count) in report.books.entries() {
            *self.settled.entry((outcome, reason)).or_default() += count;
        }
        for (reason, count) in report.books.messages() {
            *self.messages.entry(reason).or_default() += count;
        }
        self.tally = sum(&self.tally, &report.tally);
        self.dedupe_evicted += report.dedupe_evicted;
    }

    pub fn of(&self, wanted: Outcome) -> u64 {
        self.settled.iter().filter(|((outcome, _), _)| *outcome == wanted).map(|(_, count)| count).sum()
    }

    pub fn settled(&self) -> impl Iterator<Item = (Outcome, Reason, u64)> + '_ {
        self.settled.iter().map(|((outcome, reason), count)| (*outcome, *reason, *count))
    }

    pub const fn returned(&self) -> u64 {
        self.tally.returned
    }

    /// The report as if there had been one owner only, and its messages by their reasons.
    pub fn with(&self, report: &LaneReport) -> (LaneReport, BTreeMap<Reason, u64>) {
        let mut messages = self.messages.clone();
        for (reason, count) in report.books.messages() {
            *messages.entry(reason).or_default() += count;
        }
        let tally = sum(&self.tally, &report.tally);
        let dedupe_evicted = self.dedupe_evicted + report.dedupe_evicted;
        (LaneReport { tally, dedupe_evicted, ..report.clone() }, messages)
    }
}

/// Field by field.
fn sum(past: &Tally, now: &Tally) -> Tally {
    Tally {
        messages: past.messages + now.messages,
        conversations_opened: past.conversations_opened + now.conversations_opened,
        roll_ups: past.roll_ups + now.roll_ups,
        doubts: past.doubts + now.doubts,
        doubts_settled: past.doubts_settled + now.doubts_settled,
        retries: past.retries + now.retries,
        rate_limited: past.rate_limited + now.rate_limited,
        unknown_routes: past.unknown_routes + now.unknown_routes,
        read_again: past.read_again + now.read_again,
        partitions_recreated: past.partitions_recreated + now.partitions_recreated,
        returned: past.returned + now.returned,
        template_faults: past.template_faults + now.template_faults,
    }
}
