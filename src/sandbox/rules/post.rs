//! `POST /v1/posts`: internal notes.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{Field, Shape, check, needing, plain};
use crate::sandbox::refusal::Refusal;

/// A note that passed the rules.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Post {
    pub text: Option<String>,
    pub markdown: Option<String>,
    pub references: Vec<String>,
    pub conversation: Option<String>,
    pub conversation_subject: Option<String>,
    pub conversation_color: Option<String>,
    pub close: bool,
    pub reopen: Option<bool>,
}

static FIELDS: &[Field] = &[
    plain("notification", Shape::Keys(&["title", "body"])),
    plain("text", Shape::Text),
    plain("markdown", Shape::Text),
    plain("attachments", Shape::Blocks),
    plain("username", Shape::Text),
    plain("username_icon", Shape::Text),
    plain("conversation_icon", Shape::Text),
    plain("conversation", Shape::Uuid),
    plain("references", Shape::Texts),
    plain("conversation_subject", Shape::Text),
    plain("conversation_color", Shape::Color),
    plain("organization", Shape::Uuid),
    plain("team", Shape::Uuid),
    plain("force_team", Shape::Flag),
    needing("add_users", Shape::Texts, "organization"),
    needing("add_assignees", Shape::Texts, "organization"),
    needing("remove_assignees", Shape::Texts, "organization"),
    needing("add_shared_labels", Shape::Texts, "organization"),
    needing("remove_shared_labels", Shape::Texts, "organization"),
    plain("add_to_inbox", Shape::Flag),
    needing("add_to_team_inbox", Shape::Flag, "team"),
    plain("close", Shape::Flag),
    plain("reopen", Shape::Flag),
];

/// Judges the object inside the envelope.
pub fn post(object: Map<String, Value>) -> Result<Post, Refusal> {
    check(&object, |name| FIELDS.iter().find(|field| field.name == name), None)?;
    let notification = object.get("notification").ok_or(Refusal::Missing("notification"))?;
    for part in ["title", "body"] {
        if notification.get(part).is_none() {
            return Err(Refusal::Missing(part));
        }
    }
    if !["text", "markdown", "attachments"].iter().any(|name| object.contains_key(*name)) {
        return Err(Refusal::Missing("text, markdown or attachments"));
    }
    serde_json::from_value(Value::Object(object)).map_err(|_| Refusal::NotJson)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_note_has_a_notification_and_something_to_show() {
        let note = json!({"title": "t", "body": "b"});
        let block = json!([{"color": "good", "timestamp": 1, "fields": [{"title": "a", "value": "b", "short": true}]}]);
        let rows = [
            (json!({"notification": note, "text": "t"}), "taken", "text"),
            (json!({"notification": note, "markdown": "*t*"}), "taken", "markdown"),
            (json!({"notification": note, "attachments": block}), "taken", "a block"),
            (json!({"notification": note, "text": "t", "reopen": false}), "taken", "a quiet note"),
            (json!({"notification": note}), "missing_field", "nothing to show"),
            (json!({"text": "t"}), "missing_field", "no notification"),
            (json!({"notification": {"title": "t"}, "text": "t"}), "missing_field", "half a notification"),
            (json!({"notification": note, "attachments": [{"colour": "x"}]}), "wrong_value", "an unknown block key"),
            (json!({"notification": note, "text": "t", "external_id": "e"}), "unknown_field", "a message's field"),
            (json!({"notification": note, "text": "t", "add_users": []}), "needs_another_field", "no organization"),
        ];
        for (object, expected, sentence) in rows {
            let judged = post(object.as_object().expect("an object").clone());
            assert_eq!(judged.map_or_else(|refusal| refusal.name(), |_| "taken"), expected, "{sentence}");
        }
    }
}
