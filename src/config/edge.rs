//! `[hook]` and `[ingest]`: listeners that strangers can reach, and what holds for every connection to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use toml::de::DeValue;

use super::network::Network;
use super::raw::Section;
use super::secrets::{Environment, certificates, secret};
use super::value::{Size, Value};
use super::{Edge, Hook, Ingest, Raw, Tls};
use crate::hook::ingest::{Gate, Sender};
use crate::hook::{Door, SIGNATURE_HEADERS};

/// The most proxies, and the most names of headers.
const LIST_MAX: usize = 64;

/// Read even when no channel has a door, so that its faults are told; then there is no public listener.
pub(super) fn hook(section: &Section<'_>, doors: Vec<Door>, environment: &Environment) -> Option<Hook> {
    let hook = Hook {
        edge: edge(section, 8080, environment),
        kafka_timeout: kafka_timeout(section),
        raw: if section.or("raw", false) { Raw::Kept } else { Raw::Dropped },
        signature_headers: section.or("signature_headers", HeaderNames(SIGNATURE_HEADERS.map(Box::from).to_vec())).0,
        doors,
    };
    if hook.doors.is_empty() && section.is_given() {
        section.reading().warn(section.path().clone(), "no channel has a hook, so nothing listens here");
    }
    (!hook.doors.is_empty()).then_some(hook)
}

/// Read even when no source has a gate; then there is no listener.
pub(super) fn ingest(section: &Section<'_>, gates: Vec<Gate>, environment: &Environment) -> Option<Ingest> {
    let token = secret(section, "token_file", environment);
    let carries_it = |gate: &Gate| gate.secrets.is_empty() && gate.sender != Sender::HubSpot;
    if !section.has("token_file") && gates.iter().any(carries_it) {
        let wanted = "a file with the bearer token, such as \"/etc/missived/secrets/ingest-token\"";
        section.reading().missing(section.at("token_file"), wanted);
    }
    let edge = edge(section, 8081, environment);
    let ingest = Ingest { edge, kafka_timeout: kafka_timeout(section), token, gates };
    if ingest.gates.is_empty() && section.is_given() {
        section.reading().warn(section.path().clone(), "no source takes anything this way, so nothing listens here");
    }
    (!ingest.gates.is_empty()).then_some(ingest)
}

/// Missive gives up after 15 s.
fn kafka_timeout(section: &Section<'_>) -> Duration {
    let second = Duration::from_secs(1);
    section.between("kafka_timeout", second * 10, second..=second * 14)
}

fn edge(section: &Section<'_>, port: u16, environment: &Environment) -> Edge {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let edge = Edge {
        listen: section.or("listen", loopback(port)),
        tls: tls(section, environment),
        body_bytes_max: section.between("body_bytes_max", Size::mib(1), Size::kib(16)..=Size::mib(16)).0,
        head_timeout: section.between("head_timeout", second * 5, second..=minute),
        body_timeout: section.between("body_timeout", second * 10, second..=minute),
        idle_timeout: section.between("idle_timeout", second * 30, second..=minute * 10),
        write_timeout: section.between("write_timeout", second * 5, second..=minute),
        requests_per_connection_max: section.between("requests_per_connection_max", 1_000, 1..=1_000_000),
        connections_max: section.between("connections_max", 1024, 1..=65_536),
        connections_per_address_max: section.between("connections_per_address_max", 64, 1..=65_536),
        bodies_bytes_max: section.between("bodies_bytes_max", Size::mib(64), Size::mib(1)..=Size::mib(4096)).0,
        requests_per_minute: per_minute(section, "requests_per_minute", 1_200),
        failures_per_minute: per_minute(section, "failures_per_minute", 30),
        proxies: section
            .or("proxies", Networks(["127.0.0.1", "::1"].iter().filter_map(|ip| Network::parse(ip)).collect()))
            .0,
    };
    let plain = section.or("insecure_plain_http", false);
    if !edge.listen.ip().is_loopback() && edge.tls.is_none() && !plain {
        let wanted = "a loopback address behind a proxy that ends TLS, or tls_certificates and tls_key, or \
                      insecure_plain_http = true";
        section.unfit("listen", edge.listen.show(), wanted);
    }
    if edge.bodies_bytes_max < edge.body_bytes_max {
        let wanted = format!("at least body_bytes_max ({})", Size(edge.body_bytes_max).show());
        section.unfit("bodies_bytes_max", Size(edge.bodies_bytes_max).show(), wanted);
    }
    edge
}

fn per_minute(section: &Section<'_>, key: &'static str, default: usize) -> NonZeroU32 {
    let count = section.between(key, default, 1..=1_000_000);
    u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

fn tls(section: &Section<'_>, environment: &Environment) -> Option<Tls> {
    let (chain, key) = ("tls_certificates", "tls_key");
    let (given, lacking) = match (section.has(chain), section.has(key)) {
        (true, true) => (
            Some(Tls {
                certificates: certificates(section, chain, environment)?,
                key: certificates(section, key, environment)?,
            }),
            None,
        ),
        (true, false) => (None, Some(key)),
        (false, true) => (None, Some(chain)),
        (false, false) => (None, None),
    };
    // Asked for in any case: they are known keys.
    section.value(chain);
    section.value(key);
    if let Some(lacking) = lacking {
        section.reading().missing(section.at(lacking), "the other half of what TLS needs: a file of PEM");
    }
    given
}

struct Networks(Vec<Network>);

impl Value for Networks {
    const NOUN: &'static str = "addresses";

    fn wanted() -> String {
        format!("an array of at most {LIST_MAX} addresses or networks such as \"10.0.0.0/8\"")
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        strings(value)?.into_iter().map(Network::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    fn show(&self) -> String {
        listed(self.0.iter().map(ToString::to_string))
    }
}

struct HeaderNames(Vec<Box<str>>);

impl Value for HeaderNames {
    const NOUN: &'static str = "names of headers";

    fn wanted() -> String {
        format!("an array of 1 to {LIST_MAX} names of headers such as \"x-hook-signature\"")
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        let names = strings(value).filter(|names| !names.is_empty())?;
        let lowercase = |name: &str| hyper::header::HeaderName::try_from(name).ok().map(|name| name.as_str().into());
        names.into_iter().map(lowercase).collect::<Option<Vec<_>>>().map(Self)
    }

    fn show(&self) -> String {
        listed(self.0.iter().map(ToString::to_string))
    }
}

fn strings<'v>(value: &'v DeValue<'_>) -> Option<Vec<&'v str>> {
    let array = value.as_array().filter(|array| array.len() <= LIST_MAX)?;
    array.iter().map(|item| item.get_ref().as_str()).collect()
}

fn listed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", "))
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
