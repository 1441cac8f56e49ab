//! What makes two webhook requests the same one.
//!
//! A custom channel's webhook repeats with the same `message.id`. A rule's webhook has no id of its own: the same body is the
//! same firing, but only for as long as a repeat is likely: the same rule may fire again on the same conversation. A key stands
//! in a header of the reply ([`HEADER`]), so that whoever starts later can read which were heard before: a message's id as it
//! is, a body as a hash of its MAC, since the MAC itself would be a valid signature in the hands of whoever reads the topic.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::payload::Heard;
use super::said::Said;
use super::signature::Signature;
use crate::event::{Fingerprint, HashKey};

/// How long a message's id is remembered.
const MESSAGE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a rule's body is remembered.
const BODY_FOR: Duration = Duration::from_secs(60);

/// The Kafka header that a reply tells its key in.
pub const HEADER: &str = "missived-replay";

const MESSAGE: &str = "message:";
const BODY: &str = "body:";

/// Names one request of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayKey<'a> {
    channel: &'a str,
    what: What<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What<'a> {
    Message(&'a str),
    Body([u8; 32]),
}

impl<'a> ReplayKey<'a> {
    /// The key of what was heard of `said` at the door of `channel`.
    pub fn new(channel: &'a str, heard: &Heard<'a>, said: &Said<'_>) -> Self {
        let what = match heard {
            Heard::Reply(reply) => reply.message_id.map(What::Message),
            Heard::Rule(_) | Heard::Probe => None,
        };
        let hash = || What::Body(Sha256::digest(said.digest()).into());
        Self { channel, what: what.unwrap_or_else(hash) }
    }

    /// For a memory of many: equal for equal keys, and with the secret `key` no stranger can aim at it.
    pub fn fingerprint(&self, key: &HashKey) -> Fingerprint {
        let (kind, what): (&str, &[u8]) = match &self.what {
            What::Message(id) => (MESSAGE, id.as_bytes()),
            What::Body(hash) => (BODY, hash),
        };
        key.fingerprint(&[self.channel.as_bytes(), kind.as_bytes(), what])
    }

    /// As [`HEADER`] has it.
    pub fn to_header(self) -> String {
        match self.what {
            What::Message(id) => [MESSAGE, id].concat(),
            What::Body(hash) => hash.iter().fold(BODY.to_owned(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a string takes more");
                text
            }),
        }
    }

    /// What [`HEADER`] says of a reply that came through this channel's door.
    pub fn from_header(channel: &'a str, text: &'a str) -> Option<Self> {
        let what = match text.strip_prefix(MESSAGE) {
            Some(id) => What::Message(id),
            None => What::Body(Signature::hex(text.strip_prefix(BODY)?.as_bytes())?.0),
        };
        Some(Self { channel, what })
    }

    /// How long the request is remembered once it is on Kafka.
    pub const fn remembered_for(&self) -> Duration {
        match self.what {
            What::Message(_) => MESSAGE_FOR,
            What::Body(_) => BODY_FOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_header_and_nothing_else_is_one() {
        for what in [What::Message("m:1/é"), What::Body([0xa5; 32])] {
            let key = ReplayKey { channel: "ops", what };
            assert_eq!(ReplayKey::from_header("ops", &key.to_header()), Some(key));
        }
        for text in ["", "body:", "body:a5", "m-1", "BODY:00"] {
            assert_eq!(ReplayKey::from_header("ops", text), None, "{text}");
        }
    }
}
