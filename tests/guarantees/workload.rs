//! The generator: a seeded stream of alerts, records and people's words with many repeats, written to Kafka, and the books of
//! what must come of it.
//!
//! Four streams, each with an account of its own, so that the audit can add each one up: `t` (threads), `r` (records), `a`
//! (alert groups), `s` (a storm: more alert groups than its channel may open conversations for). About one record in five
//! repeats an earlier one: one of a moment ago, or an old one. What happens in one conversation goes to one partition.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use serde_json::{Value, json};

use crate::audit::{Books, News, Said};
use crate::support::wait::moment;

/// How often the generator writes.
const BEAT: Duration = Duration::from_millis(50);
/// How much of what its client complains of is kept.
const COMPLAINTS: usize = 30;
/// Repeats are drawn from so many of the last records.
const REMEMBERED: usize = 400;
/// An alert group of this size resolves before it grows.
const GROUP_MAX: usize = 12;
const TALKS: u32 = 8;
const DEALS: u32 = 6;
const GROUPS: u32 = 5;
const STORM_GROUPS: u32 = 30;

/// One stream: its letter, its topic's name, its account.
pub struct Stream {
    pub letter: char,
    pub topic: &'static str,
    pub account: &'static str,
}

pub const STREAMS: [Stream; 4] = [
    Stream { letter: 't', topic: "talks", account: "11111111-2222-4333-8444-555555555555" },
    Stream { letter: 'r', topic: "deals", account: "22222222-3333-4444-8555-666666666666" },
    Stream { letter: 'a', topic: "groups", account: "33333333-4444-4555-8666-777777777777" },
    Stream { letter: 's', topic: "storm", account: "44444444-5555-4666-8777-888888888888" },
];

/// SplitMix64: the same seed gives the same workload and the same disturbances.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    pub fn span(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A generator that runs until it is told to stop.
pub struct Workload {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Books>,
}

impl Workload {
    /// Writes about `rate` records a second.
    pub fn start(bootstrap: &str, namespace: &str, seed: u64, rate: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut generator = Generator::new(bootstrap, namespace, seed);
        let told = Arc::clone(&stop);
        let work = move || {
            let a_beat = (rate * u64::try_from(BEAT.as_millis()).unwrap_or(1)).div_ceil(1_000);
            while !told.load(Ordering::Acquire) {
                (0..a_beat).for_each(|_| generator.write_one());
                moment(BEAT);
            }
            generator.finish()
        };
        let thread = std::thread::Builder::new().name("workload".into()).spawn(work).expect("a thread");
        Self { stop, thread }
    }

    /// Everything that was written, once Kafka has acknowledged it.
    pub fn stop(self) -> Books {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the generator doesn't panic")
    }
}

/// A record as it was written, to be repeated.
#[derive(Clone)]
struct Written {
    topic: String,
    key: String,
    payload: String,
    events: u64,
}

/// An alert group as its sender knows it.
#[derive(Clone, Default)]
struct Group {
    next: u32,
    firing: Vec<u32>,
}

struct Generator {
    namespace: String,
    producer: ThreadedProducer<Failures>,
    random: Random,
    books: Books,
    next: [Vec<u32>; 2],
    groups: [Vec<Group>; 2],
    written: VecDeque<Written>,
}

impl Generator {
    fn new(bootstrap: &str, namespace: &str, seed: u64) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("linger.ms", "5");
        // a broker that is gone for a while is no reason to give up
        config.set("message.timeout.ms", "600000");
        let producer = config.create_with_context(Failures::default()).expect("a producer");
        Self {
            namespace: namespace.to_owned(),
            producer,
            random: Random::new(seed),
            books: Books::default(),
            next: [vec![0; TALKS as usize], vec![0; DEALS as usize]],
            groups: [vec![Group::default(); GROUPS as usize], vec![Group::default(); STORM_GROUPS as usize]],
            written: VecDeque::new(),
        }
    }

    fn write_one(&mut self) {
        let record = match self.random.below(100) {
            0..45 => self.said(0),
            45..60 => self.said(1),
            60..75 => self.group(0),
            75..80 => self.group(1),
            _ => self.repeat(),
        };
        let Some(record) = record else { return };
        self.books.events += record.events;
        self.send(&record);
        self.written.push_back(record);
        if self.written.len() > REMEMBERED {
            self.written.pop_front();
        }
    }

    /// Somebody says something, or an object changes.
    fn said(&mut self, stream: usize) -> Option<Written> {
        let of = &STREAMS[stream];
        let place = self.random.below(self.next[stream].len() as u64) as usize;
        let number = self.next[stream][place];
        self.next[stream][place] += 1;
        let news = News { stream: of.letter, conversation: place as u32, number, said: Said::New };
        let token = news.token();
        self.note(of, news);
        let on = format!("{}{place}", of.letter);
        let payload = json!({"on": on, "id": token, "text": token, "from": "Ann"}).to_string();
        Some(Written { topic: format!("{}-{}", self.namespace, of.topic), key: on, payload, events: 1 })
    }

    /// A member of a group fires or resolves, and its sender tells the whole group.
    fn group(&mut self, storm: usize) -> Option<Written> {
        let of = &STREAMS[2 + storm];
        let place = self.random.below(self.groups[storm].len() as u64) as usize;
        let mut group = self.groups[storm][place].clone();
        let full = group.firing.len() >= GROUP_MAX;
        let resolves = group.firing.len() > 1 && (full || self.random.below(3) == 0);
        // the first member never resolves: a group that is over would count its members differently
        let resolved =
            resolves.then(|| group.firing.remove(1 + self.random.below(group.firing.len() as u64 - 1) as usize));
        if resolved.is_none() {
            group.firing.push(group.next);
            group.next += 1;
        }
        let (number, said) = match resolved {
            Some(number) => (number, Said::Resolved),
            None => (group.next - 1, Said::New),
        };
        self.note(of, News { stream: of.letter, conversation: place as u32, number, said });
        let payload = snapshot(of.letter, place as u32, &group.firing, resolved);
        let events = group.firing.len() as u64 + u64::from(resolved.is_some());
        self.groups[storm][place] = group;
        let (topic, key) = (format!("{}-{}", self.namespace, of.topic), format!("{}{place}", of.letter));
        // An older body of it would say that what came since is gone: no repeat, but news, and false.
        self.written.retain(|earlier| earlier.key != key);
        Some(Written { topic, key, payload, events })
    }

    /// The same bytes again: mostly of a moment ago, sometimes an old one; of a group, what it said last.
    fn repeat(&mut self) -> Option<Written> {
        let count = self.written.len() as u64;
        let back = if self.random.below(2) == 0 { self.random.below(10) } else { self.random.below(count) };
        let place = (count.checked_sub(1)?).checked_sub(back)?;
        self.written.get(place as usize).cloned()
    }

    fn note(&mut self, of: &Stream, news: News) {
        let fresh = self.books.news.entry(of.account.to_owned()).or_default().insert(news);
        assert!(fresh, "the generator's tokens are unique");
    }

    fn send(&self, written: &Written) {
        let mut record = BaseRecord::to(&written.topic).key(&written.key).payload(&written.payload);
        while let Err((error, back)) = self.producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "the generator writes");
            moment(BEAT);
            record = back;
        }
    }

    fn finish(self) -> Books {
        let flushed = self.producer.flush(Duration::from_secs(120));
        let (left, failures) = (self.producer.in_flight_count(), self.producer.context());
        flushed.unwrap_or_else(|error| panic!("{left} records are left: {error}; {:#?}", failures.complaints));
        let refused = failures.refused.load(Ordering::Acquire);
        assert_eq!(refused, 0, "records that Kafka did not take; {:#?}", failures.complaints);
        self.books
    }
}

/// An Alertmanager webhook body.
fn snapshot(stream: char, place: u32, firing: &[u32], resolved: Option<u32>) -> String {
    let name = format!("{stream}{place}");
    let alerts = firing.iter().map(|number| alert(stream, place, *number, "firing"));
    let alerts: Vec<Value> = alerts.chain(resolved.map(|number| alert(stream, place, number, "resolved"))).collect();
    json!({
        "version": "4", "groupKey": format!("{{}}:{{alertname=\"{name}\"}}"), "truncatedAlerts": 0, "status": "firing",
        "receiver": "missived", "groupLabels": {"alertname": name}, "commonAnnotations": {},
        "commonLabels": {"alertname": name, "severity": "critical"}, "alerts": alerts,
    })
    .to_string()
}

fn alert(stream: char, place: u32, number: u32, status: &str) -> Value {
    let at = |seconds: u32| {
        jiff::Timestamp::from_second(1_790_000_000 + i64::from(seconds)).expect("a time of our century").to_string()
    };
    let token = News { stream, conversation: place, number, said: Said::New }.token();
    json!({
        "status": status,
        "labels": {"alertname": format!("{stream}{place}"), "severity": "critical"},
        "annotations": {"summary": token},
        "startsAt": at(2 * number),
        "endsAt": if status == "resolved" { at(2 * number + 1) } else { "0001-01-01T00:00:00Z".to_owned() },
        "fingerprint": token,
    })
}

/// Counts what Kafka did not take, and keeps the last that was said about it.
#[derive(Default)]
struct Failures {
    refused: AtomicU64,
    complaints: Mutex<VecDeque<String>>,
}

impl ClientContext for Failures {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let mut complaints = self.complaints.lock().expect("nobody panics with a complaint");
        complaints.push_back(format!("{level:?} {facility}: {message}"));
        if complaints.len() > COMPLAINTS {
            complaints.pop_front();
        }
    }
}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        self.refused.fetch_add(u64::from(result.is_err()), Ordering::AcqRel);
    }
}
