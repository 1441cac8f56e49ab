//! Source topics that an operator deletes, creates again or rewinds: nothing is dropped in silence.

use std::collections::BTreeMap;

use crate::scene::{Daemon, LATER, Message, Scene, TICKETS, said};
use crate::support::kafka::{create_topic, delete_topic, set_offset};
use crate::support::kcat;
use crate::support::wait::eventually;

fn scene() -> Option<Scene> {
    let tickets = TICKETS.replace("kind = \"thread\"", "kind = \"thread\"\nstart = \"earliest\"");
    Scene::new(&["alerts", "tickets"], |draft| draft.with(&tickets))
}

fn send(scene: &Scene, words: &[&str]) {
    kcat::send_lines(&scene.kafka, &scene.topic("tickets"), words.iter().map(|word| said(word, word)));
}

fn create_again(scene: &Scene) {
    let topic = scene.topic("tickets");
    delete_topic(&scene.kafka, &topic);
    create_topic(&scene.kafka, &topic, 1, &[]);
}

/// How often each word was told, once all of them were.
fn wait_until_told(scene: &Scene, words: &[&str]) -> BTreeMap<String, usize> {
    eventually(LATER, &format!("message with each of {words:?}"), || {
        let mut times = BTreeMap::new();
        for Message { body, .. } in scene.sandbox.messages() {
            *times.entry(body).or_default() += 1;
        }
        words.iter().all(|word| times.contains_key(*word)).then_some(times)
    })
}

fn folded_anew(daemon: &Daemon) -> u64 {
    daemon.metrics().sum("missived_partitions_folded_anew_total", "")
}

#[test]
fn a_topic_that_is_deleted_and_created_again_is_told_anew_and_named() {
    let Some(scene) = scene() else { return };
    let daemon = scene.run();
    send(&scene, &["a", "b", "c", "d"]);
    wait_until_told(&scene, &["a", "b", "c", "d"]);

    // while it is being read: fewer records than before, all of them below the mark of its former life
    create_again(&scene);
    send(&scene, &["e", "f"]);
    wait_until_told(&scene, &["e", "f"]);
    eventually(LATER, "its name in the log", || {
        daemon.process.has_line("topic was deleted and created again: folding it anew").then_some(())
    });
    eventually(LATER, "its count in the metrics", || (folded_anew(&daemon) == 1).then_some(()));
    daemon.stop();

    // while nobody reads
    create_again(&scene);
    send(&scene, &["g"]);
    let daemon = scene.run();
    let times = wait_until_told(&scene, &["g"]);
    eventually(LATER, "its count in the metrics", || (folded_anew(&daemon) == 1).then_some(()));
    assert!(times.values().all(|times| *times == 1), "and nothing twice: {times:?}");
    daemon.stop();
}

#[test]
fn offsets_that_an_operator_rewinds_are_named_and_what_was_told_is_counted() {
    let Some(scene) = scene() else { return };
    let daemon = scene.run();
    send(&scene, &["a", "b", "c", "d"]);
    daemon.wait_for_balance(4, 0);
    daemon.stop();

    set_offset(&scene.kafka, &scene.config.own_topic("intake"), &scene.topic("tickets"), 1);
    send(&scene, &["e"]);
    let daemon = scene.run();
    let metrics = daemon.wait_for_balance(4, 0);
    assert_eq!((metrics.reason("rewound"), metrics.outcome("delivered")), (3, 1));
    daemon.process.wait_for_line("offsets were set by an operator", LATER);
    daemon.process.wait_for_line("offsets rewound: observations below the mark were dropped", LATER);
    let times = wait_until_told(&scene, &["e"]);
    assert!(times.len() == 5 && times.values().all(|times| *times == 1), "{times:?}");
    daemon.stop();

    // its own commits are what it goes on from
    send(&scene, &["f"]);
    let daemon = scene.run();
    let metrics = daemon.wait_for_balance(1, 0);
    assert_eq!((metrics.reason("rewound"), metrics.outcome("delivered")), (0, 1));
    assert!(!daemon.process.has_line("set by an operator"));
    daemon.stop();
}
