//! The names of our headers, on dead letters, on markers and on replayed records.
//!
//! They are read by people and by other programs: a name never changes its meaning.

use rdkafka::message::{Header, OwnedHeaders};

/// All of ours begin with it, and no other header of a letter does.
pub const PREFIX: &str = "missived-";

/// How letters are written; [`VERSION`].
pub const LETTER_VERSION: &str = "missived-letter-version";
/// `record`, `delivery` or `replayed`.
pub const KIND: &str = "missived-kind";
/// A metric label.
pub const REASON: &str = "missived-reason";
/// For people.
pub const ERROR: &str = "missived-error";
/// `whole` or `reference`.
pub const CONTENT: &str = "missived-content";
/// Where it stands: topic, partition, offset, which of its events ([`Events`](super::Events); absent: all), its time in
/// Unix milliseconds, and the format its source reads.
pub const SOURCE_TOPIC: &str = "missived-source-topic";
pub const SOURCE_PARTITION: &str = "missived-source-partition";
pub const SOURCE_OFFSET: &str = "missived-source-offset";
pub const SOURCE_INDEX: &str = "missived-source-index";
pub const SOURCE_TIMESTAMP: &str = "missived-source-timestamp";
pub const SOURCE_FORMAT: &str = "missived-source-format";
/// When it failed, and when it first did, in Unix milliseconds; how often it did.
pub const AT: &str = "missived-at";
pub const FIRST_FAILURE_AT: &str = "missived-first-failure-at";
pub const ATTEMPTS: &str = "missived-attempts";
/// The program that gave up on it.
pub const WRITTEN_BY: &str = "missived-version";
/// Of a delivery: its lane and channel, how many observations it stands for, and who said words that found no room.
pub const LANE: &str = "missived-lane";
pub const CHANNEL: &str = "missived-channel";
pub const COVERS: &str = "missived-covers";
pub const AUTHOR: &str = "missived-author";
/// Of a marker: which letter was replayed, and as what.
pub const REPLAYED_OFFSET: &str = "missived-replayed-offset";
pub const REPLAYED_AS: &str = "missived-replayed-as";

/// Of a replayed record: 32 hex digits that make its events news again.
pub const REPLAY_NONCE: &str = "missived-replay-nonce";
/// Its letter, how often it had failed by then and since when, the record's first time, and which events are meant.
pub const REPLAY_LETTER: &str = "missived-replay-letter";
pub const REPLAY_ATTEMPTS: &str = "missived-replay-attempts";
pub const REPLAY_FIRST_FAILURE_AT: &str = "missived-replay-first-failure-at";
pub const REPLAY_TIMESTAMP: &str = "missived-replay-timestamp";
pub const REPLAY_INDEX: &str = "missived-replay-index";

/// The version of letters that is written.
pub const VERSION: &str = "1";

/// Headers in this order.
pub fn written<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> OwnedHeaders {
    with(OwnedHeaders::new(), pairs)
}

/// The same behind others.
pub fn with<'a>(headers: OwnedHeaders, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> OwnedHeaders {
    pairs.into_iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
