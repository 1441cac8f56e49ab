//! From the file as it stands to a [`Config`] that works: every part is read, then what holds between parts is checked.
//!
//! Nothing here stops at a fault. A part that misses something is `None` and has noted why; the [`Config`] is put together
//! only when nothing was noted.

use std::time::Duration;

use super::channels::{ChannelPart, channels};
use super::fallback::{HaltFallback, fallback};
use super::fault::KeyPath;
use super::message::Shared as Words;
use super::missive::{DEFAULT_LANE, LanePart, MissivePart, lanes, missive};
use super::names::{self, Names};
use super::raw::{Reading, Section};
use super::secrets::Environment;
use super::sources::{RoutePart, SourcesPart, sources};
use super::value::{Size, Value as _};
use super::{Admin, Config, Hook, Ingest, Intake, Kafka, Lane, Log, Missive, edge, edges, kafka, lane, links, log};
use crate::lane::Policy;
use crate::lane::policy::{Bounds, ByName, Decisions, Horizons};
use crate::route::{Carries, Source};

/// Everything in the file, each part as far as it makes sense.
struct Parts {
    kafka: Kafka,
    missive: MissivePart,
    lanes: Vec<LanePart>,
    bounds: Bounds,
    horizons: Horizons,
    names: Names,
    channels: Vec<ChannelPart>,
    sources: SourcesPart,
    intake: Intake,
    hook: Option<Hook>,
    ingest: Option<Ingest>,
    admin: Admin,
    log: Log,
    drain_deadline: Duration,
    fallback: Option<HaltFallback>,
}

/// None only with a fault noted in `reading`.
pub(super) fn config(reading: &Reading<'_>, environment: &Environment) -> Option<Config> {
    let root = reading.root();
    let mut parts = read(&root, environment);
    check_times(reading, &parts);
    check_sizes(reading, &parts);
    check_listeners(reading, &parts);
    check_lanes_used(reading, &parts);
    let (hook, ingest) = (parts.hook.take(), parts.ingest.take());
    build(parts, hook, ingest)
}

fn read(root: &Section<'_>, environment: &Environment) -> Parts {
    let kafka = kafka::kafka(root, environment);
    let mut missive = missive(root, environment);
    let named_lanes = root.named("lanes");
    let names: Vec<&str> = [DEFAULT_LANE].into_iter().chain(named_lanes.iter().map(|(name, _)| &**name)).collect();
    let known = names::names(root);
    let mut channels = channels(root, &names, &known, environment);
    let needed = channels.iter().any(|channel| &*channel.lane == DEFAULT_LANE);
    let token = std::mem::replace(&mut missive.token, super::secrets::Given::Absent);
    let lanes = lanes(root, named_lanes, token, needed, environment);
    let lane = root.section("lane");
    let bounds = lane::bounds(&lane);
    let carries =
        Carries { rewrites: links::rewrites(root), files_bytes_max: bounds.files_bytes_max, ..Carries::default() };
    let shared = Words { names: &known, carries };
    let mut sources = sources(root, &channels, &shared, &kafka.namespace, environment);
    let gates = std::mem::take(&mut sources.gates);
    let doors = channels.iter_mut().filter_map(|channel| channel.door.take()).collect();
    Parts {
        missive,
        lanes,
        bounds,
        names: known,
        horizons: lane::horizons(&lane),
        channels,
        sources,
        intake: edges::intake(&root.section("intake")),
        hook: edge::hook(&root.section("hook"), doors, environment),
        ingest: edge::ingest(&root.section("ingest"), gates, environment),
        admin: edges::admin(&root.section("admin")),
        log: log::log(&root.section("log")),
        drain_deadline: edges::drain_deadline(&root.section("run")),
        fallback: fallback(root, environment),
        kafka,
    }
}

fn check_times(reading: &Reading<'_>, parts: &Parts) {
    let (limits, retry, horizons) = (&parts.missive.limits, &parts.missive.retry, &parts.horizons);
    let answered = limits.request_timeout + limits.send_within;
    if parts.drain_deadline <= answered {
        let wanted =
            format!("more than missive.request_timeout and missive.send_within together ({})", answered.show());
        reading.unfit(KeyPath::of("run.drain_deadline"), parts.drain_deadline.show(), wanted);
    }
    at_most(reading, ("missive.retry_first", retry.first), ("missive.retry_longest", retry.longest));
    at_most(reading, ("lane.horizons.critical", horizons.critical), ("lane.horizons.normal", horizons.normal));
    at_most(reading, ("lane.horizons.normal", horizons.normal), ("lane.horizons.low", horizons.low));
    let horizon = parts.intake.dedupe_horizon;
    for route in parts.sources.routes.iter().filter(|route| route.policy.window < horizon) {
        let wanted = format!("at least intake.dedupe_horizon ({})", horizon.show());
        reading.unfit(route.window_key.clone(), route.policy.window.show(), wanted);
    }
}

fn at_most(reading: &Reading<'_>, (key, value): (&str, Duration), (other, bound): (&str, Duration)) {
    if value > bound {
        reading.unfit(KeyPath::of(key), value.show(), format!("at most {other} ({})", bound.show()));
    }
}

/// A frame must fit into a record of the ledger, with its header.
fn check_sizes(reading: &Reading<'_>, parts: &Parts) {
    let (frame, record) = (Size(parts.intake.frame_bytes_max), Size(parts.kafka.topics.message_bytes_max));
    if frame >= record {
        let wanted = format!("less than kafka.topics.message_bytes_max ({})", record.show());
        reading.unfit(KeyPath::of("intake.frame_bytes_max"), frame.show(), wanted);
        return;
    }
    // A frame's last observation may bring files, and a conversation keeps those that wait and those on their way.
    let (files, room) = (Size(parts.bounds.files_bytes_max), (record.0 - frame.0).min(record.0 / 4));
    if files.0 > room {
        let wanted = format!(
            "at most a quarter of kafka.topics.message_bytes_max, and room beside a frame ({})",
            Size(room).show()
        );
        reading.unfit(KeyPath::of("lane.files_bytes_max"), files.show(), wanted);
    }
}

fn check_listeners(reading: &Reading<'_>, parts: &Parts) {
    let admin = ("admin.listen", Some(parts.admin.listen), "metrics are not for everyone");
    let ingest = ("ingest.listen", parts.ingest.as_ref().map(|ingest| ingest.edge.listen), "each has its own callers");
    let hook = ("hook.listen", parts.hook.as_ref().map(|hook| hook.edge.listen));
    let pairs = [(admin, hook), (ingest, hook), (admin, (ingest.0, ingest.1))];
    for ((key, address, why), (other, taken)) in pairs {
        let Some(address) = address.filter(|address| address.port() != 0 && Some(*address) == taken) else { continue };
        let found = format!("{}, like {other}", address.show());
        reading.unfit(KeyPath::of(key), found, format!("an address of its own: {why}"));
    }
}

fn check_lanes_used(reading: &Reading<'_>, parts: &Parts) {
    let unused = |lane: &&LanePart| parts.channels.iter().all(|channel| channel.lane != lane.name);
    for lane in parts.lanes.iter().filter(unused).filter(|lane| &*lane.name != DEFAULT_LANE) {
        reading.warn(KeyPath::of("lanes").name(&lane.name), "no channel belongs to this lane");
    }
}

/// None if any part misses something, which has noted why.
fn build(parts: Parts, hook: Option<Hook>, ingest: Option<Ingest>) -> Option<Config> {
    let kafka = parts.kafka;
    let shared = Shared {
        missive: &parts.missive,
        namespace: &kafka.namespace,
        bounds: parts.bounds,
        horizons: parts.horizons,
        fallback_after: parts.fallback.as_ref().map(|fallback| fallback.after),
        decisions: kafka.topics.decisions.map_or(Decisions::Untold, |_| Decisions::Told),
    };
    let lanes: Option<Vec<Lane>> =
        parts.lanes.into_iter().map(|lane| shared.lane(lane, &parts.channels, &parts.sources.routes)).collect();
    let lanes = lanes?;
    let missive: Missive = parts.missive.missive?;
    let sources: Vec<Source> = parts.sources.sources;
    let (intake, admin, log, drain_deadline) = (parts.intake, parts.admin, parts.log, parts.drain_deadline);
    let names = parts.names;
    let halt_fallback = parts.fallback;
    Some(Config {
        kafka,
        missive,
        names,
        lanes,
        sources,
        intake,
        hook,
        ingest,
        admin,
        log,
        drain_deadline,
        halt_fallback,
    })
}

/// What all lanes are told.
struct Shared<'a> {
    missive: &'a MissivePart,
    namespace: &'a str,
    bounds: Bounds,
    horizons: Horizons,
    fallback_after: Option<Duration>,
    decisions: Decisions,
}

impl Shared<'_> {
    fn lane(&self, lane: LanePart, channels: &[ChannelPart], routes: &[RoutePart]) -> Option<Lane> {
        let ours = channels.iter().filter(|channel| channel.lane == lane.name);
        let channels = ours.map(|channel| Some((channel.name.clone(), channel.policy.clone()?)));
        let channels: Option<ByName<_>> = channels.collect();
        let routes = routes.iter().filter(|route| route.lane == lane.name);
        let routes = routes.map(|route| (route.policy.name.clone(), route.policy.clone())).collect();
        let policy = Policy {
            lane: lane.name,
            namespace: self.namespace.into(),
            limits: self.missive.limits,
            retry: self.missive.retry,
            horizons: self.horizons,
            bounds: self.bounds,
            on_doubt: self.missive.on_doubt,
            decisions: self.decisions,
            fallback_after: self.fallback_after,
            channels: channels?,
            routes,
        };
        Some(Lane { policy, token: lane.credential?.source })
    }
}
