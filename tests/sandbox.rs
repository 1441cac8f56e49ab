//! The stand-in for Missive over real sockets: what it takes, what it refuses, how it fails on request, what it sends.
//!
//! Everything runs on loopback, on ports that the system picks. Nothing sleeps: what takes time is polled, with a deadline.

#[path = "sandbox/faults.rs"]
mod faults;
#[path = "sandbox/page.rs"]
mod page;
#[path = "sandbox/scene.rs"]
mod scene;
#[path = "sandbox/webhooks.rs"]
mod webhooks;

use std::time::Duration;

use missived::sandbox::{self, Limits, Options, WindowLimit};
use scene::*;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

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
    control(&sandbox, "/control/delete", json!({"conversation": id})).await;
    let lost = post(&sandbox, "/v1/messages", &text_message(json!({"conversation": id}))).await;
    assert_eq!(lost.status, 404, "a deleted conversation is lost");
    say(json!({"external_id": "x-6", "references": ["r-1"]})).await;
    assert_eq!(sandbox.summary().conversations, 3, "and its references open a new one");
    sandbox.stop().await;
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
