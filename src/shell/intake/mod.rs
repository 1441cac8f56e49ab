//! The intake: source topics in, frames on the ledger out.
//!
//! Any number of threads and instances share one consumer group. Each thread reads, decodes in place, routes, leaves out what
//! it has just sent, and writes frames; what it can't handle becomes a dead letter. Offsets are committed after every write
//! of their cycle has been acknowledged, never before: at least once, and the lane's marks make it exactly once. Frames are
//! sealed at once when nothing more is waiting to be read, and otherwise when they are large or old enough.
//!
//! Bounds: a record's size, a frame's size, the number of writes under way (`WRITES_MAX`); at that number reading stops
//! until Kafka has caught up.

mod cache;
mod cycle;
mod dead_letter;
mod reading;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::clock::{self, Deadline};
use super::kafka::{GroupContext, GroupEvent, Names, Partition, group_config, producer_config};
use super::readiness::{Gate, ReadyState};
use crate::config;
use crate::event::{Decoder, FrameBuilder, HashKey};
use crate::route::{self, RouteHash, Source, Start};
use crate::telemetry::Telemetry;
use cache::Cache;
use cycle::{Ack, Acks, Cycle, Cycles};
use reading::{Next, Reading, write};
use whole::Whole;

/// Writes under way at most; then reading waits.
const WRITES_MAX: usize = 256;

/// How often offsets are committed while there is something to commit.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// How long a poll waits when there is nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(100);

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
    pub drain_deadline: Duration,
    pub telemetry: Arc<Telemetry>,
    pub gate: Arc<Gate>,
}

/// Reads until told to stop; returns when everything it has read is written and committed, or the deadline has passed.
pub fn run(plan: Plan, stop: &AtomicBool) -> Result<(), KafkaError> {
    let mut member = Member::join(plan)?;
    while !stop.load(Ordering::Acquire) {
        member.answer_group();
        member.turn()?;
    }
    let deadline = Deadline::after(member.plan.drain_deadline);
    member.leave(deadline);
    Ok(())
}

/// Frames in the making: of one source partition for one lane, in order; all but the last are full.
type Frames = BTreeMap<(Partition, Box<str>), Vec<FrameBuilder>>;

/// A rule with its hash and its lane's ledger partition.
struct Planned {
    hash: RouteHash,
    ledger_partition: i32,
    /// Its place among all routes.
    hits: usize,
}

struct Member {
    plan: Plan,
    rules: Vec<Vec<Planned>>,
    consumer: BaseConsumer<GroupContext>,
    producer: BaseProducer<Acks>,
    decoder: Decoder,
    cache: Cache,
    whole: Whole,
    frames: Frames,
    /// What is being read now.
    cycle: Cycle,
    cycles: Cycles,
    sealed_at: Instant,
    committed_at: Instant,
    uncommitted: Cycle,
    buffer: Vec<u8>,
}

impl Member {
    fn join(plan: Plan) -> Result<Self, KafkaError> {
        let mut consumer_config = group_config(&plan.kafka, &plan.names.intake_group, &plan.member);
        consumer_config.set("fetch.message.max.bytes", "4194304");
        let consumer: BaseConsumer<GroupContext> = consumer_config.create_with_context(GroupContext::default())?;
        let producer: BaseProducer<Acks> = producer_config(&plan.kafka).create_with_context(Acks::default())?;
        let topics: Vec<&str> = plan.sources.iter().map(|source| &*source.topic).collect();
        consumer.subscribe(&topics)?;
        plan.gate.set(ReadyState::Starting("joining the intake group"));
        let routes = route::names(&plan.sources);
        plan.telemetry.name_routes(&routes);
        let planned = |source: &Source| {
            let planned = |rule: &crate::route::Rule| Planned {
                hash: rule.hash(&plan.hash_key),
                ledger_partition: plan.lanes.get(&rule.lane).copied().unwrap_or(0),
                hits: routes.iter().position(|name| *name == rule.name).expect("its name is among them"),
            };
            source.rules.iter().map(planned).collect()
        };
        Ok(Self {
            rules: plan.sources.iter().map(planned).collect(),
            consumer,
            producer,
            decoder: Decoder::new(plan.hash_key.clone()),
            whole: Whole::default(),
            cache: Cache::new(plan.intake.dedupe_horizon, plan.intake.dedupe_keys_max),
            frames: Frames::new(),
            cycle: Cycle::default(),
            cycles: Cycles::default(),
            sealed_at: clock::monotonic(),
            committed_at: clock::monotonic(),
            uncommitted: Cycle::default(),
            buffer: Vec::new(),
            plan,
        })
    }

    /// One turn: read what there is, write what is due, commit what is acknowledged.
    fn turn(&mut self) -> Result<(), KafkaError> {
        self.settle()?;
        if self.cycles.unacknowledged() >= WRITES_MAX {
            self.producer.poll(Duration::from_millis(5));
            return Ok(());
        }
        let idle = !self.read_available();
        let age = clock::monotonic().saturating_duration_since(self.sealed_at);
        if idle || age >= self.plan.intake.frame_interval {
            self.seal();
        }
        if idle {
            self.wait();
        }
        Ok(())
    }

    /// Reads until a frame is full or nothing more is there; false if there was nothing at all.
    fn read_available(&mut self) -> bool {
        let mut read = false;
        for _ in 0..1_000 {
            match self.next_record(Duration::ZERO) {
                Next::Read => read = true,
                Next::Full => return true,
                Next::Nothing => return read,
            }
        }
        true
    }

    /// Nothing to read: wait for a record or an acknowledgement, whichever is due first.
    fn wait(&mut self) {
        let pending = self.cycles.unacknowledged() > 0 || !self.uncommitted.reached.is_empty();
        let wait = if pending { Duration::from_millis(5) } else { IDLE_WAIT };
        self.next_record(wait);
    }

    fn next_record(&mut self, wait: Duration) -> Next {
        let now = clock::now();
        let reading = Reading {
            plan: &self.plan,
            rules: &self.rules,
            producer: &self.producer,
            decoder: &mut self.decoder,
            cache: &mut self.cache,
            whole: &mut self.whole,
            key: &self.plan.hash_key,
            frames: &mut self.frames,
            cycle: &mut self.cycle,
            number: self.cycles.next_number(),
            full: false,
        };
        match self.consumer.poll(wait) {
            Some(Ok(record)) => reading.take(now, &record),
            Some(Err(error)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                    self.plan.gate.set(ReadyState::Starting("a source topic does not exist yet"));
                }
                tracing::warn!(%error, "reading source topics");
                Next::Nothing
            }
            None => Next::Nothing,
        }
    }

    /// Writes all frames; what was read since the last seal is a cycle now.
    fn seal(&mut self) {
        self.sealed_at = clock::monotonic();
        if self.cycle.reached.is_empty() {
            return;
        }
        let number = self.cycles.next_number();
        for ((partition, lane), frames) in std::mem::take(&mut self.frames) {
            for mut frame in frames {
                frame.seal(&lane, &partition.topic, partition.number, &mut self.buffer);
                let ledger_partition = self.plan.lanes.get(&lane).copied().unwrap_or(0);
                let record = BaseRecord::with_opaque_to(&self.plan.names.ledger, Box::new(number))
                    .partition(ledger_partition)
                    .key(&*lane)
                    .payload(&self.buffer);
                write(&self.producer, record);
                self.cycle.writes += 1;
                self.cycle.report.frames += 1;
                self.cycle.report.frame_bytes += self.buffer.len() as u64;
            }
        }
        self.cycles.seal(std::mem::take(&mut self.cycle));
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
                GroupEvent::Assigned(partitions) => self.assign(&partitions),
                GroupEvent::Revoked(partitions) => {
                    self.finish(Deadline::after(LEAVE_WAIT));
                    self.give_up(&partitions);
                }
                GroupEvent::Lost(partitions) => self.give_up(&partitions),
            }
        }
    }

    fn assign(&mut self, partitions: &[Partition]) {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.number);
        }
        let start = self.start(&list).unwrap_or_else(|error| {
            tracing::warn!(%error, "committed offsets are not known yet; starting where the group's setting says");
            list
        });
        if let Err(error) = self.consumer.incremental_assign(&start) {
            tracing::error!(%error, "source partitions could not be assigned");
        }
        tracing::info!(partitions = partitions.len(), "source partitions assigned");
        self.plan.gate.set(ReadyState::Ready);
    }

    /// Where to read on; where nothing is committed, where the source wants to start. A start at the end is committed at
    /// once, so that nothing that arrives before the first commit can be skipped by a restart.
    fn start(&self, list: &TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
        let timeout = Duration::from_secs(10);
        let mut committed = self.consumer.committed_offsets(list.clone(), timeout)?;
        let mut pinned = TopicPartitionList::new();
        for element in list.elements() {
            let (topic, number) = (element.topic(), element.partition());
            let known = committed
                .find_partition(topic, number)
                .is_some_and(|found| matches!(found.offset(), Offset::Offset(_)));
            if known {
                continue;
            }
            let source = self.plan.sources.iter().find(|source| &*source.topic == topic);
            let (low, high) = self.consumer.fetch_watermarks(topic, number, timeout)?;
            let from = match source.map(|source| source.start) {
                Some(Start::Latest) => high,
                Some(Start::Earliest) | None => low,
            };
            committed.set_partition_offset(topic, number, Offset::Offset(from))?;
            pinned.add_partition_offset(topic, number, Offset::Offset(from))?;
        }
        if pinned.count() > 0 {
            self.consumer.commit(&pinned, CommitMode::Sync)?;
        }
        Ok(committed)
    }

    fn give_up(&mut self, partitions: &[Partition]) {
        self.cache.clear();
        self.frames.retain(|(partition, _), _| !partitions.contains(partition));
        self.cycle.reached.retain(|partition, _| !partitions.contains(partition));
        self.cycles.forget(partitions);
        self.uncommitted.reached.retain(|partition, _| !partitions.contains(partition));
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

    fn leave(mut self, deadline: Deadline) {
        self.finish(deadline);
        if self.cycles.unacknowledged() > 0 {
            tracing::warn!("leaving with frames that kafka has not acknowledged; what they cover will be read again");
            self.producer.context().take();
        }
        self.consumer.context().assignments.close();
    }
}
