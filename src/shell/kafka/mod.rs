//! Kafka clients and the names of what is ours in Kafka.
//!
//! Every client is made here, so that what our promises rest on is set in one place: idempotent producers that acknowledge
//! from all replicas and never leave a gap, consumers that commit nothing by themselves and read only what was committed.

mod context;
mod installation;
mod raw;
mod reader;
mod topics;

use rdkafka::ClientConfig;

pub(super) use context::log;
pub use context::{Assignments, GroupContext, GroupEvent, Partition, QuietContext};
pub use installation::{Installation, InstallationError, install, installed};
pub use raw::{Batches, Fetched, topic_ids};
pub use reader::{
    ReadError, ScanError, follow_topic, partitions_of, read_partition, read_stable_part, scan_partition, scan_topic,
    wait_until_stable,
};
pub use topics::{TopicError, TopicState, create_topics, list_topics, trim};

use crate::config;

/// Key of the state record that closes a transaction which Kafka has left open; it never has a value.
pub const CLOSING_KEY: &str = "closing";

/// Names of topics, groups and transactions, all under one namespace.
#[derive(Clone, Debug)]
pub struct Names {
    namespace: Box<str>,
    pub ledger: String,
    pub state: String,
    pub replies: String,
    pub dead_letters: String,
    pub decisions: String,
    pub intake_group: String,
    pub lane_group: String,
}

impl Names {
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ledger: format!("{namespace}.ledger"),
            state: format!("{namespace}.state"),
            replies: format!("{namespace}.replies"),
            dead_letters: format!("{namespace}.dead-letters"),
            decisions: format!("{namespace}.decisions"),
            intake_group: format!("{namespace}.intake"),
            lane_group: format!("{namespace}.lane"),
        }
    }

    /// Fences every earlier owner of a ledger partition.
    pub fn transactional_id(&self, partition: i32) -> String {
        format!("{}.lane.{partition}", self.namespace)
    }

    /// Fences every other replay of dead letters.
    pub fn replay_id(&self) -> String {
        format!("{}.dead-letters.replay", self.namespace)
    }

    /// Fences every other instance that is just starting.
    pub fn installation_id(&self) -> String {
        format!("{}.installation", self.namespace)
    }
}

/// What every client shares; the user's own settings first, so that they can't undo ours.
fn base(kafka: &config::Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (key, value) in &kafka.librdkafka {
        client.set(key, value);
    }
    client.set("bootstrap.servers", &kafka.bootstrap);
    client.set("client.id", format!("missived-{}", env!("CARGO_PKG_VERSION")));
    client
}

/// For admin requests.
pub fn admin_config(kafka: &config::Kafka) -> ClientConfig {
    base(kafka)
}

/// A member of a consumer group; `member` tells members of one instance apart.
pub fn group_config(kafka: &config::Kafka, group: &str, member: &str) -> ClientConfig {
    let mut client = base(kafka);
    client.set("group.id", group);
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("session.timeout.ms", kafka.session_timeout.as_millis().to_string());
    client.set("heartbeat.interval.ms", (kafka.session_timeout.as_millis() / 5).max(1).to_string());
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("auto.offset.reset", "earliest");
    client.set("isolation.level", "read_committed");
    client.set("fetch.wait.max.ms", "100");
    client.set("queued.max.messages.kbytes", "16384");
    if let Some(instance) = &kafka.instance {
        client.set("group.instance.id", format!("{instance}.{member}"));
    }
    client
}

/// Reads partitions that it is told to read; in no group.
pub fn reader_config(kafka: &config::Kafka) -> ClientConfig {
    let mut client = base(kafka);
    client.set("group.id", format!("{}.reader", kafka.namespace));
    // it has no session, but librdkafka holds the user's `max.poll.interval.ms` against it
    client.set("session.timeout.ms", kafka.session_timeout.as_millis().to_string());
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("auto.offset.reset", "earliest");
    client.set("isolation.level", "read_committed");
    client.set("enable.partition.eof", "true");
    client.set("fetch.wait.max.ms", "50");
    client.set("fetch.error.backoff.ms", "20");
    client.set("topic.metadata.refresh.fast.interval.ms", "20");
    client.set("socket.nagle.disable", "true");
    client.set("queued.max.messages.kbytes", "16384");
    // when so much has been fetched, what is left is fetched as soon as there is room, not a second later
    client.set("fetch.queue.backoff.ms", "5");
    client
}

/// An idempotent producer that retries for ever and never leaves a gap.
pub fn producer_config(kafka: &config::Kafka) -> ClientConfig {
    let mut client = base(kafka);
    client.set("enable.idempotence", "true");
    client.set("enable.gapless.guarantee", "true");
    client.set("acks", "all");
    client.set("message.timeout.ms", "0");
    client.set("linger.ms", "1");
    client.set("compression.type", "lz4");
    client.set("message.max.bytes", kafka.topics.message_bytes_max.to_string());
    client.set("queue.buffering.max.kbytes", "65536");
    client
}

/// A producer whose every message is answered for in time, one way or the other.
pub fn bounded_producer_config(kafka: &config::Kafka, message_timeout: std::time::Duration) -> ClientConfig {
    let mut client = producer_config(kafka);
    client.set("enable.gapless.guarantee", "false");
    client.set("message.timeout.ms", message_timeout.as_millis().to_string());
    // While one request is under way the next batch comes together. An idempotent client that has records to send, and others of
    // their partition on the wire, spins until they are acknowledged: with one request at a time, and records that stay in their
    // queue for about as long as a request takes, it seldom has.
    client.set("max.in.flight.requests.per.connection", "1");
    client.set("linger.ms", "0.3");
    client
}

/// The transactional producer of replays: what it leaves open keeps readers of the source topics waiting, so it may not be
/// open for long; and records are as large as their topics take them.
pub fn replay_config(kafka: &config::Kafka, transactional_id: &str) -> ClientConfig {
    let mut client = transactional_config(kafka, transactional_id);
    client.set("transaction.timeout.ms", "10000");
    client.set("message.max.bytes", "100000000");
    client
}

/// The transactional producer of one ledger partition's owner.
pub fn transactional_config(kafka: &config::Kafka, transactional_id: &str) -> ClientConfig {
    let mut client = base(kafka);
    client.set("transactional.id", transactional_id);
    client.set("transaction.timeout.ms", "30000");
    client.set("acks", "all");
    // the state of a flood is thousands of records: in few batches, not in as many as there are records
    client.set("linger.ms", "1");
    client.set("batch.size", kafka.topics.message_bytes_max.to_string());
    client.set("compression.type", "lz4");
    client.set("message.max.bytes", kafka.topics.message_bytes_max.to_string());
    client.set("queue.buffering.max.kbytes", "65536");
    client
}
