//! The scene of a process test: Kafka, the stand-in for Missive, the config of a daemon between them, and the daemon.
//!
//! What is asked of the stand-in and of the daemon goes over their public HTTP endpoints. Times in the config are short where
//! a test would otherwise wait for them; everything else is as it comes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::{ACCOUNT, Config, Draft, SECRET};
use crate::support::daemon::{self, Process, SOON};
use crate::support::wait::eventually;
use crate::support::{http, kafka, kcat};

/// For what takes a restart, a takeover or a rebalance.
pub const LATER: Duration = Duration::from_secs(60);

/// A source of people's own words in JSON: told verbatim and never summarised, so that each can be found again.
pub const TICKETS: &str = r#"
[sources.tickets]
topic = "{namespace}-tickets"
format = "json"
kind = "thread"
channel = "ops"

[sources.tickets.json]
entity = "/ticket"
id = "/id"
text = "/text"
author = "/from"
"#;

/// Everything but the daemon.
pub struct Scene {
    pub kafka: String,
    pub sandbox: Sandbox,
    pub config: Config,
}

impl Scene {
    /// A scene on the shared Kafka, with one partition of each topic `<namespace>-<topic>`; `None` after having said that
    /// this test is skipped. `adapt` makes the config what the test is about.
    pub fn new(topics: &[&str], adapt: impl FnOnce(Draft) -> Draft) -> Option<Self> {
        let bootstrap = kafka::bootstrap()?;
        kcat::available().then(|| Self::on(bootstrap, topics, adapt))
    }

    /// The same on a given Kafka.
    pub fn on(bootstrap: String, topics: &[&str], adapt: impl FnOnce(Draft) -> Draft) -> Self {
        let sandbox = Sandbox::start();
        let draft = Draft::new(&bootstrap, &sandbox.url).set("kafka", "session_timeout = \"6s\"");
        let config = adapt(draft).write();
        for topic in topics {
            let room = [("max.message.bytes", "25000000")];
            kafka::create_topic(&bootstrap, &format!("{}-{topic}", config.namespace()), 1, &room);
        }
        Self { kafka: bootstrap, sandbox, config }
    }

    /// The daemon, once it is ready.
    pub fn run(&self) -> Daemon {
        let daemon = Daemon::start(self.config.path());
        daemon.until_ready(LATER);
        daemon
    }

    /// A record to one of the topics.
    pub fn record(&self, topic: &str) -> kcat::Record {
        kcat::Record::to(&self.topic(topic))
    }

    pub fn topic(&self, topic: &str) -> String {
        format!("{}-{topic}", self.config.namespace())
    }

    /// Everything on one of the daemon's own topics.
    pub fn own(&self, topic: &str) -> Vec<kcat::Consumed> {
        kcat::consume(&self.kafka, &self.config.own_topic(topic))
    }
}

/// The stand-in for Missive.
pub struct Sandbox {
    _process: Process,
    pub url: String,
    address: SocketAddr,
}

impl Sandbox {
    fn start() -> Self {
        let (process, url) = daemon::sandbox(&[&format!("account={ACCOUNT},type=text")]);
        Self { _process: process, address: http::address_of(&url), url }
    }

    pub fn ask(&self, path: &str) -> Value {
        let answer = http::get(self.address, path).expect("the stand-in answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub fn tell(&self, path: &str, body: &Value) -> Value {
        let json = [("Content-Type", "application/json")];
        let answer = http::post(self.address, path, &json, body.to_string().as_bytes()).expect("the stand-in answers");
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.json()
    }

    /// What people answer from now on goes to this hook.
    pub fn send_replies_to(&self, hook: SocketAddr) {
        let webhook = json!({"url": format!("http://{hook}/hooks/ops"), "secret": SECRET});
        self.tell("/control/channels", &json!({"account": ACCOUNT, "type": "text", "webhook": webhook}));
    }

    /// The messages that were taken, in order.
    pub fn messages(&self) -> Vec<Message> {
        let page = self.ask("/control/ledger?limit=1000");
        assert_eq!(page["next_after"], Value::Null, "more requests than a test looks through");
        let entries = page["entries"].as_array().expect("a list");
        entries.iter().filter(|entry| entry["verdict"] == "accepted").map(Message::of).collect()
    }

    /// The messages, once there are as many.
    pub fn wait_for_messages(&self, count: usize) -> Vec<Message> {
        eventually(LATER, &format!("{count} messages"), || {
            Some(self.messages()).filter(|messages| messages.len() >= count)
        })
    }

    pub fn refusals(&self, name: &str) -> u64 {
        self.ask("/control/summary")["refused"][name].as_u64().unwrap_or(0)
    }
}

/// One message that was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    pub conversation: String,
    pub body: String,
}

impl Message {
    fn of(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self { conversation: text(&entry["conversation"]), body: text(&entry["body"]["text"]) }
    }
}

/// A running `missived run`.
pub struct Daemon {
    pub process: Process,
    pub admin: SocketAddr,
}

impl Daemon {
    /// As soon as its operators' page can be asked.
    pub fn start(config: &Path) -> Self {
        let process = daemon::run(config);
        let admin = process.address_of("admin");
        Self { process, admin }
    }

    pub fn until_ready(&self, within: Duration) {
        eventually(within, "readiness", || (self.readiness().0 == 200).then_some(()));
    }

    /// Status and JSON of `/readyz`.
    pub fn readiness(&self) -> (u16, Value) {
        let answer = http::get(self.admin, "/readyz").expect("the daemon answers");
        (answer.status, answer.json())
    }

    pub fn hook(&self) -> SocketAddr {
        self.process.address_of("hook")
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&http::get(self.admin, "/metrics").expect("the daemon answers").text())
    }

    /// The metrics, once the books are closed: `consumed` events, all of them settled but for those `pending`.
    pub fn wait_for_balance(&self, consumed: u64, pending: u64) -> Metrics {
        eventually(LATER, &format!("balance of {consumed} events, {pending} of them pending"), || {
            let metrics = self.metrics();
            let closed = metrics.consumed() == consumed && metrics.settled() + pending == consumed;
            (closed && metrics.pending() == pending).then_some(metrics)
        })
    }

    /// SIGTERM, and an orderly end.
    pub fn stop(mut self) {
        self.process.sigterm();
        let status = self.process.wait_exit(SOON);
        assert_eq!(status.code(), Some(0), "an orderly stop:\n{}", self.process.text(daemon::Stream::Stderr));
    }

    pub fn kill9(mut self) {
        self.process.kill9();
        self.process.wait_exit(SOON);
    }
}

/// One scrape: values by name and labels, as they are written.
#[derive(Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let parse = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a metric: {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|e| panic!("not a number ({e}): {line}")))
        };
        Self(lines.map(parse).collect())
    }

    /// The sum of a metric over all labels that contain `labels`.
    pub fn sum(&self, name: &str, labels: &str) -> u64 {
        let of = |key: &&String| key.split('{').next() == Some(name) && key.contains(labels);
        self.0.keys().filter(of).map(|key| self.0[key] as u64).sum()
    }

    pub fn consumed(&self) -> u64 {
        self.sum("missived_events_consumed_total", "")
    }

    pub fn outcome(&self, outcome: &str) -> u64 {
        self.sum("missived_events_total", &format!("outcome=\"{outcome}\""))
    }

    pub fn reason(&self, reason: &str) -> u64 {
        self.sum("missived_events_total", &format!("reason=\"{reason}\""))
    }

    pub fn pending(&self) -> u64 {
        self.sum("missived_events_pending", "")
    }

    /// Everything that has an outcome.
    pub fn settled(&self) -> u64 {
        ["delivered", "duplicate", "suppressed", "dead_lettered"].map(|outcome| self.outcome(outcome)).iter().sum()
    }
}

/// An Alertmanager webhook body: one group with one alert.
pub fn alert(group: &str, status: &str) -> String {
    let labels = json!({"alertname": group, "severity": "warning", "service": "payments"});
    let alert = json!({
        "status": status,
        "labels": labels,
        "annotations": {"summary": format!("{group} is too high")},
        "startsAt": "2026-11-22T03:12:00Z",
        "endsAt": if status == "resolved" { "2026-11-22T03:30:00Z" } else { "0001-01-01T00:00:00Z" },
        "generatorURL": "https://prometheus.example.com/graph",
        "fingerprint": format!("f-{group}"),
    });
    json!({
        "version": "4", "groupKey": format!("{{}}:{{alertname=\"{group}\"}}"), "truncatedAlerts": 0, "status": status,
        "receiver": "missived", "groupLabels": {"alertname": group}, "commonLabels": labels, "commonAnnotations": {},
        "externalURL": "https://alertmanager.example.com", "alerts": [alert],
    })
    .to_string()
}

/// A record of the source [`TICKETS`]: somebody says `text` in `ticket`, and its id is the text.
pub fn said(ticket: &str, text: &str) -> String {
    json!({"ticket": ticket, "id": text, "text": text, "from": "Ann"}).to_string()
}
