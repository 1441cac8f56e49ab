//! The bounded summary of what a conversation has to say and has not said yet.
//!
//! It takes any number of observations and keeps: how many, of which states and urgencies, first and last time, how many
//! repeats, the worst lines and the newest lines. It always knows how much it stands for beyond the lines it names. A line
//! about an alert replaces the earlier one about the same alert; every change of a record is a line of its own.
//!
//! Most lines come from observations, which have to end somewhere and are counted as covered. Some don't: what is not
//! reported any more, what has calmed down.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::enclosed::Files;
use super::policy::Flap;
use crate::event::links::LINK_BYTES_MAX;
use crate::event::{Fingerprint, Observation, State, Timestamp, Urgency, cut};

/// What a line reports of its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum News {
    Firing,
    Resolved,
    /// A record changed.
    Changed,
    /// A person said something.
    Said,
    /// Not reported any more.
    Gone,
    /// Changes its state all the time.
    Flapping,
}

impl News {
    pub const fn of(state: State) -> Self {
        match state {
            State::Firing => Self::Firing,
            State::Resolved => Self::Resolved,
            State::Changed => Self::Changed,
            State::Said => Self::Said,
        }
    }

    /// Nothing fires any more, as far as it goes.
    const fn is_over(self) -> bool {
        match self {
            Self::Resolved | Self::Gone => true,
            Self::Firing | Self::Changed | Self::Said | Self::Flapping => false,
        }
    }

    const fn replaces_the_last(self) -> bool {
        match self {
            Self::Firing | Self::Resolved | Self::Gone | Self::Flapping => true,
            Self::Changed | Self::Said => false,
        }
    }
}

/// One line: an observation as a message may show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub entity: Fingerprint,
    pub news: News,
    pub urgency: Urgency,
    pub severity: Box<str>,
    pub title: Box<str>,
    pub text: Box<str>,
    pub link: Box<str>,
    /// When it happened, by its own account or else by the record's time.
    pub since: Timestamp,
    pub runbook: Box<str>,
    pub silence: Box<str>,
    /// Name and value of what its route's templates name.
    pub named: Vec<(Box<str>, Box<str>)>,
}

impl Line {
    /// Takes from an observation what a line shows, at most `bytes_max` bytes of each text.
    pub fn of(observation: &Observation<'_>, bytes_max: usize) -> Self {
        let facts = &observation.facts;
        Self {
            entity: observation.entity,
            news: News::of(observation.state),
            urgency: observation.urgency,
            severity: cut(&facts.severity, bytes_max).into(),
            title: cut(&facts.title, bytes_max).into(),
            text: cut(&facts.text, bytes_max).into(),
            link: cut(&facts.link, LINK_BYTES_MAX).into(),
            since: observation.since.unwrap_or(observation.at),
            runbook: cut(&facts.runbook, LINK_BYTES_MAX).into(),
            silence: cut(&facts.silence, LINK_BYTES_MAX).into(),
            named: facts.named.iter().map(|(name, value)| ((&**name).into(), cut(value, bytes_max).into())).collect(),
        }
    }

    /// Makes it say that its alert can't make up its mind.
    pub fn flaps(&mut self, changes: u32, flap: Flap) {
        self.news = News::Flapping;
        self.text = format!("{changes} changes of state within {}", rough(flap.window)).into();
    }
}

/// A span in its largest whole unit.
fn rough(span: Duration) -> String {
    match span.as_secs() {
        secs if secs.is_multiple_of(3600) => format!("{} h", secs / 3600),
        secs if secs.is_multiple_of(60) => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub firing: u32,
    pub resolved: u32,
    pub changed: u32,
    pub said: u32,
    pub gone: u32,
    pub flapping: u32,
    /// Of all but the resolved and the gone, how many were of each urgency, the worst first.
    pub by_urgency: [u32; Urgency::ALL.len()],
}

impl Counts {
    fn add(&mut self, news: News, urgency: Urgency) {
        let of_its_kind = match news {
            News::Firing => &mut self.firing,
            News::Resolved => &mut self.resolved,
            News::Changed => &mut self.changed,
            News::Said => &mut self.said,
            News::Gone => &mut self.gone,
            News::Flapping => &mut self.flapping,
        };
        *of_its_kind = of_its_kind.saturating_add(1);
        let of_its_urgency = &mut self.by_urgency[urgency as usize];
        *of_its_urgency = of_its_urgency.saturating_add(u32::from(!news.is_over()));
    }

    fn merge(&mut self, other: Self) {
        self.firing = self.firing.saturating_add(other.firing);
        self.resolved = self.resolved.saturating_add(other.resolved);
        self.changed = self.changed.saturating_add(other.changed);
        self.said = self.said.saturating_add(other.said);
        self.gone = self.gone.saturating_add(other.gone);
        self.flapping = self.flapping.saturating_add(other.flapping);
        for (own, other) in self.by_urgency.iter_mut().zip(other.by_urgency) {
            *own = own.saturating_add(other);
        }
    }

    pub const fn critical(&self) -> u32 {
        self.by_urgency[Urgency::Critical as usize]
    }

    /// All news it stands for.
    pub const fn total(&self) -> u32 {
        let of_alerts =
            self.firing.saturating_add(self.resolved).saturating_add(self.gone).saturating_add(self.flapping);
        of_alerts.saturating_add(self.changed).saturating_add(self.said)
    }
}

/// What a conversation has to say and has not said yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub counts: Counts,
    /// Observations that are told with it.
    pub covers: u32,
    /// Repeats of what had been told or stands here; counted, not news.
    pub repeats: u32,
    /// Changes of alerts that people know to be flapping; counted, not news.
    pub flaps: u32,
    /// Conversations it speaks for, in a roll-up.
    pub conversations: u32,
    /// Record times of its first and last observation.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// When the oldest of it arrived at the lane.
    pub waiting_since: Option<Timestamp>,
    pub worst_urgency: Option<Urgency>,
    /// The most urgent, oldest first among equals.
    pub worst: Vec<Line>,
    /// The newest last; none of them is in `worst`.
    pub newest: VecDeque<Line>,
    /// What goes along with the next message.
    pub files: Files,
}

impl Digest {
    pub const fn is_empty(&self) -> bool {
        self.counts.total() == 0
    }

    /// What is named, the worst first.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.worst.iter().chain(&self.newest)
    }

    /// Counts one observation whose words stand elsewhere.
    pub fn count(&mut self, now: Timestamp, at: Timestamp, state: State, urgency: Urgency) {
        self.covers = self.covers.saturating_add(1);
        self.note(now, at, News::of(state), urgency);
    }

    /// Takes one observation in; at most `lines_max` lines stay.
    pub fn absorb(&mut self, now: Timestamp, line: Line, at: Timestamp, lines_max: usize) {
        self.covers = self.covers.saturating_add(1);
        self.add(now, line, at, lines_max);
    }

    /// Takes news in that no observation stands behind.
    pub fn add(&mut self, now: Timestamp, line: Line, at: Timestamp, lines_max: usize) {
        self.note(now, at, line.news, line.urgency);
        if line.news.replaces_the_last() {
            self.worst.retain(|known| known.entity != line.entity);
            self.newest.retain(|known| known.entity != line.entity);
        }
        self.keep(line, lines_max);
    }

    /// Takes a whole digest in: a roll-up speaks for it now.
    pub fn merge(&mut self, other: Self, lines_max: usize) {
        self.counts.merge(other.counts);
        self.covers = self.covers.saturating_add(other.covers);
        self.flaps = self.flaps.saturating_add(other.flaps);
        self.repeats = self.repeats.saturating_add(other.repeats);
        self.first = earliest(self.first, other.first);
        self.last = self.last.max(other.last);
        self.waiting_since = earliest(self.waiting_since, other.waiting_since);
        self.worst_urgency = earliest(self.worst_urgency, other.worst_urgency);
        self.files.leave_out(other.files);
        for line in other.worst.into_iter().chain(other.newest) {
            self.keep(line, lines_max);
        }
    }

    /// What stays when `count` of people's own words have been taken out.
    #[must_use]
    pub fn without_said(mut self, count: u32) -> Self {
        self.counts.said = self.counts.said.saturating_sub(count);
        self.covers = self.covers.saturating_sub(count);
        self.repeats = 0;
        self
    }

    /// News beyond the lines that are named.
    pub fn unnamed(&self) -> u32 {
        let named = u32::try_from(self.worst.len() + self.newest.len()).unwrap_or(u32::MAX);
        self.counts.total().saturating_sub(named)
    }

    /// Of these, critical ones that are not over.
    pub fn unnamed_critical(&self) -> u32 {
        let named = self.lines().filter(|line| line.urgency == Urgency::Critical && !line.news.is_over()).count();
        self.counts.critical().saturating_sub(u32::try_from(named).unwrap_or(u32::MAX))
    }

    fn note(&mut self, now: Timestamp, at: Timestamp, news: News, urgency: Urgency) {
        self.counts.add(news, urgency);
        self.first = earliest(self.first, Some(at));
        self.last = self.last.max(Some(at));
        self.waiting_since = earliest(self.waiting_since, Some(now));
        self.worst_urgency = earliest(self.worst_urgency, Some(urgency));
    }

    fn keep(&mut self, line: Line, lines_max: usize) {
        let worst_max = lines_max.div_ceil(2);
        let rank = |line: &Line| (line.news != News::Firing, line.urgency, line.since);
        let place = self.worst.partition_point(|known| rank(known) <= rank(&line));
        let overtaken = if place < worst_max {
            self.worst.insert(place, line);
            if self.worst.len() > worst_max { self.worst.pop() } else { None }
        } else {
            Some(line)
        };
        self.newest.extend(overtaken);
        while self.newest.len() > lines_max / 2 {
            self.newest.pop_front();
        }
    }
}

fn earliest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(entity: u128, urgency: Urgency, news: News) -> Line {
        Line {
            entity: Fingerprint::from_u128(entity),
            news,
            urgency,
            severity: "".into(),
            title: format!("{entity}").into(),
            text: "".into(),
            link: "".into(),
            since: Timestamp::from_millis(u64::try_from(entity).unwrap_or(0)),
            runbook: "".into(),
            silence: "".into(),
            named: Vec::new(),
        }
    }

    fn absorb(digest: &mut Digest, entity: u128, urgency: Urgency) {
        digest.absorb(Timestamp::from_millis(1), line(entity, urgency, News::Firing), Timestamp::from_millis(1), 4);
    }

    #[test]
    fn the_worst_and_the_newest_are_named_and_the_rest_is_a_number() {
        let mut digest = Digest::default();
        for entity in 1..=9 {
            absorb(&mut digest, entity, if entity == 7 { Urgency::Critical } else { Urgency::Normal });
        }
        let titles = |lines: Vec<&Line>| lines.iter().map(|line| line.title.to_string()).collect::<Vec<_>>();
        assert_eq!(titles(digest.worst.iter().collect()), ["7", "1"]);
        assert_eq!(titles(digest.newest.iter().collect()), ["8", "9"]);
        assert_eq!((digest.counts.total(), digest.unnamed()), (9, 5));
    }

    #[test]
    fn a_later_line_about_an_entity_replaces_the_earlier_one_and_both_count() {
        let mut digest = Digest::default();
        absorb(&mut digest, 1, Urgency::Normal);
        let at = Timestamp::from_millis(2);
        digest.absorb(at, line(1, Urgency::Normal, News::Resolved), at, 4);
        assert_eq!(digest.worst.len() + digest.newest.len(), 1);
        assert_eq!((digest.counts.firing, digest.counts.resolved), (1, 1));
        assert_eq!(digest.waiting_since, Some(Timestamp::from_millis(1)));
    }

    #[test]
    fn every_change_of_a_record_is_a_line() {
        let mut digest = Digest::default();
        for millis in 1..=3 {
            let at = Timestamp::from_millis(millis);
            digest.absorb(at, line(1, Urgency::Normal, News::Changed), at, 4);
        }
        assert_eq!((digest.worst.len() + digest.newest.len(), digest.unnamed()), (3, 0));
    }

    #[test]
    fn news_without_an_observation_is_told_and_covers_none() {
        let mut digest = Digest::default();
        digest.add(Timestamp::EPOCH, line(1, Urgency::Critical, News::Gone), Timestamp::EPOCH, 4);
        assert!(!digest.is_empty());
        assert_eq!((digest.covers, digest.counts.gone, digest.counts.critical()), (0, 1, 0));
    }

    proptest! {
        #[test]
        fn lines_are_bounded_and_nothing_is_uncounted(entities in prop::collection::vec((0u128..50, 0usize..3), 0..400), lines_max in 1usize..12) {
            let mut digest = Digest::default();
            let mut other = Digest::default();
            for (number, (entity, urgency)) in entities.iter().enumerate() {
                let into = if number % 3 == 0 { &mut other } else { &mut digest };
                let at = Timestamp::from_millis(number as u64);
                into.absorb(at, line(*entity, Urgency::ALL[*urgency], News::Firing), at, lines_max);
            }
            digest.merge(other, lines_max);
            prop_assert_eq!(digest.counts.total() as usize, entities.len());
            prop_assert!(digest.worst.len() + digest.newest.len() <= lines_max);
            prop_assert!(digest.unnamed() as usize + digest.worst.len() + digest.newest.len() >= entities.len().min(1));
        }
    }
}
