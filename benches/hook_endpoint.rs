//! The whole hook endpoint under load: requests a second, latencies and processor time a request, beside a bare hyper server.
//!
//! Everything runs in this process but the callers: `wrk` with signed bodies of 1 KiB, or `slowhttptest` while good requests are
//! timed. Kafka is librdkafka's in-process cluster. The endpoint's clock jumps two days at every look, so that no request is
//! a repeat. What counts are the ratios within one run: the callers share the processors with the servers.

#[path = "hook_endpoint/floor.rs"]
mod floor;
#[path = "hook_endpoint/servers.rs"]
mod servers;
#[path = "hook_endpoint/slow.rs"]
mod slow;
#[path = "hook_endpoint/wrk.rs"]
mod wrk;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo bench --bench hook_endpoint [-- OPTIONS]

The whole hook endpoint under wrk, beside a bare hyper server in the same run.

  --seconds N      how long each run lasts [5]
  --rounds N       how often all of them are run [2]
  --connections N  connections of wrk [64]
  --only TEXT      only those with this in their name, and what they are compared with
  --until N        instead: N acknowledged requests, in runs of so many seconds, and the curve of memory
  --client K=V     a setting of the Kafka client, again and again [as missived has it]
  --floor          instead: the records of webhooks without any webhook: what Kafka costs at least
  --slow           instead: slowhttptest in its three modes, while good requests are timed
  --help           this text

Needs wrk, and slowhttptest for --slow (Debian: wrk, slowhttptest).
";

#[derive(Default)]
struct Options {
    seconds: u32,
    rounds: u32,
    connections: u32,
    slow: bool,
    floor: bool,
    only: Option<String>,
    until: Option<u32>,
    client: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` asks every bench to show that it runs.
    let smoke = !args.iter().any(|arg| arg == "--bench");
    let options = match options(&args) {
        Ok(options) => options,
        Err(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let servers = runtime.block_on(servers::start(&options.client));
    match options.until {
        _ if smoke => runtime.block_on(servers::each_answers(&servers)),
        _ if options.slow => runtime.block_on(slow::run(&servers)),
        _ if options.floor => floor::run(&servers),
        Some(requests) => wrk::until(&servers, &options, f64::from(requests)),
        None => wrk::run(&servers, &options),
    }
    ExitCode::SUCCESS
}

/// The text to show instead, where there is one.
fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { seconds: 5, rounds: 2, connections: 64, ..Options::default() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok()).ok_or_else(|| HELP.to_owned());
        match arg.as_str() {
            "--seconds" => options.seconds = number()?,
            "--rounds" => options.rounds = number()?,
            "--connections" => options.connections = number()?,
            "--until" => options.until = Some(number()?),
            "--only" => options.only = args.next().cloned(),
            "--client" => options.client.push(setting(args.next()).ok_or_else(|| HELP.to_owned())?),
            "--slow" => options.slow = true,
            "--floor" => options.floor = true,
            "--bench" | "--test" => {}
            _ => return Err(HELP.to_owned()),
        }
    }
    Ok(options)
}

fn setting(text: Option<&String>) -> Option<(String, String)> {
    let (key, value) = text?.split_once('=')?;
    Some((key.to_owned(), value.to_owned()))
}
