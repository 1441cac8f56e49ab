//! Reads the replies topic, as whoever is behind it would: each reply counts once, by its message id. The page is shown
//! what arrived.
//!
//! Delivery is at least once, so a reply may stand on the topic twice. Bounded by how often people write
//! (`people::REPLIES_MAX`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{follower, settings};
use crate::sandbox::backstage::RECORD_BYTES_MAX;
use crate::sandbox::{Arrived, Clipped, Sandbox};
use crate::shell::kafka::QuietContext;

const MESSAGE_ID: &str = "missived-message-id";

/// How often the topic is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Reads from the first reply on.
pub fn follow(bootstrap: &str) -> Result<BaseConsumer<QuietContext>, KafkaError> {
    let consumer: BaseConsumer<QuietContext> = follower(bootstrap).create_with_context(QuietContext)?;
    let mut assignment = TopicPartitionList::new();
    for (topic, partitions) in settings::topics() {
        for partition in (0..partitions).filter(|_| topic == settings::replies_topic()) {
            assignment.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// Counts what comes into `read`, until it is dropped.
pub async fn count(consumer: BaseConsumer<QuietContext>, read: Arc<AtomicU64>, sandbox: Arc<Sandbox>) {
    let mut seen = HashSet::new();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        while let Some(polled) = consumer.poll(Duration::ZERO) {
            match polled {
                Ok(record) => {
                    let id = id(&record);
                    sandbox.arrived(&String::from_utf8_lossy(&id), arrived(&record));
                    seen.insert(id);
                }
                Err(error) => tracing::debug!(%error, "reading replies"),
            }
        }
        read.store(seen.len() as u64, Ordering::Release);
    }
}

/// The record as the page shows it.
fn arrived(record: &BorrowedMessage<'_>) -> Arrived {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    Arrived {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
        key: text(record.key()),
        headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
        value: Clipped::of_bytes(record.payload().unwrap_or_default(), RECORD_BYTES_MAX),
    }
}

/// The message's id; without one, where it stands.
fn id(record: &BorrowedMessage<'_>) -> Vec<u8> {
    let named = record.headers().and_then(|headers| headers.iter().find(|header| header.key == MESSAGE_ID)?.value);
    named.map_or_else(|| format!("{}@{}", record.partition(), record.offset()).into_bytes(), <[u8]>::to_vec)
}
