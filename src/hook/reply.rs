//! A reply as it stands on the replies topic: one JSON object, keyed by routing key.
//!
//! The key is what Missive echoes of what we sent (`to_fields[0].id`), so all replies to one conversation of ours are in one
//! partition, in order; without it, `conversation:<id>`. The format is public: names only get added, `missived-version` counts
//! the changes that aren't additions. Absent texts are `null`, absent lists empty. `docs/replies.md` describes it, and a test
//! holds the two together.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::plain::plain;
use super::quoted::quote;
use super::said::Part;
use crate::event::Timestamp;
use crate::missive::{ChannelType, RoutingKey};

/// The version of the JSON, as the header `missived-version` tells it.
pub const VERSION: &str = "1";

/// How a key begins that stands for a conversation of Missive's instead of one of ours.
pub const BY_CONVERSATION: &str = "conversation:";

/// Room for what a record says besides its texts; it grows where that isn't enough.
const AROUND_TEXTS_BYTES: usize = 1_024;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person began a conversation.
    New,
    /// A person answered.
    Reply,
    /// A person answered a roll-up.
    Rollup,
    /// A rule of Missive's fired.
    Rule,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reply => "reply",
            Self::Rollup => "rollup",
            Self::Rule => "rule",
        }
    }
}

/// One record of the replies topic; it borrows from the webhook.
#[derive(Clone, Debug)]
pub struct ReplyRecord<'b> {
    pub kind: Kind,
    /// The channel whose door it came through.
    pub channel: &'b str,
    /// None only for a rule about a conversation as a whole.
    pub message_id: Option<&'b str>,
    /// As Missive sent it.
    pub body: Option<&'b str>,
    /// What `body` is written in.
    pub written_in: ChannelType,
    /// The Missive user.
    pub author: Author<'b>,
    /// The sender identity that was chosen (`from_field`), as Missive writes it.
    pub alias: Part<'b>,
    /// The customers (`to_fields`), as Missive writes them.
    pub recipients: Part<'b>,
    pub conversation: Conversation<'b>,
    /// As Missive writes them; their URLs expire.
    pub attachments: Part<'b>,
    /// Where it belongs; the Kafka key.
    pub routing_key: Option<Cow<'b, str>>,
    pub times: Times,
    /// For [`Kind::Rule`].
    pub rule: Option<Rule<'b>>,
}

/// Missive's times in Unix seconds, and ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub delivered_at: Option<i64>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub received_at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Author<'b> {
    pub id: Option<&'b str>,
    pub email: Option<&'b str>,
    pub name: Option<&'b str>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Conversation<'b> {
    pub id: Option<&'b str>,
    pub subject: Option<&'b str>,
    pub web_url: Option<&'b str>,
    /// Its shared labels, where Missive tells them.
    #[serde(serialize_with = "names")]
    pub labels: Part<'b>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rule<'b> {
    pub id: Option<&'b str>,
    pub description: Option<&'b str>,
    /// Passed through as it is: Missive renames them.
    #[serde(rename = "type")]
    pub kind: Option<&'b str>,
}

#[derive(Serialize)]
struct Label<'b> {
    id: Option<&'b str>,
    name: Option<&'b str>,
}

/// All but the texts.
#[derive(Serialize)]
struct Json<'a> {
    kind: Kind,
    channel: &'a str,
    message_id: Option<&'a str>,
    author: Author<'a>,
    alias: Part<'a>,
    #[serde(serialize_with = "listed")]
    recipients: Part<'a>,
    conversation: Conversation<'a>,
    #[serde(serialize_with = "listed")]
    attachments: Part<'a>,
    routing_key: Option<&'a str>,
    route: Option<&'a str>,
    entity: Option<&'a str>,
    delivered_at: Option<i64>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    received_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule<'a>>,
}

impl ReplyRecord<'_> {
    /// The Kafka key; without one, records spread.
    pub fn key(&self) -> Option<&str> {
        self.routing_key.as_deref()
    }

    /// The routing key if it is one of ours.
    pub fn own_key(&self) -> Option<&str> {
        self.key().filter(|key| !key.starts_with(BY_CONVERSATION) && RoutingKey::route(key).is_some())
    }

    /// The Kafka headers.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fixed = [
            ("content-type", "application/json"),
            ("missived-version", VERSION),
            ("missived-channel", self.channel),
            ("missived-kind", self.kind.as_str()),
        ];
        fixed.into_iter().chain(self.message_id.map(|id| ("missived-message-id", id)))
    }

    /// The Kafka value; with `raw`, the webhook as Missive wrote it.
    pub fn to_json(&self, raw: Option<&str>) -> Vec<u8> {
        let own = self.own_key().and_then(|key| key.split_once('/'));
        let json = Json {
            kind: self.kind,
            channel: self.channel,
            message_id: self.message_id,
            author: self.author,
            alias: self.alias,
            recipients: self.recipients,
            conversation: self.conversation,
            attachments: self.attachments,
            routing_key: self.key(),
            route: own.map(|(route, _)| route),
            entity: own.map(|(_, entity)| entity),
            delivered_at: self.times.delivered_at,
            created_at: self.times.created_at,
            updated_at: self.times.updated_at,
            received_at_ms: self.times.received_at.as_millis(),
            rule: self.rule,
        };
        let (text, html) = self.texts();
        let texts = [("body", self.body), ("text", text.as_deref()), ("html", html)];
        let texts = texts.into_iter().chain(raw.map(|raw| ("raw", Some(raw))));
        let bytes: usize = texts.clone().map(|(_, text)| text.map_or(0, str::len)).sum();
        let mut value = Vec::with_capacity(AROUND_TEXTS_BYTES + bytes);
        serde_json::to_writer(&mut value, &json).expect("texts, numbers and JSON values can always be written");
        // The object goes on.
        value.pop();
        texts.for_each(|(name, text)| append(&mut value, name, text));
        value.push(b'}');
        value
    }

    fn texts(&self) -> (Option<Cow<'_, str>>, Option<&str>) {
        let body = self.body;
        match self.written_in {
            ChannelType::Text => (body.map(Cow::Borrowed), None),
            ChannelType::Html | ChannelType::Email => (body.map(|html| Cow::Owned(plain(html))), body),
        }
    }
}

/// One more member of an object that has some.
fn append(object: &mut Vec<u8>, name: &str, text: Option<&str>) {
    object.push(b',');
    quote(object, name);
    object.push(b':');
    match text {
        Some(text) => quote(object, text),
        None => object.extend_from_slice(b"null"),
    }
}

/// Its items; no list is an empty one.
fn listed<S: Serializer>(list: &Part<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.each())
}

fn names<S: Serializer>(labels: &Part<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer
        .collect_seq(labels.each().map(|label| Label { id: label.at("id").text(), name: label.at("name").text() }))
}
