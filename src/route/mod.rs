//! From an event to observations: which rules it matches, where it goes, how urgent it is.
//!
//! A [`Source`] is one Kafka topic with its format and its rules. The first rule whose conditions all hold takes the event;
//! if it says so, the event goes on to the rules behind it. A rule for leftovers takes what no other took. Matching allocates
//! nothing, and rules that ask for the field that the rule before them asked for don't look it up again.

mod carries;
mod condition;
mod reach;

use std::time::Duration;

use crate::event::{
    Event, Facts, Field, Fingerprint, Format, Found, Handling, HashKey, Observation, Position, Timestamp, Urgency,
};

pub use carries::{Address, AddressPart, Carries, FIELDS_MAX, FileAt, FileName, Rewrite, Whole, base64_len};
pub use condition::{Condition, Glob, Pattern, Range, Test};
pub use reach::{Never, unreachable};

/// The most rules of one source, and so the most observations of one event.
pub const RULES_MAX: u32 = 1024;

/// One source topic.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its key in the config.
    pub name: Box<str>,
    pub topic: Box<str>,
    pub format: Format,
    /// How records are opened and screened before the format reads them.
    pub handling: Handling,
    pub start: Start,
    /// Events older than this, by the record's time, are told together instead of one by one.
    pub max_age: Duration,
    /// Larger records become dead letters.
    pub record_bytes_max: usize,
    /// In order; at most [`RULES_MAX`].
    pub rules: Vec<Rule>,
}

/// Where a topic without a committed offset is first read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// Where facts are put together; kept from event to event for its buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    names: String,
    carried: String,
}

/// One config rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The route's name; also its key in the lane's policy.
    pub name: Box<str>,
    /// Name of the lane its channel belongs to.
    pub lane: Box<str>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Overrides what the event's own severity says.
    pub urgency: Option<Urgency>,
    pub after: After,
    pub takes: Takes,
    /// What it adds to what is news.
    pub carries: Carries,
}

/// Where an event goes after a rule has taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nowhere else.
    Stop,
    /// To the rules behind.
    Continue,
}

/// What a rule is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// What its conditions hold for.
    Matching,
    /// The same, as far as no other rule took it.
    Leftovers,
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub offset: i64,
    /// The record's own time.
    pub at: Timestamp,
    /// Older than its source's `max_age`.
    pub old: bool,
    /// How many rules took the event before this one.
    pub copy: u32,
}

/// What a route's name adds to the hashes of what it carries, so that two routes never share an identity.
#[derive(Clone, Copy, Debug)]
pub struct RouteHash(Fingerprint);

impl RouteHash {
    /// What an event's own hash becomes within the route.
    #[must_use]
    pub fn of(self, hash: Fingerprint) -> Fingerprint {
        hash.within(self.0)
    }
}

impl Rule {
    /// A rule that takes everything.
    pub fn new(name: &str, lane: &str) -> Self {
        let (name, lane, conditions) = (name.into(), lane.into(), Vec::new());
        let (urgency, after, takes) = (None, After::Stop, Takes::Matching);
        Self { name, lane, conditions, urgency, after, takes, carries: Carries::default() }
    }

    /// Computed once per rule.
    pub fn hash(&self, key: &HashKey) -> RouteHash {
        RouteHash(key.fingerprint(&[b"route", self.name.as_bytes()]))
    }

    /// The event as this rule's observation, but for its facts, which take longer than all the rest: a repeat is told without.
    /// Observations of one event have places of their own, in the order of the rules.
    pub fn sight<'a>(&'a self, hash: RouteHash, event: &Event<'a>, seen: Seen) -> Observation<'a> {
        Observation {
            position: Position { offset: seen.offset, index: event.index * RULES_MAX + seen.copy },
            route: &self.name,
            at: seen.at,
            old: seen.old,
            entity: hash.of(event.entity),
            identity: hash.of(event.identity),
            state: event.state,
            urgency: self.urgency.unwrap_or(event.urgency),
            since: event.since,
            conversation: event.conversation.clone(),
            facts: Facts::default(),
        }
    }

    /// Adds the facts to an observation of `event`, which are needed only if it is told; `scratch` holds what has to be put
    /// together.
    pub fn furnish<'a>(&'a self, event: &'a Event<'a>, scratch: &'a mut Scratch, observation: &mut Observation<'a>) {
        observation.facts = event.facts(&mut scratch.names);
        self.carries.furnish(event, &mut scratch.carried, &mut observation.facts);
    }
}

impl Source {
    /// The places of the rules that take the event, in order.
    pub fn route<'s>(&'s self, event: &'s Event<'s>) -> Routes<'s> {
        Routes { rules: &self.rules, next: 0, event, taken: false, known: None }
    }
}

/// Every route of these sources once, in order.
pub fn names(sources: &[Source]) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for rule in sources.iter().flat_map(|source| &source.rules) {
        if !names.contains(&rule.name) {
            names.push(rule.name.clone());
        }
    }
    names
}

/// The rules that take one event.
pub struct Routes<'s> {
    rules: &'s [Rule],
    next: usize,
    event: &'s Event<'s>,
    taken: bool,
    /// What was looked up last.
    known: Option<(&'s Field, Option<Found<'s>>)>,
}

impl<'s> Routes<'s> {
    fn takes(&mut self, rule: &'s Rule) -> bool {
        let left = match rule.takes {
            Takes::Matching => true,
            Takes::Leftovers => !self.taken,
        };
        left && rule.conditions.iter().all(|condition| {
            let found = self.look_up(&condition.field);
            condition.holds(found)
        })
    }

    fn look_up(&mut self, field: &'s Field) -> Option<Found<'s>> {
        if let Some((_, found)) = self.known.filter(|(known, _)| *known == field) {
            return found;
        }
        let found = self.event.fields.find(field);
        self.known = Some((field, found));
        found
    }
}

impl Iterator for Routes<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while let Some(rule) = self.rules.get(self.next) {
            let place = self.next;
            self.next += 1;
            if self.takes(rule) {
                self.taken = true;
                if rule.after == After::Stop {
                    self.next = self.rules.len();
                }
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Decoder, Record};

    fn rule(name: &str, conditions: &[(&str, &str)]) -> Rule {
        let condition = |(field, equals): &(&str, &str)| Condition {
            field: Field::parse(field).expect("a field"),
            test: Test::Equals([(*equals).into()].into()),
        };
        Rule { conditions: conditions.iter().map(condition).collect(), ..Rule::new(name, "default") }
    }

    fn source(rules: Vec<Rule>) -> Source {
        Source {
            name: "alerts".into(),
            topic: "alerts".into(),
            format: Format::Alertmanager,
            handling: Handling::plain(),
            start: Start::Latest,
            max_age: Duration::from_secs(3600),
            record_bytes_max: 1 << 20,
            rules,
        }
    }

    fn routed(rules: Vec<Rule>) -> Vec<String> {
        let payload = br#"{"groupKey":"k","receiver":"r","alerts":[{"status":"firing","labels":{"team":"pay","severity":"critical"}}]}"#;
        let source = source(rules);
        let mut found = Vec::new();
        let record = Record { payload: Some(payload), headers: &[] };
        let route = &mut |event: &Event<'_>| {
            found = source.route(event).map(|place| source.rules[place].name.to_string()).collect();
        };
        Decoder::new(HashKey::new([0; 16])).decode(&source.format, record, route).expect("a valid body");
        found
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_takes_the_event() {
        let rows = [
            ("no rule, no route", vec![], None),
            ("a rule without conditions takes everything", vec![rule("all", &[])], Some("all")),
            ("by label", vec![rule("web", &[("team", "web")]), rule("pay", &[("team", "pay")])], Some("pay")),
            ("by a field of the group", vec![rule("r", &[("receiver", "r")])], Some("r")),
            ("by pointer", vec![rule("p", &[("/alerts/0/labels/team", "pay")])], Some("p")),
            ("by pointer from the alert", vec![rule("p", &[("/labels/team", "pay")])], Some("p")),
            ("all conditions must hold", vec![rule("both", &[("team", "pay"), ("severity", "warning")])], None),
            ("an absent field equals nothing", vec![rule("absent", &[("region", "")])], None),
        ];
        for (sentence, rules, route) in rows {
            assert_eq!(routed(rules), Vec::from_iter(route), "{sentence}");
        }
    }

    #[test]
    fn an_event_goes_on_where_a_rule_says_so_and_leftovers_are_what_nobody_took() {
        let on = |rule: Rule| Rule { after: After::Continue, ..rule };
        let rest = || Rule { takes: Takes::Leftovers, ..rule("rest", &[]) };
        let (pay, web, all) = (rule("pay", &[("team", "pay")]), rule("web", &[("team", "web")]), rule("all", &[]));
        let rows = [
            ("it goes on to whoever else wants it", vec![on(pay.clone()), all.clone(), rest()], vec!["pay", "all"]),
            ("what was taken is no leftover", vec![on(pay.clone()), web.clone(), rest()], vec!["pay"]),
            ("what nobody took is one", vec![on(web), rest()], vec!["rest"]),
            ("the first that doesn't go on is the last", vec![pay, on(all), rest()], vec!["pay"]),
        ];
        for (sentence, rules, routes) in rows {
            assert_eq!(routed(rules), routes, "{sentence}");
        }
    }

    #[test]
    fn observations_of_one_event_stand_one_behind_the_other() {
        let payload = br#"{"groupKey":"k","alerts":[{"status":"firing","labels":{}},{"status":"firing","labels":{}}]}"#;
        let rules = [rule("a", &[]), rule("b", &[])];
        let key = HashKey::new([0; 16]);
        let mut positions = Vec::new();
        let look = &mut |event: &Event<'_>| {
            for (copy, rule) in (0..).zip(&rules) {
                let seen = Seen { offset: 5, at: Timestamp::EPOCH, old: false, copy };
                positions.push(rule.sight(rule.hash(&key), event, seen).position);
            }
        };
        let record = Record { payload: Some(payload), headers: &[] };
        Decoder::new(key.clone()).decode(&Format::Alertmanager, record, look).expect("a valid body");
        assert_eq!(positions.len(), 4);
        assert!(positions.is_sorted_by(|one, next| one < next), "{positions:?}");
    }
}
