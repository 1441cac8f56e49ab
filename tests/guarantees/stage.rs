//! The stage of a guarantee: a real Kafka, the stand-in for Missive, and any number of instances of the daemon, each a process.
//!
//! Request and send times are short, so that a successor has not long to wait for what its predecessor may have on the wire.
//! The limits are exact on both sides: Missive's own ([`Budget::Missives`]), or ten times as many where a trial would
//! otherwise mostly wait for its budget. [`Stage::conclude`] is how every trial ends: all is told, the audit is clean, one line.

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::{Books, Findings, Limits, Request, audit};
use crate::scene::Daemon;
use crate::support::config::{Config, Draft, TOKEN};
use crate::support::daemon::{Process, SOON, Stream};
use crate::support::wait::{Deadline, eventually, moment};
use crate::support::{http, kafka, kcat};
use crate::workload::{STREAMS, Workload};

/// The token of the lane `busy`.
const BUSY_TOKEN: &str = "missive_pat-for-tests-busy";
/// One that the stand-in takes, too, and nobody has yet.
pub const NEW_TOKEN: &str = "missive_pat-for-tests-new";
/// For what takes a restart, a takeover or a rebalance on a machine that is busy with other trials.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// How long the last news of a workload may take to be told.
const ALL_TOLD: Duration = Duration::from_secs(150);
/// How long a look at the ledger is worth.
const LOOK: Duration = Duration::from_millis(250);
/// Lanes of every instance's config.
pub const LANES: usize = 2;
/// Requests that a sender of one lane can leave in doubt.
pub const IN_DOUBT_A_SENDER: usize = 5;

/// What both sides have agreed on, besides five requests at once.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    Missives,
    Tenfold,
}

impl Budget {
    const fn windows(self) -> [usize; 2] {
        match self {
            Self::Missives => [300, 900],
            Self::Tenfold => [3_000, 9_000],
        }
    }

    fn limits(self) -> Limits {
        let [minute, quarter] = self.windows();
        Limits { at_once: 5, windows: vec![(minute, 60_000), (quarter, 900_000)] }
    }
}

pub struct Stage {
    pub kafka: String,
    pub namespace: String,
    pub missive: Missive,
    /// Where instances look for Missive.
    pub missive_url: String,
    budget: Budget,
    replicas: i32,
    config: String,
    token_file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// On the Kafka that tests share; `None` after having said that this test is skipped.
    pub fn new(budget: Budget) -> Option<Self> {
        let kafka = kafka::bootstrap()?;
        kcat::available().then(|| Self::on(&kafka, 1, budget))
    }

    /// On a given Kafka, with so many replicas of each topic.
    pub fn on(kafka: &str, replicas: i32, budget: Budget) -> Self {
        let dir = tempfile::Builder::new().prefix("missived-guarantee").tempdir().expect("a folder");
        let token_file = dir.path().join("token");
        fs::write(&token_file, TOKEN).expect("the token is written");
        let missive = Missive::start(budget);
        let stage = Self {
            kafka: kafka.to_owned(),
            namespace: kafka::unique("g"),
            missive_url: missive.url.clone(),
            missive,
            budget,
            replicas,
            config: CONFIG.to_owned(),
            token_file,
            _dir: dir,
        };
        for stream in STREAMS {
            let name = format!("{}-{}", stage.namespace, stream.topic);
            kafka::create_replicated_topic(kafka, &name, 3, replicas, &[]);
        }
        // on the wire for a moment, as over a network
        stage.missive.fault(&json!({"fault": "latency", "ms": 20, "jitter_ms": 80}));
        stage
    }

    /// With another text in the place of one in each instance's config.
    pub fn with(mut self, text: &str, other: &str) -> Self {
        assert!(self.config.contains(text), "the config has no {text}");
        self.config = self.config.replace(text, other);
        self
    }

    pub fn topic(&self, stream: &str) -> String {
        format!("{}-{stream}", self.namespace)
    }

    /// The config of an instance that keeps its partitions over a restart.
    pub fn config(&self, instance: &str) -> Config {
        self.written(&format!("instance = \"{instance}\""))
    }

    /// The config of an instance that its groups forget when it leaves.
    pub fn dynamic(&self) -> Config {
        self.written("")
    }

    /// The config of an instance that has never heard of these tables.
    pub fn without(&self, instance: &str, tables: &[&str]) -> Config {
        let lacks = |text: &str| tables.iter().any(|table| text.starts_with(&format!("{table}]")));
        let known: Vec<&str> = self.config.split("\n[").filter(|text| !lacks(text)).collect();
        self.fill(&known.join("\n["), &format!("instance = \"{instance}\""))
    }

    /// Where in the ledger and the state a lane lives.
    pub fn place(&self, lane: &str) -> i32 {
        let records = kcat::consume(&self.kafka, &format!("{}.state", self.namespace));
        let installation = records.iter().rfind(|record| record.key.as_deref() == Some("installation"));
        let place = installation.expect("an installation").json()["lanes"][lane].as_i64().expect("a partition");
        i32::try_from(place).expect("a small number")
    }

    fn written(&self, instance: &str) -> Config {
        self.fill(&self.config, instance)
    }

    fn fill(&self, config: &str, instance: &str) -> Config {
        let [minute, quarter] = self.budget.windows();
        let words = [
            ("{instance}", instance),
            ("{replicas}", &self.replicas.to_string()),
            ("{busy_token}", BUSY_TOKEN),
            ("{token_file}", self.token_file.to_str().expect("scratch paths are UTF-8")),
            ("{per_minute}", &minute.to_string()),
            ("{per_quarter_hour}", &quarter.to_string()),
        ];
        let config = words.iter().fold(config.to_owned(), |text, (word, value)| text.replace(word, value));
        Draft::new(&self.kafka, &self.missive_url).namespace(&self.namespace).toml(&config)
    }

    pub fn set_token(&self, token: &str) {
        fs::write(&self.token_file, token).expect("the token is written");
    }

    /// Writes one record of a stream, and waits until it is told.
    pub fn tell(&self, stream: &str, text: String) {
        let before = self.missive.accepted();
        kcat::Record::to(&self.topic(stream)).payload(text).send(&self.kafka);
        eventually(PATIENCE, "one message more", || (self.missive.accepted() > before).then_some(()));
    }

    pub fn workload(&self, seed: u64, rate: u64) -> Workload {
        Workload::start(&self.kafka, &self.namespace, seed, rate)
    }

    pub fn audit(&self, books: &Books) -> Findings {
        audit(books, &self.missive.ledger(), &self.budget.limits())
    }

    /// Waits until everything is told, or nobody waits for the rest any longer.
    pub fn until_told(&self, books: &Books) {
        let deadline = Deadline::after(ALL_TOLD);
        while !deadline.passed() && !self.audit(books).lost.is_empty() {
            moment(LOOK);
        }
    }

    /// Waits until everything is told, holds the audit, and prints its line. `ended` is how many senders ended without
    /// draining: each lane of an instance that was killed, or lost it, is one.
    pub fn conclude(&self, trial: &str, books: &Books, ended: usize) -> Findings {
        let found = self.conclude_but_for_letters(trial, books, ended);
        let letters = self.letters();
        assert!(letters.is_empty(), "{trial}: nothing of this can't be told: {letters:?}");
        found
    }

    /// The same where something can't be told.
    pub fn conclude_but_for_letters(&self, trial: &str, books: &Books, ended: usize) -> Findings {
        self.until_told(books);
        eventually(SOON, "quiet stand-in", || self.missive.ledger().iter().all(Request::is_settled).then_some(()));
        let found = self.audit(books);
        say(&format!("{trial}: kills {}, {found}", ended.div_ceil(LANES)));
        assert!(found.is_clean(), "{trial}: {found}");
        let unanswered = self.missive.ledger().iter().filter(|request| request.leaves_a_doubt()).count();
        let allowed = ended * IN_DOUBT_A_SENDER + unanswered;
        assert!(found.in_doubt.len() <= allowed, "{trial}: at most {allowed} may be in doubt: {:?}", found.in_doubt);
        found
    }

    pub fn letters(&self) -> Vec<kcat::Consumed> {
        kcat::consume(&self.kafka, &format!("{}.dead-letters", self.namespace))
    }
}

/// How often an instance has left a lane, drained or not.
pub fn lanes_left(daemon: &Daemon) -> usize {
    daemon.process.text(Stream::Stderr).matches("left a ledger partition").count()
}

/// A record of the topic `deals`.
pub fn change(conversation: u64, key: u64) -> String {
    said(&format!("r{conversation}"), &format!("r-{conversation}-{key}"))
}

/// A record of the topic `talks`.
pub fn said(on: &str, token: &str) -> String {
    json!({"on": on, "id": token, "text": token, "from": "Ann"}).to_string()
}

/// A line that is seen although libtest captures what tests print.
pub fn say(line: &str) {
    std::io::stderr().write_all(format!("guarantees: {line}\n").as_bytes()).expect("stderr takes a line");
}

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    let parse = |text: String| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}"));
    std::env::var(name).map_or(default, parse)
}

/// A span from the environment.
pub fn span(name: &str, default: Duration) -> Duration {
    let parse = |text: String| humantime::parse_duration(&text).unwrap_or_else(|e| panic!("{name}={text}: {e}"));
    std::env::var(name).map_or(default, parse)
}

/// A daemon that runs and is ready.
pub fn run(config: &Config) -> Daemon {
    let daemon = Daemon::start(config.path());
    daemon.until_ready(PATIENCE);
    daemon
}

/// How an instance's requests can be told: the end of their `User-Agent`.
pub fn agent_of(daemon: &Daemon) -> String {
    let line = daemon.process.wait_for_line("run=", Duration::ZERO);
    let run = line.split("run=").nth(1).and_then(|rest| rest.split('"').nth(1));
    format!("{})", run.expect("a name of this run"))
}

/// The stand-in for Missive, and what it was asked so far.
pub struct Missive {
    _process: Process,
    pub url: String,
    pub address: SocketAddr,
    seen: RefCell<Vec<Request>>,
}

impl Missive {
    fn start(budget: Budget) -> Self {
        let [minute, quarter] = budget.windows();
        let windows = [format!("{minute}/60s"), format!("{quarter}/15m")];
        let channels = STREAMS.map(|stream| format!("account={},type=text", stream.account));
        let mut args =
            vec!["sandbox", "--listen", "127.0.0.1:0", "--token", TOKEN, "--token", BUSY_TOKEN, "--token", NEW_TOKEN];
        windows.iter().for_each(|window| args.extend(["--limit", window]));
        channels.iter().for_each(|channel| args.extend(["--channel", channel]));
        let process = Process::spawn(&args, &[]);
        let line = process.wait_for_line("listening on http://", SOON);
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL").to_owned();
        Self { _process: process, address: http::address_of(&url), url, seen: RefCell::default() }
    }

    pub fn fault(&self, fault: &Value) {
        let json = [("Content-Type", "application/json")];
        let answer =
            http::post(self.address, "/control/faults", &json, fault.to_string().as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{fault}: {}", answer.text());
    }

    pub fn clear_faults(&self) {
        http::request(self.address, "DELETE", "/control/faults", &[], b"").expect("an answer");
    }

    /// Every request so far, in the order of arrival.
    pub fn ledger(&self) -> Vec<Request> {
        let mut seen = self.seen.borrow_mut();
        // what can't change any more needs no second look
        let settled = seen.iter().take_while(|request| request.is_settled()).count();
        seen.truncate(settled);
        loop {
            let after = seen.last().map_or(0, |request| request.id);
            let page =
                http::get(self.address, &format!("/control/ledger?limit=1000&after={after}")).expect("an answer");
            let page = page.json();
            assert_eq!(page["fallen_out"], 0, "the ledger holds all of a trial");
            seen.extend(page["entries"].as_array().expect("a list").iter().map(Request::of));
            if page["next_after"].is_null() {
                return seen.clone();
            }
        }
    }

    /// How many requests have been accepted so far.
    pub fn accepted(&self) -> usize {
        self.ledger().iter().filter(|request| request.verdict == "accepted").count()
    }

    /// Waits until so many more have been accepted than now.
    pub fn wait_for_more(&self, count: usize, within: Duration) {
        let before = self.accepted();
        eventually(within, &format!("{count} more messages"), || (self.accepted() >= before + count).then_some(()));
    }
}

const CONFIG: &str = r#"
[kafka]
bootstrap = "{bootstrap}"
namespace = "{namespace}"
{instance}
session_timeout = "6s"
topics.ledger_partitions = 2
topics.replication = {replicas}

[missive]
url = "{missive_url}"
token_file = "{token_file}"
request_timeout = "1s"
send_within = "1s"
retry_first = "100ms"
retry_longest = "2s"
limits.skew_margin = "200ms"
limits.per_minute = {per_minute}
limits.per_quarter_hour = {per_quarter_hour}

[lanes.busy]
insecure_inline_token = "{busy_token}"

[admin]
listen = "127.0.0.1:0"

[lane]
digest_lines_max = 100
horizons = { critical = "60s" }

[channels.talks]
account = "11111111-2222-4333-8444-555555555555"
type = "text"

[channels.deals]
account = "22222222-3333-4444-8555-666666666666"
type = "text"
lane = "busy"
new_conversations_critical = 900

[channels.groups]
account = "33333333-4444-4555-8666-777777777777"
type = "text"
lane = "busy"
new_conversations_critical = 900

[channels.storm]
account = "44444444-5555-4666-8777-888888888888"
type = "text"
lane = "busy"
new_conversations_critical = 2

[sources.talks]
topic = "{namespace}-talks"
format = "json"
kind = "thread"
channel = "talks"
json = { entity = "/on", id = "/id", text = "/text", author = "/from", title = "/on" }

[sources.deals]
topic = "{namespace}-deals"
format = "json"
kind = "record"
channel = "deals"
urgency = "critical"
group_wait = "0s"
group_interval = "1s"
json = { entity = "/id", id = "/id", conversation = "/on", text = "/text", title = "/on" }

[sources.groups]
topic = "{namespace}-groups"
format = "alertmanager"
channel = "groups"
start = "earliest"

[sources.storm]
topic = "{namespace}-storm"
format = "alertmanager"
channel = "storm"
start = "earliest"
"#;
