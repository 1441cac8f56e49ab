//! The inbox page in a real browser: the demo from its start to a reply's record, a storm, what hostile messages can't do, a
//! thousand conversations, and how much memory it all takes. Each step is printed.
//!
//! Pictures are taken along the way; with `MISSIVED_PICTURES=docs/images` they are those of the documentation.
//!
//! Needs Chromium (skipped without it, or failing where everything must be testable) and nothing else: no Kafka, no network.

use std::io::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

#[path = "inbox/browser.rs"]
mod browser;
#[path = "inbox/corpus.rs"]
mod corpus;
#[path = "inbox/crowd.rs"]
mod crowd;
#[path = "inbox/demo.rs"]
mod demo;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;

/// Says what was shown, on the real stderr: libtest keeps what tests that pass print.
fn step(sentence: &str) {
    std::io::stderr().write_all(format!("inbox: {sentence}\n").as_bytes()).expect("stderr takes a line");
}

/// Posts a message to the stand-in; it must be taken.
fn post(sandbox: SocketAddr, fields: &Value) {
    let body = serde_json::json!({"messages": fields}).to_string();
    let token = format!("Bearer {}", support::config::TOKEN);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let answer = support::http::post(sandbox, "/v1/messages", &headers, body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{}: {fields}", answer.text());
}
