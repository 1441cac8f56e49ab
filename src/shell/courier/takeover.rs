//! Taking over a ledger partition: fence, close what was left open, read the state to its true end, go on where it says.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use thiserror::Error;

use super::transaction::{self, Outcome, Write};
use super::{Order, Orders, Plan, RETRY_PAUSE};
use crate::event::Timestamp;
use crate::lane::{Effects, Lane, StateError, StateKey};
use crate::shell::clock;
use crate::shell::kafka::{
    CLOSING_KEY, QuietContext, ReadError, read_stable_part, transactional_config, wait_until_stable,
};
use crate::shell::readiness::{Gate, ReadyState};
use crate::telemetry::process::{self, restoring};

/// Key of the record that says where in the ledger the state stands: the next offset to fold, as decimal digits.
pub const POSITION_KEY: &str = "position";

/// The longest that fencing and reading the state take.
const TAKEOVER_MAX: Duration = Duration::from_secs(630);

/// How long fencing may take.
const FENCING_MAX: Duration = Duration::from_secs(15);

/// How long the next record of a state partition may take.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a transaction may be open after everybody who could end it was fenced.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// How many records are read between two words on the progress.
const PROGRESS_EVERY: usize = 1_000;

/// Why a partition can't be taken over.
#[derive(Debug, Error)]
pub enum TakeoverError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the position record is damaged")]
    Position,
    #[error("a transaction that was left open could not be closed: {0}")]
    Open(KafkaError),
}

/// A partition's lanes as their last owner committed them.
pub struct Restored {
    pub lanes: BTreeMap<Box<str>, Lane>,
    /// The next ledger offset to fold; none before the first commit.
    pub position: Option<i64>,
    pub records: usize,
}

/// Fences the predecessor and reads the state; keeps trying until it succeeds or is ordered to leave.
pub fn take_over(
    plan: &Plan,
    partition: i32,
    gate: &Gate,
    orders: &Orders,
) -> Option<(BaseProducer<QuietContext>, Restored)> {
    gate.set(ReadyState::Starting("reading the state"));
    while orders.current() == Order::Work {
        gate.excuse(TAKEOVER_MAX);
        let started = clock::monotonic();
        let taken = try_take_over(plan, partition);
        process::restored(partition, clock::monotonic().saturating_duration_since(started));
        match taken {
            Ok(taken) => return Some(taken),
            Err(TakeoverFailure::Kafka(error)) => tracing::warn!(%error, partition, "taking over a ledger partition"),
            Err(TakeoverFailure::State(error)) => {
                tracing::error!(%error, partition, "this partition's state can't be read; it is left alone");
                gate.set(ReadyState::Halted(error.to_string()));
            }
        }
        thread::park_timeout(RETRY_PAUSE);
    }
    None
}

enum TakeoverFailure {
    Kafka(KafkaError),
    State(TakeoverError),
}

fn try_take_over(plan: &Plan, partition: i32) -> Result<(BaseProducer<QuietContext>, Restored), TakeoverFailure> {
    let started = clock::monotonic();
    let config = transactional_config(&plan.kafka, &plan.names.transactional_id(partition));
    let producer: BaseProducer<QuietContext> =
        config.create_with_context(QuietContext).map_err(TakeoverFailure::Kafka)?;
    producer.init_transactions(FENCING_MAX).map_err(TakeoverFailure::Kafka)?;
    close_left_open(plan, partition, &producer).map_err(TakeoverFailure::State)?;
    let restored = restore(plan, partition).map_err(TakeoverFailure::State)?;
    let took = clock::monotonic().saturating_duration_since(started);
    tracing::info!(
        partition,
        records = restored.records,
        position = restored.position,
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "took over a ledger partition"
    );
    Ok((producer, restored))
}

/// Closes a transaction that Kafka has left open in the state. By now every one of our predecessors' has an end, so one that
/// is still open has lost its marker: Kafka has been seen to acknowledge a commit, and to leave its marker out, while the only
/// broker with the partition is shut down in an orderly way. The marker of our own, empty transaction closes it as committed: as
/// it was acknowledged. Had it been aborted, that would do no harm, because each one takes a consistent state to the next.
fn close_left_open(plan: &Plan, partition: i32, producer: &BaseProducer<QuietContext>) -> Result<(), TakeoverError> {
    let (kafka, topic) = (&plan.kafka, &plan.names.state);
    match wait_until_stable(kafka, topic, partition, OPEN_MAX) {
        Ok(()) => return Ok(()),
        Err(ReadError::StillOpen { .. }) => {}
        Err(error @ (ReadError::Kafka { .. } | ReadError::TimedOut { .. })) => return Err(error.into()),
    }
    tracing::warn!(partition, "kafka has left a transaction open in the state; closing it");
    let closing = Write { topic, partition, key: CLOSING_KEY.into(), value: None, headers: None };
    match transaction::commit(producer, &[closing]) {
        Outcome::Committed => Ok(wait_until_stable(kafka, topic, partition, OPEN_MAX)?),
        Outcome::Aborted(error) | Outcome::Over(error) => Err(TakeoverError::Open(error)),
    }
}

/// Reads a partition's state. The caller has fenced its predecessor and closed what that one left open.
fn restore(plan: &Plan, partition: i32) -> Result<Restored, TakeoverError> {
    let mut records: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut read = 0;
    restoring(partition, read);
    read_stable_part(&plan.kafka, &plan.names.state, partition, SILENCE_MAX, |key, value| {
        read += 1;
        if read % PROGRESS_EVERY == 0 {
            restoring(partition, read);
        }
        match value {
            Some(value) => drop(records.insert(key.to_vec(), value.to_vec())),
            None => drop(records.remove(key)),
        }
    })?;
    restoring(partition, read);
    let known = plan.lanes_on(partition).map(|lane| &lane.policy.lane);
    let mut lanes: BTreeMap<Box<str>, Lane> = known.map(|name| (name.clone(), plan.new_lane(name))).collect();
    let mut position = None;
    for (key, value) in &records {
        let Ok(key) = str::from_utf8(key) else { continue };
        if key == POSITION_KEY {
            position = Some(parse_position(value)?);
        } else if let Some((name, key)) = StateKey::parse(key) {
            lanes.entry(name.into()).or_insert_with(|| plan.new_lane(name)).restore(key, value)?;
        }
    }
    Ok(Restored { lanes, position, records: records.len() })
}

/// Lets every lane act on what it has got back.
pub fn resume(restored: &mut Restored, now: Timestamp) -> BTreeMap<Box<str>, Effects> {
    let mut all = BTreeMap::new();
    for (name, lane) in &mut restored.lanes {
        let mut effects = Effects::default();
        lane.resume(now, &mut effects);
        all.insert(name.clone(), effects);
    }
    all
}

fn parse_position(value: &[u8]) -> Result<i64, TakeoverError> {
    str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(TakeoverError::Position)
}
