//! A record that can't be handled, kept whole on the dead-letters topic with its reason, and replayable.
//!
//! Headers: `missived-reason` (a metric label), `missived-error` (for people), `missived-source-topic`, `-partition`,
//! `-offset` and `-timestamp` (where it stands), `missived-at` (Unix milliseconds), `missived-attempts`; then the record's own
//! headers. A record that is too large for the topic is kept by reference: `missived-content: reference`, and the value is
//! JSON with its length, SHA-256 and first bytes.

use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::event::Timestamp;

/// Of a record that is kept by reference, this much of its beginning is kept.
const PREFIX_BYTES: usize = 4 * 1024;

/// Room for headers and framing beside the value.
const OVERHEAD_BYTES: usize = 32 * 1024;

/// The record's own headers that are kept, in bytes.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// One record for the dead-letters topic.
pub struct Letter {
    pub headers: OwnedHeaders,
    pub value: Vec<u8>,
}

/// By reference: what is left of a record that is too large.
#[derive(Serialize)]
struct Reference<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    bytes: usize,
    sha256: String,
    prefix: String,
}

/// Makes a letter of `record`; the topic takes values of at most `message_bytes_max`.
pub fn letter(
    record: &BorrowedMessage<'_>,
    reason: &'static str,
    error: &str,
    now: Timestamp,
    message_bytes_max: usize,
) -> Letter {
    let payload = record.payload().unwrap_or_default();
    let whole = payload.len() + record.key().map_or(0, <[u8]>::len) + OVERHEAD_BYTES <= message_bytes_max;
    let (content, value) = if whole { ("whole", payload.to_vec()) } else { ("reference", reference(record, payload)) };
    let at = now.as_millis().to_string();
    let (partition, offset) = (record.partition().to_string(), record.offset().to_string());
    let timestamp = record.timestamp().to_millis().unwrap_or(0).to_string();
    let ours = [
        ("missived-reason", reason),
        ("missived-error", error),
        ("missived-content", content),
        ("missived-source-topic", record.topic()),
        ("missived-source-partition", &partition),
        ("missived-source-offset", &offset),
        ("missived-source-timestamp", &timestamp),
        ("missived-at", &at),
        ("missived-attempts", "1"),
    ];
    let headers = ours
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    Letter { headers: with_own(headers, record), value }
}

fn with_own(mut headers: OwnedHeaders, record: &BorrowedMessage<'_>) -> OwnedHeaders {
    let mut bytes = 0;
    for header in record.headers().iter().flat_map(|own| own.iter()) {
        bytes += header.key.len() + header.value.map_or(0, <[u8]>::len);
        if bytes > HEADERS_BYTES_MAX {
            break;
        }
        headers = headers.insert(header);
    }
    headers
}

fn reference(record: &BorrowedMessage<'_>, payload: &[u8]) -> Vec<u8> {
    let sha256 = Sha256::digest(payload);
    let prefix = &payload[..payload.len().min(PREFIX_BYTES)];
    let reference = Reference {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        bytes: payload.len(),
        sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        prefix: String::from_utf8_lossy(prefix).into_owned(),
    };
    serde_json::to_vec(&reference).expect("strings and numbers always serialise")
}
