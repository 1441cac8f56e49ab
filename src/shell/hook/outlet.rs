//! What was heard, on its way to Kafka: the reply to the replies topic, the lesson to its lane's partition of the ledger.
//!
//! Both are handed to librdkafka without waiting, whose queue is the bound; a full queue is an answer. Kafka's word on a reply
//! comes to the thread that polls the producer and goes from there to whoever waits ([`Writer`]): nothing runs for a request
//! in between, and nobody needs to wait for it to be remembered. The reply decides and goes at once; lessons follow together
//! (`lessons.rs`). One that gets lost is counted, and the lane stays as ignorant as it was.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::time::sleep;

use super::Clock;
use super::lessons::{GATHERED_FOR, Gathering, Lessons, Written};
use super::memory::Writer;
use crate::event::Timestamp;
use crate::event::lesson::Lesson;
use crate::hook::{Door, Heard, REPLAY_HEADER, ReplayKey, ReplyRecord};
use crate::shell::kafka::QuietContext;
use crate::telemetry::hook::{LessonLost, Unwritten, lessons_lost};

/// A producer that tells those who wait what Kafka says. To be idempotent, to wait for all replicas and to give up on its own
/// (`message.timeout.ms`), which bounds how long a repeat can find its first request under way.
pub type Producer = ThreadedProducer<Deliveries>;

/// Makes a [`Producer`].
pub fn producer(config: &ClientConfig, clock: Clock) -> KafkaResult<Producer> {
    config.create_with_context(Deliveries { clock })
}

/// Where the hook writes to.
pub struct Outlet {
    pub producer: Producer,
    /// Topic of replies.
    pub replies: String,
    /// Topic of lessons.
    pub ledger: String,
    /// The ledger's partition of every lane.
    pub partition_of_lane: HashMap<Box<str>, i32>,
    /// The longest reply that Kafka takes, in bytes.
    pub reply_bytes_max: usize,
}

/// An outlet in use, and the lessons that wait in it.
pub(super) struct Outbox {
    outlet: Outlet,
    lessons: Lessons,
}

/// One reply to be written, as [`Outbox::write`] takes it.
pub(super) struct Parcel<'p> {
    pub door: &'p Door,
    pub heard: &'p Heard<'p>,
    pub reply: &'p ReplyRecord<'p>,
    pub replay: ReplayKey<'p>,
    /// The webhook itself, where it is to be kept.
    pub raw: Option<&'p str>,
}

/// How long an outbox that is given up waits for Kafka to take what is in it.
const FLUSH_MAX: Duration = Duration::from_millis(500);

/// Room for a record's key and headers, and for what Kafka puts around them.
const AROUND_BYTES: usize = 4_096;

/// What was handed to librdkafka and is not acknowledged yet.
pub enum Underway {
    Reply(ReplyUnderway),
    Lessons { count: usize },
}

/// Who has to be told.
pub struct ReplyUnderway(Writer);

/// Kafka's word on what was written.
pub struct Deliveries {
    clock: Clock,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Underway>;

    fn delivery(&self, result: &DeliveryResult<'_>, underway: Box<Underway>) {
        match (*underway, result) {
            (Underway::Reply(ReplyUnderway(writer)), Ok(_)) => writer.written((self.clock)()),
            (Underway::Reply(ReplyUnderway(writer)), Err((error, _))) => {
                tracing::warn!(%error, "reply not written");
                writer.failed(Unwritten::Rejected);
            }
            (Underway::Lessons { .. }, Ok(_)) => {}
            (Underway::Lessons { count }, Err((error, _))) => {
                tracing::warn!(%error, count, "lessons not written");
                lessons_lost(LessonLost::Rejected, count);
            }
        }
    }
}

impl Outbox {
    pub(super) fn of(outlet: Outlet) -> Arc<Self> {
        Arc::new(Self { outlet, lessons: Lessons::default() })
    }

    /// Topic of replies.
    pub(super) fn replies(&self) -> &str {
        &self.outlet.replies
    }

    /// Begins to write what was heard; `writer` is told how it went. Inside a runtime.
    pub(super) fn write(self: &Arc<Self>, now: Timestamp, parcel: &Parcel<'_>, writer: Writer) {
        let Some(value) = self.outlet.value(parcel) else { return writer.failed(Unwritten::TooLarge) };
        self.outlet.reply(parcel, &value, writer);
        if let Some(lesson) = parcel.heard.lesson(now) {
            self.teach(parcel.door, &lesson);
        }
    }

    fn teach(self: &Arc<Self>, door: &Door, lesson: &Lesson<'_>) {
        let Some(partition) = self.outlet.partition_of_lane.get(&door.lane) else {
            return lessons_lost(LessonLost::NoPartition, 1);
        };
        match self.lessons.add(*partition, lesson) {
            Gathering::Begun => drop(tokio::spawn(hand_over_soon(Arc::downgrade(self)))),
            Gathering::UnderWay => {}
            Gathering::Now => self.hand_over(),
        }
    }

    fn hand_over(&self) {
        self.lessons.hand_over(|written| self.outlet.lessons(&written));
    }
}

/// Whoever gives an outbox up before hands over what is in it.
async fn hand_over_soon(outbox: Weak<Outbox>) {
    sleep(GATHERED_FOR).await;
    if let Some(outbox) = outbox.upgrade() {
        outbox.hand_over();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.hand_over();
        let producer = &self.outlet.producer;
        // What is still there when the client goes is never written.
        if producer.in_flight_count() > 0
            && let Err(error) = producer.flush(FLUSH_MAX)
        {
            tracing::warn!(%error, "not everything was written before the Kafka client went");
        }
    }
}

impl Outlet {
    fn reply(&self, parcel: &Parcel<'_>, value: &[u8], writer: Writer) {
        let replay = parcel.replay.to_header();
        let headers = parcel
            .reply
            .headers()
            .chain([(REPLAY_HEADER, replay.as_str())])
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let underway = Box::new(Underway::Reply(ReplyUnderway(writer)));
        let record = BaseRecord::with_opaque_to(&self.replies, underway).payload(value).headers(headers);
        let record = BaseRecord { key: parcel.reply.key(), ..record };
        // What is not taken comes back with its writer, who has failed when it is dropped.
        if let Err((error, _)) = self.producer.send(record) {
            tracing::warn!(%error, "reply not taken by the Kafka client");
        }
    }

    /// The raw webhook is left out before a reply is refused for its size. None: too large without it.
    fn value(&self, parcel: &Parcel<'_>) -> Option<Vec<u8>> {
        let fits = |value: &Vec<u8>| value.len() + AROUND_BYTES <= self.reply_bytes_max;
        let whole = Some(parcel.reply.to_json(parcel.raw)).filter(fits);
        whole.or_else(|| parcel.raw.and_then(|_| Some(parcel.reply.to_json(None)).filter(fits)))
    }

    fn lessons(&self, Written { partition, lessons }: &Written) {
        let count = lessons.count();
        let underway = Box::new(Underway::Lessons { count });
        let record = BaseRecord::<[u8], _, _>::with_opaque_to(&self.ledger, underway).payload(lessons.as_bytes());
        if let Err((error, _)) = self.producer.send(record.partition(*partition)) {
            tracing::warn!(%error, count, "lessons not taken by the Kafka client");
            lessons_lost(LessonLost::Rejected, count);
        }
    }
}
