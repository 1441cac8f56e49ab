//! Records: kept as they were, told once the fault is gone, and known as the same while it isn't.

use std::collections::BTreeMap;

use serde_json::json;

use crate::operator::{dead_letters, list, wait_for_letters};
use crate::scene::{LATER, Scene, alert};
use crate::support::config::Draft;
use crate::support::daemon::{Process, SOON};
use crate::support::kcat;
use crate::support::wait::eventually;

/// A source that takes only what is won.
const DEALS: &str = r#"
[sources.deals]
topic = "{namespace}-deals"
format = "json"
kind = "thread"
start = "earliest"

[sources.deals.json]
entity = "/deal"
id = "/deal"
text = "/stage"

[[sources.deals.routes]]
name = "won-deals"
match = { stage = "won" }
channel = "ops"
"#;

/// What the operator adds.
const LOST: &str = r#"
[[sources.deals.routes]]
name = "lost-deals"
match = { stage = "lost" }
channel = "ops"
"#;

fn deal(deal: &str, stage: &str) -> String {
    json!({"deal": deal, "stage": stage}).to_string()
}

#[test]
fn a_record_is_told_once_its_fault_is_gone_and_it_is_replayed_and_no_second_time_by_accident() {
    let Some(mut scene) = Scene::new(&["alerts", "deals"], |draft| draft.with(DEALS)) else { return };
    let daemon = scene.run();
    scene.record("deals").key("d-1").header("traceparent", "00-1").payload(deal("d-1", "lost")).send(&scene.kafka);
    let letters = wait_for_letters(&scene, &["--reason", "no_route"], 1);
    daemon.stop();

    let fixed = Draft::new(&scene.kafka, &scene.sandbox.url).namespace(scene.config.namespace());
    scene.config = fixed.set("kafka", "session_timeout = \"6s\"").with(DEALS).with(LOST).write();
    let daemon = scene.run();
    let dry = dead_letters(&scene, &["replay", &letters[0], "--dry-run"]);
    assert_eq!((dry.status.code(), dry.stderr.as_str()), (Some(0), "would replay 1 of 1\n"), "{dry:?}");
    assert!(dry.stdout.starts_with(&format!("{}\t", letters[0])), "{dry:?}");
    assert_eq!(scene.own("dead-letters").len(), 1, "a dry run writes nothing");

    let replayed = dead_letters(&scene, &["replay", &letters[0]]);
    assert_eq!((replayed.status.code(), replayed.stderr.as_str()), (Some(0), "replayed 1 of 1\n"), "{replayed:?}");
    assert_eq!(scene.sandbox.wait_for_messages(1)[0].body, "lost");
    let back = kcat::consume(&scene.kafka, &scene.topic("deals"));
    assert_eq!((back.len(), back[1].key.as_deref(), back[1].header("traceparent")), (2, Some("d-1"), Some("00-1")));

    let again = dead_letters(&scene, &["replay", "--all"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(again.stderr.contains("1 were replayed before and are left alone"), "{again:?}");
    assert_eq!(list(&scene, &["--pending"]).len(), 0);
    assert_ne!(list(&scene, &[])[0]["replayed_at"], json!(null));

    let meant = dead_letters(&scene, &["replay", &letters[0], "--again"]);
    assert_eq!(meant.status.code(), Some(0), "{meant:?}");
    let told = scene.sandbox.wait_for_messages(2);
    assert_eq!(
        told.iter().filter(|message| message.body == "lost").count(),
        2,
        "a replay that is meant is told: {told:?}"
    );
    let metrics = daemon.wait_for_balance(2, 0);
    assert_eq!(metrics.sum("missived_records_replayed_total", ""), 2);
    daemon.stop();
}

#[test]
fn a_record_that_fails_again_is_known_as_the_same_and_left_alone_in_the_end() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let daemon = scene.run();
    scene.record("alerts").payload("{\"alerts\":\u{1b}[2J").send(&scene.kafka);
    wait_for_letters(&scene, &[], 1);
    for attempts in 2..4 {
        let replayed = dead_letters(&scene, &["replay", "--all"]);
        assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
        let letters = eventually(LATER, "the next failure", || {
            Some(list(&scene, &[])).filter(|letters| letters.len() == attempts)
        });
        let (first, last) = (&letters[0], &letters[attempts - 1]);
        assert_eq!((&last["attempts"], &last["reason"]), (&json!(attempts), &json!("not_json")));
        assert_eq!(last["first_failure_at"], first["at"], "{letters:?}");
        assert_eq!(last["source"]["at"], first["source"]["at"], "its own time stays");
    }
    let left = dead_letters(&scene, &["replay", "--all", "--attempts-max", "2"]);
    assert_eq!(left.status.code(), Some(3), "{left:?}");
    assert!(left.stderr.contains("it has failed 3 times"), "{left:?}");
    daemon.stop();

    let last = list(&scene, &["--pending"])[0]["id"].as_str().expect("an id").to_owned();
    let shown = dead_letters(&scene, &["show", &last]);
    assert!(shown.stdout.contains("missived-reason: not_json"), "{shown:?}");
    assert!(shown.stdout.contains("\n{\"alerts\":\\u{1b}[2J\n") && !shown.stdout.contains('\u{1b}'), "{shown:?}");
    let shown = dead_letters(&scene, &["show", &last, "--json"]);
    assert!(shown.stdout.contains(r#""payload":"{\"alerts\":\u001b[2J""#), "{shown:?}");
}

#[test]
fn what_was_too_large_is_replayed_from_where_it_stands_until_it_is_gone() {
    let Some(scene) = Scene::new(&["alerts", "deals"], |draft| draft.with(DEALS)) else { return };
    let daemon = scene.run();
    let record = deal("d-1", &"x".repeat(1_200_000));
    scene.record("deals").payload(record.as_str()).send(&scene.kafka);
    wait_for_letters(&scene, &[], 1);
    assert_eq!(list(&scene, &[])[0]["content"], json!("reference"));
    let replayed = dead_letters(&scene, &["replay", "--topic", &scene.topic("deals")]);
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    wait_for_letters(&scene, &[], 2);
    let payloads = kcat::payloads(&scene.kafka, &scene.topic("deals"));
    assert_eq!(payloads, vec![Some(record.clone().into_bytes()); 2], "as it was, whole");
    daemon.stop();

    crate::support::kafka::delete_topic(&scene.kafka, &scene.topic("deals"));
    let gone = dead_letters(&scene, &["replay", "--all"]);
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
    assert!(gone.stderr.contains("no source of this config reads topic"), "{gone:?}");
}

#[test]
fn letters_are_chosen_by_conditions_and_wrong_words_are_said() {
    let Some(scene) = Scene::new(&["alerts", "deals"], |draft| draft.with(DEALS)) else { return };
    let daemon = scene.run();
    scene.record("alerts").payload("no").send(&scene.kafka);
    scene.record("alerts").payload(alert("Disk", "firing").replace("Disk", "ze\0ro")).send(&scene.kafka);
    for number in 0..3 {
        scene.record("deals").payload(deal(&format!("d-{number}"), "lost")).send(&scene.kafka);
    }
    wait_for_letters(&scene, &[], 5);
    let deals = scene.topic("deals");
    let rows: [(&str, &[&str], usize); 8] = [
        ("a reason", &["--reason", "no_route"], 3),
        ("two reasons", &["--reason", "no_route", "--reason", "not_json"], 4),
        ("a topic", &["--topic", &deals], 3),
        ("a topic and another reason", &["--topic", &deals, "--reason", "not_json"], 0),
        ("a kind", &["--kind", "delivery"], 0),
        ("the newest", &["--count", "2"], 2),
        ("of the last hour", &["--since", "1h"], 5),
        ("from before it", &["--until", "1h"], 0),
    ];
    for (sentence, conditions, count) in rows {
        assert_eq!(list(&scene, conditions).len(), count, "{sentence}");
    }
    let lines = dead_letters(&scene, &["list", "--count", "4"]);
    assert_eq!((lines.stdout.lines().count(), lines.stderr.contains("1 earlier ones")), (5, true), "{lines:?}");

    let two = dead_letters(&scene, &["replay", "--reason", "no_route", "--count", "2"]);
    assert_eq!(two.status.code(), Some(0), "{two:?}");
    assert!(two.stderr.contains("1 more than --count 2") && two.stderr.ends_with("replayed 2 of 2\n"), "{two:?}");

    let nowhere = dead_letters(&scene, &["show", "0:99999"]);
    assert_eq!(nowhere.status.code(), Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("no dead letter 0:99999"), "{nowhere:?}");
    let missing = dead_letters(&scene, &["replay", "7:1"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    for words in [&["replay"][..], &["show", "x"], &["list", "--since", "soon"], &["replay", "0:1", "--all"]] {
        assert_eq!(dead_letters(&scene, words).status.code(), Some(2), "{words:?}");
    }
    daemon.stop();
}

#[test]
fn of_a_record_with_many_events_only_those_without_a_route_are_replayed() {
    const MIXED: &str = r#"
[sources.mixed]
topic = "{namespace}-mixed"
format = "alertmanager"
start = "earliest"

[[sources.mixed.routes]]
name = "payments"
match = { team = "payments" }
channel = "ops"
"#;
    const OTHERS: &str = "\n[[sources.mixed.routes]]\nname = \"others\"\nchannel = \"ops\"\n";
    let Some(mut scene) = Scene::new(&["alerts", "mixed"], |draft| draft.with(MIXED)) else { return };
    let daemon = scene.run();
    let mut body: serde_json::Value = serde_json::from_str(&alert("Disk", "firing")).expect("a body");
    let mut second = body["alerts"][0].clone();
    body["alerts"][0]["labels"]["team"] = json!("payments");
    second["annotations"]["summary"] = json!("nobody's disk");
    second["fingerprint"] = json!("f-other");
    body["alerts"].as_array_mut().expect("alerts").push(second);
    scene.record("mixed").payload(body.to_string()).send(&scene.kafka);
    let letters = wait_for_letters(&scene, &["--reason", "no_route"], 1);
    assert_eq!(list(&scene, &[])[0]["events"], json!("1"), "the second of them");
    scene.sandbox.wait_for_messages(1);
    daemon.stop();

    let fixed = Draft::new(&scene.kafka, &scene.sandbox.url).namespace(scene.config.namespace());
    scene.config = fixed.set("kafka", "session_timeout = \"6s\"").with(MIXED).with(OTHERS).write();
    let daemon = scene.run();
    assert_eq!(dead_letters(&scene, &["replay", &letters[0]]).status.code(), Some(0));
    let told = scene.sandbox.wait_for_messages(2);
    assert!(told[1].body.contains("nobody's disk"), "{told:?}");
    let metrics = daemon.wait_for_balance(2, 0);
    assert_eq!((metrics.reason("not_replayed"), metrics.outcome("delivered")), (1, 1));
    daemon.stop();
}

#[test]
fn a_replay_that_is_killed_replays_every_letter_once_in_the_end() {
    let Some(scene) = unreadable() else { return };
    let mut killed = replay_all(&scene);
    killed.wait_for_line("replayed ", SOON);
    killed.kill9();
    killed.wait_exit(SOON);
    assert!(!killed.has_line(&format!("replayed {UNREADABLE} of")), "it was killed too late to show anything");
    finish_the_replay(&scene);
}

#[test]
fn a_replay_that_another_one_overtakes_writes_nothing_any_more() {
    let Some(scene) = unreadable() else { return };
    let mut overtaken = replay_all(&scene);
    overtaken.wait_for_line("replayed ", SOON);
    overtaken.sigstop();
    finish_the_replay(&scene);
    overtaken.sigcont();
    assert_eq!(overtaken.wait_exit(SOON).code(), Some(1));
    assert!(overtaken.has_line("the same command goes on from there"));
    each_was_replayed_once(&scene);
}

const UNREADABLE: usize = 3_000;

/// Records that nobody can read, all of them dead letters.
fn unreadable() -> Option<Scene> {
    let scene = Scene::new(&["alerts"], |draft| draft)?;
    let daemon = scene.run();
    let words = (0..UNREADABLE).map(|number| format!("no-{number}"));
    kcat::send_lines(&scene.kafka, &scene.config.alerts_topic(), words);
    wait_for_letters(&scene, &["--count", "5000"], UNREADABLE);
    daemon.stop();
    Some(scene)
}

fn replay_all(scene: &Scene) -> Process {
    let config = scene.config.path().to_str().expect("scratch paths are UTF-8");
    Process::spawn(&["dead-letters", "replay", "--all", "--count", "5000", "--config", config], &[])
}

fn finish_the_replay(scene: &Scene) {
    let rest = dead_letters(scene, &["replay", "--all", "--count", "5000"]);
    assert_eq!(rest.status.code(), Some(0), "{rest:?}");
    assert!(rest.stderr.contains("were replayed before"), "{rest:?}");
    each_was_replayed_once(scene);
}

fn each_was_replayed_once(scene: &Scene) {
    let mut times: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for record in kcat::consume(&scene.kafka, &scene.config.alerts_topic()) {
        *times.entry(record.payload).or_default() += 1;
    }
    assert_eq!(
        (times.len(), times.values().filter(|times| **times != 2).count()),
        (UNREADABLE, 0),
        "once, and once replayed"
    );
}
