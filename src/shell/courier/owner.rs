//! One owner of one ledger partition: the driver of the lanes that live there.
//!
//! It reads the clock, the ledger and the answers, calls [`Lane::step`], commits what became dirty together with the position
//! in the ledger, and only then lets deliveries out. An aborted transaction leaves everything dirty and unsent, to be written
//! again. It sleeps until the lane wants to be woken, the ledger has something, or an answer comes.
//!
//! A record that can't be read stops the partition, with a clear message: it is never skipped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::BaseProducer;

use super::ledger::{fold, follow};
use super::remarks::Remarks;
use super::sender::{self, Answered, Answers};
use super::takeover::{POSITION_KEY, Restored, resume, take_over};
use super::transaction::{self, Outcome, Write};
use super::{Order, Orders, Plan, RETRY_PAUSE, dead_letter, fallback};
use crate::event::Timestamp;
use crate::lane::{Blocked, Books, Effects, Input, Lane, Tally};
use crate::shell::clock::{self, Deadline};
use crate::shell::decisions;
use crate::shell::drain::End;
use crate::shell::kafka::QuietContext;
use crate::shell::readiness::{Gate, ReadyState};
use crate::telemetry::LaneReport;

/// Ledger records folded in one turn.
const RECORDS_PER_TURN: usize = 256;

/// How long state that nobody waits for may stay uncommitted.
const COMMIT_LINGER: Duration = Duration::from_millis(100);

/// The same at most, when it is much: conversations that change all the time are written once for many changes.
const COMMIT_LINGER_MAX: Duration = Duration::from_secs(1);

/// How much a commit writes before the next one lingers longer, in proportion.
const COMMIT_BYTES: usize = 32 << 10;

/// How often metrics are told.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Conversations that a report names because they wait longest.
const LONGEST_WAITING: usize = 10;

/// The longest sleep: orders, metrics and Kafka's own events are looked at this often.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// How often the ledger is trimmed behind the position.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);

/// Owns a partition until ordered to leave, or until somebody else does.
pub fn own(plan: &Arc<Plan>, partition: i32, gate: Gate, orders: &Orders) {
    if let Some((producer, mut restored)) = take_over(plan, partition, &gate, orders) {
        let effects = resume(&mut restored, clock::now());
        match Owner::new(plan, partition, &gate, producer, restored, effects) {
            Ok(mut owner) => owner.work(orders),
            Err(error) => tracing::error!(%error, partition, "the ledger can't be read"),
        }
    }
    match orders.current() {
        Order::Work => gate.leave(),
        Order::Drain | Order::Abandon => gate.retire(),
    }
}

struct Owner<'p> {
    plan: &'p Arc<Plan>,
    partition: i32,
    gate: &'p Gate,
    producer: BaseProducer<QuietContext>,
    ledger: BaseConsumer<QuietContext>,
    lanes: BTreeMap<Box<str>, Lane>,
    effects: BTreeMap<Box<str>, Effects>,
    /// What each lane had counted when it was last committed: only that counts.
    counted: BTreeMap<Box<str>, Counted>,
    /// The next ledger offset to fold.
    position: Option<i64>,
    committed_position: Option<i64>,
    dirty_since: Option<Instant>,
    /// What the last commit wrote.
    committed_bytes: usize,
    retry_at: Option<Instant>,
    trimmed_at: Instant,
    reported_at: Instant,
    /// Something was committed since then.
    unreported: bool,
    answers: Receiver<Answered>,
    answers_to: SyncSender<Answered>,
    remarks: Remarks,
    /// Renewals of tokens that lanes were told of.
    renewals: u64,
    over: bool,
}

/// What a lane has counted.
#[derive(Clone, Default)]
struct Counted {
    books: Books,
    tally: Tally,
}

impl Counted {
    fn of(lane: &Lane) -> Self {
        Self { books: lane.books().clone(), tally: *lane.tally() }
    }
}

impl<'p> Owner<'p> {
    fn new(
        plan: &'p Arc<Plan>,
        partition: i32,
        gate: &'p Gate,
        producer: BaseProducer<QuietContext>,
        restored: Restored,
        effects: BTreeMap<Box<str>, Effects>,
    ) -> Result<Self, KafkaError> {
        let permits: usize = plan.lanes_on(partition).map(|lane| lane.policy.limits.concurrent).sum();
        let (answers_to, answers) = sync_channel(permits.max(1) * 2);
        let ledger = follow(plan, partition, restored.position)?;
        let counted = restored.lanes.iter().map(|(name, lane)| (name.clone(), Counted::of(lane))).collect();
        Ok(Self {
            plan,
            partition,
            gate,
            producer,
            ledger,
            lanes: restored.lanes,
            effects,
            counted,
            position: restored.position,
            committed_position: restored.position,
            dirty_since: None,
            committed_bytes: 0,
            retry_at: None,
            trimmed_at: clock::monotonic(),
            reported_at: clock::monotonic(),
            unreported: false,
            answers,
            answers_to,
            remarks: Remarks::default(),
            renewals: plan.tokens.renewals(),
            over: false,
        })
    }

    fn work(&mut self, orders: &Orders) {
        self.lanes.keys().for_each(|name| self.plan.telemetry.lane_taken(name));
        self.report();
        let mut drain: Option<Deadline> = None;
        while !self.over {
            self.gate.beat();
            match (orders.current(), drain) {
                (Order::Work, _) => {}
                (Order::Drain, None) => match self.plan.drain.begin() {
                    End::Drain(deadline) => {
                        drain = Some(deadline);
                        self.drain();
                    }
                    End::Kill => break,
                },
                (Order::Drain, Some(deadline)) if self.is_drained() || deadline.has_passed() => break,
                (Order::Drain, Some(_)) => {}
                (Order::Abandon, _) => break,
            }
            self.turn(drain.is_some());
        }
        self.remarks.say();
        // what was committed since the last report counts, however this ends
        self.report_lanes(clock::now());
        for name in self.lanes.keys() {
            self.plan.telemetry.lane_gone(name);
        }
        tracing::info!(partition = self.partition, position = self.committed_position, "left a ledger partition");
    }

    /// The clock is read before answers are taken, and all of them are taken before anything else happens at that instant:
    /// whoever is given up by now had its answer before, and it counts, however long a commit has kept us from it.
    fn turn(&mut self, draining: bool) {
        let now = clock::now();
        self.take_answers(now);
        let more = !draining && self.fold_available(now);
        self.tell_of_tokens(now);
        self.wake_lanes(now);
        self.remarks.say_due();
        self.report_if_due();
        if self.commit_is_due(draining) {
            self.commit();
        }
        if !draining {
            self.trim();
        }
        if !more && !self.over {
            thread::park_timeout(self.sleep());
        }
    }

    fn is_drained(&self) -> bool {
        let quiet = self.lanes.values().all(|lane| lane.in_progress() == 0);
        quiet && self.effects.values().all(Effects::is_empty) && self.position == self.committed_position
    }

    /// Folds what the ledger has; true if there may be more at once.
    fn fold_available(&mut self, now: Timestamp) -> bool {
        for _ in 0..RECORDS_PER_TURN {
            match self.ledger.poll(Duration::ZERO) {
                Some(Ok(record)) => {
                    let folded = fold(self.plan, now, &record, &mut self.lanes, &mut self.effects);
                    if let Err(error) = folded {
                        tracing::error!(%error, partition = self.partition, offset = record.offset(), "the ledger can't be read on");
                        self.gate.set(ReadyState::Halted(format!("ledger: {error}")));
                        self.over = true;
                        return false;
                    }
                    self.position = Some(record.offset() + 1);
                    self.dirty_since.get_or_insert_with(clock::monotonic);
                }
                Some(Err(error)) => tracing::debug!(%error, partition = self.partition, "reading the ledger"),
                None => return false,
            }
        }
        true
    }

    /// Each counts from the moment it came, in that order, and what the lane would have sent at such a moment is too late by
    /// now: so no delivery is given up whose answer is here, and none that never left.
    fn take_answers(&mut self, now: Timestamp) {
        let mut answered: Vec<Answered> = self.answers.try_iter().collect();
        loop {
            answered.extend(self.too_late(now));
            answered.sort_by_key(|answered| std::cmp::Reverse(answered.at));
            let Some(Answered { lane: name, at, id, answer }) = answered.pop() else { return };
            if let (Some(lane), Some(effects)) = (self.lanes.get_mut(&name), self.effects.get_mut(&name)) {
                lane.step(at, Input::Answered { id, answer }, effects);
            }
        }
    }

    /// Deliveries that could not be committed before they had to leave: they never will, and that is no doubt.
    fn too_late(&mut self, now: Timestamp) -> Vec<Answered> {
        let mut late = Vec::new();
        for (name, effects) in &mut self.effects {
            let over = effects.sends.extract_if(.., |delivery| delivery.send_before <= now);
            late.extend(over.map(|delivery| Answered::too_late(name, &delivery)));
        }
        late
    }

    /// A reload has let tokens be read again: a lane whose token Missive has refused tries at once.
    fn tell_of_tokens(&mut self, now: Timestamp) {
        let renewals = self.plan.tokens.renewals();
        if std::mem::replace(&mut self.renewals, renewals) == renewals {
            return;
        }
        for (name, lane) in &mut self.lanes {
            if let Some(effects) = self.effects.get_mut(name) {
                lane.step(now, Input::TokenRenewed, effects);
            }
        }
    }

    fn wake_lanes(&mut self, now: Timestamp) {
        for (name, lane) in &mut self.lanes {
            if lane.next_wakeup().is_some_and(|at| at <= now)
                && let Some(effects) = self.effects.get_mut(name)
            {
                lane.step(now, Input::Tick, effects);
            }
        }
    }

    fn drain(&mut self) {
        let now = clock::now();
        self.take_answers(now);
        for (name, lane) in &mut self.lanes {
            if let Some(effects) = self.effects.get_mut(name) {
                lane.step(now, Input::Drain, effects);
            }
        }
    }

    fn sleep(&self) -> Duration {
        let now = clock::now();
        let wakeup = self.lanes.values().filter_map(Lane::next_wakeup).min();
        let until_wakeup = wakeup.map_or(SLEEP_MAX, |at| at.since(now).max(Duration::from_millis(1)));
        let until_commit = self.dirty_since.map_or(SLEEP_MAX, |since| {
            self.linger().saturating_sub(clock::monotonic().saturating_duration_since(since))
        });
        let until_report = if self.unreported { REPORT_INTERVAL } else { SLEEP_MAX };
        until_wakeup.min(until_commit).min(until_report).min(SLEEP_MAX)
    }

    /// Sends and dead letters wait for nothing; other state lingers a little, so that a flood shares transactions.
    fn commit_is_due(&mut self, draining: bool) -> bool {
        let now = clock::monotonic();
        if self.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        let dirty = self.position != self.committed_position || !self.effects.values().all(Effects::is_empty);
        if !dirty {
            self.dirty_since = None;
            return false;
        }
        let since = *self.dirty_since.get_or_insert(now);
        let urgent = self.effects.values().any(|effects| !effects.sends.is_empty() || !effects.dead_letters.is_empty());
        urgent || draining || now.saturating_duration_since(since) >= self.linger()
    }

    fn linger(&self) -> Duration {
        let times = u32::try_from(self.committed_bytes / COMMIT_BYTES).unwrap_or(u32::MAX);
        COMMIT_LINGER.saturating_mul(times.max(1)).min(COMMIT_LINGER_MAX)
    }

    fn commit(&mut self) {
        let writes = self.writes();
        match transaction::commit(&self.producer, &writes) {
            Outcome::Committed => {
                self.committed_bytes = writes.iter().filter_map(|write| write.value.as_ref()).map(Vec::len).sum();
                self.committed();
            }
            Outcome::Aborted(error) => {
                tracing::warn!(%error, partition = self.partition, "a transaction was aborted; its state stays dirty");
                self.retry_at = Some(clock::monotonic() + RETRY_PAUSE);
            }
            Outcome::Over(error) => {
                tracing::warn!(%error, partition = self.partition, "this owner is over");
                self.gate.set(ReadyState::Starting("an owner ended; another one takes over soon"));
                self.over = true;
            }
        }
    }

    fn writes(&self) -> Vec<Write<'p>> {
        let (names, now) = (&self.plan.names, clock::now());
        let mut writes = Vec::new();
        for (name, effects) in &self.effects {
            let Some(lane) = self.lanes.get(name) else { continue };
            let state = effects.dirty.iter().map(|key| Write {
                topic: &names.state,
                partition: self.partition,
                key: key.topic_key(name).into_bytes(),
                value: lane.record(*key),
                headers: None,
            });
            writes.extend(state);
            let bytes_max = self.plan.kafka.topics.message_bytes_max;
            let letter = |letter| dead_letter::write(&names.dead_letters, name, letter, now, bytes_max);
            writes.extend(effects.dead_letters.iter().map(letter));
            writes.extend(self.plan.ways.topic.iter().flat_map(|topic| {
                effects.fallbacks.iter().map(|news| Write {
                    topic,
                    partition: transaction::ANY_PARTITION,
                    key: news.routing_key.as_bytes().to_vec(),
                    value: Some(fallback::written(name, news)),
                    headers: None,
                })
            }));
            let told = decisions::records(name, &effects.decisions, effects.decisions_left_out);
            writes.extend(told.into_iter().map(|value| Write {
                topic: &names.decisions,
                partition: self.partition,
                key: name.as_bytes().to_vec(),
                value: Some(value),
                headers: None,
            }));
        }
        if let Some(position) = self.position {
            writes.push(Write {
                topic: &names.state,
                partition: self.partition,
                key: POSITION_KEY.into(),
                value: Some(position.to_string().into_bytes()),
                headers: None,
            });
        }
        writes
    }

    /// The state is in Kafka: now deliveries may leave, unless that took too long.
    fn committed(&mut self) {
        self.committed_position = self.position;
        self.dirty_since = None;
        self.retry_at = None;
        let now = clock::now();
        for (name, effects) in &mut self.effects {
            let effects = std::mem::take(effects);
            let Some(lane) = self.lanes.get_mut(name) else { continue };
            lane.committed();
            self.counted.insert(name.clone(), Counted::of(lane));
            self.remarks.hear(name, effects.notices);
            effects.fallbacks.iter().for_each(|news| self.plan.ways.hand_over(name, news));
            for delivery in effects.sends {
                if delivery.send_before <= now {
                    // the queue holds one answer for every permit, and this delivery has one
                    let _ = self.answers_to.try_send(Answered::too_late(name, &delivery));
                    continue;
                }
                let answers = Answers { lane: name.clone(), queue: self.answers_to.clone(), owner: thread::current() };
                let timeout = self.plan.lanes.iter().find(|lane| lane.policy.lane == *name);
                let timeout = timeout.map_or(Duration::from_secs(10), |lane| lane.policy.limits.request_timeout);
                let (client, tokens) = (Arc::clone(&self.plan.client), self.plan.tokens.clone());
                self.plan.runtime.spawn(sender::send(client, tokens, delivery, timeout, answers));
            }
        }
        self.unreported = true;
        self.report_if_due();
    }

    fn report_if_due(&mut self) {
        if self.unreported && clock::monotonic().saturating_duration_since(self.reported_at) >= REPORT_INTERVAL {
            self.report();
        }
    }

    fn report(&mut self) {
        self.reported_at = clock::monotonic();
        self.unreported = false;
        let now = clock::now();
        let halted = self.lanes.iter().find(|(_, lane)| matches!(lane.blocked(), Blocked::Halted { .. }));
        self.gate.set(match halted {
            Some((name, _)) => ReadyState::Halted(format!("missive refuses the token of lane {name}")),
            None => ReadyState::Ready,
        });
        self.report_lanes(now);
    }

    fn report_lanes(&self, now: Timestamp) {
        for (name, lane) in &self.lanes {
            let Counted { books, tally } = self.counted.get(name).cloned().unwrap_or_default();
            let report = LaneReport {
                at: now,
                books,
                tally,
                budget: lane.budget(now),
                blocked: lane.blocked(),
                halted_channels: lane.halted_channels().count(),
                in_progress: lane.in_progress(),
                conversations: lane.conversations(),
                dedupe_keys: lane.dedupe_keys(),
                dedupe_evicted: lane.dedupe_evicted(),
                untold: lane.untold(LONGEST_WAITING),
                hearts: lane.hearts(),
            };
            self.plan.telemetry.lane(name, report);
        }
    }

    /// Deletes what lies behind the committed position from the ledger, now and then, without waiting for it.
    fn trim(&mut self) {
        let now = clock::monotonic();
        let Some(position) = self.committed_position else { return };
        if now.saturating_duration_since(self.trimmed_at) < TRIM_INTERVAL {
            return;
        }
        self.trimmed_at = now;
        let (plan, partition) = (Arc::clone(self.plan), self.partition);
        self.plan.runtime.spawn(async move {
            match crate::shell::kafka::trim(&plan.kafka, &plan.names.ledger, partition, position).await {
                Ok(()) => tracing::debug!(partition, position, "trimmed the ledger"),
                Err(error) => tracing::debug!(%error, partition, "the ledger was not trimmed"),
            }
        });
    }
}
