//! Heartbeats: routes whose news is that nothing comes.
//!
//! What a heartbeat route takes only says that its sender is alive, and is never told. When nothing has come for the route's
//! span, that is told as a critical alert in a conversation of the route's own; when something comes again, as its end. A lane
//! that has just been taken over gives every heart its whole span, because nobody listened before: so silence from the very
//! first moment is told as well. Limits: one heart a route, and so as many as the config has.

use std::time::Duration;

use super::books::{Fate, Outcome, Reason};
use super::conversation::{Conversation, Subject};
use super::member::Standing;
use super::policy::Action;
use super::{Effects, Lane, StateKey};
use crate::event::{Fingerprint, Kind, Observation, State, Timestamp, Urgency};

/// The conversation key of a route's heart.
const HEART: &str = "heartbeat";

/// A heart as it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heart {
    pub route: Box<str>,
    pub heard_at: Timestamp,
    pub beats: Beats,
}

/// Whether something comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beats {
    Regularly,
    /// Nothing has come for longer than the route allows.
    NoMore,
}

impl Lane {
    /// The hearts of this lane's routes, by name.
    pub fn hearts(&self) -> Vec<Heart> {
        let routes = self.policy.routes.values().filter(|route| route.action != Action::Tell);
        let heart = |route: &super::policy::RoutePolicy| {
            let conversation = self.conversations.get(&self.heart_id(&route.name))?;
            let beats = if conversation.firing() > 0 { Beats::NoMore } else { Beats::Regularly };
            Some(Heart { route: route.name.clone(), heard_at: conversation.last_heard, beats })
        };
        let mut hearts: Vec<_> = routes.filter_map(heart).collect();
        hearts.sort_unstable_by(|a, b| a.route.cmp(&b.route));
        hearts
    }

    /// How long a heartbeat route may be silent; `None` for every other route.
    pub(super) fn heartbeat(&self, route: &str) -> Option<Duration> {
        match self.policy.routes.get(route)?.action {
            Action::Tell => None,
            Action::Heartbeat { within } => Some(within),
        }
    }

    /// The same for what is a conversation already.
    pub(super) fn heartbeat_of(&self, conversation: &Conversation) -> Option<Duration> {
        let Subject::Route { route, .. } = &conversation.subject else { return None };
        self.heartbeat(route)
    }

    /// Every heart is listened to from now on.
    pub(super) fn listen(&mut self) {
        let routes = self.policy.routes.values().filter(|route| route.action != Action::Tell);
        let names: Vec<_> = routes.map(|route| route.name.clone()).collect();
        for route in names {
            let now = self.now;
            self.heart(&route).last_heard = now;
        }
    }

    /// An event of a heartbeat route. That its sender's alert is over is no sign of life.
    pub(super) fn take_beat(&mut self, observation: &Observation<'_>, effects: &mut Effects) -> Fate {
        if observation.state != State::Resolved {
            self.beat(observation.route, effects);
        }
        Fate::Settled(Outcome::Suppressed, Reason::Heartbeat)
    }

    /// Something came through a heartbeat route.
    pub(super) fn beat(&mut self, route: &str, effects: &mut Effects) {
        let (id, now) = (self.heart_id(route), self.now);
        let heart = self.heart(route);
        heart.heard(now);
        if heart.firing() > 0 {
            self.turn(id, id, now, Standing::Resolved, "heard again");
            effects.dirty.insert(StateKey::Conversation(id));
        }
        self.place(id, effects);
    }

    /// Tells it if nothing has come for too long.
    pub(super) fn miss(&mut self, id: Fingerprint, effects: &mut Effects) {
        let now = self.now;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Subject::Route { route, .. } = &conversation.subject else { return };
        let Some(policy) = self.policy.routes.get(route) else { return };
        let Action::Heartbeat { within } = policy.action else { return };
        if conversation.firing() > 0 || conversation.last_heard + within > now {
            return;
        }
        if conversation.over_since.is_some_and(|over| now.since(over) > policy.timing_critical.episode_gap) {
            conversation.start_episode(now);
            conversation.members.introduce(id, now, Urgency::Critical, &title(&policy.name));
        }
        let silence = format!("nothing heard for {}", humantime::format_duration(within));
        self.turn(id, id, now, Standing::Firing, &silence);
        effects.dirty.insert(StateKey::Conversation(id));
    }

    fn heart_id(&self, route: &str) -> Fingerprint {
        self.conversation_id(route, HEART)
    }

    fn heart(&mut self, route: &str) -> &mut Conversation {
        let (id, now) = (self.heart_id(route), self.now);
        self.conversations.entry(id).or_insert_with(|| {
            let subject = Subject::Route { route: route.into(), key: HEART.into(), kind: Kind::Alert };
            let mut conversation = Conversation::new(now, subject, &title(route));
            conversation.members.introduce(id, now, Urgency::Critical, &title(route));
            conversation
        })
    }
}

fn title(route: &str) -> String {
    format!("No heartbeat from {route}")
}
