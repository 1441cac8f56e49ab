//! The stand-in for Missive over real sockets: what it takes, what it refuses, how it fails on request, what it sends.
//!
//! Everything runs on loopback, on ports that the system picks. Nothing sleeps: what takes time is polled, with a deadline.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use missived::sandbox::{
    self, Channel, ChannelType, Limits, Options, Reply, ReplyTo, RetryPolicy, Sandbox, Secret, WindowLimit,
};

const TEXT: &str = "11111111-2222-4333-8444-555555555555";
const HTML: &str = "11111111-2222-4333-8444-666666666666";
const EMAIL: &str = "11111111-2222-4333-8444-777777777777";
const UNKNOWN: &str = "11111111-2222-4333-8444-888888888888";
const DEADLINE: Duration = Duration::from_secs(10);

struct Got {
    status: u16,
    headers: HashMap<String, String>,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON answer")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn options() -> Options {
    let channels = vec![
        Channel::new(TEXT, ChannelType::Text),
        Channel::new(HTML, ChannelType::Html),
        Channel::new(EMAIL, ChannelType::Email),
    ];
    Options { channels, seed: Some(1), ..Options::default() }
}

async fn start(options: Options) -> Sandbox {
    sandbox::start(options).await.expect("loopback is there")
}

fn request(method: &str, path: &str, token: &str, content_type: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sandbox")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", content_type)
        .body(Full::new(Bytes::from(body)))
        .expect("a good request")
}

/// Sends on a connection of its own; an error is a connection that ended without an answer.
async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Got, hyper::Error> {
    let stream = TcpStream::connect(address).await.expect("the sandbox listens");
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = client.send_request(request).await?;
    let status = response.status().as_u16();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Got { status, headers, body })
}

async fn post(sandbox: &Sandbox, path: &str, body: &Value) -> Got {
    let request = request("POST", path, sandbox::TOKEN, "application/json", body.to_string().into_bytes());
    send(sandbox.address(), request).await.expect("an answer")
}

async fn get(sandbox: &Sandbox, path: &str) -> Got {
    send(sandbox.address(), request("GET", path, sandbox::TOKEN, "", Vec::new())).await.expect("an answer")
}

async fn control(sandbox: &Sandbox, path: &str, body: Value) -> Value {
    let got = post(sandbox, path, &body).await;
    assert_eq!(got.status, 200, "{path} {body} → {:?}", got.body);
    got.json()
}

/// The text example of Missive's documentation in shape, with changes: a `null` takes a field away.
fn text_message(changes: Value) -> Value {
    let mut message = json!({
        "account": TEXT,
        "from_field": {"id": "svc-billing", "username": "billing", "name": "billing"},
        "to_fields": [{"id": "ops", "username": "ops", "name": "Ops"}],
        "body": "[WARNING] queue depth 5000 on invoices",
        "external_id": "missived:default:1a2b:1",
        "references": ["missived:ops:invoices-depth"],
        "conversation_subject": "invoices depth",
        "conversation_color": "warning",
        "delivered_at": 1_790_000_000,
    });
    for (name, value) in changes.as_object().expect("an object") {
        message[name] = value.clone();
    }
    message.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    json!({"messages": message})
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut tick = interval(Duration::from_millis(5));
    let waiting = async {
        while !holds() {
            tick.tick().await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("it did not happen: {what}"));
}

#[tokio::test]
async fn a_text_message_is_taken_with_201_and_nothing_else() {
    let sandbox = start(options()).await;
    let got = post(&sandbox, "/v1/messages", &text_message(json!({}))).await;
    assert_eq!((got.status, got.body.len()), (201, 0));
    let conversations = sandbox.conversations(10);
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0].subject.as_deref(), Some("invoices depth"));
    assert_eq!(conversations[0].references, ["missived:ops:invoices-depth"]);
    let summary = sandbox.summary();
    assert_eq!((summary.requests, summary.accepted, summary.messages, summary.conversations), (1, 1, 1, 1));
    sandbox.stop().await;
}

#[tokio::test]
async fn each_refusal_has_its_status_and_its_name() {
    let sandbox = start(options()).await;
    let message = |changes: Value| text_message(changes).to_string().into_bytes();
    let email =
        json!({"account": EMAIL, "external_id": "e", "from_field": {"address": "a@example.com"}, "to_fields": []});
    let json = "application/json";
    let good = sandbox::TOKEN;
    let rows = [
        (request("POST", "/v1/messages", "nobody", json, message(json!({}))), 401, "unauthorized"),
        (request("GET", "/v1/organizations", "nobody", json, Vec::new()), 401, "unauthorized"),
        (request("POST", "/v1/messages", good, "text/plain", message(json!({}))), 400, "content_type"),
        (request("POST", "/v1/messages", good, json, b"{".to_vec()), 400, "not_json"),
        (request("POST", "/v1/messages", good, json, b"{\"messages\":[]}".to_vec()), 400, "envelope"),
        (request("POST", "/v1/messages", good, json, message(json!({"subject": "s"}))), 400, "not_on_this_channel"),
        (
            request("POST", "/v1/messages", good, json, message(json!({"subject": "s", "account": HTML}))),
            400,
            "not_on_this_channel",
        ),
        (request("POST", "/v1/messages", good, json, message(email)), 400, "not_on_this_channel"),
        (request("POST", "/v1/messages", good, json, message(json!({"markdown": "*"}))), 400, "unknown_field"),
        (request("POST", "/v1/messages", good, json, message(json!({"delivered_at": "now"}))), 400, "wrong_value"),
        (request("POST", "/v1/messages", good, json, message(json!({"account": null}))), 400, "missing_field"),
        (request("POST", "/v1/messages", good, json, message(json!({"add_users": ["u"]}))), 400, "needs_another_field"),
        (request("POST", "/v1/messages", good, json, message(json!({"account": UNKNOWN}))), 404, "unknown_account"),
        (
            request("POST", "/v1/messages", good, json, message(json!({"conversation": UNKNOWN}))),
            404,
            "unknown_conversation",
        ),
        (request("GET", "/v1/messages/none", good, json, Vec::new()), 404, "unknown_message"),
        (request("POST", "/v1/channels", good, json, Vec::new()), 404, "no_such_path"),
        (request("POST", "/v1/posts", good, json, b"{\"posts\":{\"text\":\"t\"}}".to_vec()), 400, "missing_field"),
        (request("POST", "/v1/messages", good, json, vec![b' '; sandbox::BODY_BYTES_MAX]), 413, "too_large"),
    ];
    let (mut asked, mut after) = (0, 0);
    for (request, status, name) in rows {
        let got = send(sandbox.address(), request).await.expect("an answer");
        assert_eq!(got.status, status, "{name}");
        assert!(got.json()["error"]["message"].is_string(), "{name} says why");
        let page = sandbox.ledger(after, 10);
        assert_eq!(page.entries.len(), 1, "{name} is in the ledger");
        assert_eq!(page.entries[0].refusal, Some(name));
        (asked, after) = (asked + 1, page.entries[0].id);
    }
    let summary = sandbox.summary();
    assert_eq!(summary.refused.values().sum::<u64>(), asked);
    assert_eq!((summary.requests, summary.accepted, summary.conversations), (asked, 0, 0));
    sandbox.stop().await;
}

#[tokio::test]
async fn messages_thread_by_external_id_reference_and_conversation() {
    let sandbox = start(options()).await;
    let say = |changes: Value| post_message(&sandbox, changes);
    say(json!({"external_id": "x-1", "references": ["r-1"]})).await;
    say(json!({"external_id": "x-2", "references": ["r-9", "r-1"]})).await;
    say(json!({"external_id": "x-3", "references": ["x-1"]})).await;
    let id = sandbox.conversations(1)[0].id.clone();
    say(json!({"external_id": "x-4", "references": ["r-new"], "conversation": id})).await;
    assert_eq!(sandbox.summary().conversations, 1);
    say(json!({"external_id": "x-5", "references": ["r-other"]})).await;
    assert_eq!(sandbox.summary().conversations, 2);
    sandbox.stop().await;
}

async fn post_message(sandbox: &Sandbox, changes: Value) {
    assert_eq!(post(sandbox, "/v1/messages", &text_message(changes)).await.status, 201);
}

#[tokio::test]
async fn a_conversation_is_read_ten_at_a_time_newest_first() {
    let sandbox = start(options()).await;
    for second in 1..=12 {
        let changes = json!({"external_id": format!("x-{second}"), "delivered_at": 1000 + second});
        post_message(&sandbox, changes).await;
    }
    let path = format!("/v1/conversations/{}/messages", sandbox.conversations(1)[0].id);
    let times = |got: Got| -> Vec<u64> {
        let items = got.json()["messages"].as_array().expect("a list").clone();
        items.iter().filter_map(|item| item["delivered_at"].as_u64()).collect()
    };
    assert_eq!(times(get(&sandbox, &path).await), (1003..=1012).rev().collect::<Vec<_>>());
    assert_eq!(times(get(&sandbox, &format!("{path}?until=1003")).await), [1003, 1002, 1001]);
    let newest = get(&sandbox, &path).await.json()["messages"][0].clone();
    assert_eq!(newest["external_id"], "x-12");
    let one = get(&sandbox, &format!("/v1/messages/{}", newest["id"].as_str().expect("an id"))).await;
    assert_eq!(one.json()["messages"]["body"], "[WARNING] queue depth 5000 on invoices");
    assert_eq!(get(&sandbox, "/v1/organizations").await.status, 200);
    sandbox.stop().await;
}

#[tokio::test]
async fn posts_append_to_a_conversation_and_reopen_it_unless_told_not_to() {
    let sandbox = start(options()).await;
    let note = |reopen: Value| {
        let mut post = json!({"notification": {"title": "t", "body": "b"}, "text": "t", "references": ["missived:ops:invoices-depth"]});
        post["reopen"] = reopen;
        post.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        json!({"posts": post})
    };
    post_message(&sandbox, json!({"close": true})).await;
    assert!(sandbox.conversations(1)[0].closed);
    assert_eq!(post(&sandbox, "/v1/posts", &note(json!(false))).await.status, 201);
    assert!(sandbox.conversations(1)[0].closed, "a quiet note");
    assert_eq!(post(&sandbox, "/v1/posts", &note(Value::Null)).await.status, 201);
    assert!(!sandbox.conversations(1)[0].closed, "a note reopens by itself");
    assert_eq!((sandbox.summary().posts, sandbox.summary().conversations), (2, 1));
    sandbox.stop().await;
}

fn two_a_minute() -> Options {
    let windows = vec![WindowLimit { requests: 2, per_ms: 60_000 }];
    Options { limits: Limits { at_once: 5, windows }, ..options() }
}

#[tokio::test]
async fn over_the_limit_is_429_with_its_headers_and_a_violation() {
    let sandbox = start(two_a_minute()).await;
    post_message(&sandbox, json!({"external_id": "1"})).await;
    post_message(&sandbox, json!({"external_id": "2"})).await;
    let got = post(&sandbox, "/v1/messages", &text_message(json!({"external_id": "3"}))).await;
    assert_eq!(got.status, 429);
    assert_eq!((got.header("x-ratelimit-limit"), got.header("x-ratelimit-remaining")), ("2", "0"));
    let wait: u64 = got.header("retry-after").parse().expect("seconds");
    assert!((50..=60).contains(&wait), "{wait} s");
    let entry = sandbox.ledger(2, 1).entries.remove(0);
    let reset: u64 = got.header("x-ratelimit-reset").parse().expect("Unix seconds");
    assert!((50..=61).contains(&(reset - entry.received_at / 1000)), "a minute after the first");
    assert!(entry.violation.is_some() && entry.external_id.as_deref() == Some("3"));
    let summary = sandbox.summary();
    assert_eq!((summary.rate_limit_violations, summary.refused.get("rate_limited")), (1, Some(&1)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_violation_is_recorded_even_when_limits_are_not_enforced() {
    let sandbox = start(two_a_minute()).await;
    control(&sandbox, "/control/switches", json!({"enforce_limits": false})).await;
    for id in 1..=3 {
        post_message(&sandbox, json!({"external_id": id.to_string()})).await;
    }
    let summary = sandbox.summary();
    assert_eq!((summary.accepted, summary.rate_limit_violations), (3, 1));
    assert!(sandbox.ledger(2, 1).entries[0].violation.is_some());
    sandbox.stop().await;
}

#[tokio::test]
async fn a_sixth_request_at_once_is_refused() {
    let sandbox = start(options()).await;
    control(&sandbox, "/control/faults", json!({"fault": "latency", "ms": 600_000})).await;
    let mut waiting = JoinSet::new();
    for id in 0..5 {
        let body = text_message(json!({"external_id": id.to_string(), "references": [id.to_string()]}));
        let request =
            request("POST", "/v1/messages", sandbox::TOKEN, "application/json", body.to_string().into_bytes());
        waiting.spawn(send(sandbox.address(), request));
    }
    eventually("five in progress", || sandbox.summary().accepted == 5).await;
    let got = post(&sandbox, "/v1/messages", &text_message(json!({}))).await;
    assert_eq!((got.status, got.header("x-ratelimit-limit")), (429, "5"));
    waiting.shutdown().await;
    sandbox.clear_faults();
    let mut tick = interval(Duration::from_millis(5));
    let freed = async {
        while post(&sandbox, "/v1/messages", &text_message(json!({}))).await.status != 201 {
            tick.tick().await;
        }
    };
    timeout(DEADLINE, freed).await.expect("callers that are gone free their slots");
    sandbox.stop().await;
}

#[tokio::test]
async fn two_messages_of_one_conversation_at_once_are_noticed() {
    let sandbox = start(options()).await;
    control(&sandbox, "/control/faults", json!({"fault": "latency", "ms": 600_000, "next": 1})).await;
    let body = text_message(json!({"external_id": "1"})).to_string().into_bytes();
    let mut waiting = JoinSet::new();
    waiting.spawn(send(sandbox.address(), request("POST", "/v1/messages", sandbox::TOKEN, "application/json", body)));
    eventually("the first is in progress", || sandbox.summary().accepted == 1).await;
    post_message(&sandbox, json!({"external_id": "2"})).await;
    assert_eq!(sandbox.summary().overlaps, 1);
    assert!(sandbox.ledger(1, 1).entries[0].overlapped);
    sandbox.stop().await;
}

#[tokio::test]
async fn faults_do_what_they_say() {
    // (fault, status if there is an answer, messages that are there afterwards)
    let rows = [
        (json!({"fault": "status", "status": 503, "retry_after": 7}), Some(503), 0),
        (json!({"fault": "status", "status": 500, "after_processing": true}), Some(500), 1),
        (json!({"fault": "reset"}), None, 0),
        (json!({"fault": "reset", "after_processing": true}), None, 1),
        (json!({"fault": "drop_before_processing"}), None, 0),
        (json!({"fault": "latency", "ms": 1}), Some(201), 1),
    ];
    for (mut fault, status, messages) in rows {
        let sandbox = start(options()).await;
        fault["next"] = json!(1);
        control(&sandbox, "/control/faults", fault.clone()).await;
        let body = text_message(json!({})).to_string().into_bytes();
        let got =
            send(sandbox.address(), request("POST", "/v1/messages", sandbox::TOKEN, "application/json", body)).await;
        assert_eq!(got.as_ref().ok().map(|got| got.status), status, "{fault}");
        if let (Ok(got), Some(503)) = (&got, status) {
            assert_eq!(got.header("retry-after"), "7");
        }
        assert_eq!(sandbox.summary().messages, messages, "{fault}");
        let name = fault["fault"].as_str().expect("a name");
        assert_eq!(sandbox.ledger(0, 1).entries[0].fault, Some(name));
        post_message(&sandbox, json!({})).await;
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sandbox = start(options()).await;
    control(&sandbox, "/control/faults", json!({"fault": "reset"})).await;
    let mut stream = TcpStream::connect(sandbox.address()).await.expect("the sandbox listens");
    let head = format!("GET /v1/organizations HTTP/1.1\r\nhost: s\r\nauthorization: Bearer {}\r\n\r\n", sandbox::TOKEN);
    stream.write_all(head.as_bytes()).await.expect("written");
    let error = stream.read(&mut [0; 64]).await.expect_err("no answer and no orderly end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_can_be_accepted_without_an_answer() {
    let sandbox = start(options()).await;
    control(&sandbox, "/control/faults", json!({"fault": "accept_without_answering", "next": 1})).await;
    let body = text_message(json!({})).to_string().into_bytes();
    let mut waiting = JoinSet::new();
    waiting.spawn(send(sandbox.address(), request("POST", "/v1/messages", sandbox::TOKEN, "application/json", body)));
    eventually("it is taken", || sandbox.summary().messages == 1).await;
    assert!(waiting.try_join_next().is_none(), "and the caller waits");
    assert_eq!(sandbox.ledger(0, 1).entries[0].answered_at, None);
    post_message(&sandbox, json!({})).await;
    let summary = sandbox.summary();
    assert_eq!((summary.messages, summary.repeated_external_ids, summary.overlaps), (2, 1, 0));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_answer_body_is_a_switch() {
    let sandbox = start(options()).await;
    control(&sandbox, "/control/switches", json!({"answer_body": "conversation_id", "answer_status": 200})).await;
    let got = post(&sandbox, "/v1/messages", &text_message(json!({}))).await;
    assert_eq!((got.status, got.json()["messages"]["conversation"].is_string()), (200, true));
    control(&sandbox, "/control/switches", json!({"answer_body": "conversation_object"})).await;
    let got = post(&sandbox, "/v1/messages", &text_message(json!({}))).await;
    assert!(got.json()["messages"]["conversation"]["id"].is_string());
    control(&sandbox, "/control/switches", json!({"accept_any_account": "html"})).await;
    assert_eq!(post(&sandbox, "/v1/messages", &text_message(json!({"account": UNKNOWN}))).await.status, 200);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page() {
    let sandbox = start(options()).await;
    for id in 0..5 {
        post_message(&sandbox, json!({"external_id": id.to_string()})).await;
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = get(&sandbox, &format!("/control/ledger?after={after}&limit=2")).await.json();
        let entries = page["entries"].as_array().expect("a list").clone();
        seen.extend(entries.iter().map(|entry| entry["external_id"].as_str().expect("an id").to_owned()));
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    let whole = get(&sandbox, "/control/ledger").await;
    assert!(!String::from_utf8_lossy(&whole.body).contains(sandbox::TOKEN), "tokens stay out of it");
    let entry = &whole.json()["entries"][0];
    assert_eq!(entry["body"]["text"], "[WARNING] queue depth 5000 on invoices");
    assert_eq!((&entry["verdict"], &entry["status"]), (&json!("accepted"), &json!(201)));
    sandbox.stop().await;
}

struct Hooked {
    headers: hyper::HeaderMap,
    body: Bytes,
}

/// A little receiver of webhooks: it answers with the statuses it is given, then 200.
async fn hook_receiver(statuses: Vec<u16>) -> (SocketAddr, mpsc::UnboundedReceiver<Hooked>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::unbounded_channel();
    let statuses = Arc::new(Mutex::new(statuses.into_iter()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (sender, statuses) = (sender.clone(), statuses.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (sender, statuses) = (sender.clone(), statuses.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.expect("a whole body").to_bytes();
                    let status = statuses.lock().expect("no panic").next().unwrap_or(200);
                    sender.send(Hooked { headers: parts.headers, body }).expect("the test listens");
                    let response = Response::builder().status(status).body(Full::new(Bytes::from_static(b"{}")));
                    Ok::<_, Infallible>(response.expect("a good answer"))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    });
    (address, receiver, tasks)
}

fn hex_hmac(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn next(hooks: &mut mpsc::UnboundedReceiver<Hooked>) -> Hooked {
    timeout(DEADLINE, hooks.recv()).await.expect("a webhook in time").expect("the receiver lives")
}

fn with_hook(address: SocketAddr) -> Options {
    let url = format!("http://{address}/hooks/ops");
    let channel = Channel::new(TEXT, ChannelType::Text).with_webhook(url, Secret::new("s3cr3t"));
    let webhook_retry = RetryPolicy { retries: 3, backoff_ms: 1, timeout_ms: 5000 };
    Options { channels: vec![channel], webhook_retry, seed: Some(1), ..Options::default() }
}

#[tokio::test]
async fn a_reply_is_a_signed_webhook_in_missives_shape() {
    let vector = br#"{"message":{"id":"m-1","type":"custom_text","body":"ack"},"conversation":{"id":"c-1"}}"#;
    let expected = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";
    assert_eq!(hex_hmac("s3cr3t", vector), expected, "the check itself is right");

    let (address, mut hooks, _receiver) = hook_receiver(Vec::new()).await;
    let sandbox = start(with_hook(address)).await;
    post_message(&sandbox, json!({})).await;
    let reply = Reply::new(ReplyTo::Reference("missived:ops:invoices-depth".into()), "on it");
    let receipt = sandbox.reply(reply).expect("there is such a conversation");
    let hooked = next(&mut hooks).await;
    let signature = hooked.headers["x-hook-signature"].to_str().expect("text");
    assert_eq!(signature, format!("sha256={}", hex_hmac("s3cr3t", &hooked.body)));

    let body: Value = serde_json::from_slice(&hooked.body).expect("JSON");
    assert_eq!(body["message"]["id"].as_str(), receipt.message.as_deref());
    assert_eq!((&body["message"]["type"], &body["message"]["body"]), (&json!("custom_text"), &json!("on it")));
    assert_eq!(body["message"]["from_field"], json!({"id": "ops", "name": "Ops", "username": "ops"}));
    let customer = json!([{"id": "svc-billing", "name": "billing", "username": "billing"}]);
    assert_eq!(body["message"]["to_fields"], customer);
    assert_eq!((&body["message"]["references"], &body["message"]["external_id"]), (&json!([]), &Value::Null));
    assert_eq!(body["conversation"]["id"].as_str(), receipt.conversation.as_deref());
    assert_eq!(body["conversation"]["messages_count"], 2);
    assert_eq!(keys(&body["message"]), MESSAGE_KEYS);
    assert_eq!(keys(&body["conversation"]), CONVERSATION_KEYS);
    eventually("it is acknowledged", || sandbox.summary().replies.acknowledged == 1).await;
    sandbox.stop().await;
}

const MESSAGE_KEYS: &[&str] = &[
    "attachments",
    "author",
    "body",
    "created_at",
    "delivered_at",
    "external_id",
    "from_field",
    "id",
    "preview",
    "references",
    "to_fields",
    "type",
    "updated_at",
];

const CONVERSATION_KEYS: &[&str] = &[
    "assignees",
    "authors",
    "color",
    "id",
    "latest_message_subject",
    "messages_count",
    "organization",
    "shared_labels",
    "subject",
    "users",
    "web_url",
];

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn an_unacknowledged_webhook_comes_again_with_the_same_id() {
    let (address, mut hooks, _receiver) = hook_receiver(vec![503, 500]).await;
    let sandbox = start(with_hook(address)).await;
    post_message(&sandbox, json!({})).await;
    let conversation = sandbox.conversations(1)[0].id.clone();
    control(&sandbox, "/control/reply", json!({"conversation": conversation, "body": "ack"})).await;
    let (first, second, third) = (next(&mut hooks).await, next(&mut hooks).await, next(&mut hooks).await);
    assert!(first.body == second.body && second.body == third.body, "every attempt sends the same bytes");
    assert_eq!(first.headers["x-hook-signature"], third.headers["x-hook-signature"]);
    eventually("it is acknowledged", || sandbox.summary().replies.acknowledged == 1).await;
    let webhooks = get(&sandbox, "/control/webhooks").await.json();
    let answers: Vec<Value> =
        webhooks["webhooks"][0]["attempts"].as_array().expect("a list").iter().map(|a| a["answer"].clone()).collect();
    assert_eq!(answers, [json!({"status": 503}), json!({"status": 500}), json!({"status": 200})]);
    sandbox.stop().await;
}

#[tokio::test]
async fn without_retries_one_failure_is_the_end() {
    let (address, mut hooks, _receiver) = hook_receiver(vec![503]).await;
    let sandbox = start(with_hook(address)).await;
    sandbox.switch(&json!({"webhook_retry": false})).expect("a switch");
    post_message(&sandbox, json!({})).await;
    let reply = Reply::new(ReplyTo::Reference("missived:ops:invoices-depth".into()), "ack");
    sandbox.reply(reply).expect("there is such a conversation");
    next(&mut hooks).await;
    eventually("it is given up", || sandbox.summary().replies.failed == 1).await;
    assert!(hooks.try_recv().is_err());
    sandbox.stop().await;
}

#[tokio::test]
async fn closing_and_labelling_send_rule_webhooks() {
    let (address, mut hooks, _receiver) = hook_receiver(Vec::new()).await;
    let sandbox = start(with_hook(address)).await;
    post_message(&sandbox, json!({})).await;
    let change = json!({"reference": "missived:ops:invoices-depth", "closed": true, "add_labels": ["mute"]});
    control(&sandbox, "/control/change", change).await;
    let mut rules = HashMap::new();
    for _ in 0..2 {
        let hooked = next(&mut hooks).await;
        let signature = hooked.headers["x-hook-signature"].to_str().expect("text").to_owned();
        assert_eq!(signature, format!("sha256={}", hex_hmac("s3cr3t", &hooked.body)));
        let body: Value = serde_json::from_slice(&hooked.body).expect("JSON");
        rules.insert(body["rule"]["type"].as_str().expect("a type").to_owned(), body);
    }
    assert_eq!(rules["label_change"]["conversation"]["shared_labels"][0]["name"], "mute");
    assert!(rules["conversation_closed"]["latest_message"]["id"].is_string());
    assert!(sandbox.conversations(1)[0].closed);
    sandbox.stop().await;
}

#[tokio::test]
async fn somebody_can_write_first_and_forge() {
    let (address, mut hooks, _receiver) = hook_receiver(Vec::new()).await;
    let sandbox = start(with_hook(address)).await;
    let first = json!({"account": TEXT, "recipient": {"id": "svc-new"}, "body": "hello", "signing": "forged"});
    control(&sandbox, "/control/reply", first).await;
    let hooked = next(&mut hooks).await;
    let signature = hooked.headers["x-hook-signature"].to_str().expect("text");
    assert_ne!(signature, format!("sha256={}", hex_hmac("s3cr3t", &hooked.body)));
    let body: Value = serde_json::from_slice(&hooked.body).expect("JSON");
    assert_eq!(body["message"]["to_fields"], json!([{"id": "svc-new"}]));
    assert_eq!(sandbox.summary().conversations, 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn references_are_echoed_when_the_switch_says_so() {
    let (address, mut hooks, _receiver) = hook_receiver(Vec::new()).await;
    let sandbox = start(with_hook(address)).await;
    let switches =
        json!({"echo_references": true, "signature_header": "X-Missive-Signature", "signature_prefix": false});
    control(&sandbox, "/control/switches", switches).await;
    post_message(&sandbox, json!({})).await;
    let reply = Reply::new(ReplyTo::Reference("missived:ops:invoices-depth".into()), "ack");
    sandbox.reply(reply).expect("there is such a conversation");
    let hooked = next(&mut hooks).await;
    assert_eq!(hooked.headers["x-missive-signature"].to_str().expect("text"), hex_hmac("s3cr3t", &hooked.body));
    let body: Value = serde_json::from_slice(&hooked.body).expect("JSON");
    assert_eq!(body["message"]["references"], json!(["missived:ops:invoices-depth"]));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_control_endpoint_refuses_what_makes_no_sense() {
    let sandbox = start(options()).await;
    let rows = [
        ("/control/switches", json!({"no_such": 1}), 400, "an unknown switch"),
        ("/control/faults", json!({"fault": "status"}), 400, "a fault without its status"),
        ("/control/faults", json!({"fault": "flood"}), 400, "an unknown fault"),
        ("/control/reply", json!({"body": "b"}), 400, "nobody to write to"),
        ("/control/reply", json!({"conversation": UNKNOWN, "body": "b"}), 404, "an unknown conversation"),
        ("/control/probe", json!({"account": TEXT}), 409, "a channel without a webhook"),
        ("/control/channels", json!({"account": "ops", "type": "text"}), 400, "an account that is no UUID"),
        ("/control/nothing", json!({}), 404, "an unknown path"),
    ];
    for (path, body, status, sentence) in rows {
        assert_eq!(post(&sandbox, path, &body).await.status, status, "{sentence}");
    }
    let form = request("POST", "/control/switches", "", "text/plain", b"{}".to_vec());
    assert_eq!(send(sandbox.address(), form).await.expect("an answer").status, 400, "a form of a web page");
    assert_eq!(sandbox.summary().requests, 0, "control is not the API");
    sandbox.stop().await;
}
