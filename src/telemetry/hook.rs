//! What the hook counts: every request once, by channel and outcome.
//!
//! The channel is a label only for doors that exist ([`UNKNOWN`] otherwise): strangers don't get to invent label values. All
//! counters exist from the start, so a rate of nothing is zero and not absent.
#![expect(clippy::disallowed_macros, reason = "this is where the hook's metrics are named")]

use std::collections::HashMap;

use metrics::{Counter, Unit, counter, describe_counter};

use crate::hook::Refusal;

/// Requests answered: `channel`, `outcome`.
pub const REQUESTS: &str = "missived_hook_requests_total";

/// Lessons that did not reach the ledger, or too late to know: `reason`.
pub const LESSONS_LOST: &str = "missived_hook_lessons_lost_total";

/// Connections that could not be accepted.
pub const ACCEPT_ERRORS: &str = "missived_hook_accept_errors_total";

/// The channel label of requests that name no channel of ours.
pub const UNKNOWN: &str = "unknown";

pub(super) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests to the hook endpoint, by channel and outcome");
    describe_counter!(LESSONS_LOST, Unit::Count, "Lessons about conversations that did not reach the ledger");
    describe_counter!(ACCEPT_ERRORS, Unit::Count, "Connections to the hook endpoint that could not be accepted");
}

/// Why a lesson is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonLost {
    /// No partition is known for the lane.
    NoPartition,
    Rejected,
    /// Not acknowledged while somebody waited; it may still be.
    Late,
}

impl LessonLost {
    const fn label(self) -> &'static str {
        match self {
            Self::NoPartition => "no_partition",
            Self::Rejected => "rejected",
            Self::Late => "late",
        }
    }
}

/// Counts a lesson that did not reach the ledger.
pub fn lesson_lost(why: LessonLost) {
    counter!(LESSONS_LOST, "reason" => why.label()).increment(1);
}

/// Counts a connection that could not be accepted.
pub fn not_accepted() {
    counter!(ACCEPT_ERRORS).increment(1);
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Kafka has it.
    Accepted,
    /// Kafka had it already.
    Repeated,
    /// Proven, and nothing in it to hand on.
    Probe,
    Refused(Refusal),
    /// Not HTTP, or a head over the limits: answered before it came to us.
    Malformed,
    Unwritten(Unwritten),
}

/// Why Kafka doesn't have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unwritten {
    /// Not acknowledged in time; it may still be.
    Late,
    /// Kafka, or the client's full queue, said no.
    Rejected,
    /// As many writes are under way as may be.
    Busy,
}

impl Outcome {
    fn all() -> impl Iterator<Item = Self> {
        let fixed = [Self::Accepted, Self::Repeated, Self::Probe, Self::Malformed];
        let unwritten = [Unwritten::Late, Unwritten::Rejected, Unwritten::Busy].map(Self::Unwritten);
        fixed.into_iter().chain(unwritten).chain(Refusal::ALL.map(Self::Refused))
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repeated => "repeated",
            Self::Probe => "probe",
            Self::Refused(refusal) => refusal.reason(),
            Self::Malformed => "malformed",
            Self::Unwritten(Unwritten::Late) => "kafka_late",
            Self::Unwritten(Unwritten::Rejected) => "kafka_rejected",
            Self::Unwritten(Unwritten::Busy) => "busy",
        }
    }
}

/// The counters of all doors, made once.
pub struct Counters {
    by_channel: HashMap<Box<str>, HashMap<Outcome, Counter>>,
    unknown: HashMap<Outcome, Counter>,
}

impl Counters {
    pub fn new<'c>(channels: impl IntoIterator<Item = &'c str>) -> Self {
        let by_channel = channels.into_iter().map(|channel| (channel.into(), of_channel(channel))).collect();
        Self { by_channel, unknown: of_channel(UNKNOWN) }
    }

    /// Counts one request.
    pub fn count(&self, channel: Option<&str>, outcome: Outcome) {
        let counters = channel.and_then(|channel| self.by_channel.get(channel)).unwrap_or(&self.unknown);
        if let Some(counter) = counters.get(&outcome) {
            counter.increment(1);
        }
    }
}

fn of_channel(channel: &str) -> HashMap<Outcome, Counter> {
    let counter = |outcome: Outcome| counter!(REQUESTS, "channel" => channel.to_owned(), "outcome" => outcome.label());
    Outcome::all().map(|outcome| (outcome, counter(outcome))).collect()
}
