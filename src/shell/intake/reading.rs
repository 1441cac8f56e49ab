//! One record on its way: decoded, routed, into its frames, or to the dead letters.
//!
//! A record is taken or refused as a whole, except that events which no route wants make a dead letter of a record whose
//! other events go their way; within their window a replay of it repeats none of those.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::cache::{Cache, Sent};
use super::cycle::{Acks, Cycle};
use super::dead_letter::letter;
use super::whole::{Part, Whole};
use super::{Frames, Plan, Planned};
use crate::config;
use crate::event::{Coverage, Decoder, Event, FrameBuilder, HashKey, Record, Timestamp};
use crate::lane::Outcome;
use crate::route::{Seen, Source};
use crate::shell::kafka::Partition;

/// Observations in one frame at most.
const FRAME_ITEMS_MAX: u32 = 20_000;

/// A dead letter keeps this much of its record's key.
const LETTER_KEY_BYTES_MAX: usize = 4 * 1024;

/// What a poll gave.
pub(super) enum Next {
    Read,
    /// A frame has reached its size.
    Full,
    Nothing,
}

/// One record on its way into its frames.
pub(super) struct Reading<'m> {
    pub(super) plan: &'m Plan,
    pub(super) rules: &'m [Vec<Planned>],
    pub(super) producer: &'m BaseProducer<Acks>,
    pub(super) decoder: &'m mut Decoder,
    pub(super) cache: &'m mut Cache,
    pub(super) whole: &'m mut Whole,
    pub(super) key: &'m HashKey,
    pub(super) frames: &'m mut Frames,
    pub(super) cycle: &'m mut Cycle,
    pub(super) number: u64,
    pub(super) full: bool,
}

impl Reading<'_> {
    pub(super) fn take(mut self, now: Timestamp, record: &BorrowedMessage<'_>) -> Next {
        let partition = Partition { topic: record.topic().into(), number: record.partition() };
        self.cycle.report.records += 1;
        let place = self.plan.sources.iter().position(|source| &*source.topic == record.topic());
        let outcome = place.map(|place| self.decode(now, place, &partition, record));
        self.cycle.reached.insert(partition, record.offset() + 1);
        match outcome {
            Some(Ok(())) => {}
            Some(Err(refused)) => self.refuse(now, record, &refused),
            None => self.refuse(now, record, &Refused::new("no_source", "no source reads this topic", 1)),
        }
        if self.full { Next::Full } else { Next::Read }
    }

    fn decode(
        &mut self,
        now: Timestamp,
        place: usize,
        partition: &Partition,
        record: &BorrowedMessage<'_>,
    ) -> Result<(), Refused> {
        let source = &self.plan.sources[place];
        let bytes = record.payload().map_or(0, <[u8]>::len);
        if bytes > source.record_bytes_max {
            let error = format!("{bytes} bytes; {} takes at most {}", source.name, source.record_bytes_max);
            return Err(Refused::new("too_large", &error, 1));
        }
        let at = record.timestamp().to_millis().map_or(now, Timestamp::from_signed_millis);
        let seen = Seen { offset: record.offset(), at, old: now.since(at) > source.max_age, copy: 0 };
        let headers: Vec<(&str, &[u8])> = record
            .headers()
            .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
            .unwrap_or_default();
        let raw = Record { payload: record.payload(), headers: &headers };
        let Self { plan, rules, decoder, cache, whole, frames, full, cycle, .. } = &mut *self;
        whole.begin();
        let (mut unrouted, mut observed) = (0, 0);
        let hits = &mut cycle.report.hits;
        let events = decoder
            .decode_handled(&source.format, &source.handling, raw, &mut |event| {
                let mut copy = 0;
                for rule in source.route(event) {
                    let framing = Framing { plan, cache, whole, frames, full, partition };
                    framing.add(now, source, rule, &rules[place][rule], event, Seen { copy, ..seen });
                    hits.add(rules[place][rule].hits);
                    copy += 1;
                }
                observed += u64::from(copy);
                unrouted += u64::from(copy == 0);
            })
            .map_err(|refusal| Refused::new(refusal.reason(), &refusal.to_string(), 1))?;
        self.snapshots(now, source, partition);
        let events = events as u64;
        // An event that several routes take is news once for each of them.
        self.cycle.report.consumed += observed;
        if events == 0 {
            self.cycle.report.consumed += 1;
            self.cycle.report.settle(Outcome::Suppressed, "empty", 1);
        }
        if unrouted > 0 {
            let error = format!("{unrouted} of {events} events match no route of {}", source.name);
            return Err(Refused::new("no_route", &error, unrouted));
        }
        Ok(())
    }

    /// Where a record covers its conversation, and it is another set than a moment ago, its lanes are told the set.
    fn snapshots(&mut self, now: Timestamp, source: &Source, partition: &Partition) {
        for part in self.whole.parts().filter(Part::is_bounded) {
            let rule = &source.rules[part.rule];
            if self.cache.note_whole(now, part.key(self.key, &rule.name), part.content()) == Sent::Repeat {
                continue;
            }
            let frames = self.frames.get_mut(&(partition.clone(), rule.lane.clone()));
            let frame = frames.and_then(|frames| frames.last_mut()).expect("its observations went there just now");
            frame.snapshot(part.snapshot(&rule.name));
            self.full |= is_full(frame, &self.plan.intake);
        }
    }

    fn refuse(&mut self, now: Timestamp, record: &BorrowedMessage<'_>, refused: &Refused) {
        let letter = letter(record, refused.reason, &refused.error, now, self.plan.kafka.topics.message_bytes_max);
        let base = BaseRecord::with_opaque_to(&self.plan.names.dead_letters, Box::new(self.number))
            .payload(&letter.value)
            .headers(letter.headers);
        let key = record.key().unwrap_or_default();
        write(self.producer, base.key(&key[..key.len().min(LETTER_KEY_BYTES_MAX)]));
        self.cycle.writes += 1;
        self.cycle.report.consumed += refused.events;
        self.cycle.report.settle(Outcome::DeadLettered, refused.reason, refused.events);
        tracing::debug!(
            reason = refused.reason,
            topic = record.topic(),
            partition = record.partition(),
            offset = record.offset(),
            "a record became a dead letter"
        );
    }
}

/// Why a record becomes a dead letter, and how many events it stands for.
struct Refused {
    reason: &'static str,
    error: Box<str>,
    events: u64,
}

impl Refused {
    fn new(reason: &'static str, error: &str, events: u64) -> Self {
        Self { reason, error: error.into(), events }
    }
}

/// One event on its way into its frame.
struct Framing<'m> {
    plan: &'m Plan,
    cache: &'m mut Cache,
    whole: &'m mut Whole,
    frames: &'m mut Frames,
    full: &'m mut bool,
    partition: &'m Partition,
}

impl Framing<'_> {
    fn add(self, now: Timestamp, source: &Source, place: usize, planned: &Planned, event: &Event<'_>, seen: Seen) {
        let rule = &source.rules[place];
        let observation = rule.observe(planned.hash, event, seen);
        if event.coverage == Coverage::Whole {
            self.whole.add(place, &observation);
        }
        debug_assert_eq!(Some(&planned.ledger_partition), self.plan.lanes.get(&rule.lane));
        let frames = self.frames.entry((self.partition.clone(), rule.lane.clone())).or_default();
        if frames.last().is_none_or(|frame| is_full(frame, &self.plan.intake)) {
            frames.push(FrameBuilder::default());
        }
        let Some(frame) = frames.last_mut() else { return };
        match self.cache.note(now, &observation) {
            Sent::New => frame.push(&observation),
            Sent::Repeat => frame.drop_duplicate(&rule.name, &observation.conversation, observation.position),
        }
        *self.full |= is_full(frame, &self.plan.intake);
    }
}

const fn is_full(frame: &FrameBuilder, intake: &config::Intake) -> bool {
    frame.bytes() >= intake.frame_bytes_max || frame.items() >= FRAME_ITEMS_MAX
}

/// Hands a record to the producer; a full queue waits. What can't be handed over fails like what can't be written, so that
/// its cycle is never committed.
pub(super) fn write<K, P>(producer: &BaseProducer<Acks>, record: BaseRecord<'_, K, P, Box<u64>>)
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
{
    let mut record = record;
    while let Err((error, back)) = producer.send(record) {
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            return producer.context().fail(error);
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
}
