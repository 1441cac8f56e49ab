//! What somebody asks about: a place in a source topic, a conversation, or what an event is about.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::event::{HashKey, Position};
use crate::route::Source;
use crate::shell::decisions::Line;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// `topic/partition/offset`, as `dead-letters list` has it too.
    Position { topic: String, partition: i32, offset: i64 },
    /// A routing key: `route/key`.
    Conversation(String),
    /// What an event is about: its source's own fingerprint, or our hash of it.
    Entity(String),
}

impl FromStr for Question {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut parts = text.rsplitn(3, '/');
        let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
        let partition = partition.and_then(|text| text.parse().ok()).filter(|number: &i32| *number >= 0);
        let offset = offset.and_then(|text| text.parse().ok()).filter(|number: &i64| *number >= 0);
        Ok(match (topic, partition, offset) {
            (Some(topic), Some(partition), Some(offset)) if !topic.contains('/') => {
                Self::Position { topic: topic.to_owned(), partition, offset }
            }
            _ if text.contains('/') => Self::Conversation(text.to_owned()),
            _ => Self::Entity(text.to_owned()),
        })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position { topic, partition, offset } => write!(f, "{topic}/{partition}/{offset}"),
            Self::Conversation(text) | Self::Entity(text) => f.write_str(text),
        }
    }
}

/// A question as lines can be held against it.
#[derive(Clone, Debug)]
pub enum Sought {
    Position {
        topic: String,
        partition: i32,
        offset: i64,
    },
    Conversation(String),
    /// Hashes that it may have.
    Entity(Vec<String>),
}

impl Sought {
    /// `key` is the installation's, where there is one: without it, only our own hashes are known. What a source calls its
    /// event is hashed anew by every route.
    pub fn new(question: &Question, key: Option<&HashKey>, sources: &[Source]) -> Self {
        match question.clone() {
            Question::Position { topic, partition, offset } => Self::Position { topic, partition, offset },
            Question::Conversation(routing_key) => Self::Conversation(routing_key),
            Question::Entity(text) => {
                let rules = || sources.iter().flat_map(|source| &source.rules);
                let hashes = key.into_iter().flat_map(|key| {
                    rules().map(|rule| rule.hash(key).of(key.fingerprint(&[text.as_bytes()])).to_string())
                });
                Self::Entity([text.to_ascii_lowercase()].into_iter().chain(hashes).collect())
            }
        }
    }

    /// Does the line itself answer the question?
    pub fn is_in(&self, line: &Line) -> bool {
        match self {
            Self::Position { topic, partition, offset } => line.from.as_ref().is_some_and(|from| {
                let upto = line.upto.or(from.position);
                let within = |(first, last): (Position, Position)| (first.offset..=last.offset).contains(offset);
                from.topic == *topic && from.partition == *partition && from.position.zip(upto).is_some_and(within)
            }),
            Self::Conversation(routing_key) => line.conversation == *routing_key,
            Self::Entity(hashes) => line.entity.as_ref().is_some_and(|entity| hashes.contains(entity)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_known_by_its_form() {
        let position =
            |topic: &str, partition, offset| Question::Position { topic: topic.to_owned(), partition, offset };
        let rows = [
            ("alerts/0/12", position("alerts", 0, 12)),
            ("crm.deals/11/9007199254740993", position("crm.deals", 11, 9_007_199_254_740_993)),
            ("alerts/payments", Question::Conversation("alerts/payments".to_owned())),
            ("alerts/eu/payments", Question::Conversation("alerts/eu/payments".to_owned())),
            ("alerts/-1/12", Question::Conversation("alerts/-1/12".to_owned())),
            ("c1a2b3", Question::Entity("c1a2b3".to_owned())),
        ];
        for (text, expected) in rows {
            let question: Question = text.parse().expect("any text is a question");
            assert_eq!(question, expected, "{text}");
            assert_eq!(question.to_string(), text);
        }
    }
}
