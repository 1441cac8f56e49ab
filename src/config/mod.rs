//! The config: one TOML file, checked as a whole.
//!
//! [`Config::load`] reads the file as it stands (`raw`: tables asked for by key and type), and `check` turns it into a
//! [`Config`] or says every fault at once, each with its line, its key, what stands there and what is wanted. Nothing
//! outside this folder sees a raw table; everything in [`Config`] works as it is. What works and is probably not meant is
//! a [`Warning`] beside it. The file may have 1 MiB; no secret stands in any fault, warning or `Debug`.

mod channels;
mod check;
mod edge;
mod edges;
mod fallback;
mod fault;
mod formats;
mod gates;
mod kafka;
mod lane;
mod librdkafka;
mod links;
mod log;
mod matches;
mod message;
mod missive;
mod names;
mod network;
mod presets;
mod raw;
mod secrets;
mod sources;
mod syntax;
mod timing;
mod value;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use thiserror::Error;
use toml::de::DeTable;
use zeroize::Zeroizing;

use crate::hook::ingest::Gate;
use crate::hook::{Door, Secret};
use crate::lane::Policy;
use crate::route::Source;

pub use fallback::{HaltFallback, Pager};
pub use fault::{Fault, Faults, KeyPath, Problem, Warning};
pub use log::{Allowance, Log, LogFormat};
pub use names::{NameOf, NameUse, Names};
pub use network::Network;
pub use raw::KnownKey;
pub use secrets::Environment;
pub use syntax::SyntaxFault;
pub use written::{ConfigHash, Written};

/// The largest config file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A config that works, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Warning>,
    /// What the file says, to be compared with a later one.
    pub written: Written,
    /// The keys whose files are copies that systemd made when it started the service: reading them again changes nothing.
    pub credentials: Vec<KeyPath>,
}

/// A file that works, but perhaps for names that stand for nothing yet; and what Missive can be asked about.
#[derive(Debug)]
pub struct Asking {
    /// Good for asking only: names that stand for nothing have no ids in it.
    pub loaded: Loaded,
    /// Every name and id of Missive's, in the order of reading.
    pub uses: Vec<NameUse>,
    /// The names that stand for nothing; without any, the file works.
    pub without_id: Option<Faults>,
}

/// Why there is no config. All of it is for whoever wrote the file; none of it holds a secret.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("{}: can't be read: {error}{}", file.display(), remedy(error))]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{}: larger than {FILE_BYTES_MAX} bytes", file.display())]
    TooLarge { file: PathBuf },
    #[error("{}: not UTF-8 text", file.display())]
    NoText { file: PathBuf },
    #[error("{}:{fault}", file.display())]
    Syntax { file: PathBuf, fault: SyntaxFault },
    #[error("{0}")]
    Faults(Faults),
}

impl LoadError {
    /// How many things are wrong, as far as it can be told.
    pub fn count(&self) -> usize {
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } | Self::NoText { .. } | Self::Syntax { .. } => 1,
            Self::Faults(faults) => faults.count(),
        }
    }
}

/// What may help whoever has just installed us.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; `missived init` writes a first one",
        _ => "",
    }
}

impl Config {
    /// Reads and checks the file, and every secret file that it names.
    pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, LoadError> {
        let text = read_file(path)?;
        Self::parse(&text, path, environment)
    }

    /// Like [`Self::load`], from a text; `file` is only what faults call it.
    pub fn parse(text: &str, file: &Path, environment: &Environment) -> Result<Loaded, LoadError> {
        let (config, noted, written) = examine(text, file, environment)?;
        match (config, Faults::collect(file.to_owned(), noted.faults)) {
            (_, Some(faults)) => Err(LoadError::Faults(faults)),
            (Some(config), None) => {
                Ok(Loaded { config, warnings: noted.warnings, written, credentials: noted.credentials })
            }
            (None, None) => unreachable!("a part of the config is missing without a fault"),
        }
    }

    /// Like [`Self::load`], for whoever can ask Missive what names stand for.
    pub fn load_to_ask(path: &Path, environment: &Environment) -> Result<Asking, LoadError> {
        let text = read_file(path)?;
        let (config, noted, written) = examine(&text, path, environment)?;
        let open = noted.faults.iter().all(|fault| matches!(fault.problem, Problem::WithoutId { .. }));
        match (config, Faults::collect(path.to_owned(), noted.faults)) {
            (Some(config), without_id) if open => {
                let loaded = Loaded { config, warnings: noted.warnings, written, credentials: noted.credentials };
                Ok(Asking { loaded, uses: noted.uses, without_id })
            }
            (_, Some(faults)) => Err(LoadError::Faults(faults)),
            (_, None) => unreachable!("a part of the config is missing without a fault"),
        }
    }

    /// The keys that were asked for while `text` was read, with their defaults, so that the example file can be held
    /// against them. Keys below tables that `text` doesn't have by name are not among them.
    pub fn known_keys(text: &str, file: &Path, environment: &Environment) -> Result<Vec<KnownKey>, LoadError> {
        examine(text, file, environment).map(|(_, noted, _)| noted.known)
    }
}

type Examined = (Option<Config>, raw::Noted, Written);

fn examine(text: &str, file: &Path, environment: &Environment) -> Result<Examined, LoadError> {
    let root = DeTable::parse(text).map_err(|error| {
        let (file, fault) = (file.to_owned(), SyntaxFault::of(text, &error));
        LoadError::Syntax { file, fault }
    })?;
    let reading = raw::Reading::new(file.to_owned(), text, root.get_ref());
    let config = check::config(&reading, environment);
    Ok((config, reading.finish(), Written::of(root.get_ref())))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, LoadError> {
    let unreadable = |error| LoadError::Unreadable { file: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { file: path.to_owned() });
    }
    let text = str::from_utf8(&bytes).map_err(|_| LoadError::NoText { file: path.to_owned() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub missive: Missive,
    /// What people call what Missive knows by an id.
    pub names: Names,
    pub lanes: Vec<Lane>,
    pub sources: Vec<Source>,
    pub intake: Intake,
    /// None: no public listener at all.
    pub hook: Option<Hook>,
    /// None: no source takes anything this way.
    pub ingest: Option<Ingest>,
    pub admin: Admin,
    pub log: Log,
    /// The longest a drain may take before what is left is left to a successor.
    pub drain_deadline: Duration,
    /// None: critical news waits until Missive takes the token again.
    pub halt_fallback: Option<HaltFallback>,
}

/// Where Kafka is, and what is ours in it. Secret properties are redacted in `Debug`.
#[derive(Clone)]
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

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bootstrap, namespace, instance, session_timeout, topics, librdkafka } = self;
        f.debug_struct("Kafka")
            .field("bootstrap", bootstrap)
            .field("namespace", namespace)
            .field("instance", instance)
            .field("session_timeout", session_timeout)
            .field("topics", topics)
            .field("librdkafka", &librdkafka::Shown(librdkafka))
            .finish()
    }
}

/// How internal topics are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Partitions of ledger and state; frozen once created.
    pub ledger_partitions: i32,
    pub reply_partitions: i32,
    /// -1: the broker's default.
    pub replication: i32,
    /// `max.message.bytes` of internal topics.
    pub message_bytes_max: usize,
    /// None: decisions are not written.
    pub decisions: Option<DecisionsTopic>,
}

/// The topic of decisions, for whoever asks why they were told something or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionsTopic {
    pub retention: Duration,
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

/// What holds for every connection to a listener that strangers can reach.
#[derive(Clone, Debug)]
pub struct Edge {
    pub listen: SocketAddr,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    pub body_bytes_max: usize,
    /// From the first byte of a head to its last, and for a TLS handshake.
    pub head_timeout: Duration,
    /// Reading a body takes no longer than this.
    pub body_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// A write waits for its reader no longer than this.
    pub write_timeout: Duration,
    pub requests_per_connection_max: usize,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    /// Bytes of all bodies that are being read or held.
    pub bodies_bytes_max: usize,
    /// Of one address.
    pub requests_per_minute: NonZeroU32,
    /// Of one address: requests that failed to prove what they said.
    pub failures_per_minute: NonZeroU32,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
}

/// Files with what a TLS server shows; read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub certificates: PathBuf,
    pub key: PathBuf,
}

/// The way in for webhooks.
#[derive(Clone, Debug)]
pub struct Hook {
    pub edge: Edge,
    /// Kafka must acknowledge within this, or the answer is 503.
    pub kafka_timeout: Duration,
    /// Whether replies carry the webhook as Missive wrote it.
    pub raw: Raw,
    /// Names of signature headers, lowercase, in the order in which they count.
    pub signature_headers: Vec<Box<str>>,
    pub doors: Vec<Door>,
}

/// What is kept of a webhook besides what is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {
    Dropped,
    Kept,
}

/// The way in for those who can't write to Kafka.
#[derive(Clone, Debug)]
pub struct Ingest {
    pub edge: Edge,
    pub kafka_timeout: Duration,
    /// The bearer token; none only where every gate has a signature.
    pub token: Option<Secret>,
    pub gates: Vec<Gate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
}
