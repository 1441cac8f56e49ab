//! `[kafka]`: where Kafka is, our topics in it, and what is passed on to librdkafka.

use std::time::Duration;

use super::fault::quoted;
use super::librdkafka;
use super::raw::Section;
use super::secrets::Environment;
use super::value::{Name, Size, Topic};
use super::{DecisionsTopic, Kafka, Topics};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Leave room behind it for `.dead-letters` and what else a topic or transactional id needs.
const NAMESPACE_BYTES_MAX: usize = 128;

/// What didn't fit has a stand-in, and a fault noted: the rest can still be checked.
pub(super) fn kafka(root: &Section<'_>, environment: &Environment) -> Kafka {
    let section = root.section("kafka");
    let bootstrap = section.required::<Box<str>>("bootstrap");
    let bootstrap = bootstrap.filter(|servers| check_bootstrap(&section, servers));
    let namespace = namespace(&section);
    let instance = section.optional::<Name>("instance").map(|name| name.0);
    let session_timeout =
        section.between("session_timeout", Duration::from_secs(10), Duration::from_secs(6)..=Duration::from_secs(300));
    let topics = topics(&section.section("topics"));
    let librdkafka = librdkafka::properties(section.section("librdkafka"), environment);
    let bootstrap = bootstrap.map(String::from).unwrap_or_default();
    Kafka { bootstrap, namespace, instance, session_timeout, topics, librdkafka }
}

fn namespace(section: &Section<'_>) -> Box<str> {
    let namespace = section.or("namespace", Topic("missived".into())).0;
    if namespace.len() > NAMESPACE_BYTES_MAX {
        section.unfit("namespace", quoted(&namespace), format!("at most {NAMESPACE_BYTES_MAX} bytes"));
    }
    namespace
}

fn topics(section: &Section<'_>) -> Topics {
    Topics {
        ledger_partitions: section.between("ledger_partitions", 8, 1..=1024),
        reply_partitions: section.between("reply_partitions", 3, 1..=1024),
        replication: replication(section),
        message_bytes_max: section.between("message_bytes_max", Size::mib(1), Size::kib(64)..=Size::mib(64)).0,
        decisions: decisions(section),
    }
}

fn decisions(section: &Section<'_>) -> Option<DecisionsTopic> {
    let retention = section.between("decisions_retention", 7 * DAY, DAY / 24..=366 * DAY);
    section.or("decisions", false).then_some(DecisionsTopic { retention })
}

/// -1 leaves it to the broker's `default.replication.factor`: 3 could not be created on a single node, 1 would be too
/// little on a cluster.
fn replication(section: &Section<'_>) -> i32 {
    let replication = section.or("replication", -1);
    if replication != -1 && !(1..=15).contains(&replication) {
        section.unfit("replication", replication, "-1 (the broker's default) or a whole number from 1 to 15");
    }
    replication
}

fn check_bootstrap(section: &Section<'_>, servers: &str) -> bool {
    let wrong = servers.split(',').find(|server| !is_server(server));
    if let Some(server) = wrong {
        section.unfit("bootstrap", quoted(server), "servers such as \"kafka1:9092,kafka2:9092\"");
    }
    wrong.is_none()
}

/// `host:port`, with or without the port, and with librdkafka's `PROTOCOL://` before it.
fn is_server(text: &str) -> bool {
    let text = text.trim();
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let host_fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    !host.is_empty() && host.bytes().all(host_fits) && port_fits
}
