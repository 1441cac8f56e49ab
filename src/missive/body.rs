//! Request bodies of `POST /v1/messages`, for each channel type.
//!
//! Source: Missive's API reference. Only documented keys are sent; `from_field` and `to_fields` always are. What differs: a
//! text channel shows its body as it stands, html and email show markup; `subject` and addresses are for email alone, which
//! has no `external_id`. On text and html channels the sender's id is the routing key, because a reply echoes it as its
//! recipient; email channels have no replies that we hear of. A body never has more characters than its channel shows, and is
//! never cut inside a tag or an entity.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Addressed, Channel, ChannelType, Contact, markup};

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
const MAY_REPEAT_HTML: &str = "<p>(may repeat an earlier message)</p>";

/// The colour of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colour {
    Good,
    Warning,
    Danger,
    Rgb([u8; 3]),
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Warning => f.write_str("warning"),
            Self::Danger => f.write_str("danger"),
            Self::Rgb([red, green, blue]) => write!(f, "#{red:02x}{green:02x}{blue:02x}"),
        }
    }
}

/// What is no colour that Missive knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not good, warning, danger or HEX such as #c0ffee")]
pub struct NoColour;

impl FromStr for Colour {
    type Err = NoColour;

    fn from_str(text: &str) -> Result<Self, NoColour> {
        match text {
            "good" => return Ok(Self::Good),
            "warning" => return Ok(Self::Warning),
            "danger" => return Ok(Self::Danger),
            _ => {}
        }
        let digits = text.strip_prefix('#').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digits = digits.ok_or(NoColour)?;
        let whole = match digits.len() {
            3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
            6 => digits.to_owned(),
            _ => return Err(NoColour),
        };
        let bits = u32::from_str_radix(&whole, 16).map_err(|_| NoColour)?;
        let [_, red, green, blue] = bits.to_be_bytes();
        Ok(Self::Rgb([red, green, blue]))
    }
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
    /// Plain for text channels, markup for the others.
    pub body: Box<str>,
    pub colour: Option<Colour>,
    /// Everything it was about is over: the conversation is closed with this message.
    pub close: bool,
    /// Shared labels that its words ask for.
    pub labels: Vec<Uuid>,
    pub attachments: Vec<Attachment>,
    /// Unix seconds; none: when Missive gets it.
    pub delivered_at: Option<u64>,
}

/// A file that goes along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub name: Box<str>,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Valid base64, as it is sent.
    Base64(Box<str>),
    Text(Box<str>),
}

impl Content {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Base64(content) | Self::Text(content) => content.len(),
        }
    }

    fn base64(&self) -> Cow<'_, str> {
        match self {
            Self::Base64(content) => Cow::Borrowed(content),
            Self::Text(content) => Cow::Owned(STANDARD.encode(content.as_bytes())),
        }
    }
}

/// What a route asks of Missive besides words; the same for all its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posting {
    /// Instead of the channel's recipient: one of its aliases.
    pub recipient: Option<Contact>,
    /// Instead of the channel's; only email.
    pub cc: Box<[Contact]>,
    pub bcc: Box<[Contact]>,
    /// Instead of the channel's.
    pub team: Option<Uuid>,
    pub force_team: bool,
    pub add_users: Box<[Uuid]>,
    pub add_assignees: Box<[Uuid]>,
    pub remove_assignees: Box<[Uuid]>,
    pub add_labels: Box<[Uuid]>,
    pub remove_labels: Box<[Uuid]>,
    pub add_to_inbox: bool,
    pub add_to_team_inbox: bool,
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
        channel.body_chars_max.saturating_sub(may_repeat(channel.kind).chars().count())
    }

    /// The request body, and how it names its conversation.
    pub fn request(
        &self,
        channel: &Channel,
        posting: &Posting,
        conversation: Option<&str>,
        repeat: Repeat,
    ) -> (Vec<u8>, Addressed) {
        let conversation = conversation.and_then(|id| Uuid::try_parse(id).ok());
        let mut fields = Map::new();
        self.say(&mut fields, channel, repeat);
        self.address(&mut fields, channel, posting);
        self.thread(&mut fields, channel.kind, conversation);
        self.sort_in(&mut fields, channel, posting);
        let bytes = serde_json::to_vec(&json!({ "messages": fields })).expect("strings and ids always serialise");
        (bytes, if conversation.is_some() { Addressed::ById } else { Addressed::ByReference })
    }

    fn say(&self, fields: &mut Map<String, Value>, channel: &Channel, repeat: Repeat) {
        // Room for the note is kept in any case, so that a repeat is cut where its first attempt was.
        let words = match channel.kind {
            ChannelType::Text => capped(&self.body, Self::room(channel)),
            ChannelType::Html | ChannelType::Email => capped_html(&self.body, Self::room(channel)),
        };
        let body = match repeat {
            Repeat::No => words,
            Repeat::May => words + may_repeat(channel.kind),
        };
        fields.insert("body".to_owned(), body.into());
        if !self.attachments.is_empty() {
            let file = |file: &Attachment| json!({ "filename": file.name, "base64_data": file.content.base64() });
            fields.insert("attachments".to_owned(), self.attachments.iter().map(file).collect());
        }
        if let Some(at) = self.delivered_at {
            fields.insert("delivered_at".to_owned(), at.into());
        }
    }

    fn address(&self, fields: &mut Map<String, Value>, channel: &Channel, posting: &Posting) {
        let sender = prefix(&self.sender, NAME_CHARS_MAX);
        let recipient = posting.recipient.as_ref().unwrap_or(&channel.recipient);
        fields.insert(channel.account_key.to_string(), channel.account.to_string().into());
        let (from, to) = match channel.kind {
            ChannelType::Text | ChannelType::Html => {
                (json!({ "id": self.routing_key, "username": sender, "name": sender }), recipient.handle())
            }
            ChannelType::Email => (json!({ "address": channel.mail.from, "name": sender }), recipient.mailbox()),
        };
        fields.insert("from_field".to_owned(), from);
        fields.insert("to_fields".to_owned(), json!([to]));
        if channel.kind == ChannelType::Email {
            let copies =
                [("cc_fields", &posting.cc, &channel.mail.cc), ("bcc_fields", &posting.bcc, &channel.mail.bcc)];
            for (key, own, usual) in copies {
                let copies = if own.is_empty() { usual } else { own };
                set(fields, key, copies.iter().map(Contact::mailbox).collect());
            }
        }
    }

    fn thread(&self, fields: &mut Map<String, Value>, kind: ChannelType, conversation: Option<Uuid>) {
        let subject = prefix(&self.subject, SUBJECT_CHARS_MAX);
        match kind {
            ChannelType::Text | ChannelType::Html => {
                fields.insert("external_id".to_owned(), (*self.external_id).into());
            }
            ChannelType::Email => {
                fields.insert("subject".to_owned(), subject.into());
            }
        }
        fields.insert("references".to_owned(), json!([self.reference]));
        if let Some(conversation) = conversation {
            fields.insert("conversation".to_owned(), conversation.to_string().into());
        }
        if !subject.is_empty() {
            fields.insert("conversation_subject".to_owned(), subject.into());
        }
        if let Some(colour) = self.colour {
            fields.insert("conversation_color".to_owned(), colour.to_string().into());
        }
    }

    fn sort_in(&self, fields: &mut Map<String, Value>, channel: &Channel, posting: &Posting) {
        let ids = |ids: &[Uuid]| ids.iter().map(|id| Value::from(id.to_string())).collect::<Vec<_>>();
        let mut labels = posting.add_labels.to_vec();
        labels.extend(self.labels.iter().filter(|label| !posting.add_labels.contains(label)));
        let lists = [
            ("add_users", &*posting.add_users),
            ("add_assignees", &posting.add_assignees),
            ("remove_assignees", &posting.remove_assignees),
            ("add_shared_labels", &labels),
            ("remove_shared_labels", &posting.remove_labels),
        ];
        // All of these need the organization; the config sees to it.
        for (key, listed) in lists.into_iter().filter(|_| channel.organization.is_some()) {
            set(fields, key, ids(listed));
        }
        let team = posting.team.or(channel.team);
        let places = [("organization", channel.organization), ("team", team)];
        for (key, id) in places.into_iter().filter_map(|(key, id)| Some((key, id?))) {
            fields.insert(key.to_owned(), id.to_string().into());
        }
        let flags = [
            ("close", self.close),
            ("force_team", posting.force_team && team.is_some()),
            ("add_to_inbox", posting.add_to_inbox),
            ("add_to_team_inbox", posting.add_to_team_inbox && team.is_some()),
        ];
        for (key, _) in flags.into_iter().filter(|(_, set)| *set) {
            fields.insert(key.to_owned(), true.into());
        }
    }
}

impl Contact {
    fn handle(&self) -> Value {
        json!({ "id": self.id, "username": self.username, "name": self.name })
    }

    fn mailbox(&self) -> Value {
        json!({ "address": self.id, "name": self.name })
    }
}

/// A body with a note at its end, of which at most `chars_max` characters are left.
pub fn with_note(body: &str, kind: ChannelType, chars_max: usize, note: &str) -> String {
    let note = as_note(kind, note);
    let room = chars_max.saturating_sub(note.chars().count());
    let body = match kind {
        ChannelType::Text => capped(body, room),
        ChannelType::Html | ChannelType::Email => capped_html(body, room),
    };
    body + &note
}

/// The beginning of a body, and a note behind it that says where the rest is.
pub fn cut_with(body: &str, kind: ChannelType, chars_max: usize, note: &str) -> String {
    let note = as_note(kind, note);
    match kind {
        ChannelType::Text => prefix(body, chars_max.saturating_sub(note.chars().count())).to_owned() + &note,
        ChannelType::Html | ChannelType::Email => markup::clipped(body, chars_max, &note),
    }
}

fn as_note(kind: ChannelType, note: &str) -> String {
    match kind {
        ChannelType::Text => format!("\n{note}"),
        ChannelType::Html | ChannelType::Email => format!("<p>{}</p>", markup::escaped(note)),
    }
}

/// An empty list is not sent.
fn set(fields: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        fields.insert(key.to_owned(), list.into());
    }
}

const fn may_repeat(kind: ChannelType) -> &'static str {
    match kind {
        ChannelType::Text => MAY_REPEAT,
        ChannelType::Html | ChannelType::Email => MAY_REPEAT_HTML,
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

fn capped_html(html: &str, chars_max: usize) -> String {
    let note = format!("<p>… {} characters in all, cut here</p>", html.chars().count());
    markup::clipped(html, chars_max, &note)
}

/// The first `chars_max` characters.
fn prefix(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::Mail;
    use super::*;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

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
            account_key: "account".into(),
            mail: Mail::default(),
        }
    }

    fn request(message: &Message, channel: &Channel, posting: &Posting, repeat: Repeat) -> Value {
        let (bytes, _) = message.request(channel, posting, None, repeat);
        serde_json::from_slice::<Value>(&bytes).expect("JSON")["messages"].take()
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
            labels: Vec::new(),
            attachments: Vec::new(),
            delivered_at: None,
        }
    }

    #[test]
    fn a_text_body_has_the_documented_shape_and_nothing_else() {
        let (bytes, addressed) = message("hello").request(&channel(100), &Posting::default(), None, Repeat::No);
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
        assert_eq!(message("x").request(&channel(100), &Posting::default(), Some(id), Repeat::No).1, Addressed::ById);
        assert_eq!(
            message("x").request(&channel(100), &Posting::default(), Some("nonsense"), Repeat::No).1,
            Addressed::ByReference
        );
    }

    #[test]
    fn a_body_never_exceeds_the_cap_and_says_that_it_was_cut() {
        let note = MAY_REPEAT.chars().count();
        for (chars, cap) in [(10, 100), (100 - note, 100), (101 - note, 100), (5_000, 100), (50, 5 + note)] {
            let (bytes, _) = message(&"é".repeat(chars)).request(&channel(cap), &Posting::default(), None, Repeat::No);
            let found: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            let body = found["messages"]["body"].as_str().expect("a body");
            assert!(body.chars().count() <= cap, "{chars} {cap}");
            assert_eq!(body.contains("cut here"), chars > cap - note && cap == 100, "{chars} {cap}");
        }
    }

    #[test]
    fn a_message_that_may_repeat_says_so() {
        for chars in [1, 99, 100, 5_000] {
            let (bytes, _) = message(&"x".repeat(chars)).request(&channel(100), &Posting::default(), None, Repeat::May);
            let found: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            let body = found["messages"]["body"].as_str().expect("a body");
            assert!(body.ends_with("(may repeat an earlier message)"), "{chars}: {body}");
            assert!(body.chars().count() <= 100, "{chars}");
        }
    }

    #[test]
    fn an_email_has_addresses_and_a_subject_and_no_external_id() {
        let contact = |address: &str| Contact { id: address.into(), username: "".into(), name: "N".into() };
        let mail = Mail { from: "m@x.example".into(), cc: [contact("c@x.example")].into(), bcc: [].into() };
        let recipient = contact("to@x.example");
        let email = Channel { kind: ChannelType::Email, recipient, mail, ..channel(100) };
        let wanted = json!({
            "account": ID, "subject": "lag", "conversation_subject": "lag", "body": "<p>hello</p>",
            "from_field": {"address": "m@x.example", "name": "payments"},
            "to_fields": [{"address": "to@x.example", "name": "N"}],
            "cc_fields": [{"address": "c@x.example", "name": "N"}],
            "references": ["x"], "conversation_color": "danger"});
        assert_eq!(request(&message("<p>hello</p>"), &email, &Posting::default(), Repeat::No), wanted);
    }

    #[test]
    fn markup_is_cut_by_its_characters_and_stays_whole() {
        let html = Channel { kind: ChannelType::Html, ..channel(120) };
        let body = format!("<p>{}</p>", "é&amp;".repeat(500));
        for repeat in [Repeat::No, Repeat::May] {
            let found = request(&message(&body), &html, &Posting::default(), repeat);
            let body = found["body"].as_str().expect("a body");
            assert!(body.chars().count() <= 120 && body.contains("cut here</p>"), "{body}");
            assert!(body.starts_with("<p>é&amp;") && !body.contains("&am<"), "{body}");
            assert_eq!(body.ends_with("(may repeat an earlier message)</p>"), repeat == Repeat::May);
            assert!(found.get("subject").is_none());
        }
    }

    #[test]
    fn a_route_sorts_its_conversations_in_and_what_needs_an_organization_has_one() {
        let id: Uuid = ID.parse().expect("a UUID");
        let other = Uuid::from_u128(7);
        let posting = Posting {
            team: Some(other),
            force_team: true,
            add_labels: [id].into(),
            add_assignees: [id].into(),
            add_to_team_inbox: true,
            ..Posting::default()
        };
        let attachments = vec![
            Attachment { name: "a.txt".into(), content: Content::Text("é".into()) },
            Attachment { name: "b".into(), content: Content::Base64("YQ==".into()) },
        ];
        let message = Message { labels: vec![id, other], attachments, delivered_at: Some(7), ..message("x") };
        let key = Channel { account_key: "channel_id".into(), ..channel(100) };
        let without = request(&message, &key, &posting, Repeat::No);
        assert_eq!((without.get("add_shared_labels"), &without["channel_id"]), (None, &json!(ID)));
        let organization = Channel { organization: Some(id), team: Some(id), ..channel(100) };
        let found = request(&message, &organization, &posting, Repeat::No);
        let rows = [
            ("team", json!(other.to_string())),
            ("force_team", json!(true)),
            ("organization", json!(ID)),
            ("add_shared_labels", json!([ID, other.to_string()])),
            ("add_assignees", json!([ID])),
            ("add_to_team_inbox", json!(true)),
            ("delivered_at", json!(7)),
            (
                "attachments",
                json!([{"filename": "a.txt", "base64_data": "w6k="}, {"filename": "b", "base64_data": "YQ=="}]),
            ),
        ];
        for (key, value) in rows {
            assert_eq!(found[key], value, "{key}");
        }
    }

    #[test]
    fn colours_are_words_or_hex() {
        for text in ["good", "warning", "danger", "#c0ffee"] {
            assert_eq!(text.parse::<Colour>().map(|colour| colour.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("#0Af".parse::<Colour>(), Ok(Colour::Rgb([0, 0xaa, 0xff])));
        for text in ["", "red", "#12", "#12345g", "c0ffee", "#ééé"] {
            assert_eq!(text.parse::<Colour>(), Err(NoColour), "{text}");
        }
    }
}
