//! What was heard, on its way to Kafka: the reply to the replies topic, the lesson to its lane's partition of the ledger.
//!
//! Both are handed to librdkafka without waiting, whose queue is the bound; a full queue is an answer. The reply decides; a
//! lesson that gets lost is counted, and the lane stays as ignorant as it was.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::timeout;

use crate::event::Timestamp;
use crate::event::frame::{Lesson, write_lesson};
use crate::hook::{Door, Heard, REPLAY_HEADER, ReplayKey, ReplyRecord};
use crate::telemetry::hook::{LessonLost, Unwritten, lesson_lost};

/// How much longer than its reply a lesson may take before nobody waits for it.
const LESSON_GRACE: Duration = Duration::from_secs(1);

/// Where the hook writes to. The producer is idempotent, waits for all replicas and gives up on its own
/// (`message.timeout.ms`), which bounds how long a repeat can find its first request under way.
pub struct Outlet {
    pub producer: FutureProducer,
    /// Topic of replies.
    pub replies: String,
    /// Topic of lessons.
    pub ledger: String,
    /// The ledger's partition of every lane.
    pub partition_of_lane: HashMap<Box<str>, i32>,
    /// The longest reply that Kafka takes, in bytes.
    pub reply_bytes_max: usize,
}

/// One reply to be written, as [`Outlet::write`] takes it.
pub(super) struct Parcel<'p> {
    pub door: &'p Door,
    pub heard: &'p Heard,
    pub reply: &'p ReplyRecord,
    pub replay: &'p ReplayKey,
    /// The webhook itself, where it is to be kept.
    pub raw: Option<&'p str>,
}

/// Room for a record's key and headers, and for what Kafka puts around them.
const AROUND_BYTES: usize = 4_096;

/// Handed to librdkafka, not acknowledged yet.
pub(super) struct Writing {
    reply: DeliveryFuture,
    lesson: Option<DeliveryFuture>,
}

impl Outlet {
    /// Begins to write what was heard.
    pub(super) fn write(&self, now: Timestamp, parcel: &Parcel<'_>) -> Result<Writing, Unwritten> {
        let reply = self.reply(parcel)?;
        let lesson = parcel.heard.lesson(now).and_then(|lesson| self.lesson(parcel.door, &lesson));
        Ok(Writing { reply, lesson })
    }

    fn reply(&self, parcel: &Parcel<'_>) -> Result<DeliveryFuture, Unwritten> {
        let (reply, replay) = (parcel.reply, parcel.replay.to_header());
        let headers = reply
            .headers()
            .chain([(REPLAY_HEADER, replay.as_str())])
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let value = self.value(parcel)?;
        let record = FutureRecord::to(&self.replies).payload(&value).headers(headers);
        let record = FutureRecord { key: reply.key(), ..record };
        self.producer.send_result(record).map_err(|(error, _)| {
            tracing::warn!(%error, "reply not taken by the Kafka client");
            Unwritten::Rejected
        })
    }

    /// The raw webhook is left out before a reply is refused for its size.
    fn value(&self, parcel: &Parcel<'_>) -> Result<Vec<u8>, Unwritten> {
        let fits = |value: &Vec<u8>| value.len() + AROUND_BYTES <= self.reply_bytes_max;
        let whole = Some(parcel.reply.to_json(parcel.raw)).filter(fits);
        let without = || parcel.raw.and_then(|_| Some(parcel.reply.to_json(None)).filter(fits));
        whole.or_else(without).ok_or(Unwritten::TooLarge)
    }

    fn lesson(&self, door: &Door, lesson: &Lesson<'_>) -> Option<DeliveryFuture> {
        let Some(partition) = self.partition_of_lane.get(&door.lane) else {
            lesson_lost(LessonLost::NoPartition);
            return None;
        };
        let value = write_lesson(lesson);
        let record = FutureRecord::<[u8], _>::to(&self.ledger).payload(&value).partition(*partition);
        let sent = self.producer.send_result(record);
        sent.inspect_err(|(error, _)| {
            tracing::warn!(%error, "lesson not taken by the Kafka client");
            lesson_lost(LessonLost::Rejected);
        })
        .ok()
    }
}

impl Writing {
    /// Waits for Kafka's word on the reply, and a little for the lesson.
    pub(super) async fn acknowledged(self) -> Result<(), Unwritten> {
        match self.reply.await {
            Ok(Ok(_)) => {}
            Ok(Err((error, _))) => {
                tracing::warn!(%error, "reply not written");
                return Err(Unwritten::Rejected);
            }
            Err(_) => return Err(Unwritten::Rejected),
        }
        if let Some(lesson) = self.lesson {
            match timeout(LESSON_GRACE, lesson).await {
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err(_)) | Err(_)) => lesson_lost(LessonLost::Rejected),
                Err(_) => lesson_lost(LessonLost::Late),
            }
        }
        Ok(())
    }
}
