//! One run: the daemon from its start until every event is committed and folded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use missived::shell::clock;

use crate::load::{Load, Writer};
use crate::meter::{self, Cpu};
use crate::support::config::{ACCOUNT, Config, Draft};
use crate::support::daemon::{self, Process};
use crate::support::wait::{Deadline, moment};
use crate::support::{http, kafka};

/// Between two looks at the daemon; each costs it a third of a millisecond.
const LOOK: Duration = Duration::from_millis(100);
/// How long a run may go without any progress.
const STALLED: Duration = Duration::from_secs(120);

/// What every run has in common.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    pub kafka: &'a str,
    /// For the daemon's config.
    pub lines: &'a [String],
    /// Another build of it.
    pub daemon: Option<&'a Path>,
}

/// What a run showed.
pub struct Run {
    /// From the first look that saw events consumed to the one that saw all of them.
    pub seconds: f64,
    /// Events in that time.
    pub events: u64,
    /// From the daemon's start until the last event was consumed.
    pub cpu_consumed: Cpu,
    /// … and until the last one was folded, too.
    pub cpu: Cpu,
    /// The same by thread.
    pub threads: BTreeMap<String, Cpu>,
    /// Seconds from the last event consumed to the last one folded.
    pub behind: f64,
    pub peak_rss_kib: u64,
    /// By outcome and reason.
    pub outcomes: BTreeMap<String, u64>,
    pub frames: u64,
}

/// What so many live keys showed: first every key once, then repeats of them.
pub struct OverKeys {
    pub cpu_first: Cpu,
    pub cpu_repeats: Cpu,
    pub threads: BTreeMap<String, Cpu>,
    pub rss_kib: u64,
    pub outcomes: BTreeMap<String, u64>,
}

/// Runs the daemon on a topic that holds the load.
pub fn measure(stage: &Stage<'_>, topic: &str, load: &Load) -> Run {
    let (_sandbox, url) = daemon::sandbox(&[&format!("account={ACCOUNT},type=text")]);
    let config = stage.config(CONFIG, topic, &url, &[]);
    let daemon = stage.start(&config);
    let (admin, pid) = (daemon.address_of("admin"), daemon.pid());
    let first = wait(admin, |seen| seen.consumed > 0);
    let began = clock::monotonic();
    wait(admin, |seen| seen.consumed >= load.events);
    let (cpu_consumed, ended) = (meter::cpu(pid), clock::monotonic());
    let last = wait(admin, |seen| seen.settled >= load.events);
    let (cpu, threads, settled) = (meter::cpu(pid), meter::threads(pid), clock::monotonic());
    Run {
        seconds: (ended - began).as_secs_f64(),
        events: load.events - first.consumed,
        cpu_consumed,
        cpu,
        threads,
        behind: (settled - ended).as_secs_f64(),
        peak_rss_kib: meter::memory_kib(pid, "VmHWM:"),
        outcomes: last.outcomes,
        frames: last.frames,
    }
}

/// Two builds on the topic at the same time, so that what slows one slows the other: the CPU of each from its start until it had
/// consumed the last event.
pub fn side_by_side(stage: &Stage<'_>, other: &Path, topic: &str, load: &Load) -> [Cpu; 2] {
    let until_consumed = |stage: Stage<'_>| {
        let (_sandbox, url) = daemon::sandbox(&[&format!("account={ACCOUNT},type=text")]);
        let config = stage.config(CONFIG, topic, &url, &[]);
        let daemon = stage.start(&config);
        wait(daemon.address_of("admin"), |seen| seen.consumed >= load.events);
        meter::cpu(daemon.pid())
    };
    thread::scope(|scope| {
        let stages = [*stage, Stage { daemon: Some(other), ..*stage }];
        let both = stages.map(|stage| scope.spawn(move || until_consumed(stage)));
        both.map(|one| one.join().expect("both come to the end"))
    })
}

/// Every key once, and when that is folded, repeats of them; written while the daemon runs.
pub fn over_keys(stage: &Stage<'_>, load: &Load) -> OverKeys {
    let (_sandbox, url) = daemon::sandbox(&[&format!("account={ACCOUNT},type=text")]);
    let topic = kafka::unique("bench-keys");
    kafka::create_topic(stage.kafka, &topic, i32::from(load.partitions), &[]);
    let mut writer = Writer::new(stage.kafka, &topic, load);
    writer.write(load.keys);
    let room = format!("lane.dedupe_keys_max = {}", (2 * load.keys).max(1_000_000));
    let config = stage.config(CONFIG, &topic, &url, &[room]);
    let daemon = stage.start(&config);
    let (admin, pid) = (daemon.address_of("admin"), daemon.pid());
    wait(admin, |seen| seen.settled >= load.keys);
    let (cpu_first, threads_first) = (meter::cpu(pid), meter::threads(pid));
    writer.write(load.events);
    let last = wait(admin, |seen| seen.settled >= load.keys + load.events);
    let since = |(name, cpu): (String, Cpu)| {
        let before = threads_first.get(&name).copied().unwrap_or_default();
        (name, cpu.since(before))
    };
    OverKeys {
        cpu_first,
        cpu_repeats: meter::cpu(pid).since(cpu_first),
        threads: meter::threads(pid).into_iter().map(since).collect(),
        rss_kib: meter::memory_kib(pid, "VmRSS:"),
        outcomes: last.outcomes,
    }
}

impl Stage<'_> {
    /// A config on this topic, with the stage's own lines and these.
    pub fn config(&self, template: &str, topic: &str, missive_url: &str, lines: &[String]) -> Config {
        let lines = [self.lines, lines].concat().join("\n");
        Draft::new(self.kafka, missive_url).toml(&format!("{lines}\n{}", template.replace("{topic}", topic)))
    }

    pub fn start(&self, config: &Config) -> Process {
        let file = self.daemon.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_missived")), Path::to_owned);
        let mut command = Command::new(file);
        command.args(["run", "--config"]).arg(config.path()).env("NO_COLOR", "1");
        Process::start(command)
    }
}

pub const CONFIG: &str = r#"
[kafka]
bootstrap = "{bootstrap}"
namespace = "{namespace}"
session_timeout = "6s"

[missive]
url = "{missive_url}"
token_file = "{dir}/token"

[admin]
listen = "127.0.0.1:0"

[channels.ops]
account = "{account}"
type = "text"

[sources.alerts]
topic = "{topic}"
format = "alertmanager"
channel = "ops"
start = "earliest"
# a topic that was filled long ago is read as if it were of today
max_age = "300d"
"#;

/// What the metrics say.
#[derive(Default)]
pub struct Seen {
    pub consumed: u64,
    /// Consumed by the lane as well: with an outcome, or pending.
    pub settled: u64,
    pub frames: u64,
    pub outcomes: BTreeMap<String, u64>,
}

/// Looks at the metrics until they show enough.
pub fn wait(admin: SocketAddr, enough: impl Fn(&Seen) -> bool) -> Seen {
    let (mut progress, mut deadline) = (0, Deadline::after(STALLED));
    loop {
        let text = http::get(admin, "/metrics").map(|answer| answer.text()).unwrap_or_default();
        let seen = seen(&text);
        if enough(&seen) {
            return seen;
        }
        if seen.consumed + seen.settled > progress {
            (progress, deadline) = (seen.consumed + seen.settled, Deadline::after(STALLED));
        }
        assert!(!deadline.passed(), "nothing goes on any more:\n{text}");
        moment(LOOK);
    }
}

fn seen(metrics: &str) -> Seen {
    let mut seen = Seen::default();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let value = value.parse::<f64>().unwrap_or(0.0) as u64;
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        match name {
            "missived_events_consumed_total" => seen.consumed += value,
            "missived_events_pending" => seen.settled += value,
            "missived_frames_total" => seen.frames += value,
            "missived_events_total" if value > 0 => {
                seen.settled += value;
                *seen.outcomes.entry(labels.trim_end_matches('}').replace('"', "")).or_default() += value;
            }
            _ => {}
        }
    }
    seen
}
