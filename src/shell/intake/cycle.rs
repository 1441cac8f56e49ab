//! What has been read and is not yet committed.
//!
//! Reading goes in cycles. A cycle is everything that was read between two seals: the frames and dead letters it produced,
//! and the offsets it reached. Its offsets may be committed when Kafka has acknowledged all of its writes, and those of all
//! cycles before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::shell::kafka::Partition;
use crate::telemetry::IntakeReport;

/// One cycle that has been sealed.
#[derive(Debug, Default)]
pub struct Cycle {
    /// Writes that are not acknowledged.
    pub writes: usize,
    /// Next offset to be read, by partition.
    pub reached: BTreeMap<Partition, i64>,
    pub report: IntakeReport,
}

/// Sealed cycles, oldest first.
#[derive(Debug, Default)]
pub struct Cycles {
    first: u64,
    cycles: VecDeque<Cycle>,
    /// Acknowledgements of the cycle that is still open: a dead letter is written while its cycle is being read.
    early: usize,
}

impl Cycles {
    /// The number that the next sealed cycle will have.
    pub fn next_number(&self) -> u64 {
        self.first + self.cycles.len() as u64
    }

    pub fn seal(&mut self, mut cycle: Cycle) {
        cycle.writes = cycle.writes.saturating_sub(std::mem::take(&mut self.early));
        self.cycles.push_back(cycle);
    }

    pub fn acknowledge(&mut self, number: u64) {
        if number == self.next_number() {
            self.early += 1;
            return;
        }
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(cycle) = place.and_then(|place| self.cycles.get_mut(place)) {
            cycle.writes = cycle.writes.saturating_sub(1);
        }
    }

    /// Takes out the cycles that may be committed: their last offsets and what they settled.
    pub fn complete(&mut self) -> Option<Cycle> {
        let mut whole: Option<Cycle> = None;
        while self.cycles.front().is_some_and(|cycle| cycle.writes == 0) {
            let Some(cycle) = self.cycles.pop_front() else { break };
            self.first += 1;
            let into = whole.get_or_insert_default();
            into.reached.extend(cycle.reached);
            into.report.add(&cycle.report);
        }
        whole
    }

    pub fn unacknowledged(&self) -> usize {
        self.cycles.iter().map(|cycle| cycle.writes).sum()
    }

    /// Partitions that went away are not ours to commit.
    pub fn forget(&mut self, partitions: &[Partition]) {
        for cycle in &mut self.cycles {
            cycle.reached.retain(|partition, _| !partitions.contains(partition));
        }
    }
}

/// What became of one write.
#[derive(Debug)]
pub enum Ack {
    Written {
        cycle: u64,
    },
    /// The producer has given up on it; nothing after it may be committed.
    Failed(KafkaError),
}

/// Acknowledgements as they come; filled by the producer's callback, emptied by the thread that polls it.
#[derive(Debug, Default)]
pub struct Acks(Mutex<Vec<Ack>>);

impl Acks {
    pub fn take(&self) -> Vec<Ack> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A write that could not even be handed over.
    pub fn fail(&self, error: KafkaError) {
        self.note(Ack::Failed(error));
    }

    fn note(&self, ack: Ack) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ack);
    }
}

impl ClientContext for Acks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::shell::kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, cycle: Box<u64>) {
        let ack = match result {
            Ok(message) => {
                tracing::trace!(topic = message.topic(), "acknowledged");
                Ack::Written { cycle: *cycle }
            }
            Err((error, _)) => Ack::Failed(error.clone()),
        };
        self.note(ack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(writes: usize, reached: i64) -> Cycle {
        let partition = Partition { topic: "t".into(), number: 0 };
        let report = IntakeReport { consumed: 1, ..IntakeReport::default() };
        Cycle { writes, reached: BTreeMap::from([(partition, reached)]), report }
    }

    #[test]
    fn a_cycle_waits_for_those_before_it() {
        let mut cycles = Cycles::default();
        for (writes, reached) in [(2, 10), (1, 20), (0, 30)] {
            cycles.seal(cycle(writes, reached));
        }
        cycles.acknowledge(1);
        assert!(cycles.complete().is_none());
        cycles.acknowledge(0);
        assert!(cycles.complete().is_none());
        cycles.acknowledge(0);
        let whole = cycles.complete().expect("all acknowledged");
        assert_eq!((whole.reached.values().copied().collect::<Vec<_>>(), whole.report.consumed), (vec![30], 3));
        assert_eq!((cycles.next_number(), cycles.unacknowledged()), (3, 0));
    }

    #[test]
    fn a_write_may_be_acknowledged_before_its_cycle_is_sealed() {
        let mut cycles = Cycles::default();
        cycles.acknowledge(0);
        cycles.seal(cycle(2, 10));
        assert_eq!((cycles.complete().is_none(), cycles.unacknowledged()), (true, 1));
        cycles.acknowledge(0);
        assert_eq!(cycles.complete().map(|whole| whole.report.consumed), Some(1));
        cycles.seal(cycle(1, 20));
        assert!(cycles.complete().is_none(), "the next cycle waits for its own");
    }

    #[test]
    fn what_went_away_is_not_committed() {
        let mut cycles = Cycles::default();
        cycles.seal(cycle(0, 10));
        cycles.forget(&[Partition { topic: "t".into(), number: 0 }]);
        assert!(cycles.complete().expect("acknowledged").reached.is_empty());
    }
}
