//! The Kafka that tests run against: the shared one, or a broker of a test's own that it may pause and kill.
//!
//! Where there is no Kafka a test is skipped, loudly: a line on the real stderr (libtest captures `eprintln!` of tests
//! that pass) and one in the file that `tests/run` prints at its end. With `MISSIVED_REQUIRE_KAFKA=1` it fails instead.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use super::wait::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker");

/// The shared Kafka's address, or `None` after having said that this test is skipped.
///
/// ```ignore
/// let Some(kafka) = support::kafka::bootstrap() else { return };
/// ```
pub fn bootstrap() -> Option<String> {
    match std::env::var("KAFKA_BOOTSTRAP") {
        Ok(address) if !address.is_empty() => Some(address),
        _ => {
            skip("KAFKA_BOOTSTRAP isn't set: run tests/run");
            None
        }
    }
}

/// Says that the running test can't be done here, or fails it where everything must be testable.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("MISSIVED_REQUIRE_KAFKA").is_none_or(|v| v != "1"), "{test} can't be skipped here: {why}");
    let line = format!("SKIPPED {test}: {why}\n");
    // one write each: tests skip in parallel
    std::io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
    if let Some(path) = std::env::var_os("MISSIVED_SKIPPED") {
        let mut file =
            OpenOptions::new().create(true).append(true).open(path).expect("the file of skipped tests opens");
        file.write_all(line.as_bytes()).expect("the file of skipped tests takes a line");
    }
}

/// A name nobody else has used, in this run or another: `prefix-` and 16 hex digits.
pub fn unique(prefix: &str) -> String {
    let bits = getrandom::u64().expect("the system has randomness");
    format!("{prefix}-{bits:016x}")
}

/// Creates a topic with one replica, and returns when the broker says it is there.
pub fn create_topic(bootstrap: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    create_replicated_topic(bootstrap, name, partitions, 1, settings);
}

/// The same with more replicas, for a cluster.
pub fn create_replicated_topic(bootstrap: &str, name: &str, partitions: i32, replicas: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("an admin client");
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let answers = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("an answer from Kafka");
    for answer in answers {
        answer.unwrap_or_else(|(topic, code)| panic!("topic {topic} was not created: {code}"));
    }
}

/// Deletes a topic, and returns when the broker doesn't know it any more.
pub fn delete_topic(bootstrap: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let answers = runtime.block_on(admin.delete_topics(&[name], &AdminOptions::new())).expect("an answer from Kafka");
    for answer in answers {
        answer.unwrap_or_else(|(topic, code)| panic!("topic {topic} was not deleted: {code}"));
    }
    eventually(Duration::from_secs(30), &format!("end of topic {name}"), || {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).ok()?;
        metadata.topics().iter().all(|topic| topic.name() != name).then_some(())
    });
}

/// Gives a topic more partitions, as an operator can, and nobody can take back; returns when the broker shows them.
pub fn add_partitions(bootstrap: &str, name: &str, count: usize) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let more = NewPartitions::new(name, count);
    let answers = runtime.block_on(admin.create_partitions([&more], &AdminOptions::new())).expect("an answer");
    for answer in answers {
        answer.unwrap_or_else(|(topic, code)| panic!("topic {topic} got no partitions: {code}"));
    }
    eventually(Duration::from_secs(30), &format!("{count} partitions of {name}"), || {
        let metadata = admin.inner().fetch_metadata(Some(name), Duration::from_secs(10)).ok()?;
        metadata.topics().iter().all(|topic| topic.partitions().len() == count).then_some(())
    });
}

/// The first offset that a partition still has.
pub fn beginning_of(bootstrap: &str, topic: &str, partition: i32) -> i64 {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    client.fetch_watermarks(topic, partition, Duration::from_secs(10)).expect("an answer from Kafka").0
}

/// Sets a group's offset in partition 0 of a topic, as an operator does while nobody is in the group.
pub fn set_offset(bootstrap: &str, group: &str, topic: &str, offset: i64) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create().expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("an offset");
    eventually(Duration::from_secs(30), &format!("offset for {group}"), || {
        consumer.commit(&offsets, CommitMode::Sync).ok()
    });
}

/// A broker of a test's own, for what would disturb the others. It and its data go when this is dropped.
pub struct Broker {
    dir: TempDir,
    bootstrap: String,
}

impl Broker {
    /// `None` after having said that this test is skipped: no Java, no Maven, nothing fetched.
    pub fn start() -> Option<Self> {
        Self::cluster(1)
    }

    /// One with a line of settings that overrules its own.
    pub fn with_settings(settings: &str) -> Option<Self> {
        Self::begin(1, settings)
    }

    /// So many brokers that replicate to one another.
    pub fn cluster(nodes: usize) -> Option<Self> {
        Self::begin(nodes, "")
    }

    fn begin(nodes: usize, settings: &str) -> Option<Self> {
        if let Err(why) = script(["fetch"]) {
            skip(&format!("no Kafka: {}", why.trim()));
            return None;
        }
        // The ports of all nodes are chosen before any is taken, and somebody else may be quicker.
        let attempt = || {
            let dir = tempfile::Builder::new().prefix("missived-broker").tempdir().expect("a folder");
            let mut broker = Self { dir, bootstrap: String::new() };
            broker.bootstrap = broker.start_in(broker.dir.path(), nodes, settings)?;
            Ok(broker)
        };
        let broker = attempt().or_else(|_: String| attempt());
        Some(broker.unwrap_or_else(|why| panic!("no cluster: {why}")))
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Orderly: what clients see in a planned restart.
    pub fn stop(&self) {
        self.act("stop");
    }

    /// SIGKILL: what clients see in a crash.
    pub fn kill(&self) {
        self.act("kill");
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.act("pause");
    }

    pub fn resume(&self) {
        self.act("resume");
    }

    /// Its disk is full, as far as it can tell, until it is started again.
    pub fn fill(&self) {
        self.act("fill");
    }

    /// Whether its process is there, whatever it does.
    pub fn is_gone(&self) -> bool {
        let told = script([OsStr::new("status"), "--dir".as_ref(), self.dir.path().as_os_str()]);
        told.is_err_and(|why| why.contains("exit status: 1"))
    }

    /// After [`stop`](Self::stop) or [`kill`](Self::kill): the same data at the same address.
    pub fn start_again(&mut self) {
        self.bootstrap = self.start_in(self.dir.path(), 1, "").unwrap_or_else(|why| panic!("no broker: {why}"));
    }

    /// SIGKILL for one node of a cluster, from 1.
    pub fn kill_node(&self, node: usize) {
        self.act_in("kill", &self.node(node));
    }

    /// A node that was killed comes back.
    pub fn start_node(&self, node: usize) {
        self.start_in(&self.node(node), 1, "").unwrap_or_else(|why| panic!("no broker: {why}"));
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn node(&self, node: usize) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    fn start_in(&self, dir: &Path, nodes: usize, settings: &str) -> Result<String, String> {
        let (own, nodes) = (std::process::id().to_string(), nodes.to_string());
        let words = ["start", "--nodes", &nodes, "--while", &own, "--dir"].map(OsStr::new);
        let out = script_with(settings, words.into_iter().chain([dir.as_os_str()]))?;
        Ok(out.trim().to_owned())
    }

    fn act(&self, command: &str) {
        self.act_in(command, self.dir.path());
    }

    fn act_in(&self, command: &str, dir: &Path) {
        let done = script([OsStr::new(command), "--dir".as_ref(), dir.as_os_str()]);
        done.unwrap_or_else(|why| panic!("broker {command}: {why}"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // not `act`: a panic while a test's panic unwinds would hide it
        if let Err(why) = script([OsStr::new("kill"), "--dir".as_ref(), self.dir.path().as_os_str()]) {
            eprintln!("the broker in {} was not ended: {why}", self.dir.path().display());
        }
    }
}

/// Standard output, or standard error when the script failed.
fn script<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<String, String> {
    script_with("", args)
}

fn script_with<S: AsRef<OsStr>>(settings: &str, args: impl IntoIterator<Item = S>) -> Result<String, String> {
    let mut script = Command::new(SCRIPT);
    if !settings.is_empty() {
        script.env("MISSIVED_BROKER_SETTINGS", settings);
    }
    let out = script.args(args).stdin(Stdio::null()).output().map_err(|e| format!("{SCRIPT}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let mut why = String::from_utf8_lossy(&out.stderr).into_owned();
    write!(why, "({})", out.status).expect("a string takes more");
    Err(why)
}
