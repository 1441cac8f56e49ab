//! Golden records of every format and preset, written for this project from the senders' public documentation, and what each
//! is understood as; and records that are refused, each with its reason.
//!
//! `golden/mod.rs` says which file is what. `MISSIVED_BLESS=1` writes `.told` and `.sent` anew; read what changed before it is
//! committed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use missived::config::{Config, Environment};
use missived::event::{Decoder, Event, HashKey, Record, Refusal};
use missived::route::Source;

use golden::{Golden, SOURCES, TYPES, goldens};

#[path = "golden/mod.rs"]
mod golden;

fn config(source: &str) -> String {
    config_for(source, TYPES[0].1)
}

fn config_for(source: &str, kind: &str) -> String {
    format!(
        r#"
[kafka]
bootstrap = "kafka1:9092"
[missive]
insecure_inline_token = "missive_pat-x"
[links]
rewrite = {{ "http://alertmanager:9093" = "https://alerts.example", "http://prometheus:9090" = "https://prom.example" }}
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
time_zone = "Europe/Berlin"
{kind}
[sources.x]
topic = "x"
channel = "ops"
{}
"#,
        source.replace("{name}", "x")
    )
}

fn source(name: &str) -> Source {
    let (_, source) = SOURCES.iter().find(|(known, _)| *known == name).expect(name);
    let loaded = Config::parse(&config(source), Path::new("missived.toml"), &Environment::default());
    loaded.unwrap_or_else(|error| panic!("{name}: {error}")).config.sources.remove(0)
}

fn decode(source: &Source, payload: &[u8], headers: &[(&str, &[u8])]) -> Result<String, Refusal> {
    let mut told = String::new();
    let record = Record { payload: (!payload.is_empty()).then_some(payload), headers };
    let mut decoder = Decoder::new(HashKey::new([1; 16]));
    let emit = &mut |event: &Event<'_>| told += &tell(event);
    let count = decoder.decode_handled(&source.format, &source.handling, record, emit)?;
    Ok(if count == 0 { "no event\n".to_owned() } else { told })
}

fn tell(event: &Event<'_>) -> String {
    let mut names = String::new();
    let facts = &event.facts(&mut names);
    let since = event.since.map_or("-".to_owned(), |since| since.as_millis().to_string());
    let mut told = format!("{:?} {} in {:?} since {since}\n", event.state, event.urgency.as_str(), event.conversation);
    let rows = [
        ("subject", &facts.subject),
        ("title", &facts.title),
        ("text", &facts.text),
        ("severity", &facts.severity),
        ("link", &facts.link),
        ("author", &facts.author),
    ];
    for (name, fact) in rows.into_iter().filter(|(_, fact)| !fact.is_empty()) {
        let _ = writeln!(told, "  {name} {fact:?}");
    }
    told
}

fn headers(golden: &Golden) -> Vec<(&str, &[u8])> {
    golden.headers.iter().map(|(key, value)| (&**key, value.as_bytes())).collect()
}

#[test]
fn every_golden_record_is_understood_as_it_was() {
    let goldens = goldens();
    assert!(goldens.len() > 35, "{}", goldens.len());
    let bless = std::env::var_os("MISSIVED_BLESS").is_some();
    for golden in goldens {
        let told = decode(&source(&golden.name), &golden.payload, &headers(&golden))
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", golden.file.display()));
        let expected = golden.file.with_extension("told");
        if bless {
            fs::write(&expected, &told).expect("a writable tree");
        }
        assert_eq!(told, golden.told(), "{}", golden.file.display());
    }
}

#[test]
fn unknown_members_never_change_what_a_record_says() {
    for golden in goldens().into_iter().filter(|golden| golden.payload.starts_with(b"{")) {
        let source = source(&golden.name);
        let text = String::from_utf8(golden.payload.clone()).expect("text");
        let more = text.replacen('{', r#"{"zzz_unknown":{"deep":[1,{"x":null}]},"#, 1);
        let (known, told) =
            (decode(&source, text.as_bytes(), &headers(&golden)), decode(&source, more.as_bytes(), &headers(&golden)));
        // A heartbeat is known by having nothing else.
        if !golden.file.ends_with("debezium/heartbeat.json") {
            assert_eq!(told, known, "{}", golden.file.display());
        }
    }
}

#[test]
fn what_is_refused_says_why() {
    let rows: &[(&str, &str, &str, &str)] = &[
        ("alertmanager", "{\"alerts\":[]}", "field", "groupKey is missing or not a string"),
        ("alertmanager", "{\"groupKey\":\"g\",\"alerts\":{}}", "field", "alerts is missing or not an array"),
        (
            "alertmanager",
            "{\"groupKey\":\"g\",\"alerts\":[{\"status\":\"firing\"}]}",
            "field",
            "alerts[0].labels is missing or not an object",
        ),
        ("alertmanager", "", "tombstone", "the record has no value"),
        ("alertmanager", "{", "not_json", "the record is not JSON (byte 0)"),
        ("grafana", "{\"groupKey\":\"g\"}", "field", "alerts is missing or not an array"),
        ("cloudevents", "{\"specversion\":\"0.3\"}", "field", "specversion is missing or not \"1.0\""),
        (
            "cloudevents",
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\"}",
            "field",
            "source is missing or not a non-empty string",
        ),
        ("cloudevents", "[{}]", "unsupported", "batched CloudEvents are not read; send one event a record"),
        (
            "hubspot",
            "[{\"objectId\":1}]",
            "field",
            "[0].subscriptionType is missing or not a type such as \"contact.propertyChange\"",
        ),
        ("hubspot", "\"x\"", "field", "the record is missing or not an array of events"),
        ("debezium", "{\"op\":\"u\",\"after\":null}", "field", "after is missing or not a row"),
        ("debezium", "{\"id\":1}", "field", "op is missing or not one of \"c\", \"u\", \"d\", \"r\", \"t\""),
        ("json", "[]", "field", "the record is missing or not an object"),
        ("json", "{\"event_id\":1}", "field", "/deal/id is missing or not a string, a number or a boolean"),
        ("chat", "{\"text\":\"x\"}", "field", "/conversation_id is missing or not a string, a number or a boolean"),
        (
            "intercom",
            "{\"topic\":\"conversation.user.replied\",\"id\":\"n\",\"data\":{}}",
            "field",
            "/data/item/id is missing or not a string, a number or a boolean",
        ),
        (
            "nagios",
            "{\"notification_type\":\"PROBLEM\"}",
            "field",
            "/host is missing or not a string, a number or a boolean",
        ),
        (
            "nagios",
            "{\"host\":\"h\"}",
            "field",
            "/notification_type is missing or not a state such as \"firing\" or \"resolved\"",
        ),
        (
            "pagerduty",
            "{\"event_action\":\"trigger\"}",
            "field",
            "/dedup_key is missing or not a string, a number or a boolean",
        ),
        (
            "pagerduty",
            "{\"event_action\":\"explode\",\"dedup_key\":\"k\"}",
            "field",
            "/event_action is missing or not a state such as \"firing\" or \"resolved\"",
        ),
        ("pipedrive", "{\"data\":{}}", "field", "/meta/entity is missing or not a string, a number or a boolean"),
        (
            "salesforce",
            "{\"ChangeEventHeader\":{}}",
            "field",
            "/ChangeEventHeader/recordIds is missing or not an array of events",
        ),
        (
            "salesforce",
            "{\"ChangeEventHeader\":{\"recordIds\":[\"a\"],\"entityName\":\"X\",\"transactionKey\":\"t\",\"commitTimestamp\":\"soon\"}}",
            "field",
            "/ChangeEventHeader/recordIds/0: /ChangeEventHeader/commitTimestamp is missing or not Unix time in milliseconds",
        ),
        ("stripe", "{\"id\":\"evt\"}", "field", "/data/object/id is missing or not a string, a number or a boolean"),
        ("tickets", "{\"event_id\":1}", "field", "/ticket/id is missing or not a string, a number or a boolean"),
        ("zabbix", "{\"value\":1}", "field", "/p_eventid is missing or not a string, a number or a boolean"),
        (
            "zendesk",
            "{\"type\":\"zen:event-type:ticket.created\",\"id\":\"1\"}",
            "field",
            "/detail/id is missing or not a string, a number or a boolean",
        ),
    ];
    for (name, payload, reason, error) in rows {
        let refusal = decode(&source(name), payload.as_bytes(), &[]).expect_err(error);
        assert_eq!((refusal.reason(), &*refusal.to_string()), (*reason, *error), "{name} {payload}");
    }
}

#[test]
fn corner_cases_of_json_are_an_event_or_a_reason() {
    let deal = |more: &str| format!(r#"{{"event_id":1,"deal":{{"id":7}}{more}}}"#).into_bytes();
    let nested = |depth: usize| deal(&format!(",\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    let rows: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("nesting that is read", nested(50), None),
        ("nesting that is too deep", nested(100), Some("not_json")),
        ("nesting that would break a stack", nested(200_000), Some("not_json")),
        ("a number larger than any integer", deal(",\"x\":123456789012345678901234567890"), Some("not_json")),
        ("a huge float", deal(",\"x\":1e400"), Some("not_json")),
        ("a tiny float", deal(",\"x\":1e-400"), None),
        ("a lone surrogate", deal(",\"summary\":\"\\ud800\""), Some("not_json")),
        ("a pair of surrogates", deal(",\"summary\":\"\\ud83d\\udd34\""), None),
        ("a key that stands there twice", deal(",\"deal\":{\"id\":8}"), None),
        ("a byte order mark", [b"\xEF\xBB\xBF".to_vec(), deal("")].concat(), None),
        ("a byte order mark of another kind", b"\xFE\xFF\0{".to_vec(), Some("nul_byte")),
        ("bytes that are no text", [deal(",\"summary\":\""), b"\xFF\"}".to_vec()].concat(), Some("not_json")),
        ("a byte of zero", deal(",\"summary\":\"\0\""), Some("nul_byte")),
        ("an escaped zero", deal(",\"summary\":\"\\u0000\""), None),
        ("two values", [deal(""), deal("")].concat(), Some("not_json")),
        ("something behind it", [deal(""), b" x".to_vec()].concat(), Some("not_json")),
        ("nothing but space", b"  ".to_vec(), Some("not_json")),
    ];
    for (sentence, payload, reason) in rows {
        let outcome = decode(&source("json"), &payload, &[]);
        assert_eq!(outcome.as_ref().err().map(Refusal::reason), reason, "{sentence}: {outcome:?}");
    }
    let twice = decode(&source("json"), &deal(",\"deal\":{\"id\":8}"), &[]).expect("an event");
    assert!(twice.contains("in \"7\""), "the first counts: {twice}");
}

#[test]
fn a_preview_of_every_golden_record_says_where_it_goes_and_what_each_channel_type_is_sent() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for (name, source) in SOURCES {
        for (kind, channel) in TYPES {
            let file = folder.path().join(format!("{name}-{kind}.toml"));
            fs::write(file, config_for(source, channel)).expect("a scratch file");
        }
    }
    let bless = std::env::var_os("MISSIVED_BLESS").is_some();
    for golden in goldens() {
        let mut sent = String::new();
        for (kind, _) in TYPES {
            let shown = preview(&golden, &folder.path().join(format!("{}-{kind}.toml", golden.name)));
            check(&golden, &shown);
            let messages = shown["messages"].as_array().expect("messages");
            let requests = messages.iter().map(|message| told(kind, &message["request"]["messages"]));
            sent.extend(requests);
        }
        let expected = golden.file.with_extension("sent");
        if bless {
            fs::write(&expected, &sent).expect("a writable tree");
        }
        assert_eq!(sent, fs::read_to_string(&expected).unwrap_or_default(), "{}", golden.file.display());
    }
}

fn preview(golden: &Golden, config: &Path) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_missived"));
    command.args(["preview", "--topic", "x", "--json", "--at", "2026-11-22T03:14:00Z", "--config"]);
    command.arg(config).arg(&golden.file);
    command.args(golden.headers.iter().map(|(key, value)| format!("--header={key}={value}")));
    let output = command.output().expect("the program");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{}: {error}: {}", golden.file.display(), String::from_utf8_lossy(&output.stderr))
    });
    assert!(output.status.success(), "{}: {shown:#}", golden.file.display());
    shown
}

/// A request, a line a field, but for what is the same in all of them; the body as people see it.
fn told(kind: &str, request: &serde_json::Value) -> String {
    const SAME: [&str; 5] = ["account", "body", "external_id", "references", "to_fields"];
    let fields = request.as_object().expect("fields");
    let mut told = format!("── {kind}\n");
    for (name, value) in fields.iter().filter(|(name, _)| !SAME.contains(&&***name)) {
        let _ = writeln!(told, "{name} {value}");
    }
    let _ = writeln!(told, "{}", request["body"].as_str().expect("a body"));
    told
}

/// Everything that isn't only a resolve is in a message, and the message is for this channel.
fn check(golden: &Golden, shown: &serde_json::Value) {
    let events = shown["events"].as_array().expect("events");
    for event in events {
        let route = &event["routes"][0];
        assert_eq!(route["route"], "x", "{event:#}");
        let alone = event["state"] == "resolved" && events.len() == 1;
        let messages = route["messages"].as_array().expect("places").len();
        assert_eq!(messages > 0, !alone, "{}: {shown:#}", golden.file.display());
    }
    for message in shown["messages"].as_array().expect("messages") {
        let request = &message["request"]["messages"];
        assert_eq!(request["account"], "11111111-2222-4333-8444-555555555555");
        assert!(request["body"].as_str().is_some_and(|body| !body.is_empty()), "{message:#}");
    }
}
