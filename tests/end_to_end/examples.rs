//! The configs under `config/examples`, each played: its records become messages that the stand-in takes, and what is answered
//! comes back.
//!
//! Of an example only what hangs on the place is changed: addresses, files of secrets, topics.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::scene::{Daemon, LATER};
use crate::support::config::{SECRET, TOKEN};
use crate::support::daemon::{self, Process, SOON};
use crate::support::wait::eventually;
use crate::support::{http, kafka, kcat};

/// An example, what is written to one of its topics, and what people should see of it.
struct Use {
    example: &'static str,
    topic: &'static str,
    record: String,
    headers: &'static [(&'static str, &'static str)],
    seen: &'static str,
    /// The channel that people answer in, and what a reply is about.
    replies: (&'static str, &'static str),
}

fn uses() -> [Use; 5] {
    let golden = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    [
        Use {
            example: "internal-ticketing",
            topic: "tickets",
            record: golden("tickets/comment.json"),
            headers: &[],
            seen: "<p>Since this morning.</p>",
            replies: ("helpdesk", "512"),
        },
        Use {
            example: "crm",
            topic: "hubspot",
            record: json!([{"objectId": 7, "eventId": 1, "subscriptionType": "deal.propertyChange", "portalId": 33,
                "propertyName": "dealstage", "propertyValue": "closedwon", "occurredAt": 1_795_317_120_000_u64}])
            .to_string(),
            headers: &[],
            seen: "dealstage: closedwon",
            replies: ("sales", "33/deal/7"),
        },
        Use {
            example: "proprietary-platform",
            topic: "platform",
            record: json!({"specversion": "1.0", "id": "1", "source": "/builds", "type": "com.example.build.failed",
                "subject": "web", "data": {"service": "web", "object": "b 7", "text": "tests failed"}})
            .to_string(),
            headers: &[("content-type", "application/cloudevents+json")],
            seen: "https://platform.example.com/objects/b%207",
            replies: ("platform", "/builds web"),
        },
        Use {
            example: "iot-and-monitoring",
            topic: "sensors",
            record: json!({"sensor": "freezer-3", "site": "lab", "state": "alarm", "value": -12.5, "limit": -18})
                .to_string(),
            headers: &[],
            seen: "🔴 CRITICAL freezer-3: -12.5 (limit -18)",
            replies: ("ops", "lab"),
        },
        Use {
            example: "chat-widget",
            topic: "chat",
            record: golden("chat/visitor.json"),
            headers: &[],
            seen: "Is anybody there?\nHello?",
            replies: ("chat", "c-81"),
        },
    ]
}

/// An example as it runs here.
struct Adapted {
    _folder: tempfile::TempDir,
    file: PathBuf,
    namespace: String,
}

fn adapted(example: &str, bootstrap: &str, missive: &str) -> Adapted {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let text = fs::read_to_string(root.join(example).with_extension("toml")).expect("an example");
    let folder = tempfile::tempdir().expect("a folder");
    let namespace = kafka::unique("t");
    for line in text.lines().filter(|line| line.contains("/etc/missived/secrets/")) {
        let (_, rest) = line.split_once("/etc/missived/secrets/").expect("it is there");
        let name = rest.split('"').next().expect("a name");
        let secret = if name == "missive-token" { TOKEN } else { SECRET };
        let path = folder.path().join(name);
        fs::write(&path, secret).expect("a secret");
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions(&path, private).expect("its mode");
    }
    let text = text
        .replace(
            "bootstrap = \"kafka1:9092,kafka2:9092\"",
            &format!("bootstrap = {bootstrap:?}\nnamespace = {namespace:?}"),
        )
        .replace("[missive]\n", &format!("[missive]\nurl = {missive:?}\n"))
        .replace("/etc/missived/secrets", folder.path().to_str().expect("a plain path"))
        .replace("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\"")
        .replace("listen = \"127.0.0.1:8081\"", "listen = \"127.0.0.1:0\"")
        .replace("topic = \"", &format!("start = \"earliest\"\ntopic = \"{namespace}-"));
    let file = folder.path().join("missived.toml");
    fs::write(&file, format!("{text}\n[admin]\nlisten = \"127.0.0.1:0\"\n")).expect("a config");
    Adapted { _folder: folder, file, namespace }
}

/// The stand-in, with every channel of the examples.
fn sandbox() -> (Process, String, SocketAddr) {
    let email = "account=55555555-6666-4777-8888-999999999999,type=email";
    let (process, url) = daemon::sandbox(&["account=11111111-2222-4333-8444-555555555555,type=text", email]);
    let address = http::address_of(&url);
    (process, url, address)
}

fn tell(sandbox: SocketAddr, path: &str, body: &Value) {
    let json = [("Content-Type", "application/json")];
    let answer = http::post(sandbox, path, &json, body.to_string().as_bytes()).expect("the stand-in answers");
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
}

#[test]
fn every_example_is_told_and_answered() {
    let Some(bootstrap) = kafka::bootstrap() else { return };
    if !kcat::available() {
        return;
    }
    for use_ in uses() {
        play(&use_, &bootstrap);
    }
}

fn play(use_: &Use, bootstrap: &str) {
    let (_process, url, sandbox) = sandbox();
    let adapted = adapted(use_.example, bootstrap, &url);
    let text = fs::read_to_string(&adapted.file).expect("the config");
    let topics = text.lines().filter_map(|line| line.strip_prefix("topic = \"")?.strip_suffix('"'));
    topics.for_each(|topic| kafka::create_topic(bootstrap, topic, 1, &[]));
    let daemon = Daemon::start(&adapted.file);
    daemon.until_ready(LATER);
    let (channel, about) = use_.replies;
    let kind = if text.contains("type = \"html\"") { "html" } else { "text" };
    let webhook = json!({"url": format!("http://{}/hooks/{channel}", daemon.hook()), "secret": SECRET});
    let account = "11111111-2222-4333-8444-555555555555";
    tell(sandbox, "/control/channels", &json!({"account": account, "type": kind, "webhook": webhook}));

    let record = kcat::Record::to(&format!("{}-{}", adapted.namespace, use_.topic)).payload(&*use_.record);
    let record = use_.headers.iter().fold(record, |record, (name, value)| record.header(name, value));
    record.send(bootstrap);
    let conversation = eventually(LATER, use_.example, || {
        let page = http::get(sandbox, "/control/ledger?limit=1000").expect("the stand-in answers").json();
        let entries = page["entries"].as_array().expect("a list").clone();
        let taken = |entry: &Value| entry["verdict"] == "accepted" || entry["verdict"] == "pending";
        let refused: Vec<_> = entries.iter().filter(|entry| !taken(entry)).collect();
        assert!(refused.is_empty(), "{}: {refused:?}", use_.example);
        let seen =
            entries.iter().find(|entry| entry["body"]["text"].as_str().is_some_and(|text| text.contains(use_.seen)));
        seen.map(|entry| entry["conversation"].as_str().expect("an id").to_owned())
    });

    tell(sandbox, "/control/reply", &json!({"conversation": conversation, "body": "on my way"}));
    let replies = eventually(SOON, "reply", || {
        Some(kcat::consume(bootstrap, &format!("{}.replies", adapted.namespace))).filter(|replies| !replies.is_empty())
    });
    let reply = replies[0].json();
    assert_eq!((&reply["body"], &reply["entity"]), (&json!("on my way"), &json!(about)), "{}", use_.example);
    daemon.stop();
}
