//! Every metric, named in one place.
//!
//! The shell puts what happened into [`Telemetry`]; a scrape turns it into metrics ([`Telemetry::render`]). So counting costs
//! the hot paths a few integers per batch, and label sets are bounded by what is named here and in the config.
//!
//! Balance sheet: `missived_events_total` over all outcomes, plus `missived_events_pending`, is
//! `missived_events_consumed_total`, once nothing is on its way through the ledger.

pub mod hook;
mod names;
mod past;
pub mod process;
pub mod sources;
pub mod words;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::event::Timestamp;
use crate::lane::heart::Heart;
use crate::lane::pacing::Budget;
use crate::lane::waiting::Untold;
use crate::lane::{Blocked, Books, Outcome, Tally};
use past::Past;

const DECODE_BUCKETS: [f64; 9] = [2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 2.5e-3, 0.05];
const TURN_BUCKETS: [f64; 8] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0];
const REQUEST_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];

/// Everything that is counted in this process.
pub struct Telemetry {
    recorder: PrometheusHandle,
    /// Source partitions, and what else is known of the process.
    pub process: process::Process,
    intake: Mutex<IntakeReport>,
    /// Names of the routes, in the order that [`Hits`] counts them.
    routes: Mutex<Vec<Box<str>>>,
    /// How many events each route took, by its name: places change with the config.
    hits: Mutex<BTreeMap<Box<str>, u64>>,
    lanes: Mutex<BTreeMap<Box<str>, LaneReport>>,
    /// What former owners in this process have counted.
    past: Mutex<BTreeMap<Box<str>, Past>>,
}

/// What intake threads have settled, counted when its offsets were committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntakeReport {
    pub records: u64,
    /// Of these, what an operator had replayed.
    pub replayed: u64,
    /// Events; a record that yields none counts as one.
    pub consumed: u64,
    /// Of these, what never went to a lane.
    pub settled: BTreeMap<(Outcome, &'static str), u64>,
    pub frames: u64,
    pub frame_bytes: u64,
    pub hits: Hits,
}

/// How many events each route took, by its place among all routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits(Vec<u64>);

impl Hits {
    /// One more for the route at this place.
    pub fn add(&mut self, place: usize) {
        self.count(place, 1);
    }

    fn count(&mut self, place: usize, hits: u64) {
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        self.0[place] += hits;
    }
}

impl IntakeReport {
    pub fn settle(&mut self, outcome: Outcome, reason: &'static str, count: u64) {
        *self.settled.entry((outcome, reason)).or_default() += count;
    }

    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.replayed += other.replayed;
        self.consumed += other.consumed;
        self.frames += other.frames;
        self.frame_bytes += other.frame_bytes;
        for (place, hits) in other.hits.0.iter().enumerate() {
            self.hits.count(place, *hits);
        }
        for ((outcome, reason), count) in &other.settled {
            self.settle(*outcome, reason, *count);
        }
    }
}

/// What a lane's owner last committed.
#[derive(Clone, Debug)]
pub struct LaneReport {
    pub at: Timestamp,
    pub books: Books,
    pub tally: Tally,
    pub budget: Budget,
    pub blocked: Blocked,
    pub halted_channels: usize,
    pub in_progress: usize,
    pub conversations: usize,
    pub dedupe_keys: usize,
    pub dedupe_evicted: u64,
    pub untold: Untold,
    pub hearts: Vec<Heart>,
}

/// What became of all events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub consumed: u64,
    pub delivered: u64,
    pub duplicates: u64,
    pub suppressed: u64,
    pub dead_lettered: u64,
    pub pending: u64,
}

impl Balance {
    /// Does every event that was consumed stand somewhere?
    pub const fn holds(&self) -> bool {
        self.consumed == self.delivered + self.duplicates + self.suppressed + self.dead_lettered + self.pending
    }
}

impl Telemetry {
    /// Takes over the process-wide recorder. A second one in the same process counts as well, but its scrapes stay empty.
    pub fn new() -> Self {
        let seconds = |builder: PrometheusBuilder, name: &str, buckets: &[f64]| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets).expect("there are buckets")
        };
        let recorder = seconds(PrometheusBuilder::new(), process::INTAKE_TURN, &TURN_BUCKETS);
        let recorder = seconds(recorder, process::DECODE, &DECODE_BUCKETS);
        let recorder = seconds(recorder, process::REQUEST, &REQUEST_BUCKETS).build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("a metrics recorder is in place already");
        }
        names::describe();
        hook::describe();
        sources::describe();
        process::describe();
        Self {
            recorder: handle,
            process: process::Process::default(),
            intake: Mutex::default(),
            routes: Mutex::default(),
            hits: Mutex::default(),
            lanes: Mutex::default(),
            past: Mutex::default(),
        }
    }

    /// What the places in [`Hits`] are called from now on: the same for all intake threads.
    pub fn name_routes(&self, routes: &[Box<str>]) {
        *lock(&self.routes) = routes.to_vec();
        let mut hits = lock(&self.hits);
        for route in routes {
            hits.entry(route.clone()).or_default();
        }
    }

    /// An intake thread has committed this.
    pub fn intake(&self, report: &IntakeReport) {
        lock(&self.intake).add(report);
        let mut hits = lock(&self.hits);
        for (route, more) in lock(&self.routes).iter().zip(&report.hits.0) {
            *hits.entry(route.clone()).or_default() += more;
        }
    }

    /// Keeps what histograms hold small; to be called every few seconds, scrapes or no scrapes.
    pub fn upkeep(&self) {
        self.recorder.run_upkeep();
    }

    /// A lane has a new owner, whose books begin anew.
    pub fn lane_taken(&self, name: &str) {
        if let Some(report) = lock(&self.lanes).remove(name) {
            lock(&self.past).entry(name.into()).or_default().add(&report);
        }
    }

    /// A lane's owner has committed this.
    pub fn lane(&self, name: &str, report: LaneReport) {
        lock(&self.lanes).insert(name.into(), report);
    }

    /// This process does not own the lane any more.
    pub fn lane_gone(&self, name: &str) {
        if let Some(report) = lock(&self.lanes).get_mut(name) {
            report.in_progress = 0;
            report.untold = Untold::default();
        }
    }

    pub fn lanes(&self) -> BTreeMap<Box<str>, LaneReport> {
        lock(&self.lanes).clone()
    }

    pub fn intake_report(&self) -> IntakeReport {
        lock(&self.intake).clone()
    }

    /// What became of all events that this process has consumed.
    pub fn balance(&self) -> Balance {
        let intake = self.intake_report();
        let settled = |wanted: Outcome| -> u64 {
            intake.settled.iter().filter(|((outcome, _), _)| *outcome == wanted).map(|(_, count)| count).sum()
        };
        let lanes = self.lanes();
        let past = lock(&self.past).clone();
        let total = |wanted| {
            let now: u64 = lanes.values().map(|lane| lane.books.of(wanted)).sum();
            settled(wanted) + now + past.values().map(|past| past.of(wanted)).sum::<u64>()
        };
        Balance {
            consumed: intake.consumed
                + lanes.values().map(|lane| lane.tally.returned).sum::<u64>()
                + past.values().map(Past::returned).sum::<u64>(),
            delivered: total(Outcome::Delivered),
            duplicates: total(Outcome::Duplicate),
            suppressed: total(Outcome::Suppressed),
            dead_lettered: total(Outcome::DeadLettered),
            pending: lanes.values().map(|lane| lane.books.pending()).sum(),
        }
    }

    /// The text of a scrape at `now`.
    pub fn render(&self, now: Timestamp) -> String {
        let mut events: BTreeMap<(Outcome, &'static str), u64> = BTreeMap::new();
        let intake = self.intake_report();
        let past = lock(&self.past).clone();
        let returned = self.lanes().values().map(|lane| lane.tally.returned).sum::<u64>()
            + past.values().map(Past::returned).sum::<u64>();
        names::intake(&intake, returned);
        for (route, hits) in lock(&self.hits).iter() {
            names::route(route, *hits);
        }
        self.process.render(now);
        for (key, count) in &intake.settled {
            *events.entry(*key).or_default() += count;
        }
        for (name, lane) in self.lanes() {
            for (outcome, reason, count) in lane.books.entries() {
                *events.entry((outcome, reason.as_str())).or_default() += count;
            }
            let (lane, messages) = past.get(&name).unwrap_or(&Past::default()).with(&lane);
            names::lane(now, &name, &lane, &messages);
        }
        for (outcome, reason, count) in past.values().flat_map(Past::settled) {
            *events.entry((outcome, reason.as_str())).or_default() += count;
        }
        for ((outcome, reason), count) in events {
            names::events(outcome, reason, count);
        }
        self.recorder.run_upkeep();
        self.recorder.render()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
