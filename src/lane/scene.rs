//! What templates see of a message: the conversation, what is told by name, people's words, and the default words.
//!
//! Everything that strangers wrote is cleaned as in the default words; nothing here is markup but the default body of an html
//! or email channel. [`NAMES`] and [`sample`] are what a template is judged against.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use super::apart::Apart;
use super::conversation::{Conversation, Owed, Said, Subject};
use super::digest::{Counts, Digest, Line, News};
use super::telling::Told;
use super::words::{clean, format_in, local, mark, verbatim};
use crate::event::{Kind, Timestamp, Urgency};
use crate::missive::{Channel, ChannelType};

/// Names that templates may begin with.
pub const NAMES: [&str; 24] = [
    "author",
    "channel",
    "counts",
    "default",
    "event",
    "fields",
    "firing",
    "first",
    "flaps",
    "key",
    "kind",
    "last",
    "lines",
    "link",
    "more",
    "repeats",
    "route",
    "said",
    "severity",
    "state",
    "text",
    "title",
    "urgency",
    "was_firing",
];

/// What a message is about, and where it goes.
pub(super) struct Scene<'a> {
    pub now: Timestamp,
    pub conversation: &'a Conversation,
    pub digest: &'a Digest,
    pub said: &'a [Said],
    pub owed: Option<Owed>,
    pub channel: &'a Channel,
    pub apart: &'a Apart,
}

impl Scene<'_> {
    pub fn facts(&self, told: &Told) -> Value {
        let (conversation, digest) = (self.conversation, self.digest);
        let (route, key) = match &conversation.subject {
            Subject::Route { route, key, .. } => (&**route, &**key),
            Subject::RollUp { .. } => ("", ""),
        };
        let lines: Vec<Value> = digest.lines().map(|line| self.line(line)).collect();
        let event = lines.first().cloned().unwrap_or_else(nothing);
        let firing = conversation.firing();
        let worst = conversation.members.worst_firing().or(digest.worst_urgency).unwrap_or(Urgency::Normal);
        let body = match self.channel.kind {
            ChannelType::Text => Value::from(&told.body),
            ChannelType::Html | ChannelType::Email => Value::from_safe_string(told.body.clone()),
        };
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| local(at, &self.channel.time_zone));
        let said = self
            .said
            .iter()
            .map(|said| map([("author", clean(&said.author).into()), ("text", verbatim(&said.text).into())]));
        let of_event = |name: &str| event.get_attr(name).unwrap_or_default();
        map([
            ("author", self.said.first().map_or_else(String::new, |said| clean(&said.author)).into()),
            ("channel", (&*self.channel.name).into()),
            ("counts", counts(&digest.counts)),
            ("default", map([("body", body), ("title", (&told.subject).into()), ("sender", (&told.sender).into())])),
            ("fields", of_event("fields")),
            ("firing", firing.into()),
            ("first", time(digest.first).into()),
            ("flaps", digest.flaps.into()),
            ("key", clean(key).into()),
            ("kind", kind_word(conversation.kind()).into()),
            ("last", time(digest.last).into()),
            ("link", of_event("link")),
            ("more", digest.unnamed().into()),
            ("repeats", digest.repeats.into()),
            ("route", route.into()),
            ("said", said.collect::<Vec<_>>().into()),
            ("severity", of_event("severity")),
            ("state", state(conversation, firing).into()),
            ("text", of_event("text")),
            ("title", clean(&conversation.title).into()),
            ("urgency", worst.as_str().into()),
            ("was_firing", conversation.firing_told.into()),
            ("event", event.clone()),
            ("lines", lines.into()),
        ])
    }

    fn line(&self, line: &Line) -> Value {
        let fields = line.named.iter().map(|(name, value)| (name.to_string(), Value::from(verbatim(value))));
        let time = format_in(line.since, &self.channel.time_zone, "%H:%M");
        map([
            ("mark", mark(line.news, line.urgency).into()),
            ("news", word(line.news).into()),
            ("urgency", line.urgency.as_str().into()),
            ("severity", clean(&line.severity).into()),
            ("title", clean(&line.title).into()),
            ("text", verbatim(&line.text).into()),
            ("link", clean(&line.link).into()),
            ("runbook", clean(&line.runbook).into()),
            ("silence", clean(&line.silence).into()),
            ("since", local(line.since, &self.channel.time_zone).into()),
            ("time", time.into()),
            ("fields", fields.collect::<BTreeMap<_, _>>().into()),
        ])
    }
}

/// What templates see where there is no event.
fn nothing() -> Value {
    line_of("", BTreeMap::<String, Value>::new().into())
}

fn line_of(text: &str, fields: Value) -> Value {
    let texts = ["mark", "news", "urgency", "severity", "title", "text", "link", "runbook", "silence", "since", "time"];
    let texts = texts.map(|name| (name, Value::from(text)));
    texts.into_iter().chain([("fields", fields)]).collect::<BTreeMap<_, _>>().into()
}

/// A message in which every name stands for something; any field is `1`, which is text and number.
pub(super) fn sample() -> Value {
    let line = line_of("1", Value::from_object(AnyField));
    let one = |name: &'static str| (name, Value::from("1"));
    let words = ["author", "channel", "first", "key", "kind", "last", "link", "route", "severity", "state", "text"];
    let numbers = ["firing", "flaps", "more", "repeats", "was_firing"];
    let said = vec![map([one("author"), one("text")]); 10];
    let rest = [
        one("title"),
        one("urgency"),
        ("counts", counts(&Counts::default())),
        ("default", map(["body", "title", "sender"].map(one))),
        ("event", line.clone()),
        ("fields", Value::from_object(AnyField)),
        ("lines", vec![line; 10].into()),
        ("said", said.into()),
    ];
    let named = words.map(one).into_iter().chain(numbers.map(|name| (name, Value::from(1)))).chain(rest);
    named.collect::<BTreeMap<_, _>>().into()
}

/// Stands for the fields of an event that has them all.
#[derive(Debug)]
struct AnyField;

impl minijinja::value::Object for AnyField {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some("1".into())
    }
}

fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    BTreeMap::from(entries).into()
}

fn counts(counts: &Counts) -> Value {
    let [critical, normal, low] = counts.by_urgency;
    map([
        ("firing", counts.firing.into()),
        ("resolved", counts.resolved.into()),
        ("changed", counts.changed.into()),
        ("said", counts.said.into()),
        ("gone", counts.gone.into()),
        ("flapping", counts.flapping.into()),
        ("critical", critical.into()),
        ("normal", normal.into()),
        ("low", low.into()),
        ("total", counts.total().into()),
    ])
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Alert => "alert",
        Kind::Record => "record",
        Kind::Thread => "thread",
    }
}

fn state(conversation: &Conversation, firing: u32) -> &'static str {
    match conversation.kind() {
        Kind::Alert if firing > 0 => "firing",
        Kind::Alert if conversation.members.gone() > 0 => "gone",
        Kind::Alert => "resolved",
        Kind::Record => "changed",
        Kind::Thread => "said",
    }
}

const fn word(news: News) -> &'static str {
    match news {
        News::Firing => "firing",
        News::Resolved => "resolved",
        News::Changed => "changed",
        News::Said => "said",
        News::Gone => "gone",
        News::Flapping => "flapping",
    }
}
