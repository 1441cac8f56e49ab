//! The stage: a hook endpoint on a free port, the in-process cluster behind it, and plain sockets before it.
//!
//! Requests are written as bytes, so that what goes over the wire is exactly what a test says.

pub use std::net::SocketAddr;
pub use std::time::Duration;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
pub use missived::config;
pub use missived::event::Timestamp;
pub use missived::event::frame::LedgerRecord;
pub use missived::event::lesson::Learned;
pub use missived::hook::{Door, SIGNATURE_HEADERS, Secret};
use missived::missive::ChannelType;
pub use missived::shell::edge::{HEAD_BYTES_MAX, HEADERS_MAX};
use missived::shell::edge::{Renewable, serve};
use missived::shell::hook::{Hook, Outlet, producer};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
pub use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sha2::Sha256;
pub use tokio::io::{AsyncReadExt, AsyncWriteExt};
pub use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
pub use tokio::time::timeout;

pub const SECRET: &str = "s3cr3t";
pub const REPLIES: &str = "test.replies";
pub const LEDGER: &str = "test.ledger";
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);
const LOOKS_MAX: u32 = 400;

pub type Cluster = MockCluster<'static, DefaultProducerContext>;

pub struct Stage {
    pub cluster: Cluster,
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub server: JoinHandle<()>,
}

/// An endpoint that nobody can exhaust, but for what `change` makes small.
pub async fn stage(change: impl FnOnce(&mut config::Hook)) -> Stage {
    let cluster = MockCluster::new(1).expect("cluster");
    cluster.create_topic(REPLIES, 1, 1).expect("topic");
    cluster.create_topic(LEDGER, 3, 1).expect("topic");
    let bootstrap = cluster.bootstrap_servers();
    let (address, stop, server) = start(change, &bootstrap).await;
    Stage { cluster, address, stop, server }
}

pub async fn start(
    change: impl FnOnce(&mut config::Hook),
    bootstrap: &str,
) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    let hook = Arc::new(Renewable::new(hook(change, bootstrap)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, hook, stopped, PATIENCE));
    (address, stop, server)
}

/// The next instance, which reads back what others have heard.
pub async fn successor(stage: &Stage) -> SocketAddr {
    let bootstrap = stage.cluster.bootstrap_servers();
    let (hook, kafka) = (Arc::new(Renewable::new(hook(|_| {}, &bootstrap))), kafka(&bootstrap));
    let recalling = hook.current();
    tokio::task::spawn_blocking(move || recalling.recall(&kafka)).await.expect("recalled");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        serve(listener, hook, stopped, PATIENCE).await;
        drop(stop);
    });
    address
}

fn hook(change: impl FnOnce(&mut config::Hook), bootstrap: &str) -> Hook {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("message.timeout.ms", "10000");
    let producer = producer(&client, Arc::new(|| NOW)).expect("a producer");
    let partition_of_lane = HashMap::from([("default".into(), 2)]);
    let (replies, ledger) = (REPLIES.to_owned(), LEDGER.to_owned());
    let outlet = Outlet { producer, replies, ledger, partition_of_lane, reply_bytes_max: 1 << 20 };
    let mut config = config::Hook {
        edge: edge(),
        kafka_timeout: PATIENCE,
        raw: config::Raw::Dropped,
        signature_headers: SIGNATURE_HEADERS.map(Box::from).to_vec(),
        doors: vec![door("ops", &[SECRET, "next"]), door("open", &[]), door("counted", &[SECRET])],
    };
    change(&mut config);
    Hook::new(config, outlet, Arc::new(|| NOW)).expect("a hook")
}

/// Limits that are far away, but for the size of a body.
pub fn edge() -> config::Edge {
    config::Edge {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        body_bytes_max: 1000,
        head_timeout: PATIENCE,
        body_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        write_timeout: PATIENCE,
        requests_per_connection_max: 1_000,
        connections_max: 64,
        connections_per_address_max: 64,
        bodies_bytes_max: 1 << 20,
        requests_per_minute: NonZeroU32::MAX,
        failures_per_minute: NonZeroU32::MAX,
        proxies: Vec::new(),
    }
}

fn kafka(bootstrap: &str) -> config::Kafka {
    config::Kafka {
        bootstrap: bootstrap.to_owned(),
        namespace: "test".into(),
        instance: None,
        session_timeout: PATIENCE,
        topics: config::Topics {
            ledger_partitions: 3,
            reply_partitions: 1,
            replication: 1,
            message_bytes_max: 1 << 20,
            decisions: None,
        },
        librdkafka: BTreeMap::new(),
    }
}

pub fn door(channel: &str, secrets: &[&str]) -> Door {
    let secrets = secrets.iter().filter_map(|secret| Secret::parse(secret)).collect();
    Door { channel: channel.into(), kind: ChannelType::Text, lane: "default".into(), secrets }
}

pub fn reply(id: &str) -> String {
    format!(
        r#"{{"message":{{"id":"{id}","type":"custom_text","body":"ack","to_fields":[{{"id":"alerts/lag"}}]}},
            "conversation":{{"id":"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee","messages_count":2}}}}"#
    )
}

pub fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole request; `lines` are further header lines.
pub fn request(path: &str, lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{lines}\r\n{body}", body.len())
}

pub fn signed(body: &str) -> String {
    let line = format!("X-Hook-Signature: sha256={}", signature(SECRET, body));
    request("/hooks/ops", &[&line, "Connection: close"], body)
}

/// Sends and reads until the server ends the connection.
pub async fn send(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("written");
    read(&mut stream).await
}

pub async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("ended in time").expect("ended in peace");
    String::from_utf8(answer).expect("text")
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

/// What stands in a partition, up to and including the first record that is `enough`.
pub fn records(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    enough: impl Fn(&OwnedMessage) -> bool,
) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .create()
        .expect("consumer");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("assignment");
    consumer.assign(&assignment).expect("assigned");
    let mut records = Vec::new();
    for _ in 0..LOOKS_MAX {
        let Some(Ok(message)) = consumer.poll(PATIENCE / LOOKS_MAX) else { continue };
        records.push(message.detach());
        if records.last().is_some_and(&enough) {
            return records;
        }
    }
    panic!("not in time: {records:?}");
}

pub fn header<'m>(message: &'m OwnedMessage, name: &str) -> Option<&'m str> {
    let value = message.headers()?.iter().find(|header| header.key == name)?.value?;
    std::str::from_utf8(value).ok()
}

/// The ids of all replies on Kafka, the last of which is `last`.
pub fn ids(cluster: &Cluster, last: &str) -> Vec<String> {
    let records = records(cluster, REPLIES, 0, |message| header(message, "missived-message-id") == Some(last));
    records.iter().filter_map(|message| header(message, "missived-message-id")).map(str::to_owned).collect()
}

pub async fn until_taken(address: SocketAddr, request: &str) {
    let taken = async { while status(&send(address, request).await) != "200" {} };
    timeout(PATIENCE, taken).await.expect("taken in time");
}

/// All that is said to one who is refused, but for what a 405, a 429 or a 503 adds.
pub fn refusal(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    Answered(String),
    Cut,
}

/// Reads until the server ends the connection, in peace or not.
pub async fn ending(stream: &mut TcpStream) -> Ending {
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("ended in time");
    match (ended, answer.is_empty()) {
        (Ok(_) | Err(_), true) => Ending::Cut,
        (Ok(_) | Err(_), false) => Ending::Answered(String::from_utf8(answer).expect("text")),
    }
}

/// A good request is answered at once: what stands before it held nobody up.
pub async fn serves_at_once(address: SocketAddr) {
    let answered = timeout(Duration::from_secs(2), send(address, &signed("{}"))).await;
    assert_eq!(answered.as_deref().map(status), Ok("200"));
}
