//! The internal topics: created at start or by `missived topics create`, and checked when they are there already.
//!
//! The ledger keeps everything until it is trimmed behind the lanes' position; the state is compacted, with short segments so
//! that compaction reaches the records; partitions of both are frozen, because lanes are packed on them.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;

use super::context::QuietContext;
use super::{Names, admin_config};
use crate::config;
use crate::shell::clock::Deadline;

/// How long one admin request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before the cluster is asked again for what was just created.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why the internal topics are not as they must be.
#[derive(Debug, Error)]
pub enum TopicError {
    #[error("kafka is not reachable: {0}")]
    Unreachable(KafkaError),
    #[error("topic {topic} could not be created: {error}")]
    NotCreated { topic: String, error: RDKafkaErrorCode },
    #[error("topic {topic} was created, and the cluster doesn't show it within {} s", REQUEST_TIMEOUT.as_secs())]
    NotShown { topic: String },
    #[error(
        "topic {topic} has {found} partitions, the config says {wanted}; lanes are packed on partitions, so their number is \
         frozen: set kafka.topics.ledger_partitions = {found}"
    )]
    Partitions { topic: String, found: usize, wanted: i32 },
    #[error(transparent)]
    Kafka(KafkaError),
}

/// One internal topic as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    pub name: String,
    pub partitions_wanted: i32,
    /// 0: it does not exist.
    pub partitions_found: usize,
}

struct Wanted<'a> {
    name: &'a str,
    partitions: i32,
    frozen: bool,
    config: &'static [(&'static str, &'static str)],
    retention: Option<Duration>,
}

const KEEP: &[(&str, &str)] = &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
const DELETE: &[(&str, &str)] = &[("cleanup.policy", "delete")];
const COMPACT: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("delete.retention.ms", "3600000"),
];

fn wanted<'a>(names: &'a Names, topics: &config::Topics) -> Vec<Wanted<'a>> {
    let ledger = topics.ledger_partitions;
    let topic = |name, partitions, config| Wanted { name, partitions, frozen: false, config, retention: None };
    let mut wanted = vec![
        Wanted { frozen: true, ..topic(&names.ledger, ledger, KEEP) },
        Wanted { frozen: true, ..topic(&names.state, ledger, COMPACT) },
        topic(&names.replies, topics.reply_partitions, DELETE),
        topic(&names.dead_letters, 1, KEEP),
    ];
    if let Some(decisions) = topics.decisions {
        wanted.push(Wanted { retention: Some(decisions.retention), ..topic(&names.decisions, ledger, DELETE) });
    }
    wanted
}

/// The internal topics as they stand.
pub fn list_topics(kafka: &config::Kafka, names: &Names) -> Result<Vec<TopicState>, TopicError> {
    let client = admin(kafka)?;
    let found = partitions(&client)?;
    let states = wanted(names, &kafka.topics).into_iter().map(|topic| TopicState {
        name: topic.name.to_owned(),
        partitions_wanted: topic.partitions,
        partitions_found: found.get(topic.name).copied().unwrap_or(0),
    });
    Ok(states.collect())
}

/// Creates what is missing and checks what is there; returns the names of those created.
pub async fn create_topics(kafka: &config::Kafka, names: &Names) -> Result<Vec<String>, TopicError> {
    let client = admin(kafka)?;
    let found = partitions(&client)?;
    let all = wanted(names, &kafka.topics);
    for topic in all.iter().filter(|topic| topic.frozen) {
        match found.get(topic.name) {
            Some(found) if i32::try_from(*found) != Ok(topic.partitions) => {
                return Err(TopicError::Partitions {
                    topic: topic.name.to_owned(),
                    found: *found,
                    wanted: topic.partitions,
                });
            }
            Some(_) | None => {}
        }
    }
    let missing: Vec<_> = all.iter().filter(|topic| !found.contains_key(topic.name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let message_bytes_max = kafka.topics.message_bytes_max.to_string();
    let retentions: Vec<_> =
        missing.iter().map(|topic| topic.retention.map(|span| span.as_millis().to_string())).collect();
    let described = missing.iter().zip(&retentions);
    let new: Vec<_> = described
        .map(|(topic, retention)| {
            let new = new_topic(topic, kafka.topics.replication, &message_bytes_max);
            retention.iter().fold(new, |new, retention| new.set("retention.ms", retention))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT));
    for result in client.create_topics(&new, &options).await.map_err(TopicError::Kafka)? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => return Err(TopicError::NotCreated { topic, error }),
        }
    }
    shown(&client, &missing).await?;
    Ok(missing.iter().map(|topic| topic.name.to_owned()).collect())
}

/// Waits until the cluster shows what was created: a broker learns of a topic a moment after the controller.
async fn shown(client: &AdminClient<QuietContext>, created: &[&Wanted<'_>]) -> Result<(), TopicError> {
    let deadline = Deadline::after(REQUEST_TIMEOUT);
    loop {
        let found = partitions(client)?;
        let Some(unseen) = created.iter().find(|topic| !found.contains_key(topic.name)) else { return Ok(()) };
        if deadline.has_passed() {
            return Err(TopicError::NotShown { topic: unseen.name.to_owned() });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn new_topic<'a>(topic: &Wanted<'a>, replication: i32, message_bytes_max: &'a str) -> NewTopic<'a> {
    let new = NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(replication));
    let new = topic.config.iter().fold(new, |new, (key, value)| new.set(key, value));
    new.set("max.message.bytes", message_bytes_max)
}

fn admin(kafka: &config::Kafka) -> Result<AdminClient<QuietContext>, TopicError> {
    admin_config(kafka).create_with_context(QuietContext).map_err(TopicError::Kafka)
}

fn partitions(client: &AdminClient<QuietContext>) -> Result<BTreeMap<String, usize>, TopicError> {
    let metadata = client.inner().fetch_metadata(None, REQUEST_TIMEOUT).map_err(TopicError::Unreachable)?;
    let existing = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok(existing.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

/// Deletes a partition's records before `position`.
pub async fn trim(kafka: &config::Kafka, topic: &str, partition: i32, position: i64) -> Result<(), TopicError> {
    let client = admin(kafka)?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(position)).map_err(TopicError::Kafka)?;
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    client.delete_records(&offsets, &options).await.map(|_| ()).map_err(TopicError::Kafka)
}
