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
  missived run --config /etc/missived/missived.toml

Exit codes: 0 done, 1 failed, 2 wrong arguments, 78 faulty config; `missived COMMAND --help` has those of each command.";

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn shown() -> Vec<clap::Command> {
        let command = Arguments::command();
        command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect()
    }

    #[test]
    fn every_command_shows_examples_and_says_its_exit_codes() {
        for mut command in shown().into_iter().chain([Arguments::command()]) {
            let (name, help) = (command.get_name().to_owned(), command.render_help().to_string());
            assert!(help.contains("Examples:") && help.contains("missived "), "{name}:\n{help}");
            assert!(help.contains("Exit codes: "), "{name}:\n{help}");
        }
    }

    #[test]
    fn the_version_says_which_commit_was_built_and_with_which_features() {
        let text = Arguments::command().render_version();
        assert!(text.starts_with(&format!("missived {} (commit ", env!("CARGO_PKG_VERSION"))), "{text}");
        assert!(text.contains(", features "), "{text}");
    }

    #[test]
    fn what_is_misspelt_is_answered_with_what_was_meant() {
        let rows: [(&[&str], ErrorKind, &str); 4] = [
            (&["missived", "staus"], ErrorKind::InvalidSubcommand, "'status'"),
            (&["missived", "dead-leters"], ErrorKind::InvalidSubcommand, "'dead-letters'"),
            (&["missived", "run", "--confg", "x"], ErrorKind::UnknownArgument, "'--config'"),
            (&["missived", "run", "--log-format", "jsn"], ErrorKind::InvalidValue, "'json'"),
        ];
        for (words, kind, meant) in rows {
            let Err(error) = Arguments::try_parse_from(words) else { panic!("{words:?} is no command") };
            let text = error.to_string();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{text}");
            assert!(text.contains("similar") && text.contains(meant), "{text}");
        }
    }

    #[test]
    fn completions_of_every_shell_know_every_command() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "missived", &mut text);
            let text = String::from_utf8(text).expect("text");
            let missing: Vec<_> =
                shown().iter().map(|c| c.get_name().to_owned()).filter(|c| !text.contains(c)).collect();
            assert!(missing.is_empty(), "{shell}: {missing:?}");
        }
    }
}
