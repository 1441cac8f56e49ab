//! The ingest endpoint: `POST /ingest/<source>`, proven, written to the source's topic, and only then answered with 200.
//!
//! What a request must prove and which records it becomes is decided in [`crate::hook::ingest`]; connections, TLS, quotas and
//! deadlines are [`super::edge`]'s. All records of a body are acknowledged by all replicas, or the answer is 503 and the
//! sender sends all of them again: what has been written already is a duplicate for the lane. Answers are the hook's
//! (`shell::hook`); 404 is told only to those who have the token.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::edge::{self, Edge, Origin, Service, TlsError, Visit};
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

    /// What holds for every connection to the ingest.
    pub fn edge(&self) -> Arc<Edge> {
        Arc::clone(&self.edge)
    }

    async fn outcome(&self, request: Request<Incoming>, visit: &Visit, origin: Origin) -> Result<Outcome, Refusal> {
        let (head, body) = request.into_parts();
        let mut admitted = self.gates.admit((self.clock)(), &edge::plain(&head, visit)?)?;
        self.edge.admit(origin)?;
        let _load = self.edge.pour(body, |chunk| admitted.proving.push(chunk)).await?;
        let body = admitted.proving.finish((self.clock)())?;
        visit.proven();
        let records = records(admitted.gate.sender, &body)?;
        Ok(self.write(admitted.gate, &records).await)
    }

    async fn write(&self, gate: &Gate, records: &[Record]) -> Outcome {
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
        match timeout(self.kafka_timeout, acknowledged).await {
            Ok(Ok(())) => Outcome::Accepted,
            Ok(Err(why)) => Outcome::Unwritten(why),
            Err(_) => Outcome::Unwritten(Unwritten::Late),
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
    async fn answer(&self, request: Request<Incoming>, visit: Visit) -> Response<Full<Bytes>> {
        let source = self.gates.known(request.uri().path()).map(|gate| gate.source.as_ref());
        let origin = self.edge.origin(&visit, request.headers());
        let outcome = self.outcome(request, &visit, origin).await.unwrap_or_else(Outcome::Refused);
        if matches!(outcome, Outcome::Refused(Refusal::Unauthentic(_))) {
            self.edge.failed(origin);
        }
        tracing::debug!(source, outcome = outcome.label(), "ingest answered");
        self.counters.count(source, outcome);
        response(outcome)
    }

    fn malformed(&self) {
        self.counters.count(None, Outcome::Malformed);
    }
}

/// Serves the ingest until `stop` becomes true or its sender is gone; then requests under way may finish within `drain`.
pub async fn serve(listener: TcpListener, ingest: Arc<Ingest>, stop: watch::Receiver<bool>, drain: Duration) {
    edge::serve(listener, Arc::clone(&ingest.edge), ingest, stop, drain).await;
}

fn response(outcome: Outcome) -> Response<Full<Bytes>> {
    match outcome {
        Outcome::Accepted | Outcome::Repeated | Outcome::Probe => edge::taken(),
        Outcome::Unwritten(Unwritten::Late | Unwritten::Rejected | Unwritten::Busy) => edge::try_later(),
        Outcome::Unwritten(Unwritten::TooLarge) => edge::refused(Refusal::TooLarge),
        Outcome::Refused(refusal) => edge::refused(refusal),
        Outcome::Malformed => edge::refused(Refusal::Framing),
    }
}
