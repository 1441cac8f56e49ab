//! `missived topics create|list`: the internal topics, beforehand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::EXIT_CONFIG;
use crate::config::{Config, Environment};
use crate::shell::kafka::{Names, TopicError, create_topics, list_topics};

const EXAMPLES: &str = "\
Examples:
  missived topics list --config /etc/missived/missived.toml
  missived topics create --config /etc/missived/missived.toml

Exit codes: 0 done, 1 failed (list: a topic is missing), 78 faulty config.";

/// Create or list the internal topics. `missived run` creates them too, where it may.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TopicsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create those that are missing.
    Create(ConfigArg),
    /// Say which there are, and with how many partitions.
    List(ConfigArg),
}

#[derive(Debug, Args)]
struct ConfigArg {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = "/etc/missived/missived.toml")]
    config: PathBuf,
}

/// Creates or lists.
pub fn run(args: &TopicsArgs) -> ExitCode {
    let (Action::Create(file) | Action::List(file)) = &args.action;
    let config = match Config::load(&file.config, &Environment::of_process()) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let names = Names::new(&config.kafka.namespace);
    let done = match &args.action {
        Action::Create(_) => create(&config, &names),
        Action::List(_) => list(&config, &names),
    };
    done.unwrap_or_else(|error| {
        eprintln!("missived: {error}");
        ExitCode::FAILURE
    })
}

fn create(config: &Config, names: &Names) -> Result<ExitCode, TopicError> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Ok(ExitCode::FAILURE);
    };
    let created = runtime.block_on(create_topics(&config.kafka, names))?;
    for topic in &created {
        println!("created {topic}");
    }
    if created.is_empty() {
        println!("all internal topics are there");
    }
    Ok(ExitCode::SUCCESS)
}

fn list(config: &Config, names: &Names) -> Result<ExitCode, TopicError> {
    let topics = list_topics(&config.kafka, names)?;
    for topic in &topics {
        match topic.partitions_found {
            0 => println!("{}\tmissing\t{} partitions wanted", topic.name, topic.partitions_wanted),
            found => println!("{}\t{found} partitions", topic.name),
        }
    }
    let missing = topics.iter().any(|topic| topic.partitions_found == 0);
    Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
