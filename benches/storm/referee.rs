//! Missive's side, and nobody's friend: counts requests in exact windows, reads what the messages say, and settles the
//! storm's events against it. It knows nothing of the lane but its deliveries.
//!
//! A message of a group stands for the newest of the group's untold events, as many as it says; what it doesn't reach has
//! gone to the roll-up before. Roll-ups tell the rest: critical events by name where they are named, everything else in
//! the order of arrival, which is the kindest assignment that the counts allow.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use missived::event::{Fingerprint, Timestamp, Urgency};

use super::events::{Event, News, title_of};

const MINUTE: u64 = 60_000;
const QUARTER_HOUR: u64 = 900_000;

/// What a message says, read from its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Events it stands for: its lines, and how many more.
    pub events: u32,
    /// How many of them are critical, where it says so.
    pub critical: u32,
    /// The alerts it names.
    pub named: Vec<u32>,
}

/// One message on its way or taken.
#[derive(Clone, Debug)]
struct Message {
    frozen: Timestamp,
    released: Timestamp,
    answered: Timestamp,
    said: Said,
}

/// When an event was told.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub released: Timestamp,
    pub answered: Timestamp,
    pub by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Own,
    RollUp,
}

/// How often each limit was broken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Violations {
    pub at_once: usize,
    pub minute: usize,
    pub quarter_hour: usize,
}

impl Violations {
    pub const fn all(&self) -> usize {
        self.at_once + self.minute + self.quarter_hour
    }
}

pub struct Referee {
    groups: HashMap<Fingerprint, u32>,
    /// Untold unique events of each group, oldest first, as far as its own messages tell.
    untold: HashMap<u32, VecDeque<u32>>,
    rolled: Vec<u32>,
    roll_ups: Vec<Message>,
    told: HashMap<u32, Told>,
    /// Windows as they could be counted: at sending, at answering, somewhere between.
    counted: [Vec<u64>; 3],
    in_progress: BTreeSet<(Fingerprint, u64)>,
    at_once: usize,
    pub at_once_max: usize,
    pub references: HashMap<Box<str>, Timestamp>,
    /// What no message should say.
    pub nonsense: Vec<String>,
}

impl Referee {
    pub fn new(groups: HashMap<Fingerprint, u32>) -> Self {
        Self {
            groups,
            untold: HashMap::new(),
            rolled: Vec::new(),
            roll_ups: Vec::new(),
            told: HashMap::new(),
            counted: Default::default(),
            in_progress: BTreeSet::new(),
            at_once: 0,
            at_once_max: 0,
            references: HashMap::new(),
            nonsense: Vec::new(),
        }
    }

    /// The lane has been told of an event.
    pub fn heard(&mut self, event: &Event) {
        if event.news == News::Unique {
            self.untold.entry(event.group).or_default().push_back(event.number);
        }
    }

    /// A message was frozen at `frozen`, will be on the wire at `released` and answered at `answered`.
    pub fn message(&mut self, conversation: Fingerprint, body: &[u8], [frozen, released, answered]: [Timestamp; 3]) {
        let Some((text, reference)) = read_body(body) else {
            return self.nonsense.push("a body that is no message".to_owned());
        };
        self.references.entry(reference).or_insert(released);
        let said = read(&text);
        match self.groups.get(&conversation) {
            None => self.roll_ups.push(Message { frozen, released, answered, said }),
            Some(group) => {
                let (group, told) = (*group, Told { released, answered, by: By::Own });
                self.own(group, &said, told, &text);
            }
        }
    }

    /// A request is on the wire.
    pub fn sent(&mut self, id: (Fingerprint, u64), limit: usize) {
        if self.in_progress.iter().any(|(conversation, _)| *conversation == id.0) {
            self.nonsense.push(format!("two messages of conversation {} at once", id.0));
        }
        self.in_progress.insert(id);
        self.at_once_max = self.at_once_max.max(self.in_progress.len());
        self.at_once += usize::from(self.in_progress.len() > limit);
    }

    /// And was answered; Missive counted it at `counted`.
    pub fn answered(&mut self, id: (Fingerprint, u64), [sent, counted, answered]: [Timestamp; 3]) {
        self.in_progress.remove(&id);
        for (moments, moment) in self.counted.iter_mut().zip([sent, counted, answered]) {
            moments.push(moment.as_millis());
        }
    }

    pub fn violations(&mut self, per_minute: usize, per_quarter_hour: usize) -> Violations {
        let mut found = Violations { at_once: self.at_once, ..Violations::default() };
        for moments in &mut self.counted {
            moments.sort_unstable();
            found.minute += exceeded(moments, MINUTE, per_minute);
            found.quarter_hour += exceeded(moments, QUARTER_HOUR, per_quarter_hour);
        }
        found
    }

    /// Settles what the roll-ups told; tells when each unique event was told, those that were.
    pub fn settle(&mut self, events: &[Event]) -> &HashMap<u32, Told> {
        let left = std::mem::take(&mut self.untold).into_values().flatten();
        self.rolled.extend(left);
        self.rolled.sort_unstable();
        let rolled: BTreeSet<u32> = self.rolled.iter().copied().collect();
        let is_critical = |number: &u32| events[*number as usize].urgency == Urgency::Critical;
        let mut critical: BTreeSet<u32> = rolled.iter().copied().filter(is_critical).collect();
        let mut others: VecDeque<u32> = rolled.iter().copied().filter(|number| !is_critical(number)).collect();
        for message in &self.roll_ups {
            let told = Told { released: message.released, answered: message.answered, by: By::RollUp };
            let named: Vec<u32> = message.said.named.iter().copied().filter(|alert| critical.remove(alert)).collect();
            let unnamed = (message.said.critical as usize).saturating_sub(named.len());
            let first: Vec<u32> = critical.iter().copied().take(unnamed).collect();
            critical.retain(|number| !first.contains(number));
            let rest = (message.said.events as usize).saturating_sub(named.len() + first.len()).min(others.len());
            for number in named.into_iter().chain(first).chain(others.drain(..rest)) {
                if events[number as usize].at > message.frozen {
                    self.nonsense.push(format!("a roll-up speaks of event {number} before it happened"));
                }
                self.told.insert(number, told);
            }
        }
        &self.told
    }

    /// Events that the roll-ups say they stand for.
    pub fn told_together(&self) -> (usize, u64) {
        (self.roll_ups.len(), self.roll_ups.iter().map(|message| u64::from(message.said.events)).sum())
    }

    fn own(&mut self, group: u32, said: &Said, told: Told, text: &str) {
        let untold = self.untold.entry(group).or_default();
        let Some(rolled) = untold.len().checked_sub(said.events as usize) else {
            return self.nonsense.push(format!("{} of {} events told: {text}", said.events, untold.len()));
        };
        self.rolled.extend(untold.drain(..rolled));
        for number in untold.drain(..) {
            self.told.insert(number, told);
        }
    }
}

/// How often `limit` + 1 of the sorted moments stand within one span.
fn exceeded(moments: &[u64], span: u64, limit: usize) -> usize {
    moments.windows(limit + 1).filter(|window| window[limit] - window[0] < span).count()
}

/// The most of the sorted moments within any `span`.
pub fn most_within(mut moments: Vec<Timestamp>, span: Duration) -> usize {
    moments.sort_unstable();
    let within = |place: usize| moments[place..].iter().take_while(|at| at.since(moments[place]) < span).count();
    (0..moments.len()).map(within).max().unwrap_or(0)
}

fn read_body(body: &[u8]) -> Option<(String, Box<str>)> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let message = &body["messages"];
    Some((message["body"].as_str()?.to_owned(), message["references"][0].as_str()?.into()))
}

/// Reads a message as a person would: what its lines name, and "and 1,204 more".
pub fn read(text: &str) -> Said {
    let headlines = usize::from(is_headline(text));
    let lines: Vec<&str> =
        text.lines().skip(headlines).filter(|line| line.starts_with(['🔴', '🟠', '🔵', '🟢'])).collect();
    let more = text.lines().find_map(|line| Some(number(line.strip_prefix("and ")?.split_once(" more")?.0)));
    let named = lines.iter().filter_map(|line| alert_in(line)).collect();
    let listed = u32::try_from(lines.len()).expect("few lines");
    Said { events: listed + more.unwrap_or(0), critical: critical_in(text), named }
}

/// A first line about all of it, not about one alert.
fn is_headline(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let mut words = first.split(' ').skip(1);
    let counts = words.next().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    first.starts_with("⚠️") || first.starts_with("🟢 All resolved") || counts
}

fn alert_in(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once(&title_of(0)[..6])?;
    rest.split(':').next()?.parse().ok()
}

/// "; 3 critical" of a roll-up, ", 3 critical" of a headline.
fn critical_in(text: &str) -> u32 {
    let before = text.lines().take(2).find_map(|line| line.strip_suffix(" critical"));
    before.and_then(|before| before.rsplit(' ').next()).map_or(0, number)
}

fn number(text: &str) -> u32 {
    text.replace(',', "").parse().unwrap_or(0)
}
