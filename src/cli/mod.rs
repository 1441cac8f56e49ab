//! The command line: one file or folder a command.

pub mod check;
pub mod dead_letters;
pub mod demo;
pub mod explain;
mod harmless;
pub mod init;
pub mod manual;
mod moment;
mod online;
mod open;
pub mod preview;
pub mod run;
pub mod sandbox;
pub mod status;
pub mod tail;
pub mod test_message;
pub mod topics;

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use crate::telemetry::process::{COMMIT, FEATURES};

/// Exit code of a faulty config (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  missived demo                                   a whole inbox to look at, nothing else needed
  missived check --config /etc/missived/missived.toml
  missived run --config /etc/missived/missived.toml";

/// Kafka events into the Missive team inbox, and the replies back.
#[derive(Parser)]
#[command(name = "missived", version = version(), about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon.
    Run(run::RunArgs),
    /// Check a config file and say every fault at once.
    Check(check::CheckArgs),
    /// Say what the daemon is doing.
    Status(status::StatusArgs),
    /// Say why somebody was told something, or wasn't.
    Explain(explain::ExplainArgs),
    /// Follow decisions as they are made.
    Tail(tail::TailArgs),
    /// Write a first config by asking.
    Init(init::InitArgs),
    /// Send one message to a channel.
    TestMessage(test_message::TestMessageArgs),
    /// Show what becomes of a record, without Kafka and without sending anything.
    Preview(preview::PreviewArgs),
    /// Create or list the internal topics.
    Topics(topics::TopicsArgs),
    /// List, show and replay what could not be handled.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// See it all at work, with nothing else needed.
    Demo(demo::DemoArgs),
    /// Run the stand-in for Missive.
    Sandbox(sandbox::SandboxArgs),
    #[command(hide = true)]
    Completions(manual::CompletionsArgs),
    /// Write the man page.
    #[command(hide = true)]
    Man,
}

/// What `--version` says: the commit as well, where whoever built it said which.
fn version() -> &'static str {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} (commit {COMMIT}, features {FEATURES})", env!("CARGO_PKG_VERSION")));
    &VERSION
}

/// Does what the arguments ask for.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Init(args) => init::run(&args),
        Command::TestMessage(args) => test_message::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Sandbox(args) => sandbox::run(args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man => manual::man(),
    }
}
