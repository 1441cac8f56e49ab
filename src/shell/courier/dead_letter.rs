//! A delivery or an observation that a lane gave up on, on the dead-letters topic.
//!
//! Written in the transaction that settles it, so it is there exactly when the books say so. Headers as for records
//! (`missived-reason`, `missived-error`, `missived-at`), `missived-kind: delivery`, and the channel, routing key and number of
//! observations it stands for.

use rdkafka::message::{Header, OwnedHeaders};

use super::transaction::Write;
use crate::event::Timestamp;
use crate::lane::DeadLetter;

/// The record for one dead letter of a lane.
pub fn write<'a>(topic: &'a str, lane: &str, letter: &DeadLetter, now: Timestamp) -> Write<'a> {
    let at = now.as_millis().to_string();
    let covers = letter.covers.to_string();
    let ours = [
        ("missived-kind", "delivery"),
        ("missived-reason", letter.reason.as_str()),
        ("missived-error", &*letter.error),
        ("missived-lane", lane),
        ("missived-channel", &*letter.channel),
        ("missived-covers", &covers),
        ("missived-at", &at),
    ];
    let headers = ours
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    Write {
        topic,
        partition: -1,
        key: letter.routing_key.as_bytes().to_vec(),
        value: Some(letter.body.clone()),
        headers: Some(headers),
    }
}
