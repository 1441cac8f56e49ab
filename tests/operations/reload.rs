//! SIGHUP: what is good is taken over, what is not changes nothing, and neither costs a connection or an event.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::scene::{LATER, Scene, alert};
use crate::service::hang_up;
use crate::support::config::Draft;
use crate::support::daemon::{self, Process, SOON};
use crate::support::http;
use crate::support::wait::eventually;

/// A daemon that is asked over its admin listener.
struct Running {
    process: Process,
    admin: SocketAddr,
}

impl Running {
    fn start(scene: &Scene) -> Self {
        let process = daemon::run(scene.config.path());
        let admin = process.address_of("admin");
        eventually(LATER, "readiness", || (http::get(admin, "/readyz").ok()?.status == 200).then_some(()));
        Self { process, admin }
    }

    /// Reads the config again and waits for the outcome.
    fn reload(&self) -> serde_json::Value {
        let former = self.last_reload();
        hang_up(self.process.pid());
        eventually(LATER, "end of the reload", || Some(self.last_reload()).filter(|last| *last != former))
    }

    fn last_reload(&self) -> serde_json::Value {
        http::get(self.admin, "/status").expect("an answer").json()["config"]["last_reload"].clone()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = http::get(self.admin, "/metrics").expect("an answer").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
    }
}

fn change(scene: &Scene, old: &str, new: &str) {
    let path = scene.config.path();
    let text = fs::read_to_string(path).expect("a config");
    assert!(text.contains(old), "{old:?} in {text}");
    fs::write(path, text.replacen(old, new, 1)).expect("written");
}

#[test]
fn a_faulty_file_changes_nothing_and_every_fault_is_told() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let running = Running::start(&scene);
    let hash = running.metric("missived_config_hash");
    let good = fs::read_to_string(scene.config.path()).expect("a config");
    change(&scene, "format = \"alertmanager\"", "format = \"alertmanger\"\ncolour = 1");
    let last = running.reload();
    assert_eq!(last["outcome"], "refused");
    let faults = last["detail"].to_string();
    assert!(faults.contains("alertmanger") && faults.contains("colour"), "{faults}");
    assert!(running.process.has_line("alertmanger") && running.process.has_line("colour"), "the log says the same");
    assert_eq!(
        (running.metric("missived_config_last_reload_successful"), running.metric("missived_config_hash")),
        (0.0, hash)
    );

    fs::write(scene.config.path(), good).expect("written");
    change(&scene, "[admin]\n", "[admin]\n# moved\n");
    change(&scene, "listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"");
    let last = running.reload();
    assert!(last["detail"].to_string().contains("needs a restart: admin.listen"), "{last}");
}

#[test]
fn routes_and_topics_change_and_no_event_is_lost() {
    let Some(scene) = Scene::new(&["alerts", "more"], |draft| draft) else { return };
    let running = Running::start(&scene);
    scene.record("alerts").payload(alert("Before", "firing")).send(&scene.kafka);
    scene.sandbox.wait_for_messages(1);
    let more = "\n[sources.more]\ntopic = \"NAMESPACE-more\"\nformat = \"alertmanager\"\nchannel = \"ops\"\nstart = \"earliest\"\n\
                [[sources.more.routes]]\nname = \"newly-routed\"\nchannel = \"ops\"\n";
    let text = fs::read_to_string(scene.config.path()).expect("a config");
    let more = more.replace("NAMESPACE", scene.config.namespace());
    fs::write(scene.config.path(), format!("{text}{more}")).expect("written");
    let last = running.reload();
    assert_eq!(last["outcome"], "applied", "{last}");
    scene.record("alerts").payload(alert("After", "firing")).send(&scene.kafka);
    scene.record("more").payload(alert("New", "firing")).send(&scene.kafka);
    let messages = scene.sandbox.wait_for_messages(3);
    for part in ["Before", "After", "New"] {
        assert_eq!(messages.iter().filter(|message| message.body.contains(part)).count(), 1, "{part}: {messages:?}");
    }
    eventually(SOON, "books that add up over both configs", || {
        let balance = http::get(running.admin, "/status").expect("an answer").json()["balance"].clone();
        let of = |name: &str| balance[name].as_u64().expect("a number");
        (of("consumed") == 3 && of("delivered") == 3 && of("pending") == 0).then_some(())
    });
    eventually(SOON, "hits of both routes", || {
        let hits = |route: &str| running.metric(&format!("missived_route_hits_total{{route=\"{route}\"}}"));
        (hits("alerts") >= 2.0 && hits("newly-routed") >= 1.0).then_some(())
    });
}

#[test]
fn a_webhook_secret_changes_under_an_open_connection_and_disturbs_no_lane() {
    let Some(scene) = Scene::new(&["alerts"], |draft: Draft| draft) else { return };
    let running = Running::start(&scene);
    let hook = running.process.address_of("hook");
    let mut connection = TcpStream::connect(hook).expect("connected");
    let body = b"{}";
    let old = crate::support::config::SECRET;
    let new = "another-secret-for-tests-2";
    let elsewhere = |secret| post(&mut TcpStream::connect(hook).expect("connected"), secret, body);
    assert_eq!(post(&mut connection, old, body), 200);
    assert_eq!(elsewhere(new), 401);
    fs::write(scene.config.secret_file(), new).expect("written");
    let seen = running.process.lines_seen();
    let last = running.reload();
    assert_eq!((&last["outcome"], &last["detail"]), (&"applied".into(), &serde_json::json!([])), "{last}");
    assert_eq!(post(&mut connection, new, body), 200, "the same connection");
    assert_eq!(elsewhere(old), 401);
    let line = running.process.wait_for_line_after(seen, "reloaded", SOON);
    assert!(!line.contains(new) && !running.process.has_line("ledger partitions given back"), "{line}");
}

/// A signed request on an open connection; its status.
fn post(connection: &mut TcpStream, secret: &str, body: &[u8]) -> u16 {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature: String = ring::hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let head = format!(
        "POST /hooks/ops HTTP/1.1\r\nHost: h\r\nX-Hook-Signature: sha256={signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body)).expect("written");
    connection.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).expect("a head");
    let length =
        head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    let mut rest = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut rest).expect("a body");
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}
