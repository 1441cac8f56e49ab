//! The referee: one state machine over (now, request) → verdict.
//!
//! A request goes through three calls: [`Referee::arrive`] with its head (the token and the limits are judged here, at the
//! moment of arrival), [`Referee::judge`] with its body, and [`Referee::finish`] when its answer is given or its caller is
//! gone. Between the first and the last it is in progress. `now` is Unix milliseconds and never runs backwards.
//!
//! Requests with an unknown token are refused before the limits: they spend nobody's budget. A request that is lost on
//! purpose (reset, dropped, accepted without answering) is in progress only until that is decided: Missive is done with it.
//!
//! Nothing in here does I/O. What people in Missive do is in `people`; webhooks to send gather in an outbox that the
//! shell empties.

mod people;
mod process;
mod route;

use std::collections::HashMap;

use sha2::{Digest, Sha256};

pub use people::{Change, PeopleError, Receipt, Reply, ReplyTo, RuleCall};
pub use route::Head;

use super::answer::Answer;
use super::backstage::{Arrived, Books};
use super::channels::{Channel, ChannelError, Channels, Secret};
use super::clip::{Clipped, TEXT_BYTES_MAX};
use super::deliveries::{AfterAttempt, AttemptAnswer, Deliveries, Outgoing, RetryPolicy};
use super::directory::Directory;
use super::faults::{Faults, Played, Processing, Trouble};
use super::ledger::{Ledger, Verdict};
use super::limits::{Budget, Limits, Room, Spent};
use super::random::Random;
use super::refusal::Refusal;
use super::summary::Summary;
use super::switches::{LimitScope, Switches};
use super::threads::Threads;
use super::webhook;
use route::{Endpoint, endpoint};

/// What the ledger keeps of a `User-Agent`.
const AGENT_BYTES_MAX: usize = 128;

/// What the referee is made from.
#[derive(Debug)]
pub struct Rulebook {
    pub tokens: Vec<Secret>,
    pub limits: Limits,
    pub switches: Switches,
    pub retry: RetryPolicy,
    pub seed: u64,
    pub messages_max: usize,
    pub ledger_entries_max: usize,
}

/// The state machine.
#[derive(Debug)]
pub struct Referee {
    budgets: HashMap<String, Budget>,
    everyone: Budget,
    pub(super) switches: Switches,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    pub(super) threads: Threads,
    pub(super) deliveries: Deliveries,
    pub(super) channels: Channels,
    pub(super) directory: Directory,
    pub(super) books: Option<Books>,
    retry: RetryPolicy,
    random: Random,
    open: HashMap<u64, Open>,
    tally: Summary,
    outbox: Vec<Outgoing>,
}

/// What arrived of a body.
#[derive(Debug)]
pub enum Body<'a> {
    Whole(&'a [u8]),
    TooLarge { bytes_max: usize },
    Incomplete,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Hold it back this long.
    pub delay_ms: u64,
    pub act: Act,
}

/// What the connection sees.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    Answer(Answer),
    /// TCP reset.
    Reset,
    /// The connection is closed without a word.
    Close,
    /// The connection stays open without a word.
    Silence,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Answered(u16),
    /// No answer was given.
    Unanswered,
}

/// A request in progress.
#[derive(Debug)]
struct Open {
    task: Result<Endpoint, Refusal>,
    path: String,
    /// The token whose budget holds a slot for it.
    slot: Option<String>,
    decided: Decided,
    /// The conversation that it writes to.
    conversation: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decided {
    NotYet,
    Yes,
}

impl Referee {
    pub fn new(rulebook: Rulebook) -> Self {
        let limits = rulebook.limits;
        let budgets = rulebook.tokens.iter().map(|token| (fingerprint(token.bytes()), Budget::new(&limits)));
        Self {
            budgets: budgets.collect(),
            everyone: Budget::new(&limits),
            switches: rulebook.switches,
            faults: Faults::default(),
            ledger: Ledger::new(rulebook.ledger_entries_max),
            threads: Threads::new(rulebook.messages_max),
            deliveries: Deliveries::default(),
            channels: Channels::default(),
            directory: Directory::default(),
            books: None,
            retry: rulebook.retry,
            random: Random::new(rulebook.seed),
            open: HashMap::new(),
            tally: Summary { seed: rulebook.seed, ..Summary::default() },
            outbox: Vec::new(),
        }
    }

    /// The head of a request is there. Its id is the ledger's.
    pub fn arrive(&mut self, now: u64, head: &Head<'_>) -> u64 {
        let token = head.token.map(|token| fingerprint(token.as_bytes()));
        let label = token.as_ref().map(|token| token[..8].to_owned());
        let id = self.ledger.open(now, head.method, head.path_and_query, label);
        let agent = head.agent.map(|agent| Clipped::new(agent, AGENT_BYTES_MAX).text);
        self.ledger.change(id, |entry| entry.agent = agent);
        self.tally.requests += 1;
        self.tally.undecided += 1;
        let path = head.path().to_owned();
        let mut open = Open { task: endpoint(head), path, slot: None, decided: Decided::NotYet, conversation: None };
        match token.filter(|token| self.budgets.contains_key(token)) {
            None => open.task = Err(Refusal::Unauthorized),
            Some(token) => self.admit(now, id, token, &mut open),
        }
        self.open.insert(id, open);
        id
    }

    /// The body of a request is there, or never will be.
    pub fn judge(&mut self, now: u64, id: u64, body: &Body<'_>) -> Judgement {
        let Some((task, path)) = self.open.get(&id).map(|open| (open.task.clone(), open.path.clone())) else {
            return Judgement { delay_ms: 0, act: Act::Close };
        };
        let sketch = process::Sketch::of(&path, body);
        self.ledger.change(id, |entry| sketch.note(entry));
        let (endpoint, bytes) = match (task, body) {
            (Err(refusal), _) => return self.refuse(now, id, &refusal, body),
            (Ok(_), Body::TooLarge { bytes_max }) => return self.refuse(now, id, &Refusal::TooLarge(*bytes_max), body),
            (Ok(_), Body::Incomplete) => return self.refuse(now, id, &Refusal::BodyIncomplete, body),
            (Ok(endpoint), Body::Whole(bytes)) => (endpoint, *bytes),
        };
        let played = self.faults.play(&path, &mut self.random);
        self.note_fault(id, played);
        match played.trouble.processing() {
            Processing::Skipped => self.skip(now, id, played),
            Processing::Done => {
                let outcome = self.process(now, id, endpoint, bytes);
                let judgement = match outcome {
                    Ok((verdict, answer)) => self.decide(id, verdict, answer),
                    Err(refusal) => self.refuse(now, id, &refusal, body),
                };
                self.trouble(now, id, played, judgement)
            }
        }
    }

    /// The answer was given, or never will be: the request is no longer in progress.
    pub fn finish(&mut self, now: u64, id: u64, ending: Ending) {
        self.release(now, id);
        let Some(open) = self.open.remove(&id) else { return };
        if open.decided == Decided::NotYet {
            self.tally.undecided -= 1;
            self.tally.abandoned += 1;
            self.ledger.change(id, |entry| entry.verdict = Verdict::Abandoned);
        }
        if let Ending::Answered(status) = ending {
            self.ledger.change(id, |entry| {
                entry.answered_at = Some(now);
                entry.status = Some(status);
            });
        }
    }

    /// Makes a channel known, or changes it.
    pub fn declare(&mut self, channel: Channel) -> Result<(), ChannelError> {
        self.channels.declare(channel)
    }

    /// The webhooks that are to be sent, once.
    pub fn take_outbox(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outbox)
    }

    /// Attempt number `attempt` at a webhook was answered.
    pub fn attempted(&mut self, now: u64, outgoing: &Outgoing, attempt: u32, answer: AttemptAnswer) -> AfterAttempt {
        let next = match self.retry.after(attempt, answer) {
            AfterAttempt::RetryIn { .. } if !self.switches.webhook_retry => AfterAttempt::GiveUp,
            next @ (AfterAttempt::RetryIn { .. } | AfterAttempt::Done | AfterAttempt::GiveUp) => next,
        };
        let conversation = self.deliveries.settle(now, outgoing, answer, next);
        self.touch(conversation.as_deref());
        next
    }

    /// What those behind the sandbox have counted.
    pub fn publish(&mut self, books: Books) {
        self.books = Some(books);
    }

    /// The reply with this message id has become a record.
    pub fn arrived(&mut self, message: &str, record: Arrived) {
        let conversation = self.deliveries.arrived(message, record);
        self.touch(conversation.as_deref());
    }

    /// How much is spent of the budget that is nearest to its end.
    pub fn spent(&self, now: u64) -> Spent {
        let own = self.budgets.values().map(|budget| budget.spent(now));
        let used = |spent: &Spent| spent.windows.iter().map(|window| window.used).max();
        match self.switches.limit_scope {
            LimitScope::Global => self.everyone.spent(now),
            LimitScope::PerToken => own.max_by_key(used).unwrap_or_else(|| self.everyone.spent(now)),
        }
    }

    /// Those that follow are told of the conversation.
    fn touch(&mut self, conversation: Option<&str>) {
        let _ = conversation.and_then(|id| self.threads.conversation_mut(id));
    }

    /// How long one attempt at a webhook may take.
    pub fn attempt_timeout_ms(&self) -> u64 {
        self.retry.timeout_ms
    }

    /// The numbers.
    pub fn summary(&self) -> Summary {
        Summary {
            conversations: self.threads.opened,
            replies: self.deliveries.replies(),
            rule_webhooks: self.deliveries.rules(),
            ledger_fallen_out: self.ledger.fallen_out(),
            messages_fallen_out: self.threads.fallen_out,
            ..self.tally.clone()
        }
    }

    fn admit(&mut self, now: u64, id: u64, token: String, open: &mut Open) {
        let room = match self.switches.limit_scope {
            LimitScope::Global => self.everyone.room(now),
            LimitScope::PerToken => self.budgets.get(&token).map_or(Room::Free, |budget| budget.room(now)),
        };
        let rejected = match room {
            Room::Free => None,
            Room::Full(full) => {
                self.tally.rate_limit_violations += 1;
                self.ledger.change(id, |entry| entry.violation = Some(full.limit));
                Some(full).filter(|_| self.switches.enforce_limits)
            }
        };
        let budgets = self.budgets.get_mut(&token).into_iter().chain([&mut self.everyone]);
        for budget in budgets {
            if rejected.is_none() || self.switches.count_rejected {
                budget.count(now);
            }
            if rejected.is_none() {
                budget.begin();
            }
        }
        match rejected {
            Some(full) => open.task = Err(Refusal::RateLimited(full)),
            None => open.slot = Some(token),
        }
    }

    fn release(&mut self, now: u64, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        self.ledger.change(id, |entry| entry.over_at = entry.over_at.or(Some(now)));
        open.conversation = None;
        let Some(token) = open.slot.take() else { return };
        self.everyone.end();
        if let Some(budget) = self.budgets.get_mut(&token) {
            budget.end();
        }
    }

    fn refuse(&mut self, now: u64, id: u64, refusal: &Refusal, body: &Body<'_>) -> Judgement {
        *self.tally.refused.entry(refusal.name()).or_default() += 1;
        let raw = match body {
            Body::Whole(bytes) => Some(Clipped::of_bytes(bytes, TEXT_BYTES_MAX)),
            Body::TooLarge { .. } | Body::Incomplete => None,
        };
        self.ledger.change(id, |entry| {
            entry.refusal = Some(refusal.name());
            entry.body = raw;
        });
        let answer = Answer::refused(now, refusal, &self.switches);
        self.decide(id, Verdict::Refused, answer)
    }

    fn skip(&mut self, now: u64, id: u64, played: Played) -> Judgement {
        self.tally.faulted += 1;
        let unused = Answer { status: 500, headers: Vec::new(), body: Vec::new() };
        let judgement = self.decide(id, Verdict::Faulted, unused);
        self.trouble(now, id, played, judgement)
    }

    fn decide(&mut self, id: u64, verdict: Verdict, answer: Answer) -> Judgement {
        self.tally.undecided -= 1;
        match verdict {
            Verdict::Accepted => self.tally.accepted += 1,
            Verdict::Served => self.tally.served += 1,
            Verdict::Pending | Verdict::Refused | Verdict::Faulted | Verdict::Abandoned => {}
        }
        self.ledger.change(id, |entry| entry.verdict = verdict);
        if let Some(open) = self.open.get_mut(&id) {
            open.decided = Decided::Yes;
        }
        Judgement { delay_ms: 0, act: Act::Answer(answer) }
    }

    fn trouble(&mut self, now: u64, id: u64, played: Played, judgement: Judgement) -> Judgement {
        let act = match played.trouble {
            Trouble::None => judgement.act,
            Trouble::Status { status, retry_after, .. } => {
                Act::Answer(Answer::fault(now, status, retry_after, self.switches.retry_after))
            }
            Trouble::Reset { .. } => Act::Reset,
            Trouble::Silence => Act::Silence,
            Trouble::Drop => Act::Close,
        };
        match act {
            Act::Answer(_) => {}
            Act::Reset | Act::Close | Act::Silence => self.release(now, id),
        }
        Judgement { delay_ms: played.delay_ms, act }
    }

    fn note_fault(&mut self, id: u64, played: Played) {
        let latency = (played.delay_ms > 0).then_some("latency");
        for name in latency.into_iter().chain(played.trouble.name()) {
            *self.tally.faults.entry(name).or_default() += 1;
            self.ledger.change(id, |entry| entry.fault = Some(name));
        }
    }
}

/// A token's SHA-256: what stands for it everywhere.
fn fingerprint(token: &[u8]) -> String {
    webhook::hex(&Sha256::digest(token))
}

#[cfg(test)]
mod tests;
