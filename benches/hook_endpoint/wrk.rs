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
    /// What it is compared with, round by round.
    bare: usize,
    address: SocketAddr,
    script: String,
}

/// What one run came to; processor times are microseconds a request.
#[derive(Clone)]
struct Figures {
    requests: f64,
    per_second: f64,
    p50: String,
    p99: String,
    cpu: Cpu,
    /// Requests that were not answered 2xx.
    others: String,
}

/// Processor time of this process by whose threads they are, and of wrk.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub server: f64,
    pub client: f64,
    pub broker: f64,
    wrk: f64,
}

impl Cpu {
    pub fn now() -> Self {
        let mut cpu = Self { wrk: of_children_us(), ..Self::default() };
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let nanos: f64 = read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
            let share = match read("comm").trim() {
                "rdk:mock" => &mut cpu.broker,
                name if name.starts_with("rdk:") || name.starts_with("producer") => &mut cpu.client,
                _ => &mut cpu.server,
            };
            *share += nanos / 1e3;
        }
        cpu
    }

    pub fn since(self, before: Self, requests: f64) -> Self {
        let each = |after: f64, before: f64| (after - before) / requests.max(1.0);
        Self {
            server: each(self.server, before.server),
            client: each(self.client, before.client),
            broker: each(self.broker, before.broker),
            wrk: each(self.wrk, before.wrk),
        }
    }

    fn ours(self) -> f64 {
        self.server + self.client + self.broker
    }
}

pub fn run(servers: &Servers, options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = runs(servers, folder.path());
    let mut figures: Vec<Vec<Figures>> = runs.iter().map(|_| Vec::new()).collect();
    let wanted = |run: &Run| options.only.as_deref().is_none_or(|only| run.name.contains(only));
    let needed: Vec<bool> =
        (0..runs.len()).map(|at| wanted(&runs[at]) || runs.iter().any(|run| run.bare == at && wanted(run))).collect();
    for round in 1..=options.rounds {
        for (run, figures) in
            runs.iter().zip(&mut figures).zip(&needed).filter(|(_, needed)| **needed).map(|(run, _)| run)
        {
            figures.push(measure(run, options, folder.path()));
            let last = figures.last().expect("just pushed");
            let others = if last.others.is_empty() { "none" } else { &last.others };
            let (rate, memory) = (last.per_second, resident_kib());
            println!("round {round}, {}: {rate:.0}/s, not 2xx: {others}, memory {memory} KiB", run.name);
        }
    }
    print_table(&runs, &figures);
}

/// Acknowledged requests until there were so many, the memory at every twentieth of them, and what grew over the last half.
pub fn until(servers: &Servers, options: &Options, requests: f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = runs(servers, folder.path());
    let run = runs.iter().find(|run| run.name == ACKNOWLEDGED).expect("one of them");
    let (mut done, mut curve) = (0.0, vec![(0.0, resident_kib())]);
    println!("| requests | resident KiB |\n|---|---|\n| 0 | {} |", curve[0].1);
    while done < requests {
        let figures = measure(run, options, folder.path());
        assert!(figures.others.is_empty() && figures.requests > 0.0, "all are acknowledged");
        done += figures.requests;
        if done >= curve.len() as f64 * requests / CURVE_MARKS {
            curve.push((done, resident_kib()));
            println!("| {done:.0} | {} |", resident_kib());
        }
    }
    let last_half: Vec<_> = curve.into_iter().filter(|(at, _)| *at >= requests / 2.0).collect();
    let [(from, before), .., (to, after)] = last_half[..] else { return };
    let (more, bytes) = (after - before, (after - before) * 1024.0 / (to - from));
    println!("\nfrom {from:.0} to {to:.0} requests: {more:+} KiB, {bytes:+.2} bytes a request");
}

/// Rows of the curve of memory.
const CURVE_MARKS: f64 = 20.0;

const ACKNOWLEDGED: &str = "hook, acknowledged by Kafka";

fn runs(servers: &Servers, folder: &Path) -> Vec<Run> {
    let probes = write_bodies(folder, "probes", |_| None);
    let replies = write_bodies(folder, "replies", Some);
    let (bare, hook) = (servers.bare, servers.hook);
    let run = |name, bare, address, script| Run { name, bare, address, script };
    vec![
        run("bare hyper", 0, bare, script(&replies, "", Proof::Good)),
        run("hook, nothing for Kafka", 0, hook, script(&probes, "", Proof::Good)),
        run(ACKNOWLEDGED, 0, hook, script(&replies, "", Proof::Good)),
        run("bare hyper, a connection each", 3, bare, script(&replies, CLOSE, Proof::Good)),
        run("hook, accepted, a connection each", 3, hook, script(&probes, CLOSE, Proof::Good)),
        run("hook, refused, a connection each", 3, hook, script(&probes, CLOSE, Proof::Wrong)),
    ]
}

fn print_table(runs: &[Run], figures: &[Vec<Figures>]) {
    println!(
        "\n| | requests/s | of bare, round by round | p50 | p99 | CPU: server, client, broker; wrk | CPU to bare |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (run, of_run) in runs.iter().zip(figures) {
        let mut sorted = of_run.clone();
        sorted.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        let Some(middle) = sorted.get(sorted.len() / 2) else { continue };
        let pairs = || of_run.iter().zip(&figures[run.bare]);
        let rates = spread(pairs().map(|(run, bare)| run.per_second / bare.per_second));
        let times = spread(pairs().map(|(run, bare)| run.cpu.ours() / bare.cpu.ours()));
        let of = |part: fn(&Cpu) -> f64| median(of_run.iter().map(|figures| part(&figures.cpu)));
        println!(
            "| {} | {:.0} | {rates} | {} | {} | {:.1}, {:.1}, {:.1}; {:.1} µs | {times} |",
            run.name,
            middle.per_second,
            middle.p50,
            middle.p99,
            of(|cpu| cpu.server),
            of(|cpu| cpu.client),
            of(|cpu| cpu.broker),
            of(|cpu| cpu.wrk),
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(values: impl Iterator<Item = f64> + Clone) -> String {
    let (least, most) = (values.clone().fold(f64::MAX, f64::min), values.clone().fold(0.0, f64::max));
    format!("{:.2} ({least:.2} to {most:.2})", median(values))
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

fn measure(run: &Run, options: &Options, folder: &Path) -> Figures {
    let script = folder.join("wrk.lua");
    fs::write(&script, &run.script).expect("written");
    let before = Cpu::now();
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
    let after_it = Cpu::now();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after =
        |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or("").trim().to_owned();
    let requests =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")).map_or("0", |(count, _)| count);
    let requests: f64 = requests.parse().unwrap_or(0.0);
    Figures {
        requests,
        per_second: after("Requests/sec:").parse().unwrap_or(0.0),
        p50: after("50%"),
        p99: after("99%"),
        cpu: after_it.since(before, requests),
        others: after("Non-2xx or 3xx responses:"),
    }
}

/// Processor time of children that have ended.
fn of_children_us() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 =
        behind_name.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND * 1e6
}

fn resident_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.expect("Linux tells the resident memory")
}
