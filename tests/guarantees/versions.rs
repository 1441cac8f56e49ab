//! Versions of what is written down: the one before is read with nothing lost or told again, a later one stops its partition
//! and no other.
//!
//! `before.txt` is what a build of the version before left in its topics, byte for byte, when it was killed while Missive
//! refused its tokens: conversations, marks and frames as they were then. Its lines are `state KEY HEX` and `ledger HEX`,
//! with `folded` for what the state reflects and `waiting` for what came after. The marks are those of version 1; the build
//! wrote them in version 2 already, so the ids of topics were taken out.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::audit::{Books, News, Said};
use crate::mixed::NEW;
use crate::scene::Daemon;
use crate::stage::{Budget, PATIENCE, Stage, change, run, said};
use crate::support::daemon::SOON;
use crate::support::wait::eventually;
use crate::support::{kafka, kcat};
use crate::workload::STREAMS;

const BEFORE: &str = include_str!("before.txt");
/// What the build of before had read and not told: of the first lines the state knows, of the last the ledger.
const UNTOLD: [(char, u32, u32, Said); 11] = [
    ('t', 0, 1, Said::New),
    ('t', 1, 0, Said::New),
    ('r', 0, 1, Said::New),
    ('r', 1, 0, Said::New),
    ('r', 1, 1, Said::New),
    ('a', 0, 2, Said::New),
    ('a', 0, 1, Said::Resolved),
    ('a', 1, 0, Said::New),
    ('t', 0, 2, Said::New),
    ('r', 0, 2, Said::New),
    ('a', 1, 1, Said::New),
];
/// What no build can read.
const LATER: [u8; 2] = [9, 0];

#[test]
fn what_the_version_before_wrote_is_read_and_nothing_of_it_is_lost_or_told_again() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let stage = stage.with("ledger_partitions = 2", "ledger_partitions = 1");
    let (state, ledger) = (format!("{}.state", stage.namespace), format!("{}.ledger", stage.namespace));
    kafka::create_topic(&stage.kafka, &state, 1, &[("cleanup.policy", "compact")]);
    kafka::create_topic(&stage.kafka, &ledger, 1, &[]);
    let lines: Vec<Vec<&str>> = BEFORE.lines().map(|line| line.split(' ').collect()).collect();
    let of = |first: &str| lines.iter().filter(|line| line[0] == first).collect::<Vec<_>>();
    for record in of("state") {
        kcat::Record::to(&state).key(record[1]).payload(bytes(record[2])).send(&stage.kafka);
    }
    let folded: Vec<_> = of("ledger").into_iter().filter(|record| record[1] == "folded").collect();
    // as after a crash of the intake, what was folded comes again
    for record in folded.iter().copied().chain(of("ledger")) {
        kcat::Record::to(&ledger).payload(bytes(record[2])).send(&stage.kafka);
    }

    let daemon = run(&stage.config("one"));
    let mut books = Books::default();
    for (stream, conversation, number, said) in UNTOLD {
        let account = STREAMS.iter().find(|of| of.letter == stream).expect("a stream").account;
        let news = News { stream, conversation, number, said };
        books.news.entry(account.to_owned()).or_insert_with(BTreeSet::new).insert(news);
    }
    books.events = UNTOLD.len() as u64;
    stage.conclude("state and ledger of the version before", &books, 0);
    let again = || daemon.metrics().sum("missived_observations_read_again_total", "");
    eventually(SOON, "what the marks of before knew", || (again() >= folded.len() as u64).then_some(()));
    daemon.stop();
    let versioned = |key: &str| key.contains("/c/") || key.ends_with("/marks");
    let written = kcat::latest(&stage.kafka, &state, 0).into_iter().filter(|(key, _)| versioned(key));
    for (key, value) in written {
        assert_eq!(value[0], 2, "{key} is written in the version of now");
    }
}

#[test]
fn a_record_of_an_unknown_version_stops_its_partition_and_no_other() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let (state, ledger) = (format!("{}.state", stage.namespace), format!("{}.ledger", stage.namespace));
    let config = stage.config("one");
    let daemon = run(&config);
    stage.tell("talks", said("t0", "t-0-0"));
    stage.tell("deals", change(0, 0));
    daemon.stop();
    let (default, busy) = (stage.place("default"), stage.place("busy"));
    assert_ne!(default, busy, "two lanes on two partitions");
    let good = kcat::latest(&stage.kafka, &state, busy);
    let kinds: Vec<&String> = good.keys().filter(|key| *key != "installation").collect();
    assert_eq!(kinds.len(), 6, "a conversation, channels, history, identities, marks, the position: {kinds:?}");
    let put = |key: &str, value: &[u8]| {
        kcat::Record::to(&state).partition(busy).key(key).payload(value).send(&stage.kafka);
    };
    kinds.iter().for_each(|key| put(key, &LATER));

    let daemon = Daemon::start(config.path());
    // read in the order of their keys, so that the next is met when the last has been put right
    for (at, key) in kinds.into_iter().enumerate() {
        let told = format!("state record {key} is of version 9; this missived reads version");
        let told = if key == "position" { "the position record is damaged" } else { &told };
        daemon.process.wait_for_line(told, PATIENCE);
        stage.tell("talks", said("t0", &format!("t-0-{}", at + 1)));
        says_what_stopped(&daemon, told);
        put(key, &good[key]);
    }
    stage.tell("deals", change(0, 1));
    daemon.until_ready(PATIENCE);

    kcat::Record::to(&ledger).partition(busy).payload(LATER).send(&stage.kafka);
    let told = "the record is of version 9, written by a newer missived";
    daemon.process.wait_for_line(told, PATIENCE);
    stage.tell("talks", said("t0", "t-0-7"));
    says_what_stopped(&daemon, told);
    daemon.stop();
}

#[test]
fn an_installation_of_an_unknown_version_is_refused_and_left_as_it_is() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let state = format!("{}.state", stage.namespace);
    run(&stage.without("one", &NEW)).stop();
    let written = String::from_utf8(kcat::latest(&stage.kafka, &state, 0)["installation"].clone()).expect("JSON");
    let later = written.replace("\"version\":1", "\"version\":2,\"more\":true");
    assert_ne!(later, written);
    kcat::Record::to(&state).partition(0).key("installation").payload(later.as_str()).send(&stage.kafka);

    // one lane more, for which it would have to be written
    let mut refused = Daemon::start(stage.config("one").path());
    assert_eq!(refused.process.wait_exit(SOON).code(), Some(1));
    refused
        .process
        .wait_for_line("the installation record is of version 2; this missived knows version 1", Duration::ZERO);
    assert_eq!(kcat::latest(&stage.kafka, &state, 0)["installation"], later.as_bytes(), "nothing is written over it");
}

/// Not ready, for one reason.
fn says_what_stopped(daemon: &Daemon, why: &str) {
    // an owner that tries again says for a moment that it is starting
    eventually(SOON, &format!("readiness that says {why:?}"), || {
        let (status, report) = daemon.readiness();
        let components = report["components"].as_array().expect("a list");
        let halted: Vec<String> =
            components.iter().filter(|part| part["state"] == "halted").map(ToString::to_string).collect();
        (status == 503 && halted.len() == 1 && halted[0].contains(why)).then_some(())
    });
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}
