//! The config that the demo gives its daemon, and the topics and channels that go with it.
//!
//! It is an ordinary config text, read by the same parser as any other, with short intervals so that there is something to see
//! at once. Missive's limits stay as they are. The token and the secret are for nobody but the stand-in, hence inline.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Config, Environment, LoadError};
use crate::sandbox::{self, Channel, ChannelType, Recipient, Secret};

/// Topics that the demo's generator writes to.
pub const ALERTS: &str = "alerts";
pub const DEALS: &str = "crm-deals";
pub const CHAT: &str = "chat";

/// Partitions of each of them.
pub const SOURCE_PARTITIONS: i32 = 2;

/// A record larger than this is too large for its source.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

const NAMESPACE: &str = "demo";
const LEDGER_PARTITIONS: i32 = 1;
const REPLY_PARTITIONS: i32 = 1;
const HOOK_SECRET: &str = "demo-hook-secret";

/// The channels: name and account.
pub const CHANNELS: [(&str, &str); 3] = [
    ("ops", "11111111-2222-4333-8444-555555555551"),
    ("sales", "11111111-2222-4333-8444-555555555552"),
    ("support", "11111111-2222-4333-8444-555555555553"),
];

/// Where the daemon finds what it stands between, and where it listens.
#[derive(Clone, Debug)]
pub struct Places {
    pub bootstrap: String,
    pub missive: SocketAddr,
    /// Port 0 the first time; then the port that Missive's webhooks know.
    pub hook: SocketAddr,
}

/// Every topic with its partitions; the cluster creates nothing by itself.
pub fn topics() -> [(String, i32); 7] {
    let own = |name: &str, partitions| (format!("{NAMESPACE}.{name}"), partitions);
    [
        (ALERTS.to_owned(), SOURCE_PARTITIONS),
        (DEALS.to_owned(), SOURCE_PARTITIONS),
        (CHAT.to_owned(), SOURCE_PARTITIONS),
        own("ledger", LEDGER_PARTITIONS),
        own("state", LEDGER_PARTITIONS),
        own("replies", REPLY_PARTITIONS),
        own("dead-letters", 1),
    ]
}

/// `demo.state`
pub fn state_topic() -> String {
    format!("{NAMESPACE}.state")
}

/// `demo.replies`
pub fn replies_topic() -> String {
    format!("{NAMESPACE}.replies")
}

/// The daemon's config.
///
/// # Errors
/// Never with a text that this version's parser takes.
pub fn config(places: &Places) -> Result<Config, LoadError> {
    Config::parse(&text(places), Path::new("(the demo's config)"), &Environment::of_process())
        .map(|loaded| loaded.config)
}

/// The channels as the stand-in knows them, with their webhooks going to the daemon.
pub fn declared(hook: SocketAddr) -> impl Iterator<Item = Channel> {
    CHANNELS.into_iter().map(move |(name, account)| {
        let url = format!("http://{hook}/hooks/{name}");
        let recipient = Recipient { id: name.into(), name: name.into(), username: name.into() };
        let aliases = vec![Recipient { id: "on-call".into(), name: "On call".into(), username: "on-call".into() }];
        Channel { recipient, aliases, ..Channel::new(account, ChannelType::Text) }
            .with_webhook(url, Secret::new(HOOK_SECRET))
    })
}

fn text(places: &Places) -> String {
    let Places { bootstrap, missive, hook } = places;
    let token = sandbox::TOKEN;
    let record_kib_max = RECORD_BYTES_MAX / 1024;
    let channels: String = CHANNELS
        .iter()
        .map(|(name, account)| {
            format!(
                "[channels.{name}]\naccount = \"{account}\"\ntype = \"text\"\nnew_conversations = 12\n\
                 new_conversations_critical = 8\nhook = {{ insecure_inline_secrets = [\"{HOOK_SECRET}\"] }}\n\n"
            )
        })
        .collect();
    format!(
        r#"
[kafka]
bootstrap = "{bootstrap}"
namespace = "{NAMESPACE}"
session_timeout = "6s"
[kafka.topics]
ledger_partitions = {LEDGER_PARTITIONS}
reply_partitions = {REPLY_PARTITIONS}

[missive]
url = "http://{missive}"
insecure_inline_token = "{token}"
request_timeout = "5s"
send_within = "2s"

{channels}
[sources.alerts]
topic = "{ALERTS}"
format = "alertmanager"
start = "earliest"
record_bytes_max = "{record_kib_max}KiB"
window = "10m"
group_interval = "8s"
critical = {{ group_interval = "5s" }}
[[sources.alerts.routes]]
name = "payments"
match = {{ team = "payments" }}
channel = "ops"
[[sources.alerts.routes]]
name = "platform"
match = {{ team = "platform" }}
channel = "ops"
[[sources.alerts.routes]]
name = "storage"
match = {{ team = "storage" }}
channel = "ops"

[sources.deals]
topic = "{DEALS}"
format = "cloudevents"
channel = "sales"
record_bytes_max = "{record_kib_max}KiB"
window = "10m"
group_wait = "3s"
group_interval = "10s"

[sources.chat]
topic = "{CHAT}"
format = "json"
kind = "thread"
channel = "support"
record_bytes_max = "{record_kib_max}KiB"
window = "10m"
[sources.chat.json]
entity = "/visitor/id"
id = "/message"
title = "/visitor/name"
text = "/text"
time = "/at"
author = "/visitor/name"

[lane]
# What is known of the past must fit into the mock's few megabytes.
dedupe_keys_max = 50000
horizons = {{ critical = "10s", normal = "20s", low = "30s" }}

[hook]
listen = "{hook}"
[admin]
listen = "127.0.0.1:0"
[run]
drain_deadline = "9s"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Places { bootstrap: "127.0.0.1:9092".into(), missive: anywhere, hook: anywhere }
    }

    #[test]
    fn the_config_is_valid_and_leaves_missives_limits_as_they_are() {
        let config = config(&places()).unwrap_or_else(|error| panic!("{error}"));
        let limits = config.lanes[0].policy.limits;
        assert_eq!((limits.concurrent, limits.per_minute, limits.per_quarter_hour), (5, 300, 900));
        assert_eq!(config.intake.threads, 1);
    }

    #[test]
    fn every_topic_of_the_config_is_created_and_every_channel_declared() {
        let config = config(&places()).unwrap_or_else(|error| panic!("{error}"));
        let topics = topics();
        let exists = |name: &str| topics.iter().any(|(topic, _)| topic == name);
        assert!(config.sources.iter().all(|source| exists(&source.topic)));
        assert!(exists(&state_topic()) && exists(&replies_topic()));
        let channels = &config.lanes[0].policy.channels;
        assert_eq!(declared(places().hook).count(), channels.len());
    }
}
