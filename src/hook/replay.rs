//! What makes two webhook requests the same one.
//!
//! A custom channel's webhook repeats with the same `message.id`. A rule's webhook has no id of its own: the same body is the
//! same firing, but only for as long as a repeat is likely: the same rule may fire again on the same conversation.

use std::time::Duration;

use super::payload::Heard;
use super::proof::{Body, Verified};

/// How long a message's id is remembered.
const MESSAGE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a rule's body is remembered.
const BODY_FOR: Duration = Duration::from_secs(60);

/// Names one request of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    channel: Box<str>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    Message(Box<str>),
    Body([u8; 32]),
}

impl ReplayKey {
    /// The key of what was heard from `body` at the door of `channel`.
    pub fn new(channel: &str, heard: &Heard, body: &Verified<Body>) -> Self {
        let what = match heard {
            Heard::Reply(reply) => reply.message_id.clone().map(What::Message),
            Heard::Rule(_) | Heard::Probe => None,
        };
        Self { channel: channel.into(), what: what.unwrap_or(What::Body(body.get().digest())) }
    }

    /// How long the request is remembered once it is on Kafka.
    pub const fn remembered_for(&self) -> Duration {
        match self.what {
            What::Message(_) => MESSAGE_FOR,
            What::Body(_) => BODY_FOR,
        }
    }
}
