//! What an owner finds in the state topic: as much as there is, and as little as must be.
//!
//! `MISSIVED_KEYS` says how many identities come (50,000; a million shows what is promised). Conversations are a hundredth.

use std::time::Duration;

use crate::scene::Daemon;
use crate::stage::{Budget, PATIENCE, Stage, change, number, run, say};
use crate::support::daemon::SOON;
use crate::support::wait::{eventually, moment};
use crate::support::{kafka, kcat};

/// For a million of anything.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_successor_restores_what_its_predecessor_knew() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let stage = stage.with("digest_lines_max = 100", "digest_lines_max = 10");
    let (keys, config) = (number("MISSIVED_KEYS", 50_000), stage.config("one"));
    let conversations = keys / 100;
    let daemon = run(&config);
    kcat::send_lines(&stage.kafka, &stage.topic("deals"), (0..keys).map(|key| change(key % conversations, key)));
    let known = |daemon: &Daemon| {
        let metrics = daemon.metrics();
        (metrics.sum("missived_dedupe_keys", ""), metrics.sum("missived_conversations", ""))
    };
    eventually(LONG, "last of the keys", || (known(&daemon).0 == keys).then_some(()));
    let before = known(&daemon);
    assert!(before.1 >= conversations, "{} conversations", before.1);
    daemon.stop();

    let daemon = run(&config);
    let restored =
        eventually(SOON, "metrics of what was restored", || Some(known(&daemon)).filter(|after| after.0 > 0));
    assert_eq!((restored.0, restored.1 >= conversations), (keys, true), "as it was: {restored:?}");
    let lines = daemon.process.text(crate::support::daemon::Stream::Stderr);
    let took = lines.lines().filter(|line| line.contains("took over")).map(Takeover::of);
    let largest = took.max_by_key(|takeover| takeover.records).expect("a takeover");
    say(&format!(
        "restore of {keys} keys and {conversations} conversations: {} records in {:.1} s, {} records/s, {} keys/s",
        largest.records,
        largest.ms as f64 / 1e3,
        largest.records * 1_000 / largest.ms.max(1),
        keys * 1_000 / largest.ms.max(1),
    ));
    daemon.stop();
}

struct Takeover {
    records: u64,
    ms: u64,
}

impl Takeover {
    fn of(line: &str) -> Self {
        let number = |name: &str| {
            let rest = line.split(name).nth(1).unwrap_or_else(|| panic!("no {name} in {line}"));
            rest.split_whitespace().next().and_then(|digits| digits.parse().ok()).expect("a number")
        };
        Self { records: number(" records="), ms: number("took_ms=") }
    }
}

#[test]
fn what_has_gone_leaves_the_state_topic() {
    const CONVERSATIONS: u64 = 20;
    const IDENTITY_BYTES: u64 = 16;
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let short = "group_interval = \"1s\"\nwindow = \"10s\"\nepisode_gap = \"1s\"";
    let stage = stage.with("group_interval = \"1s\"", short);
    let (keys, state) = (number("MISSIVED_KEYS", 50_000), format!("{}.state", stage.namespace));
    // what takes Kafka an hour and a full segment elsewhere
    let quick = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
    ];
    kafka::create_topic(&stage.kafka, &state, 2, &quick);
    let daemon = run(&stage.config("one"));
    let mut key = 0;
    let mut send = |count: u64| {
        let lines = (key..key + count).map(|key| change(key % CONVERSATIONS, key));
        kcat::send_lines(&stage.kafka, &stage.topic("deals"), lines);
        key += count;
    };
    // in slices, as they would come
    (0..10).for_each(|_| send(keys / 10));
    let known = || daemon.metrics().sum("missived_dedupe_keys", "");
    eventually(LONG, "all events", || (daemon.metrics().consumed() >= keys).then_some(()));
    eventually(PATIENCE, "end of every window", || (known() == 0).then_some(()));
    // What the identities alone took; nobody knows the rest, because compaction may be quicker than our first look.
    let (mut written, least) = (0, keys * IDENTITY_BYTES);
    let (left, bytes) = eventually(LONG, "compaction", || {
        // a segment is closed by the first record that comes too late for it
        send(1);
        moment(Duration::from_secs(1));
        let records = kcat::payloads(&stage.kafka, &state);
        let bytes = records.iter().flatten().map(|value| value.len() as u64).sum::<u64>();
        written = end_of(&stage.kafka, &state);
        (bytes < least / 20).then_some((records.len(), bytes))
    });
    say(&format!(
        "{keys} keys came and went: {written} records of more than {least} bytes were in the state topic, {left} of {bytes} are left"
    ));

    // and what the state reflects leaves the ledger, but nothing else
    let (ledger, busy) = (format!("{}.ledger", stage.namespace), stage.place("busy"));
    let first = || kafka::beginning_of(&stage.kafka, &ledger, busy);
    let first = eventually(PATIENCE, "ledger that is trimmed", || Some(first()).filter(|first| *first > 0));
    daemon.stop();
    let position = &kcat::latest(&stage.kafka, &state, busy)["position"];
    let position: i64 = str::from_utf8(position).ok().and_then(|digits| digits.parse().ok()).expect("a number");
    assert!(first <= position, "trimmed to {first}, and the state is at {position}");
    let before = stage.missive.accepted();
    let daemon = run(&stage.config("one"));
    send(1);
    eventually(PATIENCE, "message of a successor", || (stage.missive.accepted() > before).then_some(()));
    daemon.stop();
}

/// How many records a topic has ever held, commit markers included.
fn end_of(kafka: &str, topic: &str) -> i64 {
    let mut last = std::collections::BTreeMap::new();
    for record in kcat::consume(kafka, topic) {
        last.insert(record.partition, record.offset + 1);
    }
    last.values().sum()
}
