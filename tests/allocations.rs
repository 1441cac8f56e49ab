//! What an event costs in allocations: none for a repeat, at most two for news.
//!
//! The whole intake runs in a thread of its own against librdkafka's in-process cluster, and the allocator counts what that
//! thread asks for; librdkafka's own memory is not Rust's. Starting, sealing and telling cost some, however many events there
//! are; so a long run is held against a short one, and what is between them is what events cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use missived::config::{Config, Environment};
use missived::event::HashKey;
use missived::shell::drain::Drain;
use missived::shell::intake::{Plan, run};
use missived::shell::kafka::Names;
use missived::shell::readiness::Readiness;
use missived::telemetry::Telemetry;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use support::config::Draft;
use support::wait::eventually;

#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;

const PARTITIONS: i32 = 8;
const FEW: usize = 10_000;
const MANY: usize = 50_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Alertmanager's body for one alert of one group.
fn body(alert: usize) -> String {
    format!(
        r#"{{"version":"4","groupKey":"{{}}:{{alertname=\"Latency\",service=\"s{group}\"}}","truncatedAlerts":0,"status":"firing",
"receiver":"missived","groupLabels":{{"alertname":"Latency","service":"s{group}"}},"commonLabels":{{"alertname":"Latency","severity":"warning"}},"commonAnnotations":{{}},
"externalURL":"https://alertmanager.example.com","alerts":[{{"status":"firing","labels":{{"alertname":"Latency",
"severity":"warning","instance":"host-{alert}"}},"annotations":{{"summary":"p99 is above a second"}},
"startsAt":"2026-11-22T03:12:00Z","endsAt":"0001-01-01T00:00:00Z",
"generatorURL":"https://prometheus.example.com/graph","fingerprint":"{alert:016x}"}}]}}"#,
        group = alert % 100,
    )
}

/// Allocations of an intake thread that reads `events` events, of which so many differ.
fn allocations(events: usize, different: usize) -> u64 {
    let cluster = MockCluster::new(1).expect("a cluster");
    let bootstrap = cluster.bootstrap_servers();
    let config = Draft::new(&bootstrap, "http://127.0.0.1:1").set("kafka", "topics.ledger_partitions = 1").write();
    let names = Names::new(config.namespace());
    for (topic, partitions) in [(&*config.alerts_topic(), PARTITIONS), (&names.ledger, 1), (&names.dead_letters, 1)] {
        cluster.create_topic(topic, partitions, 1).expect("a topic");
    }
    produce(&bootstrap, &config.alerts_topic(), events, different);

    let loaded = Config::load(config.path(), &Environment::of_process()).expect("a config").config;
    let (telemetry, readiness) = (Arc::new(Telemetry::new()), Arc::new(Readiness::default()));
    let plan = Plan {
        kafka: loaded.kafka,
        names,
        intake: loaded.intake,
        sources: loaded.sources.into(),
        hash_key: HashKey::new([7; 16]),
        lanes: [("default".into(), 0)].into(),
        member: "intake-0".to_owned(),
        drain: Drain::new(PATIENCE),
        telemetry: Arc::clone(&telemetry),
        gate: Arc::new(readiness.component("intake-0")),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let intake = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || measure(|| run(plan, &stop).expect("the intake ends in order")).count_total)
    };
    let all = events as u64;
    eventually(PATIENCE, "all events", || (telemetry.intake_report().consumed == all).then_some(()));
    stop.store(true, Ordering::Release);
    intake.join().expect("the intake doesn't panic")
}

fn produce(bootstrap: &str, topic: &str, events: usize, different: usize) {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap)
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "200000");
    let producer: ThreadedProducer<_> = client.create().expect("a producer");
    for number in 0..events {
        let body = body(number % different);
        let partition = i32::try_from(number).expect("few") % PARTITIONS;
        let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&body);
        producer.send(record).map_err(|(error, _)| error).expect("sent");
    }
    producer.flush(PATIENCE).expect("written");
}

/// What an event more costs.
fn each(different: impl Fn(usize) -> usize) -> f64 {
    let [few, many] = [FEW, MANY].map(|events| allocations(events, different(events)));
    (many as f64 - few as f64) / (MANY - FEW) as f64
}

#[test]
fn neither_a_repeat_nor_news_allocates() {
    let (repeat, news) = (each(|_| 100), each(|events| events));
    println!("allocations of our own: {repeat:.3} for a repeat, {news:.3} for news");
    assert!(repeat < 0.05, "{repeat} for a repeat");
    // sealing frames and telling numbers have a share in each event
    assert!(news < 0.1, "{news} for news");
}
