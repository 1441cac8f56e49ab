//! What happens: things that sources say, what people do in the inbox, when the clock is set.

use std::borrow::Cow;
use std::rc::Rc;

use missived::event::lesson::{Learned, Lesson, LessonsBuilder};
use missived::event::{Facts, Fingerprint, HashKey, Observation, Position, State, Timestamp, Urgency};

use super::inbox::conversation_id;
use super::policy::channel_of;
use super::random::Random;

/// One conversation of one route, as the sources see it.
#[derive(Debug)]
pub struct Place {
    /// Counted from 0 in every simulation.
    pub number: usize,
    pub route: &'static str,
    pub key: String,
    /// What the lane calls it.
    pub id: Fingerprint,
}

/// Something a source says.
#[derive(Clone, Debug)]
pub struct Happening {
    pub at: u64,
    pub place: Rc<Place>,
    pub entity: u64,
    /// Which news it is; whatever says the same has the same number.
    pub news: u64,
    pub state: State,
    pub since: Option<u64>,
    pub urgency: Urgency,
    pub old: bool,
    pub author: &'static str,
    /// Names it, as in `<7>`; a person's words.
    pub text: Rc<str>,
}

/// What one record of a source topic says.
#[derive(Clone, Debug)]
pub struct SourceRecord {
    /// When it arrives.
    pub at: u64,
    /// Its own time, whenever it arrives; otherwise what it says has happened when it says so.
    pub stamped: Option<u64>,
    pub says: Vec<Rc<Happening>>,
    /// It tells of all members of its group; whoever is missing is not reported any more.
    pub snapshot: Snapshot,
}

/// Does a record tell of a whole group?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    No,
    Whole,
    /// The source left some out, and says so.
    Truncated,
}

/// What a person does in the inbox.
#[derive(Clone, Debug)]
pub struct Gesture {
    pub at: u64,
    pub route: &'static str,
    pub key: String,
    pub about: Learned,
}

/// The wall clock is set.
#[derive(Clone, Copy, Debug)]
pub struct Jump {
    pub at: u64,
    pub by: i64,
}

impl Place {
    pub fn new(number: usize, route: &'static str, key: String, hash: &HashKey) -> Self {
        let id = hash.fingerprint(&[route.as_bytes(), key.as_bytes()]);
        Self { number, route, key, id }
    }

    /// One of its entities, as the lane knows it.
    pub fn fingerprint(&self, entity: u64) -> Fingerprint {
        spread(1 + self.number as u64, entity)
    }
}

impl Happening {
    pub fn observation(&self, position: Position, stamped: Option<u64>) -> Observation<'_> {
        Observation {
            position,
            route: self.place.route,
            at: Timestamp::from_millis(stamped.unwrap_or(self.at)),
            old: self.old,
            entity: self.fingerprint(),
            identity: spread(0, self.news),
            state: self.state,
            urgency: self.urgency,
            since: self.since.map(Timestamp::from_millis),
            conversation: Cow::Borrowed(&self.place.key),
            facts: Facts {
                title: Cow::Borrowed(if self.state == State::Said { "" } else { &self.text }),
                text: Cow::Borrowed(&self.text),
                author: Cow::Borrowed(self.author),
                ..Facts::default()
            },
        }
    }

    /// What it is about, as the lane knows it.
    fn fingerprint(&self) -> Fingerprint {
        self.place.fingerprint(self.entity)
    }

    /// What it is about, as an intake knows it: an alert, or else itself.
    pub fn thing(&self) -> (usize, u64) {
        match self.state {
            State::Firing | State::Resolved => (self.place.number, self.entity),
            State::Changed | State::Said => (usize::MAX, self.news),
        }
    }
}

impl Gesture {
    pub fn write(&self, hash: &HashKey) -> Vec<u8> {
        let conversation = hash.fingerprint(&[self.route.as_bytes(), self.key.as_bytes()]);
        let lesson = Lesson {
            channel: channel_of(self.route),
            routing_key: &format!("{}/{}", self.route, self.key),
            conversation_id: &conversation_id(conversation).to_string(),
            about: self.about,
            at: Timestamp::from_millis(self.at),
        };
        LessonsBuilder::of(&lesson).as_bytes().to_vec()
    }
}

/// 128 bits that look like a hash, of two numbers.
fn spread(one: u64, other: u64) -> Fingerprint {
    let mut random = Random::apart(other, one);
    Fingerprint::from_u128(u128::from(random.draw()) << 64 | u128::from(random.draw()))
}
