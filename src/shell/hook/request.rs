//! One request, from its head to its answer.
//!
//! What must hold: no byte of a body is interpreted before its proof, and no 2xx before Kafka's acknowledgement. The write
//! goes on when the caller hangs up or the wait for Kafka runs out, so that a repeat finds its outcome instead of writing
//! again.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;

use super::memory::{Awaited, Fate, Memory, Turn};
use super::outlet::{Outbox, Outlet, Parcel};
use super::recall::recall;
use super::{Clock, HookError};
use crate::config;
use crate::event::HashKey;
use crate::hook::{Doors, Heard, Proven, Refusal, ReplayKey, Said, hear};
use crate::shell::edge::{self, Edge, Late, Origin, Service, Visit};
use crate::telemetry::hook::{Counters, Listener, Outcome, Unwritten, remembered};

/// Everything that requests have in common.
pub struct Hook {
    config: config::Hook,
    edge: Arc<Edge>,
    doors: Doors,
    outbox: Arc<Outbox>,
    memory: Arc<Memory>,
    counters: Counters,
    clock: Clock,
}

/// What became of a proven request.
enum Handed {
    Ended(Outcome),
    /// On its way to Kafka; what it is called once it is there.
    OnItsWay(Awaited, Outcome),
}

impl Hook {
    pub fn new(config: config::Hook, outlet: Outlet, clock: Clock) -> Result<Self, HookError> {
        let edge = Arc::new(Edge::new(config.edge.clone(), Listener::Hook)?);
        let doors = Doors::new(config.doors.iter().cloned(), config.edge.body_bytes_max)
            .with_signature_headers(config.signature_headers.clone());
        let counters = Counters::new(&config.doors);
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let (memory, outbox) = (Arc::new(Memory::new(HashKey::new(key))), Outbox::of(outlet));
        Ok(Self { config, edge, doors, outbox, memory, counters, clock })
    }

    /// The same hook with another config: connections, quotas, certificates and what was heard stay.
    pub fn renewed(&self, config: config::Hook, outlet: Outlet) -> Self {
        let doors = Doors::new(config.doors.iter().cloned(), config.edge.body_bytes_max)
            .with_signature_headers(config.signature_headers.clone());
        let counters = Counters::new(&config.doors);
        let (edge, memory, outbox) = (Arc::clone(&self.edge), Arc::clone(&self.memory), Outbox::of(outlet));
        Self { config, edge, doors, outbox, memory, counters, clock: Arc::clone(&self.clock) }
    }

    /// Reads back which requests were heard before this process began. Blocks; without Kafka, nothing is known.
    pub fn recall(&self, kafka: &config::Kafka) {
        match recall((self.clock)(), kafka, self.outbox.replies(), &self.memory) {
            Ok(count) => {
                tracing::info!(count, "replies remembered against repeats");
                remembered(count);
            }
            Err(error) => tracing::warn!(%error, "replies could not be read; repeats may be written again"),
        }
    }

    /// Sees to it that Kafka has what is said, once.
    fn hand_on(&self, mut proven: Proven<'_>) -> Result<Handed, Refusal> {
        let (now, door, raw) = ((self.clock)(), proven.door, self.raw(&proven));
        let said = Said::parse(&mut proven.body)?;
        let heard = hear(now, door, &said)?;
        let reply = match &heard {
            Heard::Reply(reply) | Heard::Rule(reply) => reply,
            Heard::Probe => {
                tracing::info!(channel = %door.channel, "webhook probed");
                return Ok(Handed::Ended(Outcome::Probe));
            }
        };
        let replay = ReplayKey::new(&door.channel, &heard, &said);
        Ok(match self.memory.turn(now, &replay) {
            Turn::Known => Handed::Ended(Outcome::Repeated),
            Turn::Full => Handed::Ended(Outcome::Unwritten(Unwritten::Busy)),
            Turn::Repeat(awaited) => Handed::OnItsWay(awaited, Outcome::Repeated),
            Turn::First(writer, awaited) => {
                let parcel = Parcel { door, heard: &heard, reply, replay, raw: raw.as_deref() };
                self.outbox.write(now, &parcel, writer);
                Handed::OnItsWay(awaited, Outcome::Accepted)
            }
        })
    }

    /// The webhook as it came, where it is kept: parsing rewrites it.
    fn raw(&self, proven: &Proven<'_>) -> Option<String> {
        match self.config.raw {
            config::Raw::Kept => String::from_utf8(proven.body.get().bytes().to_vec()).ok(),
            config::Raw::Dropped => None,
        }
    }

    async fn wait(&self, visit: &Visit<'_>, awaited: Awaited, written: Outcome) -> Outcome {
        match visit.within(self.config.kafka_timeout, awaited).await {
            Ok(Ok(Fate::Written)) => written,
            Ok(Ok(Fate::Failed(why))) => Outcome::Unwritten(why),
            Ok(Err(_)) => Outcome::Unwritten(Unwritten::Rejected),
            Err(Late) => Outcome::Unwritten(Unwritten::Late),
        }
    }
}

impl Service for Hook {
    fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    fn known(&self, path: &str) -> Option<&str> {
        self.doors.known(path).map(|door| door.channel.as_ref())
    }

    async fn outcome(
        &self,
        request: Box<Request<Incoming>>,
        visit: &Visit<'_>,
        origin: Origin,
    ) -> Result<Outcome, Refusal> {
        let (head, body) = request.into_parts();
        let mut proving = self.doors.admit(&edge::plain(&head, visit)?)?;
        drop(head);
        self.edge.admit(origin)?;
        let _load = self.edge.pour(visit, body, |chunk| proving.push(chunk)).await?;
        let proven = proving.finish((self.clock)())?;
        visit.proven();
        self.counters.proven(&proven.door.channel, proven.by);
        match self.hand_on(proven)? {
            Handed::Ended(outcome) => Ok(outcome),
            Handed::OnItsWay(awaited, written) => Ok(self.wait(visit, awaited, written).await),
        }
    }

    fn count(&self, channel: Option<&str>, outcome: Outcome) {
        self.counters.count(channel, outcome);
    }
}
