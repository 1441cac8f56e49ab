//! The naive model: what the ledger as a whole says must become of every observation.
//!
//! It knows nothing of time, digests, budgets or crashes: it reads the ledger once, in order, keeps everything for ever, and
//! tells of each record how many positions are new and, in a strict scenario, how many of those are news, duplicates or
//! suppressed. What became of news (delivered, dead-lettered, pending) is not its business.

use std::collections::{HashMap, HashSet};

use missived::event::frame::Learned;
use missived::event::{Fingerprint, HashKey, Position, State};

use super::source::{Gesture, Happening, Item};

/// What one ledger record adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub distinct: u64,
    pub news: u64,
    pub duplicates: u64,
    pub suppressed: u64,
}

/// Everything ever said, by conversation.
#[derive(Debug)]
pub struct Reference {
    key: HashKey,
    marks: HashMap<i32, Position>,
    identities: HashSet<Fingerprint>,
    conversations: HashMap<(&'static str, String), Known>,
    /// People's words that are news, by thread, in order.
    pub words: HashMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Known {
    alerts: HashMap<u64, (State, Option<u64>)>,
    muted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    News,
    NewsIfUnheard,
    Duplicate,
    Suppressed,
}

impl Reference {
    pub fn new(key: HashKey) -> Self {
        Self {
            key,
            marks: HashMap::new(),
            identities: HashSet::new(),
            conversations: HashMap::new(),
            words: HashMap::new(),
        }
    }

    /// The next frame of the ledger.
    pub fn read(&mut self, partition: i32, items: &[Item]) -> Expected {
        let mark = self.marks.get(&partition).copied();
        let mut expected = Expected::default();
        for item in items.iter().filter(|item| mark.is_none_or(|mark| item.position > mark)) {
            expected.distinct += 1;
            if item.dropped {
                expected.duplicates += 1;
            } else {
                self.hear(&item.happening, &mut expected);
            }
            self.marks.insert(partition, item.position);
        }
        expected
    }

    /// The next lesson of the ledger.
    pub fn learn(&mut self, gesture: &Gesture) {
        if let Some(known) = self.conversations.get_mut(&(gesture.route, gesture.key.clone())) {
            match gesture.about {
                Learned::Muted => known.muted = true,
                Learned::Unmuted => known.muted = false,
                Learned::Answered | Learned::Closed | Learned::Reopened => {}
            }
        }
    }

    /// Conversations in which something fires.
    pub fn firing(&self) -> usize {
        let fires = |known: &&Known| known.alerts.values().any(|(state, _)| *state == State::Firing);
        self.conversations.values().filter(fires).count()
    }

    fn hear(&mut self, happening: &Happening, expected: &mut Expected) {
        let place = (happening.route, happening.key.clone());
        let unheard = !self.identities.contains(&happening.identity(&self.key));
        let is = match self.conversations.get(&place) {
            Some(known) => known.what_is(happening),
            None if happening.state == State::Resolved => Is::Suppressed,
            None => Is::NewsIfUnheard,
        };
        match is {
            Is::Suppressed => expected.suppressed += 1,
            Is::Duplicate => expected.duplicates += 1,
            Is::NewsIfUnheard if !unheard => expected.duplicates += 1,
            Is::News | Is::NewsIfUnheard => self.note(happening, expected),
        }
        if is != Is::Suppressed {
            self.identities.insert(happening.identity(&self.key));
        }
    }

    fn note(&mut self, happening: &Happening, expected: &mut Expected) {
        let known = self.conversations.entry((happening.route, happening.key.clone())).or_default();
        if matches!(happening.state, State::Firing | State::Resolved) {
            known.alerts.insert(happening.entity, (happening.state, happening.since));
        }
        if known.muted {
            expected.suppressed += 1;
            return;
        }
        expected.news += 1;
        if happening.state == State::Said {
            self.words.entry(happening.key.clone()).or_default().push(happening.text.clone());
        }
    }
}

impl Known {
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
