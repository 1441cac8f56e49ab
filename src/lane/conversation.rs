//! One conversation: what it knows, what it has told, what it has yet to tell.
//!
//! Three levels are kept apart: *identity* (the same news again), *state* (firing → resolved is news), *conversation* (where
//! it goes). [`Conversation::judge`] decides what an observation is; the lane acts on it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::books::Reason;
use super::digest::Digest;
use super::member::{Members, Standing, TITLE_BYTES_MAX};
use crate::event::{Fingerprint, Kind, Observation, Timestamp, Urgency, cut};
use crate::missive::Message;

/// What an observation is to its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    News,
    /// News unless its identity has been seen.
    NewsIfFresh,
    Duplicate(Reason),
    Suppressed(Reason),
}

/// Whether people have heard of the conversation, in this episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    Never,
    /// It may open: it holds one of its channel's slots for new conversations.
    MayOpen,
    /// It has a message of its own.
    Opened,
    /// Only the roll-up has spoken of it.
    RolledUp,
}

/// A message without news that a firing conversation owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owed {
    /// It still fires, and events still say so.
    Repeat,
    /// It was firing, and nothing has been heard since.
    Stale,
}

/// What a conversation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// One conversation key of one route.
    Route { route: Box<str>, key: Box<str>, kind: Kind },
    /// Everything in a channel that has no conversation of its own.
    RollUp { channel: Box<str> },
}

/// A person's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub author: Box<str>,
    pub text: Box<str>,
}

/// A delivery on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Which message of the conversation it is; part of its external id.
    pub sequence: u64,
    pub attempt: u32,
    pub message: Message,
    /// Observations it stands for.
    pub covers: u32,
    /// What delivered observations are counted as.
    pub reason: Reason,
    /// The most urgent of it.
    pub urgency: Urgency,
    /// When it was first committed to be sent.
    pub since: Timestamp,
    pub doubt: Doubt,
    pub phase: Phase,
}

/// May an earlier attempt have been taken?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doubt {
    /// Certainly not.
    None,
    /// It may; the conversation's messages are asked for next. So many times that failed.
    LookUp { failed: u8 },
    /// It may, and nobody can tell: the next attempt says so.
    Lasting,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Committed to be sent before this instant.
    Sending { send_before: Timestamp },
    /// Not sent now; the next attempt is not before this instant.
    Waiting { until: Timestamp },
}

/// All that is known of one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    pub subject: Subject,
    pub title: Box<str>,
    /// When this episode began; part of an alert's reference.
    pub episode: Timestamp,
    pub told: Told,
    /// Number of the next message.
    pub sequence: u64,
    pub last_sent: Option<Timestamp>,
    pub last_heard: Timestamp,
    /// When it became due; only while it is ready.
    #[serde(skip)]
    pub ready_at: Option<Timestamp>,
    /// Something has happened to it in this step.
    #[serde(skip)]
    pub touched: bool,
    /// Since when nothing fires; only alerts.
    pub over_since: Option<Timestamp>,
    pub members: Members,
    /// How many were firing when last told.
    pub firing_told: u32,
    pub owed: Option<Owed>,
    /// Silence has been told, and has not been broken since.
    pub stale_told: bool,
    pub digest: Digest,
    pub words: VecDeque<Said>,
    pub in_flight: Option<InFlight>,
    /// Missive's id of it, where it is known.
    pub missive_id: Option<Box<str>>,
    pub muted: bool,
    /// A person has closed it, and nothing was told since: it is left alone until there is news.
    pub closed: bool,
    /// The roll-up message that last spoke for it.
    pub rolled_into: u64,
}

impl Conversation {
    pub fn new(now: Timestamp, subject: Subject, title: &str) -> Self {
        Self {
            subject,
            title: cut(title, TITLE_BYTES_MAX).into(),
            episode: now,
            told: Told::Never,
            sequence: 0,
            last_sent: None,
            last_heard: now,
            ready_at: None,
            touched: false,
            over_since: None,
            members: Members::default(),
            firing_told: 0,
            owed: None,
            stale_told: false,
            digest: Digest::default(),
            words: VecDeque::new(),
            in_flight: None,
            missive_id: None,
            muted: false,
            closed: false,
            rolled_into: 0,
        }
    }

    pub const fn kind(&self) -> Kind {
        match &self.subject {
            Subject::Route { kind, .. } => *kind,
            Subject::RollUp { .. } => Kind::Record,
        }
    }

    pub const fn is_rollup(&self) -> bool {
        matches!(self.subject, Subject::RollUp { .. })
    }

    /// What is this observation to us? Changes nothing.
    pub fn judge(&self, observation: &Observation<'_>) -> Judgement {
        if self.kind() != Kind::Alert {
            return Judgement::NewsIfFresh;
        }
        let Some(member) = self.members.get(observation.entity) else {
            return Judgement::NewsIfFresh;
        };
        match (member.standing, Standing::of(observation.state)) {
            (Standing::Firing, Standing::Firing) => match (member.since, observation.since) {
                (Some(known), Some(since)) if since > known => Judgement::News,
                (Some(known), Some(since)) if since < known => Judgement::Suppressed(Reason::Late),
                _ => Judgement::Duplicate(Reason::Unchanged),
            },
            (known, new) if known != new && earlier(observation.since, member.since) => {
                Judgement::Suppressed(Reason::Late)
            }
            // Its group has been reported without it since then.
            (Standing::Gone, Standing::Firing) if observation.at < member.at => Judgement::Suppressed(Reason::Late),
            (Standing::Resolved, Standing::Resolved) => Judgement::Duplicate(Reason::Unchanged),
            (Standing::Firing | Standing::Gone, Standing::Resolved)
            | (Standing::Resolved | Standing::Gone, Standing::Firing)
            | (_, Standing::Gone) => Judgement::News,
        }
    }

    /// A person began it in Missive, and nothing of ours stands in it yet.
    pub const fn awaits_its_recipient(&self) -> bool {
        self.sequence == 0 && self.missive_id.is_some()
    }

    /// How many of its alerts fire, or flap.
    pub fn firing(&self) -> u32 {
        self.members.firing()
    }

    /// Notes since when nothing fires, after its alerts have changed.
    pub fn note_over(&mut self, now: Timestamp) {
        let over = self.kind() == Kind::Alert && self.members.firing() == 0;
        self.over_since = over.then(|| self.over_since.unwrap_or(now));
    }

    /// Puts it among the touched, once.
    pub fn touch(&mut self, id: Fingerprint, touched: &mut Vec<Fingerprint>) {
        if !std::mem::replace(&mut self.touched, true) {
            touched.push(id);
        }
    }

    /// Something was heard of it.
    pub const fn heard(&mut self, now: Timestamp) {
        self.last_heard = now;
        self.stale_told = false;
    }

    /// Whether it fires, has been told, and has nothing else to say.
    pub fn fires_quietly(&self) -> bool {
        let told = self.kind() == Kind::Alert && self.told == Told::Opened && !self.muted && !self.closed;
        told && !self.has_untold() && self.firing() > 0
    }

    /// Something waits to be told, in flight or not.
    pub fn has_untold(&self) -> bool {
        !self.digest.is_empty() || self.in_flight.is_some()
    }

    /// Observations that wait to be told.
    pub fn pending(&self) -> u32 {
        self.digest.covers.saturating_add(self.in_flight.as_ref().map_or(0, |delivery| delivery.covers))
    }

    /// Forgets the last episode and starts a new one.
    pub fn start_episode(&mut self, now: Timestamp) {
        self.episode = now;
        self.told = Told::Never;
        self.missive_id = None;
        self.muted = false;
        self.closed = false;
        self.over_since = None;
        self.firing_told = 0;
        self.owed = None;
        self.stale_told = false;
        self.members.forget_the_calm();
    }
}

/// Both times are known, and the first is before the second.
fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a < b)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::policy::Flap;
    use super::*;
    use crate::event::{Facts, Position, State};

    const FLAP: Flap = Flap { changes: 5, window: std::time::Duration::from_secs(600) };

    fn observation(state: State, since: Option<u64>) -> Observation<'static> {
        Observation {
            position: Position::default(),
            route: "alerts",
            at: Timestamp::from_millis(1),
            old: false,
            entity: Fingerprint::from_u128(1),
            identity: Fingerprint::from_u128(2),
            state,
            urgency: Urgency::Normal,
            since: since.map(Timestamp::from_millis),
            conversation: Cow::Borrowed("k"),
            facts: Facts::default(),
        }
    }

    fn knowing(state: State, since: Option<u64>) -> Conversation {
        let subject = Subject::Route { route: "alerts".into(), key: "k".into(), kind: Kind::Alert };
        let mut conversation = Conversation::new(Timestamp::from_millis(1), subject, "k");
        conversation.members.remember(Timestamp::from_millis(1), &observation(state, since), FLAP, 10);
        conversation
    }

    fn gone(since: Option<u64>) -> Conversation {
        let mut conversation = knowing(State::Firing, since);
        conversation.members.turn(Fingerprint::from_u128(1), Timestamp::from_millis(1), Standing::Gone, FLAP);
        conversation
    }

    fn gone_at(millis: u64) -> Conversation {
        let mut conversation = knowing(State::Firing, Some(5));
        conversation.members.turn(Fingerprint::from_u128(1), Timestamp::from_millis(millis), Standing::Gone, FLAP);
        conversation
    }

    #[test]
    fn a_change_of_state_is_news_and_what_is_older_is_late() {
        use Judgement::{Duplicate, News, Suppressed};
        let rows = [
            ("still firing", knowing(State::Firing, Some(5)), State::Firing, Some(5), Duplicate(Reason::Unchanged)),
            ("fires anew", knowing(State::Firing, Some(5)), State::Firing, Some(9), News),
            ("fired earlier", knowing(State::Firing, Some(5)), State::Firing, Some(4), Suppressed(Reason::Late)),
            ("resolves", knowing(State::Firing, Some(5)), State::Resolved, Some(8), News),
            (
                "an older one resolved",
                knowing(State::Firing, Some(5)),
                State::Resolved,
                Some(3),
                Suppressed(Reason::Late),
            ),
            (
                "resolved twice",
                knowing(State::Resolved, Some(8)),
                State::Resolved,
                Some(8),
                Duplicate(Reason::Unchanged),
            ),
            (
                "a firing overtaken by its resolve",
                knowing(State::Resolved, Some(8)),
                State::Firing,
                Some(5),
                Suppressed(Reason::Late),
            ),
            ("gone, and still firing", gone(Some(5)), State::Firing, Some(5), News),
            ("gone, and resolved", gone(Some(5)), State::Resolved, Some(8), News),
            ("gone, and an older firing", gone(Some(5)), State::Firing, Some(4), Suppressed(Reason::Late)),
            ("gone after this was recorded", gone_at(2), State::Firing, Some(5), Suppressed(Reason::Late)),
            ("gone, and a late resolve is still an end", gone_at(2), State::Resolved, Some(8), News),
            ("fires again", knowing(State::Resolved, Some(8)), State::Firing, Some(9), News),
            ("fires again, nobody says when", knowing(State::Resolved, None), State::Firing, None, News),
        ];
        for (sentence, conversation, state, since, judgement) in rows {
            assert_eq!(conversation.judge(&observation(state, since)), judgement, "{sentence}");
        }
    }
}
