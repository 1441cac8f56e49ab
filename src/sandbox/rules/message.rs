//! `POST /v1/messages`: which fields a message may have on which type of channel.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::base64;
use super::fields::{Field, Shape, check, needing, plain};
use crate::sandbox::channels::ChannelType;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::switches::Switches;

/// A message that passed the rules.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Incoming {
    pub account: String,
    #[serde(rename = "from_field")]
    pub from: Person,
    #[serde(rename = "to_fields")]
    pub to: Vec<Person>,
    pub subject: Option<String>,
    pub body: String,
    /// Unix seconds.
    pub delivered_at: Option<u64>,
    pub attachments: Vec<Attachment>,
    pub external_id: Option<String>,
    pub references: Vec<String>,
    pub conversation: Option<String>,
    pub conversation_subject: Option<String>,
    pub conversation_color: Option<String>,
    pub add_assignees: Vec<String>,
    pub remove_assignees: Vec<String>,
    pub add_shared_labels: Vec<String>,
    pub remove_shared_labels: Vec<String>,
    pub close: bool,
}

/// Somebody a message is from or to. Absent keys stay absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// An attachment without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "File")]
pub struct Attachment {
    pub filename: String,
    /// Bytes of content.
    pub size: usize,
}

/// The parts of the rules that nobody outside Missive knows for certain.
#[derive(Debug, Clone, Copy)]
pub struct MessageRules {
    pub kind: ChannelType,
    pub refuse_html_subject: bool,
    pub require_people: bool,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    base64_data: String,
}

const HANDLE: &[&str] = &["id", "username", "name"];
const MAILBOX: &[&str] = &["address", "name"];
const TALK: &[ChannelType] = &[ChannelType::Text, ChannelType::Html];
const EMAIL: &[ChannelType] = &[ChannelType::Email];
const WITH_SUBJECT: &[ChannelType] = &[ChannelType::Email, ChannelType::Html];

static SHARED: &[Field] = &[
    plain("account", Shape::Uuid),
    plain("body", Shape::Text),
    plain("delivered_at", Shape::Seconds),
    plain("attachments", Shape::Files),
    plain("references", Shape::Texts),
    plain("conversation", Shape::Uuid),
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
    Field { name: "external_id", shape: Shape::Text, on: TALK, needs: None },
    Field { name: "subject", shape: Shape::Text, on: WITH_SUBJECT, needs: None },
    Field { name: "cc_fields", shape: Shape::ListOfKeys(MAILBOX), on: EMAIL, needs: None },
    Field { name: "bcc_fields", shape: Shape::ListOfKeys(MAILBOX), on: EMAIL, needs: None },
];

static TALK_PEOPLE: &[Field] =
    &[plain("from_field", Shape::Keys(HANDLE)), plain("to_fields", Shape::ListOfKeys(HANDLE))];
static EMAIL_PEOPLE: &[Field] =
    &[plain("from_field", Shape::Keys(MAILBOX)), plain("to_fields", Shape::ListOfKeys(MAILBOX))];

/// The channel id that a message names, before anything else of it is judged.
pub fn account(object: &Map<String, Value>) -> Result<&str, Refusal> {
    let wrong = Refusal::WrongValue { field: "account", wanted: "a UUID string" };
    object.get("account").ok_or(Refusal::Missing("account"))?.as_str().ok_or(wrong)
}

/// Judges the object inside the envelope.
pub fn message(object: Map<String, Value>, rules: MessageRules) -> Result<Incoming, Refusal> {
    account(&object)?;
    check(&object, |name| field(name, rules.kind), Some(rules.kind))?;
    if rules.kind == ChannelType::Html && rules.refuse_html_subject && object.contains_key("subject") {
        return Err(Refusal::NotOnThisChannel { field: "subject", kind: rules.kind });
    }
    for required in ["from_field", "to_fields"] {
        if rules.require_people && !object.contains_key(required) {
            return Err(Refusal::Missing(required));
        }
    }
    serde_json::from_value(Value::Object(object)).map_err(|_| Refusal::NotJson)
}

impl MessageRules {
    /// The rules of this channel type under these switches.
    pub fn new(kind: ChannelType, switches: &Switches) -> Self {
        Self { kind, refuse_html_subject: switches.refuse_html_subject, require_people: switches.require_people }
    }
}

impl From<File> for Attachment {
    fn from(file: File) -> Self {
        Self { size: base64::decoded_len(&file.base64_data).unwrap_or_default(), filename: file.filename }
    }
}

fn field(name: &str, kind: ChannelType) -> Option<&'static Field> {
    let people = match kind {
        ChannelType::Text | ChannelType::Html => TALK_PEOPLE,
        ChannelType::Email => EMAIL_PEOPLE,
    };
    SHARED.iter().chain(people).find(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use ChannelType::{Email, Html, Text};

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    fn base(kind: ChannelType) -> Map<String, Value> {
        let person = match kind {
            Text | Html => json!({"id": "svc", "username": "svc", "name": "svc"}),
            Email => json!({"address": "a@example.com", "name": "A"}),
        };
        let object = json!({"account": ID, "from_field": person, "to_fields": [person], "body": "b"});
        object.as_object().expect("an object").clone()
    }

    fn judge(kind: ChannelType, changes: &Value) -> Result<Incoming, Refusal> {
        let mut object = base(kind);
        object.extend(changes.as_object().expect("an object").clone());
        message(object, MessageRules::new(kind, &Switches::default()))
    }

    fn name(result: Result<Incoming, Refusal>) -> &'static str {
        result.map_or_else(|refusal| refusal.name(), |_| "taken")
    }

    #[test]
    fn each_channel_type_takes_its_documented_fields() {
        let person = json!([{"address": "c@example.com", "name": "C"}]);
        let rows = [
            (json!({}), ["taken", "taken", "taken"], "the required ones"),
            (json!({"subject": "s"}), ["not_on_this_channel", "not_on_this_channel", "taken"], "subject"),
            (json!({"cc_fields": person}), ["not_on_this_channel", "not_on_this_channel", "taken"], "copies"),
            (json!({"bcc_fields": person}), ["not_on_this_channel", "not_on_this_channel", "taken"], "blind copies"),
            (json!({"external_id": "e"}), ["taken", "taken", "not_on_this_channel"], "external_id"),
            (json!({"from_field": {"address": "a"}}), ["wrong_value", "wrong_value", "taken"], "a mailbox sends"),
            (json!({"from_field": {"id": "a"}}), ["taken", "taken", "wrong_value"], "a handle sends"),
            (json!({"reopen": true}), ["unknown_field"; 3], "reopen belongs to posts"),
            (json!({"notification": {}}), ["unknown_field"; 3], "so does notification"),
            (json!({"channel_id": ID}), ["unknown_field"; 3], "the guide's name of the account"),
        ];
        for (changes, expected, sentence) in rows {
            let judged = [Text, Html, Email].map(|kind| name(judge(kind, &changes)));
            assert_eq!(judged, expected, "{sentence}");
        }
    }

    #[test]
    fn values_have_their_documented_types() {
        let file = |name: Value, data: Value| json!({"attachments": [{"filename": name, "base64_data": data}]});
        let rows = [
            (json!({"delivered_at": 1_790_000_000}), "taken", "whole seconds"),
            (json!({"delivered_at": 1.5}), "wrong_value", "a fraction"),
            (json!({"delivered_at": "1790000000"}), "wrong_value", "a number as text"),
            (json!({"body": 1}), "wrong_value", "a body that is a number"),
            (json!({"body": null}), "wrong_value", "null is no string"),
            (json!({"references": ["a"]}), "taken", "references are strings"),
            (json!({"references": "a"}), "wrong_value", "one reference outside an array"),
            (json!({"references": [1]}), "wrong_value", "a number as reference"),
            (json!({"conversation": "c-1"}), "wrong_value", "a conversation is a UUID"),
            (json!({"conversation": ID}), "taken", "a UUID"),
            (json!({"account": "ops"}), "wrong_value", "so is an account"),
            (json!({"conversation_color": "danger"}), "taken", "a word"),
            (json!({"conversation_color": "#c0ffee"}), "taken", "HEX"),
            (json!({"conversation_color": "red"}), "wrong_value", "another word"),
            (json!({"to_fields": {"id": "ops"}}), "wrong_value", "one recipient outside an array"),
            (json!({"from_field": {"id": 1}}), "wrong_value", "an id that is a number"),
            (json!({"close": "true"}), "wrong_value", "a flag as text"),
            (file(json!("a.csv"), json!("YQ==")), "taken", "a file"),
            (file(json!("a.csv"), json!("YQ")), "wrong_value", "broken base64"),
            (file(json!(""), json!("YQ==")), "wrong_value", "no file name"),
            (json!({"attachments": [{"filename": "a"}]}), "wrong_value", "no content"),
        ];
        for (changes, expected, sentence) in rows {
            assert_eq!(name(judge(Text, &changes)), expected, "{sentence}");
        }
    }

    #[test]
    fn some_fields_need_another() {
        let rows = [
            (json!({"add_users": ["u"]}), "needs_another_field", "users without an organization"),
            (json!({"add_users": ["u"], "organization": ID}), "taken", "users with one"),
            (json!({"add_assignees": ["u"]}), "needs_another_field", "assignees"),
            (json!({"remove_assignees": ["u"]}), "needs_another_field", "removed assignees"),
            (json!({"add_shared_labels": ["l"]}), "needs_another_field", "labels"),
            (json!({"remove_shared_labels": ["l"]}), "needs_another_field", "removed labels"),
            (json!({"add_to_inbox": true}), "taken", "the inbox needs nothing"),
            (json!({"add_to_team_inbox": true}), "needs_another_field", "a team inbox needs its team"),
            (json!({"add_to_team_inbox": true, "team": ID}), "taken", "and has it"),
        ];
        for (changes, expected, sentence) in rows {
            assert_eq!(name(judge(Text, &changes)), expected, "{sentence}");
        }
    }

    #[test]
    fn required_fields_are_required() {
        for (missing, expected) in [
            ("account", "missing_field"),
            ("from_field", "missing_field"),
            ("to_fields", "missing_field"),
            ("body", "taken"),
        ] {
            let mut object = base(Text);
            object.remove(missing);
            let judged = message(object, MessageRules::new(Text, &Switches::default()));
            assert_eq!(name(judged), expected, "without {missing}");
        }
    }

    #[test]
    fn switches_soften_what_is_only_assumed() {
        let rules = MessageRules { kind: Html, refuse_html_subject: false, require_people: false };
        let mut object = base(Html);
        object.remove("from_field");
        object.insert("subject".into(), json!("s"));
        assert_eq!(name(message(object, rules)), "taken");
    }
}
