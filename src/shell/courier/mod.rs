//! The courier: owns ledger partitions, drives their lanes, posts to Missive.
//!
//! Membership and data are kept apart. One group consumer per instance is a member of the lane group and fetches nothing: it
//! only says which ledger partitions are ours ([`run`]). Each partition that is ours has an *owner*: a thread with a plain
//! consumer and a transactional producer of its own (`owner`). So a rebalance never waits inside a callback, a partition that
//! stays is not disturbed, and a throttled lane can't stop the polling that keeps the membership.
//!
//! A revoked partition is given back when its owner has drained: nothing more is sent, answers come in, the last state is
//! committed. One that was lost drains as well, because often nobody else has it yet, and each answer that can still be
//! committed is a doubt less; where there is a successor, its transactional id ends the drain with the first commit.

pub mod client;
mod dead_letter;
mod fallback;
mod ledger;
mod owner;
mod remarks;
mod sender;
mod takeover;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::clock::{self, Deadline};
use super::drain::{Drain, End};
use super::kafka::{GroupContext, GroupEvent, Installation, Names, Partition, group_config};
use super::readiness::{Gate, Readiness, ReadyState};
use crate::config;
use crate::lane::Lane;
use crate::telemetry::Telemetry;
use client::Client;

pub use fallback::Ways;
pub use sender::Tokens;

/// How long an owner rests before it tries again what failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Everything the courier is given.
pub struct Plan {
    pub kafka: config::Kafka,
    pub names: Names,
    pub installation: Installation,
    pub lanes: Vec<config::Lane>,
    pub client: Arc<Client>,
    pub tokens: Tokens,
    /// Where critical news goes while a lane is halted.
    pub ways: Ways,
    pub runtime: tokio::runtime::Handle,
    pub seed: u64,
    pub drain: Drain,
    pub telemetry: Arc<Telemetry>,
    pub gate: Arc<Gate>,
    /// Where each owner has a say of its own: one that can't go on is not outvoted by one that can.
    pub readiness: Arc<Readiness>,
}

impl Plan {
    /// The lanes that live on a partition.
    fn lanes_on(&self, partition: i32) -> impl Iterator<Item = &config::Lane> {
        let lives_here = move |lane: &&config::Lane| self.installation.lanes.get(&lane.policy.lane) == Some(&partition);
        self.lanes.iter().filter(lives_here)
    }

    /// The say of a partition's owner in whether this instance is ready.
    fn gate_of(&self, partition: i32) -> Gate {
        self.readiness.component(format!("lanes of partition {partition}"))
    }

    /// A lane without a past. One that this config doesn't know has no routes and no channels: it holds what it hears.
    fn new_lane(&self, name: &str) -> Lane {
        let known = self.lanes.iter().find(|lane| &*lane.policy.lane == name).map(|lane| lane.policy.clone());
        let policy = known.or_else(|| self.lanes.first().map(|lane| lane.policy.without_routes(name)));
        let policy = policy.expect("a config without lanes has no owners");
        Lane::new(Arc::new(policy), self.installation.hash_key.clone(), self.seed)
    }
}

/// What an owner is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Work,
    /// Send nothing more, let answers come in, commit, leave.
    Drain,
    /// Leave at once.
    Abandon,
}

/// How an owner is told.
#[derive(Debug, Default)]
struct Orders(AtomicU8);

impl Orders {
    fn current(&self) -> Order {
        match self.0.load(Ordering::Acquire) {
            0 => Order::Work,
            1 => Order::Drain,
            _ => Order::Abandon,
        }
    }

    /// Orders only become stricter.
    fn give(&self, order: Order) {
        self.0.fetch_max(order as u8, Ordering::AcqRel);
    }
}

/// A thread that owns a partition.
struct Owned {
    orders: Arc<Orders>,
    thread: JoinHandle<()>,
}

impl Owned {
    fn order(&self, order: Order) {
        self.orders.give(order);
        self.thread.thread().unpark();
    }
}

/// Takes part in the lane group until told to stop; returns when every owner has drained, or the deadline has passed.
pub fn run(plan: Arc<Plan>, stop: &AtomicBool) -> Result<(), KafkaError> {
    let consumer: BaseConsumer<GroupContext> =
        group_config(&plan.kafka, &plan.names.lane_group, "lane").create_with_context(GroupContext::default())?;
    consumer.subscribe(&[&plan.names.ledger])?;
    plan.gate.set(ReadyState::Starting("joining the lane group"));
    let mut members = Membership {
        plan,
        consumer,
        owned: BTreeMap::new(),
        resting: BTreeMap::new(),
        leaving: BTreeMap::new(),
        revoked: Vec::new(),
    };
    while !stop.load(Ordering::Acquire) {
        if let Err(error) = members.turn() {
            members.abandon();
            return Err(error);
        }
    }
    members.leave();
    Ok(())
}

struct Membership {
    plan: Arc<Plan>,
    consumer: BaseConsumer<GroupContext>,
    owned: BTreeMap<i32, Owned>,
    /// Still ours, but their owners ended by themselves; until when they rest.
    resting: BTreeMap<i32, Deadline>,
    /// Asked to leave; what was revoked is given back when all of them have.
    leaving: BTreeMap<i32, Owned>,
    /// To be given back in one answer: the group takes the first answer for all of a revocation.
    revoked: Vec<i32>,
}

impl Membership {
    /// An error is the end of this member: its group takes it for another one, and a new one must join.
    fn turn(&mut self) -> Result<(), KafkaError> {
        self.plan.gate.beat();
        match self.consumer.poll(Duration::from_millis(50)) {
            Some(Err(error)) if self.consumer.client().fatal_error().is_some() => return Err(error),
            Some(Err(error)) => tracing::debug!(%error, "lane group"),
            Some(Ok(_)) | None => {}
        }
        while let Some(event) = self.consumer.context().assignments.next() {
            match event {
                GroupEvent::Assigned(partitions) => self.assign(&partitions),
                GroupEvent::Revoked(partitions) => self.release(&partitions),
                GroupEvent::Lost(partitions) => {
                    self.plan.gate.set(ReadyState::Starting("joining the lane group again"));
                    self.release(&partitions);
                }
            }
        }
        self.give_back();
        self.restart_ended();
        Ok(())
    }

    fn assign(&mut self, partitions: &[Partition]) {
        let list = self.list(partitions.iter().map(|partition| partition.number));
        // Paused for good: this consumer is a member, it never fetches.
        let answered = self.consumer.incremental_assign(&list).and_then(|()| self.consumer.pause(&list));
        if let Err(error) = answered {
            tracing::error!(%error, "ledger partitions could not be assigned");
        }
        tracing::info!(partitions = partitions.len(), "ledger partitions assigned");
        if self.owned.is_empty() && self.leaving.is_empty() {
            clock::catch_up();
        }
        for partition in partitions {
            self.start(partition.number);
        }
        self.plan.gate.set(ReadyState::Ready);
    }

    /// An owner for a partition on which lanes live; the others need none.
    fn start(&mut self, partition: i32) {
        if self.plan.lanes_on(partition).next().is_none() {
            return;
        }
        let orders = Arc::new(Orders::default());
        let (plan, told) = (Arc::clone(&self.plan), Arc::clone(&orders));
        let gate = plan.gate_of(partition);
        let work = move || owner::own(&plan, partition, gate, &told);
        match thread::Builder::new().name(format!("owner-{partition}")).spawn(work) {
            Ok(thread) => {
                self.owned.insert(partition, Owned { orders, thread });
            }
            Err(error) => tracing::error!(%error, partition, "no thread for an owner"),
        }
    }

    fn release(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.revoked.push(partition.number);
            if self.resting.remove(&partition.number).is_some() {
                self.plan.gate_of(partition.number).retire();
            }
            if let Some(owned) = self.owned.remove(&partition.number) {
                self.leaving.insert(partition.number, owned);
            }
            if let Some(leaving) = self.leaving.get(&partition.number) {
                leaving.order(Order::Drain);
            }
        }
    }

    fn give_back(&mut self) {
        self.leaving.retain(|_, owned| !owned.thread.is_finished());
        if !self.leaving.is_empty() || self.revoked.is_empty() {
            return;
        }
        let revoked = std::mem::take(&mut self.revoked);
        let list = self.list(revoked.iter().copied());
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!(%error, "ledger partitions were gone already");
        }
        tracing::info!(partitions = revoked.len(), "ledger partitions given back");
    }

    /// An owner that ended by itself starts over with a fresh takeover, but not at once: if it was fenced because the group
    /// has given its partition to somebody else, the next heartbeats say so, and fencing that one in turn would be a brawl.
    fn restart_ended(&mut self) {
        let ended = |(partition, owned): (&i32, &Owned)| owned.thread.is_finished().then_some(*partition);
        let ended: Vec<i32> = self.owned.iter().filter_map(ended).collect();
        for partition in ended {
            self.owned.remove(&partition);
            self.resting.insert(partition, Deadline::after(self.plan.kafka.session_timeout / 2));
        }
        let rested = |(partition, rest): (&i32, &Deadline)| rest.has_passed().then_some(*partition);
        let rested: Vec<i32> = self.resting.iter().filter_map(rested).collect();
        for partition in rested {
            self.resting.remove(&partition);
            self.start(partition);
        }
    }

    fn list(&self, partitions: impl IntoIterator<Item = i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.plan.names.ledger, partition);
        }
        list
    }

    fn leave(mut self) {
        let End::Drain(deadline) = self.plan.drain.begin() else { return self.abandon() };
        self.order_all(Order::Drain);
        while !self.leaving.is_empty() && !deadline.has_passed() {
            if self.turn().is_err() {
                break;
            }
        }
        self.order_all(Order::Abandon);
        self.consumer.context().assignments.close();
    }

    /// This member is over, and others may own its partitions already. Returns when nobody of ours acts any more.
    fn abandon(mut self) {
        self.plan.gate.set(ReadyState::Starting("joining the lane group again"));
        self.order_all(Order::Abandon);
        self.consumer.context().assignments.close();
        for (partition, owned) in std::mem::take(&mut self.leaving) {
            if owned.thread.join().is_err() {
                tracing::error!(partition, "an owner panicked");
            }
        }
    }

    fn order_all(&mut self, order: Order) {
        for partition in std::mem::take(&mut self.resting).into_keys() {
            self.plan.gate_of(partition).retire();
        }
        self.leaving.append(&mut self.owned);
        for owned in self.leaving.values() {
            owned.order(order);
        }
    }
}
