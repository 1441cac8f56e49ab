//! Runs wrk against each server in turn, round after round, and prints what the rounds have in the middle.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::Options;
use super::servers::{Servers, body, signature};

/// Bodies that a thread of wrk goes through; more than can be under way.
const BODIES: usize = 4_096;

struct Run {
    name: &'static str,
    address: SocketAddr,
    script: String,
}

#[derive(Clone)]
struct Figures {
    per_second: f64,
    p50: String,
    p99: String,
    cpu_us: f64,
    /// Requests that were not answered 2xx.
    others: String,
}

pub fn run(servers: &Servers, options: Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let probes = write_bodies(folder.path(), "probes", |_| None);
    let replies = write_bodies(folder.path(), "replies", Some);
    let runs = [
        Run { name: "bare hyper", address: servers.bare, script: script(&replies, "", Proof::Good) },
        Run { name: "hook, nothing for Kafka", address: servers.hook, script: script(&probes, "", Proof::Good) },
        Run { name: "hook, acknowledged by Kafka", address: servers.hook, script: script(&replies, "", Proof::Good) },
        Run {
            name: "bare hyper, a connection each",
            address: servers.bare,
            script: script(&replies, CLOSE, Proof::Good),
        },
        Run {
            name: "hook, accepted, a connection each",
            address: servers.hook,
            script: script(&probes, CLOSE, Proof::Good),
        },
        Run {
            name: "hook, refused, a connection each",
            address: servers.hook,
            script: script(&probes, CLOSE, Proof::Wrong),
        },
    ];
    let mut figures: Vec<Vec<Figures>> = runs.iter().map(|_| Vec::new()).collect();
    println!("memory before: {} KiB", resident_kib());
    for round in 1..=options.rounds {
        for (run, figures) in runs.iter().zip(&mut figures) {
            figures.push(measure(run, options, folder.path()));
            let last = figures.last().expect("just pushed");
            let others = if last.others.is_empty() { "none" } else { &last.others };
            println!(
                "round {round}, {}: {:.0}/s, not 2xx: {others}, memory {} KiB",
                run.name,
                last.per_second,
                resident_kib()
            );
        }
    }
    print_table(&runs, &figures);
}

fn print_table(runs: &[Run], figures: &[Vec<Figures>]) {
    println!("\n| | requests/s | of bare | p50 | p99 | CPU a request |\n|---|---|---|---|---|---|");
    let mut bare = 0.0;
    for (run, figures) in runs.iter().zip(figures) {
        let mut sorted = figures.clone();
        sorted.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        let Some(middle) = sorted.get(sorted.len() / 2) else { continue };
        if run.name.starts_with("bare") {
            bare = middle.per_second;
        }
        let (rate, ratio) = (middle.per_second, middle.per_second / bare);
        println!(
            "| {} | {rate:.0} | {ratio:.2} | {} | {} | {:.1} µs |",
            run.name, middle.p50, middle.p99, middle.cpu_us
        );
    }
}

const CLOSE: &str = "Connection: close\\r\\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Good,
    Wrong,
}

/// One line a body: its signature, a space, the body.
fn write_bodies(folder: &Path, name: &str, id: impl Fn(usize) -> Option<usize>) -> String {
    let mut text = String::new();
    for number in 0..BODIES {
        let body = body(id(number));
        writeln!(text, "{} {body}", signature(&body)).expect("a string takes more");
    }
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.to_str().expect("a plain path").to_owned()
}

fn script(bodies: &str, lines: &str, proof: Proof) -> String {
    let wrong = if proof == Proof::Wrong { "signature = string.rep('0', 64)" } else { "" };
    format!(
        r#"
local requests, at, threads = {{}}, 0, 0
function setup(thread) thread:set("start", threads * 2048); threads = threads + 1 end
function init(args)
  for line in io.lines("{bodies}") do
    local signature, body = line:sub(1, 64), line:sub(66)
    {wrong}
    requests[#requests + 1] = "POST /hooks/ops HTTP/1.1\r\nHost: h\r\n{lines}X-Hook-Signature: sha256=" .. signature ..
      "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
  end
  at = start
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"#
    )
}

fn measure(run: &Run, options: Options, folder: &Path) -> Figures {
    let script = folder.join("wrk.lua");
    fs::write(&script, &run.script).expect("written");
    let before = cpu_us();
    let out = Command::new("wrk")
        .args([
            "-t2",
            "--latency",
            "-c",
            &options.connections.to_string(),
            "-d",
            &format!("{}s", options.seconds),
            "-s",
        ])
        .arg(&script)
        .arg(format!("http://{}", run.address))
        .output()
        .expect("wrk runs (Debian: wrk)");
    let spent = cpu_us() - before;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after =
        |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or("").trim().to_owned();
    let requests =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")).map_or("0", |(count, _)| count);
    let requests: f64 = requests.parse().unwrap_or(0.0);
    Figures {
        per_second: after("Requests/sec:").parse().unwrap_or(0.0),
        p50: after("50%"),
        p99: after("99%"),
        cpu_us: spent / requests.max(1.0),
        others: after("Non-2xx or 3xx responses:"),
    }
}

/// Processor time of this process, servers and in-process Kafka together.
fn cpu_us() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND * 1e6
}

fn resident_kib() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap_or("?").trim().trim_end_matches("kB").trim().to_owned()
}
