//! The load: Alertmanager webhook bodies of 570 bytes with one alert each, the same for the same seed, written to Kafka.
//!
//! So many alerts (`keys`), each with a group of its own up to ten thousand groups; beyond that bodies say that their group was
//! truncated. News is an alert that fires anew (another `startsAt`); a repeat is the same body again. What belongs to one
//! group goes to one partition.

use std::io::Write as _;
use std::time::Duration;

use missived::shell::clock;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use crate::support::kafka;
use crate::support::wait::{moment, timed};

/// Of every body.
pub const BODY_BYTES: usize = 570;
/// More alerts share groups.
const GROUPS_MAX: u64 = 10_000;
/// The alerts begin so long before they are written; each new firing is a millisecond later.
const LONG_AGO_MS: u64 = 1_800_000;
/// Before a full queue is tried again.
const BREATH: Duration = Duration::from_millis(2);
/// For what Kafka must answer.
const ANSWER: Duration = Duration::from_secs(120);

/// What lies in Kafka before a run.
#[derive(Clone, Debug)]
pub struct Load {
    pub events: u64,
    /// Repeats among a hundred.
    pub duplicates: u8,
    pub keys: u64,
    /// Whether every alert fires once before any repeats.
    pub first_all: bool,
    pub partitions: u16,
    pub compression: &'static str,
    pub seed: u64,
}

impl Load {
    /// Writes it to its topic, unless an earlier run did; the topic's name.
    pub fn fill(&self, bootstrap: &str) -> String {
        let topic = format!(
            "bench-{}-{}-{}-{}-{}-{}",
            self.events, self.duplicates, self.keys, self.partitions, self.compression, self.seed
        );
        if held(bootstrap, &topic) == self.events {
            return topic;
        }
        kafka::create_topic(bootstrap, &topic, i32::from(self.partitions), &[("retention.ms", "-1")]);
        Writer::new(bootstrap, &topic, self).write(self.events);
        topic
    }
}

/// Writes a load piece by piece.
pub struct Writer {
    producer: ThreadedProducer<MustArrive>,
    topic: String,
    partitions: u64,
    events: Events,
}

impl Writer {
    pub fn new(bootstrap: &str, topic: &str, load: &Load) -> Self {
        let mut config = ClientConfig::new();
        let settings = [
            ("bootstrap.servers", bootstrap),
            ("compression.type", load.compression),
            ("linger.ms", "20"),
            ("batch.size", "524288"),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "262144"),
            ("enable.idempotence", "true"),
        ];
        for (name, value) in settings {
            config.set(name, value);
        }
        Self {
            producer: config.create_with_context(MustArrive).expect("a producer"),
            topic: topic.to_owned(),
            partitions: u64::from(load.partitions),
            events: Events::new(load),
        }
    }

    /// The next so many events; returns when Kafka has them.
    pub fn write(&mut self, events: u64) {
        let ((), took) = timed(|| {
            self.hand_over(events);
            self.flush();
        });
        say(&format!("{events} events written to {} in {:.1} s", self.topic, took.as_secs_f64()));
    }

    /// The next so many events; returns when the client has them.
    pub fn hand_over(&mut self, events: u64) {
        (0..events).for_each(|_| self.write_one());
    }

    /// Returns when Kafka has all of them.
    pub fn flush(&self) {
        self.producer.flush(ANSWER).expect("Kafka takes the last events");
    }

    fn write_one(&mut self) {
        let (group, body) = self.events.next();
        let partition = i32::try_from(group % self.partitions).expect("few partitions");
        let mut record = BaseRecord::<(), [u8]>::to(&self.topic).partition(partition).payload(body);
        while let Err((error, back)) = self.producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "the load is written");
            moment(BREATH);
            record = back;
        }
    }
}

/// How many records a topic holds; none if it isn't there.
fn held(bootstrap: &str, topic: &str) -> u64 {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(None, ANSWER).expect("an answer from Kafka");
    let partitions = metadata.topics().iter().find(|one| one.name() == topic).map_or(0, |one| one.partitions().len());
    let records = |partition: usize| {
        let partition = i32::try_from(partition).expect("few partitions");
        let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER).expect("an answer from Kafka");
        u64::try_from(high - low).expect("the end lies behind the beginning")
    };
    (0..partitions).map(records).sum()
}

/// The events, one after the other.
pub struct Events {
    random: Random,
    duplicates: u64,
    keys: u64,
    /// So many before the first repeat.
    before_repeats: u64,
    next: u64,
    /// How often each alert has fired.
    fired: Vec<u32>,
    began_ms: u64,
    body: Body,
}

impl Events {
    pub fn new(load: &Load) -> Self {
        Self {
            random: Random(load.seed),
            duplicates: u64::from(load.duplicates),
            keys: load.keys,
            before_repeats: if load.first_all { load.keys } else { 1 },
            next: 0,
            fired: vec![0; usize::try_from(load.keys).expect("keys fit into memory")],
            began_ms: clock::now().as_millis() - LONG_AGO_MS,
            body: Body::new(if load.keys > GROUPS_MAX { "1" } else { "0" }),
        }
    }

    /// Its group and its body.
    pub fn next(&mut self) -> (u64, &[u8]) {
        let known = self.next.min(self.keys);
        let key = if self.next >= self.before_repeats && self.random.below(100) < self.duplicates {
            self.random.below(known)
        } else {
            let key = self.next % self.keys;
            self.next += 1;
            self.fired[key as usize] += 1;
            key
        };
        let fired = u64::from(self.fired[key as usize]);
        (key % GROUPS_MAX, self.body.fill(key % GROUPS_MAX, key, self.began_ms + fired))
    }
}

/// A body in which only some places change.
struct Body {
    bytes: Vec<u8>,
    groups: Vec<usize>,
    keys: Vec<usize>,
    fingerprint: usize,
    since: usize,
}

const GROUP: &str = "GGGGGGGG";
const KEY: &str = "KKKKKKKKKK";
const FINGERPRINT: &str = "FFFFFFFFFFFFFFFF";
const SINCE: &str = "2026-11-22T03:12:00.000Z";
const TEMPLATE: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"High5xx\",service=\"s-GGGGGGGG\"}","truncatedAlerts":TTT,"status":"firing","receiver":"missived","groupLabels":{"alertname":"High5xx","service":"s-GGGGGGGG"},"commonLabels":{"alertname":"High5xx","severity":"warning"},"commonAnnotations":{},"alerts":[{"status":"firing","labels":{"alertname":"High5xx","pod":"p-KKKKKKKKKK","severity":"warning"},"annotations":{"summary":"5xx ratio is 12%"},"startsAt":"2026-11-22T03:12:00.000Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"FFFFFFFFFFFFFFFF"}],"externalURL":"https://a"}"#;

impl Body {
    fn new(truncated: &str) -> Self {
        let text = TEMPLATE.replace("TTT", truncated);
        let text = format!("{}{}", text, " ".repeat(BODY_BYTES.saturating_sub(text.len())));
        assert_eq!(text.len(), BODY_BYTES, "the body has its size");
        let all = |pattern: &str| text.match_indices(pattern).map(|(at, _)| at).collect::<Vec<_>>();
        let one = |pattern: &str| text.find(pattern).expect("it is in the template");
        Self {
            groups: all(GROUP),
            keys: all(KEY),
            fingerprint: one(FINGERPRINT),
            since: one(SINCE),
            bytes: text.into_bytes(),
        }
    }

    fn fill(&mut self, group: u64, key: u64, since_ms: u64) -> &[u8] {
        let Self { bytes, groups, keys, fingerprint, since } = self;
        groups.iter().for_each(|at| digits(&mut bytes[*at..*at + GROUP.len()], group));
        keys.iter().for_each(|at| digits(&mut bytes[*at..*at + KEY.len()], key));
        let hex = &mut bytes[*fingerprint..*fingerprint + FINGERPRINT.len()];
        write!(&mut hex[..], "{:016x}", Random(key).next()).expect("sixteen digits");
        time(&mut bytes[*since..*since + SINCE.len()], since_ms);
        bytes
    }
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// RFC 3339 with milliseconds.
fn time(place: &mut [u8], ms: u64) {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).expect("our century")).expect("our century");
    write!(&mut place[..], "{at:.3}").expect("a time is as long as another");
}

/// `SplitMix64`: small, seeded, good enough to spread a load.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A load with holes is none.
#[derive(Clone)]
struct MustArrive;

impl ClientContext for MustArrive {}

impl ProducerContext for MustArrive {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            say(&format!("an event was not written: {error}"));
            std::process::abort();
        }
    }
}

/// How far it has come: on stderr, because the figures are on stdout.
pub fn say(line: &str) {
    eprintln!("end_to_end: {line}");
}
