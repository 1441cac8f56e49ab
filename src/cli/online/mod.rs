//! `missived check --online`: proves what a file can't: Kafka's topics and permissions, and each lane's token.
//!
//! It changes nothing: what it writes to Kafka is in a transaction that is aborted, and Missive is asked one question a lane, for
//! which nothing is sent. Every proof is tried, whatever became of the others. Limits: a channel can't be asked for; only a
//! message proves it (`missived test-message`). Deleting records and creating topics are not tried.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use thiserror::Error;

use crate::config::{Config, TokenSource};
use crate::missive::Token;
use crate::missive::answer::Answer;
use crate::shell::clock;
use crate::shell::courier::client::{Client, ClientError, Clock, Deadlines};
use crate::shell::kafka::{
    Names, QuietContext, TopicError, group_config, list_topics, reader_config, transactional_config,
};

/// The longest that one proof may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a token is asked about; nothing changes by it.
const TOKEN_PATH: &str = "/v1/organizations";

/// Why something is not as the daemon needs it.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Topics(#[from] TopicError),
    #[error("{}", kafka(.0))]
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
}

/// What was proven, and what came of it.
pub(super) struct Proof {
    pub what: String,
    pub outcome: Result<String, Fault>,
}

/// Proves everything there is to prove.
pub(super) fn proofs(config: &Config) -> Vec<Proof> {
    let names = Names::new(&config.kafka.namespace);
    let mut proofs = vec![Proof { what: "kafka: internal topics".to_owned(), outcome: internal(config, &names) }];
    for source in &config.sources {
        proofs.push(Proof { what: format!("kafka: read {}", source.topic), outcome: readable(config, &source.topic) });
    }
    for group in [&names.intake_group, &names.lane_group] {
        proofs.push(Proof { what: format!("kafka: group {group}"), outcome: group_known(config, &names, group) });
    }
    proofs.push(Proof { what: "kafka: transactions".to_owned(), outcome: writable(config, &names) });
    for lane in &config.lanes {
        let outcome = token(&lane.token).and_then(|token| accepted(config, &token));
        proofs.push(Proof { what: format!("missive: token of lane {}", lane.policy.lane), outcome });
    }
    proofs
}

/// Kafka's own words for a lack of permission are easily overlooked.
fn kafka(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
        ) => format!("not allowed: {error}"),
        Some(_) | None => error.to_string(),
    }
}

fn internal(config: &Config, names: &Names) -> Result<String, Fault> {
    let topics = list_topics(&config.kafka, names)?;
    let missing: Vec<&str> =
        topics.iter().filter(|topic| topic.partitions_found == 0).map(|topic| topic.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(format!("all {} are there", topics.len()));
    }
    Ok(format!("{} missing: created at the start, or by `missived topics create`", missing.join(", ")))
}

fn readable(config: &Config, topic: &str) -> Result<String, Fault> {
    let consumer: BaseConsumer<QuietContext> = reader_config(&config.kafka).create_with_context(QuietContext)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && !found.partitions().is_empty());
    let partitions = found.ok_or(Fault::NoTopic)?.partitions();
    let mut records = 0;
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
        records += high - low;
    }
    Ok(format!("{} partitions, {records} records", partitions.len()))
}

fn group_known(config: &Config, names: &Names, group: &str) -> Result<String, Fault> {
    let consumer: BaseConsumer<QuietContext> =
        group_config(&config.kafka, group, "check").create_with_context(QuietContext)?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&names.ledger, 0);
    let committed = consumer.committed_offsets(asked, PATIENCE)?;
    committed.elements().first().map_or(Ok(()), rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
    Ok("may be used".to_owned())
}

/// One record to each internal topic that is there, in a transaction that is aborted.
fn writable(config: &Config, names: &Names) -> Result<String, Fault> {
    let id = format!("{}.check", config.kafka.namespace);
    let producer: BaseProducer<QuietContext> =
        transactional_config(&config.kafka, &id).create_with_context(QuietContext)?;
    producer.init_transactions(PATIENCE)?;
    producer.begin_transaction()?;
    let there = list_topics(&config.kafka, names)?;
    let there: Vec<&str> =
        there.iter().filter(|topic| topic.partitions_found > 0).map(|topic| topic.name.as_str()).collect();
    for topic in &there {
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(0).key("check").payload("check");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    let flushed = producer.flush(PATIENCE);
    let failed = producer.in_flight_count() > 0 || flushed.is_err();
    let aborted = producer.abort_transaction(PATIENCE);
    match (failed, aborted) {
        (false, Ok(())) => Ok(format!("{} topics may be written", there.len())),
        (true, _) => Err(Fault::NotWritten(flushed.err().map_or("not in time".to_owned(), |error| kafka(&error)))),
        (false, Err(error)) => Err(error.into()),
    }
}

/// The token itself, for a request of ours.
pub(super) fn token(source: &TokenSource) -> Result<Token, Fault> {
    match source {
        TokenSource::Inline(token) => Ok(token.clone()),
        TokenSource::File(path) => read(path),
    }
}

fn read(path: &Path) -> Result<Token, Fault> {
    let absent = || Fault::NoToken(path.display().to_string());
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|_| absent())?);
    Token::parse(&text).ok_or_else(absent)
}

fn accepted(config: &Config, token: &Token) -> Result<String, Fault> {
    ask(config, async |client, deadlines| client.get(TOKEN_PATH, token, deadlines).await)?;
    Ok("accepted".to_owned())
}

/// Asks Missive one thing and says what it answered.
pub(super) fn ask(
    config: &Config,
    request: impl AsyncFnOnce(Arc<Client>, Deadlines) -> Answer,
) -> Result<String, Fault> {
    let now: Clock = Arc::new(clock::now);
    let client = Arc::new(Client::new(&config.missive, now)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::Runtime)?;
    let now_ms = clock::now().as_millis();
    let millis = now_ms + u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let deadlines = Deadlines { send_before: crate::event::Timestamp::from_millis(millis), timeout: PATIENCE };
    match runtime.block_on(request(client, deadlines)) {
        Answer::Status(status) => match status.code {
            200..=299 => Ok(status.body.to_string()),
            401 | 403 => Err(Fault::Refused(status.code)),
            code => Err(Fault::Answer(code, status.body)),
        },
        other @ (Answer::NotSent(_) | Answer::Lost(_)) => Err(Fault::NoAnswer(other.label())),
    }
}
