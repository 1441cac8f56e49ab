//! `kill -9`, at any moment, again and again, while the work goes on.

use std::time::Duration;

use crate::scene::Daemon;
use crate::stage::{Budget, IN_DOUBT_A_SENDER, LANES, Stage, number, run};
use crate::support::daemon::SOON;
use crate::support::wait::moment;
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
    for _ in 0..kills {
        let mut daemon = Daemon::start(config.path());
        moment(random.span(LONGEST_LIFE));
        daemon.process.kill9();
        daemon.process.wait_exit(SOON);
    }
    let daemon = run(&config);
    let books = workload.stop();
    let found = stage.conclude(&format!("{kills} kills (seed {seed})"), &books, LANES * kills);
    let most = kills * LANES * IN_DOUBT_A_SENDER;
    assert!(found.in_doubt.len() <= most, "at most {most} of {kills} kills: {:?}", found.in_doubt);
    daemon.stop();
}
