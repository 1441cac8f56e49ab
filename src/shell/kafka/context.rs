//! Callbacks of Kafka clients: they note what happened and never block.
//!
//! A rebalance is only noted; whoever polls the consumer takes it from [`Assignments`] and answers with
//! `incremental_assign` or `incremental_unassign` when it is ready to. While a consumer is being closed nobody polls any more,
//! so then the callback answers itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::telemetry::Telemetry;

/// A topic's partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub topic: Box<str>,
    pub number: i32,
}

/// What the group told a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    Assigned(Vec<Partition>),
    /// To be given up; the group waits until they are.
    Revoked(Vec<Partition>),
    /// The group has already given them to somebody else.
    Lost(Vec<Partition>),
}

/// What the group told a member and the member has not answered yet.
#[derive(Debug, Default)]
pub struct Assignments {
    events: Mutex<VecDeque<GroupEvent>>,
    closing: AtomicBool,
}

impl Assignments {
    /// The next event, oldest first.
    pub fn next(&self) -> Option<GroupEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// From now on the callback answers by itself.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn note(&self, event: GroupEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// The context of a group member.
#[derive(Default)]
pub struct GroupContext {
    pub assignments: Assignments,
    measured: Option<(Arc<Telemetry>, Box<str>)>,
}

impl GroupContext {
    /// One whose lag is told under this name, as often as its client takes statistics.
    pub fn measured(telemetry: Arc<Telemetry>, member: &str) -> Self {
        Self { assignments: Assignments::default(), measured: Some((telemetry, member.into())) }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }

    fn stats(&self, statistics: Statistics) {
        if let Some((telemetry, member)) = &self.measured {
            telemetry.process.lags(member, lags(&statistics));
        }
    }
}

/// Of the partitions that are being read: how many records are not committed.
fn lags(statistics: &Statistics) -> BTreeMap<(Box<str>, i32), Option<u64>> {
    let mut lags = BTreeMap::new();
    for (topic, partitions) in &statistics.topics {
        let read = partitions.partitions.iter().filter(|(_, partition)| partition.fetch_state == "active");
        lags.extend(
            read.map(|(number, partition)| {
                ((topic.as_str().into(), *number), u64::try_from(partition.consumer_lag).ok())
            }),
        );
    }
    lags
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.assignments.closing.load(Ordering::Acquire) {
            let answer = if assigned {
                consumer.incremental_assign(partitions)
            } else {
                consumer.incremental_unassign(partitions)
            };
            return answer.unwrap_or_else(|error| tracing::debug!(%error, "rebalance while closing"));
        }
        let listed = listed(partitions);
        self.assignments.note(match (assigned, consumer.assignment_lost()) {
            (true, _) => GroupEvent::Assigned(listed),
            (false, false) => GroupEvent::Revoked(listed),
            (false, true) => GroupEvent::Lost(listed),
        });
    }
}

/// The context of clients that have nothing to tell but log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for QuietContext {}

impl ProducerContext for QuietContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: Self::DeliveryOpaque) {}
}

fn listed(partitions: &TopicPartitionList) -> Vec<Partition> {
    partitions
        .elements()
        .iter()
        .map(|element| Partition { topic: element.topic().into(), number: element.partition() })
        .collect()
}

pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, message, "kafka client");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(facility, message, "kafka client");
        }
    }
}
