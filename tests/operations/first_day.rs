//! From nothing to a running service with the commands that the pages name, and what each says while something is missing.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::scene::{Daemon, LATER, Scene, alert};
use crate::support::config::ACCOUNT;
use crate::support::daemon::finish;
use crate::support::kafka;

/// Writes the config by `missived init`, and gives it a namespace and listeners that no other test has.
fn init(scene: &Scene, topic: &str, path: &Path) {
    let token = scene.config.token_file();
    let answers = [&scene.kafka, token.to_str().expect("UTF-8"), "", ACCOUNT, topic, "", "n"].join("\n") + "\n";
    let mut command = Command::new(env!("CARGO_BIN_EXE_missived"));
    command.arg("init").arg("--config").arg(path).args(["--missive", &scene.sandbox.url]);
    let mut asked =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    asked.stdin.take().expect("a pipe").write_all(answers.as_bytes()).expect("it reads");
    let ended = asked.wait_with_output().expect("an end");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("missived check"), "it says what is next");
    let text = fs::read_to_string(path).expect("a config");
    let ours = text.replace("[kafka]\n", &format!("[kafka]\nnamespace = \"{}-day\"\n", scene.config.namespace()));
    fs::write(path, ours + "start = \"earliest\"\n[admin]\nlisten = \"127.0.0.1:0\"\n").expect("written");
}

#[test]
fn init_check_test_message_run_and_status_lead_from_nothing_to_a_message() {
    let Some(scene) = Scene::new(&[], |draft| draft) else { return };
    let path = scene.config.path().with_file_name("first.toml");
    let topic = scene.topic("first-alerts");
    let command = |words: &[&str]| finish(&[words, &["--config", path.to_str().expect("UTF-8")]].concat());

    let absent = command(&["check"]);
    assert_eq!(absent.status.code(), Some(78));
    assert!(absent.stderr.contains("`missived init` writes a first one"), "{}", absent.stderr);
    init(&scene, &topic, &path);
    let again = command(&["init"]);
    assert!(again.status.code() == Some(1) && again.stderr.contains("is there already"), "{}", again.stderr);
    assert!(command(&["check"]).status.success());

    let proofs = command(&["check", "--online"]);
    assert_eq!(proofs.status.code(), Some(1), "{}", proofs.stdout);
    assert!(proofs.stdout.contains(&format!("FAULT  kafka: read {topic}: no such topic")), "{}", proofs.stdout);
    kafka::create_topic(&scene.kafka, &topic, 1, &[]);
    let token = fs::read_to_string(scene.config.token_file()).expect("a token");
    fs::write(scene.config.token_file(), "missive_pat-of-somebody-else").expect("written");
    let proofs = command(&["check", "--online"]);
    assert!(proofs.stdout.contains("FAULT  missive: token of lane default: "), "{}", proofs.stdout);
    fs::write(scene.config.token_file(), token).expect("written");
    let proofs = command(&["check", "--online"]);
    assert_eq!(proofs.status.code(), Some(0), "{}", proofs.stdout);

    let misspelt = command(&["test-message", "opps"]);
    assert!(misspelt.status.code() == Some(1) && misspelt.stderr.contains("did you mean \"ops\"?"), "{misspelt:?}");
    let sent = command(&["test-message", "ops", "--text", "hello from the first day"]);
    assert!(sent.status.success() && sent.stdout.contains("Missive took it"), "{sent:?}");
    assert!(scene.sandbox.wait_for_messages(1)[0].body.contains("hello from the first day"));

    let nobody = finish(&["status", "--admin", "127.0.0.1:1"]);
    assert!(nobody.status.code() == Some(2) && nobody.stderr.contains("is the daemon running?"), "{nobody:?}");
    let daemon = Daemon::start(&path);
    daemon.until_ready(LATER);
    crate::support::kcat::Record::to(&topic).payload(alert("FirstAlert", "firing")).send(&scene.kafka);
    assert!(scene.sandbox.wait_for_messages(2)[1].body.contains("FirstAlert"));
    daemon.wait_for_balance(1, 0);
    let admin = daemon.admin.to_string();
    let told = finish(&["status", "--admin", &admin]);
    assert!(told.status.success() && told.stdout.contains("1 consumed = 1 delivered"), "{told:?}");
    let json: serde_json::Value =
        serde_json::from_str(&finish(&["status", "--json", "--admin", &admin]).stdout).expect("JSON");
    assert_eq!((&json["ready"], &json["balance"]["delivered"]), (&true.into(), &1.into()), "{json}");
    daemon.stop();
}
