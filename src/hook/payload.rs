//! What a proven body says: a message that somebody sent from a custom channel, a rule that fired, or neither (a probe).
//!
//! Missive's webhooks name no event type and grow keys without notice: what is known is looked up, what is missing or of
//! another type counts as absent, everything else is ignored. Only the ids that decide where a record goes are strict. What
//! is heard borrows from the body: nothing is copied that Kafka doesn't get.

use std::borrow::Cow;

use super::refusal::Refusal;
use super::reply::{Author, BY_CONVERSATION, Conversation, Kind, ReplyRecord, Rule, Times};
use super::said::{Part, Said};
use crate::event::Timestamp;
use crate::hook::Door;
use crate::missive::RoutingKey;

/// The longest id that is taken, in bytes.
pub const ID_BYTES_MAX: usize = 512;

/// The route that stands in the routing keys of roll-ups.
const ROLLUP_ROUTE: &str = "rollup";

/// What came in.
#[derive(Debug)]
pub enum Heard<'b> {
    /// A person sent or answered.
    Reply(ReplyRecord<'b>),
    /// A rule fired.
    Rule(ReplyRecord<'b>),
    /// Missive checks that somebody is here: nothing to hand on.
    Probe,
}

/// Understands what a proven body says.
pub fn hear<'b>(now: Timestamp, door: &'b Door, said: &'b Said<'b>) -> Result<Heard<'b>, Refusal> {
    let root = said.root();
    let (rule, message) = (root.at("rule"), root.at("message"));
    if rule.is_object() {
        return rule_fired(now, door, root, rule).map(Heard::Rule);
    }
    if message.at("id").is_nothing() {
        return Ok(Heard::Probe);
    }
    sent(now, door, root, message).map(Heard::Reply)
}

fn sent<'b>(now: Timestamp, door: &'b Door, root: Part<'b>, message: Part<'b>) -> Result<ReplyRecord<'b>, Refusal> {
    let message_id = strict_id(message)?.ok_or(Refusal::Unreadable)?;
    let record = record(now, door, root, message);
    let routing_key = echoed(message, "to_fields").map(Cow::Borrowed).or_else(|| by_conversation(root));
    let kind = kind(root, routing_key.as_deref());
    Ok(ReplyRecord { kind, message_id: Some(message_id), routing_key, ..record })
}

fn rule_fired<'b>(now: Timestamp, door: &'b Door, root: Part<'b>, rule: Part<'b>) -> Result<ReplyRecord<'b>, Refusal> {
    let subjects = ["message", "latest_message", "comment"].map(|name| root.at(name));
    let subject = subjects.into_iter().find(|subject| !subject.is_nothing()).unwrap_or_default();
    let message_id = strict_id(subject)?;
    let ours = |field| echoed(subject, field).filter(|key| RoutingKey::route(key).is_some());
    let routing_key = ours("to_fields").or_else(|| ours("from_field")).map(Cow::Borrowed);
    let rule =
        Rule { id: rule.at("id").text(), description: rule.at("description").text(), kind: rule.at("type").text() };
    let record = record(now, door, root, subject);
    let routing_key = routing_key.or_else(|| by_conversation(root));
    Ok(ReplyRecord { message_id, rule: Some(rule), routing_key, ..record })
}

/// All that a reply and a rule say alike.
fn record<'b>(now: Timestamp, door: &'b Door, root: Part<'b>, message: Part<'b>) -> ReplyRecord<'b> {
    let (author, conversation) = (message.at("author"), root.at("conversation"));
    ReplyRecord {
        kind: Kind::Rule,
        channel: &door.channel,
        message_id: None,
        body: message.at("body").text(),
        written_in: door.kind,
        author: Author { id: author.at("id").text(), email: author.at("email").text(), name: author.at("name").text() },
        alias: message.at("from_field"),
        recipients: message.at("to_fields").list(),
        conversation: Conversation {
            id: id(conversation),
            subject: conversation.at("subject").text(),
            web_url: conversation.at("web_url").text(),
            labels: conversation.at("shared_labels").list(),
        },
        attachments: message.at("attachments").list(),
        routing_key: None,
        times: Times {
            delivered_at: message.at("delivered_at").number(),
            created_at: message.at("created_at").number(),
            updated_at: message.at("updated_at").number(),
            received_at: now,
        },
        rule: None,
    }
}

fn kind(root: Part<'_>, routing_key: Option<&str>) -> Kind {
    match routing_key.and_then(RoutingKey::route) {
        Some(ROLLUP_ROUTE) => Kind::Rollup,
        Some(_) | None if first_of_its_conversation(root) => Kind::New,
        Some(_) | None => Kind::Reply,
    }
}

/// A conversation that counts one message was begun by it. Where Missive doesn't tell, it is taken for an answer.
fn first_of_its_conversation(root: Part<'_>) -> bool {
    root.at("conversation").at("messages_count").number().is_some_and(|count| (0..=1).contains(&count))
}

/// The id of the customer as Missive knows it: what we once sent as `from_field.id`.
fn echoed<'b>(message: Part<'b>, field: &str) -> Option<&'b str> {
    id(message.at(field).first())
}

fn by_conversation(root: Part<'_>) -> Option<Cow<'_, str>> {
    id(root.at("conversation")).map(|id| Cow::Owned(format!("{BY_CONVERSATION}{id}")))
}

/// No id is fine; an id that is none is not.
fn strict_id(of: Part<'_>) -> Result<Option<&str>, Refusal> {
    match of.at("id").is_nothing() {
        true => Ok(None),
        false => id(of).map(Some).ok_or(Refusal::Unreadable),
    }
}

fn id(of: Part<'_>) -> Option<&str> {
    let id = of.at("id").text()?;
    let fit = !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains(char::is_control);
    fit.then_some(id)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::proof::proven;
    use super::super::tests::door;
    use super::*;
    use crate::event::lesson::Learned;

    const CONVERSATION: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

    const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);

    /// Shows what is heard of a body to `check`.
    fn heard<T>(body: &[u8], check: impl FnOnce(Heard<'_>) -> T) -> Result<T, Refusal> {
        let (door, mut body) = (door("ops", &[]), proven(body));
        let said = Said::parse(&mut body)?;
        hear(NOW, &door, &said).map(check)
    }

    fn heard_json<T>(body: &Value, check: impl FnOnce(Heard<'_>) -> T) -> T {
        heard(&serde_json::to_vec(body).expect("JSON"), check).expect("readable")
    }

    /// What a reply or a rule becomes.
    fn record_of<T>(body: &Value, check: impl FnOnce(&ReplyRecord<'_>) -> T) -> T {
        heard_json(body, |heard| match &heard {
            Heard::Reply(record) | Heard::Rule(record) => check(record),
            Heard::Probe => panic!("a probe: {body}"),
        })
    }

    fn json_of(record: &ReplyRecord<'_>) -> Value {
        serde_json::from_slice(&record.to_json(None)).expect("JSON")
    }

    /// What a webhook teaches, about which key and which conversation.
    fn lesson_of(body: &Value) -> Option<(Learned, String, String)> {
        heard_json(body, |heard| {
            let lesson = heard.lesson(Timestamp::from_millis(9))?;
            Some((lesson.about, lesson.routing_key.to_owned(), lesson.conversation_id.to_owned()))
        })
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
        record_of(&documented(), |record| {
            assert_eq!(json_of(record), wanted);
            assert_eq!(record.key(), Some("alerts/orders-v2/lag"));
            let headers: Vec<_> = record.headers().collect();
            assert!(headers.contains(&("missived-message-id", "0f0e0d0c-1111-4222-8333-444444444444")), "{headers:?}");
        });
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
            record_of(&body, |record| assert_eq!((record.key(), record.own_key().is_some()), (key, own), "{body}"));
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
            assert_eq!(heard(body.as_bytes(), |heard| matches!(heard, Heard::Probe)), Ok(true), "{body}");
        }
        let (deep, long) =
            ("[".repeat(10_000), format!(r#"{{"message":{{"id":"{}"}}}}"#, "x".repeat(ID_BYTES_MAX + 1)));
        for body in ["", "ack", "{", "{} {}", r#"{"message":{"id":7}}"#, r#"{"message":{"id":""}}"#, &deep, &long] {
            assert_eq!(heard(body.as_bytes(), |_| ()), Err(Refusal::Unreadable), "{body:.40}");
        }
    }

    #[test]
    fn a_conversations_first_message_is_new_and_everything_else_answers() {
        for (count, kind) in [(json!(1), Kind::New), (json!(2), Kind::Reply), (json!(null), Kind::Reply)] {
            let body = json!({"message": {"id": "m"}, "conversation": {"messages_count": count}});
            assert_eq!(record_of(&body, |record| record.kind), kind, "{body}");
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
            let wanted = learned.map(|about| (about, "alerts/x".to_owned(), CONVERSATION.to_owned()));
            assert_eq!(lesson_of(&body), wanted, "{body}");
        }
        assert_eq!(lesson_of(&documented()).map(|(about, ..)| about), Some(Learned::Answered));
    }

    #[test]
    fn a_conversation_that_a_person_began_is_bound_to_its_recipient() {
        let (customer, ours) = (json!([{"id": "customer-7"}]), json!([{"id": "tickets/customer-7"}]));
        let rows = [
            ("begun", &customer, 1, CONVERSATION, Some((Learned::Begun, "customer-7"))),
            ("begun with one of ours", &ours, 1, CONVERSATION, Some((Learned::Answered, "tickets/customer-7"))),
            ("answered", &customer, 2, CONVERSATION, Some((Learned::Answered, ""))),
            ("begun to nobody", &json!([]), 1, CONVERSATION, Some((Learned::Answered, ""))),
            ("without an id that is one", &customer, 1, "c-1", None),
        ];
        for (sentence, to_fields, count, conversation, wanted) in rows {
            let body = json!({"message": {"id": "m", "to_fields": to_fields},
                "conversation": {"id": conversation, "messages_count": count}});
            let told = lesson_of(&body).map(|(about, key, _)| (about, key));
            assert_eq!(told, wanted.map(|(about, key)| (about, key.to_owned())), "{sentence}");
        }
    }

    #[test]
    fn a_lesson_names_a_conversation_only_by_an_id_that_is_one() {
        let body = json!({"message": {"id": "m"}, "conversation": {"id": "../organizations"}});
        assert_eq!(lesson_of(&body), None);
        let body = json!({"message": {"id": "m", "to_fields": [{"id": "alerts/x"}]}, "conversation": {"id": "c-1"}});
        assert_eq!(lesson_of(&body), Some((Learned::Answered, "alerts/x".to_owned(), String::new())));
    }

    #[test]
    fn a_rules_webhook_keeps_the_rule_and_may_have_no_message() {
        let body = json!({"rule": {"id": "r", "description": "on close", "type": "conversation_closed"},
            "conversation": {"id": CONVERSATION}});
        let rule = json!({"id": "r", "description": "on close", "type": "conversation_closed"});
        record_of(&body, |record| {
            assert_eq!(json_of(record)["rule"], rule);
            assert_eq!((record.message_id, record.key()), (None, Some(&*format!("conversation:{CONVERSATION}"))));
        });
    }
}
