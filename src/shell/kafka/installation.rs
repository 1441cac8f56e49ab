//! What all instances of one installation share and nobody may change: the hash key and the lanes' places.
//!
//! One record of the state topic's partition 0, key `installation`, JSON. Whoever starts first writes it, in a transaction
//! whose id fences every other instance that is starting: the second one reads what the first has written. Lanes that
//! a config adds get the partition with the fewest lanes; a lane never moves.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::context::QuietContext;
use super::{CLOSING_KEY, Names, ReadError, read_partition, read_stable_part, transactional_config};
use crate::config;
use crate::event::HashKey;

const KEY: &str = "installation";
const VERSION: u32 = 1;
const TIMEOUT: Duration = Duration::from_secs(10);

/// What all instances share.
#[derive(Clone, Debug)]
pub struct Installation {
    pub hash_key: HashKey,
    /// Ledger partition by lane.
    pub lanes: BTreeMap<Box<str>, i32>,
}

impl Installation {
    fn of(record: Record) -> Self {
        Self { hash_key: HashKey::new(record.hash_key), lanes: record.lanes }
    }
}

/// Why there is no installation to work with.
#[derive(Debug, Error)]
pub enum InstallationError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the installation record could not be written: {0}")]
    Write(KafkaError),
    #[error("the installation record is of version {0}; this missived knows version {VERSION}")]
    Version(u32),
    #[error("the installation record is damaged")]
    Damaged,
    #[error(
        "the installation was made with {found} ledger partitions, the config says {wanted}; their number is frozen"
    )]
    Partitions { found: i32, wanted: i32 },
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    hash_key: [u8; 16],
    ledger_partitions: i32,
    lanes: BTreeMap<Box<str>, i32>,
}

/// Reads the installation record, writing it first where it is missing or lacks a lane. Blocks.
pub fn install(kafka: &config::Kafka, names: &Names, lanes: &[&str]) -> Result<Installation, InstallationError> {
    // What an open transaction could add are lanes that this config doesn't have: no reason to wait for it, and an owner may
    // have to close it first.
    let known = written(|found| read_stable_part(kafka, &names.state, 0, TIMEOUT, found))?;
    if let Some(record) = known.filter(|record| lanes.iter().all(|lane| record.lanes.contains_key(*lane))) {
        return checked(record, kafka).map(Installation::of);
    }
    let producer: BaseProducer<QuietContext> = transactional_config(kafka, &names.installation_id())
        .create_with_context(QuietContext)
        .map_err(InstallationError::Write)?;
    producer.init_transactions(TIMEOUT).map_err(InstallationError::Write)?;
    // what doesn't fit is refused before anything is written over it
    let found = match read(kafka, names) {
        Err(InstallationError::Read(ReadError::StillOpen { .. })) => {
            close_left_open(kafka, names).map_err(InstallationError::Write)?;
            read(kafka, names)?
        }
        read => read?,
    };
    let mut record = match found {
        Some(record) => checked(record, kafka)?,
        None => new_record(kafka.topics.ledger_partitions)?,
    };
    place(&mut record, lanes);
    let value = serde_json::to_vec(&record).expect("numbers and strings always serialise");
    let written = BaseRecord::to(&names.state).partition(0).key(KEY).payload(value.as_slice());
    write(&producer, written).map_err(InstallationError::Write)?;
    Ok(Installation::of(record))
}

/// Closes what an owner of partition 0 has left open. One that lives commits far sooner, so it is dead or has been forgotten
/// by Kafka; whoever it is, it is fenced, and takes the partition over again as after any loss.
fn close_left_open(kafka: &config::Kafka, names: &Names) -> Result<(), KafkaError> {
    tracing::warn!(partition = 0, "kafka has left a transaction open in the state; closing it for the new lanes");
    let owner: BaseProducer<QuietContext> =
        transactional_config(kafka, &names.transactional_id(0)).create_with_context(QuietContext)?;
    owner.init_transactions(TIMEOUT)?;
    write(&owner, BaseRecord::to(&names.state).partition(0).key(CLOSING_KEY))
}

/// The installation as it stands; none before the first start. Blocks, and writes nothing.
pub fn installed(kafka: &config::Kafka, names: &Names) -> Result<Option<Installation>, InstallationError> {
    read(kafka, names)?.map(|record| checked(record, kafka).map(Installation::of)).transpose()
}

fn read(kafka: &config::Kafka, names: &Names) -> Result<Option<Record>, InstallationError> {
    written(|found| read_partition(kafka, &names.state, 0, TIMEOUT, found))
}

/// The installation record among those that `read` shows.
fn written(
    read: impl FnOnce(&mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), ReadError>,
) -> Result<Option<Record>, InstallationError> {
    let mut found = None;
    read(&mut |key, value| {
        if key == KEY.as_bytes() {
            found = value.map(<[u8]>::to_vec);
        }
    })?;
    let Some(bytes) = found else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| InstallationError::Damaged)
}

fn new_record(ledger_partitions: i32) -> Result<Record, InstallationError> {
    let mut hash_key = [0; 16];
    getrandom::fill(&mut hash_key).map_err(|_| InstallationError::Damaged)?;
    Ok(Record { version: VERSION, hash_key, ledger_partitions, lanes: BTreeMap::new() })
}

/// Gives every lane without a place the partition with the fewest lanes.
fn place(record: &mut Record, lanes: &[&str]) {
    for lane in lanes {
        if record.lanes.contains_key(*lane) {
            continue;
        }
        let load = |partition: &i32| record.lanes.values().filter(|place| *place == partition).count();
        let partition = (0..record.ledger_partitions).min_by_key(load).unwrap_or(0);
        record.lanes.insert((*lane).into(), partition);
    }
}

/// In a transaction of its own.
fn write(producer: &BaseProducer<QuietContext>, record: BaseRecord<'_, str, [u8]>) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(TIMEOUT)?;
    producer.commit_transaction(TIMEOUT)
}

fn checked(record: Record, kafka: &config::Kafka) -> Result<Record, InstallationError> {
    if record.version != VERSION {
        return Err(InstallationError::Version(record.version));
    }
    let wanted = kafka.topics.ledger_partitions;
    if record.ledger_partitions != wanted {
        return Err(InstallationError::Partitions { found: record.ledger_partitions, wanted });
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_spread_and_never_move() {
        let mut record = Record { version: VERSION, hash_key: [0; 16], ledger_partitions: 2, lanes: BTreeMap::new() };
        place(&mut record, &["a", "b"]);
        let first = record.lanes.clone();
        assert_ne!(first["a"], first["b"]);
        place(&mut record, &["c", "a"]);
        assert_eq!((record.lanes["a"], record.lanes["b"]), (first["a"], first["b"]));
        assert_eq!(record.lanes.len(), 3);
    }
}
