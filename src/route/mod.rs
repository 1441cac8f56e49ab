//! From an event to an observation: which rule it matches, where it goes, how urgent it is.
//!
//! A [`Source`] is one Kafka topic with its format and its rules; the first rule whose conditions all hold takes the event.

use std::time::Duration;

use crate::event::{Format, Urgency};

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
