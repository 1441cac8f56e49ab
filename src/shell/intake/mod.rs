//! The intake: source topics in, frames on the ledger out.
//!
//! Any number of threads and instances share one consumer group. Each thread reads in batches, decodes in place, routes, leaves
//! out what it has just sent, and writes frames; what it can't handle becomes a dead letter. Offsets are committed after every write
//! of their cycle has been acknowledged, never before: at least once, and the lane's marks make it exactly once. Frames are
//! sealed when nothing more is waiting to be read, or when they are large or old enough, and those before them are
//! acknowledged: what is read meanwhile goes together. Frames and commits
//! name their topic's id: one that is deleted and created again is read from its beginning, and said so (`footing`).
//!
//! Bounds: a record's size, a frame's size, the writes under way (`WRITES_MAX`), the frames that wait (`MADE_BYTES_MAX`);
//! beyond these reading stops until Kafka has caught up.

mod cache;
mod cycle;
mod dead_letter;
mod footing;
mod generations;
mod held;
mod reader;
mod reading;
mod stamping;
mod starting;
mod verbatim;
mod whole;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::clock::{self, Deadline};
use super::drain::{Drain, End};
use super::kafka::{Batches, Fetched, GroupContext, GroupEvent, Names, Partition, group_config, producer_config};
use super::readiness::{Gate, ReadyState};
use crate::config;
use crate::event::{Course, HashKey, Timestamp, TopicId};
use crate::route::{self, Source};
use crate::telemetry::process::{decoded, intake_turned};
use crate::telemetry::{Telemetry, sources};
pub use cycle::Cycle;
use cycle::{Ack, Acks, Cycles};
pub use footing::Footing;
use footing::note;
pub use reader::{Arrived, FrameLane, GROUP_MAX, Group, Header, Reader};

/// Writes under way at most; then reading waits.
const WRITES_MAX: usize = 256;

/// Bytes of frames that wait for earlier ones at most; then reading waits.
const MADE_BYTES_MAX: usize = 4 << 20;

/// How long reading rests between two looks for acknowledgements.
const ACKNOWLEDGEMENT_PAUSE: Duration = Duration::from_millis(1);

/// How often offsets are committed while there is something to commit.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// How long a poll waits when there is nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// How often topics are looked up: are they still the same?
const TOPICS_INTERVAL: Duration = Duration::from_secs(10);

/// How often assigned partitions that could not begin are tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How often partitions are put on our queue again: one that is stopped and begins anew may have lost its way there.
const FORWARD_INTERVAL: Duration = Duration::from_secs(1);

/// How often Kafka's client says how far behind we are.
const STATISTICS_MS: &str = "2000";

/// How long a leaving member waits for its writes.
const LEAVE_WAIT: Duration = Duration::from_secs(2);

/// Everything an intake thread is given.
pub struct Plan {
    pub kafka: config::Kafka,
    pub names: Names,
    pub intake: config::Intake,
    pub sources: Arc<[Source]>,
    pub hash_key: HashKey,
    /// Ledger partition by lane.
    pub lanes: BTreeMap<Box<str>, i32>,
    /// Tells this thread from its siblings.
    pub member: String,
    pub drain: Drain,
    pub telemetry: Arc<Telemetry>,
    pub gate: Arc<Gate>,
}

/// What a turn has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    Nothing,
    Read,
    /// A frame has reached its size.
    Full,
}

/// Reads until told to stop; returns when everything it has read is written and committed, or its time to drain is over.
pub fn run(plan: Plan, stop: &AtomicBool) -> Result<(), KafkaError> {
    let mut member = Member::join(plan)?;
    while !stop.load(Ordering::Acquire) {
        member.plan.gate.beat();
        member.answer_group();
        member.look_after_topics();
        if let Err(error) = member.turn() {
            // nobody polls any more, and a consumer that waits for an answer to a rebalance would never close
            member.consumer.context().assignments.close();
            return Err(error);
        }
    }
    let end = member.plan.drain.begin();
    member.leave(end);
    Ok(())
}

struct Member {
    plan: Plan,
    reader: Reader,
    consumer: Arc<BaseConsumer<GroupContext>>,
    batches: Batches<GroupContext>,
    producer: BaseProducer<Acks>,
    cycles: Cycles,
    /// A frame has reached its size.
    full: bool,
    sealed_at: Instant,
    committed_at: Instant,
    uncommitted: Cycle,
    /// Assigned, and Kafka has not yet said where to begin.
    waiting: Vec<Partition>,
    looked_at: Instant,
    forwarded_at: Instant,
}

impl Member {
    fn join(plan: Plan) -> Result<Self, KafkaError> {
        let mut consumer_config = group_config(&plan.kafka, &plan.names.intake_group, &plan.member);
        // what is fetched unfolds to ten times as much, and counts as prefetched only then; of one partition at a time, so that
        // it is read while it is still near the processor
        consumer_config.set("fetch.message.max.bytes", "1048576");
        consumer_config.set("fetch.max.bytes", "1048576");
        // by default whoever has prefetched enough doesn't ask for a second, and has long run out by then
        consumer_config.set("fetch.queue.backoff.ms", "5");
        consumer_config.set("statistics.interval.ms", STATISTICS_MS);
        let context = GroupContext::measured(Arc::clone(&plan.telemetry), &plan.member);
        let consumer: BaseConsumer<GroupContext> = consumer_config.create_with_context(context)?;
        let consumer = Arc::new(consumer);
        let producer: BaseProducer<Acks> = producer_config(&plan.kafka).create_with_context(Acks::default())?;
        let topics: Vec<&str> = plan.sources.iter().map(|source| &*source.topic).collect();
        consumer.subscribe(&topics)?;
        plan.gate.set(ReadyState::Starting("joining the intake group"));
        plan.telemetry.name_routes(&route::names(&plan.sources));
        let letter_bytes_max = plan.kafka.topics.message_bytes_max;
        let (sources, hash_key) = (Arc::clone(&plan.sources), plan.hash_key.clone());
        Ok(Self {
            reader: Reader::new(sources, hash_key, &plan.intake, letter_bytes_max, &plan.lanes),
            batches: Batches::of(Arc::clone(&consumer))?,
            consumer,
            producer,
            cycles: Cycles::default(),
            full: false,
            sealed_at: clock::monotonic(),
            committed_at: clock::monotonic(),
            uncommitted: Cycle::default(),
            waiting: Vec::new(),
            looked_at: clock::monotonic(),
            forwarded_at: clock::monotonic(),
            plan,
        })
    }

    /// One turn: read what there is, write what is due, commit what is acknowledged.
    fn turn(&mut self) -> Result<(), KafkaError> {
        self.settle()?;
        self.poll_group();
        let under_way = self.cycles.unacknowledged();
        if under_way >= WRITES_MAX || under_way > 0 && self.reader.holdings.made_bytes() >= MADE_BYTES_MAX {
            thread::park_timeout(ACKNOWLEDGEMENT_PAUSE);
            return Ok(());
        }
        let read = self.read(Duration::ZERO);
        self.full |= read == Progress::Full;
        let age = clock::monotonic().saturating_duration_since(self.sealed_at);
        let due = read == Progress::Nothing || self.full || age >= self.plan.intake.frame_interval;
        // A producer that holds more than it may send turns round and round until it may.
        if due && self.cycles.unacknowledged() == 0 {
            self.seal();
        }
        if read == Progress::Nothing {
            self.wait();
        }
        Ok(())
    }

    /// Nothing to read: wait for a record or an acknowledgement, whichever is due first.
    fn wait(&mut self) {
        let pending = self.cycles.unacknowledged() > 0 || !self.uncommitted.reached.is_empty();
        self.read(if pending { Duration::from_millis(5) } else { IDLE_WAIT });
    }

    /// Reads one batch.
    fn read(&mut self, wait: Duration) -> Progress {
        let batch = self.batches.read(wait);
        let (now, began) = (clock::now(), clock::monotonic());
        let mut progress = if batch.is_empty() { Progress::Nothing } else { Progress::Read };
        let (mut records, mut headers) = (batch.records().peekable(), Vec::new());
        // The first one goes alone, and what it takes is measured.
        let mut together = 1;
        while records.peek().is_some() {
            let read = records.by_ref().take(together);
            let group: Group<_> =
                read.filter_map(|record| record.map_err(|error| self.could_not_read(error)).ok()).collect();
            progress = progress.max(self.take(now, &group, &mut headers));
            if together == 1
                && let (false, Some(format)) = (group.is_empty(), self.reader.decoded())
            {
                decoded(format, clock::monotonic().saturating_duration_since(began));
            }
            together = GROUP_MAX;
        }
        if progress != Progress::Nothing {
            intake_turned(clock::monotonic().saturating_duration_since(began));
        }
        drop(records);
        drop(batch);
        self.begin_again_where_offsets_went_back();
        progress
    }

    /// What the group has to say. Records come by the batches; one that came this way would be lost if it weren't taken.
    fn poll_group(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        match consumer.poll(Duration::ZERO) {
            Some(Ok(record)) => {
                self.take(clock::now(), &[Fetched::polled(&record)], &mut Vec::new());
            }
            Some(Err(error)) => self.could_not_read(error),
            None => {}
        }
    }

    /// Takes records in order; `headers` is used again and again.
    fn take<'b>(&mut self, now: Timestamp, records: &[Fetched<'b>], headers: &mut Vec<Header<'b>>) -> Progress {
        headers.clear();
        let own: Group<_> = records.iter().map(|record| headers_of(record, headers)).collect();
        let arrived = records.iter().zip(own).map(|(record, own)| Arrived {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key(),
            payload: record.payload(),
            headers: &headers[own],
        });
        let Self { reader, producer, cycles, plan, .. } = self;
        reader.take(now, &arrived.collect(), &mut |letter| {
            let mut base: BaseRecord<'_, [u8], [u8], Box<u64>> =
                BaseRecord::with_opaque_to(&plan.names.dead_letters, Box::new(cycles.next_number()));
            base = base.headers(letter.headers);
            base.key = letter.key;
            base.payload = letter.value.as_deref();
            write(producer, base);
        })
    }

    fn could_not_read(&self, error: KafkaError) {
        // such as a member that its group takes for another one: it will never read again, a new one will
        if self.consumer.client().fatal_error().is_some() {
            return self.producer.context().fail(error);
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
            self.plan.gate.set(ReadyState::Starting("a source topic does not exist yet"));
        }
        tracing::warn!(%error, "reading source topics");
    }

    /// Writes all frames; what was read since the last seal is a cycle now.
    fn seal(&mut self) {
        self.sealed_at = clock::monotonic();
        self.full = false;
        let Self { reader, producer, cycles, plan, .. } = self;
        let number = cycles.next_number();
        let sealed = reader.seal(&mut |lane, frame| {
            let record = BaseRecord::with_opaque_to(&plan.names.ledger, Box::new(number))
                .partition(lane.ledger_partition)
                .key(&*lane.name)
                .payload(frame);
            write(producer, record);
        });
        if let Some(cycle) = sealed {
            cycles.seal(cycle);
        }
    }

    /// Takes acknowledgements in and commits what they complete.
    fn settle(&mut self) -> Result<(), KafkaError> {
        self.producer.poll(Duration::ZERO);
        for ack in self.producer.context().take() {
            match ack {
                Ack::Written { cycle } => self.cycles.acknowledge(cycle),
                Ack::Failed(error) => return Err(error),
            }
        }
        if let Some(complete) = self.cycles.complete() {
            self.uncommitted.reached.extend(complete.reached);
            self.uncommitted.report.add(&complete.report);
        }
        let due = clock::monotonic().saturating_duration_since(self.committed_at) >= COMMIT_INTERVAL;
        if due && self.uncommitted.report.records > 0 {
            self.commit(CommitMode::Async);
        }
        Ok(())
    }

    fn commit(&mut self, mode: CommitMode) {
        self.committed_at = clock::monotonic();
        let whole = std::mem::take(&mut self.uncommitted);
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in &whole.reached {
            let added = offsets.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*offset));
            added.unwrap_or_else(|error| tracing::warn!(%error, "an offset that can't be"));
            let footing = self.reader.holdings.footing(partition);
            if let Some(mut element) = offsets.find_partition(&partition.topic, partition.number) {
                element.set_metadata(note(footing.id));
            }
            let at = (partition.topic.clone(), partition.number);
            self.plan.telemetry.process.reached(&self.plan.member, at, footing.newest);
        }
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, mode)
        {
            tracing::debug!(%error, "offsets were not committed; what they cover will be read again");
        }
        self.plan.telemetry.intake(&whole.report);
    }

    /// Answers what the group has decided.
    fn answer_group(&mut self) {
        while let Some(event) = self.consumer.context().assignments.next() {
            match event {
                GroupEvent::Assigned(partitions) => self.assign(partitions),
                GroupEvent::Revoked(partitions) => {
                    self.finish(Deadline::after(LEAVE_WAIT));
                    self.give_up(&partitions);
                }
                GroupEvent::Lost(partitions) => self.give_up(&partitions),
            }
        }
    }

    /// Reads assigned partitions from where they begin, or later, when Kafka says where that is.
    fn assign(&mut self, partitions: Vec<Partition>) {
        let sources = &self.plan.sources;
        let began = starting::begin(&self.consumer, &self.batches, sources, &partitions, &mut self.reader.holdings);
        if let Err(error) = began {
            tracing::warn!(%error, "where source partitions begin is not known yet; trying again");
            self.plan.gate.set(ReadyState::Starting("reading committed offsets"));
            return self.waiting.extend(partitions);
        }
        tracing::info!(partitions = partitions.len(), "source partitions assigned");
        self.plan.gate.set(ReadyState::Ready);
    }

    /// Now and then: partitions that still wait begin, and topics that were created anew begin again.
    fn look_after_topics(&mut self) {
        self.forward();
        let since = clock::monotonic().saturating_duration_since(self.looked_at);
        let interval = if self.waiting.is_empty() { TOPICS_INTERVAL } else { RETRY_INTERVAL };
        if since < interval {
            return;
        }
        self.looked_at = clock::monotonic();
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            return self.assign(waiting);
        }
        match starting::outlived(&self.consumer, &self.reader.holdings) {
            Ok(outlived) if outlived.is_empty() => {}
            Ok(outlived) => self.begin_anew(&outlived),
            Err(error) => tracing::debug!(%error, "topic ids could not be looked up"),
        }
    }

    fn forward(&mut self) {
        if clock::monotonic().saturating_duration_since(self.forwarded_at) < FORWARD_INTERVAL {
            return;
        }
        self.forwarded_at = clock::monotonic();
        for held in self.reader.holdings.iter_mut() {
            if let Err(error) = self.batches.add(&held.partition) {
                tracing::error!(%error, "a source partition is not read");
            }
        }
    }

    fn begin_again_where_offsets_went_back(&mut self) {
        let went_back =
            self.reader.holdings.iter_mut().filter_map(|held| Some((held.partition.clone(), held.went_back_to?)));
        for (partition, offset) in went_back.collect::<Vec<_>>() {
            self.went_back(partition, offset);
        }
    }

    /// Offsets went back. Either the topic is another one by now, or its broker has lost what it had.
    fn went_back(&mut self, partition: Partition, offset: i64) {
        let outlived = starting::outlived(&self.consumer, &self.reader.holdings).unwrap_or_default();
        if outlived.iter().any(|(other, _)| *other == partition) {
            return self.begin_anew(&outlived);
        }
        let footing = self.reader.holdings.footing(&partition);
        sources::offsets_went_back(&partition.topic, partition.number, footing.next.unwrap_or(0), offset);
        self.forget(std::slice::from_ref(&partition));
        let footing = Footing { course: Course::SetByOperator, next: None, ..footing };
        self.begin_again(partition, footing, Offset::Offset(offset));
    }

    fn begin_anew(&mut self, outlived: &[(Partition, TopicId)]) {
        let partitions: Vec<Partition> = outlived.iter().map(|(partition, _)| partition.clone()).collect();
        self.forget(&partitions);
        for (partition, id) in outlived {
            sources::topic_recreated(&partition.topic, partition.number, *id);
            let footing = Footing { id: *id, ..Footing::default() };
            self.begin_again(partition.clone(), footing, Offset::Beginning);
        }
        self.plan.gate.set(ReadyState::Ready);
    }

    /// What was read of them is written; how far that was doesn't count any more.
    fn forget(&mut self, partitions: &[Partition]) {
        self.seal();
        self.cycles.forget(partitions);
        self.uncommitted.reached.retain(|partition, _| !partitions.contains(partition));
    }

    fn begin_again(&mut self, partition: Partition, footing: Footing, from: Offset) {
        if let Err(error) = starting::begin_again(&self.consumer, &self.batches, &partition, from) {
            tracing::error!(%error, topic = &*partition.topic, partition = partition.number, "could not begin again");
        }
        self.reader.hold(partition, footing);
    }

    fn give_up(&mut self, partitions: &[Partition]) {
        self.reader.forget();
        self.cycles.forget(partitions);
        self.uncommitted.reached.retain(|partition, _| !partitions.contains(partition));
        self.waiting.retain(|partition| !partitions.contains(partition));
        self.reader.holdings.forget(partitions);
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.number);
        }
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!(%error, "source partitions were gone already");
        }
        tracing::info!(partitions = partitions.len(), "source partitions given up");
    }

    /// Writes and commits what has been read, as far as the deadline allows.
    fn finish(&mut self, deadline: Deadline) {
        self.seal();
        while self.cycles.unacknowledged() > 0 && !deadline.has_passed() {
            self.producer.poll(Duration::from_millis(10));
            if let Err(error) = self.settle() {
                return tracing::warn!(%error, "frames were not written; what they cover will be read again");
            }
        }
        if self.settle().is_ok() && !self.uncommitted.reached.is_empty() {
            self.commit(CommitMode::Sync);
        }
    }

    fn leave(mut self, end: End) {
        if let End::Drain(deadline) = end {
            self.finish(deadline);
        }
        self.plan.telemetry.process.member_gone(&self.plan.member);
        if self.cycles.unacknowledged() > 0 {
            tracing::warn!("leaving with frames that kafka has not acknowledged; what they cover will be read again");
            self.producer.context().take();
        }
        self.consumer.context().assignments.close();
    }
}

/// Adds a record's headers to those of others, and says where they stand.
fn headers_of<'b>(record: &Fetched<'b>, headers: &mut Vec<Header<'b>>) -> Range<usize> {
    let begin = headers.len();
    record.add_headers(headers);
    begin..headers.len()
}

/// Hands a record to the producer; a full queue waits. What can't be handed over fails like what can't be written, so that
/// its cycle is never committed.
fn write<K, P>(producer: &BaseProducer<Acks>, record: BaseRecord<'_, K, P, Box<u64>>)
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
{
    let mut record = record;
    while let Err((error, back)) = producer.send(record) {
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            return producer.context().fail(error);
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
}
