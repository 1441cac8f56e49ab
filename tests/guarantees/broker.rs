//! Kafka itself fails: gone for half a minute, one broker of three killed, a full disk.

use std::time::Duration;

use crate::stage::{Budget, PATIENCE, Stage, lanes_left, number, run};
use crate::support::wait::{eventually, moment};
use crate::support::{kafka, kcat};

/// How long the only broker is away.
const AWAY: Duration = Duration::from_secs(30);

#[test]
fn the_only_broker_is_away_for_half_a_minute() {
    let Some(mut broker) = broker_of(1) else { return };
    let (stage, seed) = (Stage::on(broker.bootstrap(), 1, Budget::Tenfold), number("MISSIVED_SEED", 1));
    let daemon = run(&stage.config("one"));
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);
    broker.stop();
    moment(AWAY);
    broker.start_again();
    stage.missive.wait_for_more(20, PATIENCE);
    let books = workload.stop();
    daemon.until_ready(PATIENCE);
    // whoever can't commit an answer leaves its delivery in doubt
    stage.until_told(&books);
    let ended = lanes_left(&daemon);
    stage.conclude(&format!("broker away for {AWAY:?} (seed {seed})"), &books, ended);
    daemon.stop();
}

#[test]
fn a_kafka_that_hangs_for_a_moment_leaves_nothing_in_doubt() {
    /// Longer than a sender waits for an answer, shorter than the broker's own session with its controller.
    const HANGS: Duration = Duration::from_millis(2_500);
    let Some(broker) = broker_of(1) else { return };
    let (stage, seed) = (Stage::on(broker.bootstrap(), 1, Budget::Tenfold), number("MISSIVED_SEED", 1));
    let daemon = run(&stage.config("one"));
    let workload = stage.workload(seed, 40);
    for _ in 0..3 {
        stage.missive.wait_for_more(20, PATIENCE);
        broker.pause();
        moment(HANGS);
        broker.resume();
    }
    stage.missive.wait_for_more(20, PATIENCE);
    let books = workload.stop();
    assert_eq!(lanes_left(&daemon), 0, "nobody had to go");
    stage.conclude(&format!("broker hanging for {HANGS:?}, 3 times (seed {seed})"), &books, 0);
    daemon.stop();
}

#[test]
fn of_three_brokers_one_is_killed() {
    let Some(cluster) = broker_of(3) else { return };
    let (stage, seed) = (Stage::on(cluster.bootstrap(), 3, Budget::Tenfold), number("MISSIVED_SEED", 1));
    let daemon = run(&stage.config("one"));
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);
    // another one with another seed: sometimes it coordinates a group or leads a lane's partitions, sometimes not
    let node = 1 + usize::try_from(seed % 3).expect("a small number");
    cluster.kill_node(node);
    stage.missive.wait_for_more(40, PATIENCE);
    cluster.start_node(node);
    stage.missive.wait_for_more(20, PATIENCE);
    let books = workload.stop();
    daemon.until_ready(PATIENCE);
    stage.until_told(&books);
    let ended = lanes_left(&daemon);
    stage.conclude(&format!("1 of 3 brokers killed (seed {seed})"), &books, ended);
    daemon.stop();
}

#[test]
fn the_brokers_disk_is_full() {
    let Some(mut broker) = broker_of(1) else { return };
    let (stage, seed) = (Stage::on(broker.bootstrap(), 1, Budget::Tenfold), number("MISSIVED_SEED", 1));
    let daemon = run(&stage.config("one"));
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);
    broker.fill();
    // its only disk: a broker that can't write ends itself
    eventually(PATIENCE, "end of a broker that can't write", || broker.is_gone().then_some(()));
    broker.kill();
    broker.start_again();
    stage.missive.wait_for_more(20, PATIENCE);
    let books = workload.stop();
    daemon.until_ready(PATIENCE);
    stage.until_told(&books);
    let ended = lanes_left(&daemon);
    stage.conclude(&format!("broker's disk full (seed {seed})"), &books, ended);
    daemon.stop();
}

fn broker_of(nodes: usize) -> Option<kafka::Broker> {
    if kcat::available() { kafka::Broker::cluster(nodes) } else { None }
}
