//! The config: one TOML file, checked as a whole.
//!
//! [`raw`] mirrors the file, [`check`] turns it into [`Config`] or says every fault at once, each with its key path, what
//! stands there and what is wanted. Nothing outside this folder sees a raw type; everything in [`Config`] works as it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use crate::hook::Door;
use crate::lane::Policy;
use crate::route::Source;

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub missive: Missive,
    pub lanes: Vec<Lane>,
    pub sources: Vec<Source>,
    pub intake: Intake,
    /// None: no public listener at all.
    pub hook: Option<Hook>,
    pub admin: Admin,
    /// The longest a drain may take before what is left is left to a successor.
    pub drain_deadline: Duration,
}

/// Where Kafka is, and what is ours in it.
#[derive(Clone, Debug)]
pub struct Kafka {
    pub bootstrap: String,
    /// Prefix of internal topics, consumer groups and transactional ids.
    pub namespace: Box<str>,
    /// A name that stays the same over restarts of this instance: static group membership.
    pub instance: Option<Box<str>>,
    pub session_timeout: Duration,
    pub topics: Topics,
    /// Passed to every librdkafka client as it stands.
    pub librdkafka: BTreeMap<String, String>,
}

/// How internal topics are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Partitions of ledger and state; frozen once created.
    pub ledger_partitions: i32,
    pub reply_partitions: i32,
    pub replication: i32,
    /// `max.message.bytes` of internal topics.
    pub message_bytes_max: usize,
}

/// Missive's API as seen from here.
#[derive(Clone, Debug)]
pub struct Missive {
    /// Scheme and authority; the paths are ours.
    pub url: Uri,
    /// Certificates trusted instead of the built-in roots.
    pub ca_file: Option<PathBuf>,
}

/// One Missive token and what shares its budget.
#[derive(Clone, Debug)]
pub struct Lane {
    pub policy: Policy,
    pub token: TokenSource,
}

/// Where a token comes from. A file is read again when Missive refuses the token.
#[derive(Clone, Debug)]
pub enum TokenSource {
    File(PathBuf),
    Inline(crate::missive::Token),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intake {
    pub threads: usize,
    /// A frame is written when it holds this much …
    pub frame_bytes_max: usize,
    /// … or is this old.
    pub frame_interval: Duration,
    /// How long the intake's own duplicate cache remembers.
    pub dedupe_horizon: Duration,
    /// Entities it remembers at most.
    pub dedupe_keys_max: usize,
}

#[derive(Clone, Debug)]
pub struct Hook {
    pub listen: SocketAddr,
    pub body_bytes_max: usize,
    /// Reading a body takes no longer than this.
    pub body_timeout: Duration,
    /// Kafka must acknowledge within this, or the answer is 503.
    pub kafka_timeout: Duration,
    pub connections_max: usize,
    pub doors: Vec<Door>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
}
