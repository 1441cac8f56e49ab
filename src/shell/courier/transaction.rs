//! One transaction: what is dirty, the dead letters, and the position that both reflect.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::shell::clock::Deadline;
use crate::shell::kafka::QuietContext;

/// The longest one transaction may take before it is given up.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One record of a transaction; without a value it is a tombstone.
pub struct Write<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub headers: Option<rdkafka::message::OwnedHeaders>,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Outcome {
    Committed,
    /// Nothing of it is visible; the same may be tried again.
    Aborted(KafkaError),
    /// Somebody else owns the partition, or this producer is of no use any more.
    Over(KafkaError),
}

/// Writes everything in one transaction, or nothing.
pub fn commit(producer: &BaseProducer<QuietContext>, writes: &[Write<'_>]) -> Outcome {
    let deadline = Deadline::after(TIMEOUT);
    let written = begin(producer).and_then(|()| write_all(producer, writes, deadline));
    match written.and_then(|()| producer.commit_transaction(deadline.left())) {
        Ok(()) => Outcome::Committed,
        Err(error) if is_over(&error) => Outcome::Over(error),
        Err(error) => abort(producer, error),
    }
}

fn begin(producer: &BaseProducer<QuietContext>) -> Result<(), KafkaError> {
    producer.begin_transaction()
}

/// Hands over all records and waits until none is in flight: committing then takes milliseconds, while a commit's own flush
/// may wait out a whole poll.
fn write_all(
    producer: &BaseProducer<QuietContext>,
    writes: &[Write<'_>],
    deadline: Deadline,
) -> Result<(), KafkaError> {
    for write in writes {
        send(producer, write, deadline)?;
    }
    while producer.in_flight_count() > 0 {
        if deadline.has_passed() {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut));
        }
        producer.poll(Duration::from_millis(1));
    }
    Ok(())
}

fn send(producer: &BaseProducer<QuietContext>, write: &Write<'_>, deadline: Deadline) -> Result<(), KafkaError> {
    loop {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(write.topic).key(&write.key);
        if write.partition >= 0 {
            record = record.partition(write.partition);
        }
        if let Some(value) = &write.value {
            record = record.payload(value);
        }
        if let Some(headers) = &write.headers {
            record = record.headers(headers.clone());
        }
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) if !deadline.has_passed() => {
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn abort(producer: &BaseProducer<QuietContext>, error: KafkaError) -> Outcome {
    match producer.abort_transaction(TIMEOUT) {
        Ok(()) => Outcome::Aborted(error),
        Err(worse) => {
            tracing::warn!(%error, "a transaction failed");
            Outcome::Over(worse)
        }
    }
}

fn is_over(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_fatal(),
        other => matches!(other.rdkafka_error_code(), Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced)),
    }
}
