//! `missived tail`: decisions as they are made, until somebody ends it.
//!
//! Reads the topic of decisions of all lanes from now on, and writes nothing. Exit 1 when Kafka can't be read or there is no
//! such topic, 78 for a faulty config.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rdkafka::message::Message as _;

use super::explain::told;
use super::{EXIT_CONFIG, harmless};
use crate::config::{Config, Environment};
use crate::shell::decisions::{Decided, Line};
use crate::shell::kafka::{Names, ScanError, follow_topic};

const EXAMPLES: &str = "\
Examples:
  missived tail
      Each event, what was decided about it and why, and its conversation
  missived tail --news
      The same without duplicates
  missived tail --conversation payments --json

Needs kafka.topics.decisions = true.

Exit codes: 1 Kafka out of reach or no such topic, 78 faulty config.";

/// Follow decisions as they are made.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TailArgs {
    /// The config file
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
    /// Only conversations whose routing key has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    conversation: String,
    /// Leave duplicates out
    #[arg(long)]
    news: bool,
    /// One JSON object a line, as in the topic
    #[arg(long)]
    json: bool,
}

/// Follows.
pub fn run(args: &TailArgs) -> ExitCode {
    let config = match Config::load(&args.config, &Environment::of_process()) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let names = Names::new(&config.kafka.namespace);
    let followed =
        follow_topic(&config.kafka, &names.decisions, |record| show(args, record.payload().unwrap_or_default()));
    match followed {
        Ok(()) => ExitCode::SUCCESS,
        Err(ScanError::NoTopic(topic)) => {
            eprintln!(
                "missived: topic {topic} does not exist: set kafka.topics.decisions = true and restart the daemon"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("missived: {}", harmless::line(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Ends when nobody reads any more.
fn show(args: &TailArgs, value: &[u8]) -> ControlFlow<()> {
    let mut out = std::io::stdout().lock();
    let meant = |line: &Line| {
        line.conversation.contains(&args.conversation) && !(args.news && line.decided == Decided::Duplicate)
    };
    for line in Line::read(value).filter(meant) {
        let text = if args.json { serde_json::to_string(&line).unwrap_or_default() } else { told::line(&line) };
        if writeln!(out, "{text}").is_err() {
            return ControlFlow::Break(());
        }
    }
    if out.flush().is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
