//! What can't be handled stands on the dead-letters topic with its reason, and everything else is told.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::scene::{Scene, TICKETS, alert, said};
use crate::support::kcat::Consumed;

/// A source that takes only what is won.
const DEALS: &str = r#"
[sources.deals]
topic = "{namespace}-deals"
format = "json"
kind = "record"
group_wait = "0s"

[sources.deals.json]
entity = "/deal"

[[sources.deals.routes]]
name = "won-deals"
match = { stage = "won" }
channel = "ops"
"#;

const LARGE_BYTES: usize = 20_000_000;

#[test]
fn what_cant_be_handled_becomes_a_dead_letter_and_everything_else_is_told() {
    let Some(scene) = Scene::new(&["alerts", "deals", "tickets"], |draft| draft.with(DEALS).with(TICKETS)) else {
        return;
    };
    let daemon = scene.run();
    let lost = json!({"deal": "d-1", "stage": "lost"}).to_string();
    let won = json!({"deal": "d-2", "stage": "won"}).to_string();
    let with_nul = said("T-2", "zero").replace("zero", "ze\0ro");
    let large = large_record();

    scene.record("alerts").key("k-1").header("traceparent", "00-1").payload("{\"alerts\":").send(&scene.kafka);
    scene.record("alerts").payload(alert("Disk", "firing")).send(&scene.kafka);
    scene.record("alerts").payload(alert("NeverHeardOf", "resolved")).send(&scene.kafka);
    scene.record("deals").payload(lost.as_str()).send(&scene.kafka);
    scene.record("deals").payload(won).send(&scene.kafka);
    scene.record("tickets").payload(with_nul.as_str()).send(&scene.kafka);
    scene.record("tickets").payload(large.as_slice()).send(&scene.kafka);
    scene.record("tickets").payload(said("T-1", "after the large one")).send(&scene.kafka);

    let told = scene.sandbox.wait_for_messages(3);
    for part in ["Disk is too high", "d-2", "after the large one"] {
        assert_eq!(told.iter().filter(|message| message.body.contains(part)).count(), 1, "{part}: {told:?}");
    }
    let metrics = daemon.wait_for_balance(8, 0);
    assert_eq!((metrics.outcome("delivered"), metrics.outcome("dead_lettered")), (3, 4));
    assert_eq!(metrics.reason("unknown_resolve"), 1, "a resolve of something never heard of opens nothing");
    daemon.stop();

    let letters = scene.own("dead-letters");
    assert_eq!(letters.len(), 4, "{:?}", letters.iter().map(|letter| &letter.headers).collect::<Vec<_>>());
    let rows =
        [("not_json", "alerts", "{\"alerts\":"), ("no_route", "deals", &lost), ("nul_byte", "tickets", &with_nul)];
    for (reason, topic, payload) in rows {
        let letter = letter(&letters, reason);
        assert_eq!(letter.payload.as_deref(), Some(payload), "{reason}: kept whole");
        assert_eq!(letter.header("missived-content"), Some("whole"), "{reason}");
        assert_eq!(letter.header("missived-source-topic"), Some(&*scene.topic(topic)), "{reason}");
        assert_eq!(letter.header("missived-source-partition"), Some("0"), "{reason}");
        assert_eq!(letter.header("missived-source-offset"), Some("0"), "{reason}");
        assert!(letter.header("missived-error").is_some_and(|error| !error.is_empty()), "{reason}: said for people");
    }
    let kept = letter(&letters, "not_json");
    assert_eq!(
        (kept.key.as_deref(), kept.header("traceparent")),
        (Some("k-1"), Some("00-1")),
        "its own key and headers"
    );
    by_reference(letter(&letters, "too_large"), &scene.topic("tickets"), &large);
}

/// Where it stands, how long it is, its hash and how it begins.
fn by_reference(letter: &Consumed, topic: &str, record: &[u8]) {
    let reference = letter.json();
    assert_eq!(letter.header("missived-content"), Some("reference"));
    let place = json!([topic, 0, 1]);
    assert_eq!(json!([reference["topic"], reference["partition"], reference["offset"]]), place);
    assert_eq!(reference["bytes"], json!(record.len()));
    let hash: String = Sha256::digest(record).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(reference["sha256"], json!(hash));
    let prefix = reference["prefix"].as_str().expect("a text");
    assert!(prefix.len() >= 1_000 && record.starts_with(prefix.as_bytes()), "{} bytes of its beginning", prefix.len());
}

fn letter<'a>(letters: &'a [Consumed], reason: &str) -> &'a Consumed {
    let found = letters.iter().find(|letter| letter.header("missived-reason") == Some(reason));
    found.unwrap_or_else(|| panic!("no {reason} in {:?}", letters.iter().map(|l| &l.headers).collect::<Vec<_>>()))
}

/// Valid, and far too long. It doesn't compress well: some numbers of a simple generator in hex.
fn large_record() -> Vec<u8> {
    let mut seed = 1_u64;
    let mut text = String::with_capacity(LARGE_BYTES + 64);
    while text.len() < LARGE_BYTES {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{seed:016x}"));
    }
    json!({"ticket": "T-3", "id": "large", "text": text}).to_string().into_bytes()
}
