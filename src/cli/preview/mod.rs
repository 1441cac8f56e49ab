//! `missived preview`: what the daemon would make of a record, without Kafka and without sending anything.
//!
//! Reads a record's value from a file or standard input, or one a line, decodes and routes it as the intake would, and lets a
//! lane of its own put it into words: the request bodies are those that would be posted, one behind the other, if nothing else
//! were known. Budgets of new conversations are left aside, so that each conversation shows. Ids that hang on the
//! installation's secret key (references, redacted marks) are other ones in production. Input of at most 64 MiB is read.
//!
//! Exit 0; 1 when a record is refused or an event finds no route; 2 when nothing can be read; 78 (`EX_CONFIG`) for a config
//! with faults. Limit: the whole input is held in memory.

mod play;
mod table;

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::EXIT_CONFIG;
use crate::config::{Config, Environment};
use crate::event::Timestamp;
use crate::shell::clock;
use play::{Preview, Stage};

const INPUT_BYTES_MAX: u64 = 64 << 20;

const EXIT_UNHANDLED: u8 = 1;
const EXIT_UNREADABLE: u8 = 2;

/// Shows what becomes of a record: route, conversation, request bodies. Nothing is sent.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PreviewArgs {
    /// The config file
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    pub config: PathBuf,
    /// The topic that the record would come from
    #[arg(long)]
    pub topic: String,
    /// A header of the record; may be given several times
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Every line of the input is a record
    #[arg(long)]
    pub lines: bool,
    /// The instant that it is played at, as RFC 3339 has it; now if it isn't given
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// The record's value; standard input if it isn't given, or "-"
    pub file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  missived preview --config missived.toml --topic alerts alert.json
      Where an alert goes, and the message it becomes
  kcat -C -t deals -o -5 -e | missived preview --config missived.toml --topic deals --lines --json
      The same for the last five records of a topic, as JSON
  missived preview --topic events --header ce_specversion=1.0 --header ce_id=1 --header ce_source=/x --header ce_type=t
      A CloudEvent whose attributes stand in headers

Exit codes: 0; 1 when something would become a dead letter; 2 when nothing can be read; 78 when the config has faults.";

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("wanted KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse_rfc3339(text).ok_or("wanted a time such as 2026-11-22T03:14:00Z")
}

/// Shows what becomes of a record.
pub fn run(args: &PreviewArgs) -> ExitCode {
    let config = match Config::load(&args.config, &Environment::of_process()) {
        Ok(loaded) => loaded.config,
        Err(error) => return complain(EXIT_CONFIG, &error.to_string()),
    };
    let Some(stage) = Stage::new(&config, &args.topic) else {
        let known: Vec<&str> = config.sources.iter().map(|source| &*source.topic).collect();
        return complain(EXIT_UNREADABLE, &format!("no source reads {:?}; they read {}", args.topic, known.join(", ")));
    };
    let input = match read(args.file.as_deref()) {
        Ok(input) => input,
        Err(error) => return complain(EXIT_UNREADABLE, &format!("the input can't be read: {error}")),
    };
    let preview = stage.play(args.at.unwrap_or_else(clock::now), &records(&input, args.lines), &args.headers);
    let text = if args.json { json(&preview) } else { table::of(&preview) };
    // Whoever closed our output doesn't want to hear of it.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(if preview.is_handled() { 0 } else { EXIT_UNHANDLED })
}

fn complain(exit: u8, text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(exit)
}

fn json(preview: &Preview) -> String {
    let text = serde_json::to_string_pretty(preview).expect("strings and numbers always serialise");
    text + "\n"
}

fn read(file: Option<&Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => File::open(file)?.take(INPUT_BYTES_MAX).read_to_end(&mut bytes)?,
        None => io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

/// No input at all is a tombstone.
fn records(input: &[u8], lines: bool) -> Vec<Option<&[u8]>> {
    if input.is_empty() {
        return vec![None];
    }
    if !lines {
        return vec![Some(input)];
    }
    input.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).map(Some).collect()
}
