//! A dead letter as it stands on its topic.
//!
//! Everything in it may have come from strangers: texts are kept as they are and made harmless by whoever shows them. Letters
//! of earlier versions lack headers; what is missing is empty, or one attempt. A record of the topic that is neither a
//! letter nor a marker of ours is [`Entry::Foreign`].

use std::fmt;
use std::str::FromStr;

use rdkafka::message::{Headers, Message};

use super::Events;
use super::headers::{
    AT, ATTEMPTS, AUTHOR, CHANNEL, CONTENT, COVERS, ERROR, FIRST_FAILURE_AT, KIND, LANE, PREFIX, REASON, REPLAYED_AS,
    REPLAYED_OFFSET, SOURCE_FORMAT, SOURCE_INDEX, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC,
};
use crate::event::Timestamp;

/// Where a letter stands on the dead-letters topic; written `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// Not the id of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wanted <partition>:<offset> as `list` shows it, such as 0:17")]
pub struct NoLetterId;

impl FromStr for LetterId {
    type Err = NoLetterId;

    fn from_str(text: &str) -> Result<Self, NoLetterId> {
        let (partition, offset) = text.split_once(':').ok_or(NoLetterId)?;
        let id = Self {
            partition: partition.parse().map_err(|_| NoLetterId)?,
            offset: offset.parse().map_err(|_| NoLetterId)?,
        };
        if id.partition < 0 || id.offset < 0 { Err(NoLetterId) } else { Ok(id) }
    }
}

/// One record of the dead-letters topic.
#[derive(Debug)]
pub enum Entry {
    Letter(Box<Letter>),
    /// A letter was replayed.
    Replayed {
        letter: LetterId,
        at: Option<Timestamp>,
    },
    Foreign,
}

/// How much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Whole,
    /// Only place, length, hash and beginning.
    Reference,
}

/// What could not be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Record { source: Source, events: Events, format: String },
    Delivery { lane: String, channel: String, routing_key: String, author: String, covers: u32, source: Option<Source> },
}

/// A place on a source topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The record's own time.
    pub at: Option<Timestamp>,
}

/// A dead letter, whole.
#[derive(Clone, Debug)]
pub struct Letter {
    pub id: LetterId,
    pub reason: String,
    pub error: String,
    pub at: Option<Timestamp>,
    pub first_failure_at: Option<Timestamp>,
    pub attempts: u32,
    pub content: Content,
    pub about: About,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The record's own headers.
    pub own: Vec<(String, Option<Vec<u8>>)>,
    /// Ours, as they stand.
    pub ours: Vec<(String, String)>,
}

impl Entry {
    /// Reads a record of the dead-letters topic.
    pub fn read(record: &impl Message) -> Self {
        let id = LetterId { partition: record.partition(), offset: record.offset() };
        let (mut ours, mut own) = (Vec::new(), Vec::new());
        for header in record.headers().iter().flat_map(|headers| headers.iter()) {
            if header.key.starts_with(PREFIX) {
                ours.push((
                    header.key.to_owned(),
                    String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned(),
                ));
            } else {
                own.push((header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
            }
        }
        let of = Ours(&ours);
        let key = record.key().map(<[u8]>::to_vec);
        let about = match of.text(KIND) {
            "replayed" => {
                let letter = of.number(REPLAYED_OFFSET).map(|offset| LetterId { offset, ..id });
                return letter.map_or(Self::Foreign, |letter| Self::Replayed { letter, at: of.moment(AT) });
            }
            "delivery" => of.delivery(key.as_deref().unwrap_or_default()),
            "record" | "" => of.record(),
            _ => None,
        };
        let Some(about) = about else { return Self::Foreign };
        let at = of.moment(AT);
        Self::Letter(Box::new(Letter {
            id,
            reason: of.text(REASON).to_owned(),
            error: of.text(ERROR).to_owned(),
            at,
            first_failure_at: of.moment(FIRST_FAILURE_AT).or(at),
            attempts: of.number(ATTEMPTS).unwrap_or(1),
            content: if of.text(CONTENT) == "reference" { Content::Reference } else { Content::Whole },
            about,
            key,
            value: record.payload().map(<[u8]>::to_vec),
            own,
            ours,
        }))
    }
}

impl Letter {
    /// Where it came from, if it came from a source topic.
    pub const fn source(&self) -> Option<&Source> {
        match &self.about {
            About::Record { source, .. } => Some(source),
            About::Delivery { source, .. } => source.as_ref(),
        }
    }

    /// What it was replayed as, in a marker.
    pub const fn marked_as(&self) -> (&'static str, &'static str) {
        match self.about {
            About::Record { .. } => (REPLAYED_AS, "record"),
            About::Delivery { .. } => (REPLAYED_AS, "delivery"),
        }
    }
}

/// Our headers, asked by name.
struct Ours<'a>(&'a [(String, String)]);

impl<'a> Ours<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        self.text(name).parse().ok()
    }

    fn moment(&self, name: &str) -> Option<Timestamp> {
        self.number(name).map(Timestamp::from_millis)
    }

    fn source(&self) -> Option<Source> {
        let (partition, offset) = (self.number(SOURCE_PARTITION)?, self.number(SOURCE_OFFSET)?);
        let topic = self.text(SOURCE_TOPIC);
        let at = self.moment(SOURCE_TIMESTAMP);
        (!topic.is_empty()).then(|| Source { topic: topic.to_owned(), partition, offset, at })
    }

    fn record(&self) -> Option<About> {
        Some(About::Record {
            source: self.source()?,
            events: Events::parse(self.text(SOURCE_INDEX)),
            format: self.text(SOURCE_FORMAT).to_owned(),
        })
    }

    fn delivery(&self, key: &[u8]) -> Option<About> {
        let lane = self.text(LANE);
        (!lane.is_empty()).then(|| About::Delivery {
            lane: lane.to_owned(),
            channel: self.text(CHANNEL).to_owned(),
            routing_key: String::from_utf8_lossy(key).into_owned(),
            author: self.text(AUTHOR).to_owned(),
            covers: self.number(COVERS).unwrap_or(1),
            source: self.source(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedHeaders, OwnedMessage, Timestamp as KafkaTime};

    use super::super::headers::{VERSION, written};
    use super::*;

    fn record(headers: OwnedHeaders) -> OwnedMessage {
        let key = Some(b"alerts/k".to_vec());
        OwnedMessage::new(Some(b"v".to_vec()), key, "d".to_owned(), KafkaTime::NotAvailable, 1, 17, Some(headers))
    }

    fn letter(headers: OwnedHeaders) -> Letter {
        let Entry::Letter(letter) = Entry::read(&record(headers)) else { panic!("a letter") };
        *letter
    }

    const PLACE: [(&str, &str); 3] = [(SOURCE_TOPIC, "alerts"), (SOURCE_PARTITION, "2"), (SOURCE_OFFSET, "9")];

    #[test]
    fn a_records_letter_says_where_it_stood_and_keeps_the_records_own_headers_apart() {
        let ours = [(REASON, "no_route"), (AT, "7"), (ATTEMPTS, "3"), (SOURCE_INDEX, "1-2"), ("traceparent", "00")];
        let letter = letter(written(PLACE.into_iter().chain(ours)));
        assert_eq!(
            (letter.id, letter.reason.as_str(), letter.attempts),
            (LetterId { partition: 1, offset: 17 }, "no_route", 3)
        );
        assert_eq!(letter.own, [("traceparent".to_owned(), Some(b"00".to_vec()))]);
        let About::Record { source, events, .. } = &letter.about else { panic!("about a record") };
        assert_eq!((source.topic.as_str(), source.partition, source.offset), ("alerts", 2, 9));
        assert!(events.holds(1) && !events.holds(0));
        assert_eq!(
            letter.first_failure_at,
            Some(Timestamp::from_millis(7)),
            "the first failure, if nothing else is said"
        );
    }

    #[test]
    fn a_delivery_and_a_marker_are_told_apart_from_what_is_not_ours() {
        let delivery = letter(written([(KIND, "delivery"), (LANE, "default"), (COVERS, "4")]));
        let About::Delivery { routing_key, covers, source, .. } = delivery.about else { panic!("about a delivery") };
        assert_eq!((routing_key.as_str(), covers, source), ("alerts/k", 4, None));
        let marker = Entry::read(&record(written([(KIND, "replayed"), (REPLAYED_OFFSET, "5"), (AT, "8")])));
        assert!(matches!(marker, Entry::Replayed { letter: LetterId { partition: 1, offset: 5 }, .. }));
        let foreign = [
            vec![],
            vec![(KIND, "replayed")],
            vec![(KIND, "delivery")],
            vec![(KIND, "newer"), (LANE, "l")],
            vec![(REASON, "x")],
        ];
        for headers in foreign {
            assert!(matches!(Entry::read(&record(written(headers.clone()))), Entry::Foreign), "{headers:?}");
        }
        assert_eq!(VERSION, "1");
    }

    #[test]
    fn an_id_is_a_partition_and_an_offset() {
        assert_eq!("0:17".parse(), Ok(LetterId { partition: 0, offset: 17 }));
        for text in ["17", "0:", ":1", "-1:2", "0:-2", "a:b", "0:1:2"] {
            assert_eq!(text.parse::<LetterId>(), Err(NoLetterId), "{text}");
        }
    }
}
