//! What a proven body says: a message that somebody sent from a custom channel, a rule that fired, or neither (a probe).
//!
//! Missive's webhooks name no event type and grow keys without notice: what is known is looked up, what is missing or of
//! another type counts as absent, everything else is ignored. Only the ids that decide where a record goes are strict.

use serde_json::Value;

use super::proof::{Body, Verified};
use super::refusal::Refusal;
use super::reply::{Author, BY_CONVERSATION, Conversation, Kind, Label, ReplyRecord, Rule, Times};
use crate::event::Timestamp;
use crate::hook::Door;
use crate::missive::RoutingKey;

/// The longest id that is taken, in bytes.
pub const ID_BYTES_MAX: usize = 512;

/// The route that stands in the routing keys of roll-ups.
const ROLLUP_ROUTE: &str = "rollup";

/// What came in.
#[derive(Debug)]
pub enum Heard {
    /// A person sent or answered.
    Reply(ReplyRecord),
    /// A rule fired.
    Rule(ReplyRecord),
    /// Missive checks that somebody is here: nothing to hand on.
    Probe,
}

/// Reads a proven body.
pub fn hear(now: Timestamp, door: &Door, body: &Verified<Body>) -> Result<Heard, Refusal> {
    let root: Value = serde_json::from_slice(body.get().bytes()).map_err(|_| Refusal::Unreadable)?;
    if let Some(rule) = root.get("rule").filter(|rule| rule.is_object()) {
        return rule_fired(now, door, &root, rule).map(Heard::Rule);
    }
    let message = &root["message"];
    if message.get("id").is_none_or(Value::is_null) {
        return Ok(Heard::Probe);
    }
    sent(now, door, &root, message).map(Heard::Reply)
}

fn sent(now: Timestamp, door: &Door, root: &Value, message: &Value) -> Result<ReplyRecord, Refusal> {
    let message_id = strict_id(message)?.ok_or(Refusal::Unreadable)?;
    let record = record(now, door, root, message);
    let routing_key = echoed(message, "to_fields").or_else(|| by_conversation(root));
    let kind = kind(root, routing_key.as_deref());
    Ok(ReplyRecord { kind, message_id: Some(message_id), routing_key, ..record })
}

fn rule_fired(now: Timestamp, door: &Door, root: &Value, rule: &Value) -> Result<ReplyRecord, Refusal> {
    let subject =
        ["message", "latest_message", "comment"].into_iter().find_map(|key| root.get(key)).unwrap_or(&Value::Null);
    let message_id = strict_id(subject)?;
    let ours = |field| echoed(subject, field).filter(|key| RoutingKey::route(key).is_some());
    let routing_key = ours("to_fields").or_else(|| ours("from_field"));
    let rule = Rule { id: text(rule, "id"), description: text(rule, "description"), kind: text(rule, "type") };
    let record = record(now, door, root, subject);
    let routing_key = routing_key.or_else(|| by_conversation(root));
    Ok(ReplyRecord { message_id, rule: Some(rule), routing_key, ..record })
}

/// All that a reply and a rule say alike.
fn record(now: Timestamp, door: &Door, root: &Value, message: &Value) -> ReplyRecord {
    let time = |key: &str| message[key].as_i64();
    let (author, conversation) = (&message["author"], &root["conversation"]);
    ReplyRecord {
        kind: Kind::Rule,
        channel: door.channel.clone(),
        message_id: None,
        body: text(message, "body"),
        written_in: door.kind,
        author: Author { id: text(author, "id"), email: text(author, "email"), name: text(author, "name") },
        alias: message["from_field"].clone(),
        recipients: list(message, "to_fields"),
        conversation: Conversation {
            id: id(conversation),
            subject: text(conversation, "subject"),
            web_url: text(conversation, "web_url"),
            labels: conversation.get("shared_labels").and_then(Value::as_array).map(|given| labels(given)),
        },
        attachments: list(message, "attachments"),
        routing_key: None,
        times: Times {
            delivered_at: time("delivered_at"),
            created_at: time("created_at"),
            updated_at: time("updated_at"),
            received_at: now,
        },
        rule: None,
    }
}

fn kind(root: &Value, routing_key: Option<&str>) -> Kind {
    match routing_key.and_then(RoutingKey::route) {
        Some(ROLLUP_ROUTE) => Kind::Rollup,
        Some(_) | None if first_of_its_conversation(root) => Kind::New,
        Some(_) | None => Kind::Reply,
    }
}

/// A conversation that counts one message was begun by it. Where Missive doesn't tell, it is taken for an answer.
fn first_of_its_conversation(root: &Value) -> bool {
    root["conversation"]["messages_count"].as_u64().is_some_and(|count| count <= 1)
}

/// The id of the customer as Missive knows it: what we once sent as `from_field.id`.
fn echoed(message: &Value, field: &str) -> Option<Box<str>> {
    let contact = &message[field];
    let contact = contact.get(0).unwrap_or(contact);
    id(contact)
}

fn by_conversation(root: &Value) -> Option<Box<str>> {
    id(&root["conversation"]).map(|id| format!("{BY_CONVERSATION}{id}").into())
}

/// No id is fine; an id that is none is not.
fn strict_id(of: &Value) -> Result<Option<Box<str>>, Refusal> {
    match of.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(_) => id(of).map(Some).ok_or(Refusal::Unreadable),
    }
}

fn id(of: &Value) -> Option<Box<str>> {
    let id = of.get("id")?.as_str()?;
    let fit = !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains(char::is_control);
    fit.then(|| id.into())
}

fn text(of: &Value, key: &str) -> Option<Box<str>> {
    of.get(key)?.as_str().map(Box::from)
}

fn list(of: &Value, key: &str) -> Vec<Value> {
    of.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn labels(given: &[Value]) -> Vec<Label> {
    given.iter().map(|label| Label { id: text(label, "id"), name: text(label, "name") }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::door;
    use super::super::{Doors, Head, Protocol};
    use super::*;
    use crate::event::frame::Learned;

    const CONVERSATION: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

    const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);

    fn heard(body: &[u8]) -> Result<Heard, Refusal> {
        let doors = Doors::new([door("ops", &[])], 1 << 20);
        let headers = [("host", "h".as_bytes())].into_iter().collect();
        let head = Head { protocol: Protocol::Http11, method: "POST", path: "/hooks/ops", headers };
        let mut proving = doors.admit(&head)?;
        proving.push(body)?;
        let proven = proving.finish(NOW)?;
        hear(NOW, proven.door, &proven.body)
    }

    fn heard_json(body: &Value) -> Heard {
        heard(&serde_json::to_vec(body).expect("JSON")).expect("readable")
    }

    /// The webhook as Missive documents it.
    fn documented() -> Value {
        json!({
            "message": {
                "id": "0f0e0d0c-1111-4222-8333-444444444444", "preview": "ack", "type": "custom_text",
                "delivered_at": 1_790_000_100, "references": [], "body": "ack", "external_id": null, "attachments": [],
                "from_field": {"id": "ops", "name": "Ops", "username": "ops"},
                "to_fields": [{"id": "alerts/orders-v2/lag", "name": "payments", "username": "payments"}],
                "author": {"id": "99999999-0000-4000-8000-000000000001", "email": "a@example.com", "name": "Ann", "avatar_url": null}
            },
            "conversation": {
                "id": CONVERSATION, "subject": "orders-v2 lag", "messages_count": 2, "shared_labels": [],
                "web_url": "https://mail.missiveapp.com/#inbox/conversations/x", "organization": null
            },
            "something": {"new": true}
        })
    }

    #[test]
    fn the_documented_webhook_becomes_a_whole_record() {
        let Heard::Reply(record) = heard_json(&documented()) else { panic!("not a reply") };
        let value: Value = serde_json::from_slice(&record.to_json(None)).expect("JSON");
        let wanted = json!({
            "kind": "reply", "channel": "ops", "message_id": "0f0e0d0c-1111-4222-8333-444444444444", "body": "ack",
            "text": "ack", "html": null, "author": {"id": "99999999-0000-4000-8000-000000000001", "email": "a@example.com", "name": "Ann"},
            "alias": {"id": "ops", "name": "Ops", "username": "ops"},
            "recipients": [{"id": "alerts/orders-v2/lag", "name": "payments", "username": "payments"}],
            "conversation": {"id": CONVERSATION, "subject": "orders-v2 lag",
                "web_url": "https://mail.missiveapp.com/#inbox/conversations/x", "labels": []},
            "attachments": [], "routing_key": "alerts/orders-v2/lag", "route": "alerts", "entity": "orders-v2/lag",
            "delivered_at": 1_790_000_100, "created_at": null, "updated_at": null, "received_at_ms": NOW.as_millis()
        });
        assert_eq!(value, wanted);
        assert_eq!(record.key(), Some("alerts/orders-v2/lag"));
        let headers: Vec<_> = record.headers().collect();
        assert!(headers.contains(&("missived-message-id", "0f0e0d0c-1111-4222-8333-444444444444")), "{headers:?}");
    }

    #[test]
    fn a_reply_finds_its_way_by_customer_then_by_conversation() {
        let rows = [
            (json!([{"id": "alerts/x"}]), json!("c-1"), Some("alerts/x"), true),
            (json!([{"id": "customer-7"}, {"id": "alerts/x"}]), json!("c-1"), Some("customer-7"), false),
            (json!([]), json!("c-1"), Some("conversation:c-1"), false),
            (json!(null), json!("c-1"), Some("conversation:c-1"), false),
            (json!([{"id": 7}]), json!("c-1"), Some("conversation:c-1"), false),
            (json!([{"id": "x".repeat(ID_BYTES_MAX + 1)}]), json!("c-1"), Some("conversation:c-1"), false),
            (json!([{"id": "a\u{7}/b"}]), json!(null), None, false),
        ];
        for (to_fields, conversation, key, own) in rows {
            let body = json!({"message": {"id": "m", "to_fields": to_fields}, "conversation": {"id": conversation}});
            let Heard::Reply(record) = heard_json(&body) else { panic!("not a reply: {body}") };
            assert_eq!((record.key(), record.own_key().is_some()), (key, own), "{body}");
        }
    }

    #[test]
    fn what_is_no_message_is_a_probe_and_what_is_no_json_is_refused() {
        for body in [
            "{}",
            "[]",
            "null",
            r#"{"message":null}"#,
            r#"{"message":{}}"#,
            r#"{"message":{"id":null}}"#,
            r#"{"rule":1}"#,
        ] {
            assert!(matches!(heard(body.as_bytes()), Ok(Heard::Probe)), "{body}");
        }
        let (deep, long) =
            ("[".repeat(10_000), format!(r#"{{"message":{{"id":"{}"}}}}"#, "x".repeat(ID_BYTES_MAX + 1)));
        for body in ["", "ack", "{", "{} {}", r#"{"message":{"id":7}}"#, r#"{"message":{"id":""}}"#, &deep, &long] {
            assert_eq!(heard(body.as_bytes()).err(), Some(Refusal::Unreadable), "{body:.40}");
        }
    }

    #[test]
    fn a_conversations_first_message_is_new_and_everything_else_answers() {
        for (count, kind) in [(json!(1), Kind::New), (json!(2), Kind::Reply), (json!(null), Kind::Reply)] {
            let body = json!({"message": {"id": "m"}, "conversation": {"messages_count": count}});
            let Heard::Reply(record) = heard_json(&body) else { panic!("not a reply: {body}") };
            assert_eq!(record.kind, kind, "{body}");
        }
    }

    #[test]
    fn every_webhook_teaches_what_it_says_and_no_more() {
        let label = |name: &str| json!([{"id": "l", "name": name}]);
        let rows = [
            ("conversation_closed", json!([]), Some(Learned::Closed)),
            ("conversation_reopened", json!([]), Some(Learned::Reopened)),
            ("label_change", label("mute"), Some(Learned::Muted)),
            ("label_change", label("Mute"), Some(Learned::Muted)),
            ("label_change", label("muted"), Some(Learned::Unmuted)),
            ("label_change", json!(null), None),
            ("new_comment", label("mute"), None),
            ("named_tomorrow", json!([]), None),
        ];
        for (kind, labels, learned) in rows {
            let body = json!({"rule": {"id": "r", "type": kind}, "latest_message": {"id": "m", "from_field": {"id": "alerts/x"}},
                "conversation": {"id": CONVERSATION, "shared_labels": labels}});
            let heard = heard_json(&body);
            let lesson = heard.lesson(Timestamp::from_millis(9));
            assert_eq!(lesson.as_ref().map(|lesson| lesson.about), learned, "{body}");
            if let Some(lesson) = lesson {
                assert_eq!((lesson.routing_key, lesson.conversation_id), ("alerts/x", CONVERSATION), "{body}");
            }
        }
        let reply = heard_json(&documented());
        assert_eq!(reply.lesson(Timestamp::EPOCH).map(|lesson| lesson.about), Some(Learned::Answered));
    }

    #[test]
    fn a_lesson_names_a_conversation_only_by_an_id_that_is_one() {
        let body = json!({"message": {"id": "m"}, "conversation": {"id": "../organizations"}});
        assert_eq!(heard_json(&body).lesson(Timestamp::EPOCH), None);
        let body = json!({"message": {"id": "m", "to_fields": [{"id": "alerts/x"}]}, "conversation": {"id": "c-1"}});
        assert_eq!(heard_json(&body).lesson(Timestamp::EPOCH).map(|lesson| lesson.conversation_id), Some(""));
    }

    #[test]
    fn a_rules_webhook_keeps_the_rule_and_may_have_no_message() {
        let body = json!({"rule": {"id": "r", "description": "on close", "type": "conversation_closed"},
            "conversation": {"id": CONVERSATION}});
        let Heard::Rule(record) = heard_json(&body) else { panic!("not a rule") };
        let value: Value = serde_json::from_slice(&record.to_json(None)).expect("JSON");
        assert_eq!(value["rule"], json!({"id": "r", "description": "on close", "type": "conversation_closed"}));
        assert_eq!(
            (record.message_id.as_deref(), record.key()),
            (None, Some(format!("conversation:{CONVERSATION}").as_str()))
        );
    }
}
