//! Taking over a ledger partition: fence, close what was left open, read the state to its true end, go on where it says.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use thiserror::Error;

use super::Plan;
use super::transaction::{self, Outcome, Write};
use crate::event::Timestamp;
use crate::lane::{Effects, Lane, StateError, StateKey};
use crate::shell::kafka::{CLOSING_KEY, QuietContext, ReadError, read_stable_part, wait_until_stable};
use crate::telemetry::process::restoring;

/// Key of the record that says where in the ledger the state stands: the next offset to fold, as decimal digits.
pub const POSITION_KEY: &str = "position";

/// The longest a state partition may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

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

/// Closes a transaction that Kafka has left open in the state. By now every one of our predecessors' has an end, so one that
/// is still open has lost its marker: Kafka has been seen to acknowledge a commit, and to leave its marker out, while the only
/// broker with the partition is shut down in an orderly way. The marker of our own, empty transaction closes it as committed: as
/// it was acknowledged. Had it been aborted, that would do no harm, because each one takes a consistent state to the next.
pub fn close_left_open(
    plan: &Plan,
    partition: i32,
    producer: &BaseProducer<QuietContext>,
) -> Result<(), TakeoverError> {
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
pub fn restore(plan: &Plan, partition: i32) -> Result<Restored, TakeoverError> {
    let mut records: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut read = 0;
    restoring(partition, read);
    read_stable_part(&plan.kafka, &plan.names.state, partition, READ_TIMEOUT, |key, value| {
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
