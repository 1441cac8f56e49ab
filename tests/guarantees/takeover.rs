//! What a new owner does with a transaction that is open in its state: one that will end is waited for, one that Kafka has
//! forgotten is closed, and in both cases the state is read to its true end.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::hanging::{self, Hanging};
use crate::mixed::NEW;
use crate::scene::Daemon;
use crate::stage::{Budget, PATIENCE, Stage, change, run, said};
use crate::support::{kafka, kcat};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_transaction_that_kafka_has_forgotten_is_closed_and_what_it_says_counts() {
    if !kcat::available() {
        return;
    }
    let Some(broker) = kafka::Broker::with_settings(hanging::UNVERIFIED) else { return };
    let stage = Stage::on(broker.bootstrap(), 1, Budget::Tenfold);
    let (config, busy) = (stage.config("one"), tell_one(&stage, 0));
    let (state, ledger) = (format!("{}.state", stage.namespace), format!("{}.ledger", stage.namespace));
    let position = last_position(&stage, busy);

    // A record of the ledger that nobody can read, and a forgotten transaction that says it has been dealt with: whoever
    // doesn't read as far as that stumbles over it.
    kcat::Record::to(&ledger).partition(busy).payload([0]).send(&stage.kafka);
    let written = kcat::consume(&stage.kafka, &ledger);
    let unreadable = written.iter().rfind(|record| record.partition == i64::from(busy));
    let unreadable = unreadable.expect("what was just written");
    assert_eq!(unreadable.offset, position, "the next to be read");
    let (transactional_id, said) = (format!("{}.lane.{busy}", stage.namespace), (position + 1).to_string());
    hanging::leave(
        &stage.kafka,
        &Hanging {
            transactional_id: &transactional_id,
            topic: &state,
            partition: busy,
            key: "position",
            value: &said,
            timestamp_ms: unreadable.timestamp_ms,
        },
    );
    assert_eq!(last_position(&stage, busy), position, "nobody can see it yet");

    let daemon = run(&config);
    daemon.process.wait_for_line("kafka has left a transaction open in the state; closing it", SOON);
    assert!(!daemon.process.has_line("the ledger can't be read on"), "what it says counts");
    assert!(last_position(&stage, busy) > position, "and everybody can see it");
    stage.tell("deals", change(0, 1));
    daemon.stop();
    a_new_lane_can_be_written_down_behind_one(broker.bootstrap());
}

/// Before any owner has its turn, whoever adds a lane must read what all have agreed on.
fn a_new_lane_can_be_written_down_behind_one(bootstrap: &str) {
    let stage = Stage::on(bootstrap, 1, Budget::Tenfold);
    let daemon = run(&stage.without("before", &NEW));
    stage.tell("talks", said("t0", "t-0-0"));
    daemon.stop();
    let state = format!("{}.state", stage.namespace);
    let written = kcat::consume(&stage.kafka, &state);
    hanging::leave(
        &stage.kafka,
        &Hanging {
            transactional_id: &format!("{}.lane.0", stage.namespace),
            topic: &state,
            partition: 0,
            key: "closing",
            value: "",
            timestamp_ms: written.last().expect("its state").timestamp_ms,
        },
    );

    let daemon = run(&stage.config("after"));
    daemon.process.wait_for_line("closing it for the new lanes", SOON);
    stage.tell("talks", said("t0", "t-0-1"));
    stage.tell("deals", change(0, 0));
    daemon.stop();
}

#[test]
fn a_transaction_that_somebody_holds_open_is_waited_for_and_the_other_partition_goes_on() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let (config, busy) = (stage.config("one"), tell_one(&stage, 0));
    let state = format!("{}.state", stage.namespace);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &stage.kafka).set("transactional.id", format!("{}-stranger", stage.namespace));
    let stranger: BaseProducer = client.create().expect("a producer");
    stranger.init_transactions(SOON).expect("transactions");
    stranger.begin_transaction().expect("a transaction");
    stranger.send(BaseRecord::to(&state).partition(busy).key("stranger").payload("")).expect("room for a record");
    stranger.flush(SOON).expect("a record that is written");

    let daemon = Daemon::start(config.path());
    daemon.process.wait_for_line("could not be read to its end in time", PATIENCE);
    stage.tell("talks", said("t0", "t-0-1"));
    let (status, report) = daemon.readiness();
    assert_eq!(status, 503, "{report}");
    assert!(report.to_string().contains("could not be read to its end in time"), "and says why: {report}");

    stranger.abort_transaction(SOON).expect("an end");
    daemon.until_ready(PATIENCE);
    stage.tell("deals", change(0, 1));
    daemon.stop();
}

/// A life of the daemon in which each lane tells something; the partition of the lane `busy`.
fn tell_one(stage: &Stage, number: u64) -> i32 {
    let daemon = run(&stage.config("one"));
    stage.tell("talks", said("t0", "t-0-0"));
    stage.tell("deals", change(0, number));
    daemon.stop();
    let (default, busy) = (stage.place("default"), stage.place("busy"));
    assert_ne!(default, busy, "two lanes on two partitions");
    busy
}

/// Where in the ledger the state stands, as every reader sees it.
fn last_position(stage: &Stage, partition: i32) -> i64 {
    let records = kcat::consume(&stage.kafka, &format!("{}.state", stage.namespace));
    let of_it = |record: &&kcat::Consumed| {
        record.partition == i64::from(partition) && record.key.as_deref() == Some("position")
    };
    let last = records.iter().rfind(of_it).expect("a position");
    last.payload.as_deref().expect("a value").parse().expect("a number")
}
