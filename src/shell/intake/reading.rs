//! One record on its way: decoded, routed, into its frames, or to the dead letters.
//!
//! A record is taken or refused as a whole, except that events which no route wants make a dead letter of a record whose
//! other events go their way. That letter names the events it is about, and a replay of it is a replay of those alone.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::cache::{Cache, Sent};
use super::cycle::{Acks, Cycle};
use super::dead_letter::{Failure, letter};
use super::held::{FrameMax, Held, Spare};
use super::whole::{Part, Whole};
use super::{Plan, Planned, Progress};
use crate::event::{Coverage, Decoder, Event, Record, Timestamp};
use crate::lane::Outcome;
use crate::route::{Seen, Source};
use crate::shell::kafka::Fetched;
use crate::shell::letters::{Events, Replaying};

/// Observations in one frame at most.
pub(super) const FRAME_ITEMS_MAX: u32 = 20_000;

/// One record on its way into its frames.
pub(super) struct Reading<'m> {
    pub(super) plan: &'m Plan,
    pub(super) rules: &'m [Vec<Planned>],
    pub(super) producer: &'m BaseProducer<Acks>,
    pub(super) decoder: &'m mut Decoder,
    pub(super) cache: &'m mut Cache,
    pub(super) whole: &'m mut Whole,
    /// Used again and again for what has to be put together of an event that is news.
    pub(super) scratch: &'m mut String,
    pub(super) held: &'m mut Held,
    pub(super) frame_max: FrameMax,
    pub(super) spare: &'m mut Spare,
    pub(super) cycle: &'m mut Cycle,
    pub(super) number: u64,
    pub(super) progress: Progress,
}

impl Reading<'_> {
    pub(super) fn take(mut self, now: Timestamp, record: &Fetched<'_>) -> Progress {
        self.cycle.report.records += 1;
        let headers = record.headers();
        let place = self.held.source;
        let outcome = place.map(|place| self.decode(now, place, record, &headers));
        self.held.reached = Some(record.offset() + 1);
        match outcome {
            Some(Ok(())) => {}
            Some(Err(refused)) => {
                let format = place.map_or("", |place| self.plan.sources[place].format.as_str());
                self.refuse(now, record, &headers, format, &refused);
            }
            None => {
                let refused = Refused::whole("no_source", "no source reads this topic");
                self.refuse(now, record, &headers, "", &refused);
            }
        }
        self.progress
    }

    fn decode(
        &mut self,
        now: Timestamp,
        place: usize,
        record: &Fetched<'_>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), Refused> {
        let source = &self.plan.sources[place];
        let bytes = record.payload().map_or(0, <[u8]>::len);
        if bytes > source.record_bytes_max {
            let error = format!("{bytes} bytes; {} takes at most {}", source.name, source.record_bytes_max);
            return Err(Refused::whole("too_large", &error));
        }
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.unwrap_or_default())).collect();
        let replaying = Replaying::of(&headers);
        self.cycle.report.replayed += u64::from(replaying.is_some());
        let seen = seen(now, source, record, replaying.as_ref());
        let raw = Record { payload: record.payload(), headers: &headers };
        let Self { plan, rules, decoder, cache, whole, scratch, held, frame_max, spare, cycle, progress, .. } =
            &mut *self;
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
                    let (frame_max, progress) = (*frame_max, &mut *progress);
                    let framing = Framing { plan, cache, whole, scratch, held, frame_max, spare, progress, replaying };
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
        self.snapshots(now, place, source);
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
    fn snapshots(&mut self, now: Timestamp, place: usize, source: &Source) {
        for part in self.whole.parts().filter(Part::is_bounded) {
            let rule = &source.rules[part.rule];
            let key = part.key(&self.plan.hash_key, &rule.name);
            if self.cache.note_whole(now, key, part.content()) == Sent::Repeat {
                continue;
            }
            let frame = self.held.last_frame(self.rules[place][part.rule].lane);
            let frame = frame.expect("its observations went there just now");
            frame.snapshot(&part.snapshot(&rule.name));
            if self.frame_max.is_reached_by(frame) {
                self.progress = Progress::Full;
            }
        }
    }

    fn refuse(
        &mut self,
        now: Timestamp,
        record: &Fetched<'_>,
        headers: &[(&str, Option<&[u8]>)],
        format: &'static str,
        refused: &Refused,
    ) {
        let failure = Failure { reason: refused.reason, error: &refused.error, format, events: &refused.events, now };
        let letter = letter(record, headers, &failure, self.plan.kafka.topics.message_bytes_max);
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
fn seen(now: Timestamp, source: &Source, record: &Fetched<'_>, replaying: Option<&Replaying>) -> Seen {
    let own = record.timestamp().map_or(now, Timestamp::from_signed_millis);
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
    scratch: &'m mut String,
    held: &'m mut Held,
    frame_max: FrameMax,
    spare: &'m mut Spare,
    progress: &'m mut Progress,
    replaying: Option<&'m Replaying>,
}

impl Framing<'_> {
    fn add(self, now: Timestamp, source: &Source, place: usize, planned: &Planned, event: &Event<'_>, seen: Seen) {
        let rule = &source.rules[place];
        let mut observation = rule.sight(planned.hash, event, seen);
        match self.replaying {
            Some(replaying) => observation.identity = replaying.identity(&self.plan.hash_key, observation.identity),
            // What is replayed says how things were, not how they are.
            None if event.coverage == Coverage::Whole => self.whole.add(place, &observation),
            None => {}
        }
        let frame = self.held.frame(planned.lane, self.frame_max, self.spare);
        match self.cache.note(now, &observation) {
            Sent::New => {
                observation.facts = event.facts();
                rule.furnish(event, self.scratch, &mut observation);
                frame.push(&observation);
            }
            Sent::Repeat => frame.drop_duplicate(&rule.name, &observation.conversation, observation.position),
        }
        if self.frame_max.is_reached_by(frame) {
            *self.progress = Progress::Full;
        }
    }
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
