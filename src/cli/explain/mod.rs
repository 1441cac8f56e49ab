//! `missived explain`: why somebody was told something, or wasn't.
//!
//! Reads the topic of decisions (`kafka.topics.decisions`) and the dead letters, and writes nothing. The answer goes to standard
//! output, in the order of the decisions; what can't be answered, and why, to standard error. Exit 0 when something is known,
//! 1 when nothing is or Kafka can't be read, 78 for a faulty config.

mod question;
mod story;
pub(super) mod told;

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rdkafka::message::Message as _;
use thiserror::Error;

use super::moment::Moment;
use super::{EXIT_CONFIG, harmless};
use crate::config::{Config, Environment};
use crate::shell::clock;
use crate::shell::decisions::Line;
use crate::shell::kafka::{InstallationError, Names, ScanError, installed, scan_topic};
use crate::shell::letters::{About, Entry, Letter, scan};
use question::{Question, Sought};
use story::Story;

const EXAMPLES: &str = "\
Examples:
  missived explain alerts/0/1234
      What became of this record: topic, partition, offset
  missived explain default/payments-critical --since 2h
      Everything that was decided about a conversation: its routing key, as replies and `preview` show it
  missived explain 8f4b2f6f0c9f1d2e
      What an event is about: Alertmanager's or Grafana's fingerprint of an alert, or our own hash of it

Needs kafka.topics.decisions = true; nothing is known of what was decided before.

Exit codes: 0 answered, 1 nothing known or Kafka out of reach, 78 faulty config.";

/// Say why somebody was told something, or wasn't.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// A fingerprint, a conversation's routing key, or a record as TOPIC/PARTITION/OFFSET
    #[arg(value_name = "FINGERPRINT|CONVERSATION|POSITION")]
    about: Question,
    /// The config file
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
    /// Only what was decided since then: RFC 3339, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// One JSON object a line, as in the topic
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Installation(#[from] InstallationError),
}

/// Answers.
pub fn run(args: &ExplainArgs) -> ExitCode {
    let config = match Config::load(&args.config, &Environment::of_process()) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match answer(&config, args) {
        Ok(Answer::Given) => ExitCode::SUCCESS,
        Ok(Answer::NothingKnown) => {
            eprintln!("missived: nothing is known of {}: {}", args.about, why_not(&config));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("missived: {}", harmless::line(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

enum Answer {
    Given,
    NothingKnown,
}

fn answer(config: &Config, args: &ExplainArgs) -> Result<Answer, Failure> {
    let names = Names::new(&config.kafka.namespace);
    let key = match args.about {
        Question::Entity(_) => installed(&config.kafka, &names)?.map(|installation| installation.hash_key),
        Question::Position { .. } | Question::Conversation(_) => None,
    };
    let mut story = Story::new(Sought::new(&args.about, key.as_ref(), &config.sources));
    let since = args.since.map(|since| since.before(clock::now()));
    let decisions = scan_topic(&config.kafka, &names.decisions, since, |record| {
        Line::read(record.payload().unwrap_or_default()).for_each(|line| story.hear(line));
        ControlFlow::Continue(())
    });
    match decisions {
        // Without a topic of decisions, the dead letters may still know.
        Ok(()) | Err(ScanError::NoTopic(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let letters = letters(config, &names, &args.about)?;
    print(&story, &letters, args.json);
    let known = story.lines().next().is_some() || !letters.is_empty();
    Ok(if known { Answer::Given } else { Answer::NothingKnown })
}

/// Dead letters that the question is about, without their contents.
fn letters(config: &Config, names: &Names, question: &Question) -> Result<Vec<Letter>, ScanError> {
    let mut letters = Vec::new();
    let scanned = scan(&config.kafka, names, |entry| match entry {
        Entry::Letter(mut letter) if is_about(&letter, question) && letters.len() < story::LINES_MAX => {
            letter.value = None;
            letters.push(*letter);
        }
        Entry::Letter(_) | Entry::Replayed { .. } | Entry::Foreign => {}
    });
    match scanned {
        Ok(()) | Err(ScanError::NoTopic(_)) => Ok(letters),
        Err(error) => Err(error),
    }
}

fn is_about(letter: &Letter, question: &Question) -> bool {
    match (question, &letter.about) {
        (Question::Position { topic, partition, offset }, _) => letter
            .source()
            .is_some_and(|source| (&*source.topic, source.partition, source.offset) == (&**topic, *partition, *offset)),
        (Question::Conversation(wanted), About::Delivery { routing_key, .. }) => **wanted == **routing_key,
        (Question::Conversation(_), About::Record { .. }) | (Question::Entity(_), _) => false,
    }
}

/// Whoever closed our output doesn't want to hear more.
fn print(story: &Story, letters: &[Letter], json: bool) {
    let mut out = std::io::stdout().lock();
    for line in story.lines() {
        let text = if json { serde_json::to_string(line).unwrap_or_default() } else { told::line(line) };
        if writeln!(out, "{text}").is_err() {
            return;
        }
    }
    if !json {
        for letter in letters {
            let (reason, error) = (harmless::line(&letter.reason), harmless::line(&letter.error));
            let _ = writeln!(
                out,
                "dead letter {} ({reason}): {error}; `missived dead-letters show {}`",
                letter.id, letter.id
            );
        }
        for conversation in story.waits() {
            let _ =
                writeln!(out, "not told yet in {}; `missived status` says what waits", harmless::line(conversation));
        }
    }
    if story.left_out > 0 {
        eprintln!("{} earlier decisions are not shown; --since shortens the time that is asked about", story.left_out);
    }
}

fn why_not(config: &Config) -> String {
    match config.kafka.topics.decisions {
        None => "decisions are not written (kafka.topics.decisions is false)".to_owned(),
        Some(topic) => format!(
            "no lane has decided anything about it within {}, or not yet (`missived status` shows the lag)",
            humantime::format_duration(topic.retention)
        ),
    }
}
