//! What remembering identities costs: bytes a key, the longest step while keys come and go, nanoseconds an observation.
//!
//! Drives a lane through its public interface with records of one route: 100 observations a frame, one frame a step, four
//! conversations, 2,778 observations a second of virtual time whatever the number of keys, because the window is as long as
//! the keys need. Three windows go by, so that slices come, fill and expire; then the newest eight tenths are asked for
//! again. Each number of keys has a process of its own, and memory is that process's: resident now, and at its peak, less
//! what was resident before the first key.
//!
//! Other work may share the machine, so each number of keys is measured in three processes that play the same story. A
//! step's time is given without what the thread waited for a processor (`/proc/thread-self/schedstat`), and a step is as
//! long as its shortest run: what took long only once was not its own doing. Linux only. Under `cargo test` (without `--bench`) it runs with few keys and judges
//! nothing.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock to time what has none")]

#[path = "keys/mod.rs"]
mod keys;

use std::fs;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use missived::event::frame::LedgerRecord;
use missived::event::{FrameBuilder, HashKey, Timestamp};
use missived::lane::{Effects, Input, Lane, Outcome};
use missived::missive::Answer;
use missived::missive::answer::Status;

use keys::{FRAME, FRAME_MICROS, START, observation, policy};

/// Steps that are committed together.
const COMMIT_STEPS: usize = 10;

/// Processes for each number of keys.
const RUNS: usize = 3;

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
    /// Keys that expired in the step that took most of them.
    gone_max: u64,
    /// The number of that step.
    gone_in: usize,
    unique_ns: f64,
    duplicate_ns: f64,
    /// Nanoseconds of every step, without what it waited for a processor.
    steps: Vec<u32>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(keys) = options.keys {
        measure(keys).tell();
        return ExitCode::SUCCESS;
    }
    let small = options.test || !options.bench;
    let sizes: &[u64] = if small { &[5_000, 20_000] } else { &[10_000, 1_000_000, 10_000_000] };
    println!(
        "| live keys | B a key | … at the peak | ns unique | ns duplicate | longest step | … in every run | step that drops most |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let measured: Vec<Measured> = sizes.iter().map(|keys| repeatedly(*keys)).collect();
    measured.iter().for_each(Measured::row);
    if small { ExitCode::SUCCESS } else { judge(&measured) }
}

fn judge(measured: &[Measured]) -> ExitCode {
    let [few, .., many] = measured else { return ExitCode::FAILURE };
    let (longest, _) = many.longest_every_time();
    let unique = many.unique_ns / few.unique_ns;
    let duplicate = many.duplicate_ns / few.duplicate_ns;
    let rows = [
        (format!("bytes a key at the peak: {}", many.bytes_peak / many.keys), many.bytes_peak <= BYTES_MAX * many.keys),
        (format!("longest step of every run: {longest:?}"), longest <= STEP_MAX),
        (format!("10 M keys against 10 k, unique: {unique:.2}"), unique < RATIO_MAX),
        (format!("10 M keys against 10 k, duplicate: {duplicate:.2}"), duplicate < RATIO_MAX),
    ];
    for (what, kept) in &rows {
        println!("{}: {what}", if *kept { "kept" } else { "MISSED" });
    }
    if rows.iter().all(|(_, kept)| *kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same story in several processes: the worst memory, the best times, of each step the shortest time.
fn repeatedly(keys: u64) -> Measured {
    let first = in_a_process_of_its_own(keys);
    (1..RUNS).fold(first, |merged, _| merged.merge(&in_a_process_of_its_own(keys)))
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
    /// As long as it will be from the start, so that it doesn't count as memory of the keys.
    times: Vec<u32>,
    steps: usize,
    keys_max: u64,
    longest: Duration,
    gone_max: u64,
    gone_in: usize,
}

fn measure(keys: u64) -> Measured {
    let mut bench = Bench::new(keys);
    let total = (3 * keys).max(300_000) / FRAME * FRAME;
    bench.play(0..FRAME, 0);
    let before = memory("VmRSS:");
    let (mut unique, mut measured) = (Duration::ZERO, 0);
    for first in (FRAME..total).step_by(FRAME as usize) {
        let took = bench.play(first..first + FRAME, FRAME_MICROS);
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
        gone_max: bench.gone_max,
        gone_in: bench.gone_in,
        steps: bench.times[..bench.steps].to_vec(),
    }
}

impl Bench {
    fn new(keys: u64) -> Self {
        let policy = policy(keys);
        Self {
            lane: Lane::new(Arc::new(policy), HashKey::new([3; 16]), 1),
            now: START,
            micros: 0,
            effects: Effects::default(),
            builder: FrameBuilder::default(),
            bytes: Vec::new(),
            offset: 0,
            times: vec![u32::MAX; usize::try_from(keys * 6 / FRAME).expect("fits") + 100_000],
            steps: 0,
            keys_max: 0,
            longest: Duration::ZERO,
            gone_max: 0,
            gone_in: 0,
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
        self.times[self.steps] = u32::try_from(on_cpu.as_nanos()).unwrap_or(u32::MAX);
        let gone = (keys + FRAME).saturating_sub(self.lane.dedupe_keys() as u64);
        if gone > self.gone_max {
            (self.gone_max, self.gone_in) = (gone, self.steps);
        }
        self.steps += 1;
        self.longest = self.longest.max(took);
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
        let Self { keys, bytes_now, bytes_peak, gone_max, gone_in, unique_ns, duplicate_ns, .. } = self;
        let longest = self.longest.as_nanos();
        println!("{keys} {bytes_now} {bytes_peak} {longest} {gone_max} {gone_in} {unique_ns} {duplicate_ns}");
        let steps: Vec<String> = self.steps.iter().map(u32::to_string).collect();
        println!("{}", steps.join(" "));
    }

    fn heard(told: &str) -> Self {
        let (first, second) = told.split_once('\n').expect("two lines");
        let fields: Vec<f64> = first.split_whitespace().map(|field| field.parse().expect("a number")).collect();
        let whole = |place: usize| fields[place] as u64;
        Self {
            keys: whole(0),
            bytes_now: whole(1),
            bytes_peak: whole(2),
            longest: Duration::from_nanos(whole(3)),
            gone_max: whole(4),
            gone_in: fields[5] as usize,
            unique_ns: fields[6],
            duplicate_ns: fields[7],
            steps: second.split_whitespace().map(|field| field.parse().expect("a number")).collect(),
        }
    }

    /// The same steps in another process: what took long only once was not the step's own doing.
    fn merge(mut self, other: &Self) -> Self {
        assert_eq!(self.steps.len(), other.steps.len(), "the same story");
        self.steps.iter_mut().zip(&other.steps).for_each(|(a, b)| *a = (*a).min(*b));
        self.bytes_now = self.bytes_now.max(other.bytes_now);
        self.bytes_peak = self.bytes_peak.max(other.bytes_peak);
        self.longest = self.longest.max(other.longest);
        self.unique_ns = self.unique_ns.min(other.unique_ns);
        self.duplicate_ns = self.duplicate_ns.min(other.duplicate_ns);
        self
    }

    /// The longest step in all runs, and its number.
    fn longest_every_time(&self) -> (Duration, usize) {
        let longest = self.steps.iter().enumerate().max_by_key(|(_, nanos)| **nanos);
        longest.map_or((Duration::ZERO, 0), |(step, nanos)| (Duration::from_nanos(u64::from(*nanos)), step))
    }

    fn row(&self) {
        let a_key = |bytes: u64| bytes as f64 / self.keys as f64;
        let (longest, step) = self.longest_every_time();
        let gone = Duration::from_nanos(u64::from(self.steps[self.gone_in]));
        println!(
            "| {} | {:.1} | {:.1} | {:.0} | {:.0} | {:?} | {longest:?} (step {step} of {}) | {gone:?} ({} keys) |",
            self.keys,
            a_key(self.bytes_now),
            a_key(self.bytes_peak),
            self.unique_ns,
            self.duplicate_ns,
            self.longest,
            self.steps.len(),
            self.gone_max,
        );
    }
}
