//! One transaction: what is dirty, the dead letters, and the position that both reflect.
//!
//! librdkafka ends a transaction only when each of its records is accounted for, and accounts for them only while it is
//! polled; the Rust client doesn't poll for an abort. So aborting goes in slices, with a poll in between: otherwise an abort
//! with anything in flight could only time out. A commit that was begun can't be aborted: what became of it is for a
//! successor to find out, whose takeover ends it one way or the other.

use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::shell::clock::Deadline;
use crate::shell::kafka::QuietContext;

/// The longest one transaction may take before it is given up, and the longest that giving it up may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long an abort waits between two polls.
const ABORT_SLICE: Duration = Duration::from_millis(100);

/// Bytes that are handed over at once: what fits one batch, however much its topic takes.
const PORTION_BYTES: usize = 512 << 10;

/// How long settling rests between two polls.
const SETTLE_PAUSE: Duration = Duration::from_micros(300);

/// Kafka's clients choose the partition, by the key.
pub const ANY_PARTITION: i32 = -1;

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
    commit_within(TIMEOUT, producer, writes)
}

fn commit_within(timeout: Duration, producer: &BaseProducer<QuietContext>, writes: &[Write<'_>]) -> Outcome {
    let deadline = Deadline::after(timeout);
    let written = producer.begin_transaction().and_then(|()| write_all(producer, writes, deadline));
    match written.and_then(|()| producer.commit_transaction(deadline.left())) {
        Ok(()) => Outcome::Committed,
        Err(error) if is_over(&error) || is_undecided(&error) => Outcome::Over(error),
        Err(error) => abort(timeout, producer, error),
    }
}

/// Hands over all records and waits until none is in flight: committing then takes milliseconds, while a commit's own flush
/// may wait out a whole poll.
fn write_all(
    producer: &BaseProducer<QuietContext>,
    writes: &[Write<'_>],
    deadline: Deadline,
) -> Result<(), KafkaError> {
    let mut in_flight = 0;
    for write in writes {
        send(producer, write, deadline)?;
        in_flight += write.key.len() + write.value.as_ref().map_or(0, Vec::len);
        // A producer that holds more than it may send turns round and round until it may.
        if in_flight > PORTION_BYTES {
            settle(producer, deadline);
            in_flight = 0;
        }
    }
    match settle(producer, deadline) {
        0 => Ok(()),
        _ => Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut)),
    }
}

/// Polls until every record is accounted for; returns how many are not.
fn settle(producer: &BaseProducer<QuietContext>, deadline: Deadline) -> i32 {
    while producer.in_flight_count() > 0 && !deadline.has_passed() {
        let before = producer.in_flight_count();
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == before {
            // the Rust client's own waiting spins for its last millisecond
            thread::park_timeout(SETTLE_PAUSE);
        }
    }
    producer.in_flight_count()
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

fn abort(timeout: Duration, producer: &BaseProducer<QuietContext>, error: KafkaError) -> Outcome {
    let deadline = Deadline::after(timeout);
    loop {
        match producer.abort_transaction(ABORT_SLICE) {
            Ok(()) => return Outcome::Aborted(error),
            Err(KafkaError::Transaction(unfinished)) if unfinished.is_retriable() && !deadline.has_passed() => {
                settle(producer, Deadline::after(ABORT_SLICE));
            }
            Err(worse) => {
                tracing::warn!(%error, "a transaction failed");
                return Outcome::Over(worse);
            }
        }
    }
}

/// A commit that has been asked for and not answered in time.
fn is_undecided(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

fn is_over(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_fatal(),
        other => matches!(other.rdkafka_error_code(), Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced)),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn what_a_broker_that_is_gone_did_not_take_is_aborted_and_can_be_written_again() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("state", 1, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("transactional.id", "lane.0");
        let producer: BaseProducer<QuietContext> = config.create_with_context(QuietContext).expect("a producer");
        producer.init_transactions(SOON).expect("transactions");
        let write =
            Write { topic: "state", partition: 0, key: b"position".into(), value: Some(b"7".into()), headers: None };

        cluster.broker_down(1).expect("a broker that ends");
        let outcome = commit_within(Duration::from_secs(1), &producer, std::slice::from_ref(&write));
        assert!(matches!(outcome, Outcome::Aborted(_)), "{outcome:?}");
        cluster.broker_up(1).expect("a broker that begins");
        let outcome = commit_within(SOON, &producer, &[write]);
        assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
    }
}
