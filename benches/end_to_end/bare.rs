//! What broker and client library can give: a consumer that does nothing but read, in this process, one record at a time.
//!
//! It has the fetch settings that the daemon's intake had when this was written, and one thread of its own.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::meter::{self, Cpu};
use crate::support::wait::timed;

/// For the next record.
const PATIENCE: Duration = Duration::from_secs(60);

/// What reading alone took.
pub struct Bare {
    pub seconds: f64,
    pub cpu: Cpu,
}

/// Reads every event of the topic.
pub fn measure(bootstrap: &str, topic: &str, events: u64) -> Bare {
    let before = meter::cpu(std::process::id());
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "bench-bare").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.set("fetch.message.max.bytes", "4194304").create().expect("a consumer");
    consumer.assign(&beginning(&consumer, topic)).expect("partitions are assigned");
    // the clock starts with the first record
    read(&consumer, 1);
    let ((), took) = timed(|| read(&consumer, events - 1));
    drop(consumer);
    Bare { seconds: took.as_secs_f64(), cpu: meter::cpu(std::process::id()).since(before) }
}

fn read(consumer: &BaseConsumer, events: u64) {
    for _ in 0..events {
        drop(consumer.poll(PATIENCE).expect("a record soon").expect("no error"));
    }
}

fn beginning(consumer: &BaseConsumer, topic: &str) -> TopicPartitionList {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("an answer from Kafka");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
    }
    list
}
