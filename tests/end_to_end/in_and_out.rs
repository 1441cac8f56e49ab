//! Records of every format become messages; a reply becomes a record.

use serde_json::json;

use crate::scene::{Daemon, Scene, TICKETS, alert, said};
use crate::support::daemon::SOON;
use crate::support::http;
use crate::support::wait::eventually;

/// CloudEvents that wait for nothing.
const CRM: &str = r#"
[sources.crm]
topic = "{namespace}-crm"
format = "cloudevents"
channel = "ops"
group_wait = "0s"
"#;

#[test]
fn records_of_every_format_become_messages_and_a_reply_becomes_a_record() {
    let Some(scene) = Scene::new(&["alerts", "crm", "tickets"], |draft| draft.with(CRM).with(TICKETS)) else { return };
    let daemon = scene.run();

    scene.record("alerts").payload(alert("OrdersLag", "firing")).send(&scene.kafka);
    scene.record("crm").header("content-type", "application/cloudevents+json").payload(STRUCTURED).send(&scene.kafka);
    binary_event(&scene);
    scene.record("tickets").payload(said("T-17", "it burns")).send(&scene.kafka);

    let messages = scene.sandbox.wait_for_messages(4);
    let rows = [
        ("OrdersLag is too high", "an Alertmanager body"),
        ("stage: won", "a structured CloudEvent"),
        ("stage: lost", "a binary CloudEvent"),
        ("it burns", "somebody's words, in JSON"),
    ];
    for (part, sentence) in rows {
        let found = messages.iter().filter(|message| message.body.contains(part)).count();
        assert_eq!(found, 1, "{sentence}: {messages:?}");
    }
    daemon.wait_for_balance(4, 0);
    let ticket = messages.iter().find(|message| message.body == "it burns").expect("verbatim");
    reply_comes_back(&scene, &daemon, &ticket.conversation);
    daemon.stop();
}

fn reply_comes_back(scene: &Scene, daemon: &Daemon, conversation: &str) {
    scene.sandbox.send_replies_to(daemon.hook());
    let receipt =
        scene.sandbox.tell("/control/reply", &json!({"conversation": conversation, "body": "water is on its way"}));
    let replies = eventually(SOON, "reply", || Some(scene.own("replies")).filter(|replies| !replies.is_empty()));

    assert_eq!(replies.len(), 1, "{replies:?}");
    let (reply, json) = (&replies[0], replies[0].json());
    assert_eq!(reply.key.as_deref(), Some("tickets/T-17"), "the key is what finds its way back");
    let headers = [
        ("content-type", Some("application/json")),
        ("missived-version", Some("1")),
        ("missived-channel", Some("ops")),
        ("missived-message-id", receipt["message"].as_str()),
    ];
    for (name, value) in headers {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let said = [
        ("kind", json!("reply")),
        ("body", json!("water is on its way")),
        ("route", json!("tickets")),
        ("entity", json!("T-17")),
        ("routing_key", json!("tickets/T-17")),
    ];
    for (name, value) in said {
        assert_eq!(json[name], value, "{name}");
    }
    assert_eq!(json["author"]["name"], "Ann");
    assert_eq!(json["conversation"]["id"], conversation);
    let acknowledged = json!({"sent": 1, "acknowledged": 1, "failed": 0});
    eventually(SOON, "end of the webhook", || {
        (scene.sandbox.ask("/control/summary")["replies"] == acknowledged).then_some(())
    });
}

#[test]
fn a_webhook_that_proves_nothing_is_refused_and_writes_nothing() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let daemon = scene.run();
    let body = br#"{"message":{"id":"m-1","type":"custom_text","body":"ack"},"conversation":{"id":"c-1"}}"#;
    let forged = format!("sha256={}", "0".repeat(64));
    let rows: [(&[(&str, &str)], &str); 3] = [
        (&[], "no signature"),
        (&[("X-Hook-Signature", &forged)], "somebody else's signature"),
        (&[("X-Hook-Signature", "sha256=zz")], "no signature at all, though it says so"),
    ];
    for (headers, sentence) in rows {
        let answer = http::post(daemon.hook(), "/hooks/ops", headers, body).expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (401, &b""[..]), "{sentence}");
    }
    let reasons = [("signature_missing", 1), ("signature_wrong", 1), ("signature_malformed", 1), ("accepted", 0)];
    let metrics = daemon.metrics();
    for (outcome, count) in reasons {
        let labels = format!("channel=\"ops\",outcome=\"{outcome}\"");
        assert_eq!(metrics.sum("missived_hook_requests_total", &labels), count, "{outcome}");
    }
    daemon.stop();
    assert_eq!(scene.own("replies"), []);
}

const STRUCTURED: &str = r#"{"specversion":"1.0","id":"e1","source":"/crm","type":"deal.updated","subject":"deal-7",
    "datacontenttype":"application/json","data":{"stage":"won","amount":1200}}"#;

fn binary_event(scene: &Scene) {
    let headers = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", "e2"),
        ("ce_source", "/crm"),
        ("ce_type", "deal.updated"),
        ("ce_subject", "deal-8"),
    ];
    let record = scene.record("crm").payload(r#"{"stage":"lost","amount":300}"#);
    let record = headers.into_iter().fold(record, |record, (name, value)| record.header(name, value));
    record.send(&scene.kafka);
}
