//! From a letter to what is written when it is replayed, or why it can't be.
//!
//! A record goes back to the topic and partition it came from, with its own key and headers, and with headers that make it
//! news again ([`Replaying`]). What was kept by reference is read from there, if it still stands there. A delivery goes to its
//! lane through the ledger, and is told verbatim (`Words`). Loops end: a letter that failed too often is left alone, and nothing is
//! written to a topic that no source of this config reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use rdkafka::message::{Message as _, OwnedHeaders};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::headers::with;
use super::letter::Source;
use super::words::{Body, Words};
use super::{About, Content, Events, Letter, LetterId, Reference, Replaying};
use crate::config;
use crate::event::frame::{Returned, write_returned};
use crate::event::{Fingerprint, Timestamp, TopicId};
use crate::shell::kafka::{Names, scan_partition};

/// Everything that decides what becomes of a letter.
pub struct Plan<'a> {
    pub kafka: &'a config::Kafka,
    pub names: &'a Names,
    /// Partitions by topic, of the topics that sources of this config read and that exist.
    pub sources: BTreeMap<Box<str>, i32>,
    /// Ledger partition by lane.
    pub lanes: BTreeMap<Box<str>, i32>,
    /// Channels whose messages are markup.
    pub markup: BTreeSet<Box<str>>,
    /// Of the dead-letters topic.
    pub topic_id: TopicId,
    /// 0, or what makes this replay another one than those before it.
    pub salt: u64,
    /// A letter that failed more often is left alone.
    pub attempts_max: u32,
    pub now: Timestamp,
}

/// A letter on its way back: one record, and the marker that says so.
pub struct Returning {
    pub letter: LetterId,
    /// `record` or `delivery`.
    pub kind: &'static str,
    pub topic: String,
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Option<OwnedHeaders>,
}

/// Why a letter can't be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreplayable {
    #[error("no source of this config reads topic {0}, or it does not exist")]
    NoSource(String),
    #[error("only its beginning was kept, and it is not on topic {0} any more")]
    Gone(String),
    #[error("only its beginning was kept")]
    Cut,
    #[error("it has failed {0} times; --attempts-max lets it be tried again")]
    TooOften(u32),
    #[error("lane {0} has no place in the ledger")]
    NoLane(String),
    #[error("its body is not a message that missived has written")]
    NoMessage,
}

impl Plan<'_> {
    /// What is to be written for `letter`.
    pub fn prepare(&self, letter: &Letter) -> Result<Returning, Unreplayable> {
        if letter.attempts > self.attempts_max {
            return Err(Unreplayable::TooOften(letter.attempts));
        }
        match &letter.about {
            About::Record { source, events, .. } => self.record(letter, source, events),
            About::Delivery { lane, channel, routing_key, author, .. } => {
                let body = if self.markup.contains(&**channel) { Body::Markup } else { Body::Plain };
                self.delivery(letter, lane, routing_key, Words::of(letter, author, body))
            }
        }
    }

    /// The same for every replay of a letter, but for those that are meant to be another one.
    pub fn nonce(&self, letter: LetterId) -> u128 {
        let mut hash = Sha256::new();
        hash.update(format!("{}/{}/{letter}/{}", self.names.dead_letters, self.topic_id, self.salt));
        let digest = hash.finalize();
        let (first, _) = digest.split_first_chunk::<16>().expect("a SHA-256 has 32 bytes");
        u128::from_be_bytes(*first)
    }

    fn record(&self, letter: &Letter, source: &Source, events: &Events) -> Result<Returning, Unreplayable> {
        let topic = &source.topic;
        let partitions = self.sources.get(&**topic).ok_or_else(|| Unreplayable::NoSource(topic.clone()))?;
        let original = match letter.content {
            Content::Whole => Original {
                key: letter.key.clone(),
                value: letter.value.clone(),
                headers: written(letter.own.iter().map(|(key, value)| (key.as_str(), value.as_deref()))),
            },
            Content::Reference => self.original(letter, source)?,
        };
        let replaying = Replaying {
            nonce: self.nonce(letter.id),
            attempts: letter.attempts,
            first_failure_at: letter.first_failure_at,
            at: source.at,
            events: events.clone(),
        };
        let ours = replaying.headers(&letter.id.to_string());
        let headers = with(original.headers, ours.iter().map(|(key, value)| (*key, value.as_str())));
        Ok(Returning {
            letter: letter.id,
            kind: "record",
            topic: topic.clone(),
            partition: Some(source.partition).filter(|partition| partition < partitions),
            key: original.key,
            value: original.value,
            headers: Some(headers),
        })
    }

    /// Reads from its source topic what was too large to keep.
    fn original(&self, letter: &Letter, source: &Source) -> Result<Original, Unreplayable> {
        let gone = || Unreplayable::Gone(source.topic.clone());
        let reference = letter.value.as_deref().and_then(Reference::read).ok_or(Unreplayable::Cut)?;
        let mut found = None;
        let scanned = scan_partition(self.kafka, &source.topic, source.partition, source.offset, |record| {
            let same = record.offset() == source.offset && reference.is_of(record.payload().unwrap_or_default());
            found = same.then(|| Original::of(record));
            ControlFlow::Break(())
        });
        scanned.map_err(|_| gone())?;
        found.ok_or_else(gone)
    }

    fn delivery(
        &self,
        letter: &Letter,
        lane: &str,
        routing_key: &str,
        message: Result<Words, Unreplayable>,
    ) -> Result<Returning, Unreplayable> {
        let partition = *self.lanes.get(lane).ok_or_else(|| Unreplayable::NoLane(lane.to_owned()))?;
        if letter.content == Content::Reference {
            return Err(Unreplayable::Cut);
        }
        let message = message?;
        let returned = Returned {
            lane,
            routing_key,
            subject: &message.subject,
            author: &message.author,
            words: &message.words,
            nonce: Fingerprint::from_u128(self.nonce(letter.id)),
            at: letter.at.unwrap_or(self.now),
        };
        Ok(Returning {
            letter: letter.id,
            kind: "delivery",
            topic: self.names.ledger.clone(),
            partition: Some(partition),
            key: Some(lane.as_bytes().to_vec()),
            value: Some(write_returned(&returned)),
            headers: None,
        })
    }
}

/// A record as it first was.
struct Original {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

impl Original {
    fn of(record: &rdkafka::message::BorrowedMessage<'_>) -> Self {
        use rdkafka::message::Headers as _;
        let own = record.headers().into_iter().flat_map(|headers| headers.iter());
        let own = own.filter(|header| !header.key.starts_with(super::headers::PREFIX));
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: own.fold(OwnedHeaders::new(), OwnedHeaders::insert),
        }
    }
}

fn written<'h>(own: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>) -> OwnedHeaders {
    own.fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(rdkafka::message::Header { key, value }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rdkafka::message::{OwnedMessage, Timestamp as KafkaTime};

    use super::super::Entry;
    use super::super::headers::{KIND, written as ours};
    use super::*;
    use crate::config::{Config, Environment};
    use crate::event::frame::LedgerRecord;

    const CONFIG: &str = "
        [kafka]
        bootstrap = \"127.0.0.1:1\"
        [missive]
        insecure_inline_token = \"t\"
        [channels.ops]
        account = \"11111111-2222-4333-8444-555555555555\"
        type = \"text\"
        [sources.alerts]
        topic = \"alerts\"
        format = \"alertmanager\"
        channel = \"ops\"
    ";

    fn kafka() -> config::Kafka {
        let loaded = Config::parse(CONFIG, Path::new("missived.toml"), &Environment::default());
        loaded.expect("a config that works").config.kafka
    }

    fn plan<'a>(kafka: &'a config::Kafka, names: &'a Names) -> Plan<'a> {
        Plan {
            kafka,
            names,
            sources: BTreeMap::from([("alerts".into(), 3)]),
            lanes: BTreeMap::from([("default".into(), 5)]),
            markup: BTreeSet::from(["pages".into()]),
            topic_id: TopicId::from_u128(9),
            salt: 0,
            attempts_max: 10,
            now: Timestamp::from_millis(50),
        }
    }

    fn letter(headers: &[(&str, &str)], value: &str) -> Letter {
        let (value, key) = (Some(value.as_bytes().to_vec()), Some(b"ops/k".to_vec()));
        let headers = Some(ours(headers.iter().copied()));
        let record = OwnedMessage::new(value, key, "d".to_owned(), KafkaTime::NotAvailable, 0, 17, headers);
        let Entry::Letter(letter) = Entry::read(&record) else { panic!("a letter") };
        *letter
    }

    fn record(topic: &str, partition: &str, attempts: &str) -> Letter {
        let place = [
            ("missived-source-topic", topic),
            ("missived-source-partition", partition),
            ("missived-source-offset", "4"),
            ("missived-attempts", attempts),
            ("traceparent", "00"),
        ];
        letter(&place, "v")
    }

    fn delivery(lane: &str, reason: &str, value: &str) -> Letter {
        let about =
            [(KIND, "delivery"), ("missived-lane", lane), ("missived-reason", reason), ("missived-author", "Ann")];
        letter(&about, value)
    }

    #[test]
    fn a_record_goes_back_to_where_it_came_from_and_nowhere_else() {
        let (kafka, names) = (kafka(), Names::new("ns"));
        let plan = plan(&kafka, &names);
        let prepared = |letter: &Letter| plan.prepare(letter).map(|back| (back.topic, back.partition, back.value));
        let value = || Some(b"v".to_vec());
        let rows = [
            ("its partition", record("alerts", "2", "1"), Ok(("alerts".to_owned(), Some(2), value()))),
            ("one that is gone", record("alerts", "3", "1"), Ok(("alerts".to_owned(), None, value()))),
            ("not our topic", record("ns.ledger", "0", "1"), Err(Unreplayable::NoSource("ns.ledger".to_owned()))),
            ("too often", record("alerts", "0", "11"), Err(Unreplayable::TooOften(11))),
        ];
        for (sentence, letter, wanted) in rows {
            assert_eq!(prepared(&letter), wanted, "{sentence}");
        }
    }

    #[test]
    fn a_delivery_goes_to_its_lane_with_its_words() {
        let (kafka, names) = (kafka(), Names::new("ns"));
        let plan = plan(&kafka, &names);
        let body = r#"{"messages":{"body":"two\nlines","conversation_subject":"s","from_field":{"username":"u"}}}"#;
        let rows = [
            ("a refused message", delivery("default", "refused", body), ("s", "u", "two\nlines")),
            ("words that found no room", delivery("default", "thread_full", "a\nb"), ("", "Ann", "a\nb")),
        ];
        for (sentence, letter, wanted) in rows {
            let back = plan.prepare(&letter).expect(sentence);
            assert_eq!((back.topic.as_str(), back.partition), ("ns.ledger", Some(5)), "{sentence}");
            let value = back.value.expect("a ledger record");
            let Ok(LedgerRecord::Returned(returned)) = LedgerRecord::read(&value) else { panic!("{sentence}") };
            assert_eq!((returned.subject, returned.author, returned.words), wanted, "{sentence}");
            assert_eq!((returned.lane, returned.routing_key), ("default", "ops/k"), "{sentence}");
        }
        let refused = [
            (delivery("gone", "refused", body), Unreplayable::NoLane("gone".to_owned())),
            (delivery("default", "refused", "{}"), Unreplayable::NoMessage),
        ];
        for (letter, why) in refused {
            assert_eq!(plan.prepare(&letter).err(), Some(why));
        }
    }

    #[test]
    fn the_same_letter_is_the_same_replay_unless_another_one_is_meant() {
        let (kafka, names) = (kafka(), Names::new("ns"));
        let plan = plan(&kafka, &names);
        let (id, next) = (LetterId { partition: 0, offset: 17 }, LetterId { partition: 0, offset: 18 });
        assert_eq!(plan.nonce(id), plan.nonce(id));
        let again = Plan { salt: 1, ..self::plan(&kafka, &names) };
        let recreated = Plan { topic_id: TopicId::from_u128(10), ..self::plan(&kafka, &names) };
        for other in [plan.nonce(next), again.nonce(id), recreated.nonce(id)] {
            assert_ne!(plan.nonce(id), other);
        }
    }
}
