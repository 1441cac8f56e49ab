//! Taking over a ledger partition: fence, read the state to its true end, go on where it says.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use super::Plan;
use crate::event::Timestamp;
use crate::lane::{Effects, Lane, StateError, StateKey};
use crate::shell::kafka::{ReadError, read_partition};
use crate::telemetry::process::restoring;

/// Key of the record that says where in the ledger the state stands: the next offset to fold, as decimal digits.
pub const POSITION_KEY: &str = "position";

/// The longest a state partition may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

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
}

/// A partition's lanes as their last owner committed them.
pub struct Restored {
    pub lanes: BTreeMap<Box<str>, Lane>,
    /// The next ledger offset to fold; none before the first commit.
    pub position: Option<i64>,
    pub records: usize,
}

/// Reads a partition's state. The caller has fenced its predecessor.
pub fn restore(plan: &Plan, partition: i32) -> Result<Restored, TakeoverError> {
    let mut records: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut read = 0;
    restoring(partition, read);
    read_partition(&plan.kafka, &plan.names.state, partition, READ_TIMEOUT, |key, value| {
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
