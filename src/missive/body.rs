//! Request bodies of `POST /v1/messages`, for each channel type.
//!
//! Source: Missive's API reference. Only documented keys are sent; `from_field` and `to_fields` always are; `subject` never is
//! on a text channel (Missive refuses it). The sender's id is the routing key, because a reply echoes it as its recipient.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Addressed, Channel, Contact};

/// The path messages are posted to.
pub const MESSAGES_PATH: &str = "/v1/messages";

/// The path that a conversation's newest messages are asked for at. The id is one that Missive gave.
pub fn messages_of(conversation: &str) -> String {
    format!("/v1/conversations/{conversation}/messages")
}

/// The title of a conversation, in characters; longer ones are cut.
const SUBJECT_CHARS_MAX: usize = 200;

/// The name of a sender, in characters.
const NAME_CHARS_MAX: usize = 80;

/// What a message says at its end when an earlier attempt at it may have been taken.
const MAY_REPEAT: &str = "\n(may repeat an earlier message)";

/// Colours that Missive knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    Good,
    Warning,
    Danger,
}

/// One message, rendered but not yet addressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Ours, and unique for ever.
    pub external_id: Box<str>,
    /// What threads it into its conversation.
    pub reference: Box<str>,
    /// Finds its way back with a reply.
    pub routing_key: Box<str>,
    /// Who speaks.
    pub sender: Box<str>,
    pub subject: Box<str>,
    pub body: Box<str>,
    pub colour: Option<Colour>,
    /// Everything it was about is over: the conversation is closed with this message.
    pub close: bool,
}

/// May Missive have this message already?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    No,
    /// An earlier attempt may have been taken; the message says so.
    May,
}

impl Message {
    /// How many characters of a body a channel shows; longer ones are cut.
    pub fn room(channel: &Channel) -> usize {
        channel.body_chars_max.saturating_sub(MAY_REPEAT.chars().count())
    }

    /// The request body, and how it names its conversation.
    pub fn request(&self, channel: &Channel, conversation: Option<&str>, repeat: Repeat) -> (Vec<u8>, Addressed) {
        let conversation = conversation.and_then(|id| Uuid::try_parse(id).ok());
        let recipient = Party::of(&channel.recipient);
        // Room for the note is kept in any case, so that a repeat is cut where its first attempt was.
        let words = capped(&self.body, Self::room(channel));
        let body = match repeat {
            Repeat::No => words,
            Repeat::May => words + MAY_REPEAT,
        };
        let envelope = Envelope {
            messages: Fields {
                account: channel.account,
                from_field: Party {
                    id: &self.routing_key,
                    username: prefix(&self.sender, NAME_CHARS_MAX),
                    name: prefix(&self.sender, NAME_CHARS_MAX),
                },
                to_fields: [recipient],
                body: &body,
                external_id: &self.external_id,
                references: [&self.reference],
                conversation,
                conversation_subject: prefix(&self.subject, SUBJECT_CHARS_MAX),
                conversation_color: self.colour,
                close: self.close,
                organization: channel.organization,
                team: channel.team,
            },
        };
        let bytes = serde_json::to_vec(&envelope).expect("strings and ids always serialise");
        (bytes, if conversation.is_some() { Addressed::ById } else { Addressed::ByReference })
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    messages: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    account: Uuid,
    from_field: Party<'a>,
    to_fields: [Party<'a>; 1],
    body: &'a str,
    external_id: &'a str,
    references: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Uuid>,
    #[serde(skip_serializing_if = "str::is_empty")]
    conversation_subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_color: Option<Colour>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    close: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<Uuid>,
}

#[derive(Serialize)]
struct Party<'a> {
    id: &'a str,
    username: &'a str,
    name: &'a str,
}

impl<'a> Party<'a> {
    fn of(contact: &'a Contact) -> Self {
        Self { id: &contact.id, username: &contact.username, name: &contact.name }
    }
}

/// At most `chars_max` characters; what is left out is said at the end.
fn capped(text: &str, chars_max: usize) -> String {
    let chars = text.chars().count();
    if chars <= chars_max {
        return text.to_owned();
    }
    let note = format!("\n… {chars} characters in all, cut here");
    let kept = prefix(text, chars_max.saturating_sub(note.chars().count()));
    prefix(&format!("{kept}{note}"), chars_max).to_owned()
}

/// The first `chars_max` characters.
fn prefix(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::ChannelType;
    use super::*;

    fn channel(body_chars_max: usize) -> Channel {
        Channel {
            name: "ops".into(),
            account: "11111111-2222-4333-8444-555555555555".parse().expect("a UUID"),
            kind: ChannelType::Text,
            recipient: Contact { id: "ops".into(), username: "ops".into(), name: "Ops".into() },
            organization: None,
            team: None,
            body_chars_max,
            time_zone: TimeZone::UTC,
        }
    }

    fn message(body: &str) -> Message {
        Message {
            external_id: "x:1".into(),
            reference: "x".into(),
            routing_key: "alerts/k".into(),
            sender: "payments".into(),
            subject: "lag".into(),
            body: body.into(),
            colour: Some(Colour::Danger),
            close: false,
        }
    }

    #[test]
    fn a_text_body_has_the_documented_shape_and_nothing_else() {
        let (bytes, addressed) = message("hello").request(&channel(100), None, Repeat::No);
        let found: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let wanted = serde_json::json!({"messages": {
            "account": "11111111-2222-4333-8444-555555555555",
            "from_field": {"id": "alerts/k", "username": "payments", "name": "payments"},
            "to_fields": [{"id": "ops", "username": "ops", "name": "Ops"}],
            "body": "hello", "external_id": "x:1", "references": ["x"],
            "conversation_subject": "lag", "conversation_color": "danger"}});
        assert_eq!((found, addressed), (wanted, Addressed::ByReference));
    }

    #[test]
    fn a_known_conversation_is_named_and_a_made_up_one_is_not() {
        let id = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
        assert_eq!(message("x").request(&channel(100), Some(id), Repeat::No).1, Addressed::ById);
        assert_eq!(message("x").request(&channel(100), Some("nonsense"), Repeat::No).1, Addressed::ByReference);
    }

    #[test]
    fn a_body_never_exceeds_the_cap_and_says_that_it_was_cut() {
        let note = MAY_REPEAT.chars().count();
        for (chars, cap) in [(10, 100), (100 - note, 100), (101 - note, 100), (5_000, 100), (50, 5 + note)] {
            let (bytes, _) = message(&"é".repeat(chars)).request(&channel(cap), None, Repeat::No);
            let found: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            let body = found["messages"]["body"].as_str().expect("a body");
            assert!(body.chars().count() <= cap, "{chars} {cap}");
            assert_eq!(body.contains("cut here"), chars > cap - note && cap == 100, "{chars} {cap}");
        }
    }

    #[test]
    fn a_message_that_may_repeat_says_so() {
        for chars in [1, 99, 100, 5_000] {
            let (bytes, _) = message(&"x".repeat(chars)).request(&channel(100), None, Repeat::May);
            let found: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            let body = found["messages"]["body"].as_str().expect("a body");
            assert!(body.ends_with("(may repeat an earlier message)"), "{chars}: {body}");
            assert!(body.chars().count() <= 100, "{chars}");
        }
    }
}
