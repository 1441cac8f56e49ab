//! What a webhook teaches the lane: that a conversation exists and under which id, that it was closed, reopened or muted.
//!
//! Rule types that are unknown teach nothing and go to the replies topic all the same. A label change tells the labels that
//! are there now, so one without [`MUTE_LABEL`] says that the conversation is not muted.

use super::payload::Heard;
use super::reply::{Label, ReplyRecord};
use crate::event::Timestamp;
use crate::event::frame::{Learned, Lesson};

/// The shared label, in any case, that mutes a conversation.
pub const MUTE_LABEL: &str = "mute";

impl Heard {
    /// The lesson in it, if there is one and it says which conversation it is about.
    pub fn lesson(&self, now: Timestamp) -> Option<Lesson<'_>> {
        match self {
            Self::Reply(record) => record.lesson(Learned::Answered, now),
            Self::Rule(record) => record.lesson(record.learned()?, now),
            Self::Probe => None,
        }
    }
}

impl ReplyRecord {
    fn lesson(&self, about: Learned, at: Timestamp) -> Option<Lesson<'_>> {
        let conversation_id = self.conversation.id.as_deref().filter(|id| uuid::Uuid::try_parse(id).is_ok());
        let (routing_key, conversation_id) = (self.own_key().unwrap_or(""), conversation_id.unwrap_or(""));
        let addressed = !routing_key.is_empty() || !conversation_id.is_empty();
        addressed.then_some(Lesson { channel: &self.channel, routing_key, conversation_id, about, at })
    }

    fn learned(&self) -> Option<Learned> {
        match self.rule.as_ref()?.kind.as_deref()? {
            "conversation_closed" => Some(Learned::Closed),
            "conversation_reopened" => Some(Learned::Reopened),
            "label_change" => self.conversation.labels.as_deref().map(muted),
            _ => None,
        }
    }
}

fn muted(labels: &[Label]) -> Learned {
    let named = |label: &Label| label.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(MUTE_LABEL));
    match labels.iter().any(named) {
        true => Learned::Muted,
        false => Learned::Unmuted,
    }
}
