//! What the hook counts: every request once, by channel and outcome.
//!
//! The channel is a label only for doors that exist ([`UNKNOWN`] otherwise): strangers don't get to invent label values. All
//! counters exist from the start, so a rate of nothing is zero and not absent.
#![expect(clippy::disallowed_macros, reason = "this is where the hook's metrics are named")]

use std::collections::HashMap;

use metrics::{Counter, Unit, counter, describe_counter};

use crate::hook::ingest::Gate;
use crate::hook::{Door, ProvenBy, Refusal};

/// Requests answered: `channel`, `outcome`.
pub const REQUESTS: &str = "missived_hook_requests_total";

/// Lessons that did not reach the ledger, or too late to know: `reason`.
pub const LESSONS_LOST: &str = "missived_hook_lessons_lost_total";

/// Connections that could not be accepted: `listener`.
pub const ACCEPT_ERRORS: &str = "missived_hook_accept_errors_total";

/// Connections: `listener`, `what`.
pub const CONNECTIONS: &str = "missived_hook_connections_total";

/// Proofs by the label of the secret that they were made with: `channel`, `secret`.
pub const SECRETS: &str = "missived_hook_secret_matches_total";

/// Replies found on Kafka at the start, so that their repeats are known.
pub const REMEMBERED: &str = "missived_hook_remembered_total";

/// Requests to the ingest: `source`, `outcome`.
pub const INGESTED: &str = "missived_ingest_requests_total";

/// The channel label of requests that name no channel of ours.
pub const UNKNOWN: &str = "unknown";

pub(super) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests to the hook endpoint, by channel and outcome");
    describe_counter!(LESSONS_LOST, Unit::Count, "Lessons about conversations that did not reach the ledger");
    describe_counter!(ACCEPT_ERRORS, Unit::Count, "Connections to our public listeners that could not be accepted");
    describe_counter!(
        CONNECTIONS,
        Unit::Count,
        "Connections to our public listeners: opened, cut for room, shed, no_tls"
    );
    describe_counter!(SECRETS, Unit::Count, "Webhooks proven, by channel and the label of the secret");
    describe_counter!(REMEMBERED, Unit::Count, "Replies read back from Kafka at the start, against repeats");
    describe_counter!(INGESTED, Unit::Count, "Requests to the ingest endpoint, by source and outcome");
}

/// Why a lesson is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonLost {
    /// No partition is known for the lane.
    NoPartition,
    Rejected,
}

impl LessonLost {
    const fn label(self) -> &'static str {
        match self {
            Self::NoPartition => "no_partition",
            Self::Rejected => "rejected",
        }
    }
}

/// Counts lessons that did not reach the ledger.
pub fn lessons_lost(why: LessonLost, count: usize) {
    counter!(LESSONS_LOST, "reason" => why.label()).increment(count as u64);
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    Hook,
    Ingest,
}

impl Listener {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Ingest => "ingest",
        }
    }
}

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    Opened,
    /// Unproven, and its seat was needed.
    Cut,
    /// Turned away: all seats are taken by those who have proven something.
    Shed,
    /// No handshake, or none in time.
    NoTls,
}

impl Connection {
    const fn label(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Cut => "cut",
            Self::Shed => "shed",
            Self::NoTls => "no_tls",
        }
    }
}

/// Counts a connection.
pub fn connection_counted(listener: Listener, what: Connection) {
    counter!(CONNECTIONS, "listener" => listener.label(), "what" => what.label()).increment(1);
}

/// Counts a connection that could not be accepted.
pub fn not_accepted(listener: Listener) {
    counter!(ACCEPT_ERRORS, "listener" => listener.label()).increment(1);
}

/// Counts what was read back from Kafka.
pub fn remembered(count: u64) {
    counter!(REMEMBERED).increment(count);
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
    /// Kafka doesn't take records of that size: it would never be written.
    TooLarge,
}

impl Outcome {
    fn all() -> impl Iterator<Item = Self> {
        let fixed = [Self::Accepted, Self::Repeated, Self::Probe, Self::Malformed];
        let unwritten =
            [Unwritten::Late, Unwritten::Rejected, Unwritten::Busy, Unwritten::TooLarge].map(Self::Unwritten);
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
            Self::Unwritten(Unwritten::TooLarge) => "reply_too_large",
        }
    }
}

/// The counters of all doors, made once.
pub struct Counters {
    by_channel: HashMap<Box<str>, HashMap<Outcome, Counter>>,
    unknown: HashMap<Outcome, Counter>,
    by_secret: HashMap<Box<str>, HashMap<Box<str>, Counter>>,
}

impl Counters {
    pub fn new<'c>(doors: impl IntoIterator<Item = &'c Door>) -> Self {
        let (mut by_channel, mut by_secret) = (HashMap::new(), HashMap::new());
        for door in doors {
            by_channel.insert(door.channel.clone(), of_name(REQUESTS, "channel", &door.channel));
            by_secret.insert(door.channel.clone(), of_secrets(door));
        }
        Self { by_channel, unknown: of_name(REQUESTS, "channel", UNKNOWN), by_secret }
    }

    /// Counts one request.
    pub fn count(&self, channel: Option<&str>, outcome: Outcome) {
        let counters = channel.and_then(|channel| self.by_channel.get(channel)).unwrap_or(&self.unknown);
        increment(counters.get(&outcome));
    }

    /// Counts what proved a request.
    pub fn proven(&self, channel: &str, by: ProvenBy<'_>) {
        match by {
            ProvenBy::Secret(label) => increment(self.by_secret.get(channel).and_then(|labels| labels.get(label))),
            ProvenBy::Config => {}
        }
    }
}

/// The counters of all gates of the ingest, made once.
pub struct GateCounters {
    by_source: HashMap<Box<str>, HashMap<Outcome, Counter>>,
    unknown: HashMap<Outcome, Counter>,
}

impl GateCounters {
    pub fn new<'g>(gates: impl IntoIterator<Item = &'g Gate>) -> Self {
        let of_gate = |gate: &Gate| (gate.source.clone(), of_name(INGESTED, "source", &gate.source));
        let by_source = gates.into_iter().map(of_gate).collect();
        Self { by_source, unknown: of_name(INGESTED, "source", UNKNOWN) }
    }

    /// Counts one request.
    pub fn count(&self, source: Option<&str>, outcome: Outcome) {
        let counters = source.and_then(|source| self.by_source.get(source)).unwrap_or(&self.unknown);
        increment(counters.get(&outcome));
    }
}

fn of_name(metric: &'static str, key: &'static str, name: &str) -> HashMap<Outcome, Counter> {
    let counter = |outcome: Outcome| counter!(metric, key => name.to_owned(), "outcome" => outcome.label());
    Outcome::all().map(|outcome| (outcome, counter(outcome))).collect()
}

fn of_secrets(door: &Door) -> HashMap<Box<str>, Counter> {
    let counter = |label: &str| counter!(SECRETS, "channel" => door.channel.to_string(), "secret" => label.to_owned());
    door.secrets.iter().map(|secret| (secret.label().into(), counter(secret.label()))).collect()
}

fn increment(counter: Option<&Counter>) {
    if let Some(counter) = counter {
        counter.increment(1);
    }
}
