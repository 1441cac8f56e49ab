//! The alerts of one conversation: what state each is in, and which of them can't make up their mind.
//!
//! An alert that changes its state more often than [`Flap`] allows *flaps*: that is told once, and then nothing of it until
//! it has been calm for as long; meanwhile it counts as firing, whatever it says. Instants are the records' own, so that a
//! backlog read at once shows the changes as far apart as they were; one that claims to be of the future is of now.
//!
//! Bounds: [`Members::remember`] keeps as many as it is told; an alert remembers [`Flap::changes`] instants.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::policy::Flap;
use crate::event::{Fingerprint, Observation, State, Timestamp, Urgency, cut};

/// The title of an alert, in bytes.
pub const TITLE_BYTES_MAX: usize = 256;

/// What is known of one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    Firing,
    Resolved,
    /// Its group doesn't report it any more, and nobody has said that it was over: silenced, inhibited, deleted.
    Gone,
}

impl Standing {
    /// What an observation of this state makes of an alert.
    pub const fn of(state: State) -> Self {
        match state {
            State::Firing | State::Changed | State::Said => Self::Firing,
            State::Resolved => Self::Resolved,
        }
    }
}

/// One alert of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub standing: Standing,
    pub urgency: Urgency,
    /// By its own account.
    pub since: Option<Timestamp>,
    /// Time of the record that last changed it.
    pub at: Timestamp,
    pub title: Box<str>,
    /// Since when it flaps without having been calm.
    pub flapping: bool,
    /// When its state changed, newest last.
    changed: VecDeque<Timestamp>,
}

/// What a change of an alert is to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// To be told as what it is.
    News,
    /// One too many: to be told as flapping.
    BeginsToFlap { changes: u32 },
    /// Only counted: people know that it flaps.
    Flaps,
}

/// All alerts that a conversation remembers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    by_entity: BTreeMap<Fingerprint, Member>,
    /// Of these, how many count as firing, by urgency.
    firing: [u32; Urgency::ALL.len()],
    flapping: u32,
}

impl Member {
    fn new(at: Timestamp, observation: &Observation<'_>) -> Self {
        Self {
            standing: Standing::of(observation.state),
            urgency: observation.urgency,
            since: observation.since,
            at,
            title: cut(&observation.facts.title, TITLE_BYTES_MAX).into(),
            flapping: false,
            changed: VecDeque::new(),
        }
    }

    /// Whether it fires, or can't make up its mind.
    pub fn counts_as_firing(&self) -> bool {
        self.flapping || self.standing == Standing::Firing
    }

    fn turn(&mut self, at: Timestamp, standing: Standing, flap: Flap) -> Change {
        self.at = self.at.max(at);
        if self.calm_at(flap).is_some_and(|calm| calm <= self.at) {
            self.calm_down();
        }
        if std::mem::replace(&mut self.standing, standing) == standing {
            return if self.flapping { Change::Flaps } else { Change::News };
        }
        self.changed.push_back(self.at);
        let recent = self.at - flap.window;
        while self.changed.len() > flap.changes as usize + 1 || self.changed.front().is_some_and(|at| *at < recent) {
            self.changed.pop_front();
        }
        if self.flapping {
            return Change::Flaps;
        }
        self.flapping = self.changed.len() > flap.changes as usize;
        if self.flapping { Change::BeginsToFlap { changes: flap.changes + 1 } } else { Change::News }
    }

    fn calm_down(&mut self) {
        self.flapping = false;
        self.changed.clear();
    }

    /// When it will have been calm for long enough, if nothing happens.
    fn calm_at(&self, flap: Flap) -> Option<Timestamp> {
        let last = self.changed.back().filter(|_| self.flapping)?;
        Some(*last + flap.window)
    }
}

impl Members {
    pub fn get(&self, entity: Fingerprint) -> Option<&Member> {
        self.by_entity.get(&entity)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Fingerprint, &Member)> {
        self.by_entity.iter().map(|(entity, member)| (*entity, member))
    }

    /// How many count as firing.
    pub fn firing(&self) -> u32 {
        self.firing.iter().sum()
    }

    /// The most urgent of these.
    pub fn worst_firing(&self) -> Option<Urgency> {
        Urgency::ALL.into_iter().find(|urgency| self.firing[*urgency as usize] > 0)
    }

    /// How many went without a word.
    pub fn gone(&self) -> u32 {
        let gone = self.by_entity.values().filter(|member| member.standing == Standing::Gone).count();
        u32::try_from(gone).unwrap_or(u32::MAX)
    }

    /// Takes over what an observation says of its alert. At most `members_max` are remembered; beyond that those that don't
    /// fire make room, and what finds none is news without a memory.
    pub fn remember(
        &mut self,
        now: Timestamp,
        observation: &Observation<'_>,
        flap: Flap,
        members_max: usize,
    ) -> Change {
        let at = observation.at.min(now);
        if let Some(member) = self.by_entity.get_mut(&observation.entity) {
            tally(&mut self.firing, &mut self.flapping, member, Tally::Out);
            let change = member.turn(at, Standing::of(observation.state), flap);
            member.urgency = observation.urgency;
            member.since = observation.since;
            let title = cut(&observation.facts.title, TITLE_BYTES_MAX);
            if *member.title != *title {
                member.title = title.into();
            }
            tally(&mut self.firing, &mut self.flapping, member, Tally::In);
            return change;
        }
        if self.by_entity.len() >= members_max {
            self.forget_one();
        }
        if self.by_entity.len() < members_max {
            let member = Member::new(at, observation);
            tally(&mut self.firing, &mut self.flapping, &member, Tally::In);
            self.by_entity.insert(observation.entity, member);
        }
        Change::News
    }

    /// An alert that nobody has reported: it doesn't fire yet.
    pub fn introduce(&mut self, entity: Fingerprint, at: Timestamp, urgency: Urgency, title: &str) {
        let title = cut(title, TITLE_BYTES_MAX).into();
        let (standing, changed) = (Standing::Resolved, VecDeque::new());
        self.by_entity.insert(entity, Member { standing, urgency, since: None, at, title, flapping: false, changed });
    }

    /// Changes the standing of an alert without an observation of its own.
    pub fn turn(&mut self, entity: Fingerprint, at: Timestamp, standing: Standing, flap: Flap) -> Option<Change> {
        let member = self.by_entity.get_mut(&entity)?;
        tally(&mut self.firing, &mut self.flapping, member, Tally::Out);
        let change = member.turn(at, standing, flap);
        tally(&mut self.firing, &mut self.flapping, member, Tally::In);
        Some(change)
    }

    /// When the next flapping alert will have been calm for long enough.
    pub fn next_calm(&self, flap: Flap) -> Option<Timestamp> {
        if self.flapping == 0 {
            return None;
        }
        self.by_entity.values().filter_map(|member| member.calm_at(flap)).min()
    }

    /// Calls calm those that have been for long enough; returns which.
    pub fn calm_down(&mut self, now: Timestamp, flap: Flap) -> Vec<Fingerprint> {
        if self.flapping == 0 {
            return Vec::new();
        }
        let mut calm = Vec::new();
        for (entity, member) in &mut self.by_entity {
            if member.calm_at(flap).is_some_and(|at| at <= now) {
                tally(&mut self.firing, &mut self.flapping, member, Tally::Out);
                member.calm_down();
                tally(&mut self.firing, &mut self.flapping, member, Tally::In);
                calm.push(*entity);
            }
        }
        calm
    }

    /// Forgets all but those that count as firing.
    pub fn forget_the_calm(&mut self) {
        self.by_entity.retain(|_, member| member.counts_as_firing());
    }

    fn forget_one(&mut self) {
        let calm = self.by_entity.iter().find(|(_, member)| !member.counts_as_firing()).map(|(entity, _)| *entity);
        if let Some(entity) = calm {
            self.by_entity.remove(&entity);
        }
    }
}

/// A member's part in the counts: taken out before it changes, put in again afterwards.
enum Tally {
    Out,
    In,
}

fn tally(firing: &mut [u32; Urgency::ALL.len()], flapping: &mut u32, member: &Member, tally: Tally) {
    let counts = [(&mut firing[member.urgency as usize], member.counts_as_firing()), (flapping, member.flapping)];
    for (count, applies) in counts {
        *count = match tally {
            Tally::Out => *count - u32::from(applies),
            Tally::In => *count + u32::from(applies),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{Facts, Position};

    const FLAP: Flap = Flap { changes: 3, window: Duration::from_secs(60) };

    fn observation(entity: u128, state: State, secs: u64) -> Observation<'static> {
        Observation {
            position: Position::default(),
            route: "alerts",
            at: at(secs),
            old: false,
            entity: Fingerprint::from_u128(entity),
            identity: Fingerprint::from_u128(2),
            state,
            urgency: if entity == 1 { Urgency::Critical } else { Urgency::Normal },
            since: None,
            conversation: Cow::Borrowed("k"),
            facts: Facts::default(),
        }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + secs * 1_000)
    }

    #[test]
    fn an_alert_flaps_from_the_change_that_is_one_too_many_until_it_has_been_calm() {
        use State::{Firing, Resolved};
        let mut members = Members::default();
        let flaps = Change::BeginsToFlap { changes: 4 };
        let steps = [
            ("it fires", 0, Firing, Change::News),
            ("resolves", 10, Resolved, Change::News),
            ("fires again", 20, Firing, Change::News),
            ("resolves again", 30, Resolved, Change::News),
            ("fires once too often", 40, Firing, flaps),
            ("goes on", 50, Resolved, Change::Flaps),
            ("and on", 100, Firing, Change::Flaps),
        ];
        for (sentence, secs, state, wanted) in steps {
            assert_eq!(members.remember(at(secs), &observation(1, state, secs), FLAP, 9), wanted, "{sentence}");
        }
        assert_eq!(members.next_calm(FLAP), Some(at(160)));
        assert_eq!((members.calm_down(at(159), FLAP).len(), members.calm_down(at(160), FLAP).len()), (0, 1));
        assert_eq!(members.next_calm(FLAP), None);
        assert_eq!(members.remember(at(170), &observation(1, Resolved, 170), FLAP, 9), Change::News, "it counts anew");
    }

    #[test]
    fn an_alert_that_was_calm_for_long_enough_by_its_records_is_news_again_though_no_timer_said_so() {
        let mut members = Members::default();
        let mut remember = |secs: u64, state| members.remember(at(9_999), &observation(1, state, secs), FLAP, 9);
        for (round, state) in [State::Firing, State::Resolved].into_iter().cycle().take(5).enumerate() {
            remember(round as u64, state);
        }
        assert_eq!(remember(63, State::Resolved), Change::Flaps, "59 seconds after its last change");
        assert_eq!(remember(123, State::Firing), Change::News);
        assert_eq!(members.next_calm(FLAP), None);
    }

    #[test]
    fn slow_changes_are_news_each_however_many() {
        let mut members = Members::default();
        for number in 0..50 {
            let state = if number % 2 == 0 { State::Firing } else { State::Resolved };
            assert_eq!(
                members.remember(at(number * 21), &observation(1, state, number * 21), FLAP, 9),
                Change::News,
                "{number}"
            );
        }
    }

    #[test]
    fn alerts_remembered_by_name_are_bounded_and_a_firing_one_is_never_forgotten_for_another() {
        let mut members = Members::default();
        for entity in 1..10 {
            members.remember(at(0), &observation(entity, State::Firing, 0), FLAP, 3);
        }
        assert_eq!((members.by_entity.len(), members.firing()), (3, 3));
        assert!(members.get(Fingerprint::from_u128(1)).is_some());
        members.remember(at(1), &observation(2, State::Resolved, 1), FLAP, 3);
        members.remember(at(2), &observation(9, State::Firing, 2), FLAP, 3);
        assert!(members.get(Fingerprint::from_u128(9)).is_some(), "a resolved one makes room");
    }

    proptest! {
        /// Counts are kept along; they are what counting would find.
        #[test]
        fn counts_are_those_of_the_members(steps in prop::collection::vec((0u128..5, 0u8..5, 0u64..30), 0..200)) {
            let mut members = Members::default();
            let mut secs = 0;
            for (entity, what, later) in steps {
                secs += later;
                let of = Fingerprint::from_u128(entity);
                match what {
                    0 | 1 => { members.remember(at(secs), &observation(entity, State::Firing, secs), FLAP, 4); }
                    2 => { members.remember(at(secs), &observation(entity, State::Resolved, secs), FLAP, 4); }
                    3 => { members.turn(of, at(secs), Standing::Gone, FLAP); }
                    _ => { members.calm_down(at(secs), FLAP); }
                }
                let firing = members.iter().filter(|(_, member)| member.counts_as_firing()).count();
                prop_assert_eq!(members.firing() as usize, firing);
                let worst = members.iter().filter(|(_, member)| member.counts_as_firing()).map(|(_, member)| member.urgency).min();
                prop_assert_eq!(members.worst_firing(), worst);
                prop_assert_eq!(members.flapping as usize, members.iter().filter(|(_, member)| member.flapping).count());
                prop_assert!(members.by_entity.len() <= 4);
            }
        }
    }
}
