//! The dead-letters topic, from its beginning to where it ends when the scan begins.
//!
//! Partitions come one after another, each in order; a marker comes after the letter that it marks. Blocks; keeps nothing.

use std::ops::ControlFlow;

use super::{Entry, LetterId};
use crate::config;
use crate::shell::kafka::{Names, ScanError, partitions_of, scan_partition, scan_topic};

/// Shows every entry to `on_entry`.
pub fn scan(kafka: &config::Kafka, names: &Names, mut on_entry: impl FnMut(Entry)) -> Result<(), ScanError> {
    scan_topic(kafka, &names.dead_letters, None, |record| {
        on_entry(Entry::read(record));
        ControlFlow::Continue(())
    })
}

/// One entry, if it is there.
pub fn find(kafka: &config::Kafka, names: &Names, id: LetterId) -> Result<Option<Entry>, ScanError> {
    if id.partition >= partitions_of(kafka, &names.dead_letters)? {
        return Ok(None);
    }
    let mut found = None;
    scan_partition(kafka, &names.dead_letters, id.partition, id.offset, |record| {
        found = Some(Entry::read(record)).filter(|_| rdkafka::Message::offset(record) == id.offset);
        ControlFlow::Break(())
    })?;
    Ok(found)
}
