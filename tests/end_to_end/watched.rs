//! Who watches the watcher: hearts that stop, and critical news of a lane that Missive refuses.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use serde_json::Value;

use crate::scene::{LATER, Metrics, Scene, alert};
use crate::support::config::TOKEN;
use crate::support::wait::eventually;
use crate::support::{http, kcat};

#[test]
fn a_heart_that_stops_is_told_and_so_is_its_return() {
    let route = "[[sources.alerts.routes]]\nname = \"watchdog\"\nchannel = \"ops\"\naction = \"heartbeat\"\n\
                 heartbeat_within = \"10s\"\nmatch = { alertname = \"Watchdog\" }\n";
    let Some(scene) = Scene::new(&["alerts"], |draft| draft.with(route)) else { return };
    let daemon = scene.run();
    let missing = |metrics: &Metrics| metrics.sum("missived_heartbeat_missing", "route=\"watchdog\"");
    let first = &scene.sandbox.wait_for_messages(1)[0];
    assert!(first.body.starts_with("🔴 No heartbeat from watchdog: nothing heard for 10s"), "{}", first.body);
    eventually(LATER, "the metric", || (missing(&daemon.metrics()) == 1).then_some(()));

    scene.record("alerts").payload(alert("Watchdog", "firing")).send(&scene.kafka);
    let second = &scene.sandbox.wait_for_messages(2)[1];
    assert!(second.body.starts_with("🟢 resolved"), "{}", second.body);
    assert_eq!(second.conversation, first.conversation);
    let metrics = daemon.wait_for_balance(1, 0);
    assert_eq!((metrics.reason("heartbeat"), missing(&metrics)), (1, 0));
    daemon.stop();
}

/// Something that takes JSON and remembers it.
fn pager() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/page", listener.local_addr().expect("bound"));
    let (heard, hearing) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a caller");
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = stream.read(&mut buffer).expect("a request");
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                if let Some(body) = body {
                    break body;
                }
            };
            stream
                .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .expect("written");
            if heard.send(body).is_err() {
                return;
            }
        }
    });
    (url, hearing)
}

#[test]
fn critical_news_of_a_halted_lane_goes_to_a_topic_and_an_address_and_to_missive_afterwards() {
    let (url, paged) = pager();
    let fallback = format!("[halt_fallback]\nafter = \"1s\"\ntopic = \"{{namespace}}-pager\"\nurl = \"{url}\"\n");
    let critical = "urgency = \"critical\"";
    let adapt = |draft: crate::support::config::Draft| draft.set("sources.alerts", critical).with(&fallback);
    let Some(scene) = Scene::new(&["alerts", "pager"], adapt) else { return };
    fs::write(scene.config.token_file(), "missive_pat-of-somebody-else").expect("the token file is written");
    let daemon = scene.run();
    scene.record("alerts").payload(alert("disk", "firing")).send(&scene.kafka);

    let page = paged.recv_timeout(LATER).expect("a page");
    assert_eq!(
        (&page["lane"], &page["urgency"], &page["channel"]),
        (&"default".into(), &"critical".into(), &"ops".into())
    );
    assert!(page["body"].as_str().is_some_and(|body| body.contains("disk is too high")), "{page}");
    let on_topic = eventually(LATER, "the same on the topic", || {
        kcat::consume(&scene.kafka, &scene.topic("pager")).into_iter().next()
    });
    assert_eq!(on_topic.json()["body"], page["body"]);
    let scrape = http::get(daemon.admin, "/metrics").expect("the daemon answers").text();
    assert!(scrape.contains("missived_halt_fallbacks_total{outcome=\"failed\"} 0"), "{scrape}");

    fs::write(scene.config.token_file(), TOKEN).expect("the token file is written");
    let told = scene.sandbox.wait_for_messages(1);
    assert!(told[0].body.contains("disk is too high"), "{}", told[0].body);
    assert_eq!(daemon.wait_for_balance(1, 0).outcome("delivered"), 1);
    daemon.stop();
}
