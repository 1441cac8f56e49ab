//! The ingest endpoint: `POST /ingest/<source>`, proven, written to the source's topic, and only then answered with 200.
//!
//! What a request must prove and which records it becomes is decided in [`crate::hook::ingest`]; connections, TLS, quotas and
//! deadlines are [`super::edge`]'s. All records of a body are acknowledged by all replicas, or the answer is 503 and the
//! sender sends all of them again: what has been written already is a duplicate for the lane. Answers are the hook's
//! (`shell::hook`); 404 is told only to those who have the token.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::edge::{self, Edge, Late, Origin, Service, TlsError, Visit};
use crate::config;
use crate::event::Timestamp;
use crate::hook::Refusal;
use crate::hook::ingest::{Gate, Gates, Record, records};
use crate::telemetry::hook::{GateCounters, Listener, Outcome, Unwritten};

/// Where `now` comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything that requests have in common.
pub struct Ingest {
    kafka_timeout: Duration,
    edge: Arc<Edge>,
    gates: Gates,
    producer: FutureProducer,
    counters: GateCounters,
    clock: Clock,
}

impl Ingest {
    /// The producer is idempotent, waits for all replicas and gives up on its own.
    pub fn new(config: config::Ingest, producer: FutureProducer, clock: Clock) -> Result<Self, TlsError> {
        let counters = GateCounters::new(&config.gates);
        let body_bytes_max = config.edge.body_bytes_max;
        let edge = Arc::new(Edge::new(config.edge, Listener::Ingest)?);
        let gates = Gates::new(config.gates, config.token.as_ref(), body_bytes_max);
        Ok(Self { kafka_timeout: config.kafka_timeout, edge, gates, producer, counters, clock })
    }

    /// The same ingest with another config: connections, quotas and certificates stay.
    #[must_use]
    pub fn renewed(&self, config: config::Ingest, producer: FutureProducer) -> Self {
        let counters = GateCounters::new(&config.gates);
        let gates = Gates::new(config.gates, config.token.as_ref(), config.edge.body_bytes_max);
        let (edge, clock) = (Arc::clone(&self.edge), Arc::clone(&self.clock));
        Self { kafka_timeout: config.kafka_timeout, edge, gates, producer, counters, clock }
    }

    async fn write(&self, visit: &Visit<'_>, gate: &Gate, records: &[Record]) -> Outcome {
        let sent: Result<Vec<DeliveryFuture>, Unwritten> =
            records.iter().map(|record| self.send(gate, record)).collect();
        let acknowledged = async {
            for delivery in sent? {
                delivery.await.map_err(|_| Unwritten::Rejected)?.map_err(|(error, _)| {
                    tracing::warn!(%error, source = %gate.source, "not written");
                    Unwritten::Rejected
                })?;
            }
            Ok(())
        };
        match visit.within(self.kafka_timeout, acknowledged).await {
            Ok(Ok(())) => Outcome::Accepted,
            Ok(Err(why)) => Outcome::Unwritten(why),
            Err(Late) => Outcome::Unwritten(Unwritten::Late),
        }
    }

    fn send(&self, gate: &Gate, record: &Record) -> Result<DeliveryFuture, Unwritten> {
        let record = FutureRecord::to(&gate.topic).key(&*record.key).payload(&record.value);
        self.producer.send_result(record).map_err(|(error, _)| {
            tracing::warn!(%error, source = %gate.source, "not taken by the Kafka client");
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge) => Unwritten::TooLarge,
                _ => Unwritten::Rejected,
            }
        })
    }
}

impl Service for Ingest {
    fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    fn known(&self, path: &str) -> Option<&str> {
        self.gates.known(path).map(|gate| gate.source.as_ref())
    }

    async fn outcome(
        &self,
        request: Box<Request<Incoming>>,
        visit: &Visit<'_>,
        origin: Origin,
    ) -> Result<Outcome, Refusal> {
        let (head, body) = request.into_parts();
        let mut admitted = self.gates.admit((self.clock)(), &edge::plain(&head, visit)?)?;
        drop(head);
        self.edge.admit(origin)?;
        let _load = self.edge.pour(visit, body, |chunk| admitted.proving.push(chunk)).await?;
        let body = admitted.proving.finish((self.clock)())?;
        visit.proven();
        let records = records(admitted.gate.sender, body)?;
        Ok(self.write(visit, admitted.gate, &records).await)
    }

    fn count(&self, source: Option<&str>, outcome: Outcome) {
        self.counters.count(source, outcome);
    }
}
