//! `kill -9`, at any moment, again and again, while the work goes on; some of it can't be handled.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::scene::Daemon;
use crate::stage::{Budget, IN_DOUBT_A_SENDER, LANES, PATIENCE, Stage, number, run, say};
use crate::support::daemon::SOON;
use crate::support::kcat;
use crate::support::wait::{eventually, moment};
use crate::workload::Random;

/// The longest that an instance lives; short enough that many die while they start or take over.
const LONGEST_LIFE: Duration = Duration::from_secs(5);

#[test]
fn killed_at_random_moments_it_loses_nothing_and_repeats_only_what_it_says() {
    let Some(stage) = Stage::new(Budget::Missives) else { return };
    let (kills, seed) = (number("MISSIVED_KILLS", 30) as usize, number("MISSIVED_SEED", 1));
    let config = stage.config("one");
    let mut random = Random::new(seed);
    let workload = stage.workload(seed, 40);
    for kill in 0..kills {
        kcat::Record::to(&stage.topic("talks")).payload(unreadable(kill)).send(&stage.kafka);
        let mut daemon = Daemon::start(config.path());
        moment(random.span(LONGEST_LIFE));
        daemon.process.kill9();
        daemon.process.wait_exit(SOON);
    }
    let daemon = run(&config);
    let books = workload.stop();
    let found = stage.conclude_but_for_letters(&format!("{kills} kills (seed {seed})"), &books, LANES * kills);
    let most = kills * IN_DOUBT_A_SENDER;
    assert!(found.in_doubt.len() <= most, "at most {most} of {kills} kills: {:?}", found.in_doubt);
    every_unreadable_record_became_a_letter(&stage, kills);
    daemon.stop();
}

/// An offset moves on only with the letter's acknowledgement: there may be two of one record, never none.
fn every_unreadable_record_became_a_letter(stage: &Stage, kills: usize) {
    let wanted: BTreeSet<String> = (0..kills).map(unreadable).collect();
    let letters = eventually(PATIENCE, "letter for each record that can't be read", || {
        let letters = stage.letters();
        let kept: BTreeSet<String> = letters.iter().filter_map(|letter| letter.payload.clone()).collect();
        (kept == wanted).then_some(letters)
    });
    assert!(letters.iter().all(|letter| letter.header("missived-reason") == Some("not_json")), "{letters:?}");
    say(&format!("{kills} kills: {kills} records that can't be read, {} dead letters, lost 0", letters.len()));
}

fn unreadable(kill: usize) -> String {
    format!("not JSON {kill}")
}
