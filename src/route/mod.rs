//! From an event to an observation: which rule it matches, where it goes, how urgent it is.
//!
//! A [`Source`] is one Kafka topic with its format and its rules; the first rule whose conditions all hold takes the event.

use std::time::Duration;

use crate::event::{Event, Fingerprint, Format, HashKey, Observation, Position, Timestamp, Urgency};

/// One source topic.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its key in the config.
    pub name: Box<str>,
    pub topic: Box<str>,
    pub format: Format,
    pub start: Start,
    /// Events older than this, by the record's time, are told together instead of one by one.
    pub max_age: Duration,
    /// Larger records become dead letters.
    pub record_bytes_max: usize,
    /// In order; the first match wins.
    pub rules: Vec<Rule>,
}

/// Where a topic without a committed offset is first read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
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
}

/// One field of the event must have one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// A label, an attribute, or (with a leading `/`) a JSON pointer into the event.
    pub field: Box<str>,
    pub equals: Box<str>,
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub offset: i64,
    /// The record's own time.
    pub at: Timestamp,
    /// Older than its source's `max_age`.
    pub old: bool,
}

/// What a route's name adds to the hashes of what it carries, so that two routes never share an identity.
#[derive(Clone, Copy, Debug)]
pub struct RouteHash(Fingerprint);

impl Rule {
    /// Computed once per rule.
    pub fn hash(&self, key: &HashKey) -> RouteHash {
        RouteHash(key.fingerprint(&[b"route", self.name.as_bytes()]))
    }

    fn takes(&self, event: &Event<'_>) -> bool {
        let holds =
            |condition: &Condition| event.fields.get(&condition.field).is_some_and(|found| *found == *condition.equals);
        self.conditions.iter().all(holds)
    }

    /// The event as this rule's observation.
    pub fn observe<'a>(&'a self, hash: RouteHash, event: &Event<'a>, seen: Seen) -> Observation<'a> {
        Observation {
            position: Position { offset: seen.offset, index: event.index },
            route: &self.name,
            at: seen.at,
            old: seen.old,
            entity: event.entity.within(hash.0),
            identity: event.identity.within(hash.0),
            state: event.state,
            urgency: self.urgency.unwrap_or(event.urgency),
            since: event.since,
            conversation: event.conversation.clone(),
            facts: event.facts.clone(),
        }
    }
}

impl Source {
    /// The place of the first rule that takes the event.
    pub fn route(&self, event: &Event<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.takes(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Decoder, Record};

    fn rule(name: &str, conditions: &[(&str, &str)]) -> Rule {
        let condition = |(field, equals): &(&str, &str)| Condition { field: (*field).into(), equals: (*equals).into() };
        Rule {
            name: name.into(),
            lane: "default".into(),
            conditions: conditions.iter().map(condition).collect(),
            urgency: None,
        }
    }

    fn source(rules: Vec<Rule>) -> Source {
        Source {
            name: "alerts".into(),
            topic: "alerts".into(),
            format: Format::Alertmanager,
            start: Start::Latest,
            max_age: Duration::from_secs(3600),
            record_bytes_max: 1 << 20,
            rules,
        }
    }

    fn routed(rules: Vec<Rule>) -> Option<String> {
        let payload = br#"{"groupKey":"k","receiver":"r","alerts":[{"status":"firing","labels":{"team":"pay","severity":"critical"}}]}"#;
        let source = source(rules);
        let mut found = None;
        let record = Record { payload: Some(payload), headers: &[] };
        let route =
            &mut |event: &Event<'_>| found = source.route(event).map(|place| source.rules[place].name.to_string());
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
            ("all conditions must hold", vec![rule("both", &[("team", "pay"), ("severity", "warning")])], None),
            ("an absent field equals nothing", vec![rule("absent", &[("region", "")])], None),
        ];
        for (sentence, rules, route) in rows {
            assert_eq!(routed(rules).as_deref(), route, "{sentence}");
        }
    }
}
