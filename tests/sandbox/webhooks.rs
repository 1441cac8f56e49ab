//! What the stand-in sends: replies and rule webhooks, signed, and again if they are not acknowledged.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use missived::sandbox::{Channel, ChannelType, Options, Reply, ReplyTo, RetryPolicy, Secret};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::scene::*;

struct Hooked {
    headers: hyper::HeaderMap,
    body: Bytes,
}

/// A little receiver of webhooks: it answers with the statuses it is given, then 200.
async fn hook_receiver(statuses: Vec<u16>) -> (SocketAddr, mpsc::Receiver<Hooked>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::channel(64);
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
                    sender.send(Hooked { headers: parts.headers, body }).await.expect("the test listens");
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

async fn next(hooks: &mut mpsc::Receiver<Hooked>) -> Hooked {
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
async fn people_write_as_an_alias_and_to_whom_the_channel_allows() {
    let (address, mut hooks, _receiver) = hook_receiver(Vec::new()).await;
    let sandbox = start(with_hook(address)).await;
    post_message(&sandbox, json!({})).await;
    let conversation = sandbox.conversations(1)[0].id.clone();
    let declare = |editing: bool| {
        json!({
            "account": TEXT, "type": "text", "webhook": {"url": format!("http://{address}/hooks/ops")},
            "aliases": [{"id": "oncall", "name": "On call", "username": "oncall"}],
            "allowed": {"new_messages": false, "editing_recipients": editing},
        })
    };
    let reply = |more: Value| {
        let mut reply = json!({"conversation": conversation, "body": "ack"});
        reply.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        reply
    };
    let edited = json!({"alias": "oncall", "recipients": [{"id": "svc-other", "name": "other"}]});
    control(&sandbox, "/control/channels", declare(true)).await;
    control(&sandbox, "/control/reply", reply(edited.clone())).await;
    let hooked: Value = serde_json::from_slice(&next(&mut hooks).await.body).expect("JSON");
    assert_eq!(hooked["message"]["from_field"]["id"], "oncall");
    assert_eq!(hooked["message"]["to_fields"], json!([{"id": "svc-other", "name": "other"}]));
    control(&sandbox, "/control/channels", declare(false)).await;
    let begins = json!({"account": TEXT, "recipient": {"id": "new"}, "body": "hello"});
    let rows = [
        (reply(edited), 409, "recipients are fixed"),
        (reply(json!({"alias": "nobody"})), 400, "an alias that there isn't"),
        (begins, 409, "no new messages"),
    ];
    for (body, status, sentence) in rows {
        assert_eq!(post(&sandbox, "/control/reply", &body).await.status, status, "{sentence}");
    }
    assert_eq!(sandbox.summary().conversations, 1, "what is refused begins nothing");
    sandbox.stop().await;
}
