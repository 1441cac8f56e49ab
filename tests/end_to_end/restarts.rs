//! Nothing is told twice because it came twice, and nothing gets lost or told twice because the daemon ended; after a crash
//! only what was on the wire may be told again, and then it says so.

use std::collections::BTreeMap;

use serde_json::json;

use crate::scene::{LATER, Message, Scene, TICKETS, alert, said};
use crate::support::kcat;
use crate::support::wait::eventually;

/// Conversations that a stream is spread over; no more than may be in progress at once.
const TICKETS_COUNT: usize = 5;

#[test]
fn the_same_body_thrice_is_one_message_and_a_restart_loses_and_repeats_nothing() {
    let Some(scene) = Scene::new(&["alerts", "tickets"], |draft| draft.with(TICKETS)) else { return };
    let daemon = scene.run();
    for _ in 0..3 {
        scene.record("alerts").payload(alert("Disk", "firing")).send(&scene.kafka);
    }
    stream(&scene, 0..20);
    let metrics = daemon.wait_for_balance(23, 0);
    assert_eq!(metrics.outcome("duplicate"), 2, "the same body thrice is news once");
    daemon.stop();

    // while nobody reads
    scene.record("alerts").payload(alert("Disk", "firing")).send(&scene.kafka);
    stream(&scene, 20..40);

    let daemon = scene.run();
    wait_until_all_is_told(&scene, 40);
    let metrics = daemon.wait_for_balance(21, 0);
    assert_eq!(metrics.outcome("duplicate"), 1, "what was known before the restart is known after it");
    daemon.stop();
    let times = times_told(&scene.sandbox.messages());
    assert!((0..40).all(|number| times.get(&word(number)) == Some(&1)), "each exactly once: {times:?}");
    let alerts = scene.sandbox.messages().iter().filter(|message| message.body.contains("Disk")).count();
    assert_eq!(alerts, 1);
}

#[test]
fn a_crash_loses_nothing_and_repeats_only_what_was_on_the_wire() {
    const EVENTS: usize = 300;
    const BATCH: usize = 10;
    let short = |draft: crate::support::config::Draft| {
        draft.set("missive", "request_timeout = \"2s\"\nsend_within = \"500ms\"").with(TICKETS)
    };
    let Some(scene) = Scene::new(&["alerts", "tickets"], short) else { return };
    // slow enough that a crash finds requests on the wire
    scene.sandbox.tell("/control/faults", &json!({"fault": "latency", "ms": 200}));
    let daemon = scene.run();
    let daemon = std::thread::scope(|threads| {
        threads.spawn(|| (0..EVENTS).step_by(BATCH).for_each(|from| stream(&scene, from..from + BATCH)));
        scene.sandbox.wait_for_messages(2 * TICKETS_COUNT);
        daemon.kill9();
        scene.run()
    });
    wait_until_all_is_told(&scene, EVENTS);
    eventually(LATER, "quiet lane", || (daemon.metrics().pending() == 0).then_some(()));
    daemon.stop();

    let messages = scene.sandbox.messages();
    let times = times_told(&messages);
    let known = |word: &String| word.strip_prefix("n-").is_some_and(|number| number.parse::<usize>().is_ok());
    assert_eq!(times.keys().filter(|word| known(word)).count(), EVENTS, "every event is told, and nothing else");
    let marked: Vec<&Message> = messages.iter().filter(|message| message.body.contains("may repeat")).collect();
    assert!(marked.len() <= TICKETS_COUNT, "at most one message a conversation was on the wire: {marked:?}");
    let may_be_told_twice = times_told(marked.iter().copied());
    let unmarked: Vec<_> =
        times.iter().filter(|(word, times)| **times > 1 && !may_be_told_twice.contains_key(*word)).collect();
    assert_eq!(unmarked, [], "what is told again says so");
    assert!(times.values().all(|times| *times <= 2), "once on the wire, once again: {times:?}");
    let summary = scene.sandbox.ask("/control/summary");
    assert_eq!((&summary["overlaps"], &summary["rate_limit_violations"]), (&json!(0), &json!(0)));
}

/// Unique words, in turn to each of the conversations.
fn stream(scene: &Scene, numbers: std::ops::Range<usize>) {
    let lines = numbers.map(|number| said(&format!("T-{}", number % TICKETS_COUNT), &word(number)));
    kcat::send_lines(&scene.kafka, &scene.topic("tickets"), lines);
}

fn word(number: usize) -> String {
    format!("n-{number}")
}

fn wait_until_all_is_told(scene: &Scene, count: usize) {
    eventually(LATER, &format!("message with each of {count} words"), || {
        let times = times_told(&scene.sandbox.messages());
        (0..count).all(|number| times.contains_key(&word(number))).then_some(())
    });
}

/// How often each line was told.
fn times_told<'m>(messages: impl IntoIterator<Item = &'m Message>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in messages.into_iter().flat_map(|message| message.body.lines()).filter(|line| line.starts_with("n-")) {
        *times.entry(line.to_owned()).or_default() += 1;
    }
    times
}
