//! What a roll-up says of the conversations behind it: how many have a conversation of their own, how many are told only
//! there, which are the largest.
//!
//! Each channel remembers which conversations it has opened within its window, and which the next roll-up speaks for. Nothing
//! of that is stored: it is gathered again from the conversations after a restart, and what is said is counted from the
//! conversations as they are when the roll-up is put into words. Bounds: the channel's places for new conversations, and the
//! conversations there are.

use std::collections::{BTreeSet, VecDeque};

use super::Lane;
use super::conversation::{Conversation, Subject, Told};
use crate::event::{Fingerprint, Kind, Timestamp, Urgency};

/// Conversations that are named for their size.
const LARGEST_MAX: usize = 3;
/// What has fewer alerts is like any other.
const LARGE: u32 = 2;

/// A channel's conversations in a storm.
#[derive(Clone, Debug, Default)]
pub(super) struct Company {
    /// When they were opened.
    opened: VecDeque<(Timestamp, Fingerprint)>,
    /// The next roll-up message speaks for them.
    here: Vec<Fingerprint>,
}

/// Who has a conversation, and who hasn't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// With a conversation of their own: opened of late, or told here as well.
    pub own: Number,
    /// Told nowhere else.
    pub only_here: Number,
    /// Title and how many fire, the most first.
    pub largest: Vec<(Box<str>, u32)>,
}

/// How many conversations, and in how many of them something critical fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number {
    pub all: u32,
    /// `None`: some are known by number alone.
    pub critical: Option<u32>,
}

impl Lane {
    /// A conversation has got its first message of its own.
    pub(super) fn opened_apart(&mut self, id: Fingerprint) {
        let Some((channel, _)) = self.route_of(id) else { return };
        let now = self.now;
        let Some(window) = self.policy.channels.get(&channel).map(|policy| policy.new_conversations_window) else {
            return;
        };
        let opened = &mut self.companies.entry(channel).or_default().opened;
        while opened.front().is_some_and(|(at, _)| *at + window <= now) {
            opened.pop_front();
        }
        opened.push_back((now, id));
    }

    /// The channel's next roll-up message speaks for it.
    pub(super) fn told_here(&mut self, channel: &str, id: Fingerprint) {
        self.companies.entry(channel.into()).or_default().here.push(id);
    }

    /// What a roll-up that is put into words says of the conversations behind it; its next message is about others. Nothing of
    /// any other conversation.
    pub(super) fn apart(&mut self, id: Fingerprint) -> Apart {
        let Some(conversation) = self.conversations.get(&id) else { return Apart::default() };
        let Subject::RollUp { channel } = &conversation.subject else { return Apart::default() };
        let (now, spoken_for) = (self.now, conversation.digest.conversations);
        let window = self.policy.channels.get(channel).map(|policy| policy.new_conversations_window);
        let Some(company) = self.companies.get_mut(channel) else { return Apart::default() };
        let here: BTreeSet<_> = std::mem::take(&mut company.here).into_iter().collect();
        let recent = |(at, _): &&(Timestamp, _)| window.is_some_and(|window| *at + window > now);
        let opened: BTreeSet<_> = company.opened.iter().filter(recent).map(|(_, id)| *id).collect();
        self.count(&here, &opened, spoken_for)
    }

    fn count(&self, here: &BTreeSet<Fingerprint>, opened: &BTreeSet<Fingerprint>, spoken_for: u32) -> Apart {
        let behind: Vec<_> = here.iter().filter_map(|id| self.conversations.get(id)).collect();
        let own = here.union(opened).filter_map(|id| self.conversations.get(id));
        let is_own = |conversation: &&Conversation| conversation.told == Told::Opened;
        let mut only_here = Number::of(behind.iter().copied().filter(|conversation| !is_own(conversation)));
        let by_number = spoken_for.saturating_sub(u32::try_from(behind.len()).unwrap_or(u32::MAX));
        if by_number > 0 {
            only_here = Number { all: only_here.all.saturating_add(by_number), critical: None };
        }
        Apart { own: Number::of(own.filter(is_own)), only_here, largest: largest(behind) }
    }

    /// Gathers again what was known before a restart.
    pub(super) fn gather_companies(&mut self) {
        let mut ids: Vec<_> = self.conversations.keys().copied().collect();
        ids.sort_unstable_by_key(|id| (self.conversations[id].last_sent, *id));
        for id in ids {
            let Some((channel, told)) = self.route_of(id) else { continue };
            let conversation = &self.conversations[&id];
            let rollup = self.conversations.get(&self.roll_up_id(&channel));
            let is_here = rollup
                .is_some_and(|rollup| !rollup.digest.is_empty() && conversation.rolled_into == rollup.sequence + 1);
            let company = self.companies.entry(channel).or_default();
            if is_here {
                company.here.push(id);
            }
            if let (Told::Opened, Some(at)) = (told, conversation.last_sent) {
                company.opened.push_back((at, id));
            }
        }
    }

    /// The channel of what may have to share a roll-up, and whether people have heard of it.
    fn route_of(&self, id: Fingerprint) -> Option<(Box<str>, Told)> {
        let conversation = self.conversations.get(&id).filter(|conversation| conversation.kind() != Kind::Thread)?;
        let Subject::Route { route, .. } = &conversation.subject else { return None };
        Some((self.policy.routes.get(route)?.channel.clone(), conversation.told))
    }
}

impl Number {
    fn of<'c>(conversations: impl Iterator<Item = &'c Conversation>) -> Self {
        let count = |(all, critical), conversation: &Conversation| {
            let is_critical = conversation.members.worst_firing() == Some(Urgency::Critical);
            (all + 1, critical + u32::from(is_critical))
        };
        let (all, critical) = conversations.fold((0, 0), count);
        Self { all, critical: Some(critical) }
    }
}

fn largest(mut behind: Vec<&Conversation>) -> Vec<(Box<str>, u32)> {
    behind.retain(|conversation| conversation.firing() >= LARGE);
    behind.sort_unstable_by(|a, b| (b.firing(), &a.title).cmp(&(a.firing(), &b.title)));
    behind.truncate(LARGEST_MAX);
    behind.into_iter().map(|conversation| (conversation.title.clone(), conversation.firing())).collect()
}
