//! The driver, as the courier does it: fold, take answers, wake, commit, and only then send; checked after every step.
//!
//! A transaction takes a while, is committed or aborted, or its owner dies before or after it took effect. What a step did is
//! compared with what the naive model expects, and what was committed is added up by this side.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use missived::event::frame::LedgerRecord;
use missived::event::{Fingerprint, HashKey, Timestamp};
use missived::lane::{Blocked, Delivery, DeliveryId, Effects, Input, Lane, Policy, StateKey};
use missived::missive::{Addressed, Answer};

use super::committed::{Committed, Entry, Sums};
use super::manners::{Heard, Manners};

/// Ledger records folded in one turn.
const RECORDS_PER_TURN: usize = 256;

/// Steps a lane may ask for at one instant that lead to nothing to be seen: it frees what it has forgotten bit by bit.
const IDLE_WAKES_MAX: u32 = 40;

/// What became of an attempt.
#[derive(Debug)]
pub struct Answered {
    pub id: DeliveryId,
    pub addressed: Addressed,
    /// The channel that it went to; nothing if it never left.
    pub channel: &'static str,
    pub answer: Answer,
}

/// One owner of the lane, until it crashes or leaves.
pub struct Owner {
    lane: Lane,
    effects: Effects,
    strict: bool,
    position: usize,
    /// Its clock, against the world's.
    pub skew: i64,
    /// The latest moment it has seen: the lane's time never runs backwards.
    latest: Timestamp,
    inbox: VecDeque<Answered>,
    manners: Manners,
    before: Sums,
    /// Settled since the last commit.
    delivered: Vec<((Fingerprint, u64), u64)>,
    /// Messages that were worded since the last commit, and how far the ledger was folded then.
    worded: Vec<((Fingerprint, u64), usize)>,
    /// What is committed or about to be committed as being sent, and when the lane gives it up.
    sending: HashMap<DeliveryId, Timestamp>,
    give_up_after: Duration,
    conversations_max: usize,
    keys_max: usize,
    idle_wakes: (Timestamp, u32),
    pub draining: bool,
    pub steps: u64,
}

impl Owner {
    /// Takes over what is committed.
    pub fn take_over(
        now: u64,
        skew: i64,
        policy: &Arc<Policy>,
        key: &HashKey,
        (strict, ids_are_taught): (bool, bool),
        kafka: &Committed,
    ) -> Result<Self, String> {
        let mut lane = Lane::new(Arc::clone(policy), key.clone(), 7);
        for (topic_key, value) in &kafka.records {
            let (name, state_key) = StateKey::parse(topic_key).ok_or_else(|| format!("not a key: {topic_key}"))?;
            if name != lane.name() || state_key.topic_key(name) != *topic_key {
                return Err(format!("{topic_key} reads as {state_key:?} of {name}"));
            }
            lane.restore(state_key, value).map_err(|error| error.to_string())?;
        }
        let mut effects = Effects::default();
        lane.resume(at(now, skew), &mut effects);
        if lane.books().pending() != kafka.pending {
            return Err(format!("{} pending after a restart, {} committed", lane.books().pending(), kafka.pending));
        }
        if lane.in_progress() != kafka.open.len() {
            return Err(format!("{} in progress after a restart, {} committed", lane.in_progress(), kafka.open.len()));
        }
        if kafka.open.is_empty() && lane.blocked() != Blocked::No {
            return Err("blocked after a clean hand-over".to_owned());
        }
        Ok(Self {
            before: Sums::of(&lane),
            lane,
            effects,
            strict,
            position: kafka.position,
            skew,
            inbox: VecDeque::new(),
            manners: Manners::new(policy.limits.retry_after_max, ids_are_taught),
            latest: at(now, skew),
            delivered: Vec::new(),
            worded: Vec::new(),
            sending: kafka.open.clone(),
            give_up_after: policy.limits.request_timeout + policy.limits.skew_margin,
            conversations_max: policy.bounds.conversations_max + policy.channels.len(),
            keys_max: policy.bounds.dedupe_keys_max,
            idle_wakes: (Timestamp::EPOCH, 0),
            draining: false,
            steps: 0,
        })
    }

    pub const fn lane(&self) -> &Lane {
        &self.lane
    }

    pub fn hear(&mut self, answered: Answered) {
        self.inbox.push_back(answered);
    }

    pub fn now(&self, now: u64) -> Timestamp {
        at(now, self.skew)
    }

    /// When to turn again if nothing happens, by the world's clock.
    pub fn next_wakeup(&self, now: u64) -> Option<u64> {
        let wakeup = i64::try_from(self.lane.next_wakeup()?.as_millis()).ok()?;
        Some(u64::try_from(wakeup - self.skew).ok()?.max(now))
    }

    pub fn is_drained(&self) -> bool {
        self.lane.in_progress() == 0 && self.effects.is_empty()
    }

    pub fn is_dirty(&self, kafka: &Committed) -> bool {
        !self.effects.is_empty() || self.position != kafka.position
    }

    pub fn is_urgent(&self) -> bool {
        !self.effects.sends.is_empty() || !self.effects.dead_letters.is_empty()
    }

    /// One turn without its commit; stops after `steps_max` steps, as if the owner had died there. True: it lives on.
    pub fn turn(&mut self, now: u64, ledger: &[Entry], steps_max: u64) -> Result<bool, String> {
        let end = ledger.len().min(self.position + RECORDS_PER_TURN);
        let mut left = steps_max;
        let mut dies = || {
            left = left.saturating_sub(1);
            left == 0
        };
        while self.position < end && !self.draining {
            self.position += 1;
            self.fold(now, &ledger[self.position - 1])?;
            if dies() {
                return Ok(false);
            }
        }
        while let Some(answered) = self.inbox.pop_front() {
            self.answer(now, answered)?;
            if dies() {
                return Ok(false);
            }
        }
        while self.lane.next_wakeup().is_some_and(|wakeup| wakeup <= at(now, self.skew)) {
            self.wake(now)?;
            if dies() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn drain(&mut self, now: u64) -> Result<(), String> {
        self.draining = true;
        self.step(now, Input::Drain).map(|_| ())
    }

    /// A step that nothing asked for must change nothing.
    pub fn spurious(&mut self, now: u64) -> Result<(), String> {
        let wakeup = self.lane.next_wakeup();
        if wakeup.is_some_and(|wakeup| wakeup <= at(now, self.skew)) {
            return Ok(());
        }
        let mut effects = Effects::default();
        self.lane.step(at(now, self.skew), Input::Tick, &mut effects);
        if effects.is_empty() && self.lane.next_wakeup() == wakeup {
            return Ok(());
        }
        let told = format!("{} sends, {:?}", effects.sends.len(), effects.dirty);
        Err(format!(
            "a step that was not due before {wakeup:?} did something: {told}, then due {:?}",
            self.lane.next_wakeup()
        ))
    }

    /// What a transaction would write, as Kafka would hold it.
    pub fn commit_into(&self, kafka: &mut Committed, ledger: &[Entry]) -> Result<(), String> {
        for key in &self.effects.dirty {
            let topic_key = key.topic_key(self.lane.name());
            match self.lane.record(*key) {
                Some(value) => kafka.records.insert(topic_key, value),
                None => kafka.records.remove(&topic_key),
            };
        }
        kafka.position = self.position;
        kafka.sums = kafka.sums.plus(Sums::of(&self.lane).minus(self.before));
        kafka.pending = self.lane.books().pending();
        kafka.dead_letters.extend(self.effects.dead_letters.iter().cloned());
        kafka.worded_at.extend(self.worded.iter().copied());
        kafka.open.clone_from(&self.sending);
        for delivery in &self.effects.sends {
            if self.effects.dirty.contains(&StateKey::Conversation(delivery.id.conversation)) {
                kafka.announced.insert(delivery.id);
            }
        }
        for (id, covers) in &self.delivered {
            if kafka.covers.insert(*id, *covers).is_some() {
                return Err(format!("message {} of {} was settled twice", id.1, id.0));
            }
        }
        let distinct = self.position.checked_sub(1).map_or(0, |last| ledger[last].distinct);
        let accounted = kafka.sums.total() + kafka.pending;
        if distinct == accounted {
            Ok(())
        } else {
            Err(format!(
                "{distinct} observations consumed, {accounted} accounted for: {:?} and {} pending",
                kafka.sums, kafka.pending
            ))
        }
    }

    /// The transaction is committed: what may be sent now.
    pub fn committed(&mut self) -> Vec<Delivery> {
        self.lane.committed();
        self.before = Sums::of(&self.lane);
        self.delivered.clear();
        self.worded.clear();
        std::mem::take(&mut self.effects).sends
    }

    fn fold(&mut self, now: u64, entry: &Entry) -> Result<(), String> {
        let record = LedgerRecord::read(&entry.bytes).map_err(|error| error.to_string())?;
        let input = match &record {
            LedgerRecord::Frame(frame) => Input::Observed(frame),
            LedgerRecord::Lesson(lesson) => Input::Learned(lesson),
            LedgerRecord::Returned(returned) => Input::Returned(returned),
        };
        let pending = self.lane.books().pending();
        let settled = self.step(now, input)?;
        let news = self.lane.books().pending() - pending + settled.dead_lettered;
        let expected = entry.expected;
        let folded = news + settled.duplicate + settled.suppressed;
        if folded != expected.distinct {
            return Err(format!(
                "{folded} folded of {} new positions at ledger offset {}",
                expected.distinct, self.position
            ));
        }
        let verdicts = (news, settled.duplicate, settled.suppressed);
        let wanted = (expected.news, expected.duplicates, expected.suppressed);
        if self.strict && verdicts != wanted {
            return Err(format!(
                "(news, duplicates, suppressed) {verdicts:?}, expected {wanted:?} at ledger offset {}",
                self.position
            ));
        }
        Ok(())
    }

    fn answer(&mut self, now: u64, answered: Answered) -> Result<(), String> {
        let Answered { id, addressed, channel, answer } = answered;
        let (pending, dead_letters) = (self.lane.books().pending(), self.effects.dead_letters.len());
        let sends = self.effects.sends.len();
        let was_awaited = self.sending.remove(&id).is_some();
        let settled = self.step(now, Input::Answered { id, answer: answer.clone() })?;
        let gone = pending - self.lane.books().pending();
        if gone != settled.delivered + settled.dead_lettered || settled.duplicate + settled.suppressed > 0 {
            return Err(format!("{gone} observations are not pending any more, but {settled:?}"));
        }
        if settled.delivered > 0 {
            self.delivered.push(((id.conversation, id.sequence), settled.delivered));
        }
        if !was_awaited {
            return Ok(());
        }
        let dead_letters = self.effects.dead_letters.len() - dead_letters;
        self.manners.hear(self.latest, &Heard { channel, addressed, answer: &answer, dead_letters })?;
        if self.effects.sends.len() > sends { self.manners.may_send(self.latest) } else { Ok(()) }
    }

    fn wake(&mut self, now: u64) -> Result<(), String> {
        let (sends, dirty) = (self.effects.sends.len(), self.effects.dirty.len());
        let wakeup = self.lane.next_wakeup();
        self.step(now, Input::Tick)?;
        let idle =
            sends == self.effects.sends.len() && dirty == self.effects.dirty.len() && wakeup == self.lane.next_wakeup();
        let instant = at(now, self.skew);
        let wakes = if idle && self.idle_wakes.0 == instant { self.idle_wakes.1 + 1 } else { 0 };
        self.idle_wakes = (instant, wakes);
        if wakes > IDLE_WAKES_MAX {
            return Err(format!("it wants to be woken at {wakeup:?} for nothing, again and again"));
        }
        Ok(())
    }

    /// Steps the lane; tells what was settled by it.
    fn step(&mut self, now: u64, input: Input<'_>) -> Result<Sums, String> {
        let before = Sums::of(&self.lane);
        let sends = self.effects.sends.len();
        self.lane.step(at(now, self.skew), input, &mut self.effects);
        self.latest = self.latest.max(at(now, self.skew));
        self.steps += 1;
        if !self.lane.books().balance() {
            return Err(format!("the books don't balance: {:?}", self.lane.books()));
        }
        if self.effects.sends.len() > sends {
            self.manners.may_send(self.latest)?;
            if self.draining {
                return Err("it sends while it drains".to_owned());
            }
        }
        for delivery in &self.effects.sends[sends..] {
            if delivery.id.attempt == 1 {
                self.worded.push(((delivery.id.conversation, delivery.id.sequence), self.position));
            }
            if !self.effects.dirty.contains(&StateKey::Conversation(delivery.id.conversation)) {
                return Err(format!("{:?} is to be sent, but its state is not to be written", delivery.id));
            }
        }
        self.keep_track_of_sends(sends)?;
        self.keeps_its_bounds()?;
        Ok(Sums::of(&self.lane).minus(before))
    }

    /// What the lane believes to be on the wire is what was sent, and was neither answered nor given up.
    fn keep_track_of_sends(&mut self, known: usize) -> Result<(), String> {
        let now = self.latest;
        self.sending.retain(|_, given_up| *given_up > now);
        let new = self.effects.sends[known..].iter();
        self.sending.extend(new.map(|delivery| (delivery.id, delivery.send_before + self.give_up_after)));
        let (theirs, ours) = (self.lane.in_progress(), self.sending.len());
        if theirs == ours {
            Ok(())
        } else {
            Err(format!("{theirs} in progress, but {ours} are on the wire: {:?}", self.sending))
        }
    }

    /// What is kept has a bound, whatever arrives; each channel's roll-up has a place beyond it.
    fn keeps_its_bounds(&self) -> Result<(), String> {
        let (conversations, keys) = (self.lane.conversations(), self.lane.dedupe_keys());
        if conversations <= self.conversations_max && keys <= self.keys_max {
            Ok(())
        } else {
            Err(format!("{conversations} conversations and {keys} identities are kept"))
        }
    }
}

fn at(now: u64, skew: i64) -> Timestamp {
    Timestamp::from_millis(now.saturating_add_signed(skew))
}
