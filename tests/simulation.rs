//! The lane in virtual time: seeded storms, outages and crashes, and what must hold in all of them.
//!
//! A seed turns the [`dials`], and they make a [`scenario`]: which [`workloads`] the sources have and how often the intake
//! repeats itself ([`source`]), how Missive behaves ([`fate`], [`inbox`]), how the driver fares ([`owner`]). The [`world`]
//! lives through it and checks after every step; in the end, what was said is compared with what a naive model
//! ([`reference`]) makes of the whole ledger, conversation by conversation and word by word ([`story`]). A seed that fails
//! is shrunk by proptest.
//!
//! After every step: the books balance; what was folded, settled and is pending is what the naive model says; what the lane
//! believes to be on the wire is; bounds hold; a step that was not due changes nothing, one that was due leads to
//! something; nobody sends who was asked to wait, and no channel is drained into dead letters ([`manners`]). After every
//! commit: what was consumed is accounted for, by sums that the lane doesn't keep. At Missive: never more at once than
//! allowed, across owners, nor than Missive said was left; one delivery of a conversation at a time, in order; the same
//! message twice only if it says so, and never after a look-up has found it; nothing that wasn't announced. In the end: no
//! window ever held too much; each message tells what its conversation had heard and not told, with the right numbers and
//! names; people's words are there once and in order; all is told soon after all is well, and what is over is forgotten, in
//! the lane and in Kafka.
//!
//! Tried with faults put in on purpose, 450 seeds each. Found, with how many seeds violate and the first that does: one
//! request too many in a window 146 · a request counted from its sending 64, 5 · a repeat not counted on its conversation
//! 176 · a duplicate not in the books 321, 4 · send history not restored 58, not written 67, 1 · sent although the
//! transaction was aborted 71 · a late copy that revives what is gone 10 · the wait that was asked for not restored 13 · an
//! intent to send not written 439, 0 · marks not written 33, 8 · an answer's state not written 167, 0 · identities not
//! written 39, 17 · a roll-up's state not written 90, 6 · its counts mixed up 200, 1 · what it takes in lost 142, 1 · a
//! position folded twice 208, 1 · a delivery given up without its margin 79, 8, or before its time 252, 0 · a predecessor's
//! requests without permits 80, 8 · a repeat that doesn't say so 153, 4 · sequence numbers from the clock alone 6, 25 ·
//! critical news uncounted 203, 5 · an overtaken line lost 42, 13 · words swapped 108, 5 · a muted conversation that speaks
//! 9, 99 · a late resolve believed 27, 29 · closed while something fires 287, 1 · a dead letter not written 83, 0 ·
//! `Retry-After` not waited for 65, 1 · a breaker that never opens 16, 6.
//!
//! Not found, rightly: what is rolled up only at its horizon is still told in time. And a successor that doesn't keep the
//! lane quiet: with a predecessor as bad as it may be (clocks apart by the whole margin, written in the last millisecond,
//! arriving at the end of the timeout, its commit acknowledged after the next one took over) 278 such requests did no harm
//! in 1,300 seeds. Whatever it may still send was committed as being sent, so its conversation waits until it is given up,
//! it holds a permit and occupies the windows. The pause is a second fence, not the one that holds.
//!
//! Looked at, but with that fault put in no seed of 450 shows it: that what a person closed is left alone until there is
//! news (a story in `lane/tests` does).
//!
//! Not looked at: which lines are the worst, prose, the number in "(was 3)", verdicts on alerts that flap within short
//! windows (only their sums), what a wall clock that leaps forward by more than the margin does to windows, permits and
//! marks of repeats while requests are on the wire: measured by that clock, they are over.
//!
//! `MISSIVED_SIMULATION_SEEDS=100000` says how many seeds (from `MISSIVED_SIMULATION_FROM` on);
//! `MISSIVED_SIMULATION_SEED=7` repeats one and tells all that happens, with `MISSIVED_SIMULATION_DIALS='storm_groups=2
//! crashes=0'` turned differently. With `-- --nocapture` it says how far it is. The same seed is the same simulation, on
//! every machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use dials::{Dials, Failing};
use report::Report;
use world::World;

#[path = "simulation/committed.rs"]
mod committed;
#[path = "simulation/dials.rs"]
mod dials;
#[path = "simulation/fate.rs"]
mod fate;
#[path = "simulation/happening.rs"]
mod happening;
#[path = "simulation/inbox.rs"]
mod inbox;
#[path = "simulation/manners.rs"]
mod manners;
#[path = "simulation/owner.rs"]
mod owner;
#[path = "simulation/policy.rs"]
mod policy;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/reference.rs"]
mod reference;
#[path = "simulation/report.rs"]
mod report;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/source.rs"]
mod source;
#[path = "simulation/spoken.rs"]
mod spoken;
#[path = "simulation/story.rs"]
mod story;
#[path = "simulation/workloads.rs"]
mod workloads;
#[path = "simulation/world.rs"]
mod world;

/// Seeds of an ordinary run.
const SEEDS: u64 = 10_000;

/// In a run of so many seeds, whatever is meant to happen happens.
const SEEDS_THAT_SHOW_ALL: u64 = 1_000;

/// How often a run says how far it is.
const PROGRESS: u64 = 1_000;

/// Faults told in full.
const FAULTS_TOLD_MAX: usize = 12;

#[test]
fn the_lane_keeps_its_promises_through_storms_outages_and_crashes() {
    if let Some(seed) = number("MISSIVED_SIMULATION_SEED") {
        return tell_one(seed);
    }
    let seeds = number("MISSIVED_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let from = number("MISSIVED_SIMULATION_FROM").unwrap_or(0);
    let (report, faults) = simulate(from, seeds);
    println!("{}", report.summary(seeds, faults.len()));
    let told: Vec<_> =
        faults.iter().take(FAULTS_TOLD_MAX).map(|(seed, fault)| format!("seed {seed}: {fault}")).collect();
    if let Some((seed, _)) = faults.first() {
        panic!("{} violations\n{}\n{}", faults.len(), told.join("\n"), shrunk(*seed));
    }
    let missing = if seeds < SEEDS_THAT_SHOW_ALL { Vec::new() } else { report.missing() };
    assert!(missing.is_empty(), "never happened in {seeds} seeds: {missing:?}");
}

#[test]
fn the_same_seed_is_the_same_simulation() {
    for seed in 0..36 {
        let run = || format!("{:?}", World::new(Dials::of(seed), false).run());
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
                    let outcome = one(Dials::of(seed));
                    let mut found = found.lock().expect("no worker panics");
                    match outcome {
                        Ok(report) => found.0.add(&report),
                        Err(fault) => found.1.push((seed, fault)),
                    }
                    if (seed - from + 1).is_multiple_of(PROGRESS) {
                        println!("{} of {seeds} seeds, {} violations", seed - from + 1, found.1.len());
                    }
                }
            });
        }
    });
    let (report, mut faults) = found.into_inner().expect("no worker panics");
    faults.sort();
    (report, faults)
}

fn one(dials: Dials) -> Result<Report, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| World::new(dials, false).run()));
    outcome.unwrap_or_else(|_| Err("panicked".to_owned()))
}

/// Lives through one seed, with its dials turned as asked, and tells all that happens.
fn tell_one(seed: u64) {
    let mut dials = Dials::of(seed);
    dials.turn(&std::env::var("MISSIVED_SIMULATION_DIALS").unwrap_or_default());
    let report = World::new(dials, true).run().unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    println!("{report:?}");
}

/// The smallest simulation that proptest finds on the way from a seed that fails, and how to see it.
fn shrunk(seed: u64) -> String {
    let config = Config { failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let tree = Failing(seed).new_tree(&mut runner).expect("a seed has dials");
    let outcome = runner.run_one(tree, |dials| one(dials).map(|_| ()).map_err(TestCaseError::fail));
    match outcome {
        Err(TestError::Fail(fault, dials)) => format!(
            "the smallest like it: {fault}\n{dials:?}\nMISSIVED_SIMULATION_SEED={seed} MISSIVED_SIMULATION_DIALS='{}' cargo test --test simulation the_lane -- --nocapture",
            dials.differences()
        ),
        Ok(_) | Err(TestError::Abort(_)) => format!("seed {seed} did not fail again"),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
