//! The naive model: what the ledger as a whole says must become of every observation.
//!
//! It knows nothing of time, digests, budgets or crashes: it reads the ledger once, in order, keeps everything for ever, and
//! tells of each record how many positions are new and, in a strict scenario, how many of those are news, duplicates or
//! suppressed; and of each conversation, what it has heard and when. What became of news (delivered, dead-lettered, pending)
//! is not its business.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use missived::event::frame::Learned;
use missived::event::{Position, State};

use super::happening::{Gesture, Happening, Place};
use super::source::Item;

/// What one ledger record adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub distinct: u64,
    pub news: u64,
    pub duplicates: u64,
    pub suppressed: u64,
}

/// Everything ever said, by conversation.
#[derive(Debug, Default)]
pub struct Reference {
    marks: BTreeMap<i32, Position>,
    /// News that was heard.
    heard: HashSet<u64>,
    /// By the number of their place.
    conversations: BTreeMap<usize, Known>,
}

/// What one conversation has heard, in order.
#[derive(Debug)]
pub struct Known {
    pub place: Rc<Place>,
    pub changes: Vec<Change>,
    /// Where in the ledger something known was said again.
    pub repeats: Vec<usize>,
    alerts: BTreeMap<u64, (State, Option<u64>)>,
    muted: bool,
}

/// Something that was no repeat and not late.
#[derive(Debug)]
pub struct Change {
    /// Where in the ledger.
    pub at: usize,
    pub happening: Rc<Happening>,
    /// It has to be told: nobody had muted the conversation.
    pub is_news: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    News,
    NewsIfUnheard,
    Duplicate,
    Suppressed,
}

impl Reference {
    /// The next frame of the ledger, and where it stands. What the intake has dropped stands behind what it has sent.
    pub fn read(&mut self, at: usize, partition: i32, items: &[Item]) -> Expected {
        let mark = self.marks.get(&partition).copied();
        let is_new = |item: &&Item| mark.is_none_or(|mark| item.position > mark);
        let mut expected = Expected::default();
        for item in items.iter().filter(is_new).filter(|item| !item.dropped) {
            expected.distinct += 1;
            self.hear(at, &item.happening, &mut expected);
        }
        for item in items.iter().filter(is_new).filter(|item| item.dropped) {
            expected.distinct += 1;
            expected.duplicates += 1;
            self.hear_again(at, &item.happening);
        }
        if let Some(last) = items.iter().rfind(is_new) {
            self.marks.insert(partition, last.position);
        }
        expected
    }

    /// The next lesson of the ledger.
    pub fn learn(&mut self, gesture: &Gesture) {
        let is_meant = |known: &&mut Known| known.place.route == gesture.route && known.place.key == gesture.key;
        if let Some(known) = self.conversations.values_mut().find(is_meant) {
            match gesture.about {
                Learned::Muted => known.muted = true,
                Learned::Unmuted => known.muted = false,
                Learned::Answered | Learned::Closed | Learned::Reopened => {}
            }
        }
    }

    pub fn conversations(&self) -> impl Iterator<Item = &Known> {
        self.conversations.values()
    }

    /// Conversations in which something fires.
    pub fn firing(&self) -> usize {
        let fires = |known: &&Known| known.alerts.values().any(|(state, _)| *state == State::Firing);
        self.conversations.values().filter(fires).count()
    }

    fn hear(&mut self, at: usize, happening: &Rc<Happening>, expected: &mut Expected) {
        let unheard = !self.heard.contains(&happening.news);
        let is = match self.conversations.get(&happening.place.number) {
            Some(known) => known.what_is(happening),
            None if happening.state == State::Resolved => Is::Suppressed,
            None => Is::NewsIfUnheard,
        };
        match is {
            Is::Suppressed => expected.suppressed += 1,
            Is::NewsIfUnheard if unheard => self.note(at, happening, expected),
            Is::News => self.note(at, happening, expected),
            Is::Duplicate | Is::NewsIfUnheard => {
                expected.duplicates += 1;
                self.hear_again(at, happening);
            }
        }
        if is != Is::Suppressed {
            self.heard.insert(happening.news);
        }
    }

    fn hear_again(&mut self, at: usize, happening: &Happening) {
        if let Some(known) = self.conversations.get_mut(&happening.place.number) {
            known.repeats.push(at);
        }
    }

    fn note(&mut self, at: usize, happening: &Rc<Happening>, expected: &mut Expected) {
        let new = || Known::new(&happening.place);
        let known = self.conversations.entry(happening.place.number).or_insert_with(new);
        if matches!(happening.state, State::Firing | State::Resolved) {
            known.alerts.insert(happening.entity, (happening.state, happening.since));
        }
        known.changes.push(Change { at, happening: Rc::clone(happening), is_news: !known.muted });
        if known.muted {
            expected.suppressed += 1;
        } else {
            expected.news += 1;
        }
    }
}

impl Known {
    fn new(place: &Rc<Place>) -> Self {
        let place = Rc::clone(place);
        Self { place, changes: Vec::new(), repeats: Vec::new(), alerts: BTreeMap::new(), muted: false }
    }

    fn what_is(&self, happening: &Happening) -> Is {
        let Some((state, since)) = self.alerts.get(&happening.entity) else { return Is::NewsIfUnheard };
        let older = matches!((happening.since, since), (Some(this), Some(known)) if this < *known);
        let newer = matches!((happening.since, since), (Some(this), Some(known)) if this > *known);
        match (state, happening.state) {
            (State::Resolved, State::Resolved) => Is::Duplicate,
            (State::Firing | State::Resolved, _) if older => Is::Suppressed,
            (State::Firing, State::Firing) if newer => Is::News,
            (State::Firing, State::Firing) => Is::Duplicate,
            _ => Is::News,
        }
    }
}
