//! Missive's words: what a request body looks like for each channel type, what its limits are, and what an answer means.
//!
//! Pure. Bodies are built here and posted by `shell::courier`; answers are judged here and acted on by [`crate::lane`].

pub mod answer;
mod body;
pub mod markup;
mod routing_key;

use jiff::tz::TimeZone;
use serde::Deserialize;
use uuid::Uuid;

pub use answer::{Addressed, Answer, Verdict};
pub use body::{Attachment, Colour, Content, MESSAGES_PATH, Message, NoColour, Posting, Repeat};
pub use body::{cut_with, messages_of, with_note};
pub use routing_key::RoutingKey;

/// What a channel shows, fixed in Missive when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelType {
    Text,
    Html,
    Email,
}

impl ChannelType {
    /// Whether a message can be found again by its `external_id`: emails have none.
    pub const fn has_external_id(self) -> bool {
        match self {
            Self::Text | Self::Html => true,
            Self::Email => false,
        }
    }
}

/// What only emails have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// The address that messages are from.
    pub from: Box<str>,
    pub cc: Box<[Contact]>,
    pub bcc: Box<[Contact]>,
}

/// A person or system as a channel names it. For `email`, `id` is the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub id: Box<str>,
    pub username: Box<str>,
    pub name: Box<str>,
}

/// One Missive custom channel, as messages to it need it.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its key in the config; part of metrics labels and references.
    pub name: Box<str>,
    /// The channel's id in Missive.
    pub account: Uuid,
    /// What that id is sent as: `account`, as far as is known.
    pub account_key: Box<str>,
    pub kind: ChannelType,
    /// Whom messages are addressed to (`to_fields`).
    pub recipient: Contact,
    pub mail: Mail,
    pub organization: Option<Uuid>,
    pub team: Option<Uuid>,
    /// The longest body in characters; longer ones are cut and say so.
    pub body_chars_max: usize,
    /// The zone in which messages tell times.
    pub time_zone: TimeZone,
}

/// An API token. Redacted in `Debug`, wiped on drop.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Token(String);

impl Token {
    /// Surrounding white space is not part of a token; an empty one, or one with a byte that can't stand in a header, is
    /// none.
    pub fn parse(text: &str) -> Option<Self> {
        let token = text.trim();
        let fit = !token.is_empty() && token.len() <= 512 && token.bytes().all(|byte| byte.is_ascii_graphic());
        fit.then(|| Self(token.to_owned()))
    }

    /// The token itself, for the `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(redacted)")
    }
}
