//! Where source partitions begin, asked of Kafka: topic ids, what the group has committed, and where partitions start and end.
//!
//! Blocks for at most [`TIMEOUT`] a request, and changes nothing when one of them fails, so that it can be tried again.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::footing::{Begin, Committed, Footing, begin as decide, note};
use super::held::Holdings;
use crate::event::{Course, TopicId};
use crate::route::{Source, Start};
use crate::shell::kafka::{Batches, GroupContext, Partition, topic_ids};
use crate::telemetry::sources as said;

const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a look at topics may take while others are read.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Begins to read partitions: where the group left off; where nothing is committed, where the source wants to start; where
/// the topic was created anew, at its beginning. A beginning that nobody has committed is committed at once, so that nothing
/// that arrives before the first commit can be skipped by a restart.
pub fn begin(
    consumer: &BaseConsumer<GroupContext>,
    batches: &Batches<GroupContext>,
    sources: &[Source],
    partitions: &[Partition],
    holdings: &mut Holdings,
) -> Result<(), KafkaError> {
    let mut topics: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    let ids = topic_ids(consumer.client(), &topics, TIMEOUT)?;
    let committed = consumer.committed_offsets(list(partitions), TIMEOUT)?;
    let (mut assignment, mut pinned) = (TopicPartitionList::new(), TopicPartitionList::new());
    let mut begun = Vec::new();
    for partition in partitions {
        let id = ids.get(&partition.topic).copied().unwrap_or(TopicId::UNKNOWN);
        let begin = decided(id, &committed, partition);
        let (offset, course) = match begin {
            Begin::At { offset, course } => (offset, course),
            Begin::AsConfigured | Begin::Anew => {
                let offset = first_offset(consumer, sources, partition, begin)?;
                pin(&mut pinned, partition, offset, id)?;
                (offset, Course::Onward)
            }
        };
        assignment.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))?;
        begun.push((partition.clone(), begin, Footing { id, course, next: Some(offset), newest: None }));
    }
    if pinned.count() > 0 {
        consumer.commit(&pinned, CommitMode::Sync)?;
    }
    for partition in partitions {
        batches.add(partition)?;
    }
    consumer.incremental_assign(&assignment)?;
    for (partition, begin, footing) in begun {
        say(&partition, begin, footing.id);
        let source = sources.iter().position(|source| source.topic == partition.topic);
        holdings.set(partition, footing, source);
    }
    Ok(())
}

/// Reads a partition of ours from somewhere else.
pub fn begin_again(
    consumer: &BaseConsumer<GroupContext>,
    batches: &Batches<GroupContext>,
    partition: &Partition,
    from: Offset,
) -> Result<(), KafkaError> {
    let one = std::slice::from_ref(partition);
    consumer.incremental_unassign(&list(one))?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&partition.topic, partition.number, from)?;
    batches.add(partition)?;
    consumer.incremental_assign(&assignment)
}

/// Which of the partitions that are being read belong to another topic by now.
pub fn outlived(
    consumer: &BaseConsumer<GroupContext>,
    holdings: &Holdings,
) -> Result<Vec<(Partition, TopicId)>, KafkaError> {
    let topics = holdings.topics();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    topic_ids(consumer.client(), &topics, LOOK_TIMEOUT).map(|ids| holdings.outlived(&ids))
}

fn decided(id: TopicId, committed: &TopicPartitionList, partition: &Partition) -> Begin {
    let Some(element) = committed.find_partition(&partition.topic, partition.number) else {
        return decide(id, Committed::Nothing);
    };
    match element.offset() {
        Offset::Offset(offset) => decide(id, Committed::At { offset, metadata: element.metadata() }),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => {
            decide(id, Committed::Nothing)
        }
    }
}

fn first_offset(
    consumer: &BaseConsumer<GroupContext>,
    sources: &[Source],
    partition: &Partition,
    begin: Begin,
) -> Result<i64, KafkaError> {
    let source = sources.iter().find(|source| source.topic == partition.topic);
    let (low, high) = consumer.fetch_watermarks(&partition.topic, partition.number, TIMEOUT)?;
    Ok(match (begin, source.map(|source| source.start)) {
        (Begin::AsConfigured, Some(Start::Latest)) => high,
        (Begin::AsConfigured, Some(Start::Earliest) | None) | (Begin::Anew | Begin::At { .. }, _) => low,
    })
}

fn pin(pinned: &mut TopicPartitionList, partition: &Partition, offset: i64, id: TopicId) -> Result<(), KafkaError> {
    pinned.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))?;
    if let Some(mut element) = pinned.find_partition(&partition.topic, partition.number) {
        element.set_metadata(note(id));
    }
    Ok(())
}

fn say(partition: &Partition, begin: Begin, id: TopicId) {
    match begin {
        Begin::Anew => said::topic_recreated(&partition.topic, partition.number, id),
        Begin::At { offset, course: Course::SetByOperator } => {
            said::offsets_set(&partition.topic, partition.number, offset);
        }
        Begin::At { course: Course::Onward, .. } | Begin::AsConfigured => {}
    }
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}
