//! The other commands, by what they print and how they exit.

use std::path::Path;

use crate::support::config::Draft;
use crate::support::daemon::{Finished, finish};
use crate::support::kafka;

fn run(words: &[&str], config: &Path) -> Finished {
    finish(&[words, &["--config", config.to_str().expect("scratch paths are UTF-8")]].concat())
}

#[test]
fn topics_are_listed_as_missing_then_created_then_listed_as_there() {
    let Some(bootstrap) = kafka::bootstrap() else { return };
    let config = Draft::new(&bootstrap, "http://127.0.0.1:1").set("kafka", "topics.ledger_partitions = 3").write();
    let own = |name: &str| config.own_topic(name);

    let before = run(&["topics", "list"], config.path());
    assert_eq!((before.status.code(), before.stdout.matches("missing").count()), (Some(1), 4), "{before:?}");

    let created = run(&["topics", "create"], config.path());
    assert_eq!(created.status.code(), Some(0), "{created:?}");
    for name in ["ledger", "state", "replies", "dead-letters"] {
        assert!(created.stdout.contains(&format!("created {}\n", own(name))), "{name}: {created:?}");
    }
    let after = run(&["topics", "list"], config.path());
    let wanted = [("ledger", 3), ("state", 3), ("replies", 3), ("dead-letters", 1)];
    let wanted: String = wanted.map(|(name, partitions)| format!("{}\t{partitions} partitions\n", own(name))).concat();
    assert_eq!((after.status.code(), after.stdout), (Some(0), wanted));

    let again = run(&["topics", "create"], config.path());
    assert_eq!((again.status.code(), again.stdout.as_str()), (Some(0), "all internal topics are there\n"), "{again:?}");
}

#[test]
fn a_ledger_with_another_number_of_partitions_is_refused() {
    let Some(bootstrap) = kafka::bootstrap() else { return };
    let draft = Draft::new(&bootstrap, "http://127.0.0.1:1");
    let two = draft.clone().set("kafka", "topics.ledger_partitions = 2").write();
    assert_eq!(run(&["topics", "create"], two.path()).status.code(), Some(0));

    let three = draft.set("kafka", "topics.ledger_partitions = 3").write();
    for words in [&["topics", "create"][..], &["run"]] {
        let refused = run(words, three.path());
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("set kafka.topics.ledger_partitions = 2"),
            "{words:?} says what to do: {refused:?}"
        );
    }
}

#[test]
fn a_config_is_checked_without_kafka_and_every_command_refuses_a_faulty_one() {
    let draft = Draft::new("127.0.0.1:1", "http://127.0.0.1:1");
    let right = draft.clone().write();
    let checked = run(&["check"], right.path());
    assert_eq!((checked.status.code(), checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    let line = format!("topic {} → alertmanager → route alerts → channel ops → lane default\n", right.alerts_topic());
    assert_eq!(checked.stdout, line);

    let wrong = draft.set("missive", "request_timeout = \"soon\"").with("[sources.more]\ntopic = \"x\"").write();
    for words in [&["check"][..], &["run"], &["topics", "list"], &["topics", "create"]] {
        let refused = run(words, wrong.path());
        assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(78), ""), "{words:?}: {refused:?}");
        for key in ["missive.request_timeout", "sources.more.format", "sources.more.channel"] {
            assert!(refused.stderr.contains(key), "{words:?} says all at once, {key} too: {refused:?}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_a_faulty_config() {
    for words in [&["check"][..], &["run"], &["topics", "list"]] {
        let refused = run(words, Path::new("/nowhere/missived.toml"));
        assert_eq!(refused.status.code(), Some(78), "{words:?}: {refused:?}");
        assert!(refused.stderr.contains("/nowhere/missived.toml"), "{words:?}: {refused:?}");
    }
}

#[test]
fn two_lanes_with_one_token_are_refused_at_start_and_the_token_is_not_shown() {
    let draft = Draft::new("127.0.0.1:1", "http://127.0.0.1:1");
    // another file with the same token in it, as a copied deployment has it
    let copied = draft.with("[lanes.other]\ntoken_file = \"{dir}/copy\"").write();
    std::fs::copy(copied.token_file(), copied.token_file().with_file_name("copy")).expect("a copy");
    let refused = run(&["run"], copied.path());
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(78), ""), "{refused:?}");
    let why = "lanes.other.token_file: found the token that missive.token_file gives, too; wanted a token of its own: two \
               lanes with one token would exceed its limits";
    assert!(refused.stderr.contains(why), "{refused:?}");
    assert!(!refused.stderr.contains(crate::support::config::TOKEN), "{refused:?}");
}
