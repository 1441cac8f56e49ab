//! What remembering identities costs: bytes a key, the longest step while keys come and go, nanoseconds an observation.
//!
//! Drives a lane through its public interface with records of one route: 100 observations a frame, one frame a step, four
//! conversations, 2,778 observations a second of virtual time whatever the number of keys, because the window is as long as
//! the keys need. Three windows go by, so that slices come, fill and expire; then the newest eight tenths are asked for
//! again. Each number of keys has a process of its own, and memory is that process's: resident now, and at its peak, less
//! what was resident before the first key.
//!
//! A step's time is also given without what the thread waited for a processor (`/proc/thread-self/schedstat`), because
//! other work may share the machine. Linux only. Under `cargo test` (without `--bench`) it runs with few keys and judges
//! nothing.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock to time what has none")]

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use missived::config::{Config, Environment};
use missived::event::frame::LedgerRecord;
use missived::event::{Facts, Fingerprint, FrameBuilder, HashKey, Observation, Position, State, Timestamp, Urgency};
use missived::lane::policy::Policy;
use missived::lane::{Effects, Input, Lane, Outcome};
use missived::missive::Answer;
use missived::missive::answer::Status;

/// Observations in a second of virtual time: 10 million in an hour.
const RATE: u64 = 2_778;
const FRAME: u64 = 100;

/// Steps that are committed together.
const COMMIT_STEPS: u64 = 10;

/// A slice lives for a window and an eighth at most, so that many more keys are live.
const SLICES: u64 = 8;

const BYTES_MAX: u64 = 48;
const STEP_MAX: Duration = Duration::from_millis(5);
const RATIO_MAX: f64 = 2.0;

/// Measures the memory and time that remembering identities costs.
#[derive(Debug, Parser)]
struct Options {
    /// Measure this number of keys only, in this process.
    #[arg(long)]
    keys: Option<u64>,
    #[arg(long)]
    test: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One process's measurements, as they travel to the parent on a line.
struct Measured {
    keys: u64,
    bytes_now: u64,
    bytes_peak: u64,
    longest: Duration,
    /// Without what it waited for a processor.
    longest_on_cpu: Duration,
    /// Keys that expired in that step.
    gone_then: u64,
    /// Steps over [`STEP_MAX`] on the processor.
    over_limit: u64,
    steps: u64,
    unique_ns: f64,
    duplicate_ns: f64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(keys) = options.keys {
        measure(keys).tell();
        return ExitCode::SUCCESS;
    }
    let small = options.test || !options.bench;
    let sizes: &[u64] = if small { &[1_000, 20_000] } else { &[10_000, 1_000_000, 10_000_000] };
    println!(
        "| live keys | B a key | B a key at the peak | ns unique | ns duplicate | longest step | … on the CPU | steps over 5 ms on the CPU |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let measured: Vec<Measured> = sizes.iter().map(|keys| in_a_process_of_its_own(*keys)).collect();
    measured.iter().for_each(Measured::row);
    if small { ExitCode::SUCCESS } else { judge(&measured) }
}

fn judge(measured: &[Measured]) -> ExitCode {
    let [few, .., many] = measured else { return ExitCode::FAILURE };
    let unique = many.unique_ns / few.unique_ns;
    let duplicate = many.duplicate_ns / few.duplicate_ns;
    let rows = [
        (format!("bytes a key at the peak: {}", many.bytes_peak / many.keys), many.bytes_peak <= BYTES_MAX * many.keys),
        (format!("longest step on the CPU: {:?}", many.longest_on_cpu), many.longest_on_cpu <= STEP_MAX),
        (format!("10 M keys against 10 k, unique: {unique:.2}"), unique < RATIO_MAX),
        (format!("10 M keys against 10 k, duplicate: {duplicate:.2}"), duplicate < RATIO_MAX),
    ];
    for (what, kept) in &rows {
        println!("{}: {what}", if *kept { "kept" } else { "MISSED" });
    }
    if rows.iter().all(|(_, kept)| *kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_a_process_of_its_own(keys: u64) -> Measured {
    let myself = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(myself).args(["--keys", &keys.to_string()]).output().expect("this program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Measured::heard(&String::from_utf8_lossy(&output.stdout))
}

struct Bench {
    lane: Lane,
    now: Timestamp,
    /// Microseconds that `now` doesn't show yet.
    micros: u64,
    effects: Effects,
    builder: FrameBuilder,
    bytes: Vec<u8>,
    offset: i64,
    steps: u64,
    keys_max: u64,
    longest: Duration,
    longest_on_cpu: Duration,
    gone_then: u64,
    over_limit: u64,
}

fn measure(keys: u64) -> Measured {
    let window = Duration::from_millis((keys * SLICES / (SLICES + 1) * 1_000 / RATE).max(1_000));
    let mut bench = Bench::new(window, keys);
    let total = (3 * keys).max(300_000) / FRAME * FRAME;
    bench.play(0..FRAME, 0);
    let before = memory("VmRSS:");
    let (mut unique, mut measured) = (Duration::ZERO, 0);
    for first in (FRAME..total).step_by(FRAME as usize) {
        let took = bench.play(first..first + FRAME, FRAME * 1_000_000 / RATE);
        // the first third only fills
        if first >= total / 3 {
            (unique, measured) = (unique + took, measured + FRAME);
        }
    }
    let (now, peak) = (memory("VmRSS:"), memory("VmHWM:"));
    let known = bench.lane.books().of(Outcome::Duplicate);
    let alive = bench.keys_max * 8 / 10;
    let asked = alive.min(1_000_000) / FRAME * FRAME;
    let stride = alive / asked;
    let mut duplicate = Duration::ZERO;
    for first in (0..asked).step_by(FRAME as usize) {
        duplicate += bench.play((first..first + FRAME).map(|place| total - 1 - place * stride), 0);
    }
    assert_eq!(bench.lane.books().of(Outcome::Duplicate) - known, asked, "all of them were known");
    assert_eq!(bench.lane.dedupe_evicted(), 0, "the cap is beyond what is measured");
    Measured {
        keys: bench.keys_max,
        bytes_now: now.saturating_sub(before),
        bytes_peak: peak.saturating_sub(before),
        unique_ns: unique.as_secs_f64() * 1e9 / measured as f64,
        duplicate_ns: duplicate.as_secs_f64() * 1e9 / asked as f64,
        longest: bench.longest,
        longest_on_cpu: bench.longest_on_cpu,
        gone_then: bench.gone_then,
        over_limit: bench.over_limit,
        steps: bench.steps,
    }
}

impl Bench {
    fn new(window: Duration, keys: u64) -> Self {
        let policy = policy(window, usize::try_from(keys * 2).expect("fits"));
        Self {
            lane: Lane::new(Arc::new(policy), HashKey::new([3; 16]), 1),
            now: Timestamp::from_millis(1_795_317_120_000),
            micros: 0,
            effects: Effects::default(),
            builder: FrameBuilder::default(),
            bytes: Vec::new(),
            offset: 0,
            steps: 0,
            keys_max: 0,
            longest: Duration::ZERO,
            longest_on_cpu: Duration::ZERO,
            gone_then: 0,
            over_limit: 0,
        }
    }

    /// One frame with these observations, so many microseconds after the last; tells how long its step took.
    fn play(&mut self, numbers: impl Iterator<Item = u64>, micros: u64) -> Duration {
        self.micros += micros;
        self.now = self.now + Duration::from_millis(self.micros / 1_000);
        self.micros %= 1_000;
        for number in numbers {
            self.offset += 1;
            self.builder.push(&observation(number, self.offset, self.now));
        }
        self.builder.seal("default", "deals", 0, &mut self.bytes);
        let bytes = std::mem::take(&mut self.bytes);
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("a frame that was just built") };
        let took = self.step(Input::Observed(&frame));
        self.bytes = bytes;
        self.commit();
        took
    }

    fn step(&mut self, input: Input<'_>) -> Duration {
        let (keys, waited) = (self.lane.dedupe_keys() as u64, waited_for_cpu());
        let begun = Instant::now();
        self.lane.step(self.now, input, &mut self.effects);
        let took = begun.elapsed();
        let on_cpu = took.saturating_sub(waited_for_cpu().saturating_sub(waited));
        self.steps += 1;
        self.longest = self.longest.max(took);
        self.over_limit += u64::from(on_cpu > STEP_MAX);
        if on_cpu > self.longest_on_cpu {
            self.longest_on_cpu = on_cpu;
            self.gone_then = (keys + FRAME).saturating_sub(self.lane.dedupe_keys() as u64);
        }
        self.keys_max = self.keys_max.max(self.lane.dedupe_keys() as u64);
        on_cpu
    }

    /// Every so often everything is committed, and Missive takes what is sent.
    fn commit(&mut self) {
        if !self.steps.is_multiple_of(COMMIT_STEPS) {
            return;
        }
        let effects = std::mem::take(&mut self.effects);
        self.lane.committed();
        for delivery in effects.sends {
            let answer = Answer::Status(Status { code: 201, ..Status::default() });
            self.step(Input::Answered { id: delivery.id, answer });
        }
    }
}

fn observation(number: u64, offset: i64, at: Timestamp) -> Observation<'static> {
    const KEYS: [&str; 4] = ["deal-a", "deal-b", "deal-c", "deal-d"];
    let identity = u128::from(spread(number)) << 64 | u128::from(spread(!number));
    Observation {
        position: Position { offset, index: 0 },
        route: "deals",
        at,
        old: false,
        entity: Fingerprint::from_u128(u128::from(number % 100)),
        identity: Fingerprint::from_u128(identity),
        state: State::Changed,
        urgency: Urgency::Low,
        since: None,
        conversation: Cow::Borrowed(KEYS[(number % 4) as usize]),
        facts: Facts { title: Cow::Borrowed("stage"), ..Facts::default() },
    }
}

/// SplitMix64's finisher: what a keyed hash would look like.
const fn spread(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the least file becomes, but for the window and the number of keys.
fn policy(window: Duration, keys_max: usize) -> Policy {
    let text = r#"[kafka]
bootstrap = "nowhere:9092"
[missive]
insecure_inline_token = "none"
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
type = "text"
[sources.deals]
topic = "deals"
channel = "ops"
format = "json"
kind = "record"
json = { entity = "/id" }
"#;
    let loaded = Config::parse(text, Path::new("bench.toml"), &Environment::default());
    let mut policy = loaded.unwrap_or_else(|error| panic!("{error}")).config.lanes[0].policy.clone();
    policy.bounds.dedupe_keys_max = keys_max;
    policy.routes.get_mut("deals").expect("the route of the source").window = window;
    policy
}

/// A line of `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// How long this thread has been ready to run without running.
fn waited_for_cpu() -> Duration {
    let line = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = line.split(' ').nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

impl Measured {
    fn tell(&self) {
        let Self { keys, bytes_now, bytes_peak, gone_then, over_limit, steps, unique_ns, duplicate_ns, .. } = self;
        let (longest, on_cpu) = (self.longest.as_nanos(), self.longest_on_cpu.as_nanos());
        println!(
            "{keys} {bytes_now} {bytes_peak} {longest} {on_cpu} {gone_then} {over_limit} {steps} {unique_ns} {duplicate_ns}"
        );
    }

    fn heard(line: &str) -> Self {
        let fields: Vec<f64> = line.split_whitespace().map(|field| field.parse().expect("a number")).collect();
        let whole = |place: usize| fields[place] as u64;
        Self {
            keys: whole(0),
            bytes_now: whole(1),
            bytes_peak: whole(2),
            longest: Duration::from_nanos(whole(3)),
            longest_on_cpu: Duration::from_nanos(whole(4)),
            gone_then: whole(5),
            over_limit: whole(6),
            steps: whole(7),
            unique_ns: fields[8],
            duplicate_ns: fields[9],
        }
    }

    fn row(&self) {
        let a_key = |bytes: u64| bytes as f64 / self.keys as f64;
        println!(
            "| {} | {:.1} | {:.1} | {:.0} | {:.0} | {:?} | {:?} ({} keys went) | {} of {} |",
            self.keys,
            a_key(self.bytes_now),
            a_key(self.bytes_peak),
            self.unique_ns,
            self.duplicate_ns,
            self.longest,
            self.longest_on_cpu,
            self.gone_then,
            self.over_limit,
            self.steps
        );
    }
}
