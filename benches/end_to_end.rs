//! The whole daemon as a process, between a real Kafka and the stand-in for Missive: events a second, processor time an event,
//! memory, latency.
//!
//! Events are Alertmanager webhook bodies of 570 bytes with one alert each, drawn from a seed, and lie in Kafka before the
//! daemon starts. Its processor time is what the system says of the whole process, from its start until the last event is
//! committed and folded, nothing taken off; who used it is told thread by thread. In the same run a bare librdkafka consumer
//! and Kafka's own `kafka-consumer-perf-test` read the same topic: what the broker can give. `--help` tells the options;
//! without `--bench` it runs small, and without a Kafka it says that it is skipped.
//!
//! Limits: processor time and memory come from /proc (Linux). Broker, stand-in and daemon share the machine: what is trusted
//! is processor time an event; events a second are what was left.

#[path = "end_to_end/bare.rs"]
mod bare;
#[path = "end_to_end/latency.rs"]
mod latency;
#[path = "end_to_end/load.rs"]
mod load;
#[path = "end_to_end/meter.rs"]
mod meter;
#[path = "end_to_end/peer.rs"]
mod peer;
#[path = "end_to_end/perf_test.rs"]
mod perf_test;
#[path = "end_to_end/report.rs"]
mod report;
#[path = "end_to_end/run.rs"]
mod run;
#[path = "end_to_end/scaling.rs"]
mod scaling;
#[path = "end_to_end/storm.rs"]
mod storm;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use load::{BODY_BYTES, Load};
use report::Report;
use run::Stage;
use scaling::Prefetched;
use storm::Storm;
use support::kafka::{self, Broker};

/// How much lies in Kafka in the scenario `backlog`.
const BACKLOG_BYTES: u64 = 1 << 30;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A backlog of which most are repeats.
    Duplicates,
    /// A backlog of nothing but news.
    Unique,
    /// Single records while nothing else happens: from the record's timestamp to the request at the stand-in.
    Latency,
    /// 1 GiB in Kafka, nothing compressed: how much memory it takes to get through it.
    Backlog,
    /// What a repeat costs while so many alerts are remembered: 10 thousand to 10 million.
    Keys,
    /// Critical alerts in a storm that the intake keeps up with: from their record to the first request that names them.
    Storm,
    /// The intake without Kafka, over records in memory: what a second thread brings.
    Scaling,
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Self::Duplicates => "duplicates",
            Self::Unique => "unique",
            Self::Latency => "latency",
            Self::Backlog => "backlog",
            Self::Keys => "keys",
            Self::Storm => "storm",
            Self::Scaling => "scaling",
        }
    }
}

/// How batches are compressed in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compression {
    None,
    Lz4,
    Zstd,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Who else does the same job on the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Redpanda Connect, built with Go from benches/peers/connect.
    Connect,
}

/// Measures the daemon as a process, between a real Kafka and the stand-in for Missive.
#[derive(Debug, Parser)]
struct Options {
    /// What is measured, in this order (repeatable); default: duplicates and unique, in a test duplicates and latency
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// Events that lie in Kafka; default 2,000,000, or 20,000 in a test
    #[arg(long)]
    events: Option<u64>,
    /// Repeats among a hundred events, in the scenarios duplicates and backlog
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    duplicates: u8,
    /// Alerts that repeat and change
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// The points of the scenario keys
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000")]
    curve: Vec<u64>,
    /// Single records in the scenario latency; default 250, or 5 in a test
    #[arg(long)]
    records: Option<u64>,
    /// How long the scenario storm lasts; default 60, or 2 in a test
    #[arg(long, value_name = "SECONDS")]
    storm_seconds: Option<u64>,
    /// Events a second in the scenario storm; default 20,000, or 1,000 in a test
    #[arg(long, value_name = "EVENTS")]
    storm_rate: Option<u64>,
    /// Critical alerts in the scenario storm; default 100, or 5 in a test
    #[arg(long, value_name = "ALERTS")]
    storm_critical: Option<u64>,
    /// Times that the scenario scaling is measured, with one thread and with two in turn, and that builds are compared
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Partitions of the source topic
    #[arg(long, default_value_t = 4)]
    partitions: u16,
    /// How batches are compressed in Kafka
    #[arg(long, value_enum, default_value = "lz4")]
    compression: Compression,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A line for the daemon's config (repeatable), such as 'intake.threads = 2'
    #[arg(long, value_name = "TOML")]
    config: Vec<String>,
    /// Measure this build of the daemon instead of the one that Cargo has just made
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
    /// Compare with this build: both read the same topic at the same time, again and again (scenarios duplicates, unique, backlog)
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Have another program do the same job on the same topic
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Use this Kafka (or the one in KAFKA_BOOTSTRAP) instead of starting one; a topic that an earlier run has filled is read again
    #[arg(long, value_name = "ADDRESS")]
    bootstrap: Option<String>,
    /// Write the figures here, too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run small; so does a run without `--bench`
    #[arg(long)]
    test: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    const fn is_small(&self) -> bool {
        self.test || !self.bench
    }

    fn scenarios(&self) -> Vec<Scenario> {
        match (self.scenario.as_slice(), self.is_small()) {
            ([], true) => vec![Scenario::Duplicates, Scenario::Latency],
            ([], false) => vec![Scenario::Duplicates, Scenario::Unique],
            (chosen, _) => chosen.to_vec(),
        }
    }

    fn given_kafka(&self) -> Option<String> {
        let given = self.bootstrap.clone().or_else(|| std::env::var("KAFKA_BOOTSTRAP").ok());
        given.filter(|address| !address.is_empty())
    }

    fn load(&self) -> Load {
        Load {
            events: self.events.unwrap_or(if self.is_small() { 20_000 } else { 2_000_000 }),
            duplicates: self.duplicates,
            keys: self.keys,
            first_all: false,
            partitions: self.partitions,
            compression: self.compression.name(),
            seed: self.seed,
        }
    }

    fn storm(&self) -> Storm {
        let small = self.is_small();
        Storm {
            seconds: self.storm_seconds.unwrap_or(if small { 2 } else { 60 }),
            events_per_second: self.storm_rate.unwrap_or(if small { 1_000 } else { 20_000 }),
            critical: self.storm_critical.unwrap_or(if small { 5 } else { 100 }),
        }
    }

    fn backlog(&self) -> Load {
        Load { events: BACKLOG_BYTES.div_ceil(BODY_BYTES as u64), compression: "none", ..self.load() }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let given = options.given_kafka();
    let without_kafka = options.scenarios().iter().all(|scenario| *scenario == Scenario::Scaling);
    let given = if without_kafka { Some(String::new()) } else { given };
    let own = match (&given, options.is_small()) {
        (Some(_), _) => None,
        // says that it is skipped
        (None, true) => kafka::bootstrap().and(None),
        (None, false) => Broker::start(),
    };
    let Some(kafka) = given.as_deref().or(own.as_ref().map(Broker::bootstrap)) else { return ExitCode::SUCCESS };
    let stage = Stage { kafka, lines: &options.config, daemon: options.daemon.as_deref() };
    let mut report = Report::new();
    for scenario in options.scenarios() {
        play(scenario, &options, &stage, &mut report);
        if let Some(file) = &options.json {
            report.write(file);
        }
    }
    ExitCode::SUCCESS
}

fn play(scenario: Scenario, options: &Options, stage: &Stage<'_>, report: &mut Report) {
    let load = options.load();
    match scenario {
        Scenario::Duplicates => flood(scenario, options, stage, &load, report),
        Scenario::Unique => flood(scenario, options, stage, &Load { duplicates: 0, ..load }, report),
        Scenario::Backlog => flood(scenario, options, stage, &options.backlog(), report),
        Scenario::Latency => {
            let records = options.records.unwrap_or(if options.is_small() { 5 } else { 250 });
            report.latency(&latency::measure(stage, records));
        }
        Scenario::Storm => {
            let (load, storm) = (Load { keys: load.keys.min(5_000), ..load }, options.storm());
            report.storm(storm, &storm::measure(stage, &load, storm));
        }
        Scenario::Scaling => {
            for load in [load.clone(), Load { duplicates: 0, ..load }] {
                let prefetched = Prefetched::of(&load);
                report.load(scenario.name(), &load);
                for _ in 0..options.rounds {
                    report.scaling(&load, &[1, 2].map(|threads| prefetched.read(threads)));
                }
            }
        }
        Scenario::Keys => {
            for keys in &options.curve {
                let load = Load { duplicates: 100, keys: *keys, first_all: true, ..options.load() };
                report.keys(&load, &run::over_keys(stage, &load));
            }
        }
    }
}

/// A topic that is full already, read by one after the other.
fn flood(scenario: Scenario, options: &Options, stage: &Stage<'_>, load: &Load, report: &mut Report) {
    let topic = load.fill(stage.kafka);
    report.load(scenario.name(), load);
    if let Some(other) = &options.against {
        let rounds = (0..options.rounds).map(|_| report.round(load, run::side_by_side(stage, other, &topic, load)));
        let ratios = rounds.collect();
        return report.against(ratios);
    }
    report.bare("librdkafka alone", load, &bare::measure(stage.kafka, &topic, load.events));
    if !options.is_small() {
        perf_test::measure(stage.kafka, &topic, load.events).inspect(|rate| report.perf_test(*rate));
    }
    report.run(load, &run::measure(stage, &topic, load));
    match options.peer {
        Some(Peer::Connect) => report.peer("Redpanda Connect", load, &peer::connect(stage.kafka, &topic, load)),
        None => {}
    }
}
