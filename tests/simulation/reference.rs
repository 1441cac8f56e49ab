//! The naive model: what the ledger as a whole says must become of every observation.
//!
//! It knows nothing of time, digests, budgets or crashes: it reads the ledger once, in order, keeps everything for ever, and
//! tells of each record how many positions are new and, in a strict scenario, how many of those are news, duplicates or
//! suppressed; and of each conversation, what it has heard and when. What became of news (delivered, dead-lettered, pending)
//! is not its business.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use missived::event::lesson::Learned;
use missived::event::{Position, State};

use super::happening::{Gesture, Happening, Place};
use super::source::{Framed, Item, Listed};

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
    /// Changes after which an alert flaps; 0: never.
    flap_changes: u64,
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
    /// Where an alert changed of which people know that it flaps.
    pub flaps: Vec<usize>,
    /// Where in the ledger a person closed it, or opened it again.
    closed: Vec<(usize, bool)>,
    alerts: BTreeMap<u64, Alert>,
    muted: bool,
}

/// What is known of one alert.
#[derive(Debug)]
struct Alert {
    standing: Standing,
    since: Option<u64>,
    /// Time of the record that last changed it.
    at: u64,
    /// What was last said of it.
    says: Rc<Happening>,
    changes: u64,
}

/// Can an alert make up its mind?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mind {
    Made,
    /// This change is one too many.
    Lost,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Firing,
    Resolved,
    /// Missing from its group.
    Gone,
}

/// Something that was no repeat and not late.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where in the ledger.
    pub at: usize,
    /// What was said, or what was last said of an alert that changed without a word.
    pub happening: Rc<Happening>,
    /// What an alert is since then.
    pub standing: Option<Standing>,
    pub mind: Mind,
    /// An observation stands behind it.
    pub covered: bool,
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
    pub fn new(flap_changes: u64) -> Self {
        Self { flap_changes, ..Self::default() }
    }

    /// How many alerts flap, unless nobody wants to hear of them.
    pub fn flapping(&self) -> u64 {
        let flaps = |alert: &&Alert| self.flap_changes > 0 && alert.changes > self.flap_changes;
        let heard = self.conversations.values().filter(|known| !known.muted);
        heard.map(|known| known.alerts.values().filter(flaps).count() as u64).sum()
    }

    /// The next frame of the ledger, and where it stands. What the intake has dropped stands behind what it has sent.
    pub fn read(&mut self, at: usize, partition: i32, framed: &Framed) -> Expected {
        let mark = self.marks.get(&partition).copied();
        let is_after_mark = |position: Position| mark.is_none_or(|mark| position > mark);
        let (items, is_new) = (&framed.items, |item: &&Item| is_after_mark(item.position));
        let mut snapshots = framed.snapshots.iter().filter(|listed| is_after_mark(listed.position)).peekable();
        let mut expected = Expected::default();
        for item in items.iter().filter(is_new).filter(|item| !item.dropped) {
            expected.distinct += 1;
            while let Some(listed) = snapshots.next_if(|listed| listed.position < item.position) {
                self.see(at, listed);
            }
            self.hear(at, item, &mut expected);
        }
        snapshots.for_each(|listed| self.see(at, listed));
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
    pub fn learn(&mut self, at: usize, gesture: &Gesture) {
        let is_meant = |known: &&mut Known| known.place.route == gesture.route && known.place.key == gesture.key;
        if let Some(known) = self.conversations.values_mut().find(is_meant) {
            match gesture.about {
                Learned::Muted => known.muted = true,
                Learned::Unmuted => known.muted = false,
                Learned::Closed => known.closed.push((at, true)),
                Learned::Reopened => known.closed.push((at, false)),
                Learned::Answered | Learned::Begun => {}
            }
        }
    }

    pub fn conversations(&self) -> impl Iterator<Item = &Known> {
        self.conversations.values()
    }

    /// Conversations in which something fires.
    pub fn firing(&self) -> usize {
        let fires = |known: &&Known| known.alerts.values().any(|alert| alert.standing == Standing::Firing);
        self.conversations.values().filter(fires).count()
    }

    /// Whoever is missing from a whole group is gone, and whoever was gone and is listed is not.
    fn see(&mut self, at: usize, listed: &Listed) {
        let Some(known) = self.conversations.get_mut(&listed.place.number) else { return };
        for (entity, alert) in known.alerts.iter_mut().filter(|(_, alert)| alert.at <= listed.at) {
            let standing = match (alert.standing, listed.entities.contains(entity)) {
                (Standing::Firing, false) => Standing::Gone,
                (Standing::Gone, true) => Standing::Firing,
                (Standing::Firing, true) | (Standing::Gone, false) | (Standing::Resolved, _) => continue,
            };
            alert.at = listed.at;
            let mind = alert.turn(standing, self.flap_changes);
            if mind == Mind::Gone && !known.muted {
                known.flaps.push(at);
            }
            known.changes.push(Change {
                at,
                happening: Rc::clone(&alert.says),
                standing: Some(standing),
                mind,
                covered: false,
                is_news: !known.muted && mind != Mind::Gone,
            });
        }
    }

    fn hear(&mut self, at: usize, item: &Item, expected: &mut Expected) {
        let happening = &item.happening;
        let unheard = !self.heard.contains(&happening.news);
        let is = match self.conversations.get(&happening.place.number) {
            Some(known) => known.what_is(happening, item.at),
            None if happening.state == State::Resolved => Is::Suppressed,
            None => Is::NewsIfUnheard,
        };
        match is {
            Is::Suppressed => expected.suppressed += 1,
            Is::NewsIfUnheard if unheard => self.note(at, item, expected),
            Is::News => self.note(at, item, expected),
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

    fn note(&mut self, at: usize, item: &Item, expected: &mut Expected) {
        let happening = &item.happening;
        let new = || Known::new(&happening.place);
        let known = self.conversations.entry(happening.place.number).or_insert_with(new);
        let standing = match happening.state {
            State::Firing => Some(Standing::Firing),
            State::Resolved => Some(Standing::Resolved),
            State::Changed | State::Said => None,
        };
        let mut mind = Mind::Made;
        if let Some(standing) = standing {
            let says = || Rc::clone(happening);
            let new = || Alert { standing, since: None, at: item.at, says: says(), changes: 0 };
            let alert = known.alerts.entry(happening.entity).or_insert_with(new);
            mind = alert.turn(standing, self.flap_changes);
            (alert.since, alert.at, alert.says) = (happening.since, item.at.max(alert.at), says());
        }
        if mind == Mind::Gone && !known.muted {
            known.flaps.push(at);
        }
        let is_news = !known.muted && mind != Mind::Gone;
        known.changes.push(Change { at, happening: Rc::clone(happening), standing, mind, covered: true, is_news });
        if is_news {
            expected.news += 1;
        } else {
            expected.suppressed += 1;
        }
    }
}

impl Alert {
    fn turn(&mut self, standing: Standing, flap_changes: u64) -> Mind {
        let flapped = flap_changes > 0 && self.changes > flap_changes;
        self.changes += u64::from(self.standing != standing);
        self.standing = standing;
        match (flapped, flap_changes > 0 && self.changes > flap_changes) {
            (true, _) => Mind::Gone,
            (false, true) => Mind::Lost,
            (false, false) => Mind::Made,
        }
    }
}

impl Known {
    fn new(place: &Rc<Place>) -> Self {
        let place = Rc::clone(place);
        Self {
            place,
            changes: Vec::new(),
            repeats: Vec::new(),
            flaps: Vec::new(),
            closed: Vec::new(),
            alerts: BTreeMap::new(),
            muted: false,
        }
    }

    /// Where in the ledger a person closed it, if nobody has opened it again before this place.
    pub fn closed_at(&self, before: usize) -> Option<usize> {
        let last = self.closed.iter().rfind(|(at, _)| *at < before);
        last.filter(|(_, closed)| *closed).map(|(at, _)| *at)
    }

    fn what_is(&self, happening: &Happening, recorded: u64) -> Is {
        let Some(alert) = self.alerts.get(&happening.entity) else { return Is::NewsIfUnheard };
        let older = matches!((happening.since, alert.since), (Some(this), Some(known)) if this < known);
        let newer = matches!((happening.since, alert.since), (Some(this), Some(known)) if this > known);
        match (alert.standing, happening.state) {
            (Standing::Resolved, State::Resolved) => Is::Duplicate,
            (_, _) if older => Is::Suppressed,
            (Standing::Gone, State::Firing) if recorded < alert.at => Is::Suppressed,
            (Standing::Firing, State::Firing) if newer => Is::News,
            (Standing::Firing, State::Firing) => Is::Duplicate,
            (_, _) => Is::News,
        }
    }
}
