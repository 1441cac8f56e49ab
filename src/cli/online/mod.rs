//! `missived check --online`: proves what a file can't: Kafka's topics and permissions, each lane's token, and that Missive knows
//! every label, team, person and organization that the file names.
//!
//! It changes nothing: what it writes to Kafka is in a transaction that is aborted, and Missive is only asked. Every proof is
//! tried, whatever became of the others. Limits: a channel can't be asked for; only a message proves it (`missived test-message`).

mod kafka;
mod missive;
mod names;

use std::time::Duration;

use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::config::Asking;
use crate::shell::courier::client::ClientError;
use crate::shell::kafka::TopicError;

pub(in crate::cli) use missive::{ask, token};

/// The longest that one proof may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something is not as the daemon needs it.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Topics(#[from] TopicError),
    #[error("{}", kafka::said(.0))]
    Kafka(#[from] KafkaError),
    #[error("no such topic")]
    NoTopic,
    #[error("nothing could be written: {0}")]
    NotWritten(String),
    #[error("no token in {0}")]
    NoToken(String),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("Missive refuses the token ({0})")]
    Refused(u16),
    #[error("Missive answers {0}: {1}")]
    Answer(u16, Box<str>),
    #[error("Missive can't be asked ({0})")]
    NoAnswer(&'static str),
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    #[error("Missive's answer is no list of {0}")]
    NoList(&'static str),
    #[error("Missive lists more than {1} {0}")]
    TooMany(&'static str, usize),
    #[error("{0}")]
    Name(#[from] names::NameFault),
}

/// What was proven, and what came of it.
pub(super) struct Proof {
    pub what: String,
    pub outcome: Result<String, Fault>,
}

/// Proves everything there is to prove; of the names that the file uses, each is told with what Missive knows it as.
pub(super) fn prove(asking: &Asking) -> (Vec<Proof>, Option<String>) {
    let config = &asking.loaded.config;
    let mut proofs = kafka::proofs(config);
    proofs.extend(missive::proofs(config));
    let sought = names::Sought::of(asking);
    let (directory, failed) = missive::directory(config, &sought.lists());
    proofs.extend(failed);
    let found = sought.look_up(&directory);
    let block = found.block();
    proofs.extend(found.proofs());
    (proofs, block)
}
