//! The hook endpoint over real sockets, with librdkafka's in-process cluster as Kafka.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use metrics_exporter_prometheus::PrometheusBuilder;
use missived::config;
use missived::event::Timestamp;
use missived::event::frame::{Learned, LedgerRecord};
use missived::hook::{Door, Secret};
use missived::missive::ChannelType;
use missived::shell::hook::connection::{HEAD_BYTES_MAX, HEADERS_MAX};
use missived::shell::hook::{Outlet, serve};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SECRET: &str = "s3cr3t";
const REPLIES: &str = "test.replies";
const LEDGER: &str = "test.ledger";
const PATIENCE: Duration = Duration::from_secs(20);
const LOOKS_MAX: u32 = 400;

type Cluster = MockCluster<'static, DefaultProducerContext>;

struct Stage {
    cluster: Cluster,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Settings {
    body_timeout: Duration,
    kafka_timeout: Duration,
    connections_max: usize,
}

const USUAL: Settings = Settings { body_timeout: PATIENCE, kafka_timeout: PATIENCE, connections_max: 64 };

async fn stage(settings: Settings) -> Stage {
    let cluster = MockCluster::new(1).expect("cluster");
    cluster.create_topic(REPLIES, 1, 1).expect("topic");
    cluster.create_topic(LEDGER, 3, 1).expect("topic");
    let bootstrap = cluster.bootstrap_servers();
    let (address, stop, server) = start(settings, &bootstrap).await;
    Stage { cluster, address, stop, server }
}

async fn start(settings: Settings, bootstrap: &str) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("message.timeout.ms", "10000")
        .create()
        .expect("producer");
    let partition_of_lane = HashMap::from([("default".into(), 2)]);
    let outlet = Outlet { producer, replies: REPLIES.to_owned(), ledger: LEDGER.to_owned(), partition_of_lane };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let hook = Arc::new(config::Hook {
        listen: address,
        body_bytes_max: 1000,
        body_timeout: settings.body_timeout,
        kafka_timeout: settings.kafka_timeout,
        connections_max: settings.connections_max,
        doors: vec![door("ops", &[SECRET, "next"]), door("open", &[]), door("counted", &[SECRET])],
    });
    let (stop, stopped) = watch::channel(false);
    let clock = Arc::new(|| Timestamp::from_millis(1_795_317_120_000));
    let server = tokio::spawn(serve(listener, hook, outlet, clock, stopped, PATIENCE));
    (address, stop, server)
}

fn door(channel: &str, secrets: &[&str]) -> Door {
    let secrets = secrets.iter().filter_map(|secret| Secret::parse(secret)).collect();
    Door { channel: channel.into(), kind: ChannelType::Text, lane: "default".into(), secrets }
}

fn reply(id: &str) -> String {
    format!(
        r#"{{"message":{{"id":"{id}","type":"custom_text","body":"ack","to_fields":[{{"id":"alerts/lag"}}]}},
            "conversation":{{"id":"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee","messages_count":2}}}}"#
    )
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole request; `lines` are further header lines.
fn request(path: &str, lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{lines}\r\n{body}", body.len())
}

fn signed(body: &str) -> String {
    let line = format!("X-Hook-Signature: sha256={}", signature(SECRET, body));
    request("/hooks/ops", &[&line, "Connection: close"], body)
}

/// Sends and reads until the server ends the connection.
async fn send(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("written");
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("ended in time").expect("ended in peace");
    String::from_utf8(answer).expect("text")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

/// What stands in a partition, up to and including the first record that is `enough`.
fn records(
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

fn header<'m>(message: &'m OwnedMessage, name: &str) -> Option<&'m str> {
    let value = message.headers()?.iter().find(|header| header.key == name)?.value?;
    std::str::from_utf8(value).ok()
}

/// The ids of all replies on Kafka, the last of which is `last`.
fn ids(cluster: &Cluster, last: &str) -> Vec<String> {
    let records = records(cluster, REPLIES, 0, |message| header(message, "missived-message-id") == Some(last));
    records.iter().filter_map(|message| header(message, "missived-message-id")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_reply_is_on_kafka_when_it_is_answered() {
    let stage = stage(USUAL).await;
    let answer = send(stage.address, &signed(&reply("m-1"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n{}"), "{answer}");
    let replies = records(&stage.cluster, REPLIES, 0, |_| true);
    assert_eq!(replies[0].key(), Some(b"alerts/lag".as_slice()));
    let headers = ["content-type", "missived-version", "missived-message-id", "missived-channel"];
    let wanted = ["application/json", "1", "m-1", "ops"].map(Some);
    assert_eq!(headers.map(|name| header(&replies[0], name)), wanted);
    let value: serde_json::Value = serde_json::from_slice(replies[0].payload().expect("payload")).expect("JSON");
    assert_eq!((value["body"].as_str(), value["route"].as_str()), (Some("ack"), Some("alerts")));

    let ledger = records(&stage.cluster, LEDGER, 2, |_| true);
    let Ok(LedgerRecord::Lesson(lesson)) = LedgerRecord::read(ledger[0].payload().expect("payload")) else {
        panic!("not a lesson")
    };
    assert_eq!((lesson.about, lesson.routing_key), (Learned::Answered, "alerts/lag"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_active_secret_and_any_documented_header_is_accepted() {
    let stage = stage(USUAL).await;
    let body = reply("m-1");
    for secret in [SECRET, "next"] {
        for name in ["X-Hook-Signature: ", "x-hook-signature:sha256=", "X-Missive-Signature: sha256="] {
            let line = format!("{name}{}", signature(secret, &body));
            let answer = send(stage.address, &request("/hooks/ops", &[&line, "Connection: close"], &body)).await;
            assert_eq!(status(&answer), "200", "{line}");
        }
    }
    let answer = send(stage.address, &request("/hooks/open", &["Connection: close"], &reply("m-2"))).await;
    assert_eq!(status(&answer), "200", "a door that the config leaves open");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_authenticity_are_the_same_bytes_and_write_nothing() {
    let stage = stage(USUAL).await;
    let body = reply("m-1");
    let (right, wrong) = (signature(SECRET, &body), signature("other", &body));
    let line = |signature: &str| format!("X-Hook-Signature: {signature}");
    let second = format!("X-Missive-Signature: {right}");
    let rows = [
        request("/hooks/ops", &[], &body),
        request("/hooks/ops", &[&line(&wrong)], &body),
        request("/hooks/ops", &[&line("sha256=")], &body),
        request("/hooks/ops", &[&line(&right), &line(&right)], &body),
        request("/hooks/ops", &[&line(&wrong), &second], &body),
        request("/hooks/ops", &[&line(&right)], "{}"),
        request("/hooks/ops", &[&line(&right)], ""),
        request("/hooks/nobody", &[], &body),
        request("/hooks/nobody", &[&line(&right)], &body),
        request("/hooks/nobody", &[&line(&signature("", &body))], &body),
    ];
    for row in rows {
        let answer = send(stage.address, &row).await;
        assert_eq!(answer, "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "{row}");
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-2"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_does_not_exist_waits_for_the_body_like_one_that_does() {
    let stage = stage(Settings { body_timeout: Duration::from_millis(50), ..USUAL }).await;
    let line = format!("X-Hook-Signature: {}", "0".repeat(64));
    for path in ["/hooks/ops", "/hooks/nobody"] {
        let whole = request(path, &[&line], "{}");
        let answer = send(stage.address, &whole[..whole.len() - 1]).await;
        assert_eq!(status(&answer), "408", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_nothing_here_is_told_so() {
    let stage = stage(USUAL).await;
    let rows = [
        (request("/", &[], ""), "404"),
        (request("/hooks/", &[], ""), "404"),
        (request("/hooks/ops/x", &[], ""), "404"),
        (request("/metrics", &[], ""), "404"),
        ("GET /hooks/ops HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "405"),
        ("POST /hooks/ops HTTP/1.0\r\nHost: h\r\n\r\n".to_owned(), "505"),
        ("POST /hooks/ops HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(), "400"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), "431"),
        (format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: x\r\n".repeat(HEADERS_MAX)), "431"),
    ];
    for (row, wanted) in rows {
        let answer = send(stage.address, &row).await;
        assert_eq!(status(&answer), wanted, "{row:.80}: {answer}");
        assert_eq!(answer.contains("allow: POST"), wanted == "405", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_by_length_and_by_chunks() {
    let stage = stage(USUAL).await;
    let line = format!("X-Hook-Signature: {}", "0".repeat(64));
    let (fits, over) = ("x".repeat(1000), "x".repeat(1001));
    let head = format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\n{line}\r\n");
    let chunked = |length: usize| {
        let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(400), chunk(length - 400))
    };
    let rows = [
        (request("/hooks/ops", &[&line], &fits), "401"),
        (chunked(1000), "401"),
        (request("/hooks/ops", &[&line], &over), "413"),
        (request("/hooks/nobody", &[&line], &over), "413"),
        (format!("{head}Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n"), "413"),
        (chunked(1001), "413"),
    ];
    for (row, wanted) in rows {
        assert_eq!(status(&send(stage.address, &row).await), wanted, "{row:.200}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_is_given_up() {
    let stage = stage(Settings { body_timeout: Duration::from_millis(50), ..USUAL }).await;
    let whole = signed(&reply("m-1"));
    let answer = send(stage.address, &whole[..whole.len() - 10]).await;
    assert_eq!(status(&answer), "408");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_given_up() {
    let stage = stage(USUAL).await;
    assert_eq!(send(stage.address, "POST /hooks/ops HTTP/1.1\r\nHost:").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_chunked_request_is_never_read_as_one() {
    let stage = stage(USUAL).await;
    let body = reply("m-1");
    let line = format!("X-Hook-Signature: {}", signature(SECRET, &body));
    for length in ["", "Content-Length: 3\r\n"] {
        let head =
            format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\n{line}\r\n{length}Transfer-Encoding: chunked\r\n\r\n");
        let smuggled = request("/hooks/open", &["Connection: close"], &reply("smuggled"));
        let answer = send(stage.address, &format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n{smuggled}", body.len())).await;
        assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), ("200", 1), "{answer}");
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-2"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_for_the_next_reply() {
    let stage = stage(USUAL).await;
    let both: String = ["m-1", "m-2"].map(|id| signed(&reply(id))).concat();
    let answer = send(stage.address, &both.replacen("Connection: close\r\n", "", 1)).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_and_not_written_again() {
    let stage = stage(USUAL).await;
    let again = signed(&reply("m-1"));
    assert_eq!(status(&send(stage.address, &again).await), "200");
    assert_eq!(status(&send(stage.address, &again).await), "200");
    let same = || {
        let (address, same) = (stage.address, signed(&reply("m-2")));
        tokio::spawn(async move { send(address, &same).await })
    };
    let crowd: Vec<_> = (0..20).map(|_| same()).collect();
    for one in crowd {
        assert_eq!(status(&one.await.expect("sent")), "200");
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-3"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-3"), ["m-1", "m-2", "m-3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_kafka_took_late_is_not_written_again() {
    let stage = stage(Settings { kafka_timeout: Duration::from_millis(100), ..USUAL }).await;
    stage.cluster.broker_round_trip_time(1, Duration::from_millis(700)).expect("slow");
    let late = signed(&reply("m-1"));
    assert_eq!(status(&send(stage.address, &late).await), "503");
    stage.cluster.broker_round_trip_time(1, Duration::ZERO).expect("fast");
    until_taken(&stage, &late).await;
    until_taken(&stage, &signed(&reply("m-2"))).await;
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_whose_sender_hung_up_is_written_once() {
    let stage = stage(USUAL).await;
    stage.cluster.broker_round_trip_time(1, Duration::from_millis(300)).expect("slow");
    let mut impatient = TcpStream::connect(stage.address).await.expect("connected");
    impatient.write_all(signed(&reply("m-1")).as_bytes()).await.expect("written");
    drop(impatient);
    assert_eq!(status(&send(stage.address, &signed(&reply("m-1"))).await), "200");
    assert_eq!(status(&send(stage.address, &signed(&reply("m-2"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

async fn until_taken(stage: &Stage, request: &str) {
    let taken = async { while status(&send(stage.address, request).await) != "200" {} };
    timeout(PATIENCE, taken).await.expect("taken in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_nothing_is_taken() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let closed = nobody.local_addr().expect("address").to_string();
    drop(nobody);
    let settings = Settings { kafka_timeout: Duration::from_millis(100), ..USUAL };
    let (address, _stop, _server) = start(settings, &closed).await;
    for _ in 0..2 {
        let answer = send(address, &signed(&reply("m-1"))).await;
        assert_eq!(status(&answer), "503");
        assert!(answer.contains("retry-after: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!(status(&send(address, &signed("{}")).await), "200", "a probe needs no Kafka");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proven_nonsense_is_refused_and_a_probe_writes_nothing() {
    let stage = stage(USUAL).await;
    assert_eq!(status(&send(stage.address, &signed("ack")).await), "400");
    assert_eq!(status(&send(stage.address, &signed(r#"{"hello":1}"#)).await), "200");
    assert_eq!(status(&send(stage.address, &signed(&reply("m-1"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-1"), ["m-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_last_connection_callers_wait_their_turn() {
    let stage = stage(Settings { connections_max: 1, ..USUAL }).await;
    let mut first = TcpStream::connect(stage.address).await.expect("connected");
    let whole = signed(&reply("m-1"));
    let (start, end) = whole.split_at(20);
    first.write_all(start.as_bytes()).await.expect("written");
    let address = stage.address;
    let second = tokio::spawn(async move { send(address, &signed(&reply("m-2"))).await });
    first.write_all(end.as_bytes()).await.expect("written");
    assert_eq!(status(&read(&mut first).await), "200");
    drop(first);
    assert_eq!(status(&second.await.expect("sent")), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_other() {
    let stage = stage(USUAL).await;
    let mut under_way = TcpStream::connect(stage.address).await.expect("connected");
    let whole = signed(&reply("m-1")).replace("Content-Length", "Expect: 100-continue\r\nContent-Length");
    let (head, body) = whole.split_once("\r\n\r\n").expect("a head");
    under_way.write_all(format!("{head}\r\n\r\n").as_bytes()).await.expect("written");
    let mut go_on = [0; 25];
    under_way.read_exact(&mut go_on).await.expect("100 Continue: the request is under way");
    stage.stop.send(true).expect("the server listens");
    under_way.write_all(body.as_bytes()).await.expect("written");
    assert_eq!(status(&read(&mut under_way).await), "200");
    timeout(PATIENCE, stage.server).await.expect("ended in time").expect("ended in peace");
    assert!(TcpStream::connect(stage.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_counted_once_under_the_channel_and_the_name_of_its_end() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("the only recorder of these tests");
    let stage = stage(USUAL).await;
    let body = reply("m-1");
    let line = format!("X-Hook-Signature: {}", signature(SECRET, &body));
    let close = "Connection: close";
    for row in [
        request("/hooks/counted", &[&line, close], &body),
        request("/hooks/counted", &[&line, close], &body),
        request("/hooks/counted", &[&line], "{}"),
        request("/hooks/counted", &[], "{}"),
        request("/hooks/stranger", &[&line], &body),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        send(stage.address, &row).await;
    }
    let text = handle.render();
    let count = |channel: &str, outcome: &str| {
        let name = format!("missived_hook_requests_total{{channel=\"{channel}\",outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.parse::<u64>().expect("a number")
    };
    let outcomes = ["accepted", "repeated", "signature_wrong", "signature_missing", "kafka_late", "unknown_channel"];
    assert_eq!(outcomes.map(|outcome| count("counted", outcome)), [1, 1, 1, 1, 0, 0]);
    assert!(count("unknown", "unknown_channel") >= 1);
    assert!(count("unknown", "malformed") >= 1);
    assert!(!text.contains("stranger"), "{text}");
}
