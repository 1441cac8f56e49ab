//! Critical news of a lane that Missive refuses, on its way to people some other way.
//!
//! A lane is *halted* while Missive refuses its token. When that has lasted for the policy's span, every conversation that has
//! critical news untold is handed over in the words that it would be told in; nothing is settled by that, and Missive is told
//! all of it as soon as it takes it. What has been handed over is not kept over a restart: then it is handed over again.
//! Limits: 100 conversations a second, each at most once a minute and only with news since.

use std::collections::HashMap;
use std::time::Duration;

use super::apart::Apart;
use super::conversation::Conversation;
use super::enclosed::Files;
use super::release::routing_key;
use super::scene::Scene;
use super::{Blocked, Effects, Lane};
use crate::event::{Fingerprint, Timestamp, Urgency};

/// Conversations that are handed over in one second.
const AT_ONCE: usize = 100;

/// How often is looked for more.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often one conversation is handed over.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Critical news in the words that people would have read in Missive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    pub at: Timestamp,
    /// Since when the lane has been halted.
    pub halted_since: Timestamp,
    pub channel: Box<str>,
    pub routing_key: Box<str>,
    pub subject: Box<str>,
    /// As the channel's type has it: text or HTML.
    pub body: Box<str>,
    /// Observations that it stands for.
    pub covers: u32,
}

/// Since when a lane has been halted, and what was handed over since then.
#[derive(Debug, Default)]
pub(super) struct Halt {
    since: Option<Timestamp>,
    look_at: Timestamp,
    /// What was untold of a conversation when it was handed over, and when that was.
    told: HashMap<Fingerprint, (Untold, Timestamp)>,
}

/// How much is untold: the message on its way, and what waits behind it.
type Untold = (u64, u32);

impl Lane {
    /// When there may be something to hand over.
    pub(super) fn next_fallback(&self) -> Option<Timestamp> {
        let (since, after) = (self.halt.since?, self.policy.fallback_after?);
        Some(self.halt.look_at.max(since + after))
    }

    /// Hands over what is critical and untold, if the halt has lasted for long enough.
    pub(super) fn fall_back(&mut self, effects: &mut Effects) {
        let Blocked::Halted { .. } = self.blocked else {
            self.halt = Halt::default();
            return;
        };
        let since = *self.halt.since.get_or_insert(self.now);
        if self.next_fallback().is_none_or(|at| at > self.now) {
            return;
        }
        self.halt.look_at = self.now + LOOK_AGAIN;
        let mut ids: Vec<_> = self.conversations.iter().filter(|(id, known)| self.is_due_for(**id, known)).collect();
        ids.sort_unstable_by_key(|(id, conversation)| (conversation.digest.waiting_since, **id));
        let ids: Vec<_> = ids.into_iter().take(AT_ONCE).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(conversation) = self.conversations.get(&id) else { continue };
            let untold = untold(conversation);
            effects.fallbacks.extend(self.handed_over(id, conversation, since));
            self.halt.told.insert(id, (untold, self.now));
        }
    }

    fn is_due_for(&self, id: Fingerprint, conversation: &Conversation) -> bool {
        let on_its_way = conversation.in_flight.as_ref().map(|delivery| delivery.urgency);
        let critical = [on_its_way, conversation.digest.worst_urgency].contains(&Some(Urgency::Critical));
        critical
            && self
                .halt
                .told
                .get(&id)
                .is_none_or(|(told, at)| *told != untold(conversation) && *at + AGAIN_AFTER <= self.now)
    }

    fn handed_over(&self, id: Fingerprint, conversation: &Conversation, halted_since: Timestamp) -> Option<Fallback> {
        let channel = self.channel_of(conversation)?;
        let (subject, body) = match &conversation.in_flight {
            Some(delivery) if conversation.digest.is_empty() => {
                (delivery.message.subject.clone(), delivery.message.body.clone())
            }
            Some(_) | None => {
                let telling = self.telling_of(conversation).unwrap_or_default();
                let digest = &conversation.digest;
                let said: Vec<_> = conversation.words.iter().cloned().collect();
                let scene = Scene {
                    now: self.now,
                    conversation,
                    digest,
                    said: &said,
                    owed: None,
                    channel,
                    apart: &Apart::default(),
                };
                let told = telling.tell(&scene, &mut Files::default());
                (told.subject.into(), told.body.into())
            }
        };
        Some(Fallback {
            at: self.now,
            halted_since,
            channel: channel.name.clone(),
            routing_key: routing_key(id, conversation).as_str().into(),
            subject,
            body,
            covers: conversation.pending(),
        })
    }
}

fn untold(conversation: &Conversation) -> Untold {
    (conversation.in_flight.as_ref().map_or(0, |delivery| delivery.sequence), conversation.digest.covers)
}
