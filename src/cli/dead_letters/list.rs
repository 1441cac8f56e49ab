//! `missived dead-letters list`: one line a letter, the newest last; of more than `--count`, the newest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::filter::Filter;
use super::{Bench, ConfigArg, failed, told};
use crate::event::Timestamp;
use crate::shell::clock;
use crate::shell::kafka::ScanError;
use crate::shell::letters::{Entry, Letter, LetterId, scan};

const EXAMPLES: &str = "\
Examples:
  missived dead-letters list --count 20
  missived dead-letters list --reason no_route --since 2026-11-22T03:00:00Z
  missived dead-letters list --kind delivery --pending
  missived dead-letters list --json | jq -r 'select(.attempts > 1) | .id'

Exit codes: 0 done (also if there are none), 1 failed, 78 faulty config.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) file: ConfigArg,
    #[command(flatten)]
    filter: Filter,
    /// Only those that were not replayed.
    #[arg(long)]
    pending: bool,
    /// The newest so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Lists.
pub fn run(bench: &Bench, args: &ListArgs) -> ExitCode {
    let newest = match gather(bench, args) {
        Ok(newest) => newest,
        Err(error) => return failed(&error),
    };
    print(&newest, args.json);
    if newest.left_out > 0 {
        eprintln!("{} earlier ones are not shown; --count shows more", newest.left_out);
    }
    ExitCode::SUCCESS
}

fn gather(bench: &Bench, args: &ListArgs) -> Result<Newest, ScanError> {
    let done = if args.pending { replayed(bench)? } else { BTreeSet::new() };
    let mut newest = Newest { count: args.count as usize, ..Newest::default() };
    let now = clock::now();
    let is_meant = |letter: &Letter| args.filter.takes(now, letter) && !done.contains(&letter.id);
    scan(&bench.config.kafka, &bench.names, |entry| match entry {
        Entry::Letter(letter) if is_meant(&letter) => newest.add(letter),
        Entry::Replayed { letter, at } => newest.mark(letter, at),
        Entry::Letter(_) | Entry::Foreign => {}
    })?;
    Ok(newest)
}

/// A marker comes after its letter, so what is pending is known only at the end.
fn replayed(bench: &Bench) -> Result<BTreeSet<LetterId>, ScanError> {
    let mut replayed = BTreeSet::new();
    scan(&bench.config.kafka, &bench.names, |entry| match entry {
        Entry::Replayed { letter, .. } => {
            replayed.insert(letter);
        }
        Entry::Letter(_) | Entry::Foreign => {}
    })?;
    Ok(replayed)
}

/// The newest letters, without their values.
#[derive(Default)]
struct Newest {
    count: usize,
    letters: VecDeque<(Box<Letter>, usize)>,
    replayed: BTreeMap<LetterId, Option<Timestamp>>,
    left_out: u64,
}

impl Newest {
    fn add(&mut self, mut letter: Box<Letter>) {
        let bytes = letter.value.take().map_or(0, |value| value.len());
        letter.own.clear();
        self.letters.push_back((letter, bytes));
        if self.letters.len() > self.count {
            let first = self.letters.pop_front();
            first.map(|(letter, _)| self.replayed.remove(&letter.id));
            self.left_out += 1;
        }
    }

    /// A marker whose letter isn't kept tells nothing.
    fn mark(&mut self, id: LetterId, at: Option<Timestamp>) {
        if self.letters.binary_search_by_key(&id, |(letter, _)| letter.id).is_ok() {
            self.replayed.insert(id, at);
        }
    }
}

/// Whoever closed our output doesn't want to hear more.
fn print(newest: &Newest, json: bool) {
    let mut out = std::io::stdout().lock();
    if !json && !newest.letters.is_empty() && writeln!(out, "{}", told::HEADING).is_err() {
        return;
    }
    for (letter, bytes) in &newest.letters {
        let replayed = newest.replayed.get(&letter.id).copied().flatten();
        let line = if json {
            let mut told = told::as_json(letter, replayed);
            told["bytes"] = serde_json::json!(bytes);
            told.to_string()
        } else {
            told::as_line(letter, replayed)
        };
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
}
