//! What an answer does to its conversation, its channel and the whole lane.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::books::{Outcome, Reason};
use super::conversation::{Conversation, Doubt, InFlight, Phase, Told};
use super::decisions::What;
use super::policy::OnDoubt;
use super::{Blocked, DeadLetter, DeliveryId, Effects, Lane, StateKey};
use crate::event::{Timestamp, Urgency};
use crate::missive::answer::{Finding, find};
use crate::missive::{Addressed, Answer, Repeat, Verdict};

/// Answers a breaker looks at.
const BREAKER_WINDOW: usize = 20;

/// How long a 429 without `Retry-After` keeps the lane waiting.
const WAIT_UNTOLD: Duration = Duration::from_secs(60);

/// How often a look-up may fail before the doubt lasts.
const LOOK_UPS_MAX: u8 = 3;

/// How often a halted lane, or a channel whose breaker is open, tries again.
const HALT_RETRY: Duration = Duration::from_secs(30);

/// The last answers of one channel: a channel that refuses everything is not drained into dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Breaker {
    refused: VecDeque<bool>,
    /// While it is open: when one message may try the channel again.
    probe_at: Timestamp,
}

/// May a message go to a channel?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    Free,
    /// The channel refuses what it gets; one message tries again at this instant.
    NotBefore(Timestamp),
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

    /// Lets a message through, or one every half minute while the channel is halted.
    pub fn pass(&mut self, now: Timestamp) -> Passage {
        if !self.is_open() {
            return Passage::Free;
        }
        if self.probe_at > now {
            return Passage::NotBefore(self.probe_at);
        }
        self.probe_at = now + HALT_RETRY;
        Passage::Free
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
        let addressed = if conversation.missive_id.is_some() { Addressed::ById } else { Addressed::ByReference };
        let looked_up = matches!(delivery.doubt, Doubt::LookUp { .. });
        let finding = looked_up.then(|| found(answer, delivery));
        self.note_request(answer);
        effects.dirty.extend([StateKey::Conversation(id.conversation), StateKey::History, StateKey::Channels]);
        match answer.verdict(addressed) {
            Verdict::Accepted { .. } if looked_up => self.looked_up(id, finding.unwrap_or(Finding::Unclear), effects),
            Verdict::Doubt | Verdict::Refused if looked_up => self.look_up_failed(id, effects),
            Verdict::Accepted { conversation_id } => self.accepted(id, conversation_id, effects),
            Verdict::Retry => self.again(id, self.backoff(id)),
            Verdict::Wait(span) => self.wait(id, span),
            Verdict::Doubt => self.doubt(id, effects),
            Verdict::Refused => self.refused(id, answer, effects),
            Verdict::LostConversation => {
                self.with(id, |conversation| conversation.missive_id = None);
                if looked_up {
                    // Nobody can look there any more, and a message is no look-up.
                    self.doubt_lasts(id, effects);
                } else {
                    self.again(id, Duration::ZERO);
                }
            }
            Verdict::Halt => {
                let asked = self.waits_until();
                self.blocked = Blocked::Halted { retry_at: (self.now + HALT_RETRY).max(asked), asked };
                // the lane waits, not the message: with another token it may go at once
                self.again(id, Duration::ZERO);
            }
        }
        self.place(id.conversation, effects);
    }

    fn accepted(&mut self, id: DeliveryId, conversation_id: Option<Box<str>>, effects: &mut Effects) {
        let now = self.now;
        if let Blocked::Halted { asked, .. } = self.blocked {
            self.blocked = Blocked::Until(asked);
        }
        if let Some(channel) = self.channel_name(id) {
            self.breakers.entry(channel).or_default().accepted();
        }
        let Some(conversation) = self.conversations.get_mut(&id.conversation) else { return };
        let Some(delivery) = conversation.in_flight.take() else { return };
        let opened = conversation.told != Told::Opened;
        conversation.told = Told::Opened;
        conversation.last_sent = Some(now);
        if conversation_id.is_some() {
            conversation.missive_id = conversation_id;
        }
        self.tally.messages += 1;
        self.tally.conversations_opened += u64::from(opened);
        self.tally.roll_ups += u64::from(conversation.is_rollup());
        conversation.closed = false;
        self.books.told(delivery.reason);
        self.books.settle(Outcome::Delivered, delivery.reason, delivery.covers);
        if opened {
            self.opened_apart(id.conversation);
        }
        let InFlight { sequence, reason, covers, .. } = delivery;
        self.decided_for(id.conversation, |_| What::Told { sequence, reason, covers }, effects);
    }

    fn wait(&mut self, id: DeliveryId, span: Option<Duration>) {
        let span = span.unwrap_or(WAIT_UNTOLD).min(self.policy.limits.retry_after_max);
        let until = self.now + span;
        self.tally.rate_limited += 1;
        self.blocked = Blocked::Until(until.max(self.waits_until()));
        self.again(id, span);
    }

    /// What an answer says about limits, whatever else it says.
    fn note_request(&mut self, answer: &Answer) {
        match answer {
            Answer::NotSent(_) => self.pacing.cancel(),
            Answer::Lost(_) => self.pacing.end(self.now),
            Answer::Status(status) => {
                self.pacing.end(self.now);
                if let Some(said) = status.rate_limit {
                    self.pacing.heed(self.now, said, self.policy.limits.retry_after_max);
                }
            }
        }
    }

    /// Whatever else happens, Missive is given the time that it has asked for.
    pub(super) const fn waits_until(&self) -> Timestamp {
        match self.blocked {
            Blocked::No => Timestamp::EPOCH,
            Blocked::Until(at) | Blocked::Halted { asked: at, .. } => at,
        }
    }

    /// A halted lane needs no more patience than Missive has asked for.
    pub(super) fn token_renewed(&mut self) {
        if let Blocked::Halted { retry_at, asked } = &mut self.blocked {
            *retry_at = (*asked).max(self.now);
        }
    }

    /// Whether Missive has taken it is unknown: it is looked up where that is possible.
    fn doubt(&mut self, id: DeliveryId, effects: &mut Effects) {
        self.tally.doubts += 1;
        let conversation = self.conversations.get(&id.conversation);
        let known = conversation.filter(|conversation| conversation.missive_id.is_some());
        let channel = known.and_then(|conversation| self.channel_of(conversation));
        if channel.is_some_and(|channel| channel.kind.has_external_id()) {
            self.with_delivery(id, |delivery| delivery.doubt = Doubt::LookUp { failed: 0 });
            return self.again(id, self.backoff(id));
        }
        self.doubt_lasts(id, effects);
    }

    /// Even where it isn't found it is sent again as what may repeat: Missive may have been slow to show it.
    fn looked_up(&mut self, id: DeliveryId, finding: Finding, effects: &mut Effects) {
        match finding {
            Finding::Taken => {
                self.tally.doubts_settled += 1;
                self.accepted(id, None, effects);
            }
            Finding::NotTaken => {
                self.with_delivery(id, |delivery| delivery.doubt = Doubt::Lasting);
                self.again(id, Duration::ZERO);
            }
            Finding::Unclear => self.doubt_lasts(id, effects),
        }
    }

    fn look_up_failed(&mut self, id: DeliveryId, effects: &mut Effects) {
        let delivery =
            self.conversations.get(&id.conversation).and_then(|conversation| conversation.in_flight.as_ref());
        match delivery.map(|delivery| delivery.doubt) {
            Some(Doubt::LookUp { failed }) if failed + 1 < LOOK_UPS_MAX => {
                self.with_delivery(id, |delivery| delivery.doubt = Doubt::LookUp { failed: failed + 1 });
                self.again(id, self.backoff(id));
            }
            Some(Doubt::LookUp { .. } | Doubt::Lasting | Doubt::None) | None => self.doubt_lasts(id, effects),
        }
    }

    fn doubt_lasts(&mut self, id: DeliveryId, effects: &mut Effects) {
        match self.policy.on_doubt {
            OnDoubt::Resend => {
                self.with_delivery(id, |delivery| delivery.doubt = Doubt::Lasting);
                self.again(id, self.backoff(id));
            }
            OnDoubt::Hold => self.give_up(id, Reason::InDoubt, "it may have been taken or not".into(), effects),
        }
    }

    fn refused(&mut self, id: DeliveryId, answer: &Answer, effects: &mut Effects) {
        let Some(channel) = self.channel_name(id) else { return };
        let now = self.now;
        let breaker = self.breakers.entry(channel).or_default();
        if breaker.refused() == Blame::Channel {
            breaker.probe_at = now + HALT_RETRY;
            return self.again(id, HALT_RETRY);
        }
        self.give_up(id, Reason::Refused, told(answer), effects);
    }

    /// Into the dead letters with it, whole; its conversation goes on.
    fn give_up(&mut self, id: DeliveryId, reason: Reason, error: Box<str>, effects: &mut Effects) {
        let Some(conversation) = self.conversations.get(&id.conversation) else { return };
        let (Some(delivery), Some(channel)) = (&conversation.in_flight, self.channel_of(conversation)) else { return };
        let covers = delivery.covers;
        let posting = self.telling_of(conversation).map(|telling| telling.posting.clone()).unwrap_or_default();
        effects.dead_letters.push(DeadLetter {
            reason,
            channel: channel.name.clone(),
            routing_key: delivery.message.routing_key.clone(),
            covers,
            attempts: delivery.attempt,
            place: None,
            author: "".into(),
            body: delivery.message.request(channel, &posting, None, Repeat::No).0,
            error,
        });
        self.books.settle(Outcome::DeadLettered, reason, covers);
        self.with(id, |conversation| conversation.in_flight = None);
        self.decided_for(id.conversation, |_| What::DeadLettered { reason, covers }, effects);
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
        let urgency = conversation
            .and_then(|conversation| conversation.digest.worst_urgency.or(conversation.members.worst_firing()));
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

/// What a look-up's answer says of the delivery.
fn found(answer: &Answer, delivery: &InFlight) -> Finding {
    match answer {
        Answer::Status(status) => find(&status.body, &delivery.message.external_id, delivery.since.as_secs()),
        Answer::NotSent(_) | Answer::Lost(_) => Finding::Unclear,
    }
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
