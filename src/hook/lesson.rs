//! What a webhook teaches the lane: that a conversation exists and under which id, that it was closed, reopened or muted.
//!
//! A conversation that a person began has no key of ours: its lesson names the recipient in the key's place
//! ([`Learned::Begun`]), so that the lane knows where to put what that recipient says later.
//!
//! Rule types that are unknown teach nothing and go to the replies topic all the same. A label change tells the labels that
//! are there now, so one without [`MUTE_LABEL`] says that the conversation is not muted.

use super::payload::Heard;
use super::reply::{BY_CONVERSATION, Kind, ReplyRecord};
use super::said::Part;
use crate::event::Timestamp;
use crate::event::lesson::{Learned, Lesson};

/// The shared label, in any case, that mutes a conversation.
pub const MUTE_LABEL: &str = "mute";

impl Heard<'_> {
    /// The lesson in it, if there is one and it says which conversation it is about.
    pub fn lesson(&self, now: Timestamp) -> Option<Lesson<'_>> {
        match self {
            Self::Reply(record) => record.begun(now).or_else(|| record.lesson(Learned::Answered, now)),
            Self::Rule(record) => record.lesson(record.learned()?, now),
            Self::Probe => None,
        }
    }
}

impl ReplyRecord<'_> {
    fn lesson(&self, about: Learned, at: Timestamp) -> Option<Lesson<'_>> {
        let (routing_key, conversation_id) = (self.own_key().unwrap_or(""), self.conversation_id().unwrap_or(""));
        let addressed = !routing_key.is_empty() || !conversation_id.is_empty();
        addressed.then_some(Lesson { channel: self.channel, routing_key, conversation_id, about, at })
    }

    /// That a person began this conversation, with somebody who is no key of ours.
    fn begun(&self, at: Timestamp) -> Option<Lesson<'_>> {
        let recipient = self.key().filter(|key| self.own_key().is_none() && !key.starts_with(BY_CONVERSATION));
        let recipient = recipient.filter(|_| self.kind == Kind::New)?;
        let conversation_id = self.conversation_id()?;
        Some(Lesson { channel: self.channel, routing_key: recipient, conversation_id, about: Learned::Begun, at })
    }

    fn conversation_id(&self) -> Option<&str> {
        self.conversation.id.filter(|id| uuid::Uuid::try_parse(id).is_ok())
    }

    fn learned(&self) -> Option<Learned> {
        match self.rule.as_ref()?.kind? {
            "conversation_closed" => Some(Learned::Closed),
            "conversation_reopened" => Some(Learned::Reopened),
            "label_change" => muted(self.conversation.labels),
            _ => None,
        }
    }
}

/// None: Missive doesn't say which labels there are.
fn muted(labels: Part<'_>) -> Option<Learned> {
    if labels.is_nothing() {
        return None;
    }
    let named = |label: Part<'_>| label.at("name").text().is_some_and(|name| name.eq_ignore_ascii_case(MUTE_LABEL));
    Some(if labels.each().any(named) { Learned::Muted } else { Learned::Unmuted })
}
