//! What `missived run` does when Kafka isn't there, goes away, or hangs: it keeps trying, says so, and lies to nobody.
//!
//! These tests disturb Kafka, so each has a broker of its own, or none at all.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use scene::{Daemon, LATER, Scene, alert};
use support::config::Draft;
use support::daemon::SOON;
use support::wait::eventually;
use support::{http, kafka, kcat};

#[expect(dead_code, reason = "the scene serves all process tests; this one needs a part of it")]
#[path = "end_to_end/scene.rs"]
mod scene;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;

/// The default of `run.drain_deadline`.
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);

#[test]
fn without_kafka_it_keeps_trying_is_alive_and_not_ready_and_leaves_when_told() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let config = Draft::new(&free.to_string(), "http://127.0.0.1:1").write();
    let mut daemon = Daemon::start(config.path());

    daemon.process.wait_for_line("kafka is not reachable", LATER);
    let seen = daemon.process.lines_seen();
    assert_eq!(http::get(daemon.admin, "/healthz").expect("an answer").status, 200);
    let (status, report) = daemon.readiness();
    assert_eq!(status, 503);
    assert!(report.to_string().contains("kafka is not reachable"), "{report}");
    daemon.process.wait_for_line_after(seen, "trying again", LATER);

    daemon.process.sigterm();
    assert_eq!(daemon.process.wait_exit(DRAIN_DEADLINE).code(), Some(0));
}

#[test]
fn while_kafka_hangs_no_reply_is_acknowledged_and_afterwards_all_goes_on() {
    if !kcat::available() {
        return;
    }
    let Some(broker) = kafka::Broker::start() else { return };
    let quick = |draft: Draft| {
        draft.with("[channels.extra]\naccount = \"22222222-3333-4444-8555-666666666666\"\ntype = \"text\"")
    };
    let scene = Scene::on(broker.bootstrap().to_owned(), &["alerts"], |draft| {
        quick(draft.set("hook", "kafka_timeout = \"1s\""))
    });
    let daemon = scene.run();
    scene.sandbox.send_replies_to(daemon.hook());
    scene.record("alerts").payload(alert("Disk", "firing")).send(&scene.kafka);
    let conversation = scene.sandbox.wait_for_messages(1)[0].conversation.clone();

    broker.pause();
    let reply = json!({"conversation": conversation, "body": "while Kafka hangs"});
    scene.sandbox.tell("/control/reply", &reply);
    eventually(LATER, "503", || scene.sandbox.ask("/control/webhooks").to_string().contains("503").then_some(()));
    assert_eq!(http::get(daemon.admin, "/healthz").expect("an answer").status, 200);
    broker.resume();

    scene.sandbox.tell("/control/reply", &json!({"conversation": conversation, "body": "afterwards"}));
    eventually(LATER, "reply from afterwards", || {
        scene.own("replies").iter().any(|reply| reply.json()["body"] == "afterwards").then_some(())
    });
    scene.record("alerts").payload(alert("Disk", "resolved")).send(&scene.kafka);
    scene.sandbox.wait_for_messages(2);
    daemon.until_ready(SOON);
    daemon.stop();
}
