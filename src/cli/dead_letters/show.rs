//! `missived dead-letters show ID`: one letter whole, its headers and its payload.
//!
//! What controls a terminal is shown as an escape, in the payload too; `--json` has every byte.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Bench, ConfigArg, failed, told};
use crate::cli::harmless::{bytes, line};
use crate::shell::letters::scan::find;
use crate::shell::letters::{Entry, Letter, LetterId};

const EXAMPLES: &str = "\
Examples:
  missived dead-letters show 0:17
  missived dead-letters show 0:17 --json | jq -r .payload

Exit codes: 0 done, 1 failed (there is no such letter), 78 faulty config.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// Its id, as `list` shows it.
    id: LetterId,
    #[command(flatten)]
    pub(super) file: ConfigArg,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows.
pub fn run(bench: &Bench, args: &ShowArgs) -> ExitCode {
    let letter = match find(&bench.config.kafka, &bench.names, args.id) {
        Ok(Some(Entry::Letter(letter))) => letter,
        Ok(Some(Entry::Replayed { .. } | Entry::Foreign) | None) => {
            eprintln!(
                "missived: there is no dead letter {}; `missived dead-letters list` shows which there are",
                args.id
            );
            return ExitCode::FAILURE;
        }
        Err(error) => return failed(&error),
    };
    let shown = if args.json { format!("{}\n", as_json(&letter)) } else { as_text(&letter) };
    // Whoever closed our output doesn't want to hear more.
    let _ = std::io::stdout().lock().write_all(shown.as_bytes());
    ExitCode::SUCCESS
}

fn as_text(letter: &Letter) -> String {
    let mut shown = format!("letter: {}\n", letter.id);
    for (name, value) in &letter.ours {
        shown += &format!("{}: {}\n", line(name), line(value));
    }
    if let Some(key) = &letter.key {
        shown += &format!("key: {}\n", line(&String::from_utf8_lossy(key)));
    }
    for (name, value) in &letter.own {
        let value = value.as_deref().map_or_else(|| "(null)".to_owned(), |value| line(&String::from_utf8_lossy(value)));
        shown += &format!("header {}: {value}\n", line(name));
    }
    match &letter.value {
        Some(value) => shown += &format!("\n{}\n", bytes(value)),
        None => shown += "\n(no value)\n",
    }
    shown
}

fn as_json(letter: &Letter) -> Value {
    let mut shown = told::as_json(letter, None);
    if let Value::Object(fields) = &mut shown {
        fields.remove("replayed_at");
    }
    let own = letter.own.iter().map(|(name, value)| json!([name, told::bytes(value.as_deref())]));
    shown["headers"] = own.collect();
    shown["key"] = told::bytes(letter.key.as_deref());
    shown["payload"] = told::bytes(letter.value.as_deref());
    shown
}
