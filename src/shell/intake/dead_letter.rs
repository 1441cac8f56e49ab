//! A record that can't be handled, kept whole on the dead-letters topic with its reason, and replayable.
//!
//! Whole means its key, its value and its headers, but for headers that begin with `missived-`. A record that is too large
//! for the topic, or has a longer key or more headers than a letter takes, is kept by reference: where it stands, its length,
//! its SHA-256 and its first bytes. A record that was replayed and fails again is known as the same: its attempts add up,
//! and its first failure stays.

use rdkafka::message::{Header, OwnedHeaders};

use super::reader::Arrived;
use crate::event::{Timestamp, cut};
use crate::shell::letters::headers::{
    AT, ATTEMPTS, CONTENT, ERROR, FIRST_FAILURE_AT, KIND, LETTER_VERSION, PREFIX, REASON, SOURCE_FORMAT, SOURCE_INDEX,
    SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC, VERSION, WRITTEN_BY, with, written,
};
use crate::shell::letters::{Events, Reference, Replaying};

/// Room for our own headers and framing beside the record.
const OVERHEAD_BYTES: usize = 16 * 1024;

/// The longest key and the most headers, in bytes, of a record that is kept whole.
const KEY_BYTES_MAX: usize = 4 * 1024;
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// The longest error, in bytes.
const ERROR_BYTES_MAX: usize = 1024;

/// One record for the dead-letters topic.
pub struct Letter<'a> {
    pub headers: OwnedHeaders,
    pub key: Option<&'a [u8]>,
    pub value: Option<Vec<u8>>,
}

/// Why, and how it came.
pub struct Failure<'a> {
    pub reason: &'static str,
    pub error: &'a str,
    /// The word for its source's format.
    pub format: &'static str,
    pub events: &'a Events,
    pub now: Timestamp,
}

/// A record's own headers.
type Own<'h> = [(&'h str, Option<&'h [u8]>)];

/// Makes a letter of `record`; the topic takes values of at most `message_bytes_max`.
pub fn letter<'a>(record: &Arrived<'a>, failure: &Failure<'_>, message_bytes_max: usize) -> Letter<'a> {
    let (payload, own) = (record.payload, record.headers);
    let own_bytes: usize = own.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    let key = record.key.map_or(0, <[u8]>::len);
    let bytes = payload.map_or(0, <[u8]>::len) + key + own_bytes + OVERHEAD_BYTES;
    let whole = bytes <= message_bytes_max && key <= KEY_BYTES_MAX && own_bytes <= HEADERS_BYTES_MAX;
    if !whole {
        let reference = Reference::of(payload.unwrap_or_default());
        let value = reference.at(record.topic, record.partition, record.offset).written();
        return Letter { headers: ours(record, own, failure, "reference"), key: None, value: Some(value) };
    }
    let headers = with_own(ours(record, own, failure, "whole"), own);
    Letter { headers, key: record.key, value: payload.map(<[u8]>::to_vec) }
}

fn ours(record: &Arrived<'_>, own: &Own<'_>, failure: &Failure<'_>, content: &str) -> OwnedHeaders {
    let borrowed: Vec<(&str, &[u8])> = own.iter().map(|(name, value)| (*name, value.unwrap_or_default())).collect();
    let replaying = Replaying::of(&borrowed);
    let first = replaying.as_ref().and_then(|replaying| replaying.first_failure_at).unwrap_or(failure.now);
    let attempts = replaying.as_ref().map_or(0, |replaying| replaying.attempts).saturating_add(1).to_string();
    let at = replaying.and_then(|replaying| replaying.at).map(Timestamp::as_millis);
    let own_at = || record.timestamp.and_then(|millis| u64::try_from(millis).ok());
    let timestamp = at.or_else(own_at).unwrap_or(0).to_string();
    let (now, first) = (failure.now.as_millis().to_string(), first.as_millis().to_string());
    let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
    let headers = written([
        (LETTER_VERSION, VERSION),
        (KIND, "record"),
        (REASON, failure.reason),
        (ERROR, cut(failure.error, ERROR_BYTES_MAX)),
        (CONTENT, content),
        (SOURCE_TOPIC, record.topic),
        (SOURCE_PARTITION, &partition),
        (SOURCE_OFFSET, &offset),
        (SOURCE_TIMESTAMP, &timestamp),
        (SOURCE_FORMAT, failure.format),
        (AT, &now),
        (FIRST_FAILURE_AT, &first),
        (ATTEMPTS, &attempts),
        (WRITTEN_BY, env!("CARGO_PKG_VERSION")),
    ]);
    with(headers, [(SOURCE_INDEX, &*failure.events.to_string())])
}

fn with_own(headers: OwnedHeaders, own: &Own<'_>) -> OwnedHeaders {
    let kept = own.iter().filter(|(name, _)| !name.starts_with(PREFIX));
    kept.fold(headers, |headers, (key, value)| headers.insert(Header { key, value: *value }))
}
