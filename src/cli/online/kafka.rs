//! What of Kafka can be proven without changing anything: topics, groups, permissions.
//!
//! What is written is in a transaction that is aborted. Deleting records and creating topics are not tried.

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{Fault, PATIENCE, Proof};
use crate::config::Config;
use crate::shell::kafka::{Names, QuietContext, group_config, list_topics, reader_config, transactional_config};

/// One proof a topic, group and permission.
pub(super) fn proofs(config: &Config) -> Vec<Proof> {
    let names = Names::new(&config.kafka.namespace);
    let mut proofs = vec![Proof { what: "kafka: internal topics".to_owned(), outcome: internal(config, &names) }];
    for source in &config.sources {
        proofs.push(Proof { what: format!("kafka: read {}", source.topic), outcome: readable(config, &source.topic) });
    }
    for group in [&names.intake_group, &names.lane_group] {
        proofs.push(Proof { what: format!("kafka: group {group}"), outcome: group_known(config, &names, group) });
    }
    proofs.push(Proof { what: "kafka: transactions".to_owned(), outcome: writable(config, &names) });
    proofs
}

/// Kafka's own words for a lack of permission are easily overlooked.
pub(super) fn said(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
        ) => format!("not allowed: {error}"),
        Some(_) | None => error.to_string(),
    }
}

fn internal(config: &Config, names: &Names) -> Result<String, Fault> {
    let topics = list_topics(&config.kafka, names)?;
    let missing: Vec<&str> =
        topics.iter().filter(|topic| topic.partitions_found == 0).map(|topic| topic.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(format!("all {} are there", topics.len()));
    }
    Ok(format!("{} missing: created at the start, or by `missived topics create`", missing.join(", ")))
}

fn readable(config: &Config, topic: &str) -> Result<String, Fault> {
    let consumer: BaseConsumer<QuietContext> = reader_config(&config.kafka).create_with_context(QuietContext)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && !found.partitions().is_empty());
    let partitions = found.ok_or(Fault::NoTopic)?.partitions();
    let mut records = 0;
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
        records += high - low;
    }
    Ok(format!("{} partitions, {records} records", partitions.len()))
}

fn group_known(config: &Config, names: &Names, group: &str) -> Result<String, Fault> {
    let consumer: BaseConsumer<QuietContext> =
        group_config(&config.kafka, group, "check").create_with_context(QuietContext)?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&names.ledger, 0);
    let committed = consumer.committed_offsets(asked, PATIENCE)?;
    committed.elements().first().map_or(Ok(()), rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
    Ok("may be used".to_owned())
}

/// One record to each internal topic that is there, in a transaction that is aborted.
fn writable(config: &Config, names: &Names) -> Result<String, Fault> {
    let id = format!("{}.check", config.kafka.namespace);
    let producer: BaseProducer<QuietContext> =
        transactional_config(&config.kafka, &id).create_with_context(QuietContext)?;
    producer.init_transactions(PATIENCE)?;
    producer.begin_transaction()?;
    let there = list_topics(&config.kafka, names)?;
    let there: Vec<&str> =
        there.iter().filter(|topic| topic.partitions_found > 0).map(|topic| topic.name.as_str()).collect();
    for topic in &there {
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(0).key("check").payload("check");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    let flushed = producer.flush(PATIENCE);
    let failed = producer.in_flight_count() > 0 || flushed.is_err();
    let aborted = producer.abort_transaction(PATIENCE);
    match (failed, aborted) {
        (false, Ok(())) => Ok(format!("{} topics may be written", there.len())),
        (true, _) => Err(Fault::NotWritten(flushed.err().map_or("not in time".to_owned(), |error| said(&error)))),
        (false, Err(error)) => Err(error.into()),
    }
}
