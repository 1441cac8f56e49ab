//! `missived dead-letters list|show|replay`: what could not be handled, and another try at it.
//!
//! Answers go to standard output, progress and errors to standard error; texts of strangers are made harmless for a terminal
//! (`harmless`). `list` and `show` write nothing anywhere. `replay` writes only what it says, each letter together with a
//! marker in one transaction, so that whatever interrupts it, every letter is replayed or not, and is known to be.

mod filter;
mod list;
mod replay;
mod show;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{EXIT_CONFIG, harmless};
use crate::config::{Config, Environment};
use crate::shell::kafka::Names;

/// Some letters could not be replayed; the others were.
const EXIT_PARTLY: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  missived dead-letters list
  missived dead-letters list --reason not_json --since 2h --json
  missived dead-letters show 0:17
  missived dead-letters replay 0:17 0:19
  missived dead-letters replay --reason no_route --topic alerts --dry-run

To read a whole topic again instead, stop every instance and set the offsets of the group <namespace>.intake back; what
had been folded is then dropped and counted (reason \"rewound\"), so that only a replay tells something twice.

Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 some could not be replayed, 78 faulty config.";

/// List, show and replay what could not be handled.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One line a letter, the newest last.
    List(list::ListArgs),
    /// One letter whole: its headers and its payload.
    Show(show::ShowArgs),
    /// Write letters back to where they came from, to be handled once more.
    Replay(replay::ReplayArgs),
}

#[derive(Debug, Args)]
struct ConfigArg {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
}

/// What every one of them works with.
struct Bench {
    config: Config,
    names: Names,
}

/// Lists, shows or replays.
pub fn run(args: &DeadLettersArgs) -> ExitCode {
    let (Action::List(list::ListArgs { file, .. })
    | Action::Show(show::ShowArgs { file, .. })
    | Action::Replay(replay::ReplayArgs { file, .. })) = &args.action;
    let config = match Config::load(&file.config, &Environment::of_process()) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let bench = Bench { names: Names::new(&config.kafka.namespace), config };
    match &args.action {
        Action::List(args) => list::run(&bench, args),
        Action::Show(args) => show::run(&bench, args),
        Action::Replay(args) => replay::run(&bench, args),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("missived: {}", harmless::line(&error.to_string()));
    ExitCode::FAILURE
}
