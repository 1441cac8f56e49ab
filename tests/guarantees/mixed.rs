//! Instances with different configs, as a rolling deploy has them for a while, and one that goes back again; and a change
//! that no config may make.

use std::time::Duration;

use crate::audit::Request;
use crate::scene::Daemon;
use crate::stage::{Budget, PATIENCE, Stage, number, run, say};
use crate::support::daemon::SOON;
use crate::support::kafka;
use crate::support::wait::eventually;
use crate::workload::STREAMS;

/// What the new config has and the old one has not: a whole lane, and a route of a lane that both have.
pub const NEW: [&str; 7] = [
    "lanes.busy",
    "channels.deals",
    "channels.groups",
    "channels.storm",
    "sources.deals",
    "sources.groups",
    "sources.storm",
];
/// A member that is gone would be missed after so long.
const SESSION: Duration = Duration::from_secs(6);
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
    let joins = stage.missive.ledger().len() - 1;
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
    let told = stage.missive.ledger();
    assert!(told.iter().all(|request| request.account == talks), "only what it knows is told");
    let silence = longest_silence(&told[joins..]);
    assert!(silence < SESSION, "what an owner keeps goes on while others come: {silence:?}");

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
    say(&format!(
        "mixed configs: {of_the_lane} events of an unknown lane held, {of_the_route} of an unknown route; the longest silence of \
         a lane that stayed while another instance came: {} ms",
        silence.as_millis()
    ));
    new.stop();
}

#[test]
fn more_partitions_than_lanes_were_packed_on_are_refused_at_start() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    run(&stage.config("one")).stop();
    let rows = [
        ("of the ledger alone", "ledger", "ledger_partitions = 2", "ledger has 3 partitions, the config says 2"),
        (
            "of the state, too, and in the config",
            "state",
            "ledger_partitions = 3",
            "was made with 2 ledger partitions, the config says 3",
        ),
    ];
    let mut stage = stage;
    for (sentence, topic, partitions, told) in rows {
        kafka::add_partitions(&stage.kafka, &format!("{}.{topic}", stage.namespace), 3);
        stage = stage.with("ledger_partitions = 2", partitions);
        let mut refused = Daemon::start(stage.config("one").path());
        assert_eq!(refused.process.wait_exit(SOON).code(), Some(1), "{sentence}");
        refused.process.wait_for_line(told, Duration::ZERO);
    }
}

/// Between the arrivals of two requests.
fn longest_silence(requests: &[Request]) -> Duration {
    let pauses = requests.windows(2).map(|pair| pair[1].received_at - pair[0].received_at);
    Duration::from_millis(pauses.max().expect("two requests"))
}
