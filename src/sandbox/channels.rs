//! The custom channels that the sandbox knows: id, message type, recipient, and where their webhooks go.
//!
//! At most [`CHANNELS_MAX`]; an account nobody declared is refused, unless a switch gives it a type.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

/// How many aliases a channel can have.
pub const ALIASES_MAX: usize = 32;

/// How many channels can be declared.
pub const CHANNELS_MAX: usize = 10_000;

/// A channel's message type, chosen when it is made and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelType {
    Text,
    Html,
    Email,
}

/// A text that never shows itself.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

/// Where a channel's webhooks go, and what they are signed with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// An `http://` address with a host.
    pub url: String,
    /// Without one, webhooks go out unsigned, as Missive sends them for a channel without a secret.
    #[serde(default)]
    pub secret: Option<Secret>,
}

/// The identity that people in Missive answer as: the channel's recipient.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    pub id: String,
    pub name: String,
    pub username: String,
}

/// What people may do in a channel: the settings of that name in Missive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    pub new_messages: bool,
    pub replies: bool,
    pub editing_recipients: bool,
}

/// One custom channel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The channel's UUID.
    pub account: String,
    #[serde(rename = "type")]
    pub kind: ChannelType,
    #[serde(default)]
    pub recipient: Recipient,
    /// Further identities that people can answer as; at most [`ALIASES_MAX`].
    #[serde(default)]
    pub aliases: Vec<Recipient>,
    #[serde(default)]
    pub allowed: Allowed,
    #[serde(default)]
    pub webhook: Option<Webhook>,
}

/// Why a channel can't be declared.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ChannelError {
    #[error("account {0:?} is not a UUID")]
    Account(String),
    #[error("webhook {0:?} is not an http:// address with a host")]
    Url(String),
    #[error("there are {CHANNELS_MAX} channels already")]
    TooMany,
    #[error("a channel has at most {ALIASES_MAX} aliases")]
    Aliases,
    #[error("{0:?} is no channel type: text, html or email")]
    Type(String),
}

/// All declared channels.
#[derive(Debug, Default)]
pub struct Channels {
    by_account: BTreeMap<String, Channel>,
    revision: u64,
}

impl Channels {
    /// Adds a channel, or replaces the one with this account.
    pub fn declare(&mut self, channel: Channel) -> Result<(), ChannelError> {
        if Uuid::parse_str(&channel.account).is_err() {
            return Err(ChannelError::Account(channel.account));
        }
        if let Some(webhook) = &channel.webhook {
            webhook.check()?;
        }
        if channel.aliases.len() > ALIASES_MAX {
            return Err(ChannelError::Aliases);
        }
        let account = channel.account.to_ascii_lowercase();
        if self.by_account.len() >= CHANNELS_MAX && !self.by_account.contains_key(&account) {
            return Err(ChannelError::TooMany);
        }
        self.by_account.insert(account, channel);
        self.revision += 1;
        Ok(())
    }

    /// The channel with this account.
    pub fn get(&self, account: &str) -> Option<&Channel> {
        self.by_account.get(&account.to_ascii_lowercase())
    }

    /// All of them, by account.
    pub fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.by_account.values()
    }

    /// Grows with every declaration.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl Channel {
    /// A channel with the default recipient and no webhook.
    pub fn new(account: impl Into<String>, kind: ChannelType) -> Self {
        Self {
            account: account.into(),
            kind,
            recipient: Recipient::default(),
            aliases: Vec::new(),
            allowed: Allowed::default(),
            webhook: None,
        }
    }

    /// The identity with this id: the recipient or one of the aliases.
    pub fn identity(&self, id: &str) -> Option<&Recipient> {
        std::iter::once(&self.recipient).chain(&self.aliases).find(|identity| identity.id == id)
    }

    /// The same channel, with its webhooks going to `url`, signed with `secret`.
    #[must_use]
    pub fn with_webhook(mut self, url: impl Into<String>, secret: Secret) -> Self {
        self.webhook = Some(Webhook { url: url.into(), secret: Some(secret) });
        self
    }
}

impl Webhook {
    fn check(&self) -> Result<(), ChannelError> {
        let wrong = || ChannelError::Url(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| wrong())?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(_)) => Ok(()),
            _ => Err(wrong()),
        }
    }
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for signing.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

impl Default for Allowed {
    fn default() -> Self {
        Self { new_messages: true, replies: true, editing_recipients: true }
    }
}

impl Default for Recipient {
    fn default() -> Self {
        Self { id: "ops".into(), name: "Ops".into(), username: "ops".into() }
    }
}

impl ChannelType {
    /// `text`, `html` or `email`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::Email => "email",
        }
    }

    /// The `type` of this channel's messages in webhooks and lists.
    pub fn message_type(self) -> &'static str {
        match self {
            Self::Text => "custom_text",
            Self::Html => "custom_html",
            Self::Email => "custom_email",
        }
    }
}

impl FromStr for ChannelType {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        match text {
            "text" => Ok(Self::Text),
            "html" => Ok(Self::Html),
            "email" => Ok(Self::Email),
            other => Err(ChannelError::Type(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "11111111-2222-4333-8444-55555555abcd";

    #[test]
    fn what_can_be_declared() {
        let hook = |url: &str| Channel::new(ACCOUNT, ChannelType::Text).with_webhook(url, Secret::new("s"));
        let rows = [
            (Channel::new(ACCOUNT, ChannelType::Html), true, "a UUID and a type are enough"),
            (Channel::new("ops", ChannelType::Html), false, "an account is a UUID"),
            (hook("http://127.0.0.1:8080/hooks/ops"), true, "a plain address"),
            (hook("https://example.com/"), false, "no TLS towards webhooks"),
            (hook("/hooks/ops"), false, "an address needs a host"),
        ];
        for (channel, accepted, sentence) in rows {
            assert_eq!(Channels::default().declare(channel).is_ok(), accepted, "{sentence}");
        }
    }

    #[test]
    fn an_account_is_found_in_any_case() {
        let mut channels = Channels::default();
        channels.declare(Channel::new(ACCOUNT, ChannelType::Text)).expect("a UUID");
        assert!(channels.get(&ACCOUNT.to_uppercase()).is_some());
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let channel = Channel::new(ACCOUNT, ChannelType::Text).with_webhook("http://h/", Secret::new("hush-hush"));
        assert!(!format!("{channel:?}").contains("hush"));
    }
}
