//! A storm that the intake keeps up with, and in it critical alerts: how long each waits for the first message that names it.
//!
//! Events come at a steady rate over thousands of alerts, most of them repeats; critical ones arrive at random moments, each
//! an alert of its own with a name that nothing else has. A wait lasts from the moment before its record is handed to Kafka's
//! client until the stand-in, at Missive's own limits, accepts the first request that names it, be that in a conversation of
//! its own or in a roll-up.
//!
//! Limits: both times are whole milliseconds of one clock; the writer shares the machine, so a rate that it can't keep is
//! told by how long the storm took.

use std::net::SocketAddr;
use std::time::Duration;

use missived::shell::clock;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::latency::Latency;
use crate::load::{Load, Random, Writer};
use crate::run::{self, CONFIG, Stage};
use crate::support::config::ACCOUNT;
use crate::support::daemon::{self, SOON};
use crate::support::wait::{Deadline, eventually, moment};
use crate::support::{http, kafka};

/// Between two looks at how much should have been written.
const TICK: Duration = Duration::from_millis(10);
/// For the last critical alert to be told.
const PATIENCE: Duration = Duration::from_secs(60);

/// How hard it blows.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    pub seconds: u64,
    pub events_per_second: u64,
    pub critical: u64,
}

/// What a storm showed.
pub struct Run {
    /// How long writing it took.
    pub seconds: f64,
    /// Events that were not consumed when the last one was written.
    pub behind: u64,
    /// Of the critical ones that a request names.
    pub latency: Latency,
    /// Those that none names: told as a number in a roll-up, or not yet.
    pub unnamed: usize,
    /// Requests that name one.
    pub requests: usize,
}

pub fn measure(stage: &Stage<'_>, load: &Load, storm: Storm) -> Run {
    let topic = kafka::unique("bench-storm");
    kafka::create_topic(stage.kafka, &topic, i32::from(load.partitions), &[]);
    let (_sandbox, url) = daemon::sandbox(&[&format!("account={ACCOUNT},type=text")]);
    let config = stage.config(CONFIG, &topic, &url, &[]);
    let daemon = stage.start(&config);
    let admin = daemon.address_of("admin");
    eventually(SOON * 2, "daemon that is ready", || {
        http::get(admin, "/readyz").ok().filter(|answer| answer.status == 200)
    });
    let began = clock::monotonic();
    let written = blow(stage.kafka, &topic, load, storm);
    let seconds = (clock::monotonic() - began).as_secs_f64();
    let all = storm.seconds * storm.events_per_second + storm.critical;
    let behind = all - run::wait(admin, |_| true).consumed.min(all);
    let (latency, requests) = told(http::address_of(&url), &written);
    let unnamed = written.len() - latency.0.len();
    Run { seconds, behind, latency, unnamed, requests }
}

/// Writes the storm; when each critical alert was written.
fn blow(bootstrap: &str, topic: &str, load: &Load, storm: Storm) -> Vec<u64> {
    let mut writer = Writer::new(bootstrap, topic, load);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("linger.ms", "0").create().expect("a producer");
    let moments = moments(load.seed, storm);
    let (began, mut events, mut written) = (clock::monotonic(), 0, Vec::new());
    let all = storm.seconds * storm.events_per_second;
    while events < all || written.len() < moments.len() {
        let passed = (clock::monotonic() - began).as_millis() as u64;
        while moments.get(written.len()).is_some_and(|at| *at <= passed) {
            written.push(write(&producer, topic, load, written.len()));
        }
        let due = (passed * storm.events_per_second / 1_000).min(all);
        writer.hand_over(due - events);
        events = due;
        producer.poll(Duration::ZERO);
        moment(TICK);
    }
    writer.flush();
    producer.flush(SOON).expect("Kafka takes the last critical alert");
    written
}

/// Milliseconds into the storm, sorted.
fn moments(seed: u64, storm: Storm) -> Vec<u64> {
    let mut random = Random::new(seed ^ 0x0c71_71ca);
    let mut moments: Vec<u64> = (0..storm.critical).map(|_| random.below(storm.seconds * 1_000)).collect();
    moments.sort_unstable();
    moments
}

fn name(number: usize) -> String {
    format!("Critical{number:05}x")
}

/// One critical alert, in a group of its own; when.
fn write(producer: &BaseProducer, topic: &str, load: &Load, number: usize) -> u64 {
    let name = name(number);
    let body = format!(
        r#"{{"version":"4","groupKey":"{{}}:{{alertname=\"{name}\"}}","truncatedAlerts":0,"status":"firing","receiver":"missived",
"groupLabels":{{"alertname":"{name}"}},"commonLabels":{{"alertname":"{name}","severity":"critical"}},"commonAnnotations":{{}},"externalURL":"https://a",
"alerts":[{{"status":"firing","labels":{{"alertname":"{name}","severity":"critical"}},"annotations":{{"summary":"it is down"}},
"startsAt":"2026-11-22T03:12:00.000Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"c{number:015}"}}]}}"#
    );
    let at = clock::now().as_millis();
    let partition = i32::try_from(number % usize::from(load.partitions)).expect("few partitions");
    let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(&body);
    producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
    producer.poll(Duration::ZERO);
    at
}

/// How long each that is named waited, and how many requests name one; returns when all are, or patience is over.
fn told(sandbox: SocketAddr, written: &[u64]) -> (Latency, usize) {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let requests = requests(sandbox);
        let waits = written.iter().enumerate().filter_map(|(number, at)| wait(&requests, number, *at));
        let mut waits: Vec<u64> = waits.collect();
        if waits.len() == written.len() || deadline.passed() {
            assert!(!waits.is_empty(), "no request names any critical alert");
            waits.sort_unstable();
            let naming = requests.iter().filter(|(_, body)| body.contains("Critical")).count();
            return (Latency(waits), naming);
        }
        moment(TICK * 20);
    }
}

fn wait(requests: &[(u64, String)], number: usize, written_at: u64) -> Option<u64> {
    let name = name(number);
    let (at, _) = requests.iter().find(|(_, body)| body.contains(&name))?;
    Some(at.saturating_sub(written_at))
}

/// When and what, of requests that were accepted, in order.
fn requests(sandbox: SocketAddr) -> Vec<(u64, String)> {
    let page = http::get(sandbox, "/control/ledger?limit=1000").expect("an answer").json();
    let entries = page["entries"].as_array().expect("a list");
    let accepted = entries.iter().filter(|entry| entry["verdict"] == "accepted");
    let told = |entry: &Value| Some((entry["received_at"].as_u64()?, entry["body"].to_string()));
    accepted.filter_map(told).collect()
}
