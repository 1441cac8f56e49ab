//! Who may speak, and what leaves.
//!
//! A conversation with something to say is placed: due later, or ready, or not at all. Whatever is ready leaves in order as
//! far as the pacing allows: tier by tier, the longest waiting first. What leaves is frozen and marked as sending in the same
//! step, so that it is announced in Kafka before it is on the wire.

use std::sync::Arc;
use std::time::Duration;

use super::answers::Passage;
use super::books::Reason;
use super::conversation::{Conversation, Doubt, InFlight, Owed, Phase, Subject, Told};
use super::digest::Digest;
use super::pacing::Turn;
use super::scene::Scene;
use super::schedule::{Place, Tier};
use super::storm::Opening;
use super::telling::{Telling, TemplateFault};
use super::{Blocked, Delivery, DeliveryId, Effects, Lane, Notice, Request, StateKey};
use crate::event::{Fingerprint, Kind, Timestamp, Timing, Urgency};
use crate::missive::{Channel, Message, Repeat, RoutingKey};

/// The longest that a short budget keeps a conversation from its next message.
const STRETCH_MAX: Duration = Duration::from_secs(120);

/// How long a conversation that a person began waits for its recipient: no reference of ours leads there until we have said
/// something in it.
const BEGUN_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What a placement decides.
enum Standing {
    Nothing,
    At(Place),
    /// It needs a slot for a new conversation and there is none.
    RollUp,
    /// Nothing is left to say or to remember.
    Forget,
}

impl Lane {
    pub(super) fn timing(&self, conversation: &Conversation) -> Option<Timing> {
        let Subject::Route { route, .. } = &conversation.subject else { return None };
        let urgency = conversation.members.worst_firing().unwrap_or(Urgency::Normal);
        self.policy.routes.get(route).map(|route| *route.timing(urgency))
    }

    /// Puts a conversation where it belongs now.
    pub(super) fn place(&mut self, id: Fingerprint, effects: &mut Effects) {
        match self.standing(id, effects) {
            Standing::Nothing => self.schedule.remove(id),
            Standing::At(place) => self.schedule.put(id, place),
            Standing::RollUp => self.roll_up(id, effects),
            Standing::Forget => {
                self.schedule.remove(id);
                self.conversations.remove(&id);
                effects.dirty.insert(StateKey::Conversation(id));
            }
        }
    }

    /// Something has happened to a conversation: it will be written, and placed when all that happens in this step has been
    /// taken in. A frame of a storm touches few conversations often.
    pub(super) fn touch(&mut self, id: Fingerprint) {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.touch(id, &mut self.touched);
        }
    }

    /// Puts what was touched where it belongs, in the order in which it was touched first.
    pub(super) fn place_touched(&mut self, effects: &mut Effects) {
        let mut next = 0;
        // whoever is rolled up touches its roll-up
        while let Some(id) = self.touched.get(next).copied() {
            next += 1;
            if let Some(conversation) = self.conversations.get_mut(&id) {
                conversation.touched = false;
            }
            effects.dirty.insert(StateKey::Conversation(id));
            self.place(id, effects);
        }
        self.touched.clear();
    }

    /// Sends what may be sent now.
    pub(super) fn release(&mut self, effects: &mut Effects) {
        while let Some((tier, id)) = self.next_in_turn() {
            match self.passage(id, effects) {
                Passage::Free => self.send(id, effects),
                Passage::NotBefore(at) => self.schedule.put(id, Place::Later(at)),
            }
            debug_assert!(
                self.schedule.ready(tier).all(|(_, other)| other != id),
                "what is sent is not ready any more"
            );
        }
    }

    /// When something that is ready could leave, or would have to be rolled up.
    pub(super) fn next_release(&self) -> Option<Timestamp> {
        let probing = matches!(self.blocked, Blocked::Halted { .. }) && self.pacing.in_progress() > 0;
        if self.draining || probing {
            return None;
        }
        let at_least = match self.blocked {
            Blocked::No => Timestamp::EPOCH,
            Blocked::Until(at) | Blocked::Halted { retry_at: at, .. } => at,
        };
        let tiers = Tier::ALL.into_iter().filter(|tier| self.schedule.has_ready(*tier));
        let instants = tiers.flat_map(|tier| {
            let turn = match self.pacing.turn(self.now, tier.share()) {
                Turn::Now => Some(self.now),
                Turn::NotBefore(at) => Some(at),
                Turn::AfterAnswer => None,
            };
            let overdue = self.next_overdue(tier).filter(|_| !matches!(self.blocked, Blocked::Halted { .. }));
            [turn, overdue]
        });
        instants.flatten().min().map(|at| at.max(at_least))
    }

    fn next_in_turn(&mut self) -> Option<(Tier, Fingerprint)> {
        if self.draining {
            return None;
        }
        match self.blocked {
            Blocked::No => {}
            Blocked::Until(until) if until > self.now => return None,
            Blocked::Until(_) => self.blocked = Blocked::No,
            Blocked::Halted { retry_at, .. } if retry_at > self.now || self.pacing.in_progress() > 0 => return None,
            Blocked::Halted { .. } => {}
        }
        let may_go = |tier: &Tier| self.pacing.turn(self.now, tier.share()) == Turn::Now;
        Tier::ALL.into_iter().filter(may_go).find_map(|tier| {
            let (_, id) = self.schedule.ready(tier).next()?;
            Some((tier, id))
        })
    }

    /// A channel that refuses what it gets is tried with one message at a time.
    fn passage(&mut self, id: Fingerprint, effects: &mut Effects) -> Passage {
        let channel = self.conversations.get(&id).and_then(|conversation| self.channel_of(conversation));
        let Some(name) = channel.map(|channel| channel.name.clone()) else { return Passage::Free };
        let Some(breaker) = self.breakers.get_mut(&name).filter(|breaker| breaker.is_open()) else {
            return Passage::Free;
        };
        let passage = breaker.pass(self.now);
        if passage == Passage::Free {
            effects.dirty.insert(StateKey::Channels);
        }
        passage
    }

    fn standing(&mut self, id: Fingerprint, effects: &mut Effects) -> Standing {
        let now = self.now;
        let Some(conversation) = self.conversations.get(&id) else { return Standing::Nothing };
        if let Some(delivery) = &conversation.in_flight {
            let since = conversation.digest.waiting_since.unwrap_or(now);
            return match delivery.phase {
                Phase::Sending { send_before } => Standing::At(Place::Later(self.given_up_at(send_before))),
                Phase::Waiting { until } if until > now => Standing::At(Place::Later(until)),
                Phase::Waiting { until } => {
                    let waiting_since = since.min(until);
                    Standing::At(Place::Ready { tier: tier_of(conversation, Some(delivery.urgency)), waiting_since })
                }
            };
        }
        if conversation.digest.is_empty() {
            return self.standing_silent(conversation);
        }
        if self.channel_of(conversation).is_none() {
            return Standing::Nothing;
        }
        let due_at = self.due_at(conversation);
        if due_at > now {
            return Standing::At(Place::Later(due_at));
        }
        self.standing_due(id, effects)
    }

    fn standing_silent(&self, conversation: &Conversation) -> Standing {
        let standing = self.standing_without_news(conversation);
        match (self.next_calm(conversation), standing) {
            (Some(calm_at), Standing::At(Place::Later(at))) => Standing::At(Place::Later(at.min(calm_at))),
            (Some(calm_at), Standing::Nothing) => Standing::At(Place::Later(calm_at)),
            (_, standing) => standing,
        }
    }

    fn standing_without_news(&self, conversation: &Conversation) -> Standing {
        if let Some(within) = self.heartbeat_of(conversation) {
            return match conversation.firing() {
                0 => Standing::At(Place::Later((conversation.last_heard + within).max(self.now))),
                _ => Standing::Nothing,
            };
        }
        if conversation.owed.is_some() && self.channel_of(conversation).is_some() {
            return Standing::At(Place::Ready { tier: tier_of(conversation, None), waiting_since: self.now });
        }
        match (conversation.firing(), self.kept_for(conversation)) {
            (0, Some(kept)) if conversation.last_heard + kept <= self.now => Standing::Forget,
            (0, Some(kept)) => Standing::At(Place::Later(conversation.last_heard + kept)),
            _ if conversation.stale_told || !conversation.fires_quietly() => Standing::Nothing,
            _ => match self.timing(conversation) {
                Some(timing) => {
                    Standing::At(Place::Later((conversation.last_heard + timing.stale_after).max(self.now)))
                }
                None => Standing::Nothing,
            },
        }
    }

    fn standing_due(&mut self, id: Fingerprint, effects: &mut Effects) -> Standing {
        let now = self.now;
        let Some(conversation) = self.conversations.get_mut(&id) else { return Standing::Nothing };
        let urgency = conversation.digest.worst_urgency.unwrap_or(Urgency::Normal);
        let still_critical =
            urgency == Urgency::Critical && conversation.members.worst_firing() == Some(Urgency::Critical);
        let needs_slot = match conversation.told {
            Told::Opened | Told::MayOpen => false,
            Told::Never | Told::RolledUp if !conversation.words.is_empty() => false,
            Told::RolledUp if !still_critical => return Standing::RollUp,
            Told::Never | Told::RolledUp => !conversation.is_rollup() && conversation.kind() != Kind::Thread,
        };
        if needs_slot && let Subject::Route { route, .. } = &conversation.subject {
            let channel = self.policy.routes.get(route).and_then(|route| self.policy.channels.get(&route.channel));
            let Some(policy) = channel else { return Standing::Nothing };
            let openings = self.openings.entry(policy.channel.name.clone()).or_default();
            if openings.take(now, urgency, policy) == Opening::Denied {
                return Standing::RollUp;
            }
            effects.dirty.insert(StateKey::Channels);
        }
        if conversation.told != Told::Opened {
            conversation.told = Told::MayOpen;
        }
        conversation.ready_at = conversation.ready_at.or(Some(now));
        let waiting_since = conversation.digest.waiting_since.unwrap_or(now);
        Standing::At(Place::Ready { tier: tier_of(conversation, Some(urgency)), waiting_since })
    }

    /// When a conversation with something to say may say it.
    pub(super) fn due_at(&self, conversation: &Conversation) -> Timestamp {
        let waiting_since = conversation.digest.waiting_since.unwrap_or(self.now);
        let urgency = conversation.digest.worst_urgency.unwrap_or(Urgency::Normal);
        let horizon = self.policy.horizons.of(urgency);
        let (wait, interval) = match &conversation.subject {
            // Critical news that found no slot is no less urgent for it.
            Subject::RollUp { .. } if urgency == Urgency::Critical => (Duration::ZERO, horizon / 20),
            Subject::RollUp { .. } => (horizon / 6, horizon / 6),
            Subject::Route { .. } if !conversation.words.is_empty() => (Duration::ZERO, Duration::ZERO),
            Subject::Route { kind: Kind::Thread, .. } => (Duration::ZERO, Duration::ZERO),
            Subject::Route { route, .. } => {
                let timing = self.policy.routes.get(route).map(|route| *route.timing(urgency));
                let stretch = self.stretch(urgency);
                timing
                    .map_or((Duration::ZERO, stretch), |timing| (timing.group_wait, timing.group_interval.max(stretch)))
            }
        };
        let first = matches!(conversation.told, Told::Never | Told::MayOpen);
        let after_last = conversation.last_sent.filter(|_| !first).map_or(Timestamp::EPOCH, |sent| sent + interval);
        let after_first = if first || conversation.is_rollup() { waiting_since + wait } else { Timestamp::EPOCH };
        after_last.max(after_first).min(waiting_since + horizon / 2)
    }

    /// The least time between two messages of one conversation while the budget is used: nothing below a tenth of it,
    /// [`STRETCH_MAX`] when it is spent; critical news waits half of that.
    fn stretch(&self, urgency: Urgency) -> Duration {
        let beyond_a_tenth = self.pacing.pressure_percent(self.now).clamp(10, 100) - 10;
        let stretch = STRETCH_MAX * beyond_a_tenth / 90;
        match urgency {
            Urgency::Critical => stretch / 2,
            Urgency::Normal | Urgency::Low => stretch,
        }
    }

    /// How long a conversation that is over is remembered; `None` for a route this config doesn't know.
    fn kept_for(&self, conversation: &Conversation) -> Option<Duration> {
        match &conversation.subject {
            Subject::RollUp { .. } => Some(self.policy.horizons.low),
            Subject::Route { kind: Kind::Thread, .. } if conversation.awaits_its_recipient() => Some(BEGUN_KEPT),
            Subject::Route { route, .. } => {
                let route = self.policy.routes.get(route)?;
                Some(route.window.max(route.timing.episode_gap))
            }
        }
    }

    pub(super) fn channel_of(&self, conversation: &Conversation) -> Option<&Channel> {
        let name = match &conversation.subject {
            Subject::RollUp { channel } => channel,
            Subject::Route { route, .. } => &self.policy.routes.get(route)?.channel,
        };
        self.policy.channels.get(name).map(|policy| &policy.channel)
    }

    fn given_up_at(&self, send_before: Timestamp) -> Timestamp {
        send_before + self.policy.limits.request_timeout + self.policy.limits.skew_margin
    }

    /// A delivery whose sender can't answer any more.
    pub(super) fn lost_delivery(&self, id: Fingerprint) -> Option<DeliveryId> {
        let delivery = self.conversations.get(&id)?.in_flight.as_ref()?;
        let Phase::Sending { send_before } = delivery.phase else { return None };
        let over = self.given_up_at(send_before) <= self.now;
        over.then_some(DeliveryId { conversation: id, sequence: delivery.sequence, attempt: delivery.attempt })
    }

    fn send(&mut self, id: Fingerprint, effects: &mut Effects) {
        self.schedule.remove(id);
        self.freeze(id, effects);
        let send_before = self.now + self.policy.limits.send_within;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        conversation.ready_at = None;
        let Some(delivery) = conversation.in_flight.as_mut() else { return };
        delivery.phase = Phase::Sending { send_before };
        let delivery_id = DeliveryId { conversation: id, sequence: delivery.sequence, attempt: delivery.attempt };
        let Some(request) = self.request(id) else { return };
        self.pacing.begin();
        effects.sends.push(Delivery { id: delivery_id, request, send_before });
        effects.dirty.insert(StateKey::Conversation(id));
        self.place(id, effects);
    }

    /// What is asked for next: usually that a message be taken.
    fn request(&self, id: Fingerprint) -> Option<Request> {
        let conversation = self.conversations.get(&id)?;
        let delivery = conversation.in_flight.as_ref()?;
        let message = |repeat| {
            let channel = self.channel_of(conversation)?;
            let posting = self.telling_of(conversation).map(|telling| telling.posting.clone()).unwrap_or_default();
            let (body, addressed) =
                delivery.message.request(channel, &posting, conversation.missive_id.as_deref(), repeat);
            Some(Request::Message { body, addressed })
        };
        match (delivery.doubt, &conversation.missive_id) {
            (Doubt::LookUp { .. }, Some(known)) => Some(Request::LookUp { conversation: known.clone() }),
            (Doubt::None, _) => message(Repeat::No),
            (Doubt::LookUp { .. }, None) | (Doubt::Lasting, _) => message(Repeat::May),
        }
    }

    /// Turns what is untold into one message; what arrives from now on waits for the next.
    fn freeze(&mut self, id: Fingerprint, effects: &mut Effects) {
        let now = self.now;
        let Some(conversation) = self.conversations.get(&id).filter(|conversation| conversation.in_flight.is_none())
        else {
            return;
        };
        let Some(channel) = self.channel_of(conversation).cloned() else { return };
        let telling = self.telling_of(conversation).unwrap_or_default();
        let reference = self.reference(id, conversation);
        let routing_key = routing_key(id, conversation);
        let apart = self.apart(id);
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let mut digest = std::mem::take(&mut conversation.digest);
        let mut files = std::mem::take(&mut digest.files);
        let (said, covers) = take_words(conversation, &digest, Message::room(&channel));
        let owed = conversation.owed.take().filter(|_| digest.is_empty());
        conversation.stale_told |= owed == Some(Owed::Stale);
        let reason = reason(conversation, &digest, owed);
        let urgency = digest.worst_urgency.or(conversation.members.worst_firing()).unwrap_or(Urgency::Normal);
        let scene = Scene { now, conversation, digest: &digest, said: &said, owed, channel: &channel, apart: &apart };
        let told = telling.tell(&scene, &mut files);
        if said.is_empty() {
            conversation.firing_told = conversation.firing();
        }
        conversation.sequence = (conversation.sequence + 1).max(now.as_millis());
        if covers < digest.covers {
            conversation.digest = digest.without_said(covers);
        }
        let sequence = conversation.sequence;
        conversation.in_flight = Some(InFlight {
            sequence,
            attempt: 1,
            message: Message {
                external_id: format!("{reference}:{sequence}").into(),
                reference: reference.into(),
                routing_key: routing_key.as_str().into(),
                sender: told.sender.into(),
                subject: told.subject.into(),
                body: told.body.into(),
                colour: told.colour,
                close: told.close,
                labels: told.labels,
                attachments: files.whole,
                delivered_at: told.delivered_at,
            },
            covers,
            reason,
            urgency,
            since: now,
            doubt: Doubt::None,
            phase: Phase::Waiting { until: now },
        });
        let route = RoutingKey::route(routing_key.as_str()).unwrap_or_default();
        self.note_faults(route, told.faults, effects);
    }

    /// A template that fails loses nothing: people read the default words. Operators hear of it.
    fn note_faults(&mut self, route: &str, faults: Vec<TemplateFault>, effects: &mut Effects) {
        self.tally.template_faults += faults.len() as u64;
        for (key, error) in faults {
            effects.note(Notice::TemplateFailed { route: route.into(), key, error, count: 1 });
        }
    }

    pub(super) fn telling_of(&self, conversation: &Conversation) -> Option<Arc<Telling>> {
        let Subject::Route { route, .. } = &conversation.subject else { return None };
        self.policy.routes.get(route).map(|route| Arc::clone(&route.telling))
    }

    fn reference(&self, id: Fingerprint, conversation: &Conversation) -> String {
        let namespace = &self.policy.namespace;
        match conversation.kind() {
            Kind::Alert => format!("{namespace}:{id}:{}", conversation.episode.as_millis()),
            Kind::Record | Kind::Thread => format!("{namespace}:{id}"),
        }
    }
}

/// As many whole utterances as one message can hold, at least one; and how many observations that covers. Where words wait
/// in a conversation that isn't a thread, they were sent back, and are a message of their own.
fn take_words(
    conversation: &mut Conversation,
    digest: &Digest,
    chars_max: usize,
) -> (Vec<super::conversation::Said>, u32) {
    if conversation.kind() != Kind::Thread && conversation.words.is_empty() {
        return (Vec::new(), digest.covers);
    }
    let mut said = Vec::new();
    let mut chars = 0;
    while let Some(next) = conversation.words.front() {
        chars += next.text.chars().count() + next.author.chars().count() + 4;
        if chars > chars_max && !said.is_empty() {
            break;
        }
        said.extend(conversation.words.pop_front());
    }
    let covers = u32::try_from(said.len()).unwrap_or(u32::MAX);
    (said, covers)
}

/// Why this message is sent.
pub(super) fn reason(conversation: &Conversation, digest: &Digest, owed: Option<Owed>) -> Reason {
    let counts = &digest.counts;
    let all_resolved = conversation.over_since.is_some() && counts.resolved > 0 && conversation.members.gone() == 0;
    match owed {
        _ if conversation.is_rollup() => return Reason::RolledUp,
        Some(Owed::Repeat) => return Reason::Repeat,
        Some(Owed::Stale) => return Reason::Stale,
        None if conversation.told != Told::Opened => return Reason::First,
        None if all_resolved => return Reason::AllResolved,
        None => {}
    }
    let kinds = [
        (counts.firing, Reason::NewFiring),
        (counts.resolved, Reason::Resolved),
        (counts.gone, Reason::NoLongerReported),
        (counts.flapping, Reason::Flapping),
        (counts.changed.saturating_add(counts.said), Reason::Update),
    ];
    let mut told = kinds.into_iter().filter(|(count, _)| *count > 0).map(|(_, reason)| reason);
    match (told.next(), told.next()) {
        (Some(only), None) => only,
        _ => Reason::Digest,
    }
}

pub(super) fn routing_key(id: Fingerprint, conversation: &Conversation) -> RoutingKey {
    match &conversation.subject {
        Subject::Route { route, key, .. } => RoutingKey::new(route, key, &id.to_string()),
        Subject::RollUp { channel } => RoutingKey::new("rollup", channel, &id.to_string()),
    }
}

fn tier_of(conversation: &Conversation, urgency: Option<Urgency>) -> Tier {
    if conversation.is_rollup() || conversation.kind() == Kind::Thread {
        return Tier::Reserved;
    }
    let worst =
        conversation.digest.worst_urgency.into_iter().chain(conversation.members.worst_firing()).chain(urgency).min();
    Tier::of(worst.unwrap_or(Urgency::Normal))
}

#[cfg(test)]
pub(super) mod tests_support {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use crate::lane::policy::ChannelPolicy;
    use crate::missive::{Channel, ChannelType, Contact, Mail};

    pub fn channel(new_conversations: usize, new_conversations_critical: usize, window: Duration) -> ChannelPolicy {
        ChannelPolicy {
            channel: Channel {
                name: "ops".into(),
                account: "11111111-2222-4333-8444-555555555555".parse().expect("a UUID"),
                kind: ChannelType::Text,
                recipient: Contact { id: "ops".into(), username: "ops".into(), name: "Ops".into() },
                organization: None,
                team: None,
                body_chars_max: 8_000,
                time_zone: TimeZone::UTC,
                account_key: "account".into(),
                mail: Mail::default(),
            },
            new_conversations,
            new_conversations_critical,
            new_conversations_window: window,
        }
    }
}
