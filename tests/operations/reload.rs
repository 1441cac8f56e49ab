//! SIGHUP: what is good is taken over, what is not changes nothing, and neither costs a connection or an event.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::certificates::{FIRST, SECOND};
use crate::scene::{LATER, Scene, alert};
use crate::service::hang_up;
use crate::support::config::{Draft, SECRET, TOKEN};
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
        Self::of(daemon::run(scene.config.path()))
    }

    fn of(process: Process) -> Self {
        let admin = process.address_of("admin");
        eventually(LATER, "readiness", || (http::get(admin, "/readyz").ok()?.status == 200).then_some(()));
        Self { process, admin }
    }

    /// Reads the config again and waits for the outcome.
    fn reload(&self) -> Value {
        let former = self.last_reload();
        hang_up(self.process.pid());
        eventually(LATER, "end of the reload", || Some(self.last_reload()).filter(|last| *last != former))
    }

    fn last_reload(&self) -> Value {
        self.status()["config"]["last_reload"].clone()
    }

    fn status(&self) -> Value {
        http::get(self.admin, "/status").expect("an answer").json()
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
    for said in ["alertmanger", "colour"] {
        running.process.wait_for_line(said, SOON);
    }
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
    all_is_told(&running, 3);
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
    connection.set_read_timeout(Some(SOON)).expect("a timeout");
    let body = b"{}";
    let old = SECRET;
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

#[test]
fn a_lane_that_missive_has_told_to_wait_waits_on_under_new_routes_and_limits_and_loses_nothing() {
    let Some(scene) = Scene::new(&["alerts", "more"], |draft| draft) else { return };
    let running = Running::start(&scene);
    scene.sandbox.tell("/control/faults", &json!({"fault": "status", "status": 429, "retry_after": 25, "next": 1}));
    scene.record("alerts").payload(alert("Before", "firing")).send(&scene.kafka);
    let until = eventually(SOON, "lane that waits", || running.status()["lanes"][0]["until_ms"].as_u64());
    scene.record("alerts").payload(alert("During", "firing")).send(&scene.kafka);

    let more = "\n[missive.limits]\nper_minute = 100\n\n[sources.more]\ntopic = \"NAMESPACE-more\"\nformat = \"alertmanager\"\n\
                channel = \"ops\"\nstart = \"earliest\"\n[[sources.more.routes]]\nname = \"newly-routed\"\nchannel = \"ops\"\n";
    let text = fs::read_to_string(scene.config.path()).expect("a config");
    let more = more.replace("NAMESPACE", scene.config.namespace());
    fs::write(scene.config.path(), format!("{text}{more}")).expect("written");
    let seen = running.process.lines_seen();
    let last = running.reload();
    assert_eq!(last["outcome"], "applied", "{last}");
    scene.record("more").payload(alert("New", "firing")).send(&scene.kafka);
    running.process.wait_for_line_after(seen, "took over a ledger partition", SOON);
    let lane = eventually(SOON, "lane that was taken over", || {
        Some(running.status()["lanes"][0].clone()).filter(|lane| lane.is_object())
    });
    assert_eq!((&lane["state"], &lane["until_ms"]), (&"waiting".into(), &until.into()), "the pause is kept: {lane}");

    let messages = scene.sandbox.wait_for_messages(3);
    for part in ["Before", "During", "New"] {
        assert_eq!(messages.iter().filter(|message| message.body.contains(part)).count(), 1, "{part}: {messages:?}");
    }
    let entries = scene.sandbox.ask("/control/ledger?limit=1000")["entries"].as_array().expect("a list").clone();
    let asked: Vec<u64> = entries.iter().map(|entry| entry["received_at"].as_u64().expect("a time")).collect();
    assert!(asked[1..].iter().all(|at| *at >= until.saturating_sub(50)), "nothing is asked before {until}: {asked:?}");
    all_is_told(&running, 3);
    let budget = running.status()["lanes"][0]["budget_minute"].as_u64().expect("a number");
    assert!(budget <= 100, "the new limit counts: {budget}");
}

#[test]
fn a_lane_whose_token_is_refused_tries_a_new_one_at_once() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    fs::write(scene.config.token_file(), "missive_pat-revoked").expect("written");
    let running = Running::start(&scene);
    scene.record("alerts").payload(alert("Held", "firing")).send(&scene.kafka);
    let until = eventually(SOON, "halted lane", || {
        let lane = running.status()["lanes"][0].clone();
        (lane["state"] == "halted").then(|| lane["until_ms"].as_u64().expect("a time"))
    });
    fs::write(scene.config.token_file(), TOKEN).expect("written");
    let last = running.reload();
    assert_eq!(last["outcome"], "applied", "{last}");
    scene.sandbox.wait_for_messages(1);
    let entries = scene.sandbox.ask("/control/ledger?limit=1000")["entries"].as_array().expect("a list").clone();
    let told = entries.last().and_then(|entry| entry["received_at"].as_u64()).expect("a time");
    assert!(told < until, "before its next try, at {until}: {told}");
    assert!(!running.process.has_line("ledger partitions given back"), "no lane was disturbed");
}

#[test]
fn certificates_change_under_an_open_connection_and_useless_ones_change_nothing() {
    let tls = "[hook]\ntls_certificates = \"{dir}/chain.pem\"\ntls_key = \"{dir}/key.pem\"\n";
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let dir = scene.config.path().parent().expect("a folder").to_owned();
    change(&scene, "[hook]\n", &tls.replace("{dir}", dir.to_str().expect("UTF-8")));
    show(&dir, FIRST);
    let running = Running::start(&scene);
    let hook = running.process.address_of("hook");
    let mut old = trusting(FIRST.0, hook);
    assert_eq!(post(&mut old, SECRET, b"{}"), 200);

    show(&dir, SECOND);
    let last = running.reload();
    assert_eq!(last["outcome"], "applied", "{last}");
    assert_eq!(post(&mut old, SECRET, b"{}"), 200, "a connection keeps what it began with");
    assert_eq!(post(&mut trusting(SECOND.0, hook), SECRET, b"{}"), 200, "a new one sees what is new");
    assert!(handshake(&mut trusting(FIRST.0, hook)).is_err(), "and nothing else");

    show(&dir, (FIRST.0, SECOND.1));
    let last = running.reload();
    assert_eq!(last["outcome"], "refused", "a key of another certificate: {last}");
    assert_eq!(post(&mut old, SECRET, b"{}"), 200);
    assert_eq!(post(&mut trusting(SECOND.0, hook), SECRET, b"{}"), 200, "the former ones stay");
    assert!(!running.process.has_line("ledger partitions given back"), "no lane was disturbed");
}

#[test]
fn secrets_that_systemd_has_copied_are_named_because_a_reload_does_not_refresh_them() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let token = scene.config.token_file();
    change(&scene, &format!("token_file = \"{}\"", token.display()), "token_file = \"credential:token\"");
    let copies = token.parent().and_then(Path::to_str).expect("a folder");
    let args = ["run", "--config", scene.config.path().to_str().expect("UTF-8")];
    // the hook's secret is named by its path, which happens to be in the same folder
    let running = Running::of(Process::spawn(&args, &[("CREDENTIALS_DIRECTORY", copies)]));
    let last = running.reload();
    let named = json!(["missive.token_file", "channels.ops.hook.secret_files[0]"]);
    assert_eq!((&last["outcome"], &last["not_refreshed"]), (&"applied".into(), &named), "{last}");
    let line = running.process.wait_for_line("not refreshed", SOON);
    assert!(line.contains("missive.token_file") && line.contains("a path is read again"), "{line}");
    hang_up(running.process.pid());
    let told = daemon::finish(&["status", "--await-reload", "--admin", &running.admin.to_string()]).stdout;
    assert!(
        told.contains("not refreshed, because systemd copies") && told.contains("  missive.token_file\n"),
        "{told}"
    );
}

fn all_is_told(running: &Running, count: u64) {
    eventually(SOON, "books that add up over both configs", || {
        let balance = running.status()["balance"].clone();
        let of = |name: &str| balance[name].as_u64().expect("a number");
        (of("consumed") == count && of("delivered") == count && of("pending") == 0).then_some(())
    });
}

/// Puts a certificate and a key where the config says.
fn show(dir: &Path, (certificate, key): (&str, &str)) {
    fs::write(dir.join("chain.pem"), certificate).expect("written");
    fs::write(dir.join("key.pem"), key).expect("written");
}

/// A connection that trusts one certificate; its handshake comes with the first byte.
fn trusting(certificate: &str, hook: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let tcp = TcpStream::connect(hook).expect("connected");
    tcp.set_read_timeout(Some(SOON)).expect("a timeout");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), tcp)
}

fn handshake(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> std::io::Result<()> {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(())
}

/// A signed request on an open connection; its status.
fn post(connection: &mut (impl Read + Write), secret: &str, body: &[u8]) -> u16 {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature: String = ring::hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let head = format!(
        "POST /hooks/ops HTTP/1.1\r\nHost: h\r\nX-Hook-Signature: sha256={signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body)).expect("written");
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
