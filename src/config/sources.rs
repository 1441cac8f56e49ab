//! `[sources.NAME]`: topics, their formats, and the routes that their events take.
//!
//! Route names are the keys of the lanes' policies, so they are unique over all sources. A source's own `channel` is its
//! last route, which takes whatever is left and has the source's name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::channels::ChannelPart;
use super::fault::{KeyPath, one_of, quoted};
use super::gates::gate;
use super::raw::{Section, found};
use super::secrets::Environment;
use super::timing::Timings;
use super::value::{FormatWord, Name, Pointer, Size, Topic, Value as _, is_pointer};
use crate::event::{Format, Kind, Pointers, Urgency};
use crate::hook::ingest::Gate;
use crate::lane::policy::RoutePolicy;
use crate::route::{Condition, Rule, Source, Start};

/// Our topics, below the namespace.
const INTERNAL_TOPICS: [&str; 4] = ["ledger", "state", "replies", "dead-letters"];

/// Conditions of one route.
const CONDITIONS_MAX: usize = 32;

/// Every source, and every route with the lane it belongs to.
#[derive(Default)]
pub(super) struct SourcesPart {
    pub sources: Vec<Source>,
    pub routes: Vec<RoutePart>,
    pub gates: Vec<Gate>,
}

pub(super) struct RoutePart {
    pub lane: Box<str>,
    /// Where its window stands, or would.
    pub window_key: KeyPath,
    pub policy: RoutePolicy,
}

/// What routes inherit from their source.
struct Defaults {
    kind: Kind,
    urgency: Option<Urgency>,
    window: Duration,
    timings: Timings,
}

/// The sources of the file. `namespace` is what internal topics begin with.
pub(super) fn sources(
    root: &Section<'_>,
    channels: &[ChannelPart],
    namespace: &str,
    environment: &Environment,
) -> SourcesPart {
    let named = root.named("sources");
    if named.is_empty() {
        root.reading()
            .missing(root.at("sources"), "at least one source: [sources.NAME] with topic, format and channel");
    }
    let mut all = SourcesPart::default();
    let mut topics = BTreeMap::new();
    for (name, section) in &named {
        let source = source(name, section, channels, &mut all.routes);
        check_topic(section, name, namespace, &mut topics);
        let topic = source.as_ref().map(|source| &*source.topic);
        let word = section.value("format").and_then(FormatWord::parse);
        all.gates.extend(gate(name, topic, word, &section.section("ingest"), environment));
        all.sources.extend(source);
    }
    check_route_names(root, &named);
    all
}

/// None only with a fault noted.
fn source(name: &str, section: &Section<'_>, channels: &[ChannelPart], routes: &mut Vec<RoutePart>) -> Option<Source> {
    let topic = section.required::<Topic>("topic");
    let word = section.required::<FormatWord>("format");
    let kind = word.and_then(|word| kind(section, word));
    let format = format(section, word, kind);
    let start = section.or("start", start(kind));
    let max_age = section.between("max_age", hours(1), Duration::from_secs(1)..=hours(24 * 365));
    let record_bytes_max = section.between("record_bytes_max", Size::mib(1), Size::kib(1)..=Size::mib(64)).0;
    let defaults = Defaults {
        kind: kind.unwrap_or(Kind::Record),
        urgency: section.optional("urgency"),
        window: window(section, hours(1)),
        timings: Timings::read(section, &Timings::of(word.unwrap_or(FormatWord::Json))),
    };
    let rules = rules(name, section, &defaults, channels, routes);
    let (name, topic) = (name.into(), topic?.0);
    Some(Source { name, topic, format: format?, start, max_age, record_bytes_max, rules: rules? })
}

fn start(kind: Option<Kind>) -> Start {
    match kind {
        Some(Kind::Alert) => Start::Latest,
        Some(Kind::Record | Kind::Thread) | None => Start::Earliest,
    }
}

fn kind(section: &Section<'_>, format: FormatWord) -> Option<Kind> {
    match format {
        FormatWord::Json => section.required("kind"),
        FormatWord::CloudEvents => Some(section.or("kind", Kind::Record)),
        FormatWord::Alertmanager => match section.or("kind", Kind::Alert) {
            Kind::Alert => Some(Kind::Alert),
            other @ (Kind::Record | Kind::Thread) => {
                section.unfit("kind", other.show(), "\"alert\": Alertmanager sends nothing else");
                None
            }
        },
    }
}

fn format(section: &Section<'_>, word: Option<FormatWord>, kind: Option<Kind>) -> Option<Format> {
    let pointers = section.section("json");
    if word == Some(FormatWord::Json) {
        let pointers = read_pointers(&pointers, kind);
        return pointers.map(|pointers| Format::Json(Box::new(pointers)));
    }
    // An unknown format may have been meant to be "json": its pointers are read all the same, for their own faults.
    if pointers.is_given() {
        read_pointers(&pointers, kind);
    }
    let word = word?;
    if pointers.is_given() {
        section.unfit("json", "pointers", "none, or format = \"json\"");
    }
    match word {
        FormatWord::Alertmanager => Some(Format::Alertmanager),
        FormatWord::CloudEvents => Some(Format::CloudEvents { kind: kind? }),
        FormatWord::Json => None,
    }
}

fn read_pointers(section: &Section<'_>, kind: Option<Kind>) -> Option<Pointers> {
    let pointer = |key| section.optional::<Pointer>(key).map(|pointer| pointer.0);
    let entity = section.required::<Pointer>("entity");
    let (id, conversation, title, text) = (pointer("id"), pointer("conversation"), pointer("title"), pointer("text"));
    let (severity, state, time) = (pointer("severity"), pointer("state"), pointer("time"));
    let (link, author) = (pointer("link"), pointer("author"));
    let (kind, entity) = (kind?, entity?.0);
    Some(Pointers { kind, entity, id, conversation, title, text, severity, state, time, link, author })
}

/// The rules of a source, in order; their policies go to `routes`. None only with a fault noted.
fn rules(
    source: &str,
    section: &Section<'_>,
    defaults: &Defaults,
    channels: &[ChannelPart],
    routes: &mut Vec<RoutePart>,
) -> Option<Vec<Rule>> {
    let listed = section.list("routes");
    let last = section.has("channel").then(|| last_route(source, section, defaults, channels));
    section.value("channel");
    if listed.is_empty() && last.is_none() {
        section.reading().missing(section.at("channel"), "a channel from [channels], or [[routes]] with one each");
        return None;
    }
    warn_unreachable(section, &listed, last.is_some());
    let listed = listed.iter().map(|section| route(section, defaults, channels));
    let all: Vec<Option<(Rule, RoutePart)>> = listed.chain(last).collect();
    let all: Option<Vec<_>> = all.into_iter().collect();
    let (rules, parts): (Vec<Rule>, Vec<RoutePart>) = all?.into_iter().unzip();
    routes.extend(parts);
    Some(rules)
}

/// A source's own channel: takes what no route took.
fn last_route(
    source: &str,
    section: &Section<'_>,
    defaults: &Defaults,
    channels: &[ChannelPart],
) -> Option<(Rule, RoutePart)> {
    let channel = channel(section, channels)?;
    Some(build(source.into(), channel, section, defaults, Vec::new()))
}

fn route(section: &Section<'_>, above: &Defaults, channels: &[ChannelPart]) -> Option<(Rule, RoutePart)> {
    let name = section.required::<Name>("name");
    let conditions = conditions(section.section("match"));
    let channel = channel(section, channels);
    let defaults = Defaults {
        kind: above.kind,
        urgency: section.optional("urgency").or(above.urgency),
        window: window(section, above.window),
        timings: Timings::read(section, &above.timings),
    };
    Some(build(name?.0, channel?, section, &defaults, conditions))
}

fn build(
    name: Box<str>,
    channel: &ChannelPart,
    section: &Section<'_>,
    defaults: &Defaults,
    conditions: Vec<Condition>,
) -> (Rule, RoutePart) {
    let policy = RoutePolicy {
        name: name.clone(),
        channel: channel.name.clone(),
        kind: defaults.kind,
        window: defaults.window,
        timing: defaults.timings.usual,
        timing_critical: defaults.timings.critical,
    };
    let (lane, window_key) = (channel.lane.clone(), section.at("window"));
    let rule = Rule { name, lane: lane.clone(), conditions, urgency: defaults.urgency };
    (rule, RoutePart { lane, window_key, policy })
}

/// None only with a fault noted.
fn channel<'a>(section: &Section<'_>, channels: &'a [ChannelPart]) -> Option<&'a ChannelPart> {
    let known: Vec<&str> = channels.iter().map(|channel| &*channel.name).collect();
    if !section.has("channel") {
        section.value("channel");
        section.reading().missing(section.at("channel"), format!("a channel from [channels]: {}", one_of(&known)));
    }
    let name = section.optional::<Box<str>>("channel")?;
    let channel = channels.iter().find(|channel| channel.name == name);
    if channel.is_none() {
        section.unknown_name("channel", &name, "a channel from [channels]", &known);
    }
    channel
}

fn window(section: &Section<'_>, default: Duration) -> Duration {
    section.between("window", default, Duration::from_secs(1)..=hours(24 * 7))
}

/// `match = { severity = "critical", "/deal/stage" = "won" }`. What doesn't fit is left out, with a fault noted.
fn conditions(mut section: Section<'_>) -> Vec<Condition> {
    const FIELD_WANTED: &str = "the name of a field, or a JSON pointer such as \"/deal/stage\"";
    let reading = section.reading();
    let conditions = section.entries(CONDITIONS_MAX).filter_map(|(field, key, value)| {
        if field.is_empty() || field.starts_with('/') && !is_pointer(field) {
            reading.unfit(key, quoted(field), FIELD_WANTED);
            return None;
        }
        let Some(equals) = value.as_str() else {
            reading.unfit(key, found(value), "a string that the field must be equal to");
            return None;
        };
        Some(Condition { field: field.into(), equals: equals.into() })
    });
    conditions.collect()
}

fn warn_unreachable(section: &Section<'_>, routes: &[Section<'_>], has_last: bool) {
    let behind = routes.len() + usize::from(has_last);
    let greedy = routes.iter().take(behind.saturating_sub(1)).find(|route| !route.has("match"));
    if let Some(route) = greedy {
        section.reading().warn(route.path().clone(), "takes every event, so no route after it is ever reached");
    }
}

/// One topic is read by one source, and never one of our own: it would feed itself.
fn check_topic(section: &Section<'_>, name: &str, namespace: &str, topics: &mut BTreeMap<String, Box<str>>) {
    let Some(topic) = section.value("topic").and_then(|value| value.as_str()) else { return };
    if let Some(other) = topics.get(topic) {
        let found = format!("{}, the topic of sources.{other}", quoted(topic));
        section.unfit("topic", found, "a topic of its own; use [[routes]] to tell its events apart");
    }
    let own = topic.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('.'));
    if own.is_some_and(|own| INTERNAL_TOPICS.contains(&own)) {
        section.unfit("topic", quoted(topic), "a topic that isn't missived's own, or another kafka.namespace");
    }
    topics.entry(topic.to_owned()).or_insert_with(|| name.into());
}

fn check_route_names(root: &Section<'_>, sources: &[(Box<str>, Section<'_>)]) {
    let mut taken: BTreeMap<String, KeyPath> = BTreeMap::new();
    let own = sources.iter().filter(|(_, section)| section.has("channel"));
    taken.extend(own.map(|(name, section)| (name.to_string(), section.at("channel"))));
    for (_, source) in sources {
        let Some(routes) = source.value("routes").and_then(|value| value.as_array()) else { continue };
        for (at, route) in routes.iter().enumerate() {
            let Some(name) = route.get_ref().get("name").and_then(|name| name.get_ref().as_str()) else { continue };
            let key = source.at("routes").index(at).key("name");
            if let Some(other) = taken.get(name) {
                let found = format!("{}, the route of {other}", quoted(name));
                root.reading().unfit(key.clone(), found, "a name that no other route has");
            }
            taken.entry(name.to_owned()).or_insert(key);
        }
    }
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}
