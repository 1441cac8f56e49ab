//! Does for the state topic what Kafka's compaction does: nothing that is the newest of its key gets lost.
//!
//! The mock drops the oldest of a partition's records at 5 MB, whatever their keys. So the demo reads along, keeps the newest
//! value of every key, and before a daemon starts again writes all of them anew behind the others. A tombstone ends a key.
//! Held are as many bytes as the lane's state has, which its config bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{follower, settings};
use crate::shell::clock::Deadline;
use crate::shell::kafka::QuietContext;

/// How long reading to the end, or writing everything, may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The newest value of every key.
pub struct Keeper {
    bootstrap: String,
    consumer: BaseConsumer<QuietContext>,
    latest: BTreeMap<(i32, Vec<u8>), Vec<u8>>,
    /// The next offset to be read, by partition.
    reached: BTreeMap<i32, i64>,
}

impl Keeper {
    pub fn new(bootstrap: &str) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer<QuietContext> = follower(bootstrap).create_with_context(QuietContext)?;
        let mut assignment = TopicPartitionList::new();
        let mut reached = BTreeMap::new();
        for (topic, partitions) in settings::topics() {
            for partition in (0..partitions).filter(|_| topic == settings::state_topic()) {
                assignment.add_partition_offset(&topic, partition, Offset::Beginning)?;
                reached.insert(partition, 0);
            }
        }
        consumer.assign(&assignment)?;
        Ok(Self { bootstrap: bootstrap.to_owned(), consumer, latest: BTreeMap::new(), reached })
    }

    /// Takes in what has come. To be called often enough that 5 MB don't pass by.
    pub fn read_along(&mut self) {
        let Self { consumer, latest, reached, .. } = self;
        while let Some(polled) = consumer.poll(Duration::ZERO) {
            match polled {
                Ok(record) => keep(latest, reached, &record),
                Err(error) => tracing::debug!(%error, "reading the state along"),
            }
        }
    }

    /// After the daemon has ended: reads to the end, and writes everything anew. Blocks.
    pub fn write_anew(&mut self) -> Result<(), KafkaError> {
        self.read_to_end()?;
        let producer: BaseProducer<QuietContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .create_with_context(QuietContext)?;
        let topic = settings::state_topic();
        for ((partition, key), value) in &self.latest {
            let record = BaseRecord::to(&topic).partition(*partition).key(key).payload(value);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(TIMEOUT)?;
        let bytes: usize = self.latest.iter().map(|((_, key), value)| key.len() + value.len()).sum();
        tracing::info!(records = self.latest.len(), bytes, "wrote the newest of the state anew");
        Ok(())
    }

    fn read_to_end(&mut self) -> Result<(), KafkaError> {
        let deadline = Deadline::after(TIMEOUT);
        let topic = settings::state_topic();
        for partition in self.reached.keys().copied().collect::<Vec<_>>() {
            let (begin, end) = self.consumer.fetch_watermarks(&topic, partition, TIMEOUT)?;
            tracing::debug!(partition, begin, end, "the state as the mock kept it");
            while self.reached.get(&partition).is_some_and(|reached| *reached < end) && !deadline.has_passed() {
                match self.consumer.poll(Duration::from_millis(20)) {
                    Some(Ok(record)) => keep(&mut self.latest, &mut self.reached, &record),
                    Some(Err(error)) => tracing::debug!(%error, "reading the state along"),
                    None => {}
                }
            }
        }
        Ok(())
    }
}

fn keep(
    latest: &mut BTreeMap<(i32, Vec<u8>), Vec<u8>>,
    reached: &mut BTreeMap<i32, i64>,
    record: &BorrowedMessage<'_>,
) {
    reached.insert(record.partition(), record.offset() + 1);
    let key = (record.partition(), record.key().unwrap_or_default().to_vec());
    match record.payload() {
        Some(value) => latest.insert(key, value.to_vec()),
        None => latest.remove(&key),
    };
}
