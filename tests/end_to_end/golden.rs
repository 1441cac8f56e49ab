//! Every golden record through a real Kafka, to a channel of each type: one daemon whose config has a source for each format and
//! preset, and a stand-in that refuses nothing of what it is sent.
//!
//! The daemon thinks that it may send more than Missive lets it: near its limits it would wait between the messages of one
//! conversation, and this test with it. What it sends stays far below them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::golden::{Golden, SOURCES, TYPES, goldens};
use crate::scene::Scene;
use crate::support::config::{ACCOUNT, Draft};
use crate::support::daemon::finish;

/// The accounts of the channels of each type; the first is the scene's own.
const ACCOUNTS: [&str; 3] = [ACCOUNT, "22222222-2222-4333-8444-555555555555", "33333333-2222-4333-8444-555555555555"];

/// Two more channels beside the scene's.
fn channels() -> String {
    let mut toml = String::new();
    for ((kind, words), account) in TYPES.iter().zip(ACCOUNTS).skip(1) {
        let _ = writeln!(toml, "[channels.{kind}]\naccount = {account:?}\n{words}\n{OPEN}\n{OURS}");
    }
    toml
}

const OURS: &str = "organization = \"00000000-0000-4000-8000-000000000001\"";

const MORE: &str = "limits = { per_minute = 100000, per_quarter_hour = 100000 }";

const OPEN: &str = "new_conversations = 900\nnew_conversations_critical = 900";

/// All that can be asked of Missive besides words.
const ALL: &str = r##"[sources.{name}.routes.message]
to = { id = "night", username = "night", name = "Night shift" }
team = "66666666-7777-4888-8999-000000000001"
force_team = true
add_users = ["66666666-7777-4888-8999-000000000002"]
add_assignees = ["66666666-7777-4888-8999-000000000002"]
remove_assignees = ["66666666-7777-4888-8999-000000000003"]
labels = ["66666666-7777-4888-8999-000000000004"]
remove_labels = ["66666666-7777-4888-8999-000000000005"]
add_to_inbox = true
add_to_team_inbox = true
colours = { critical = "#ff0000", normal = "warning", low = "#8899aa", resolved = "good" }
delivered_at = "event"
attach_event = true
close = "always"
"##;

/// What only emails have.
const MAIL: &str = r#"[sources.{name}.routes.message]
to = { address = "night@example.com", name = "Night shift" }
cc = [{ address = "lead@example.com", name = "Lead" }]
bcc = [{ address = "archive@example.com" }]
attach_event = true
"#;

/// A source for each format and preset, told to all three channels and waiting for nothing.
fn sources() -> String {
    let waits = "group_wait = \"0s\"\ngroup_interval = \"0s\"";
    let mut toml = String::new();
    for (name, source) in SOURCES {
        let source = source.replace("{name}", name);
        let topic = format!("topic = \"{{namespace}}-{name}\"\nstart = \"earliest\"");
        let _ =
            writeln!(toml, "[sources.{name}]\n{topic}\n{waits}\ncritical = {{ group_interval = \"0s\" }}\n{source}");
        for (kind, channel, message) in [("text", "ops", ""), ("html", "html", ALL), ("email", "email", MAIL)] {
            let route = format!("name = \"{name}-{kind}\"\nchannel = \"{channel}\"\ncontinue = true");
            let _ = writeln!(toml, "[[sources.{name}.routes]]\n{route}\n{}", message.replace("{name}", name));
        }
    }
    toml
}

/// What the golden file says of one event.
#[derive(Debug)]
struct Told {
    resolved: bool,
    /// Its source and conversation key.
    conversation: (String, String),
    title: String,
    text: String,
}

impl Told {
    fn is_in(&self, body: &str) -> bool {
        [&self.title, &self.text].map(|part| words(part)).iter().any(|part| !part.is_empty() && body.contains(part))
    }
}

fn events(golden: &Golden) -> Vec<Told> {
    let mut events: Vec<Told> = Vec::new();
    let quoted = |text: &str| serde_json::from_str::<String>(text).expect("a quoted text");
    for line in golden.told().lines().filter(|line| *line != "no event") {
        if let Some(title) = line.strip_prefix("  title ") {
            events.last_mut().expect("its event").title = quoted(title);
        } else if let Some(text) = line.strip_prefix("  text ") {
            events.last_mut().expect("its event").text = quoted(text);
        } else if !line.starts_with(' ') {
            let (state, rest) = line.split_once(" in ").expect("a state and a key");
            let (key, _) = rest.rsplit_once(" since ").expect("a key and a time");
            let conversation = (golden.name.clone(), quoted(key));
            let resolved = state.starts_with("Resolved");
            events.push(Told { resolved, conversation, title: String::new(), text: String::new() });
        }
    }
    events
}

fn ends_something(golden: &Golden) -> bool {
    let events = events(golden);
    !events.is_empty() && events.iter().all(|event| event.resolved)
}

fn send(scene: &Scene, golden: &Golden) {
    let record = scene.record(&golden.name).key("k").payload(golden.payload.as_slice());
    let record = golden.headers.iter().fold(record, |record, (name, value)| record.header(name, value));
    record.send(&scene.kafka);
}

/// A body as people read it: one space between words, no tags, no entities.
fn read(body: &str) -> String {
    let mut plain = String::new();
    for (index, part) in body.split('<').enumerate() {
        let (tag, text) = if index == 0 { ("", part) } else { part.split_once('>').unwrap_or((part, "")) };
        plain.push_str(if tag.is_empty() { "" } else { " " });
        plain.push_str(text);
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    let plain = entities.iter().fold(plain, |plain, (entity, character)| plain.replace(entity, character));
    words(&plain)
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_golden_record_reaches_channels_of_each_type_and_nothing_is_refused() {
    let names: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).chain(["alerts"]).collect();
    let adapt = |draft: Draft| draft.set("channels.ops", OPEN).set("missive", MORE).with(&channels()).with(&sources());
    let Some(scene) = Scene::new(&names, adapt) else { return };
    for ((kind, _), account) in TYPES.iter().zip(ACCOUNTS) {
        scene.sandbox.tell("/control/channels", &json!({"account": account, "type": kind}));
    }
    let daemon = scene.run();
    // By their names, what comes first is mostly what follows on something.
    let (ends, begins): (Vec<_>, Vec<_>) = goldens().into_iter().rev().partition(ends_something);
    let mut consumed = 0;
    for part in [&begins, &ends] {
        part.iter().for_each(|golden| send(&scene, golden));
        // An event is an observation a route, and a record without any counts as one.
        consumed += part.iter().map(|golden| (events(golden).len() as u64 * 3).max(1)).sum::<u64>();
        daemon.wait_for_balance(consumed, 0);
    }
    let metrics = daemon.metrics();
    assert_eq!(metrics.outcome("dead_lettered"), 0);
    daemon.stop();
    assert_eq!(scene.own("dead-letters").len(), 0);

    let summary = scene.sandbox.ask("/control/summary");
    assert_eq!((&summary["refused"], &summary["rate_limit_violations"]), (&json!({}), &json!(0)), "{summary}");
    let page = scene.sandbox.ask("/control/ledger?limit=1000");
    let entries = page["entries"].as_array().expect("a list");
    assert!(entries.iter().all(|entry| entry["verdict"] == "accepted"), "{entries:#?}");
    let repeats = metrics.outcome("duplicate") / 3;
    for account in ACCOUNTS {
        all_told(account, entries, begins.iter().chain(&ends), repeats);
    }
    test_messages_are_taken(&scene);
}

fn test_messages_are_taken(scene: &Scene) {
    let config = scene.config.path().to_str().expect("scratch paths are UTF-8");
    for channel in ["ops", "html", "email"] {
        let sent = finish(&["test-message", channel, "--text", "1 < 2", "--config", config]);
        assert_eq!(sent.status.code(), Some(0), "{channel}: {sent:?}");
    }
}

/// Each event stands in a message of this account, but for those that say what is known; each of their conversations is one
/// there.
fn all_told<'g>(account: &str, entries: &[Value], goldens: impl Iterator<Item = &'g Golden>, repeats: u64) {
    let entries: Vec<&Value> = entries.iter().filter(|entry| entry["account"] == account).collect();
    let body = |entry: &&Value| read(entry["body"]["text"].as_str().expect("a body"));
    let bodies: Vec<String> = entries.iter().map(body).collect();
    let opened: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["conversation"].as_str()).collect();
    let events: Vec<Told> = goldens.flat_map(events).collect();
    let untold: Vec<&Told> = events.iter().filter(|event| !bodies.iter().any(|body| event.is_in(body))).collect();
    assert!(untold.len() as u64 <= repeats, "{account}: {repeats} repeats and {untold:#?} in {bodies:#?}");
    let wanted: BTreeSet<&(String, String)> = events.iter().map(|event| &event.conversation).collect();
    assert_eq!(opened.len(), wanted.len(), "{account}: a conversation each: {wanted:#?}");
}
