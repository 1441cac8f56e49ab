//! Folding the ledger into the lane: marks, identity, state, conversation, in this order.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use super::books::{Fate, Outcome, Reason};
use super::conversation::{Conversation, Judgement, Said, Subject, Told};
use super::dedupe::Seen;
use super::digest::Line;
use super::marks::{Known, Origin};
use super::member::Change;
use super::policy::{Action, Flap, RoutePolicy};
use super::{DeadLetter, Effects, Lane, Notice, Place, StateKey, note};
use crate::event::lesson::{Learned, Lesson};
use crate::event::{Course, Fingerprint, Frame, Kind, Observation, Position, State, Urgency, cut};
use crate::missive::RoutingKey;

/// The window of a route that this config doesn't know.
pub(super) const UNKNOWN_WINDOW: Duration = Duration::from_secs(3600);

/// When an alert flaps, of a route that this config doesn't know.
const UNKNOWN_FLAP: Flap = Flap { changes: 10, window: Duration::from_secs(600) };

/// Observations that are looked up together: one waits for memory while the others do.
const LOOK_AHEAD: usize = 16;

/// What a few observations are about. Kept for its buffers.
#[derive(Default)]
struct Sought {
    conversations: Vec<Fingerprint>,
    identities: Vec<Fingerprint>,
    seen: Vec<Seen>,
}

impl Lane {
    /// Folds what is new in a frame; what stands at or below its partition's mark has been folded before.
    pub(super) fn fold(&mut self, frame: &Frame<'_>, effects: &mut Effects) {
        let origin = Origin { topic: frame.topic.into(), partition: frame.partition, id: frame.topic_id };
        let (origin, known) = self.marks.find(origin);
        let mark = match known {
            Known::Upto(mark) => Some(mark),
            Known::Nothing => None,
            Known::Recreated => {
                self.tally.partitions_recreated += 1;
                effects.note(Notice::Recreated { topic: frame.topic.into(), partition: frame.partition });
                None
            }
        };
        let is_new = |position: Position| mark.is_none_or(|mark| position > mark);
        let before = frame.observations.partition_point(|observation| !is_new(observation.position));
        let observations = &frame.observations[before..];
        let mut last = observations.last().map(|newest| newest.position).max(mark);
        let mut known_before = before as u64;
        let mut snapshots = frame.snapshots.iter().filter(|snapshot| is_new(snapshot.position)).peekable();
        let policy = Arc::clone(&self.policy);
        let mut sought = Sought::default();
        for of_one_route in observations.chunk_by(|a, b| a.route == b.route) {
            let route = policy.routes.get(of_one_route[0].route);
            for ahead in of_one_route.chunks(LOOK_AHEAD) {
                self.look_up(route, ahead, &mut sought);
                for ((observation, id), seen) in ahead.iter().zip(&sought.conversations).zip(&sought.seen) {
                    while let Some(earlier) = snapshots.next_if(|snapshot| snapshot.position < observation.position) {
                        self.fold_snapshot(earlier);
                    }
                    let letters = effects.dead_letters.len();
                    let fate = self.observe(route, *id, observation, *seen, effects);
                    self.books.enter(fate);
                    self.decided(frame, observation, fate, effects);
                    for letter in &mut effects.dead_letters[letters..] {
                        letter.place = Some(Place::of(frame, observation.position));
                    }
                }
            }
        }
        snapshots.for_each(|snapshot| self.fold_snapshot(snapshot));
        for drops in &frame.drops {
            let new = drops.positions.iter().copied().filter(|position| is_new(*position));
            let repeats = new.inspect(|position| last = last.max(Some(*position))).count();
            known_before += (drops.positions.len() - repeats) as u64;
            self.repeated(&drops.route, &drops.conversation, repeats, effects);
            self.decided_by_intake(frame, drops, repeats, effects);
        }
        self.known_before(frame, known_before, effects);
        if let Some(last) = last.filter(|_| last != mark) {
            self.marks.put(self.now, origin, last);
            effects.dirty.insert(StateKey::Marks);
        }
    }

    /// What stands below the mark. After a crash of the intake it is only the same frame once more; after a rewind it was
    /// consumed anew, so it has an outcome of its own.
    fn known_before(&mut self, frame: &Frame<'_>, count: u64, effects: &mut Effects) {
        if count == 0 {
            return;
        }
        match frame.course {
            Course::Onward => self.tally.read_again += count,
            Course::SetByOperator => {
                self.books.settle_new(Outcome::Suppressed, Reason::Rewound, count);
                effects.note(Notice::Rewound { topic: frame.topic.into(), partition: frame.partition, count });
                self.decided_before(frame, count, effects);
            }
        }
    }

    pub(super) fn conversation_id(&self, route: &str, key: &str) -> Fingerprint {
        self.key.fingerprint(&[route.as_bytes(), key.as_bytes()])
    }

    /// What the hook learned of a conversation.
    pub(super) fn learn(&mut self, lesson: &Lesson<'_>, effects: &mut Effects) {
        if lesson.about == Learned::Begun {
            return self.bind(lesson, effects);
        }
        let Some(id) = self.known_by(lesson) else { return };
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        match lesson.about {
            Learned::Answered if !lesson.conversation_id.is_empty() => {
                conversation.missive_id = Some(lesson.conversation_id.into());
            }
            Learned::Answered | Learned::Begun => {}
            Learned::Muted => conversation.muted = true,
            Learned::Unmuted => conversation.muted = false,
            Learned::Closed => conversation.closed = true,
            Learned::Reopened => conversation.closed = false,
        }
        if conversation.muted || conversation.closed {
            conversation.owed = None;
        }
        effects.dirty.insert(StateKey::Conversation(id));
        self.place(id, effects);
    }

    /// A person began a conversation with somebody: what that somebody says in a thread of the channel belongs there.
    fn bind(&mut self, lesson: &Lesson<'_>, effects: &mut Effects) {
        let recipient = lesson.routing_key;
        let threads = self.policy.routes.values();
        let threads = threads.filter(|route| route.kind == Kind::Thread && *route.channel == *lesson.channel);
        let ids: Vec<_> =
            threads.map(|route| (self.conversation_id(&route.name, recipient), route.name.clone())).collect();
        for (id, route) in ids {
            if !self.conversations.contains_key(&id) && self.conversations.len() >= self.policy.bounds.conversations_max
            {
                continue;
            }
            let subject = Subject::Route { route, key: recipient.into(), kind: Kind::Thread };
            let now = self.now;
            let conversation =
                self.conversations.entry(id).or_insert_with(|| Conversation::new(now, subject, recipient));
            conversation.missive_id = Some(lesson.conversation_id.into());
            conversation.told = Told::Opened;
            conversation.heard(now);
            effects.dirty.insert(StateKey::Conversation(id));
            self.place(id, effects);
        }
    }

    fn known_by(&self, lesson: &Lesson<'_>) -> Option<Fingerprint> {
        let by_hash = RoutingKey::hash(lesson.routing_key).map(Fingerprint::from_u128);
        let by_name = lesson.routing_key.split_once('/').map(|(route, key)| self.conversation_id(route, key));
        by_hash.or(by_name).filter(|id| self.conversations.contains_key(id)).or_else(|| {
            let by_id =
                |conversation: &&Conversation| conversation.missive_id.as_deref() == Some(lesson.conversation_id);
            let known = self.conversations.iter().find(|(_, conversation)| by_id(conversation));
            known.map(|(id, _)| *id)
        })
    }

    /// Looks up what a few observations of one route are about, all of them at once.
    fn look_up(&self, route: Option<&RoutePolicy>, observations: &[Observation<'_>], sought: &mut Sought) {
        let Sought { conversations, identities, seen } = sought;
        conversations.clear();
        identities.clear();
        seen.clear();
        let ids =
            observations.iter().map(|observation| self.conversation_id(observation.route, &observation.conversation));
        conversations.extend(ids);
        identities.extend(observations.iter().map(|observation| observation.identity));
        self.dedupe.look_up(window(route), identities, seen);
        // brought from memory now, while nothing waits for them
        let known = conversations.iter().filter_map(|id| self.conversations.get(id));
        black_box(known.map(Conversation::firing).max());
    }

    fn observe(
        &mut self,
        route: Option<&RoutePolicy>,
        id: Fingerprint,
        observation: &Observation<'_>,
        looked_up: Seen,
        effects: &mut Effects,
    ) -> Fate {
        if route.is_some_and(|route| route.action != Action::Tell) {
            return self.take_beat(observation, effects);
        }
        let judgement = match self.conversations.get(&id) {
            Some(conversation) => conversation.judge(observation),
            None if observation.state == State::Resolved => Judgement::Suppressed(Reason::UnknownResolve),
            None => Judgement::NewsIfFresh,
        };
        match judgement {
            Judgement::News => {
                self.note_identity(route, observation, looked_up, effects);
                self.take(route, id, observation, effects)
            }
            Judgement::NewsIfFresh => match self.note_identity(route, observation, looked_up, effects) {
                Seen::Fresh => self.take(route, id, observation, effects),
                Seen::Duplicate => self.repeat(route, id, observation, Reason::Identity, effects),
            },
            Judgement::Duplicate(reason) => self.repeat(route, id, observation, reason, effects),
            Judgement::Suppressed(reason) => Fate::Settled(Outcome::Suppressed, reason),
        }
    }

    fn note_identity(
        &mut self,
        route: Option<&RoutePolicy>,
        observation: &Observation<'_>,
        looked_up: Seen,
        effects: &mut Effects,
    ) -> Seen {
        self.dedupe.note(self.now, window(route), observation.identity, looked_up, &mut |chunk| note(effects, chunk))
    }

    /// One more time what is known: counted on its conversation, shown in its next message.
    fn repeat(
        &mut self,
        route: Option<&RoutePolicy>,
        id: Fingerprint,
        observation: &Observation<'_>,
        reason: Reason,
        effects: &mut Effects,
    ) -> Fate {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.digest.repeats = conversation.digest.repeats.saturating_add(1);
            conversation.heard(self.now);
            effects.dirty.insert(StateKey::Conversation(id));
            self.owe_repeat(id);
        }
        if observation.state == State::Firing
            && let Some(route) = route
        {
            self.dedupe.touch(self.now, route.window, observation.identity, &mut |chunk| note(effects, chunk));
        }
        Fate::Settled(Outcome::Duplicate, reason)
    }

    fn repeated(&mut self, route: &str, key: &str, repeats: usize, effects: &mut Effects) {
        if repeats == 0 {
            return;
        }
        self.books.settle_new(Outcome::Duplicate, Reason::Intake, repeats as u64);
        if self.heartbeat(route).is_some() {
            return self.beat(route, effects);
        }
        let id = self.conversation_id(route, key);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            let repeats = u32::try_from(repeats).unwrap_or(u32::MAX);
            conversation.digest.repeats = conversation.digest.repeats.saturating_add(repeats);
            conversation.heard(self.now);
            effects.dirty.insert(StateKey::Conversation(id));
            self.owe_repeat(id);
        }
    }

    /// News: into its conversation, or where there is no room for one, into the roll-up.
    fn take(
        &mut self,
        route: Option<&RoutePolicy>,
        id: Fingerprint,
        observation: &Observation<'_>,
        effects: &mut Effects,
    ) -> Fate {
        let kind = route.map_or_else(|| kind_of(observation.state), |route| route.kind);
        let is_new = !self.conversations.contains_key(&id);
        let full = self.conversations.len() >= self.policy.bounds.conversations_max;
        let told_together = observation.old && kind != Kind::Thread && route.is_some();
        if is_new && (full || told_together) {
            return self.no_conversation(observation, kind, route, effects);
        }
        self.tally.unknown_routes += u64::from(route.is_none());
        let (now, bounds) = (self.now, self.policy.bounds);
        let flap = route.map_or(UNKNOWN_FLAP, |route| route.flap);
        let conversation = self.conversations.entry(id).or_insert_with(|| open(now, observation, kind));
        conversation.heard(now);
        conversation.touch(id, &mut self.touched);
        if let Some(route) = route {
            renew(conversation, route, observation, now);
        }
        let change = match kind {
            Kind::Alert => conversation.members.remember(now, observation, flap, bounds.alerts_per_conversation_max),
            Kind::Record | Kind::Thread => Change::News,
        };
        conversation.note_over(now);
        if conversation.muted {
            return Fate::Settled(Outcome::Suppressed, Reason::Muted);
        }
        if change == Change::Flaps {
            conversation.digest.flaps = conversation.digest.flaps.saturating_add(1);
            return Fate::Settled(Outcome::Suppressed, Reason::Flapping);
        }
        if kind == Kind::Thread {
            let waiting: usize = conversation.words.iter().map(|said| said.text.len()).sum();
            if waiting + observation.facts.text.len() > bounds.thread_bytes_max {
                return self.dead_letter(observation, Reason::ThreadFull, effects);
            }
            let facts = &observation.facts;
            conversation
                .words
                .push_back(Said { author: facts.author.as_ref().into(), text: facts.text.as_ref().into() });
        }
        let mut line = Line::of(observation, bounds.line_bytes_max);
        if let Change::BeginsToFlap { changes } = change {
            line.flaps(changes, flap);
        }
        conversation.digest.absorb(now, line, observation.at, bounds.digest_lines_max);
        conversation.digest.files.take(&observation.facts.files, bounds.files_bytes_max);
        Fate::Waits
    }

    /// No room, or not worth one: told in the roll-up.
    fn no_conversation(
        &mut self,
        observation: &Observation<'_>,
        kind: Kind,
        route: Option<&RoutePolicy>,
        effects: &mut Effects,
    ) -> Fate {
        match (kind, route) {
            (Kind::Alert | Kind::Record, Some(route)) => {
                self.roll_up_one(&route.channel, observation);
                Fate::WaitsInRollUp
            }
            (Kind::Thread, _) | (_, None) => self.dead_letter(observation, Reason::ConversationsFull, effects),
        }
    }

    fn dead_letter(&self, observation: &Observation<'_>, reason: Reason, effects: &mut Effects) -> Fate {
        effects.dead_letters.push(DeadLetter {
            reason,
            channel: self.policy.routes.get(observation.route).map_or_else(|| "".into(), |route| route.channel.clone()),
            routing_key: format!("{}/{}", observation.route, observation.conversation).into(),
            covers: 1,
            attempts: 1,
            place: None,
            author: observation.facts.author.as_ref().into(),
            body: observation.facts.text.as_bytes().to_vec(),
            error: reason.meaning().into(),
        });
        Fate::Settled(Outcome::DeadLettered, reason)
    }
}

fn window(route: Option<&RoutePolicy>) -> Duration {
    route.map_or(UNKNOWN_WINDOW, |route| route.window)
}

/// What a route that this config doesn't know is likely to be.
const fn kind_of(state: State) -> Kind {
    match state {
        State::Firing | State::Resolved => Kind::Alert,
        State::Changed => Kind::Record,
        State::Said => Kind::Thread,
    }
}

fn open(now: crate::event::Timestamp, observation: &Observation<'_>, kind: Kind) -> Conversation {
    let route = observation.route.into();
    let subject = Subject::Route { route, key: observation.conversation.as_ref().into(), kind };
    let facts = &observation.facts;
    let title = if facts.subject.is_empty() { &facts.title } else { &facts.subject };
    Conversation::new(now, subject, if title.is_empty() { cut(&observation.conversation, 256) } else { title })
}

/// An alert that fires again long after all was over begins a new episode, in a fresh conversation.
fn renew(
    conversation: &mut Conversation,
    route: &RoutePolicy,
    observation: &Observation<'_>,
    now: crate::event::Timestamp,
) {
    let over = conversation.over_since.filter(|_| !conversation.has_untold());
    let fires = observation.state == State::Firing;
    let gap = route.timing(Urgency::Normal).episode_gap;
    if let Some(over_since) = over
        && fires
        && conversation.told != Told::Never
        && now.since(over_since) > gap
    {
        conversation.start_episode(now);
    }
}
