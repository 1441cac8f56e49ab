//! Whatever comes in, nothing panics and nothing grows: the properties of the fuzz targets (`tests/fuzz`), under proptest.
//!
//! Records are golden ones with pieces cut out, doubled and replaced, JSON made at random of the formats' own words, and bytes.
//! A record is an event within its bounds or a refusal with a reason; screened records never show what is screened.

use std::path::Path;

use missived::config::{Config, Environment};
use missived::event::{
    Compression, Decoder, EVENTS_PER_RECORD_MAX, Event, Handling, HashKey, KEY_BYTES_MAX, Record, TEXT_BYTES_MAX,
};
use missived::route::Source;
use proptest::collection::vec;
use proptest::prelude::*;

/// Every format, and a preset that explodes an array, one that reads HTML, one that translates.
const SOURCES: [&str; 9] = [
    "format = \"alertmanager\"",
    "format = \"grafana\"",
    "format = \"cloudevents\"\nkind = \"thread\"",
    "format = \"hubspot\"",
    "format = \"debezium\"\ndebezium = { title = \"/name\", snapshot = \"tell\" }",
    "preset = \"salesforce\"",
    "preset = \"intercom\"",
    "preset = \"zabbix\"",
    "preset = \"pagerduty\"",
];

const GOLDEN: [&str; 9] = [
    include_str!("golden/alertmanager/group.json"),
    include_str!("golden/grafana/firing.json"),
    include_str!("golden/cloudevents/structured.json"),
    include_str!("golden/hubspot/batch.json"),
    include_str!("golden/debezium/wrapped-update.json"),
    include_str!("golden/salesforce/update.json"),
    include_str!("golden/intercom/replied.json"),
    include_str!("golden/zabbix/problem.json"),
    include_str!("golden/pagerduty/trigger.json"),
];

fn sources() -> Vec<Source> {
    let channel = "account = \"11111111-2222-4333-8444-555555555555\"\ntype = \"text\"";
    let head = "[kafka]\nbootstrap = \"k:9092\"\n[missive]\ninsecure_inline_token = \"missive_pat-x\"";
    let mut text = format!("{head}\n[channels.ops]\n{channel}\n");
    for (place, source) in SOURCES.iter().enumerate() {
        text += &format!("[sources.s{place}]\ntopic = \"t{place}\"\nchannel = \"ops\"\n{source}\n");
    }
    let loaded = Config::parse(&text, Path::new("missived.toml"), &Environment::default());
    loaded.unwrap_or_else(|error| panic!("{error}")).config.sources
}

/// Decodes and checks every bound; what was shown of the events.
fn decode(source: &Source, handling: &Handling, payload: &[u8]) -> String {
    let mut shown = String::new();
    let mut next = 0;
    let emit = &mut |event: &Event<'_>| {
        assert!(event.index >= next, "out of order");
        next = event.index + 1;
        assert!(event.conversation.len() <= KEY_BYTES_MAX, "{}", event.conversation.len());
        let mut names = String::new();
        let facts = &event.facts(&mut names);
        assert!(facts.text.len() <= TEXT_BYTES_MAX && facts.link.len() <= 1024);
        let short = [&facts.subject, &facts.title, &facts.severity, &facts.author];
        assert!(short.iter().all(|fact| fact.len() <= 1024), "{facts:?}");
        assert!(source.route(event).eq([0]), "the source's own channel takes everything");
        shown += &format!("{} {facts:?}", event.conversation);
    };
    let record = Record { payload: Some(payload), headers: &[] };
    match Decoder::new(HashKey::new([7; 16])).decode_handled(&source.format, handling, record, emit) {
        Ok(count) => assert!(count <= EVENTS_PER_RECORD_MAX),
        Err(refusal) => assert!(!refusal.reason().is_empty() && refusal.to_string().len() < 4096, "{refusal}"),
    }
    shown
}

/// JSON of words that formats look for.
fn json() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("alerts"),
        Just("labels"),
        Just("status"),
        Just("firing"),
        Just("groupKey"),
        Just("specversion"),
        Just("1.0"),
        Just("id"),
        Just("source"),
        Just("type"),
        Just("data"),
        Just("data_base64"),
        Just("objectId"),
        Just("occurredAt"),
        Just("subscriptionType"),
        Just("deal.creation"),
        Just("op"),
        Just("u"),
        Just("before"),
        Just("after"),
        Just("payload"),
        Just("schema"),
        Just("ChangeEventHeader"),
        Just("recordIds"),
        Just("value"),
        Just("eventid"),
        Just("\\ud83d\\udd34"),
        Just("<p>&amp;"),
        Just("")
    ];
    let word = word.prop_map(|word: &str| format!("\"{word}\""));
    let leaf = prop_oneof![
        word.clone(),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        let members = vec((word.clone(), inner.clone()), 0..8);
        let members = members.prop_map(|members| {
            members.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(",")
        });
        prop_oneof![
            vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            members.prop_map(|members| format!("{{{members}}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bytes_are_an_event_or_a_refusal(payload in vec(any::<u8>(), 0..300)) {
        for source in sources() {
            decode(&source, &source.handling, &payload);
        }
    }

    #[test]
    fn json_is_an_event_or_a_refusal(payload in json()) {
        for source in sources() {
            decode(&source, &source.handling, payload.as_bytes());
        }
    }

    #[test]
    fn mutilated_records_are_events_or_refusals(from in 0.0..1.0, to in 0.0..1.0, with in "[\\]{}\",:0-9a-z]{0,4}", times in 0_usize..3) {
        for (source, golden) in sources().iter().zip(GOLDEN) {
            let bytes = golden.as_bytes();
            let place = |share: f64| (share * bytes.len() as f64) as usize;
            let (from, to) = (place(from).min(place(to)), place(from).max(place(to)));
            let payload = [&bytes[..from], &bytes[from..to].repeat(times), with.as_bytes(), &bytes[to..]].concat();
            decode(source, &source.handling, &payload);
        }
    }

    #[test]
    fn bytes_that_pretend_to_be_compressed_are_refused_or_opened(body in vec(any::<u8>(), 0..300)) {
        let source = &sources()[0];
        for (compression, magic) in [(Compression::Gzip, &b"\x1f\x8b\x08"[..]), (Compression::Zstd, b"\x28\xB5\x2F\xFD")] {
            let handling = Handling { compression, opened_bytes_max: 1000, ..Handling::plain() };
            decode(source, &handling, &[magic, &body].concat());
        }
    }

    #[test]
    fn what_is_redacted_shows_nowhere(name in "[a-z]{6,12}", place in 0_usize..9) {
        let secret = format!("s3cret-{name}");
        let (mut source, golden) = (sources().swap_remove(place), GOLDEN[place]);
        let fields: Vec<_> = WORDS.iter().filter_map(|word| missived::event::Field::parse(word)).collect();
        source.handling.privacy.redact = fields;
        for word in WORDS.iter().map(|word| word.trim_start_matches('/')) {
            let at = format!("\"{word}\":\"");
            let Some(start) = golden.find(&at).map(|start| start + at.len()) else { continue };
            let end = start + golden[start..].find('"').expect("a string ends");
            let payload = [&golden[..start], &secret, &golden[end..]].concat();
            let shown = decode(&source, &source.handling, payload.as_bytes());
            prop_assert!(!shown.contains(&secret), "{word}: {shown}");
        }
    }
}

const WORDS: [&str; 8] = ["summary", "pod", "/groupKey", "subject", "propertyValue", "name", "body", "source"];

#[test]
fn an_array_of_too_many_events_is_refused() {
    let many = format!("[{}{{}}]", "{},".repeat(EVENTS_PER_RECORD_MAX));
    let source = &sources()[3];
    let record = Record { payload: Some(many.as_bytes()), headers: &[] };
    let refusal = Decoder::new(HashKey::new([7; 16])).decode(&source.format, record, &mut |_| {});
    assert_eq!(refusal.map_err(|refusal| refusal.reason()), Err("too_many_events"));
}
