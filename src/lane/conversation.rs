//! One conversation: what it knows, what it has told, what it has yet to tell.
//!
//! Three levels are kept apart: *identity* (the same news again), *state* (firing → resolved is news), *conversation* (where
//! it goes). [`Conversation::judge`] decides what an observation is; the lane acts on it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::books::Reason;
use super::digest::Digest;
use crate::event::{Fingerprint, Kind, Observation, State, Timestamp, Urgency, cut};
use crate::missive::Message;

/// The title of a conversation or of a member, in bytes.
const TITLE_BYTES_MAX: usize = 256;

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

/// One alert of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub state: State,
    pub urgency: Urgency,
    /// By its own account.
    pub since: Option<Timestamp>,
    pub title: Box<str>,
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
    /// An earlier attempt may have been taken.
    pub may_repeat: bool,
    pub phase: Phase,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Committed to be sent before this instant.
    Sending { send_before: Timestamp },
    /// Not sent now; the next attempt is not before this instant.
    Waiting { until: Timestamp },
    /// In doubt, and a person decides.
    Held,
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
    pub all_resolved_at: Option<Timestamp>,
    pub members: BTreeMap<Fingerprint, Member>,
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
            all_resolved_at: None,
            members: BTreeMap::new(),
            firing_told: 0,
            owed: None,
            stale_told: false,
            digest: Digest::default(),
            words: VecDeque::new(),
            in_flight: None,
            missive_id: None,
            muted: false,
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
        let Some(member) = self.members.get(&observation.entity) else {
            return Judgement::NewsIfFresh;
        };
        match (member.state, observation.state) {
            (State::Firing, State::Firing) => match (member.since, observation.since) {
                (Some(known), Some(since)) if since > known => Judgement::News,
                (Some(known), Some(since)) if since < known => Judgement::Suppressed(Reason::Late),
                _ => Judgement::Duplicate(Reason::Unchanged),
            },
            (State::Firing, State::Resolved) if earlier(observation.since, member.since) => {
                Judgement::Suppressed(Reason::Late)
            }
            (State::Resolved, State::Firing) if earlier(observation.since, member.since) => {
                Judgement::Suppressed(Reason::Late)
            }
            (State::Resolved, State::Resolved) => Judgement::Duplicate(Reason::Unchanged),
            _ => Judgement::News,
        }
    }

    /// Takes over what an observation says of its alert; at most `members_max` alerts are remembered.
    pub fn remember(&mut self, observation: &Observation<'_>, members_max: usize) {
        if self.kind() != Kind::Alert {
            return;
        }
        if self.members.len() >= members_max && !self.members.contains_key(&observation.entity) {
            self.forget_one_resolved();
        }
        if self.members.len() < members_max || self.members.contains_key(&observation.entity) {
            let member = Member {
                state: observation.state,
                urgency: observation.urgency,
                since: observation.since,
                title: cut(&observation.facts.title, TITLE_BYTES_MAX).into(),
            };
            self.members.insert(observation.entity, member);
        }
    }

    pub fn firing(&self) -> u32 {
        let firing = self.members.values().filter(|member| member.state == State::Firing).count();
        u32::try_from(firing).unwrap_or(u32::MAX)
    }

    /// The most urgent of what fires.
    pub fn worst_firing(&self) -> Option<Urgency> {
        self.members.values().filter(|member| member.state == State::Firing).map(|member| member.urgency).min()
    }

    /// Something was heard of it.
    pub const fn heard(&mut self, now: Timestamp) {
        self.last_heard = now;
        self.stale_told = false;
    }

    /// Whether it fires, has been told, and has nothing else to say.
    pub fn fires_quietly(&self) -> bool {
        let told = self.kind() == Kind::Alert && self.told == Told::Opened && !self.muted;
        told && !self.has_untold() && self.firing() > 0
    }

    /// Something waits to be told, in flight or not.
    pub fn has_untold(&self) -> bool {
        !self.digest.is_empty() || self.in_flight.is_some()
    }

    /// Observations that wait to be told.
    pub fn pending(&self) -> u32 {
        self.digest.counts.total().saturating_add(self.in_flight.as_ref().map_or(0, |delivery| delivery.covers))
    }

    /// Forgets the last episode and starts a new one.
    pub fn start_episode(&mut self, now: Timestamp) {
        self.episode = now;
        self.told = Told::Never;
        self.missive_id = None;
        self.muted = false;
        self.all_resolved_at = None;
        self.firing_told = 0;
        self.owed = None;
        self.stale_told = false;
        self.members.retain(|_, member| member.state == State::Firing);
    }

    fn forget_one_resolved(&mut self) {
        let resolved =
            self.members.iter().find(|(_, member)| member.state == State::Resolved).map(|(entity, _)| *entity);
        if let Some(entity) = resolved {
            self.members.remove(&entity);
        }
    }
}

/// Both times are known, and the first is before the second.
fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a < b)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::{Facts, Position};

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
        conversation.remember(&observation(state, since), 10);
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
            ("fires again", knowing(State::Resolved, Some(8)), State::Firing, Some(9), News),
            ("fires again, nobody says when", knowing(State::Resolved, None), State::Firing, None, News),
        ];
        for (sentence, conversation, state, since, judgement) in rows {
            assert_eq!(conversation.judge(&observation(state, since)), judgement, "{sentence}");
        }
    }

    #[test]
    fn alerts_remembered_by_name_are_bounded_and_a_firing_one_is_never_forgotten_for_another() {
        let mut conversation = knowing(State::Firing, None);
        for entity in 2..10 {
            let other = Observation { entity: Fingerprint::from_u128(entity), ..observation(State::Firing, None) };
            conversation.remember(&other, 3);
        }
        assert_eq!(conversation.members.len(), 3);
        assert!(conversation.members.contains_key(&Fingerprint::from_u128(1)));
    }
}
