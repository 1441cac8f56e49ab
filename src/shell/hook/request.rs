//! One request, from its head to its answer.
//!
//! What must hold: no byte of a body is interpreted before its proof, and no 2xx before Kafka's acknowledgement. The write
//! goes on in a task of its own when the caller hangs up or the wait for Kafka runs out, so that a repeat finds its outcome
//! instead of writing again.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::time::timeout;

use super::Clock;
use super::memory::{self, Memory, Progress, Turn, Writer};
use super::outlet::{Outlet, Parcel, Writing};
use super::recall::recall;
use crate::config;
use crate::hook::{Doors, Heard, Proven, Refusal, ReplayKey, hear};
use crate::shell::edge::{self, Edge, Origin, Service, TlsError, Visit};
use crate::telemetry::hook::{Counters, Listener, Outcome, Unwritten, remembered};

/// Everything that requests have in common.
pub struct Hook {
    config: config::Hook,
    edge: Arc<Edge>,
    doors: Doors,
    outlet: Outlet,
    memory: Arc<Memory>,
    counters: Counters,
    clock: Clock,
}

impl Hook {
    pub fn new(config: config::Hook, outlet: Outlet, clock: Clock) -> Result<Self, TlsError> {
        let edge = Arc::new(Edge::new(config.edge.clone(), Listener::Hook)?);
        let doors = Doors::new(config.doors.iter().cloned(), config.edge.body_bytes_max)
            .with_signature_headers(config.signature_headers.clone());
        let counters = Counters::new(&config.doors);
        Ok(Self { config, edge, doors, outlet, memory: Arc::default(), counters, clock })
    }

    /// The same hook with another config: connections, quotas, certificates and what was heard stay.
    pub fn renewed(&self, config: config::Hook, outlet: Outlet) -> Self {
        let doors = Doors::new(config.doors.iter().cloned(), config.edge.body_bytes_max)
            .with_signature_headers(config.signature_headers.clone());
        let counters = Counters::new(&config.doors);
        let (edge, memory) = (Arc::clone(&self.edge), Arc::clone(&self.memory));
        Self { config, edge, doors, outlet, memory, counters, clock: Arc::clone(&self.clock) }
    }

    /// Reads back which requests were heard before this process began. Blocks; without Kafka, nothing is known.
    pub fn recall(&self, kafka: &config::Kafka) {
        match recall((self.clock)(), kafka, &self.outlet.replies, &self.memory) {
            Ok(count) => {
                tracing::info!(count, "replies remembered against repeats");
                remembered(count);
            }
            Err(error) => tracing::warn!(%error, "replies could not be read; repeats may be written again"),
        }
    }

    /// What holds for every connection to the hook.
    pub fn edge(&self) -> Arc<Edge> {
        Arc::clone(&self.edge)
    }

    async fn outcome(&self, request: Request<Incoming>, visit: &Visit, origin: Origin) -> Result<Outcome, Refusal> {
        let (head, body) = request.into_parts();
        let mut proving = self.doors.admit(&edge::plain(&head, visit)?)?;
        self.edge.admit(origin)?;
        let _load = self.edge.pour(body, |chunk| proving.push(chunk)).await?;
        let now = (self.clock)();
        let proven = proving.finish(now)?;
        visit.proven();
        self.counters.proven(&proven.door.channel, proven.by);
        let heard = hear(now, proven.door, &proven.body)?;
        Ok(self.hand_on(&proven, &heard).await)
    }

    /// Sees to it that Kafka has what was heard, once.
    async fn hand_on(&self, proven: &Proven<'_>, heard: &Heard) -> Outcome {
        let reply = match heard {
            Heard::Reply(reply) | Heard::Rule(reply) => reply,
            Heard::Probe => {
                tracing::info!(channel = %proven.door.channel, "webhook probed");
                return Outcome::Probe;
            }
        };
        let now = (self.clock)();
        let replay = ReplayKey::new(&proven.door.channel, heard, &proven.body);
        match self.memory.turn(now, replay.clone()) {
            Turn::Known => Outcome::Repeated,
            Turn::Full => Outcome::Unwritten(Unwritten::Busy),
            Turn::Repeat(progress) => self.wait(progress, Outcome::Repeated).await,
            Turn::First(writer) => {
                let raw = self.raw(proven);
                let parcel = Parcel { door: proven.door, heard, reply, replay: &replay, raw };
                match self.outlet.write(now, &parcel) {
                    Ok(writing) => self.wait(self.begin(writer, writing), Outcome::Accepted).await,
                    Err(why) => {
                        writer.failed(why);
                        Outcome::Unwritten(why)
                    }
                }
            }
        }
    }

    /// A body that was read as JSON is text.
    fn raw<'p>(&self, proven: &'p Proven<'_>) -> Option<&'p str> {
        match self.config.raw {
            config::Raw::Kept => std::str::from_utf8(proven.body.get().bytes()).ok(),
            config::Raw::Dropped => None,
        }
    }

    fn begin(&self, writer: Writer, writing: Writing) -> tokio::sync::watch::Receiver<Progress> {
        let (progress, clock) = (writer.follow(), Arc::clone(&self.clock));
        tokio::spawn(async move {
            match writing.acknowledged().await {
                Ok(()) => writer.written(clock()),
                Err(why) => writer.failed(why),
            }
        });
        progress
    }

    async fn wait(&self, progress: tokio::sync::watch::Receiver<Progress>, written: Outcome) -> Outcome {
        match timeout(self.config.kafka_timeout, memory::outcome(progress)).await {
            Ok(Progress::Written) => written,
            Ok(Progress::Failed(why)) => Outcome::Unwritten(why),
            Ok(Progress::Underway) | Err(_) => Outcome::Unwritten(Unwritten::Late),
        }
    }
}

impl Service for Hook {
    async fn answer(&self, request: Request<Incoming>, visit: Visit) -> Response<Full<Bytes>> {
        let channel = self.doors.known(request.uri().path()).map(|door| door.channel.as_ref());
        let origin = self.edge.origin(&visit, request.headers());
        let outcome = self.outcome(request, &visit, origin).await.unwrap_or_else(Outcome::Refused);
        if matches!(outcome, Outcome::Refused(Refusal::Unauthentic(_))) {
            self.edge.failed(origin);
        }
        tracing::debug!(channel, outcome = outcome.label(), "webhook answered");
        self.counters.count(channel, outcome);
        response(outcome)
    }

    fn malformed(&self) {
        self.counters.count(None, Outcome::Malformed);
    }
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
