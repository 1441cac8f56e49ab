//! One record on its way: decoded, routed, into its frames, or to the dead letters.
//!
//! A record is taken or refused as a whole, except that events which no route wants make a dead letter of a record whose
//! other events go their way. That letter names the events it is about, and a replay of it is a replay of those alone.

use std::hint::black_box;
use std::sync::Arc;

use super::Progress;
use super::cache::{Cache, Claim, Sent};
use super::cycle::Cycle;
use super::dead_letter::{Failure, Letter, letter};
use super::held::{FrameMax, Held, Spare};
use super::reader::{Arrived, Group, Planned};
use super::stamping::Stamping;
use super::verbatim::{Heard, Verbatim};
use super::whole::{Part, Whole, home};
use crate::event::{Coverage, Decoder, Event, Fingerprint, HashKey, Observation, Position, Record, Timestamp};
use crate::lane::Outcome;
use crate::route::{Scratch, Seen, Source};
use crate::shell::letters::{Events, Replaying};

/// Observations in one frame at most.
pub(super) const FRAME_ITEMS_MAX: u32 = 20_000;

/// What it takes to read a record, whichever partition it is of.
pub(super) struct Tools {
    pub(super) sources: Arc<[Source]>,
    /// By source.
    pub(super) rules: Vec<Vec<Planned>>,
    pub(super) hash_key: HashKey,
    pub(super) decoder: Decoder,
    pub(super) cache: Cache,
    pub(super) verbatim: Verbatim,
    pub(super) stamping: Stamping,
    pub(super) whole: Whole,
    /// Used again and again for what has to be put together of an event that is news.
    pub(super) scratch: Scratch,
    pub(super) frame_max: FrameMax,
    pub(super) spare: Spare,
    /// The longest value that the dead-letters topic takes.
    pub(super) letter_bytes_max: usize,
    /// What is being read now.
    pub(super) cycle: Cycle,
    /// The format of the last record, unless nobody had to decode it.
    pub(super) decoded: Option<&'static str>,
}

/// One record on its way into its frames.
pub(super) struct Reading<'m> {
    pub(super) tools: &'m mut Tools,
    pub(super) held: &'m mut Held,
    /// Its bytes, unless these alone don't say what it comes to.
    pub(super) stamp: Option<Fingerprint>,
    pub(super) progress: Progress,
}

impl Tools {
    /// Has all that these records will be looked up by brought from memory at once; one after another, each would wait for its
    /// own. It changes nothing.
    pub(super) fn bring(&self, stamps: &[Option<Fingerprint>]) {
        let known: Group<_> = stamps.iter().flatten().filter_map(|stamp| self.verbatim.peek(*stamp)).collect();
        for known in known {
            let judged = known.claims.first().map(|claim| self.cache.judge(*claim));
            black_box((known.told.first().copied(), judged));
        }
    }
}

/// Did this record come to what it came to a moment ago?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// It did, and is in its frames.
    Told,
    Unknown,
}

impl Reading<'_> {
    pub(super) fn take(
        mut self,
        now: Timestamp,
        record: &Arrived<'_>,
        letters: &mut dyn FnMut(Letter<'_>),
    ) -> Progress {
        self.tools.cycle.report.records += 1;
        self.tools.decoded = None;
        let place = self.held.source;
        let outcome = place.map(|place| self.read(now, place, record));
        self.held.reached = Some(record.offset + 1);
        match outcome {
            Some(Ok(())) => {}
            Some(Err(refused)) => {
                let format = place.map_or("", |place| self.tools.sources[place].format.as_str());
                self.refuse(now, record, format, &refused, letters);
            }
            None => {
                let refused = Refused::whole("no_source", "no source reads this topic");
                self.refuse(now, record, "", &refused, letters);
            }
        }
        self.progress
    }

    fn read(&mut self, now: Timestamp, place: usize, record: &Arrived<'_>) -> Result<(), Refused> {
        let source = &self.tools.sources[place];
        let bytes = record.payload.map_or(0, <[u8]>::len);
        if bytes > source.record_bytes_max {
            let error = format!("{bytes} bytes; {} takes at most {}", source.name, source.record_bytes_max);
            return Err(Refused::whole("too_large", &error));
        }
        let stamp = self.stamp;
        if stamp.map(|stamp| self.again(now, place, record, stamp)) == Some(Again::Told) {
            return Ok(());
        }
        self.decode(now, place, record)?;
        if let Some(stamp) = stamp {
            self.tools.verbatim.keep(now, stamp);
        }
        Ok(())
    }

    /// Counts a record that has just been decoded, and was nothing but repeats, as decoding it again would.
    fn again(&mut self, now: Timestamp, place: usize, record: &Arrived<'_>, stamp: Fingerprint) -> Again {
        let Tools { sources, rules, cache, verbatim, frame_max, spare, cycle, .. } = &mut *self.tools;
        let Some(known) = verbatim.find(stamp) else { return Again::Unknown };
        if cache.judge_all(now, known.claims) == Sent::New {
            return Again::Unknown;
        }
        for told in known.told {
            let rule = told.rule as usize;
            let planned = &rules[place][rule];
            let frame = self.held.frame(planned.lane, *frame_max, spare);
            let position = Position { offset: record.offset, index: told.index };
            let names = || (&*sources[place].rules[rule].name, known.conversation(told));
            frame.drop_duplicate(told.home, position, names);
            if frame_max.is_reached_by(frame) {
                self.progress = Progress::Full;
            }
            cycle.report.hits.add(planned.hits);
        }
        cycle.report.consumed += known.told.len() as u64;
        Again::Told
    }

    fn decode(&mut self, now: Timestamp, place: usize, record: &Arrived<'_>) -> Result<(), Refused> {
        let Self { tools, held, progress, .. } = &mut *self;
        let frame_max = tools.frame_max;
        let Tools { sources, rules, hash_key, decoder, cache, verbatim, whole, scratch, spare, cycle, decoded, .. } =
            &mut **tools;
        let (source, rules) = (&sources[place], &rules[place]);
        *decoded = Some(source.format.as_str());
        let headers: Vec<(&str, &[u8])> =
            record.headers.iter().map(|(name, value)| (*name, value.unwrap_or_default())).collect();
        let replaying = Replaying::of(&headers);
        cycle.report.replayed += u64::from(replaying.is_some());
        let seen = seen(now, source, record, replaying.as_ref());
        let raw = Record { payload: record.payload, headers: &headers };
        whole.begin();
        let heard = verbatim.hear();
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
                    let (key, heard, progress) = (&*hash_key, &mut *heard, &mut *progress);
                    let framing =
                        Framing { key, cache, heard, whole, scratch, held, frame_max, spare, progress, replaying };
                    framing.add(now, source, rule, &rules[rule], event, Seen { copy, ..seen });
                    hits.add(rules[rule].hits);
                    copy += 1;
                }
                observed += u64::from(copy);
                if copy == 0 {
                    unrouted += 1;
                    unrouted_events.add(event.index);
                }
            })
            .map_err(|refusal| Refused::whole(refusal.reason(), &refusal.to_string()))?;
        self.snapshots(now, place);
        let (events, report) = (events as u64, &mut self.tools.cycle.report);
        // An event that several routes take is news once for each of them.
        report.consumed += observed + left_out;
        if left_out > 0 {
            report.settle(Outcome::Suppressed, "not_replayed", left_out);
        }
        if events == 0 {
            report.consumed += 1;
            report.settle(Outcome::Suppressed, "empty", 1);
        }
        if unrouted > 0 {
            let name = &self.tools.sources[place].name;
            let error = format!("{unrouted} of {events} events match no route of {name}");
            return Err(Refused { reason: "no_route", error: error.into(), count: unrouted, events: unrouted_events });
        }
        Ok(())
    }

    /// Where a record covers its conversation, and it is another set than a moment ago, its lanes are told the set.
    fn snapshots(&mut self, now: Timestamp, place: usize) {
        let Tools { sources, rules, cache, verbatim, whole, frame_max, .. } = &mut *self.tools;
        let heard = verbatim.heard();
        for part in whole.parts().filter(Part::is_bounded) {
            let rule = &sources[place].rules[part.rule];
            let claim = Claim::of_whole(part.home, part.content());
            let sent = cache.note(now, claim);
            heard.add_whole(sent, claim);
            if sent == Sent::Repeat {
                continue;
            }
            let frame = self.held.last_frame(rules[place][part.rule].lane);
            let frame = frame.expect("its observations went there just now");
            frame.snapshot(&part.snapshot(&rule.name));
            if frame_max.is_reached_by(frame) {
                self.progress = Progress::Full;
            }
        }
    }

    fn refuse(
        &mut self,
        now: Timestamp,
        record: &Arrived<'_>,
        format: &'static str,
        refused: &Refused,
        letters: &mut dyn FnMut(Letter<'_>),
    ) {
        let failure = Failure { reason: refused.reason, error: &refused.error, format, events: &refused.events, now };
        let Tools { letter_bytes_max, cycle, .. } = &mut *self.tools;
        letters(letter(record, &failure, *letter_bytes_max));
        cycle.writes += 1;
        cycle.report.consumed += refused.count;
        cycle.report.settle(Outcome::DeadLettered, refused.reason, refused.count);
        tracing::debug!(
            reason = refused.reason,
            topic = record.topic,
            partition = record.partition,
            offset = record.offset,
            "a record became a dead letter"
        );
    }
}

/// What the record says of its time. A replay keeps its first one, and is never too old: somebody has asked for it.
fn seen(now: Timestamp, source: &Source, record: &Arrived<'_>, replaying: Option<&Replaying>) -> Seen {
    let own = record.timestamp.map_or(now, Timestamp::from_signed_millis);
    let at = replaying.and_then(|replaying| replaying.at).unwrap_or(own);
    Seen { offset: record.offset, at, old: replaying.is_none() && now.since(at) > source.max_age, copy: 0 }
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
    key: &'m HashKey,
    cache: &'m mut Cache,
    heard: &'m mut Heard,
    whole: &'m mut Whole,
    scratch: &'m mut Scratch,
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
        let home = home(self.key, &rule.name, &observation.conversation);
        match self.replaying {
            Some(replaying) => observation.identity = replaying.identity(self.key, observation.identity),
            // What is replayed says how things were, not how they are.
            None if event.coverage == Coverage::Whole => self.whole.add(place, home, &observation),
            None => {}
        }
        let frame = self.held.frame(planned.lane, self.frame_max, self.spare);
        let claim = Claim::of(&observation);
        let sent = self.cache.note(now, claim);
        self.heard.add(sent, place, home, &observation, claim);
        match sent {
            Sent::New => {
                rule.furnish(event, self.scratch, &mut observation);
                frame.push(&observation);
            }
            Sent::Repeat => {
                let Observation { position, conversation, .. } = &observation;
                frame.drop_duplicate(home, *position, || (&rule.name, conversation));
            }
        }
        if self.frame_max.is_reached_by(frame) {
            *self.progress = Progress::Full;
        }
    }
}
