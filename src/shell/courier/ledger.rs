//! Reading one ledger partition, and folding what stands in it into the lanes that live there.
//!
//! A record that can't be read is an error and never skipped: whoever reads on would lose it.

use std::collections::BTreeMap;
use std::thread;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Plan;
use crate::event::Timestamp;
use crate::event::frame::{LedgerError, LedgerRecord};
use crate::lane::{Effects, Input, Lane};
use crate::shell::kafka::{QuietContext, reader_config};

/// A consumer of one ledger partition that wakes this thread when there is something to read.
pub fn follow(plan: &Plan, partition: i32, position: Option<i64>) -> Result<BaseConsumer<QuietContext>, KafkaError> {
    let mut config = reader_config(&plan.kafka);
    config.set("enable.partition.eof", "false");
    let mut ledger: BaseConsumer<QuietContext> = config.create_with_context(QuietContext)?;
    let owner = thread::current();
    ledger.set_nonempty_callback(move || owner.unpark());
    let mut assignment = TopicPartitionList::new();
    let from = position.map_or(Offset::Beginning, Offset::Offset);
    assignment.add_partition_offset(&plan.names.ledger, partition, from)?;
    ledger.assign(&assignment)?;
    Ok(ledger)
}

/// Folds one ledger record into its lane. A lane that this config doesn't know folds as well: it holds what it hears until
/// an owner that knows it takes over.
pub fn fold(
    plan: &Plan,
    now: Timestamp,
    record: &BorrowedMessage<'_>,
    lanes: &mut BTreeMap<Box<str>, Lane>,
    effects: &mut BTreeMap<Box<str>, Effects>,
) -> Result<(), LedgerError> {
    match LedgerRecord::read(record.payload().unwrap_or_default())? {
        LedgerRecord::Frame(frame) => {
            if !lanes.contains_key(frame.lane) {
                lanes.insert(frame.lane.into(), plan.new_lane(frame.lane));
            }
            if let Some(lane) = lanes.get_mut(frame.lane) {
                lane.step(now, Input::Observed(&frame), effects.entry(frame.lane.into()).or_default());
            }
        }
        LedgerRecord::Returned(returned) => {
            if !lanes.contains_key(returned.lane) {
                lanes.insert(returned.lane.into(), plan.new_lane(returned.lane));
            }
            if let Some(lane) = lanes.get_mut(returned.lane) {
                lane.step(now, Input::Returned(&returned), effects.entry(returned.lane.into()).or_default());
            }
        }
        LedgerRecord::Lessons(lessons) => {
            for (name, lane) in lanes {
                let effects = effects.entry(name.clone()).or_default();
                lessons.iter().for_each(|lesson| lane.step(now, Input::Learned(lesson), effects));
            }
        }
    }
    Ok(())
}
