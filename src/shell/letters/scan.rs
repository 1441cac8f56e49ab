//! The dead-letters topic, from its beginning to where it ends when the scan begins.
//!
//! Partitions come one after another, each in order; a marker comes after the letter that it marks. Blocks; keeps nothing.

use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use thiserror::Error;

use super::{Entry, LetterId};
use crate::config;
use crate::shell::kafka::{Names, QuietContext, ReadError, reader_config, scan_partition};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the topic can't be read.
#[derive(Debug, Error)]
pub enum ScanError {
    #[error("kafka at {bootstrap} is not reachable: {error}")]
    Unreachable { bootstrap: String, error: KafkaError },
    #[error("topic {0} does not exist: `missived topics create` makes it")]
    NoTopic(String),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Shows every entry to `on_entry`.
pub fn scan(kafka: &config::Kafka, names: &Names, mut on_entry: impl FnMut(Entry)) -> Result<(), ScanError> {
    for partition in 0..partitions(kafka, &names.dead_letters)? {
        scan_partition(kafka, &names.dead_letters, partition, 0, |record| {
            on_entry(Entry::read(record));
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

/// One entry, if it is there.
pub fn find(kafka: &config::Kafka, names: &Names, id: LetterId) -> Result<Option<Entry>, ScanError> {
    if id.partition >= partitions(kafka, &names.dead_letters)? {
        return Ok(None);
    }
    let mut found = None;
    scan_partition(kafka, &names.dead_letters, id.partition, id.offset, |record| {
        found = Some(Entry::read(record)).filter(|_| rdkafka::Message::offset(record) == id.offset);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// How many partitions a topic has.
fn partitions(kafka: &config::Kafka, topic: &str) -> Result<i32, ScanError> {
    let unreachable = |error| ScanError::Unreachable { bootstrap: kafka.bootstrap.clone(), error };
    let client: BaseConsumer<QuietContext> =
        reader_config(kafka).create_with_context(QuietContext).map_err(unreachable)?;
    let metadata = client.fetch_metadata(None, REQUEST_TIMEOUT).map_err(unreachable)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let count = found.map(|found| found.partitions().len()).filter(|count| *count > 0);
    let count = count.ok_or_else(|| ScanError::NoTopic(topic.to_owned()))?;
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}
