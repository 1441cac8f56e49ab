//! Everything together, for as long as asked: two instances, one of which is killed, ended and stopped again and again, while
//! Missive answers as it pleases. The other one shows what a long life costs in memory.

use std::time::Duration;

use serde_json::json;

use crate::scene::Daemon;
use crate::stage::{Budget, LANES, PATIENCE, Stage, number, run, say, span};
use crate::support::daemon::SOON;
use crate::support::wait::{Deadline, moment, timed};
use crate::workload::Random;

/// How long the soak takes in CI.
const SHORT: Duration = Duration::from_secs(30);
/// The longest pause between two disturbances.
const PAUSE: Duration = Duration::from_secs(8);

#[test]
fn under_everything_at_once_it_keeps_its_promises_and_its_size() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let seed = number("MISSIVED_SEED", 1);
    let span = span("MISSIVED_SOAK", SHORT);
    let mut random = Random::new(seed);
    let (steady, restless) = (run(&stage.config("steady")), stage.config("restless"));
    let mut other = run(&restless);
    let workload = stage.workload(seed, 20);
    let (deadline, mut ended, mut disturbances, mut passed) = (Deadline::after(span), 0, 0, Duration::ZERO);
    while !deadline.passed() {
        disturbances += 1;
        let (senders, took) = timed(|| {
            moment(random.span(PAUSE));
            let (ended, life) = disturb(&stage, &mut random, &mut other);
            if life == Life::Over {
                other = run(&restless);
            }
            ended
        });
        ended += senders;
        passed += took;
        let rss = |daemon: &Daemon| daemon.process.rss_kib().unwrap_or(0);
        say(&format!(
            "soak, {:>4} s: RSS {} KiB, the restless one {} KiB",
            passed.as_secs(),
            rss(&steady),
            rss(&other)
        ));
    }
    stage.missive.clear_faults();
    let books = workload.stop();
    let found = stage.conclude(&format!("soak of {span:?}, {disturbances} disturbances (seed {seed})"), &books, ended);
    assert!(found.unique > 0);
    other.stop();
    steady.stop();
}

/// Whether the restless instance must be started again.
#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

/// Does something to the restless instance, or to Missive; tells how many senders ended without draining.
fn disturb(stage: &Stage, random: &mut Random, other: &mut Daemon) -> (usize, Life) {
    match random.below(4) {
        0 => {
            other.process.kill9();
            other.process.wait_exit(SOON);
            (LANES, Life::Over)
        }
        1 => {
            other.process.sigterm();
            other.process.wait_exit(SOON);
            (0, Life::Over)
        }
        2 => {
            other.process.sigstop();
            moment(random.span(PAUSE * 2));
            other.process.sigcont();
            stage.missive.wait_for_more(1, PATIENCE);
            (LANES, Life::GoesOn)
        }
        _ => {
            stage.missive.fault(&json!({"fault": "status", "status": 503, "after_processing": true, "next": 3}));
            stage.missive.fault(&json!({"fault": "reset", "next": 3}));
            stage.missive.fault(&json!({"fault": "status", "status": 429, "retry_after": 1, "next": 2}));
            (0, Life::GoesOn)
        }
    }
}
