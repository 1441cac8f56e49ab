//! The ingest endpoint over real sockets, with librdkafka's in-process cluster as Kafka.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use missived::config;
use missived::event::Timestamp;
use missived::hook::Secret;
use missived::hook::ingest::{Gate, Sender};
use missived::shell::edge::{Renewable, serve};
use missived::shell::ingest::Ingest;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOKS_MAX: u32 = 400;
const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);
const TOKEN: &str = "Authorization: Bearer t0ken";

type Cluster = MockCluster<'static, DefaultProducerContext>;

struct Stage {
    cluster: Cluster,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

async fn stage() -> Stage {
    let cluster = MockCluster::new(1).expect("cluster");
    for topic in ["alerts", "panels", "deals"] {
        cluster.create_topic(topic, 1, 1).expect("topic");
    }
    let (address, stop) = start(&cluster.bootstrap_servers()).await;
    Stage { cluster, address, _stop: stop }
}

async fn start(bootstrap: &str) -> (SocketAddr, watch::Sender<bool>) {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("message.timeout.ms", "10000")
        .create()
        .expect("producer");
    let secret = |text| Secret::parse(text).expect("a secret");
    let gate = |source: &str, sender, secrets| Gate {
        source: source.into(),
        topic: source.into(),
        sender,
        secrets,
        url: "https://in.example.com/ingest/deals".into(),
    };
    let config = config::Ingest {
        edge: edge(),
        kafka_timeout: Duration::from_secs(2),
        token: Some(secret("t0ken")),
        gates: vec![
            gate("alerts", Sender::Alertmanager, vec![]),
            gate("panels", Sender::Grafana, vec![secret("grafana")]),
            gate("deals", Sender::HubSpot, vec![secret("hubspot")]),
        ],
    };
    let ingest = Ingest::new(config, producer, Arc::new(|| NOW)).expect("an ingest");
    let ingest = Arc::new(Renewable::new(ingest));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, ingest, stopped, PATIENCE));
    (address, stop)
}

fn edge() -> config::Edge {
    config::Edge {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        body_bytes_max: 2_000,
        head_timeout: PATIENCE,
        body_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        write_timeout: PATIENCE,
        requests_per_connection_max: 100,
        connections_max: 64,
        connections_per_address_max: 64,
        bodies_bytes_max: 1 << 20,
        requests_per_minute: NonZeroU32::MAX,
        failures_per_minute: NonZeroU32::MAX,
        proxies: Vec::new(),
    }
}

/// A group as Alertmanager and Grafana send it.
fn group(key: &str) -> String {
    format!(r#"{{"version":"4","groupKey":"{key}","status":"firing","alerts":[{{"status":"firing"}}]}}"#)
}

async fn post(address: SocketAddr, path: &str, lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("in peace");
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

fn mac(secret: &str, body: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Keys and values of the first `count` records of a topic.
fn records(cluster: &Cluster, topic: &str, count: usize) -> Vec<(String, String)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .create()
        .expect("consumer");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).expect("assignment");
    consumer.assign(&assignment).expect("assigned");
    let mut records = Vec::new();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("there").to_vec()).expect("text");
    for _ in 0..LOOKS_MAX {
        let Some(Ok(message)) = consumer.poll(PATIENCE / LOOKS_MAX) else { continue };
        records.push((text(message.key()), text(message.payload())));
        if records.len() == count {
            return records;
        }
    }
    panic!("not in time: {records:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_on_the_sources_topic_under_its_key_when_it_is_answered() {
    let stage = stage().await;
    let answer = post(stage.address, "/ingest/alerts", &[TOKEN], &group("{}:{a}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n{}"), "{answer}");
    assert_eq!(records(&stage.cluster, "alerts", 1), [("{}:{a}".to_owned(), group("{}:{a}"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grafana_is_believed_by_its_signature() {
    let stage = stage().await;
    let hex: String = mac("grafana", &group("g")).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("X-Grafana-Alerting-Signature: {hex}");
    assert_eq!(status(&post(stage.address, "/ingest/panels", &[&line], &group("g")).await), "200");
    assert_eq!(status(&post(stage.address, "/ingest/panels", &[&line], &group("h")).await), "401");
    assert_eq!(
        status(&post(stage.address, "/ingest/panels", &[TOKEN], &group("g")).await),
        "401",
        "the token is not enough"
    );
    assert_eq!(records(&stage.cluster, "panels", 1), [("g".to_owned(), group("g"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubspot_is_believed_by_its_signature_and_each_object_is_a_record() {
    let stage = stage().await;
    let body =
        r#"[{"objectId":7,"subscriptionType":"deal.creation"},{"objectId":8,"subscriptionType":"deal.creation"}]"#;
    let now = NOW.as_millis().to_string();
    let signed = mac("hubspot", &format!("POSThttps://in.example.com/ingest/deals{body}{now}"));
    let lines = [format!("X-HubSpot-Signature-v3: {}", base64(&signed)), format!("X-HubSpot-Request-Timestamp: {now}")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(status(&post(stage.address, "/ingest/deals", &lines, body).await), "200");
    let keys: Vec<String> = records(&stage.cluster, "deals", 2).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["deal:7", "deal:8"]);
}

/// By another way than the code that is tested: six bits at a time.
fn base64(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>() + "00";
    let digit = |at: usize| char::from(DIGITS[usize::from_str_radix(&bits[at..at + 6], 2).expect("bits")]);
    (0..bits.len()).step_by(6).map(digit).collect::<String>() + "="
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_prove_nothing_learns_nothing_and_writes_nothing() {
    let stage = stage().await;
    let refused = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for path in ["/ingest/alerts", "/ingest/panels", "/ingest/deals", "/ingest/nobody"] {
        for lines in [&[][..], &["Authorization: Bearer wrong"]] {
            assert_eq!(post(stage.address, path, lines, &group("g")).await, refused, "{path} {lines:?}");
        }
    }
    let rows = [
        ("/ingest/nobody", group("g"), "404"),
        ("/ingest/", group("g"), "404"),
        ("/hooks/ops", group("g"), "404"),
        ("/ingest/alerts", "{}".to_owned(), "400"),
        ("/ingest/alerts", "x".repeat(2_001), "413"),
    ];
    for (path, body, wanted) in rows {
        assert_eq!(status(&post(stage.address, path, &[TOKEN], &body).await), wanted, "{path} {body:.20}");
    }
    assert_eq!(status(&post(stage.address, "/ingest/alerts", &[TOKEN], &group("last")).await), "200");
    assert_eq!(records(&stage.cluster, "alerts", 1)[0].0, "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_nothing_is_taken() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let closed = nobody.local_addr().expect("address").to_string();
    drop(nobody);
    let (address, _stop) = start(&closed).await;
    let answer = post(address, "/ingest/alerts", &[TOKEN], &group("g")).await;
    assert_eq!((status(&answer), answer.contains("retry-after: 5\r\n")), ("503", true), "{answer}");
}
