//! The storm test: a million alert events over ten thousand groups in ten minutes, a hundred of them critical, through the
//! public interface of the lane, in virtual time.
//!
//! Events become ledger frames as the intake would write them and are read back; a Missive that takes everything answers
//! after a seeded 80 to 400 ms; a referee that knows only events and deliveries counts requests in exact windows and
//! settles every event against what the messages say. The config is what the least file becomes. Prints one table; exit
//! code 1 when a must is missed. Under `cargo test` (without `--bench`) it plays a small storm.
//!
//! `cargo bench --bench storm -- --help` tells the options. Times are the lane's alone, on one thread; commits take a
//! constant 5 ms of virtual time.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock to time what has none")]

#[path = "storm/events.rs"]
mod events;
#[path = "storm/play.rs"]
mod play;
#[path = "storm/referee.rs"]
mod referee;
#[path = "storm/report.rs"]
mod report;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use missived::config::{Config, Environment};

/// How large a storm.
#[derive(Clone, Debug)]
pub struct Scale {
    pub events: u32,
    pub groups: u32,
    pub criticals: u32,
    pub minutes: u64,
    pub seed: u64,
}

/// Whose timing defaults the route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Source {
    /// Groups already: every event may be told at once.
    Alertmanager,
    /// Single alerts: 5 s and 5 min; critical 0 and 1 min.
    Json,
}

/// Plays an alert storm against the lane and says what became of it.
#[derive(Debug, Parser)]
struct Options {
    /// Alert events; default 1,000,000, or 20,000 in a test.
    #[arg(long)]
    events: Option<u32>,
    /// Alert groups; default 10,000, or 1,000 in a test.
    #[arg(long)]
    groups: Option<u32>,
    /// Critical events among them; default 100, or 20 in a test.
    #[arg(long)]
    criticals: Option<u32>,
    /// How long events come in; default 10, or 2 in a test.
    #[arg(long)]
    minutes: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Whose timing defaults the route has.
    #[arg(long, value_enum, default_value = "alertmanager")]
    source: Source,
    /// What is said beside the table.
    #[arg(long, value_enum, default_value = "none")]
    detail: report::Detail,
    /// Play the small storm; so does a run without `--bench`.
    #[arg(long)]
    test: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn scale(&self) -> Scale {
        let small = self.test || !self.bench;
        Scale {
            events: self.events.unwrap_or(if small { 20_000 } else { 1_000_000 }),
            groups: self.groups.unwrap_or(if small { 1_000 } else { 10_000 }),
            criticals: self.criticals.unwrap_or(if small { 20 } else { 100 }),
            minutes: self.minutes.unwrap_or(if small { 2 } else { 10 }),
            seed: self.seed,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let scale = options.scale();
    let config = config(options.source);
    let outcome = play::play(&scale, &config);
    report::print(&scale, options.source, options.detail, &outcome)
}

/// What the least file becomes.
fn config(source: Source) -> Config {
    let format = match source {
        Source::Alertmanager => "format = \"alertmanager\"",
        Source::Json => "format = \"json\"\nkind = \"alert\"\njson = { entity = \"/id\" }",
    };
    let text = format!(
        r#"[kafka]
bootstrap = "nowhere:9092"
[missive]
insecure_inline_token = "none"
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
type = "text"
[sources.alerts]
topic = "alerts"
channel = "ops"
{format}
"#
    );
    let loaded = Config::parse(&text, Path::new("storm.toml"), &Environment::default());
    loaded.unwrap_or_else(|error| panic!("{error}")).config
}
