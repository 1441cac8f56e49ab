//! Faults that are played on request.

use missived::sandbox;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::scene::*;

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
