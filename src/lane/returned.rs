//! What an operator sends back: a delivery that Missive refused, or words that found no room.
//!
//! It is told verbatim, as a message of its own, in the conversation it belongs to, in turn with everything else that the lane
//! has to say; it is never summarised or rolled up, because somebody has asked for these very words. The same replay twice
//! is told once. Words beyond what may wait in one conversation become a dead letter again.

use super::books::{Fate, Outcome, Reason};
use super::conversation::{Conversation, Said, Subject};
use super::dedupe::Seen;
use super::fold::UNKNOWN_WINDOW;
use super::{DeadLetter, Effects, Lane, StateKey, note};
use crate::event::frame::Returned;
use crate::event::{Fingerprint, Kind, State, Urgency};
use crate::missive::RoutingKey;

impl Lane {
    /// Takes back what had become a dead letter.
    pub(super) fn take_back(&mut self, returned: &Returned<'_>, effects: &mut Effects) {
        self.tally.returned += 1;
        let fate = self.put_back(returned, effects);
        self.books.enter(fate);
    }

    fn put_back(&mut self, returned: &Returned<'_>, effects: &mut Effects) -> Fate {
        let mut seen = Vec::with_capacity(1);
        self.dedupe.look_up(UNKNOWN_WINDOW, &[returned.nonce], &mut seen);
        let dirty = &mut |chunk| note(effects, chunk);
        let seen = self.dedupe.note(self.now, UNKNOWN_WINDOW, returned.nonce, seen[0], dirty);
        if seen == Seen::Duplicate {
            return Fate::Settled(Outcome::Duplicate, Reason::Identity);
        }
        let (id, subject) = self.belongs_to(returned);
        let full = self.conversations.len() >= self.policy.bounds.conversations_max;
        if full && !self.conversations.contains_key(&id) {
            return self.return_to_sender(returned, Reason::ConversationsFull, effects);
        }
        let (now, bytes_max) = (self.now, self.policy.bounds.thread_bytes_max);
        let open = || Conversation::new(now, subject, returned.subject);
        let conversation = self.conversations.entry(id).or_insert_with(open);
        conversation.heard(now);
        effects.dirty.insert(StateKey::Conversation(id));
        let waiting: usize = conversation.words.iter().map(|said| said.text.len()).sum();
        let fate = if conversation.muted {
            Fate::Settled(Outcome::Suppressed, Reason::Muted)
        } else if waiting + returned.words.len() > bytes_max {
            self.return_to_sender(returned, Reason::ThreadFull, effects)
        } else {
            conversation.words.push_back(Said { author: returned.author.into(), text: returned.words.into() });
            conversation.digest.count(now, returned.at, State::Said, Urgency::Normal);
            Fate::Waits
        };
        self.place(id, effects);
        fate
    }

    /// The conversation that a routing key names, and what it is about should it have to be opened.
    fn belongs_to(&self, returned: &Returned<'_>) -> (Fingerprint, Subject) {
        let (route, key) = returned.routing_key.split_once('/').unwrap_or(("", returned.routing_key));
        if !self.policy.routes.contains_key(route) && route == "rollup" && self.policy.channels.contains_key(key) {
            return (self.roll_up_id(key), Subject::RollUp { channel: key.into() });
        }
        let by_hash = RoutingKey::hash(returned.routing_key).map(Fingerprint::from_u128);
        let id = by_hash.unwrap_or_else(|| self.conversation_id(route, key));
        let kind = self.policy.routes.get(route).map_or(Kind::Thread, |route| route.kind);
        (id, Subject::Route { route: route.into(), key: key.into(), kind })
    }

    fn return_to_sender(&self, returned: &Returned<'_>, reason: Reason, effects: &mut Effects) -> Fate {
        let route = RoutingKey::route(returned.routing_key).and_then(|route| self.policy.routes.get(route));
        effects.dead_letters.push(DeadLetter {
            reason,
            channel: route.map_or_else(|| "".into(), |route| route.channel.clone()),
            routing_key: returned.routing_key.into(),
            covers: 1,
            attempts: 1,
            place: None,
            author: returned.author.into(),
            body: returned.words.as_bytes().to_vec(),
            error: reason.meaning().into(),
        });
        Fate::Settled(Outcome::DeadLettered, reason)
    }
}
