//! What Missive posts to us: the bodies of channel and rule webhooks, and their signature.
//!
//! Keys and their order are those of Missive's documentation. The signature is HMAC-SHA256 over exactly the bytes that are
//! sent, in lower case hex. Attachments of outgoing messages are never sent.

use std::fmt::Write as _;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::channels::{ChannelType, Secret};
use super::rules::{Attachment, Person};
use super::switches::{SignatureHeader, Switches};
use super::threads::{Author, Conversation, Message};

/// How a webhook is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    #[default]
    Right,
    /// Well formed, but made with another secret.
    Forged,
    /// No signature at all.
    Missing,
}

/// The rule that a rule webhook speaks for.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    pub id: String,
    pub description: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// A message as webhooks and lists show it.
#[derive(Debug, Clone, Serialize)]
pub struct MessageItem {
    pub id: String,
    pub preview: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub delivered_at: u64,
    pub updated_at: u64,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub references: Vec<Arc<str>>,
    pub body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Option<Arc<str>>>,
    pub attachments: Vec<Attachment>,
    pub from_field: Person,
    pub to_fields: Vec<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
}

/// A conversation as webhooks show it.
#[derive(Debug, Clone, Serialize)]
pub struct ConversationItem {
    pub id: Arc<str>,
    pub subject: Option<String>,
    pub latest_message_subject: Option<String>,
    pub organization: Option<String>,
    pub color: Option<String>,
    pub assignees: Vec<Named>,
    pub users: Vec<Named>,
    pub messages_count: u64,
    pub authors: Vec<Named>,
    pub shared_labels: Vec<Named>,
    pub web_url: String,
}

/// A label or a user; their name is not known here, so it is the id.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    pub id: String,
    pub name: String,
}

#[derive(Serialize)]
struct ChannelBody {
    message: MessageItem,
    conversation: ConversationItem,
}

#[derive(Serialize)]
struct RuleBody<'a> {
    rule: &'a Rule,
    conversation: ConversationItem,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_message: Option<MessageItem>,
}

const PREVIEW_CHARS_MAX: usize = 140;

/// The body of a channel's outgoing webhook.
pub fn channel_body(message: &Message, conversation: &Conversation) -> Vec<u8> {
    to_json(&ChannelBody { message: MessageItem::new(message), conversation: ConversationItem::new(conversation) })
}

/// The body of a rule's webhook.
pub fn rule_body(rule: &Rule, conversation: &Conversation, latest: Option<&Message>) -> Vec<u8> {
    let latest_message = latest.map(MessageItem::new);
    to_json(&RuleBody { rule, conversation: ConversationItem::new(conversation), latest_message })
}

/// The headers that carry the signature: none without a secret.
pub fn signature_headers(
    secret: Option<&Secret>,
    signing: Signing,
    switches: &Switches,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let digits = match (secret, signing) {
        (Some(secret), Signing::Right) => sign(secret.bytes(), body),
        (_, Signing::Forged) => sign(b"not the secret", body),
        (None, Signing::Right) | (_, Signing::Missing) => return Vec::new(),
    };
    let value = if switches.signature_prefix { format!("sha256={digits}") } else { digits };
    let names: &[&'static str] = match switches.signature_header {
        SignatureHeader::Hook => &["x-hook-signature"],
        SignatureHeader::Missive => &["x-missive-signature"],
        SignatureHeader::Both => &["x-hook-signature", "x-missive-signature"],
    };
    names.iter().map(|name| (*name, value.clone())).collect()
}

/// HMAC-SHA256 in lower case hex.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

/// Lower case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl MessageItem {
    /// The message with all that is kept of it.
    pub fn new(message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            preview: message.body.text.chars().take(PREVIEW_CHARS_MAX).collect(),
            kind: message.kind.map_or("post", ChannelType::message_type),
            delivered_at: message.delivered_at,
            updated_at: message.delivered_at,
            created_at: message.created_at,
            subject: message.subject.clone(),
            references: message.references.clone(),
            body: message.body.text.clone(),
            external_id: Some(message.external_id.clone()),
            attachments: message.attachments.clone(),
            from_field: message.from.clone(),
            to_fields: message.to.clone(),
            author: message.author.clone(),
        }
    }

    /// The same, without its `external_id`.
    #[must_use]
    pub fn without_external_id(mut self) -> Self {
        self.external_id = None;
        self
    }
}

impl ConversationItem {
    pub fn new(conversation: &Conversation) -> Self {
        let named = |ids: &std::collections::BTreeSet<String>| ids.iter().cloned().map(Named::new).collect();
        Self {
            id: conversation.id.clone(),
            subject: conversation.subject.clone(),
            latest_message_subject: conversation.subject.clone(),
            organization: None,
            color: conversation.color.clone(),
            assignees: named(&conversation.assignees),
            users: Vec::new(),
            messages_count: conversation.messages_count,
            authors: Vec::new(),
            shared_labels: named(&conversation.labels),
            web_url: format!("https://mail.missiveapp.com/#inbox/conversations/{}", conversation.id),
        }
    }
}

impl Named {
    fn new(id: String) -> Self {
        Self { name: id.clone(), id }
    }
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("these bodies hold only strings, numbers and lists")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"message":{"id":"m-1","type":"custom_text","body":"ack"},"conversation":{"id":"c-1"}}"#;
    const DIGITS: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    #[test]
    fn the_signature_is_the_published_vector() {
        assert_eq!(sign(b"s3cr3t", BODY), DIGITS);
    }

    #[test]
    fn switches_and_forgery_decide_the_headers() {
        let secret = Secret::new("s3cr3t");
        let headers = |secret: Option<&Secret>, signing: Signing, switch: &str| {
            let mut switches = Switches::default();
            switches.set_written(switch).expect(switch);
            signature_headers(secret, signing, &switches, BODY)
        };
        let prefixed = format!("sha256={DIGITS}");
        let rows = [
            (
                headers(Some(&secret), Signing::Right, "signature_prefix=true"),
                vec![("x-hook-signature", prefixed.clone())],
            ),
            (
                headers(Some(&secret), Signing::Right, "signature_prefix=false"),
                vec![("x-hook-signature", DIGITS.into())],
            ),
            (
                headers(Some(&secret), Signing::Right, "signature_header=both"),
                vec![("x-hook-signature", prefixed.clone()), ("x-missive-signature", prefixed)],
            ),
            (headers(Some(&secret), Signing::Missing, "signature_prefix=true"), vec![]),
            (headers(None, Signing::Right, "signature_prefix=true"), vec![]),
        ];
        for (made, expected) in rows {
            assert_eq!(made, expected);
        }
        let forged = headers(Some(&secret), Signing::Forged, "signature_prefix=false");
        assert!(forged[0].1.len() == 64 && forged[0].1 != DIGITS);
    }
}
