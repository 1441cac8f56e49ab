//! The lane: one Missive rate budget and everything that shares it, as one deterministic state machine.
//!
//! [`Lane::step`] takes what happened ([`Input`]) and says what to do about it ([`Effects`]); [`Lane::next_wakeup`] says when
//! it wants to be asked again if nothing happens. It reads no clock: `now` is an argument, and an earlier `now` than one it
//! has seen counts as that one. A spurious step changes nothing.
//!
//! What must hold: everything it was told about ends in exactly one outcome or is pending ([`books`]); the windows of
//! [`pacing`] hold for whatever the answers take; at most one delivery of a conversation is in flight; an observation at or
//! below its partition's mark is not folded again. `Effects` accumulate until the driver has committed: a [`Delivery`] may
//! only leave after the state that announces it is in Kafka.
//!
//! Layout: `marks` (what was folded), `conversation` and `member` (what is known, what is news), `unsaid` (news that nobody
//! said), `heart` (news that nothing comes), `fallback` (what goes elsewhere when Missive refuses us), `returned` (what an operator sends back), `digest` (what is untold), `schedule` (who is next), `waiting` (who waits
//! longest, and for what), `decisions` (what was decided, for whoever asks why),
//! `storm` (what is told together), `apart` (and what is not), `enclosed` (what goes along), `answers` (what an answer does), `state` (records in the state topic, `before` in
//! the version before), `words` and `page` (how it reads), `telling`, `scene` and
//! `templates` (how a route says it).

mod answers;
mod apart;
mod before;
pub mod books;
mod conversation;
pub mod decisions;
mod dedupe;
mod digest;
mod enclosed;
pub mod fallback;
mod fold;
pub mod heart;
mod marks;
mod member;
pub mod pacing;
mod page;
pub mod policy;
mod release;
mod returned;
mod scene;
mod schedule;
mod state;
mod storm;
pub mod telling;
pub mod templates;
#[cfg(test)]
mod tests;
mod unsaid;
pub mod waiting;
mod words;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

pub use answers::Breaker;
pub use books::{Books, Outcome, Reason};
pub use dedupe::AlreadyHashed;
pub use policy::Policy;
pub use state::{StateError, StateKey};

use crate::event::frame::Returned;
use crate::event::lesson::Lesson;
use crate::event::{Fingerprint, Frame, HashKey, Position, Timestamp};
use crate::missive::{Addressed, Answer};
use apart::Company;
use conversation::Conversation;
use decisions::Decision;
use dedupe::{ChunkKey, Dedupe};
use fallback::{Fallback, Halt};
use marks::Marks;
use pacing::{Budget, Pacing};
use schedule::Schedule;
use storm::Openings;
use templates::RenderError;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A frame of the ledger.
    Observed(&'a Frame<'a>),
    /// The hook learned something.
    Learned(&'a Lesson<'a>),
    /// An operator sends back what had become a dead letter.
    Returned(&'a Returned<'a>),
    /// A delivery was answered, or certainly won't be.
    Answered { id: DeliveryId, answer: Answer },
    /// The token may be another one than Missive has refused.
    TokenRenewed,
    /// Time passed.
    Tick,
    /// Send nothing more: this owner is leaving.
    Drain,
}

/// Which attempt at which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId {
    pub conversation: Fingerprint,
    pub sequence: u64,
    pub attempt: u32,
}

/// A request to Missive, ready to be written.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub request: Request,
    /// Not to be written at or after this instant.
    pub send_before: Timestamp,
}

/// What is asked of Missive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take this message: the body of a POST.
    Message { body: Vec<u8>, addressed: Addressed },
    /// Show the newest messages of this conversation: one of them may be ours.
    LookUp { conversation: Box<str> },
}

/// A delivery or an observation that can't be handled, whole, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub reason: Reason,
    pub channel: Box<str>,
    pub routing_key: Box<str>,
    /// Observations it stands for.
    pub covers: u32,
    /// How often it was tried.
    pub attempts: u32,
    /// Where it came from, if it is one observation.
    pub place: Option<Place>,
    /// Who said the words that found no room, or empty.
    pub author: Box<str>,
    /// The request body, or the words that found no room.
    pub body: Vec<u8>,
    /// What Missive answered, or why there was no room.
    pub error: Box<str>,
}

/// Where an observation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: Box<str>,
    pub partition: i32,
    pub position: Position,
}

impl Place {
    fn of(frame: &Frame<'_>, position: Position) -> Self {
        Self { topic: frame.topic.into(), partition: frame.partition, position }
    }
}

/// Something about a source partition that an operator should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Its topic was deleted and created again; it is folded anew.
    Recreated { topic: Box<str>, partition: i32 },
    /// Its offsets were rewound: this many observations below the mark were dropped.
    Rewound { topic: Box<str>, partition: i32, count: u64 },
    /// A template of this route failed, so many times; people read the default words.
    TemplateFailed { route: Box<str>, key: &'static str, error: RenderError, count: u64 },
}

impl Notice {
    fn is_about(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Recreated { topic, partition }, Self::Recreated { topic: same, partition: number })
            | (Self::Rewound { topic, partition, .. }, Self::Rewound { topic: same, partition: number, .. }) => {
                (topic, partition) == (same, number)
            }
            (Self::TemplateFailed { route, key, .. }, Self::TemplateFailed { route: same, key: other, .. }) => {
                (route, key) == (same, other)
            }
            (Self::Recreated { .. } | Self::Rewound { .. } | Self::TemplateFailed { .. }, _) => false,
        }
    }
}

/// What to do, gathered over steps until it is committed.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be sent once the state is committed.
    pub sends: Vec<Delivery>,
    /// State records to be written; [`Lane::record`] has their values.
    pub dirty: HashSet<StateKey, BuildHasherDefault<AlreadyHashed>>,
    /// To be written in the same transaction.
    pub dead_letters: Vec<DeadLetter>,
    /// To be said; nothing is written for them.
    pub notices: Vec<Notice>,
    /// To be written in the same transaction, where the policy tells them.
    pub decisions: Vec<Decision>,
    /// Decisions beyond [`decisions::DECISIONS_MAX`].
    pub decisions_left_out: u64,
    /// Critical news for some other way than Missive.
    pub fallbacks: Vec<Fallback>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.dirty.is_empty()
            && self.dead_letters.is_empty()
            && self.decisions.is_empty()
            && self.fallbacks.is_empty()
    }

    /// Adds to what is to be said: one notice a partition or template, however often it happens.
    fn note(&mut self, notice: Notice) {
        let same = self.notices.iter_mut().find(|known| known.is_about(&notice));
        match (same, notice) {
            (Some(Notice::Rewound { count, .. }), Notice::Rewound { count: more, .. })
            | (Some(Notice::TemplateFailed { count, .. }), Notice::TemplateFailed { count: more, .. }) => {
                *count += more
            }
            (Some(_), _) => {}
            (None, notice) => self.notices.push(notice),
        }
    }
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    No,
    /// Missive asked for patience, or a predecessor may still be sending.
    Until(Timestamp),
    /// The token is refused; one request tries again at `retry_at`.
    Halted {
        retry_at: Timestamp,
        /// Until when Missive has asked to wait, whatever the token.
        asked: Timestamp,
    },
}

/// What a lane counts besides its books, since it was created or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub messages: u64,
    pub conversations_opened: u64,
    pub roll_ups: u64,
    pub doubts: u64,
    /// Of these, messages that a look-up has found: they were not sent again.
    pub doubts_settled: u64,
    pub retries: u64,
    pub rate_limited: u64,
    pub unknown_routes: u64,
    /// Observations at or below their mark that came once more, as they do after a crash.
    pub read_again: u64,
    /// Source partitions whose topic was deleted and created again.
    pub partitions_recreated: u64,
    /// Dead letters that an operator sent back.
    pub returned: u64,
    /// Templates that failed: people read the default words.
    pub template_faults: u64,
}

/// One Missive rate budget and everything that shares it. See the module documentation for its contract.
#[derive(Debug)]
pub struct Lane {
    policy: Arc<Policy>,
    key: HashKey,
    seed: u64,
    now: Timestamp,
    conversations: HashMap<Fingerprint, Conversation, BuildHasherDefault<AlreadyHashed>>,
    dedupe: Dedupe,
    pacing: Pacing,
    schedule: Schedule,
    /// Conversations that something happened to in this step: they are placed when all of it has been taken in.
    touched: Vec<Fingerprint>,
    marks: Marks,
    openings: HashMap<Box<str>, Openings>,
    companies: HashMap<Box<str>, Company>,
    breakers: HashMap<Box<str>, Breaker>,
    blocked: Blocked,
    halt: Halt,
    draining: bool,
    books: Books,
    tally: Tally,
}

impl Lane {
    /// A lane without a past. `key` hashes conversation keys; `seed` feeds the jitter.
    pub fn new(policy: Arc<Policy>, key: HashKey, seed: u64) -> Self {
        Self {
            pacing: Pacing::new(policy.limits),
            dedupe: Dedupe::new(policy.bounds.dedupe_keys_max),
            policy,
            key,
            seed,
            now: Timestamp::EPOCH,
            conversations: HashMap::default(),
            schedule: Schedule::default(),
            touched: Vec::new(),
            marks: Marks::default(),
            openings: HashMap::new(),
            companies: HashMap::new(),
            breakers: HashMap::new(),
            blocked: Blocked::No,
            halt: Halt::default(),
            draining: false,
            books: Books::default(),
            tally: Tally::default(),
        }
    }

    /// Takes in what happened and adds to `effects` what to do.
    pub fn step(&mut self, now: Timestamp, input: Input<'_>, effects: &mut Effects) {
        self.now = self.now.max(now);
        self.dedupe.expire(self.now, &mut |chunk| note(effects, chunk));
        match input {
            Input::Observed(frame) => self.fold(frame, effects),
            Input::Learned(lesson) => self.learn(lesson, effects),
            Input::Returned(returned) => self.take_back(returned, effects),
            Input::Answered { id, answer } => self.answered(id, &answer, effects),
            Input::TokenRenewed => self.token_renewed(),
            Input::Tick => {}
            Input::Drain => self.draining = true,
        }
        self.advance(effects);
    }

    /// When to step again if nothing happens; `None`: not at all.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let instants = [self.schedule.next_due(), self.next_release(), self.dedupe.next_expiry(), self.next_fallback()];
        instants.into_iter().flatten().min()
    }

    /// Everything in `effects` has been committed: what becomes dirty next is a new record.
    pub fn committed(&mut self) {
        self.dedupe.committed();
    }

    pub const fn books(&self) -> &Books {
        &self.books
    }

    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    pub fn name(&self) -> &str {
        &self.policy.lane
    }

    pub const fn blocked(&self) -> Blocked {
        self.blocked
    }

    pub fn budget(&self, now: Timestamp) -> Budget {
        self.pacing.budget(now)
    }

    pub const fn in_progress(&self) -> usize {
        self.pacing.in_progress()
    }

    pub fn conversations(&self) -> usize {
        self.conversations.len()
    }

    pub const fn dedupe_keys(&self) -> usize {
        self.dedupe.len()
    }

    pub const fn dedupe_evicted(&self) -> u64 {
        self.dedupe.evicted()
    }

    /// Moves whoever is due, sends what may be sent, tells together what would be told too late.
    fn advance(&mut self, effects: &mut Effects) {
        self.place_touched(effects);
        while let Some(id) = self.schedule.pop_due(self.now) {
            self.due(id, effects);
        }
        self.place_touched(effects);
        self.release(effects);
        self.roll_up_overdue(effects);
        self.place_touched(effects);
        self.fall_back(effects);
    }
}

fn note(effects: &mut Effects, chunk: ChunkKey) {
    effects.dirty.insert(StateKey::Identities(chunk));
}
