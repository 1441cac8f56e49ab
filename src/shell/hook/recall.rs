//! What this or another instance heard before this one started, read back from the tail of the replies topic.
//!
//! A repeat of a webhook that was written just before a restart is answered like any other repeat. Limits: the newest
//! [`DONE_MAX`] replies, spread over the partitions; [`TIME_MAX`] for all of it. What can't be read in time stays unknown: a
//! reply is at least once then, with its id as a header.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::memory::{DONE_MAX, Memory};
use crate::config;
use crate::event::Timestamp;
use crate::hook::{REPLAY_HEADER, ReplayKey};
use crate::shell::clock::Deadline;
use crate::shell::kafka::{QuietContext, reader_config};

/// How long reading may take; the hook opens after it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

const CHANNEL_HEADER: &str = "missived-channel";

type Reader = BaseConsumer<QuietContext>;

/// Fills `memory`; how many replies it remembers now.
pub(super) fn recall(now: Timestamp, kafka: &config::Kafka, topic: &str, memory: &Memory) -> KafkaResult<u64> {
    let deadline = Deadline::after(TIME_MAX);
    let reader: Reader = reader_config(kafka).create_with_context(QuietContext)?;
    let tail = tail(&reader, topic)?;
    let mut unread: HashSet<i32> = tail.elements().iter().map(|partition| partition.partition()).collect();
    reader.assign(&tail)?;
    let mut remembered = 0;
    while !unread.is_empty() && !deadline.has_passed() {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(reply)) => remembered += u64::from(remember(now, &reply, memory).is_some()),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(unread.remove(&partition)),
            Some(Err(error)) => tracing::debug!(%error, topic, "while reading replies"),
            None => {}
        }
    }
    if !unread.is_empty() {
        tracing::warn!(
            topic,
            partitions = unread.len(),
            "replies could not be read to their end; repeats may be written again"
        );
    }
    Ok(remembered)
}

/// The last offsets of every partition.
fn tail(reader: &Reader, topic: &str) -> KafkaResult<TopicPartitionList> {
    let metadata = reader.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
    let each = i64::try_from(DONE_MAX / partitions.len().max(1)).unwrap_or(i64::MAX);
    let mut tail = TopicPartitionList::new();
    for partition in partitions {
        let (low, high) = reader.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        tail.add_partition_offset(topic, partition, Offset::Offset((high - each).max(low)))?;
    }
    Ok(tail)
}

/// None: not one of ours, or too old to be repeated.
fn remember(now: Timestamp, reply: &BorrowedMessage<'_>, memory: &Memory) -> Option<()> {
    let headers = reply.headers()?;
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    let key = ReplayKey::from_header(text(CHANNEL_HEADER)?, text(REPLAY_HEADER)?)?;
    let written = Timestamp::from_signed_millis(reply.timestamp().to_millis()?);
    memory.recall(now, written, &key)
}
