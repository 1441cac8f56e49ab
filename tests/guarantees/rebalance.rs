//! Instances that come and go under load: with a name that the group remembers, and without one.

use crate::audit::Request;
use crate::scene::Daemon;
use crate::stage::{Budget, LANES, PATIENCE, Stage, agent_of, number, run};
use crate::support::daemon::SOON;
use crate::support::wait::eventually;

#[test]
fn two_and_three_instances_join_and_leave_under_load() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let seed = number("MISSIVED_SEED", 1);
    let configs = [stage.dynamic(), stage.dynamic(), stage.dynamic()];
    let workload = stage.workload(seed, 60);
    let mut daemons = vec![run(&configs[0])];
    until_lanes_speak(&stage, &daemons);
    for config in &configs[1..] {
        daemons.push(run(config));
        until_lanes_speak(&stage, &daemons);
    }
    // the eldest leaves, and comes back
    for config in &configs {
        daemons.remove(0).stop();
        until_lanes_speak(&stage, &daemons);
        daemons.push(run(config));
        until_lanes_speak(&stage, &daemons);
    }
    // two leave at once, one of them without a word
    let mut killed = daemons.remove(0);
    killed.process.kill9();
    killed.process.wait_exit(SOON);
    daemons.remove(0).stop();
    until_lanes_speak(&stage, &daemons);
    let books = workload.stop();
    stage.conclude(&format!("rebalance of 1 to 3 instances (seed {seed})"), &books, LANES);
    daemons.into_iter().for_each(Daemon::stop);
}

/// Both lanes are served, and by these instances; and each of them reads sources.
fn until_lanes_speak(stage: &Stage, daemons: &[Daemon]) {
    let reads = |daemon: &Daemon| daemon.metrics().sum("missived_records_total", "") > 0;
    eventually(PATIENCE, "share of the sources for everybody", || daemons.iter().all(reads).then_some(()));
    let before = stage.missive.ledger().last().map_or(0, |request| request.id);
    let agents: Vec<String> = daemons.iter().map(agent_of).collect();
    let by_them = |request: &Request| agents.iter().any(|agent| request.agent.ends_with(agent));
    eventually(PATIENCE, "message in both lanes", || {
        let after = stage.missive.ledger().into_iter().filter(|request| request.id > before);
        let mut lanes: Vec<String> = after.filter(by_them).map(|request| request.token).collect();
        lanes.sort();
        lanes.dedup();
        (lanes.len() == 2).then_some(())
    });
}
