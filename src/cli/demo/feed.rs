//! Writes the story to the source topics, never far ahead of the daemon.
//!
//! The mock drops the oldest of more than 5 MB a partition without a word, on source topics and on the ledger alike. So nothing
//! is written while more than [`AHEAD_EVENTS_MAX`] events or [`AHEAD_BYTES_MAX`] bytes are on their way between here and the
//! lane. A daemon that is dead just stops the feed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::accounts::Accounts;
use super::story::{Story, Written};
use crate::shell::clock;
use crate::shell::kafka::QuietContext;

/// Events on their way at most.
const AHEAD_EVENTS_MAX: u64 = 2_000;

/// Bytes on their way at most; one record may overshoot it.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// How often something is written.
const TICK: Duration = Duration::from_millis(20);
const TICKS_PER_SECOND: f64 = 50.0;

/// How much, how fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub events: Amount,
    pub calm_per_second: u32,
    pub storm_per_second: u32,
}

/// How many events there are in the whole story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Endless,
    /// Half of them in a storm that begins after a quarter.
    Exactly(u64),
}

/// How far the feed is.
#[derive(Debug, Default)]
pub struct Progress {
    written: AtomicU64,
    unwritten: AtomicU64,
    storms_asked: AtomicU64,
}

impl Progress {
    pub fn new(events: Amount) -> Self {
        let unwritten = match events {
            Amount::Endless => u64::MAX,
            Amount::Exactly(events) => events,
        };
        Self { unwritten: unwritten.into(), ..Self::default() }
    }

    /// Events written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Events still to be written.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Acquire)
    }

    /// Asks for a storm of this many events.
    pub fn storm(&self, events: u64) {
        self.storms_asked.fetch_add(events, Ordering::AcqRel);
    }
}

/// The generator's connection to Kafka.
pub struct Feed {
    producer: BaseProducer<QuietContext>,
    story: Story,
    pace: Pace,
    progress: Arc<Progress>,
    accounts: Arc<Accounts>,
    /// Events and bytes of records that may be on their way, oldest first.
    ahead: VecDeque<(u64, usize)>,
    ahead_bytes: usize,
    storm_until: u64,
    planned: Option<Planned>,
}

/// A storm that belongs to the story: by events, not by time, so that a seed always tells the same.
#[derive(Clone, Copy, Debug)]
struct Planned {
    after: u64,
    events: u64,
}

impl Feed {
    pub fn new(
        bootstrap: &str,
        seed: u64,
        pace: Pace,
        progress: Arc<Progress>,
        accounts: Arc<Accounts>,
    ) -> Result<Self, KafkaError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .create_with_context(QuietContext)?;
        let story = Story::new(seed);
        let planned = match pace.events {
            Amount::Endless => None,
            Amount::Exactly(events) => Some(Planned { after: events / 4, events: events / 2 }),
        };
        Ok(Self {
            producer,
            story,
            pace,
            progress,
            accounts,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            storm_until: 0,
            planned,
        })
    }

    /// Writes until the story is over; an endless one until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        let mut allowance = 0.0;
        while self.progress.unwritten() > 0 {
            ticks.tick().await;
            allowance += self.per_tick();
            allowance -= self.write(allowance);
        }
        while self.producer.in_flight_count() > 0 {
            ticks.tick().await;
            self.producer.poll(Duration::ZERO);
        }
    }

    fn begin_storms(&mut self) {
        let asked = self.progress.storms_asked.swap(0, Ordering::AcqRel);
        let written = self.progress.written();
        let planned = self.planned.take_if(|planned| planned.after <= written).map_or(0, |planned| planned.events);
        let events = asked + planned;
        if events > 0 {
            self.story.storm(events);
            self.storm_until = self.storm_until.max(written) + events;
        }
    }

    fn per_tick(&self) -> f64 {
        let stormy = self.progress.written() < self.storm_until;
        let per_second = if stormy { self.pace.storm_per_second } else { self.pace.calm_per_second };
        f64::from(per_second) / TICKS_PER_SECOND
    }

    /// Writes up to `allowance` events, as far as there is room; returns what it used up. What there was no room for is
    /// forgotten, not saved up.
    fn write(&mut self, allowance: f64) -> f64 {
        let mut used = 0.0;
        while used + 1.0 <= allowance && self.progress.unwritten() > 0 {
            if !self.has_room() {
                return allowance;
            }
            self.begin_storms();
            let written = self.story.next(clock::now(), self.progress.unwritten());
            #[expect(clippy::cast_precision_loss, reason = "a handful of events")]
            let events = written.events as f64;
            used += events;
            self.send(&written);
        }
        self.producer.poll(Duration::ZERO);
        used
    }

    fn has_room(&mut self) -> bool {
        let arrived = self.accounts.totals().accounted();
        let on_the_way = self.progress.written().saturating_sub(arrived);
        let mut newest: u64 = self.ahead.iter().map(|(events, _)| events).sum();
        while newest > on_the_way {
            let Some((events, bytes)) = self.ahead.pop_front() else { break };
            newest -= events;
            self.ahead_bytes -= bytes;
        }
        on_the_way < AHEAD_EVENTS_MAX && self.ahead_bytes < AHEAD_BYTES_MAX
    }

    fn send(&mut self, written: &Written) {
        let headers = written
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut record = BaseRecord::to(written.topic).key(&written.key).headers(headers);
        record.payload = written.payload.as_ref();
        while let Err((error, back)) = self.producer.send(record) {
            // Its queue is far larger than what may be on the way: this passes.
            tracing::warn!(%error, "the generator waits");
            self.producer.poll(Duration::from_millis(5));
            record = back;
        }
        self.ahead.push_back((written.events, written.bytes()));
        self.ahead_bytes += written.bytes();
        self.progress.written.fetch_add(written.events, Ordering::AcqRel);
        self.progress.unwritten.fetch_sub(written.events, Ordering::AcqRel);
    }
}
