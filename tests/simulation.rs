//! The lane in virtual time: seeded storms, outages and crashes, and what must hold in all of them.
//!
//! Every seed decides a [`scenario`](scenario::Scenario): what the [`source`]s say and how often the intake repeats it, how
//! Missive behaves ([`inbox`]), how the driver fares ([`owner`]). The [`world`] lives through it, checks after every step,
//! and at the end compares with what a naive model ([`reference`]) makes of the whole ledger.
//!
//! After every step: the books balance, and what was folded, settled and is pending is what the naive model says; what the
//! lane believes to be on the wire is; a step that was not due changes nothing, one that was due leads to something. After
//! every commit: what was consumed is accounted for, by sums that the lane doesn't keep. At Missive: never more at once than
//! allowed, across owners; one delivery of a conversation at a time, in order; the same message twice only if it says so;
//! nothing that wasn't announced. In the end: no window ever held too much, every message counted as delivered was accepted
//! and says the number it stands for, people's words are there once and in order, all is told soon after all is well, and
//! what is over is forgotten, in the lane and in Kafka.
//!
//! Tried with faults put in on purpose, 400 seeds each; violations found: one request too many in a window 156, a duplicate
//! not counted 279, send history not restored 79, sent although the transaction was aborted 48, marks not written 35, an
//! answer's state not written 144, a roll-up's state not written 81, a delivery given up before its time 204. Not found:
//! a successor that doesn't keep the lane quiet, because it knows what its predecessor has on the wire, counts it and waits
//! for it conversation by conversation. Not looked at: which repeats a message mentions, and how it reads.
//!
//! `MISSIVED_SIMULATION_SEEDS=10000` says how many seeds (from `MISSIVED_SIMULATION_FROM` on), `MISSIVED_SIMULATION_SEED=7` repeats one and tells all that
//! happens. The same seed is the same simulation, on every machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Report, World};

#[path = "simulation/inbox.rs"]
mod inbox;
#[path = "simulation/owner.rs"]
mod owner;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/reference.rs"]
mod reference;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/source.rs"]
mod source;
#[path = "simulation/world.rs"]
mod world;

/// Seeds of an ordinary run.
const SEEDS: u64 = 4_000;

/// Faults told in full.
const FAULTS_TOLD_MAX: usize = 12;

#[test]
fn the_lane_keeps_its_promises_through_storms_outages_and_crashes() {
    if let Some(seed) = number("MISSIVED_SIMULATION_SEED") {
        let report = World::new(seed, true).run().unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        println!("{report:?}");
        return;
    }
    let seeds = number("MISSIVED_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let from = number("MISSIVED_SIMULATION_FROM").unwrap_or(0);
    let (report, faults) = simulate(from, seeds);
    println!("{}", summary(seeds, &report, faults.len()));
    let told: Vec<_> =
        faults.iter().take(FAULTS_TOLD_MAX).map(|(seed, fault)| format!("seed {seed}: {fault}")).collect();
    let again = faults.first().map_or(0, |(seed, _)| *seed);
    assert!(
        faults.is_empty(),
        "{} violations\n{}\nrun one again with MISSIVED_SIMULATION_SEED={again} cargo test --test simulation -- --nocapture",
        faults.len(),
        told.join("\n")
    );
}

#[test]
fn the_same_seed_is_the_same_simulation() {
    for seed in 0..30 {
        let run = || format!("{:?}", World::new(seed, false).run());
        assert_eq!(run(), run(), "seed {seed}");
    }
}

fn simulate(from: u64, seeds: u64) -> (Report, Vec<(u64, String)>) {
    let (next, found) = (AtomicU64::new(from), Mutex::new((Report::default(), Vec::new())));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < from + seeds) {
                    let outcome = one(seed);
                    let mut found = found.lock().expect("no worker panics");
                    match outcome {
                        Ok(report) => found.0.add(&report),
                        Err(fault) => found.1.push((seed, fault)),
                    }
                }
            });
        }
    });
    let (report, mut faults) = found.into_inner().expect("no worker panics");
    faults.sort();
    (report, faults)
}

fn one(seed: u64) -> Result<Report, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run()));
    outcome.unwrap_or_else(|_| Err("panicked".to_owned()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn summary(seeds: u64, report: &Report, violations: usize) -> String {
    let waits: Vec<_> =
        report.untold_max.iter().map(|(urgency, ms)| format!("{} {} s", urgency.as_str(), ms / 1000)).collect();
    format!(
        "simulation: {seeds} seeds, {} steps, {} virtual days, {} observations, {} requests, {} roll-ups, {} crashes; longest untold: {}; drained within {} s; {violations} violations",
        report.steps,
        report.millis / (24 * scenario::HOUR),
        report.observations,
        report.requests,
        report.roll_ups,
        report.crashes,
        waits.join(", "),
        report.drained_after / 1000,
    )
}
