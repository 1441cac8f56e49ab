//! What an answer does to its conversation, its channel and the whole lane.

use std::collections::VecDeque;
use std::time::Duration;

use super::books::{Outcome, Reason};
use super::conversation::{Conversation, InFlight, Phase, Told};
use super::policy::OnDoubt;
use super::{Blocked, DeadLetter, DeliveryId, Effects, Lane, StateKey};
use crate::event::{Timestamp, Urgency};
use crate::missive::{Addressed, Answer, Repeat, Verdict};

/// Answers a breaker looks at.
const BREAKER_WINDOW: usize = 20;

/// How long a 429 without `Retry-After` keeps the lane waiting.
const WAIT_UNTOLD: Duration = Duration::from_secs(60);

/// How often a halted lane, or a channel whose breaker is open, tries again.
const HALT_RETRY: Duration = Duration::from_secs(30);

/// The last answers of one channel: a channel that refuses everything is not drained into dead letters.
#[derive(Debug, Default)]
pub struct Breaker {
    refused: VecDeque<bool>,
}

/// What a refusal means for its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// This message is at fault.
    Message,
    /// More than half of the last answers were refusals: the channel is.
    Channel,
}

impl Breaker {
    fn accepted(&mut self) {
        self.note(false);
    }

    fn refused(&mut self) -> Blame {
        self.note(true);
        let refusals = self.refused.iter().filter(|refused| **refused).count();
        if refusals > BREAKER_WINDOW / 2 { Blame::Channel } else { Blame::Message }
    }

    /// Is the channel halted?
    pub fn is_open(&self) -> bool {
        self.refused.iter().filter(|refused| **refused).count() > BREAKER_WINDOW / 2
    }

    fn note(&mut self, refused: bool) {
        self.refused.push_back(refused);
        if self.refused.len() > BREAKER_WINDOW {
            self.refused.pop_front();
        }
    }
}

impl Lane {
    /// Channels that are halted because they refuse most of what they get.
    pub fn halted_channels(&self) -> impl Iterator<Item = &str> {
        self.breakers.iter().filter(|(_, breaker)| breaker.is_open()).map(|(channel, _)| &**channel)
    }

    /// An attempt was answered. Answers to anything but the attempt that is under way are ignored.
    pub(super) fn answered(&mut self, id: DeliveryId, answer: &Answer, effects: &mut Effects) {
        let Some(conversation) = self.conversations.get(&id.conversation) else { return };
        let Some(delivery) = conversation.in_flight.as_ref().filter(|delivery| is_under_way(delivery, id)) else {
            return;
        };
        let covers = delivery.covers;
        let addressed = if conversation.missive_id.is_some() { Addressed::ById } else { Addressed::ByReference };
        self.pacing.end(self.now);
        effects.dirty.extend([StateKey::Conversation(id.conversation), StateKey::History]);
        match answer.verdict(addressed) {
            Verdict::Accepted { conversation_id } => self.accepted(id, conversation_id),
            Verdict::Retry => self.again(id, self.backoff(id)),
            Verdict::Wait(span) => self.wait(id, span),
            Verdict::Doubt => self.doubt(id),
            Verdict::Refused => self.refused(id, covers, answer, effects),
            Verdict::LostConversation => {
                self.with(id, |conversation| conversation.missive_id = None);
                self.again(id, Duration::ZERO);
            }
            Verdict::Halt => {
                self.blocked = Blocked::Halted { retry_at: self.now + HALT_RETRY };
                self.again(id, HALT_RETRY);
            }
        }
        self.place(id.conversation, effects);
    }

    fn accepted(&mut self, id: DeliveryId, conversation_id: Option<Box<str>>) {
        let now = self.now;
        if matches!(self.blocked, Blocked::Halted { .. }) {
            self.blocked = Blocked::No;
        }
        if let Some(channel) = self.channel_name(id) {
            self.breakers.entry(channel).or_default().accepted();
        }
        let Some(conversation) = self.conversations.get_mut(&id.conversation) else { return };
        let Some(delivery) = conversation.in_flight.take() else { return };
        let opened = u64::from(conversation.told != Told::Opened);
        conversation.told = Told::Opened;
        conversation.last_sent = Some(now);
        if conversation_id.is_some() {
            conversation.missive_id = conversation_id;
        }
        self.tally.messages += 1;
        self.tally.conversations_opened += opened;
        self.tally.roll_ups += u64::from(conversation.is_rollup());
        self.books.settle(Outcome::Delivered, delivery.reason, delivery.covers);
    }

    fn wait(&mut self, id: DeliveryId, span: Option<Duration>) {
        let span = span.unwrap_or(WAIT_UNTOLD).min(self.policy.limits.retry_after_max);
        let until = self.now + span;
        self.tally.rate_limited += 1;
        self.blocked = match self.blocked {
            Blocked::Until(known) => Blocked::Until(known.max(until)),
            Blocked::No | Blocked::Halted { .. } => Blocked::Until(until),
        };
        self.again(id, span);
    }

    fn doubt(&mut self, id: DeliveryId) {
        self.tally.doubts += 1;
        match self.policy.on_doubt {
            OnDoubt::Resend => {
                self.with_delivery(id, |delivery| delivery.may_repeat = true);
                self.again(id, self.backoff(id));
            }
            OnDoubt::Hold => self.with_delivery(id, |delivery| delivery.phase = Phase::Held),
        }
    }

    fn refused(&mut self, id: DeliveryId, covers: u32, answer: &Answer, effects: &mut Effects) {
        let Some(channel) = self.channel_name(id) else { return };
        if self.breakers.entry(channel.clone()).or_default().refused() == Blame::Channel {
            return self.again(id, HALT_RETRY);
        }
        let Some(conversation) = self.conversations.get(&id.conversation) else { return };
        let Some(delivery) = &conversation.in_flight else { return };
        let body = self.channel_of(conversation).map(|channel| delivery.message.request(channel, None, Repeat::No).0);
        effects.dead_letters.push(DeadLetter {
            reason: Reason::Refused,
            channel,
            routing_key: delivery.message.routing_key.clone(),
            covers,
            attempts: delivery.attempt,
            place: None,
            author: "".into(),
            body: body.unwrap_or_default(),
            error: told(answer),
        });
        self.books.settle(Outcome::DeadLettered, Reason::Refused, covers);
        self.with(id, |conversation| conversation.in_flight = None);
    }

    /// Another attempt, not before `pause` has passed.
    fn again(&mut self, id: DeliveryId, pause: Duration) {
        let until = self.now + pause;
        self.tally.retries += 1;
        self.with_delivery(id, |delivery| {
            delivery.attempt = delivery.attempt.saturating_add(1);
            delivery.phase = Phase::Waiting { until };
        });
    }

    fn with(&mut self, id: DeliveryId, change: impl FnOnce(&mut Conversation)) {
        if let Some(conversation) = self.conversations.get_mut(&id.conversation) {
            change(conversation);
        }
    }

    fn with_delivery(&mut self, id: DeliveryId, change: impl FnOnce(&mut InFlight)) {
        self.with(id, |conversation| {
            if let Some(delivery) = &mut conversation.in_flight {
                change(delivery);
            }
        });
    }

    fn channel_name(&self, id: DeliveryId) -> Option<Box<str>> {
        let conversation = self.conversations.get(&id.conversation)?;
        self.channel_of(conversation).map(|channel| channel.name.clone())
    }

    /// Exponential with seeded jitter: between half of the step and all of it. Never so long that news behind this delivery
    /// would miss its horizon when Missive is back.
    fn backoff(&self, id: DeliveryId) -> Duration {
        let retry = self.policy.retry;
        let conversation = self.conversations.get(&id.conversation);
        let urgency =
            conversation.and_then(|conversation| conversation.digest.worst_urgency.or(conversation.worst_firing()));
        let longest = retry.longest.min(self.policy.horizons.of(urgency.unwrap_or(Urgency::Normal)) / 3);
        let doubled = retry.first.saturating_mul(1 << (id.attempt.saturating_sub(1)).min(16)).min(longest);
        let millis = u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX);
        let noise = scramble(self.seed ^ id.sequence ^ u64::from(id.attempt)) % (millis / 2 + 1);
        Duration::from_millis(millis - noise)
    }
}

fn is_under_way(delivery: &InFlight, id: DeliveryId) -> bool {
    let sending = matches!(delivery.phase, Phase::Sending { .. });
    sending && delivery.sequence == id.sequence && delivery.attempt == id.attempt
}

fn told(answer: &Answer) -> Box<str> {
    match answer {
        Answer::Status(status) => format!("{} {}", status.code, status.body).into(),
        Answer::NotSent(why) => why.to_string().into(),
        Answer::Lost(why) => why.to_string().into(),
    }
}

/// SplitMix64's finisher: spreads neighbouring numbers.
const fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// When a successor may be sure that nobody sends any more.
pub(super) fn quiet_at(send_before: Timestamp, limits: &super::policy::Limits) -> Timestamp {
    send_before + limits.request_timeout + limits.skew_margin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_blamed_when_it_refuses_most_of_what_it_gets() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.accepted();
        }
        for _ in 0..10 {
            assert_eq!(breaker.refused(), Blame::Message);
        }
        assert_eq!(breaker.refused(), Blame::Channel);
        for _ in 0..10 {
            breaker.accepted();
        }
        assert!(!breaker.is_open());
    }
}
