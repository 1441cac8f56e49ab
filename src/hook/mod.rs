//! What a webhook request must prove before a byte of its body is interpreted, and what it then says.
//!
//! [`Doors::admit`] judges the head, [`Proving`] runs the MAC over the body, [`Proving::finish`] makes a [`Verified`] body or
//! refuses, [`Said::parse`] takes nothing but that, and [`hear`] understands it. What is heard becomes a [`ReplyRecord`] for
//! Kafka and, often, a lesson for the lane. [`Framing`] watches a connection for heads that could be read in two ways.
//! [`ingest`] is the same for those who can't write to Kafka. Pure: sockets, deadlines and Kafka are the shell's.

mod admission;
mod framing;
mod head;
pub mod ingest;
mod lesson;
mod payload;
mod plain;
mod proof;
mod quoted;
mod refusal;
mod replay;
mod reply;
mod said;
mod signature;

use crate::event::Timestamp;
use crate::missive::ChannelType;

pub use admission::Doors;
pub use framing::{At, Framed, Framing};
pub use head::{Head, Headers, Protocol};
pub use lesson::MUTE_LABEL;
pub use payload::{Heard, ID_BYTES_MAX, hear};
pub use proof::{Body, Proven, ProvenBy, Proving, Verified};
pub use refusal::{Outward, Refusal, Unauthentic};
pub use replay::{HEADER as REPLAY_HEADER, ReplayKey};
pub use reply::{Author, Conversation, Kind, ReplyRecord, Rule, VERSION};
pub use said::{Part, Said};
pub use signature::HEADERS as SIGNATURE_HEADERS;

/// One channel's way in: `POST /hooks/<channel>`.
#[derive(Clone, Debug)]
pub struct Door {
    /// The channel's name; the last segment of the path.
    pub channel: Box<str>,
    pub kind: ChannelType,
    /// Lane that learns from it.
    pub lane: Box<str>,
    /// Any active one proves a request; empty only where the config says `insecure_unsigned`.
    pub secrets: Vec<Secret>,
}

/// A webhook secret: the UTF-8 bytes of the HMAC key. Redacted in `Debug`, wiped on drop.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret {
    key: Vec<u8>,
    #[zeroize(skip)]
    label: Box<str>,
    #[zeroize(skip)]
    until: Option<Timestamp>,
}

impl Secret {
    /// One trailing line end is not part of a secret; an empty one is none.
    pub fn parse(text: &str) -> Option<Self> {
        let secret = text.strip_suffix('\n').unwrap_or(text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        let key = secret.as_bytes().to_vec();
        (!key.is_empty()).then(|| Self { key, label: "secret".into(), until: None })
    }

    /// With the name under which its proofs are counted.
    pub fn labelled(mut self, label: &str) -> Self {
        self.label = label.into();
        self
    }

    /// Proves nothing from this moment on.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// The name under which its proofs are counted; not a secret.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The key bytes, for the MAC and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.key
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({}, redacted)", self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A door with these secrets.
    pub(super) fn door(channel: &str, secrets: &[&str]) -> Door {
        let secrets = secrets.iter().map(|secret| Secret::parse(secret).expect("a test secret is not empty")).collect();
        Door { channel: channel.into(), kind: ChannelType::Text, lane: "default".into(), secrets }
    }

    #[test]
    fn an_empty_secret_is_none() {
        for text in ["", "\n", "\r\n"] {
            assert!(Secret::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_its_bytes_without_the_line_end_and_is_never_shown() {
        for text in ["s3cr3t", "s3cr3t\n", "s3cr3t\r\n"] {
            assert_eq!(Secret::parse(text).expect("a secret").expose(), b"s3cr3t", "{text:?}");
        }
        assert_eq!(format!("{:?}", door("ops", &["s3cr3t"]).secrets), "[Secret(secret, redacted)]");
    }
}
