//! Latency while nothing else happens: from a record's timestamp to the request at the stand-in, intents committed first.
//!
//! Every record is critical news in a conversation of its own with `group_wait` 0, so each is one request. The next one is
//! written a moment after the one before. The stand-in and the config agree on ten times Missive's requests.
//!
//! Limits: both times are whole milliseconds of one clock; a channel opens at most 900 conversations in five minutes, so more
//! records than that end up in a roll-up.

use std::net::SocketAddr;
use std::time::Duration;

use missived::shell::clock;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::run::Stage;
use crate::support::config::{ACCOUNT, TOKEN};
use crate::support::daemon::{Process, SOON};
use crate::support::wait::{eventually, moment};
use crate::support::{http, kafka};

/// From one record to the next: under 300 requests a minute.
const PACE: Duration = Duration::from_millis(250);
/// Records before the ones that count.
const WARM_UP: u64 = 3;

/// Milliseconds, sorted.
pub struct Latency(pub Vec<u64>);

impl Latency {
    pub fn at(&self, percent: usize) -> u64 {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

pub fn measure(stage: &Stage<'_>, records: u64) -> Latency {
    let topic = kafka::unique("bench-latency");
    kafka::create_topic(stage.kafka, &topic, 1, &[]);
    let (_sandbox, address) = sandbox();
    let config = stage.config(CONFIG, &topic, &format!("http://{address}"), &[]);
    let daemon = stage.start(&config);
    let admin = daemon.address_of("admin");
    eventually(SOON * 2, "daemon that is ready", || {
        http::get(admin, "/readyz").ok().filter(|answer| answer.status == 200)
    });
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", stage.kafka).set("linger.ms", "0").create().expect("a producer");
    for number in 0..WARM_UP + records {
        write(&producer, &topic, number);
        moment(PACE);
    }
    let all = usize::try_from(WARM_UP + records).expect("few records");
    let seen =
        eventually(SOON, "request for every record", || Some(requests(address)).filter(|seen| seen.len() == all));
    let mut spans: Vec<u64> = seen.into_iter().skip(usize::try_from(WARM_UP).expect("few")).collect();
    spans.sort_unstable();
    Latency(spans)
}

/// The record says in its text when it was written, as its timestamp does.
fn write(producer: &BaseProducer, topic: &str, number: u64) {
    let at = clock::now().as_millis();
    let body = format!(r#"{{"id":"thing-{number}","text":"at={at}","severity":"critical"}}"#);
    let at = i64::try_from(at).expect("our century");
    let record = BaseRecord::<(), str>::to(topic).payload(&body).timestamp(at);
    producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
    producer.flush(SOON).expect("Kafka takes the record");
}

/// Milliseconds from each record to its request, in the order of the requests.
fn requests(address: SocketAddr) -> Vec<u64> {
    let page = http::get(address, "/control/ledger?limit=1000").expect("an answer").json();
    let entries = page["entries"].as_array().expect("a list");
    entries.iter().filter(|entry| entry["verdict"] == "accepted").filter_map(span).collect()
}

fn span(entry: &Value) -> Option<u64> {
    let text = entry["body"].to_string();
    let digits = text.split_once("at=")?.1.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(entry["received_at"].as_u64()?.saturating_sub(digits.parse().ok()?))
}

fn sandbox() -> (Process, SocketAddr) {
    let channel = format!("account={ACCOUNT},type=text");
    let args = ["sandbox", "--token", TOKEN, "--limit", "3000/60s", "--limit", "9000/15m", "--channel", &channel];
    let process = Process::spawn(&args, &[]);
    let line = process.wait_for_line("listening on http://", SOON);
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL").to_owned();
    (process, http::address_of(&url))
}

const CONFIG: &str = r#"
[kafka]
bootstrap = "{bootstrap}"
namespace = "{namespace}"
session_timeout = "6s"

[missive]
url = "{missive_url}"
token_file = "{dir}/token"
limits.per_minute = 3000
limits.per_quarter_hour = 9000

[admin]
listen = "127.0.0.1:0"

[channels.ops]
account = "{account}"
type = "text"
new_conversations = 900
new_conversations_critical = 900

[sources.things]
topic = "{topic}"
format = "json"
kind = "record"
channel = "ops"
start = "earliest"
group_wait = "0s"
critical = { group_wait = "0s" }
json = { entity = "/id", text = "/text", severity = "/severity" }
"#;
