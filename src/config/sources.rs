//! `[sources.NAME]`: topics, their formats, and the routes that their events take.
//!
//! Route names are the keys of the lanes' policies, so they are unique over all sources. A source's own `channel` is its
//! last route, which takes whatever is left and has the source's name. A source of several topics becomes one [`Source`] for
//! each, with the routes that its topic and format leave.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::channels::ChannelPart;
use super::fault::{KeyPath, one_of, quoted};
use super::formats::{format, handling, kind};
use super::gates::gate;
use super::matches::{Matches, matches};
use super::message::{Shared, message};
use super::presets::with_preset;
use super::raw::Section;
use super::secrets::Environment;
use super::timing::{FLAP, Timings, flap};
use super::value::{ActionWord, FormatWord, Name, Size, Topics, Value as _};
use crate::event::links::Silencing;
use crate::event::{Handling, Kind, Urgency};
use crate::hook::ingest::Gate;
use crate::lane::policy::{Action, Flap, RoutePolicy};
use crate::lane::telling::Telling;
use crate::route::{After, Carries, Never, Rule, Source, Start, Takes, Test, unreachable};

/// Our topics, below the namespace.
const INTERNAL_TOPICS: [&str; 5] = ["ledger", "state", "replies", "dead-letters", "decisions"];

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
struct Defaults<'a> {
    kind: Kind,
    urgency: Option<Urgency>,
    window: Duration,
    timings: Timings,
    flap: Flap,
    message: Section<'a>,
    words: Shared<'a>,
    /// What `message` becomes, by channel.
    told: RefCell<BTreeMap<Box<str>, OwnWords>>,
}

/// What a route says, and what its observations carry for it.
type OwnWords = (Arc<Telling>, Carries);

impl Defaults<'_> {
    /// The source's own words for a route to this channel.
    fn told(&self, channel: &ChannelPart) -> OwnWords {
        let read = || {
            let (telling, carries) = message(&self.message, channel, &self.words);
            (Arc::new(telling), carries)
        };
        self.told.borrow_mut().entry(channel.name.clone()).or_insert_with(read).clone()
    }
}

/// The sources of the file. `namespace` is what internal topics begin with.
pub(super) fn sources(
    root: &Section<'_>,
    channels: &[ChannelPart],
    words: &Shared<'_>,
    namespace: &str,
    environment: &Environment,
) -> SourcesPart {
    let named = root.named("sources").into_iter().map(|(name, section)| (name, with_preset(section)));
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        root.reading()
            .missing(root.at("sources"), "at least one source: [sources.NAME] with topic, format and channel");
    }
    let mut all = SourcesPart::default();
    let mut topics = BTreeMap::new();
    for (name, section) in &named {
        let source = source(name, section, channels, words, &mut all.routes);
        check_topic(section, name, namespace, &mut topics);
        let topic = source.first().map(|source| &*source.topic);
        let word = section.value("format").and_then(FormatWord::parse);
        all.gates.extend(gate(name, topic, word, &section.section("ingest"), environment));
        all.sources.extend(source);
    }
    check_route_names(root, &named);
    all
}

/// One source for each topic; none only with a fault noted.
fn source(
    name: &str,
    section: &Section<'_>,
    channels: &[ChannelPart],
    words: &Shared<'_>,
    routes: &mut Vec<RoutePart>,
) -> Vec<Source> {
    let topics = section.required::<Topics>("topic");
    let word = section.required::<FormatWord>("format");
    let kind = word.and_then(|word| kind(section, word));
    let format = format(section, word, kind);
    let handling = handling(section, format.as_ref());
    let start = section.or("start", start(kind));
    let max_age = section.between("max_age", hours(1), Duration::from_secs(1)..=hours(24 * 365));
    let record_bytes_max = section.between("record_bytes_max", Size::mib(1), Size::kib(1)..=Size::mib(64)).0;
    let defaults = Defaults {
        kind: kind.unwrap_or(Kind::Record),
        urgency: section.optional("urgency"),
        window: window(section, hours(1)),
        timings: Timings::read(section, &Timings::of(word.unwrap_or(FormatWord::Json))),
        flap: flap(section, FLAP),
        message: section.section("message"),
        words: Shared { names: words.names, carries: Carries { silencing: silencing(word), ..words.carries.clone() } },
        told: RefCell::default(),
    };
    let rules = rules(name, section, &defaults, channels, routes);
    let (Some(topics), Some(format), Some(rules)) = (topics, format, rules) else { return Vec::new() };
    let of_topic = |topic: Box<str>| Source {
        name: name.into(),
        format: format.clone(),
        handling: handling.clone(),
        start,
        max_age,
        record_bytes_max,
        rules: rules.iter().filter(|rule| rule.matches.fit(&topic, format.as_str())).map(Listed::rule).collect(),
        topic,
    };
    let sources: Vec<Source> = topics.0.into_iter().map(of_topic).collect();
    warn_unreachable(section, &rules, &sources);
    warn_redacted(section, &rules, &handling);
    sources
}

/// Only Alertmanager has to be told where its silences are made.
const fn silencing(format: Option<FormatWord>) -> Silencing {
    match format {
        Some(FormatWord::Alertmanager) => Silencing::Built,
        Some(
            FormatWord::Grafana
            | FormatWord::CloudEvents
            | FormatWord::HubSpot
            | FormatWord::Debezium
            | FormatWord::Json,
        )
        | None => Silencing::Said,
    }
}

fn start(kind: Option<Kind>) -> Start {
    match kind {
        Some(Kind::Alert) => Start::Latest,
        Some(Kind::Record | Kind::Thread) | None => Start::Earliest,
    }
}

/// A rule, and where it stands.
struct Listed {
    key: KeyPath,
    rule: Rule,
    matches: Matches,
}

impl Listed {
    fn rule(&self) -> Rule {
        Rule { conditions: self.matches.conditions.clone(), ..self.rule.clone() }
    }
}

/// The rules of a source, in order; their policies go to `routes`. None only with a fault noted.
fn rules(
    source: &str,
    section: &Section<'_>,
    defaults: &Defaults<'_>,
    channels: &[ChannelPart],
    routes: &mut Vec<RoutePart>,
) -> Option<Vec<Listed>> {
    let listed = section.list("routes");
    let last = section.has("channel").then(|| last_route(source, section, defaults, channels));
    section.value("channel");
    if listed.is_empty() && last.is_none() {
        section.reading().missing(section.at("channel"), "a channel from [channels], or [[routes]] with one each");
        return None;
    }
    let listed = listed.iter().map(|section| route(section, defaults, channels));
    let all: Vec<Option<(Listed, RoutePart)>> = listed.chain(last).collect();
    let all: Option<Vec<_>> = all.into_iter().collect();
    let (rules, parts): (Vec<Listed>, Vec<RoutePart>) = all?.into_iter().unzip();
    routes.extend(parts);
    Some(rules)
}

/// A source's own channel: takes what no route took.
fn last_route(
    source: &str,
    section: &Section<'_>,
    defaults: &Defaults<'_>,
    channels: &[ChannelPart],
) -> Option<(Listed, RoutePart)> {
    let channel = channel(section, channels)?;
    let (telling, carries) = defaults.told(channel);
    let rule = Rule { takes: Takes::Leftovers, carries, ..Rule::new(source, &channel.lane) };
    let Defaults { kind, window, timings, flap, .. } = *defaults;
    let settings = Settings { kind, action: Action::Tell, window, timings, flap };
    let part = part(source.into(), channel, section, settings, telling);
    let rule = Rule { urgency: defaults.urgency, ..rule };
    Some((Listed { key: section.at("channel"), rule, matches: Matches::default() }, part))
}

fn route(section: &Section<'_>, above: &Defaults<'_>, channels: &[ChannelPart]) -> Option<(Listed, RoutePart)> {
    let name = section.required::<Name>("name");
    let matches = matches(section.section("match"));
    let after = if section.or("continue", false) { After::Continue } else { After::Stop };
    let channel = channel(section, channels);
    let own = section.section("message").unlisted();
    let urgency = section.optional("urgency").or(above.urgency);
    let policy = Settings {
        kind: above.kind,
        action: action(section),
        window: window(section, above.window),
        timings: Timings::read(section, &above.timings),
        flap: flap(section, above.flap),
    };
    let told = channel.map(|channel| {
        let told = above.told(channel);
        if !own.is_given() {
            return told;
        }
        let (telling, carries) = message(&own.over(above.message.table()), channel, &above.words);
        (Arc::new(telling), carries)
    });
    let (name, channel, (telling, carries)) = (name?.0, channel?, told?);
    let rule = Rule { urgency, after, carries, ..Rule::new(&name, &channel.lane) };
    let part = part(name, channel, section, policy, telling);
    Some((Listed { key: section.path().clone(), rule, matches }, part))
}

fn action(section: &Section<'_>) -> Action {
    let within = section.between("heartbeat_within", hours(1) / 6, Duration::from_secs(10)..=hours(24 * 7));
    match section.or("action", ActionWord::Tell) {
        ActionWord::Tell => Action::Tell,
        ActionWord::Heartbeat => Action::Heartbeat { within },
    }
}

/// When a route speaks.
struct Settings {
    kind: Kind,
    action: Action,
    window: Duration,
    timings: Timings,
    flap: Flap,
}

fn part(
    name: Box<str>,
    channel: &ChannelPart,
    section: &Section<'_>,
    settings: Settings,
    telling: Arc<Telling>,
) -> RoutePart {
    let Settings { kind, action, window, timings, flap } = settings;
    let (timing, timing_critical) = (timings.usual, timings.critical);
    let channel_name = channel.name.clone();
    let policy =
        RoutePolicy { name, channel: channel_name, kind, action, window, timing, timing_critical, flap, telling };
    RoutePart { lane: channel.lane.clone(), window_key: section.at("window"), policy }
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

/// A route that no topic of the source has events for, whatever they are.
fn warn_unreachable(section: &Section<'_>, rules: &[Listed], sources: &[Source]) {
    let reading = section.reading();
    let never: Vec<_> = sources.iter().map(|source| (&source.rules, unreachable(&source.rules))).collect();
    for listed in rules {
        let reached = |(rules, never): &(&Vec<Rule>, Vec<(usize, Never<'_>)>)| {
            let place = rules.iter().position(|rule| rule.name == listed.rule.name)?;
            Some(never.iter().find(|(at, _)| *at == place).map(|(_, never)| told(rules, *never)))
        };
        let everywhere: Vec<Option<String>> = never.iter().filter_map(reached).collect();
        match everywhere.iter().flatten().next() {
            None if everywhere.is_empty() && !sources.is_empty() => {
                reading.warn(listed.key.clone(), "never takes an event: this source has no such topic or format");
            }
            Some(why) if everywhere.iter().all(Option::is_some) => reading.warn(listed.key.clone(), why),
            Some(_) | None => {}
        }
    }
}

fn told(rules: &[Rule], never: Never<'_>) -> String {
    match never {
        Never::Shadowed(by) => format!("never takes an event: route {:?} takes all of it before", rules[by].name),
        Never::Contradiction(one, other) => format!("never takes an event: {one} excludes {other}"),
    }
}

/// What is redacted is a mark, which no text is equal to.
fn warn_redacted(section: &Section<'_>, rules: &[Listed], handling: &Handling) {
    for listed in rules {
        for condition in &listed.matches.conditions {
            let there = matches!(condition.test, Test::Present | Test::Absent);
            if !there && handling.privacy.redact.contains(&condition.field) {
                let text =
                    format!("never takes an event: {} is redacted, and routes see no more of it", condition.field);
                section.reading().warn(listed.key.clone(), text);
            }
        }
    }
}

/// One topic is read by one source, and never one of our own: it would feed itself.
fn check_topic(section: &Section<'_>, name: &str, namespace: &str, topics: &mut BTreeMap<String, Box<str>>) {
    for topic in section.value("topic").and_then(Topics::parse).into_iter().flat_map(|topics| topics.0) {
        if let Some(other) = topics.get(&*topic) {
            let found = format!("{}, the topic of sources.{other}", quoted(&topic));
            section.unfit("topic", found, "a topic of its own; use [[routes]] to tell its events apart");
        }
        let own = topic.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('.'));
        if own.is_some_and(|own| INTERNAL_TOPICS.contains(&own)) {
            section.unfit("topic", quoted(&topic), "a topic that isn't missived's own, or another kafka.namespace");
        }
        topics.entry(topic.into()).or_insert_with(|| name.into());
    }
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
