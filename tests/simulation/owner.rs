//! The driver, as the courier does it: fold, take answers, wake, commit, and only then send; checked after every step.
//!
//! A transaction takes a while, is committed or aborted, or its owner dies before or after it took effect. What a step did is
//! compared with what the naive model expects, and what was committed is added up by this side.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use missived::event::frame::LedgerRecord;
use missived::event::{Fingerprint, HashKey, Timestamp};
use missived::lane::{Blocked, Delivery, DeliveryId, Effects, Input, Lane, Policy, Request, StateKey};
use missived::missive::answer::Finding;
use missived::missive::{Addressed, Answer, Verdict};

use super::committed::{Committed, Delivered, Entry, Pending, Sums, Worded};
use super::manners::{Asked, Heard, Manners, Rules};
use super::spoken::Letter;

/// Ledger records folded in one turn.
const RECORDS_PER_TURN: usize = 256;

/// Steps a lane may ask for at one instant that lead to nothing to be seen: it frees what it has forgotten bit by bit.
const IDLE_WAKES_MAX: u32 = 40;

/// What became of an attempt.
#[derive(Debug)]
pub struct Answered {
    pub id: DeliveryId,
    /// How it was addressed, or what the page tells.
    pub asked: Wanted,
    pub answer: Answer,
}

/// What an attempt was to bring.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    Delivery(Addressed),
    Page(Finding),
}

/// The channel of every conversation there will ever be.
pub type Channels = Rc<HashMap<Fingerprint, &'static str>>;

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
    channels: Channels,
    rules: Rules,
    manners: Manners,
    /// Messages that are being looked up, and how many look-ups have failed.
    doubts: HashMap<(Fingerprint, u64), u8>,
    /// Messages that were worded and neither delivered nor given up.
    undone: HashSet<(Fingerprint, u64)>,
    /// Found by a look-up since the last commit.
    found: Vec<(Fingerprint, u64)>,
    before: Sums,
    /// Settled since the last commit.
    delivered: Vec<((Fingerprint, u64), Delivered)>,
    /// Messages that were worded since the last commit, and how far the ledger was folded then.
    worded: Vec<((Fingerprint, u64), Worded)>,
    /// What is committed or about to be committed as being sent, and when the lane gives it up.
    sending: HashMap<DeliveryId, Pending>,
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
        channels: &Channels,
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
        let waits = kafka.manners.waits_until().max(kafka.quiet_at);
        if kafka.open.is_empty()
            && matches!(lane.blocked(), Blocked::Until(at) | Blocked::Halted { retry_at: at, .. } if at > waits)
        {
            return Err(format!(
                "{:?} after a clean hand-over: nobody asked it to wait beyond {waits:?}",
                lane.blocked()
            ));
        }
        Ok(Self {
            before: Sums::of(&lane),
            lane,
            effects,
            strict,
            position: kafka.position,
            skew,
            inbox: VecDeque::new(),
            channels: Rc::clone(channels),
            rules: Rules {
                retry_after_max: policy.limits.retry_after_max,
                per_quarter_hour: u32::try_from(policy.limits.per_quarter_hour).expect("small"),
                on_doubt: policy.on_doubt,
                ids_are_taught,
            },
            manners: kafka.manners.clone(),
            doubts: kafka.doubts.clone(),
            undone: kafka.undone.clone(),
            found: Vec::new(),
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

    /// Nothing is left to say, of whatever observations or of none.
    pub fn has_told_all(&self) -> bool {
        self.undone.is_empty() && self.lane.untold(0).oldest.is_empty()
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
        kafka.worded.extend(self.worded.iter().cloned());
        kafka.open.clone_from(&self.sending);
        kafka.quiet_at = self.sending.values().map(|pending| pending.given_up_at).fold(kafka.quiet_at, Timestamp::max);
        kafka.manners.clone_from(&self.manners);
        kafka.doubts.clone_from(&self.doubts);
        kafka.undone.clone_from(&self.undone);
        kafka.found.extend(self.found.iter().copied());
        for delivery in &self.effects.sends {
            if self.effects.dirty.contains(&StateKey::Conversation(delivery.id.conversation)) {
                kafka.announced.insert(delivery.id);
            }
        }
        for (id, delivered) in &self.delivered {
            if kafka.delivered.insert(*id, *delivered).is_some() {
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
        self.found.clear();
        std::mem::take(&mut self.effects).sends
    }

    fn fold(&mut self, now: u64, entry: &Entry) -> Result<(), String> {
        let record = LedgerRecord::read(&entry.bytes).map_err(|error| error.to_string())?;
        let input = match &record {
            LedgerRecord::Frame(frame) => Input::Observed(frame),
            LedgerRecord::Lessons(lessons) => match &lessons[..] {
                [lesson] => Input::Learned(lesson),
                _ => return Err("people do one thing at a time".to_owned()),
            },
            LedgerRecord::Returned(returned) => Input::Returned(returned),
        };
        let (pending, sends) = (self.lane.books().pending(), self.effects.sends.len());
        let settled = self.step(now, input)?;
        self.may_send(sends)?;
        let news = self.lane.books().pending() + settled.dead_lettered - pending;
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
        let Answered { id, asked, answer } = answered;
        let (pending, dead_letters) = (self.lane.books().pending(), self.effects.dead_letters.len());
        let (sends, messages) = (self.effects.sends.len(), self.lane.tally().messages);
        let was_awaited = self.sending.remove(&id).is_some();
        let under_way = self.sending.len();
        let settled = self.step(now, Input::Answered { id, answer: answer.clone() })?;
        let gone = pending - self.lane.books().pending();
        if gone != settled.delivered + settled.dead_lettered || settled.duplicate + settled.suppressed > 0 {
            return Err(format!("{gone} observations are not pending any more, but {settled:?}"));
        }
        if self.lane.tally().messages > messages {
            let delivered = Delivered { covers: settled.delivered, position: self.position };
            self.delivered.push(((id.conversation, id.sequence), delivered));
        }
        if was_awaited {
            let is_its = |letter: &Letter| letter.message() == Some((id.conversation, id.sequence));
            let letters = self.effects.dead_letters[dead_letters..].iter();
            let dead_letters = letters.filter_map(|dead| Letter::read(&dead.body).ok()).filter(is_its).count();
            self.hear_out(id, asked, &answer, (dead_letters, under_way))?;
        }
        self.may_send(sends)
    }

    /// What an answer obliges to.
    fn hear_out(
        &mut self,
        id: DeliveryId,
        asked: Wanted,
        answer: &Answer,
        (dead_letters, under_way): (usize, usize),
    ) -> Result<(), String> {
        let message = (id.conversation, id.sequence);
        let channel = self.channels.get(&id.conversation).copied().ok_or("nobody's conversation")?;
        let failed = self.doubts.get(&message).copied().unwrap_or(0);
        let asked = match asked {
            Wanted::Delivery(addressed) => Asked::Message(addressed),
            Wanted::Page(finding) => Asked::LookUp { failed, finding },
        };
        match (asked, answer.verdict(Addressed::ById)) {
            (Asked::LookUp { .. }, Verdict::Doubt | Verdict::Refused) => {
                self.doubts.insert(message, failed.saturating_add(1));
            }
            (Asked::LookUp { finding: Finding::Taken, .. }, _) => {
                self.found.push(message);
                self.undone.remove(&message);
            }
            (Asked::Message(_), Verdict::Accepted { .. }) => {
                self.undone.remove(&message);
            }
            (Asked::LookUp { .. } | Asked::Message(_), _) => {}
        }
        self.manners.hear(self.latest, &self.rules, &Heard { channel, asked, answer, dead_letters, under_way })
    }

    /// May it send what it wants to send?
    fn may_send(&mut self, known: usize) -> Result<(), String> {
        for delivery in &self.effects.sends[known..] {
            self.manners.may_send(self.latest, self.channels.get(&delivery.id.conversation).copied())?;
        }
        Ok(())
    }

    fn wake(&mut self, now: u64) -> Result<(), String> {
        let (sends, dirty) = (self.effects.sends.len(), self.effects.dirty.len());
        let wakeup = self.lane.next_wakeup();
        self.step(now, Input::Tick)?;
        self.may_send(sends)?;
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
        let (sends, dead_letters) = (self.effects.sends.len(), self.effects.dead_letters.len());
        self.lane.step(at(now, self.skew), input, &mut self.effects);
        self.latest = self.latest.max(at(now, self.skew));
        self.manners.see(self.latest);
        self.steps += 1;
        if !self.lane.books().balance() {
            return Err(format!("the books don't balance: {:?}", self.lane.books()));
        }
        if self.effects.sends.len() > sends && self.draining {
            return Err("it sends while it drains".to_owned());
        }
        for delivery in &self.effects.sends[sends..] {
            if delivery.id.attempt == 1
                && let Request::Message { body, .. } = &delivery.request
            {
                let external_id = Letter::read(body)?.external_id().into();
                let worded = Worded { position: self.position, at: self.latest, external_id };
                self.undone.insert((delivery.id.conversation, delivery.id.sequence));
                self.worded.push(((delivery.id.conversation, delivery.id.sequence), worded));
            }
            if !self.effects.dirty.contains(&StateKey::Conversation(delivery.id.conversation)) {
                return Err(format!("{:?} is to be sent, but its state is not to be written", delivery.id));
            }
        }
        for letter in self.effects.dead_letters[dead_letters..].iter().filter_map(|dead| Letter::read(&dead.body).ok())
        {
            letter.message().map(|message| self.undone.remove(&message));
        }
        self.keep_track_of_sends(sends)?;
        self.keeps_its_bounds()?;
        Ok(Sums::of(&self.lane).minus(before))
    }

    /// What the lane believes to be on the wire is what was sent, and was neither answered nor given up.
    fn keep_track_of_sends(&mut self, known: usize) -> Result<(), String> {
        let now = self.latest;
        for (id, _) in
            self.sending.extract_if(|_, pending| pending.given_up_at <= now).filter(|(_, pending)| pending.looks_up)
        {
            *self.doubts.entry((id.conversation, id.sequence)).or_default() += 1;
        }
        for delivery in &self.effects.sends[known..] {
            let looks_up = matches!(delivery.request, Request::LookUp { .. });
            let given_up_at = delivery.send_before + self.give_up_after;
            self.sending.insert(delivery.id, Pending { given_up_at, looks_up });
        }
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
