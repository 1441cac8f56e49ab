//! A delivery or an observation that a lane gave up on, on the dead-letters topic.
//!
//! Written in the transaction that settles it, so it is there exactly when the books say so. Headers as for records, with
//! `missived-kind: delivery`, and the lane, channel, routing key and number of observations it stands for; of a single
//! observation, where it stood. Its value is the request body, or the words that found no room; over the topic's limit, a
//! reference to them.

use rdkafka::message::OwnedHeaders;

use super::transaction::Write;
use crate::event::{Timestamp, cut};
use crate::lane::{DeadLetter, Place};
use crate::shell::letters::Reference;
use crate::shell::letters::headers::{
    AT, ATTEMPTS, AUTHOR, CHANNEL, CONTENT, COVERS, ERROR, FIRST_FAILURE_AT, KIND, LANE, LETTER_VERSION, REASON,
    SOURCE_INDEX, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC, VERSION, WRITTEN_BY, with, written,
};

/// Room for key, headers and framing beside the body.
const OVERHEAD_BYTES: usize = 16 * 1024;

/// The longest answer of Missive's that is kept, in bytes.
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// The record for one dead letter of a lane.
pub fn write<'a>(
    topic: &'a str,
    lane: &str,
    letter: &DeadLetter,
    now: Timestamp,
    message_bytes_max: usize,
) -> Write<'a> {
    let whole = letter.body.len() + OVERHEAD_BYTES <= message_bytes_max;
    let (content, value) =
        if whole { ("whole", letter.body.clone()) } else { ("reference", Reference::of(&letter.body).written()) };
    let (at, covers, attempts) = (now.as_millis().to_string(), letter.covers.to_string(), letter.attempts.to_string());
    let headers = written([
        (LETTER_VERSION, VERSION),
        (KIND, "delivery"),
        (REASON, letter.reason.as_str()),
        (ERROR, cut(&letter.error, ERROR_BYTES_MAX)),
        (CONTENT, content),
        (LANE, lane),
        (CHANNEL, &*letter.channel),
        (COVERS, &covers),
        (AT, &at),
        (FIRST_FAILURE_AT, &at),
        (ATTEMPTS, &attempts),
        (WRITTEN_BY, env!("CARGO_PKG_VERSION")),
    ]);
    let headers = with(headers, Some((AUTHOR, &*letter.author)).filter(|(_, author)| !author.is_empty()));
    let headers = match &letter.place {
        Some(place) => with_place(headers, place),
        None => headers,
    };
    Write {
        topic,
        partition: -1,
        key: letter.routing_key.as_bytes().to_vec(),
        value: Some(value),
        headers: Some(headers),
    }
}

fn with_place(headers: OwnedHeaders, Place { topic, partition, position }: &Place) -> OwnedHeaders {
    let (partition, offset, index) = (partition.to_string(), position.offset.to_string(), position.index.to_string());
    let place =
        [(SOURCE_TOPIC, &**topic), (SOURCE_PARTITION, &partition), (SOURCE_OFFSET, &offset), (SOURCE_INDEX, &index)];
    with(headers, place)
}
