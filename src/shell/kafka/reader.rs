//! Reading partitions: a compacted one from its beginning to its true end, or any one from somewhere to where it ends now.
//!
//! A `read_committed` reader ends at the last stable offset. So first we wait until that is where the high watermark was at
//! the beginning (whatever a predecessor had open by then has ended; others may go on writing), then read until the
//! end-of-partition event; positions and watermarks do not tell, because a partition's last record may be a commit marker
//! that no reader sees.

use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;

use super::context::QuietContext;
use super::reader_config;
use crate::config;
use crate::event::Timestamp;
use crate::shell::clock::Deadline;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long learning which topics there are may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a scan waits for the next record.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why a partition could not be read whole.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("reading {topic} partition {partition}: {error}")]
    Kafka { topic: String, partition: i32, error: KafkaError },
    #[error("{topic} partition {partition} could not be read to its end in time")]
    TimedOut { topic: String, partition: i32 },
    #[error("{topic} partition {partition} could not be read to its end in time: a transaction in it is still open")]
    StillOpen { topic: String, partition: i32 },
}

/// Why a topic can't be scanned.
#[derive(Debug, Error)]
pub enum ScanError {
    #[error("kafka at {bootstrap} is not reachable: {error}")]
    Unreachable { bootstrap: String, error: KafkaError },
    #[error("topic {0} does not exist: `missived topics create` makes it")]
    NoTopic(String),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Shows every committed record of a partition to `on_record` (key and value; a tombstone has none), in order.
pub fn read_partition(
    kafka: &config::Kafka,
    topic: &str,
    partition: i32,
    timeout: Duration,
    on_record: impl FnMut(&[u8], Option<&[u8]>),
) -> Result<(), ReadError> {
    let deadline = Deadline::after(timeout);
    wait_until_stable(kafka, topic, partition, timeout)?;
    read_stable_part(kafka, topic, partition, deadline.left(), on_record)
}

/// The same up to the first transaction that is still open, if there is one: nothing is waited for.
pub fn read_stable_part(
    kafka: &config::Kafka,
    topic: &str,
    partition: i32,
    timeout: Duration,
    mut on_record: impl FnMut(&[u8], Option<&[u8]>),
) -> Result<(), ReadError> {
    let deadline = Deadline::after(timeout);
    let failed = |error| ReadError::Kafka { topic: topic.to_owned(), partition, error };
    let timed_out = || ReadError::TimedOut { topic: topic.to_owned(), partition };
    let consumer: BaseConsumer<QuietContext> =
        reader_config(kafka).create_with_context(QuietContext).map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
    consumer.assign(&assignment).map_err(failed)?;
    let whole = loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => show(&record, &mut on_record),
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(()),
            Some(Err(error)) => tracing::debug!(%error, topic, partition, "while reading a partition"),
            None => {}
        }
        if deadline.has_passed() {
            break Err(timed_out());
        }
    };
    close(consumer);
    whole
}

/// Shows the committed records of a partition to `on_record`, in order, from the first at or after `from` to where the
/// partition ends when this begins, or until it has seen enough. What has no end, such as a topic that is written all the
/// time, ends all the same; an open transaction is not waited for.
pub fn scan_partition(
    kafka: &config::Kafka,
    topic: &str,
    partition: i32,
    from: i64,
    mut on_record: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let failed = |error| ReadError::Kafka { topic: topic.to_owned(), partition, error };
    let consumer: BaseConsumer<QuietContext> =
        reader_config(kafka).create_with_context(QuietContext).map_err(failed)?;
    let (low, end) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed)?;
    if from >= end {
        return Ok(());
    }
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(from.max(low))).map_err(failed)?;
    consumer.assign(&assignment).map_err(failed)?;
    let mut deadline = Deadline::after(SILENCE_MAX);
    let scanned = loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) if record.offset() >= end => break Ok(()),
            Some(Ok(record)) => {
                deadline = Deadline::after(SILENCE_MAX);
                if on_record(&record).is_break() || record.offset() + 1 >= end {
                    break Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(()),
            Some(Err(error)) => tracing::debug!(%error, topic, partition, "while reading a partition"),
            None => {}
        }
        if deadline.has_passed() {
            break Err(ReadError::TimedOut { topic: topic.to_owned(), partition });
        }
    };
    close(consumer);
    scanned
}

/// Shows the committed records of a topic to `on_record`, one partition after another, each from its first record at or after
/// `since` to where it ends now; breaking ends its partition.
pub fn scan_topic(
    kafka: &config::Kafka,
    topic: &str,
    since: Option<Timestamp>,
    mut on_record: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), ScanError> {
    for partition in 0..partitions_of(kafka, topic)? {
        let from = match since {
            Some(since) => first_since(kafka, topic, partition, since)?,
            None => 0,
        };
        scan_partition(kafka, topic, partition, from, &mut on_record)?;
    }
    Ok(())
}

/// Shows what is committed from now on to `on_record`, of all partitions, until it breaks.
pub fn follow_topic(
    kafka: &config::Kafka,
    topic: &str,
    mut on_record: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), ScanError> {
    let partitions = partitions_of(kafka, topic)?;
    let failed = |error| ReadError::Kafka { topic: topic.to_owned(), partition: -1, error };
    let consumer: BaseConsumer<QuietContext> =
        reader_config(kafka).create_with_context(QuietContext).map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let (_, end) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed)?;
        assignment.add_partition_offset(topic, partition, Offset::Offset(end)).map_err(failed)?;
    }
    consumer.assign(&assignment).map_err(failed)?;
    loop {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(record)) if on_record(&record).is_break() => return Ok(()),
            Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => tracing::warn!(%error, topic, "while following a topic"),
        }
    }
}

/// How many partitions a topic has.
pub fn partitions_of(kafka: &config::Kafka, topic: &str) -> Result<i32, ScanError> {
    let unreachable = |error| ScanError::Unreachable { bootstrap: kafka.bootstrap.clone(), error };
    let client: BaseConsumer<QuietContext> =
        reader_config(kafka).create_with_context(QuietContext).map_err(unreachable)?;
    let metadata = client.fetch_metadata(None, METADATA_TIMEOUT).map_err(unreachable)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let count = found.map(|found| found.partitions().len()).filter(|count| *count > 0);
    let count = count.ok_or_else(|| ScanError::NoTopic(topic.to_owned()))?;
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// The offset of the first record at or after an instant; where there is none, the end.
fn first_since(kafka: &config::Kafka, topic: &str, partition: i32, since: Timestamp) -> Result<i64, ReadError> {
    let failed = |error| ReadError::Kafka { topic: topic.to_owned(), partition, error };
    let client: BaseConsumer<QuietContext> = reader_config(kafka).create_with_context(QuietContext).map_err(failed)?;
    let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(millis)).map_err(failed)?;
    let found = client.offsets_for_times(asked, REQUEST_TIMEOUT).map_err(failed)?;
    match found.find_partition(topic, partition).map(|found| found.offset()) {
        Some(Offset::Offset(offset)) => Ok(offset),
        _ => Ok(i64::MAX),
    }
}

/// Closing a consumer takes a tenth of a second, and nobody needs to wait for it.
fn close(consumer: BaseConsumer<QuietContext>) {
    let closing = std::thread::Builder::new().name("close".into()).spawn(move || drop(consumer));
    closing.map_or_else(|error| tracing::debug!(%error, "closed a reader in place"), drop);
}

fn show(record: &BorrowedMessage<'_>, on_record: &mut impl FnMut(&[u8], Option<&[u8]>)) {
    if let Some(key) = record.key() {
        on_record(key, record.payload());
    }
}

/// Waits until everything that was written before this began has been committed or aborted.
pub fn wait_until_stable(
    kafka: &config::Kafka,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(), ReadError> {
    let deadline = Deadline::after(timeout);
    let (committed, uncommitted) = (asking(kafka, "read_committed"), asking(kafka, "read_uncommitted"));
    let failed = |error| ReadError::Kafka { topic: topic.to_owned(), partition, error };
    let (committed, uncommitted) = (committed.map_err(failed)?, uncommitted.map_err(failed)?);
    let end_of = |client: &BaseConsumer<QuietContext>| {
        let watermarks = client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT);
        watermarks.inspect_err(|error| tracing::debug!(%error, topic, partition, "watermarks")).ok().map(|(_, end)| end)
    };
    let mut written = None;
    while !deadline.has_passed() {
        written = written.or_else(|| end_of(&uncommitted));
        match (end_of(&committed), written) {
            (Some(stable), Some(written)) if stable >= written => return Ok(()),
            (Some(_), Some(_)) => tracing::debug!(topic, partition, "a transaction is still open"),
            (None, _) | (_, None) => {}
        }
        committed.poll(Duration::from_millis(20));
    }
    Err(match written {
        Some(_) => ReadError::StillOpen { topic: topic.to_owned(), partition },
        None => ReadError::TimedOut { topic: topic.to_owned(), partition },
    })
}

/// A client that only asks for watermarks; outside of any group it has nothing to close.
fn asking(kafka: &config::Kafka, isolation_level: &str) -> Result<BaseConsumer<QuietContext>, KafkaError> {
    let mut config = reader_config(kafka);
    config.set("isolation.level", isolation_level);
    config.remove("group.id");
    config.create_with_context(QuietContext)
}
