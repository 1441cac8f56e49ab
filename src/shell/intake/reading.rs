//! One record on its way: decoded, routed, into its frames, or to the dead letters.
//!
//! A record is taken or refused as a whole, except that events which no route wants make a dead letter of a record whose
//! other events go their way. That letter names the events it is about, and a replay of it is a replay of those alone.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::cache::{Cache, Sent};
use super::cycle::{Acks, Cycle};
use super::dead_letter::{Failure, letter};
use super::footing::Footing;
use super::whole::{Part, Whole};
use super::{Frames, Plan, Planned};
use crate::config;
use crate::event::{Coverage, Decoder, Event, FrameBuilder, HashKey, Record, Timestamp};
use crate::lane::Outcome;
use crate::route::{Seen, Source};
use crate::shell::kafka::Partition;
use crate::shell::letters::{Events, Replaying};

/// Observations in one frame at most.
const FRAME_ITEMS_MAX: u32 = 20_000;

/// What a poll gave.
pub(super) enum Next {
    Read,
    /// A frame has reached its size.
    Full,
    Nothing,
    /// A record stands before what has been read already; it was not taken.
    Back {
        partition: Partition,
        offset: i64,
    },
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
    pub(super) footing: Footing,
    pub(super) number: u64,
    pub(super) full: bool,
}

impl Reading<'_> {
    pub(super) fn take(mut self, now: Timestamp, partition: Partition, record: &BorrowedMessage<'_>) -> Next {
        self.cycle.report.records += 1;
        let place = self.plan.sources.iter().position(|source| &*source.topic == record.topic());
        let outcome = place.map(|place| self.decode(now, place, &partition, record));
        self.cycle.reached.insert(partition, record.offset() + 1);
        match outcome {
            Some(Ok(())) => {}
            Some(Err(refused)) => {
                let format = place.map_or("", |place| self.plan.sources[place].format.as_str());
                self.refuse(now, record, format, &refused);
            }
            None => self.refuse(now, record, "", &Refused::whole("no_source", "no source reads this topic")),
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
            return Err(Refused::whole("too_large", &error));
        }
        let headers: Vec<(&str, &[u8])> = record
            .headers()
            .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
            .unwrap_or_default();
        let replaying = Replaying::of(&headers);
        self.cycle.report.replayed += u64::from(replaying.is_some());
        let seen = seen(now, source, record, replaying.as_ref());
        let raw = Record { payload: record.payload(), headers: &headers };
        let Self { plan, rules, decoder, cache, whole, frames, full, cycle, footing, .. } = &mut *self;
        whole.begin();
        let replaying = replaying.as_ref();
        let is_meant = |event: &Event<'_>| replaying.is_none_or(|replaying| replaying.events.holds(event.index));
        let (mut observed, mut left_out) = (0, 0);
        let (mut unrouted, mut unrouted_events) = (0, Events::none());
        let hits = &mut cycle.report.hits;
        let events = decoder
            .decode_handled(&source.format, &source.handling, raw, &mut |event| {
                if !is_meant(event) {
                    left_out += 1;
                    return;
                }
                let mut copy = 0;
                for rule in source.route(event) {
                    let footing = *footing;
                    let framing = Framing { plan, cache, whole, frames, full, partition, footing, replaying };
                    framing.add(now, source, rule, &rules[place][rule], event, Seen { copy, ..seen });
                    hits.add(rules[place][rule].hits);
                    copy += 1;
                }
                observed += u64::from(copy);
                if copy == 0 {
                    unrouted += 1;
                    unrouted_events.add(event.index);
                }
            })
            .map_err(|refusal| Refused::whole(refusal.reason(), &refusal.to_string()))?;
        self.snapshots(now, source, partition);
        let events = events as u64;
        // An event that several routes take is news once for each of them.
        self.cycle.report.consumed += observed + left_out;
        if left_out > 0 {
            self.cycle.report.settle(Outcome::Suppressed, "not_replayed", left_out);
        }
        if events == 0 {
            self.cycle.report.consumed += 1;
            self.cycle.report.settle(Outcome::Suppressed, "empty", 1);
        }
        if unrouted > 0 {
            let error = format!("{unrouted} of {events} events match no route of {}", source.name);
            return Err(Refused { reason: "no_route", error: error.into(), count: unrouted, events: unrouted_events });
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

    fn refuse(&mut self, now: Timestamp, record: &BorrowedMessage<'_>, format: &'static str, refused: &Refused) {
        let failure = Failure { reason: refused.reason, error: &refused.error, format, events: &refused.events, now };
        let letter = letter(record, &failure, self.plan.kafka.topics.message_bytes_max);
        let mut base: BaseRecord<'_, [u8], [u8], Box<u64>> =
            BaseRecord::with_opaque_to(&self.plan.names.dead_letters, Box::new(self.number)).headers(letter.headers);
        base.key = letter.key;
        base.payload = letter.value.as_deref();
        write(self.producer, base);
        self.cycle.writes += 1;
        self.cycle.report.consumed += refused.count;
        self.cycle.report.settle(Outcome::DeadLettered, refused.reason, refused.count);
        tracing::debug!(
            reason = refused.reason,
            topic = record.topic(),
            partition = record.partition(),
            offset = record.offset(),
            "a record became a dead letter"
        );
    }
}

/// What the record says of its time. A replay keeps its first one, and is never too old: somebody has asked for it.
fn seen(now: Timestamp, source: &Source, record: &BorrowedMessage<'_>, replaying: Option<&Replaying>) -> Seen {
    let own = record.timestamp().to_millis().map_or(now, Timestamp::from_signed_millis);
    let at = replaying.and_then(|replaying| replaying.at).unwrap_or(own);
    Seen { offset: record.offset(), at, old: replaying.is_none() && now.since(at) > source.max_age, copy: 0 }
}

/// Why a record becomes a dead letter, which of its events are meant, and how many those count as.
struct Refused {
    reason: &'static str,
    error: Box<str>,
    count: u64,
    events: Events,
}

impl Refused {
    /// All of it, and it counts as one.
    fn whole(reason: &'static str, error: &str) -> Self {
        Self { reason, error: error.into(), count: 1, events: Events::All }
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
    footing: Footing,
    replaying: Option<&'m Replaying>,
}

impl Framing<'_> {
    fn add(self, now: Timestamp, source: &Source, place: usize, planned: &Planned, event: &Event<'_>, seen: Seen) {
        let rule = &source.rules[place];
        let mut observation = rule.observe(planned.hash, event, seen);
        match self.replaying {
            Some(replaying) => observation.identity = replaying.identity(&self.plan.hash_key, observation.identity),
            // What is replayed says how things were, not how they are.
            None if event.coverage == Coverage::Whole => self.whole.add(place, &observation),
            None => {}
        }
        debug_assert_eq!(Some(&planned.ledger_partition), self.plan.lanes.get(&rule.lane));
        let frames = self.frames.entry((self.partition.clone(), rule.lane.clone())).or_default();
        if frames.last().is_none_or(|frame| is_full(frame, &self.plan.intake)) {
            frames.push(FrameBuilder::of(self.footing.id, self.footing.course));
        }
        let Some(frame) = frames.last_mut() else { return };
        match self.cache.note(now, &observation) {
            Sent::New => {
                rule.furnish(event, &mut observation);
                frame.push(&observation);
            }
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
