//! The figures, as text while they come, and as JSON: a list with one object a measurement, named by `what`.
//!
//! Units are in the names: `_us` microseconds an event, `_mib` 2²⁰ bytes, `_ms` milliseconds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bare::Bare;
use crate::latency::Latency;
use crate::load::{BODY_BYTES, Load};
use crate::meter::Cpu;
use crate::peer;
use crate::run::{OverKeys, Run};
use crate::scaling;
use crate::storm::{self, Storm};

/// All measurements of one call.
pub struct Report {
    entries: Vec<Value>,
    /// The last run of the daemon, to compare a peer with.
    last: Option<[f64; 2]>,
}

impl Report {
    pub const fn new() -> Self {
        Self { entries: Vec::new(), last: None }
    }

    /// What is measured next.
    pub fn load(&mut self, scenario: &str, load: &Load) {
        let Load { events, duplicates, keys, partitions, compression, seed, .. } = load;
        println!(
            "── {scenario}: {events} events of {BODY_BYTES} B, {duplicates} % duplicates, {keys} keys, {partitions} partitions, \
             {compression}, load {}",
            load_average()
        );
        self.entries.push(json!({
            "what": "load", "scenario": scenario, "events": events, "body_bytes": BODY_BYTES, "duplicates_percent": duplicates,
            "keys": keys, "partitions": partitions, "compression": compression, "seed": seed, "load_average": load_average(),
        }));
    }

    /// A consumer that only reads.
    pub fn bare(&mut self, name: &str, load: &Load, bare: &Bare) {
        let rate = load.events as f64 / bare.seconds;
        println!("{name:<28} {rate:>9.0} events/s   {}", per_event(bare.cpu, load.events));
        self.entries
            .push(json!({"what": name, "events_per_second": rate.round(), "cpu_us": figures(bare.cpu, load.events)}));
    }

    /// Kafka's own consumer.
    pub fn perf_test(&mut self, rate: f64) {
        println!("{:<28} {rate:>9.0} events/s", "kafka-consumer-perf-test");
        self.entries.push(json!({"what": "kafka-consumer-perf-test", "events_per_second": rate.round()}));
    }

    /// The daemon.
    pub fn run(&mut self, load: &Load, run: &Run) {
        let rate = run.events as f64 / run.seconds.max(f64::EPSILON);
        println!("{:<28} {rate:>9.0} events/s   {}", "missived", per_event(run.cpu, load.events));
        println!("  of that until the last event was consumed        {}", per_event(run.cpu_consumed, load.events));
        println!(
            "  peak memory {:.1} MiB, {} frames, folded {:.1} s later",
            mib(run.peak_rss_kib),
            run.frames,
            run.behind
        );
        print_threads(&run.threads, load.events);
        print_outcomes(&run.outcomes);
        self.last = Some([rate, run.cpu.total() / load.events as f64]);
        self.entries.push(json!({
            "what": "missived", "events_per_second": rate.round(), "cpu_us": figures(run.cpu, load.events),
            "cpu_us_until_consumed": figures(run.cpu_consumed, load.events), "threads": threads(&run.threads, load.events),
            "peak_rss_mib": round(mib(run.peak_rss_kib)), "frames": run.frames, "folded_later_s": round(run.behind),
            "outcomes": run.outcomes,
        }));
    }

    /// This build and another one, side by side: what this one spent of what the other spent.
    pub fn round(&mut self, load: &Load, [own, other]: [Cpu; 2]) -> f64 {
        let ratio = own.total() / other.total();
        println!("{:<52} {}", "until the last event was consumed", per_event(own, load.events));
        println!("{:<52} {}", "  the other build, at the same time", per_event(other, load.events));
        println!("  ratio {ratio:.3}");
        let [own_cpu, other_cpu] = [own, other].map(|cpu| figures(cpu, load.events));
        self.entries.push(json!({
            "what": "side by side", "cpu_us_until_consumed": own_cpu, "other_cpu_us_until_consumed": other_cpu, "ratio": ratio,
        }));
        ratio
    }

    /// All rounds together.
    pub fn against(&mut self, mut ratios: Vec<f64>) {
        ratios.sort_by(f64::total_cmp);
        let [Some(least), Some(most)] = [ratios.first(), ratios.last()] else { return };
        let median = f64::midpoint(ratios[(ratios.len() - 1) / 2], ratios[ratios.len() / 2]);
        println!("  of the other's CPU: {median:.3} (median of {}, {least:.3} to {most:.3})", ratios.len());
        self.entries.push(json!({"what": "of the other's CPU", "median": median, "least": least, "most": most}));
    }

    /// Another program, beside the daemon's last run.
    pub fn peer(&mut self, name: &str, load: &Load, run: &peer::Run) {
        let rate = run.events as f64 / run.seconds.max(f64::EPSILON);
        println!("{name:<28} {rate:>9.0} events/s   {}", per_event(run.cpu, load.events));
        println!("  peak memory {:.1} MiB, {} requests", mib(run.peak_rss_kib), run.requests);
        print_threads(&run.threads, load.events);
        let [own_rate, own_cpu] = self.last.expect("the daemon ran before");
        let (faster, cheaper) = (own_rate / rate, run.cpu.total() / load.events as f64 / own_cpu);
        println!("  missived beside it: {faster:.1} times the events/s, {cheaper:.1} times less CPU an event");
        self.entries.push(json!({
            "what": name, "events_per_second": rate.round(), "cpu_us": figures(run.cpu, load.events),
            "peak_rss_mib": round(mib(run.peak_rss_kib)), "requests": run.requests,
            "missived_times_the_rate": round(faster), "missived_times_less_cpu": round(cheaper),
        }));
    }

    pub fn latency(&mut self, latency: &Latency) {
        let [p50, p99, max] = [50, 99, 100].map(|percent| latency.at(percent));
        println!(
            "── latency: {} single records, p50 {p50} ms, p99 {p99} ms, max {max} ms, load {}",
            latency.0.len(),
            load_average()
        );
        self.entries.push(json!({
            "what": "latency", "records": latency.0.len(), "p50_ms": p50, "p99_ms": p99, "max_ms": max,
            "load_average": load_average(),
        }));
    }

    /// A point of the curve over live keys.
    pub fn keys(&mut self, load: &Load, point: &OverKeys) {
        println!(
            "── {} live keys: first {}; repeats {}; {:.1} MiB; load {}",
            load.keys,
            per_event(point.cpu_first, load.keys),
            per_event(point.cpu_repeats, load.events),
            mib(point.rss_kib),
            load_average()
        );
        print_threads(&point.threads, load.events);
        print_outcomes(&point.outcomes);
        self.entries.push(json!({
            "what": "keys", "keys": load.keys, "repeats": load.events, "cpu_us_first": figures(point.cpu_first, load.keys),
            "cpu_us": figures(point.cpu_repeats, load.events), "threads": threads(&point.threads, load.events),
            "rss_mib": round(mib(point.rss_kib)), "load_average": load_average(),
        }));
    }

    /// Critical alerts in a storm.
    pub fn storm(&mut self, storm: Storm, run: &storm::Run) {
        let Storm { seconds, events_per_second, critical } = storm;
        let [p50, p99, max] = [50, 99, 100].map(|percent| run.latency.at(percent));
        println!(
            "── storm: {events_per_second} events/s for {seconds} s (took {:.1}; {} not consumed then), load {}: {critical} critical \
             alerts, {} that no request names, in {} requests, first told after p50 {p50} ms, p99 {p99} ms, most {max} ms",
            run.seconds,
            run.behind,
            load_average(),
            run.unnamed,
            run.requests
        );
        self.entries.push(json!({
            "what": "storm", "events_per_second": events_per_second, "seconds": round(run.seconds), "behind": run.behind,
            "critical": critical, "unnamed": run.unnamed, "requests": run.requests, "p50_ms": p50, "p99_ms": p99, "max_ms": max,
            "load_average": load_average(),
        }));
    }

    /// One thread, then two.
    pub fn scaling(&mut self, load: &Load, [one, two]: &[scaling::Run; 2]) {
        for run in [one, two] {
            assert_eq!(run.consumed, load.events, "every event is read");
            let rate = load.events as f64 / run.seconds;
            let threads = run.threads;
            println!(
                "{threads} intake threads, from memory {rate:>9.0} events/s   {}",
                per_event(run.cpu, load.events)
            );
            self.entries.push(json!({
                "what": format!("{threads} intake threads"), "events_per_second": rate.round(),
                "cpu_us": figures(run.cpu, load.events), "frame_bytes": run.frame_bytes,
            }));
        }
        let ratio = one.seconds / two.seconds;
        println!("  two threads to one: {ratio:.2} times; load {}", load_average());
        self.entries.push(json!({"what": "two threads to one", "ratio": round(ratio), "load_average": load_average()}));
    }

    /// Writes all so far.
    pub fn write(&self, file: &Path) {
        let text = serde_json::to_string_pretty(&self.entries).expect("plain values");
        fs::write(file, text + "\n").unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

fn print_threads(threads: &BTreeMap<String, Cpu>, events: u64) {
    let mut threads: Vec<_> = threads.iter().filter(|(_, cpu)| cpu.total() > 0.0).collect();
    threads.sort_by(|(_, one), (_, other)| other.total().total_cmp(&one.total()));
    threads.iter().for_each(|(name, cpu)| println!("  {name:<20} {}", per_event(**cpu, events)));
}

fn print_outcomes(outcomes: &BTreeMap<String, u64>) {
    outcomes.iter().for_each(|(outcome, count)| println!("  {outcome:<48} {count}"));
}

fn per_event(cpu: Cpu, events: u64) -> String {
    let us = |seconds: f64| seconds * 1e6 / events as f64;
    format!("{:.3} µs CPU an event (user {:.3}, system {:.3})", us(cpu.total()), us(cpu.user), us(cpu.system))
}

fn figures(cpu: Cpu, events: u64) -> Value {
    let us = |seconds: f64| round(seconds * 1e6 / events as f64);
    json!({"total": us(cpu.total()), "user": us(cpu.user), "system": us(cpu.system)})
}

fn threads(threads: &BTreeMap<String, Cpu>, events: u64) -> Value {
    threads.iter().map(|(name, cpu)| (name.clone(), figures(*cpu, events))).collect()
}

/// To a thousandth.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Of the last minute: how busy the machine was with others, too.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
