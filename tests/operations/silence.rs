//! Never a secret, a signature or a body: a daemon with every log level on goes through whatever could bring one into its log.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::json;

use crate::scene::{Daemon, LATER, Scene, alert};
use crate::service::hang_up;
use crate::support::config::{SECRET, TOKEN};
use crate::support::daemon::{Process, SOON, Stream};
use crate::support::http;
use crate::support::wait::eventually;

const WRONG_TOKEN: &str = "missive_pat-of-somebody-else";
const INGEST_TOKEN: &str = "1ngest-t0ken";
const KAFKA_PASSWORD: &str = "k4fka-passw0rd";

/// Words that stand in bodies and in records, and nowhere else.
const WORDS: [&str; 7] =
    ["inAProvenBody", "inAForgedBody", "inABrokenBody", "inATakenBody", "inAnAlert", "inABrokenRecord", "inAnEcho"];

const INGEST: &str = r#"
[ingest]
listen = "127.0.0.1:0"
token_file = "{dir}/ingest-token"
[sources.alerts.ingest]
[kafka.librdkafka]
"sasl.username" = "missived"
"sasl.password" = { file = "{dir}/kafka-password" }
"#;

#[test]
fn nothing_secret_and_nobodys_words_are_logged_whatever_is_refused_and_in_whatever_form() {
    for format in ["text", "json"] {
        let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
        write_secrets(&scene);
        let config = scene.config.path().to_str().expect("UTF-8");
        let mut command = Command::new(env!("CARGO_BIN_EXE_missived"));
        command
            .args(["run", "--config", config, "--log-format", format])
            .env("RUST_LOG", "trace")
            .env_remove("NO_COLOR");
        let process = Process::start(command);
        let admin = address(&process, "admin");
        let mut daemon = Daemon { process, admin };
        let signatures = play(&scene, &daemon);
        daemon.process.sigterm();
        assert!(daemon.process.wait_exit(SOON).success());
        search(&daemon.process, &signatures);
    }
}

fn write_secrets(scene: &Scene) {
    let dir = scene.config.path().parent().expect("a folder").to_owned();
    fs::write(dir.join("ingest-token"), INGEST_TOKEN).expect("written");
    fs::write(dir.join("kafka-password"), KAFKA_PASSWORD).expect("written");
    fs::write(scene.config.token_file(), WRONG_TOKEN).expect("written");
    let text = fs::read_to_string(scene.config.path()).expect("a config");
    let more = INGEST.replace("{dir}", dir.to_str().expect("UTF-8"));
    fs::write(scene.config.path(), format!("{text}{more}")).expect("written");
}

/// From a line in either form.
fn address(process: &Process, listener: &str) -> SocketAddr {
    let line = process.wait_for_line(&format!("{listener} listening"), SOON);
    let (_, rest) = line.split_once("address").expect("an address");
    let found = rest.split(['"', '=', ' ', ',', '}']).find_map(|part| part.parse().ok());
    found.unwrap_or_else(|| panic!("an address in {line}"))
}

/// Everything that can be refused, and what is taken; the signatures that went over the wire.
fn play(scene: &Scene, daemon: &Daemon) -> BTreeSet<String> {
    daemon.until_ready(LATER);
    let (hook, ingest) = (address(&daemon.process, "hook"), address(&daemon.process, "ingest"));
    scene.record("alerts").payload(alert("inAnAlert", "firing")).send(&scene.kafka);
    scene.record("alerts").payload("{\"alerts\": inABrokenRecord").send(&scene.kafka);
    eventually(LATER, "halted lane", || (daemon.readiness().0 == 503).then_some(()));

    let mut signatures = BTreeSet::new();
    let mut webhook = |secret: &str, body: &str, wanted: u16| {
        let signature = sign(secret, body);
        let headers = [("X-Hook-Signature", signature.as_str()), ("Authorization", "Bearer inAForgedBody")];
        let answer = http::post(hook, "/hooks/ops", &headers, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, wanted, "{body}");
        signatures.insert(signature);
    };
    webhook("another-secret", "{\"x\": \"inAForgedBody\"}", 401);
    webhook(SECRET, "{\"x\": inABrokenBody", 400);
    webhook(SECRET, "{\"id\": \"1\", \"message\": {\"id\": \"m-1\", \"body\": \"inAProvenBody\"}}", 200);
    http::raw(hook, b"POST /hooks/ops HTTP/1.1\r\nX-Hook-Signature: s3cr3t-for-tests\r\n\x01inABrokenBody\r\n\r\n")
        .ok();

    let bearer = |token: &str| format!("Bearer {token}");
    for (token, body, wanted) in [
        ("another-t0ken", "{\"x\": \"inAForgedBody\"}".to_owned(), 401),
        (INGEST_TOKEN, "{\"x\": inABrokenBody".to_owned(), 400),
        (INGEST_TOKEN, alert("inATakenBody", "firing"), 200),
    ] {
        let answer = http::post(ingest, "/ingest/alerts", &[("Authorization", &bearer(token))], body.as_bytes());
        assert_eq!(answer.expect("an answer").status, wanted, "{body}");
    }

    // one that Missive doesn't take, then all that is left; a reload reads every secret again
    let echo = json!({"fault": "status", "status": 422, "next": 1});
    scene.sandbox.tell("/control/faults", &echo);
    fs::write(scene.config.token_file(), TOKEN).expect("written");
    scene.record("alerts").payload(alert("inAnEcho", "firing")).send(&scene.kafka);
    hang_up(daemon.process.pid());
    daemon.process.wait_for_line("config and secrets reloaded", SOON);
    scene.sandbox.wait_for_messages(2);
    daemon.until_ready(LATER);
    signatures
}

fn search(process: &Process, signatures: &BTreeSet<String>) {
    let text = process.text(Stream::Stderr) + &process.text(Stream::Stdout);
    let lines = text.lines().count();
    assert!(lines == process.lines_seen() && lines > 20, "{lines} lines of {} are kept", process.lines_seen());
    for level in ["TRACE", "DEBUG", "INFO"] {
        assert!(text.contains(level), "all levels are on: {level}");
    }
    assert!(text.contains("signature"), "the refusal itself is told");
    assert!(!text.contains('\u{1b}'), "a pipe is no terminal: no colours");
    let secrets = [TOKEN, WRONG_TOKEN, SECRET, INGEST_TOKEN, KAFKA_PASSWORD, "another-t0ken", "another-secret"];
    let signatures = signatures.iter().map(String::as_str);
    for hidden in secrets.into_iter().chain(WORDS).chain(signatures) {
        let line = text.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden} in the log");
    }
}

fn sign(secret: &str, body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    ring::hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
