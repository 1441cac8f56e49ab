//! What decoding a record came to, by its bytes: who sends the same bytes again spares us the parser.
//!
//! Most of a storm is the very same body again. A record is remembered under a keyed 128-bit hash of its source, its headers and
//! its payload: which rules took which events of it, into which conversation, and what that claims. One that holds news is
//! remembered only while that pays, which is while at least as many are found as are kept: a flood in which no body comes
//! again costs nothing here. When the same bytes come again and the cache still calls every one of these claims a repeat, they are
//! counted as decoding would have counted them. The cache stays the only judge of what is a repeat, so what is remembered here
//! may be old, or missing, but it is never wrong: decoding the same bytes for the same source comes to the same.
//!
//! Two records that share a hash would be taken for one another, and news would be lost; `stamping.rs` sees to it that they
//! don't.
//!
//! Limits: nothing is remembered of a record that is replayed, refused, or left out in part, nor of one that comes to more
//! than [`TOLD_MAX`] observations; numbers and horizon are the cache's, names have [`NAMES_BYTES_MAX`] a generation.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use super::cache::{Claim, Sent};
use super::generations::{Generation, Generations, Room};
use crate::event::{Fingerprint, Observation, Timestamp};
use crate::lane::AlreadyHashed;

/// Observations of one record that are remembered at most.
const TOLD_MAX: usize = 16;

/// Names of conversations in a generation; then the next one begins.
const NAMES_BYTES_MAX: usize = 4 << 20;

/// One observation that a record comes to, each time that it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The rule's place in its source.
    pub rule: u32,
    /// Its place in the record.
    pub index: u32,
    /// A keyed hash of its route and conversation.
    pub home: Fingerprint,
    /// Where its conversation's name stands.
    name: (u32, u32),
}

/// What is known of the records of a moment ago.
pub struct Verbatim {
    generations: Generations<Remembered>,
    /// How often a record was known since the current generation began: what remembering has saved.
    found: usize,
    heard: Heard,
}

/// What one record comes to.
#[derive(Clone, Copy)]
pub struct Known<'v> {
    pub told: &'v [Told],
    /// What all of them claim, and the whole conversations.
    pub claims: &'v [Claim],
    names: &'v str,
}

/// What the record being decoded comes to, as far as it is known. Kept from record to record for its buffers.
#[derive(Default)]
pub struct Heard {
    wanted: Wanted,
    told: Vec<Told>,
    claims: Vec<Claim>,
    names: String,
}

/// Which records are worth remembering?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those that hold no news.
    #[default]
    Repeats,
    /// Not this one.
    Nothing,
}

struct Remembered {
    by_bytes: HashMap<u128, Span, BuildHasherDefault<AlreadyHashed>>,
    told: Vec<Told>,
    claims: Vec<Claim>,
    names: String,
    claims_max: usize,
}

/// What belongs to one record.
#[derive(Clone, Copy)]
struct Span {
    told: u32,
    claims: u32,
    told_count: u16,
    claims_count: u16,
}

impl Known<'_> {
    pub fn conversation(&self, told: &Told) -> &str {
        &self.names[told.name.0 as usize..told.name.1 as usize]
    }
}

impl Verbatim {
    pub fn new(horizon: Duration, keys_max: usize) -> Self {
        let generation = || Remembered::of((keys_max / 2).max(1));
        let generations = Generations::new(horizon, [generation(), generation()]);
        Self { generations, found: 0, heard: Heard::default() }
    }

    /// What the record with this hash came to, if that is known.
    pub fn find(&mut self, bytes: Fingerprint) -> Option<Known<'_>> {
        let Self { generations, found, .. } = self;
        let known = look_up(generations, bytes);
        *found += usize::from(known.is_some());
        known
    }

    /// The same, and it doesn't count as found.
    pub fn peek(&self, bytes: Fingerprint) -> Option<Known<'_>> {
        look_up(&self.generations, bytes)
    }

    /// Forgets the record before, and hears what the next one comes to.
    pub fn hear(&mut self) -> &mut Heard {
        let Heard { wanted, told, claims, names } = &mut self.heard;
        let kept = self.generations.current.by_bytes.len();
        *wanted = if self.found >= kept { Wanted::All } else { Wanted::Repeats };
        told.clear();
        claims.clear();
        names.clear();
        &mut self.heard
    }

    /// The record that is being heard.
    pub const fn heard(&mut self) -> &mut Heard {
        &mut self.heard
    }

    /// Remembers what was heard of the record with this hash, if it is worth it.
    pub fn keep(&mut self, now: Timestamp, bytes: Fingerprint) {
        if self.heard.wanted != Wanted::Nothing && !self.heard.told.is_empty() {
            self.generations.turn(now);
            if self.generations.current.by_bytes.is_empty() {
                self.found = 0;
            }
            self.generations.current.keep(bytes, &self.heard);
        }
    }

    pub fn clear(&mut self) {
        self.generations.clear();
    }
}

fn look_up(generations: &Generations<Remembered>, bytes: Fingerprint) -> Option<Known<'_>> {
    let Generations { current, previous, .. } = generations;
    current.find(bytes).or_else(|| previous.find(bytes))
}

impl Heard {
    /// A rule took one of its events.
    pub fn add(&mut self, sent: Sent, rule: usize, home: Fingerprint, observation: &Observation<'_>, claim: Claim) {
        self.leave_if_unwanted(sent);
        if self.told.len() >= TOLD_MAX {
            self.wanted = Wanted::Nothing;
        }
        if self.wanted == Wanted::Nothing {
            return;
        }
        let name = self.name(&observation.conversation);
        let (rule, index) = (number(rule), observation.position.index);
        self.told.push(Told { rule, index, home, name });
        self.claims.push(claim);
    }

    /// It covers a whole conversation.
    pub fn add_whole(&mut self, sent: Sent, claim: Claim) {
        self.leave_if_unwanted(sent);
        self.claims.push(claim);
    }

    /// News is left where only repeats are wanted.
    fn leave_if_unwanted(&mut self, sent: Sent) {
        if sent == Sent::New && self.wanted == Wanted::Repeats {
            self.wanted = Wanted::Nothing;
        }
    }

    /// All events of most records share one conversation.
    fn name(&mut self, conversation: &str) -> (u32, u32) {
        if let Some(Told { name, .. }) = self.told.last()
            && self.names[name.0 as usize..name.1 as usize] == *conversation
        {
            return *name;
        }
        let begin = number(self.names.len());
        self.names.push_str(conversation);
        (begin, number(self.names.len()))
    }
}

impl Remembered {
    fn of(claims_max: usize) -> Self {
        let (told, claims, names) = (Vec::new(), Vec::new(), String::new());
        Self { by_bytes: HashMap::default(), told, claims, names, claims_max }
    }

    fn find(&self, bytes: Fingerprint) -> Option<Known<'_>> {
        let span = self.by_bytes.get(&bytes.as_u128())?;
        let (told, claims) = (span.told as usize, span.claims as usize);
        Some(Known {
            told: &self.told[told..told + usize::from(span.told_count)],
            claims: &self.claims[claims..claims + usize::from(span.claims_count)],
            names: &self.names,
        })
    }

    fn keep(&mut self, bytes: Fingerprint, heard: &Heard) {
        let Heard { told, claims, names, .. } = heard;
        let span = Span {
            told: number(self.told.len()),
            claims: number(self.claims.len()),
            told_count: told.len() as u16,
            claims_count: claims.len() as u16,
        };
        if self.by_bytes.contains_key(&bytes.as_u128()) {
            return;
        }
        self.by_bytes.insert(bytes.as_u128(), span);
        let base = number(self.names.len());
        self.told.extend(told.iter().map(|told| Told { name: (base + told.name.0, base + told.name.1), ..*told }));
        self.claims.extend_from_slice(claims);
        self.names.push_str(names);
    }
}

impl Generation for Remembered {
    fn room(&self) -> Room {
        let full = self.claims.len() >= self.claims_max || self.names.len() >= NAMES_BYTES_MAX;
        if full { Room::Full } else { Room::Left }
    }

    fn forget(&mut self) {
        self.by_bytes.clear();
        self.told.clear();
        self.claims.clear();
        self.names.clear();
    }
}

/// A place in a bounded buffer.
fn number(place: usize) -> u32 {
    u32::try_from(place).expect("generations are far smaller")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::reader::{Arrived, GROUP_MAX, Header, Reader};
    use super::super::stamping::Stamping;
    use super::super::{Footing, Progress};
    use super::*;
    use crate::config::{Config, Environment};
    use crate::event::HashKey;
    use crate::shell::kafka::Partition;
    use crate::telemetry::IntakeReport;

    const KEY: HashKey = HashKey::new([7; 16]);
    const TOPICS: [&str; 2] = ["one", "two"];

    /// Two sources; one of them has routes of which several take the same event, and some take none.
    const CONFIG: &str = r#"
[kafka]
bootstrap = "nowhere:9092"
[missive]
insecure_inline_token = "none"
[intake]
frame_bytes_max = "16KiB"
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
type = "text"
[sources.one]
topic = "one"
format = "alertmanager"
channel = "ops"
[sources.two]
topic = "two"
format = "alertmanager"
[[sources.two.routes]]
name = "critical"
channel = "ops"
match = { severity = "critical" }
continue = true
[[sources.two.routes]]
name = "payments"
channel = "ops"
match = { team = "pay" }
"#;

    fn reader() -> Reader {
        let loaded = Config::parse(CONFIG, std::path::Path::new("test.toml"), &Environment::default());
        let mut config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
        config.intake.frame_bytes_max = 2_000;
        config.intake.dedupe_keys_max = 40;
        let mut reader = Reader::new(config.sources.into(), KEY, &config.intake, 1 << 20, &BTreeMap::new());
        for topic in TOPICS {
            reader.hold(Partition { topic: topic.into(), number: 0 }, Footing::default());
        }
        reader
    }

    /// A body of some alerts; what is drawn from is small, so that most come again, in all orders.
    fn body() -> impl Strategy<Value = String> {
        let alert = (0..3_u8, any::<bool>(), 0..2_u8, 0..3_u8).prop_map(|(alert, firing, since, who)| {
            let status = if firing { "firing" } else { "resolved" };
            let labels = ["", r#","severity":"critical""#, r#","severity":"critical","team":"pay""#][usize::from(who)];
            format!(
                r#"{{"status":"{status}","labels":{{"alertname":"a{alert}"{labels}}},"startsAt":"2026-11-22T03:1{since}:00Z","fingerprint":"{alert}"}}"#
            )
        });
        let alerts = prop_oneof![8 => vec(alert.clone(), 1..3), 1 => vec(alert, 15..20), 1 => Just(Vec::new())];
        (0..2_u8, 0..2_u8, alerts, 0..20_u8).prop_map(|(group, cut_off, alerts, whole)| {
            let alerts = alerts.join(",");
            let end = if whole == 0 { "" } else { "}" };
            format!(r#"{{"groupKey":"g{group}","truncatedAlerts":{cut_off},"alerts":[{alerts}]{end}"#)
        })
    }

    #[derive(Clone, Debug)]
    struct Step {
        body: prop::sample::Index,
        topic: prop::sample::Index,
        headers: prop::sample::Index,
        after_ms: u64,
        seal: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let after_ms = prop_oneof![6 => 0..50_u64, 2 => 0..6_000_u64, 1 => 9_000..30_000_u64];
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), after_ms, 0..12_u8)
            .prop_map(|(body, topic, headers, after_ms, seal)| Step { body, topic, headers, after_ms, seal: seal == 0 })
    }

    type Headers = &'static [Header<'static>];
    const HEADERS: [Headers; 6] = [
        &[],
        &[],
        &[],
        &[("a", Some(b"1"))],
        &[("a", None)],
        &[("missived-replay-nonce", Some(b"0123456789abcdef0123456789abcdef"))],
    ];

    /// What came of one step.
    #[derive(Debug, PartialEq)]
    struct Came {
        progress: Progress,
        letters: Vec<Option<Vec<u8>>>,
        frames: Vec<Vec<u8>>,
        report: Option<IntakeReport>,
    }

    fn play(reader: &mut Reader, now: Timestamp, records: &[Arrived<'_>], seal: bool) -> Came {
        let (mut letters, mut frames) = (Vec::new(), Vec::new());
        let mut take = |group: &[Arrived<'_>]| {
            reader.take(now, &group.iter().copied().collect(), &mut |letter| letters.push(letter.value))
        };
        let progress = records.chunks(GROUP_MAX).map(&mut take).max().unwrap_or(Progress::Nothing);
        let sealed = if seal { reader.seal(&mut |_, frame| frames.push(frame.to_vec())) } else { None };
        Came { progress, letters, frames, report: sealed.map(|cycle| cycle.report) }
    }

    /// The record of each step.
    fn records<'b>(bodies: &'b [String], steps: &[Step]) -> Vec<Arrived<'b>> {
        let record = |(offset, step): (i64, &Step)| Arrived {
            topic: TOPICS[step.topic.index(TOPICS.len())],
            partition: 0,
            offset,
            timestamp: Some(1_795_317_120_000),
            key: None,
            payload: Some(step.body.get(bodies).as_bytes()),
            headers: HEADERS[step.headers.index(HEADERS.len())],
        };
        (0..).zip(steps).map(record).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn what_comes_of_records_is_the_same_with_and_without_a_memory(
            bodies in vec(body(), 1..8),
            steps in vec(step(), 1..150),
        ) {
            let (mut with, mut without) = (reader(), reader());
            let mut now = Timestamp::from_millis(1_795_317_120_000);
            for (record, step) in records(&bodies, &steps).iter().zip(&steps) {
                now = Timestamp::from_millis(now.as_millis() + step.after_ms);
                let seal = step.seal || record.offset as usize + 1 == steps.len();
                let remembered = play(&mut with, now, std::slice::from_ref(record), seal);
                without.forget_records();
                prop_assert_eq!(remembered, play(&mut without, now, std::slice::from_ref(record), seal));
            }
        }

        #[test]
        fn what_comes_of_records_is_the_same_together_and_one_by_one(
            bodies in vec(body(), 1..8),
            steps in vec(step(), 1..150),
        ) {
            let (mut together, mut alone) = (reader(), reader());
            let mut now = Timestamp::from_millis(1_795_317_120_000);
            let records = records(&bodies, &steps);
            let mut left = &records[..];
            while let Some(first) = left.first() {
                let Step { after_ms, .. } = steps[first.offset as usize];
                now = Timestamp::from_millis(now.as_millis() + after_ms);
                let (group, others) = left.split_at(left.len().min(1 + after_ms as usize % 40));
                left = others;
                let came = play(&mut together, now, group, true);
                let mut singly = Came { progress: Progress::Nothing, letters: Vec::new(), frames: Vec::new(), report: None };
                for (record, rest) in group.iter().zip((0..group.len()).rev()) {
                    let one = play(&mut alone, now, std::slice::from_ref(record), rest == 0);
                    singly.progress = singly.progress.max(one.progress);
                    singly.letters.extend(one.letters);
                    (singly.frames, singly.report) = (one.frames, one.report);
                }
                prop_assert_eq!(came, singly);
            }
        }
    }

    const fn arrived(offset: i64, payload: &[u8]) -> Arrived<'_> {
        Arrived {
            topic: TOPICS[0],
            partition: 0,
            offset,
            timestamp: None,
            key: None,
            payload: Some(payload),
            headers: &[],
        }
    }

    fn known(reader: &Reader, source: usize, headers: Headers, payload: &[u8]) -> bool {
        reader.knows_record(Stamping::new(&KEY, 2).stamp(source, headers, payload))
    }

    fn alert(number: u32) -> Vec<u8> {
        let labels = format!(r#"{{"alertname":"a{number}"}}"#);
        format!(r#"{{"groupKey":"g{number}","alerts":[{{"status":"firing","labels":{labels}}}]}}"#).into_bytes()
    }

    #[test]
    fn news_is_remembered_while_as_many_are_found_as_are_kept_and_repeats_always() {
        let mut reader = reader();
        let now = Timestamp::from_millis(1_795_317_120_000);
        // Kept, for nothing is yet; not kept; found; kept for that; not kept; news no longer, so kept.
        for (offset, number) in (0..).zip([1, 2, 1, 3, 4, 2]) {
            play(&mut reader, now, &[arrived(offset, &alert(number))], false);
        }
        let known = [1, 2, 3, 4].map(|number| known(&reader, 0, &[], &alert(number)));
        assert_eq!(known, [true, true, true, false]);
    }

    #[test]
    fn a_record_is_told_apart_by_all_that_decoding_sees() {
        let mut reader = reader();
        let now = Timestamp::from_millis(1_795_317_120_000);
        let payload = br#"{"groupKey":"g","alerts":[{"status":"firing","labels":{"alertname":"a"}}]}"#;
        play(&mut reader, now, &[arrived(0, payload)], false);
        assert!(known(&reader, 0, &[], payload));
        for (sentence, source, headers, payload) in [
            ("another source", 1, HEADERS[0], &payload[..]),
            ("another header", 0, HEADERS[3], payload),
            ("another payload", 0, HEADERS[0], &payload[1..]),
        ] {
            assert!(!known(&reader, source, headers, payload), "{sentence}");
        }
        reader.forget();
        assert!(!known(&reader, 0, &[], payload), "forgotten on request");
    }

    #[test]
    fn it_is_bounded_by_the_numbers_of_claims_and_by_the_names() {
        let mut verbatim = Verbatim::new(Duration::from_secs(1_000), 10);
        let claim = Claim::of_whole(Fingerprint::from_u128(1), 1);
        let long = "x".repeat(500);
        for number in 0..20_000 {
            let heard = verbatim.hear();
            heard.told.push(Told { rule: 0, index: 0, home: Fingerprint::from_u128(0), name: (0, 500) });
            heard.names.push_str(&long);
            heard.claims.push(claim);
            verbatim.keep(Timestamp::EPOCH, Fingerprint::from_u128(number));
            let Generations { current, previous, .. } = &verbatim.generations;
            assert!(current.claims.len() <= 5 && previous.claims.len() <= 5);
        }
        let mut verbatim = Verbatim::new(Duration::from_secs(1_000), 1_000_000);
        for number in 0..20_000 {
            let heard = verbatim.hear();
            heard.told.push(Told { rule: 0, index: 0, home: Fingerprint::from_u128(0), name: (0, 500) });
            heard.names.push_str(&long);
            verbatim.keep(Timestamp::EPOCH, Fingerprint::from_u128(number));
            assert!(verbatim.generations.current.names.len() < NAMES_BYTES_MAX + 501);
        }
        assert!(
            verbatim.find(Fingerprint::from_u128(0)).is_none()
                && verbatim.find(Fingerprint::from_u128(19_999)).is_some()
        );
    }
}
