//! Instances with different configs, as a rolling deploy has them for a while, and one that goes back again.

use crate::stage::{Budget, PATIENCE, Stage, number, run, say};
use crate::support::wait::eventually;
use crate::workload::STREAMS;

/// What the new config has and the old one has not: a whole lane, and a route of a lane that both have.
const NEW: [&str; 7] = [
    "lanes.busy",
    "channels.deals",
    "channels.groups",
    "channels.storm",
    "sources.deals",
    "sources.groups",
    "sources.storm",
];
const GROUPS: &str = "account = \"33333333-4444-4555-8666-777777777777\"\ntype = \"text\"\n";

#[test]
fn what_the_owners_config_does_not_know_is_held_and_told_once_an_owner_knows_it() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let seed = number("MISSIVED_SEED", 1);
    // one partition, so that whoever owns one lane owns both
    let stage = stage.with("ledger_partitions = 2", "ledger_partitions = 1");
    let stage = stage.with(&format!("{GROUPS}lane = \"busy\"\n"), GROUPS);
    let (before, after) = (stage.without("before", &NEW), stage.config("after"));
    let old = run(&before);
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);

    // the new one reads all sources, and the old one is still the owner
    let new = run(&after);
    let held = || {
        let metrics = old.metrics();
        let lane = metrics.sum("missived_events_pending", "lane=\"busy\"");
        let route = metrics.sum("missived_unknown_routes_total", "lane=\"default\"");
        (lane.min(route) > 20).then_some((lane, route))
    };
    let (of_the_lane, of_the_route) = eventually(PATIENCE, "events that the old config doesn't know", held);
    stage.missive.wait_for_more(20, PATIENCE);
    let talks = STREAMS[0].account;
    assert!(stage.missive.ledger().iter().all(|request| request.account == talks), "only what it knows is told");

    old.stop();
    let heard = |account: &str| stage.missive.ledger().iter().any(|request| request.account == account);
    eventually(PATIENCE, "message of each stream", || STREAMS.iter().all(|stream| heard(stream.account)).then_some(()));

    // the deploy is taken back for a while, with all that has been begun by then
    let old = run(&before);
    new.stop();
    stage.missive.wait_for_more(5, PATIENCE);
    let new = run(&after);
    old.stop();
    let books = workload.stop();
    stage.conclude(&format!("mixed configs, there and back (seed {seed})"), &books, 0);
    say(&format!("mixed configs: {of_the_lane} events of an unknown lane held, {of_the_route} of an unknown route"));
    new.stop();
}
