//! An owner that is stopped past its session, replaced, and wakes up again.

use crate::audit::Request;
use crate::scene::Daemon;
use crate::stage::{Budget, LANES, PATIENCE, Stage, agent_of, number, run};
use crate::support::wait::eventually;

/// How often each of the two is stopped.
const STOPS: usize = 4;

#[test]
fn a_zombie_that_wakes_up_sends_nothing_beside_its_successor() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let seed = number("MISSIVED_SEED", 1);
    let (one, two) = (stage.config("one"), stage.config("two"));
    let daemons = [run(&one), run(&two)];
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);
    for stop in 0..STOPS {
        let (zombie, successor) = (&daemons[stop % 2], &daemons[(stop + 1) % 2]);
        zombie.process.sigstop();
        let before = stage.missive.ledger().last().map_or(0, |request| request.id);
        eventually(PATIENCE, "successor in both lanes", || {
            let after = stage.missive.ledger().into_iter().filter(|request| request.id > before);
            (lanes_of(after, successor) == 2).then_some(())
        });
        zombie.process.sigcont();
        // it sends again: it has understood, joined, and taken over what it was given
        let awake = stage.missive.ledger().last().map_or(0, |request| request.id);
        eventually(PATIENCE, "life of the one that woke up", || {
            let after = stage.missive.ledger().into_iter().filter(|request| request.id > awake);
            (lanes_of(after, zombie) > 0).then_some(())
        });
    }
    let books = workload.stop();
    stage.conclude(&format!("zombie, stopped {STOPS} times (seed {seed})"), &books, LANES * STOPS);
    daemons.into_iter().for_each(Daemon::stop);
}

/// In how many lanes an instance was heard.
fn lanes_of(requests: impl Iterator<Item = Request>, daemon: &Daemon) -> usize {
    let agent = agent_of(daemon);
    let mut lanes: Vec<String> =
        requests.filter(|request| request.agent.ends_with(&agent)).map(|request| request.token).collect();
    lanes.sort();
    lanes.dedup();
    lanes.len()
}
