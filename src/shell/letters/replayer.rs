//! Writes replays: each batch in one transaction, together with the markers that say so.
//!
//! What must hold: a letter is replayed and marked, or neither; [`Replayer::replay`] returns when Kafka has acknowledged and
//! committed. Whoever reads the source topics must read what is committed, as the intake does. One replay runs at a time: a
//! second one fences the first, which then ends with [`ReplayError::Fenced`].

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use thiserror::Error;

use super::Returning;
use super::headers::{AT, KIND, LETTER_VERSION, REPLAYED_AS, REPLAYED_OFFSET, VERSION, WRITTEN_BY, written};
use crate::config;
use crate::event::Timestamp;
use crate::shell::clock::Deadline;
use crate::shell::kafka::{Names, QuietContext, replay_config};

/// How long a transaction may take; its broker gives up on it at the same time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a batch was not replayed. Nothing of it is visible to anybody.
#[derive(Debug, Error)]
pub enum ReplayError {
    #[error("another replay has begun; this one ends")]
    Fenced,
    #[error("kafka did not take it: {0}")]
    Aborted(KafkaError),
    #[error("kafka: {0}")]
    Over(KafkaError),
}

/// The one that replays.
pub struct Replayer<'a> {
    producer: BaseProducer<QuietContext>,
    names: &'a Names,
}

impl<'a> Replayer<'a> {
    /// Fences every other replay and aborts what it has left open.
    pub fn begin(kafka: &config::Kafka, names: &'a Names) -> Result<Self, ReplayError> {
        let config = replay_config(kafka, &names.replay_id());
        let producer: BaseProducer<QuietContext> =
            config.create_with_context(QuietContext).map_err(ReplayError::Over)?;
        producer.init_transactions(TIMEOUT).map_err(ReplayError::Over)?;
        Ok(Self { producer, names })
    }

    /// Replays all of them, or none.
    pub fn replay(&self, now: Timestamp, batch: &[Returning]) -> Result<(), ReplayError> {
        let deadline = Deadline::after(TIMEOUT);
        self.producer.begin_transaction().map_err(ReplayError::of)?;
        let written = batch.iter().try_for_each(|returning| self.write(now, returning, deadline));
        let committed = written.and_then(|()| self.settle(deadline));
        match committed.and_then(|()| self.producer.commit_transaction(TIMEOUT)) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.abort(error)),
        }
    }

    fn write(&self, now: Timestamp, returning: &Returning, deadline: Deadline) -> Result<(), KafkaError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&returning.topic);
        record.partition = returning.partition;
        record.key = returning.key.as_deref();
        record.payload = returning.value.as_deref();
        record.headers.clone_from(&returning.headers);
        self.send(record, deadline)?;
        let (offset, at) = (returning.letter.offset.to_string(), now.as_millis().to_string());
        let mut marker: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.names.dead_letters);
        marker.partition = Some(returning.letter.partition);
        marker.headers = Some(written([
            (LETTER_VERSION, VERSION),
            (KIND, "replayed"),
            (REPLAYED_OFFSET, &*offset),
            (REPLAYED_AS, returning.kind),
            (AT, &at),
            (WRITTEN_BY, env!("CARGO_PKG_VERSION")),
        ]));
        self.send(marker, deadline)
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8]>, deadline: Deadline) -> Result<(), KafkaError> {
        let mut record = record;
        while let Err((error, back)) = self.producer.send(record) {
            let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            if !full || deadline.has_passed() {
                return Err(error);
            }
            self.producer.poll(Duration::from_millis(5));
            record = back;
        }
        Ok(())
    }

    /// Committing right away would wait out a whole poll.
    fn settle(&self, deadline: Deadline) -> Result<(), KafkaError> {
        while self.producer.in_flight_count() > 0 {
            if deadline.has_passed() {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut));
            }
            self.producer.poll(Duration::from_millis(1));
        }
        Ok(())
    }

    fn abort(&self, error: KafkaError) -> ReplayError {
        match (ReplayError::of(error), self.producer.abort_transaction(TIMEOUT)) {
            (ReplayError::Fenced, _) => ReplayError::Fenced,
            (ReplayError::Over(error) | ReplayError::Aborted(error), Ok(())) => ReplayError::Aborted(error),
            (ReplayError::Over(_) | ReplayError::Aborted(_), Err(worse)) => ReplayError::of(worse),
        }
    }
}

impl ReplayError {
    fn of(error: KafkaError) -> Self {
        let fenced =
            [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::ProducerFenced, RDKafkaErrorCode::InvalidProducerEpoch];
        match error.rdkafka_error_code() {
            Some(code) if fenced.contains(&code) => Self::Fenced,
            Some(_) | None => Self::Over(error),
        }
    }
}
