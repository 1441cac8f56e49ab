//! What hostile messages can't do: run a script, send a request, or leave their frame.
//!
//! Each entry is put wherever a stranger's text goes: into HTML, email and plain bodies, subjects, names, file names. All of
//! them call out to a canary, a listener that counts who comes, and set a mark on any page they could reach. That the canary
//! hears a script that does run is shown first.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::browser::Page;
use crate::support::config::Draft;
use crate::support::daemon;
use crate::support::http;
use crate::support::wait::eventually;
use crate::{post, step};

/// `CALL` becomes a script that calls the canary and marks the page, `URL` the canary's address.
const CORPUS: &[&str] = &[
    "<script>CALL</script>",
    "<script src=\"URL\"></script>",
    "<SCRIPT/x>CALL</SCRIPT>",
    "<img src=x onerror=\"CALL\">",
    "<img src=\"URL\">",
    "<svg onload=\"CALL\"></svg>",
    "<svg><script>CALL</script></svg>",
    "<svg><animate onbegin=\"CALL\" attributeName=x dur=1s></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=\"CALL\">",
    "<body onload=\"CALL\">",
    "<iframe src=\"javascript:CALL\"></iframe>",
    "<iframe srcdoc=\"<script>CALL</script>\"></iframe>",
    "<object data=\"URL\"></object><embed src=\"URL\">",
    "<link rel=stylesheet href=\"URL\"><style>@import 'URL';body{background:url(URL)}</style>",
    "<base href=\"URL\"><img src=x>",
    "<meta http-equiv=refresh content=\"0;url=URL\">",
    "<form action=\"URL\" id=f></form><input form=f autofocus onfocus=\"CALL;this.form.submit()\">",
    "<details open ontoggle=\"CALL\">",
    "<video><source onerror=\"CALL\"></video><audio src=\"URL\" autoplay></audio>",
    "<template><script>CALL</script></template><noscript><p title=\"</noscript><img src=x onerror=CALL>\">",
    "</iframe></textarea></title></style><script>CALL</script>",
    "\"><script>CALL</script>",
    "'-CALL-'",
    "${CALL}{{CALL}}",
    "javascript:CALL",
    "&lt;script&gt;CALL&lt;/script&gt;<a href=\"javascript:CALL\" autofocus onfocus=\"CALL\">x</a>",
];

const TEXT: &str = "11111111-2222-4333-8444-000000000001";
const HTML: &str = "11111111-2222-4333-8444-000000000002";
const EMAIL: &str = "11111111-2222-4333-8444-000000000003";

/// Counts who calls.
struct Canary {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Canary {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn script(&self) -> String {
        format!("top.marked=1;window.marked=1;fetch('{}',{{mode:'no-cors'}})", self.url())
    }

    fn armed(&self, entry: &str) -> String {
        entry.replace("CALL", &self.script()).replace("URL", &self.url())
    }
}

#[test]
fn nothing_that_a_message_says_can_run_or_call_out() {
    let Some(page) = Page::open() else { return };
    let canary = Canary::listen();
    page.go(&format!("data:text/html,<script>fetch('{}',{{mode:'no-cors'}}).catch(()=>0)</script>", canary.url()));
    eventually(crate::browser::SOON, "call to the canary", || (canary.calls() > 0).then_some(()));
    step("the canary hears a script that does run");

    let channels = [(TEXT, "text"), (HTML, "html"), (EMAIL, "email")];
    let channels = channels.map(|(account, kind)| format!("account={account},type={kind}"));
    let (_sandbox, url) = daemon::sandbox(&channels.each_ref().map(String::as_str));
    let address = http::address_of(&url);
    for (number, entry) in CORPUS.iter().enumerate() {
        fill(address, number, &canary.armed(entry));
    }
    let before = canary.calls();
    page.go(&url);
    page.until("three conversations", "document.querySelectorAll('.row').length === 3");
    for place in 0..3 {
        read_all(&page, place);
    }
    assert_eq!(page.eval("window.marked ?? null"), Value::Null, "the page was reached");
    assert_eq!(canary.calls(), before, "the canary was called");
    page.assert_quiet();
    step(&format!("{} hostile texts, each in six places, ran nothing and called nobody", CORPUS.len()));
}

/// The same on its whole way: events that say it, the words that the daemon makes of them, and the page that shows those.
#[test]
fn nothing_that_an_event_says_can_run_or_call_out() {
    let Some(page) = Page::open() else { return };
    let canary = Canary::listen();
    let (_sandbox, url) = daemon::sandbox(&[&format!("account={HTML},type=html")]);
    let address = http::address_of(&url);
    let messages = told(&url, &canary);
    assert_eq!(messages.len(), CORPUS.len(), "a message for each");
    messages.iter().for_each(|message| post(address, &message["request"]["messages"]));
    page.go(&url);
    page.until(
        "all conversations",
        &format!("document.querySelector('.row')?.getAttribute('aria-setsize') === '{}'", CORPUS.len()),
    );
    for place in 1..=CORPUS.len() {
        let row = format!("document.querySelector('[aria-posinset=\"{place}\"]')");
        page.eval(&format!("document.getElementById('rows').scrollTop = {}", (place - 1) * 76));
        page.until("its row", &format!("{row} !== null"));
        page.eval(&format!("{row}.click()"));
        page.until("its message", "document.querySelectorAll('.message iframe').length === 1");
        page.eval(
            "new Promise((loaded) => {
                const frame = document.querySelector('.message iframe');
                frame.loading = 'eager';
                frame.addEventListener('load', loaded);
                frame.src = frame.src;
            }).then(() => true)",
        );
        page.press("Escape", 0);
    }
    assert_eq!(page.eval("window.marked ?? null"), Value::Null, "the page was reached");
    assert_eq!(canary.calls(), 0, "the canary was called");
    page.assert_quiet();
    step(&format!("{} hostile events, told in HTML, ran nothing and called nobody", CORPUS.len()));
}

/// What the daemon says of one alert an entry, in which all that a stranger chooses is that entry.
fn told(url: &str, canary: &Canary) -> Vec<Value> {
    let config = Draft::new("127.0.0.1:1", url).toml(&CONFIG.replace("HTML", HTML));
    let records = CORPUS.iter().enumerate().map(|(number, entry)| {
        let hostile = canary.armed(entry);
        let alert = json!({
            "status": "firing", "startsAt": "2026-11-22T03:12:00Z", "fingerprint": hostile, "generatorURL": hostile,
            "labels": {"alertname": hostile, "severity": hostile, "pod": hostile},
            "annotations": {"summary": hostile, "runbook_url": hostile},
        });
        let group = format!("{number}{hostile}");
        json!({"groupKey": group, "groupLabels": {"alertname": hostile}, "externalURL": hostile, "alerts": [alert]})
    });
    let lines: Vec<String> = records.map(|record| record.to_string()).collect();
    let file = config.path().with_file_name("records");
    std::fs::write(&file, lines.join("\n")).expect("the records are written");
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (config, file) = (path(config.path()), path(&file));
    let told = daemon::finish(&["preview", "--config", &config, "--topic", "alerts", "--lines", "--json", &file]);
    let mut told: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    let Value::Array(messages) = told["messages"].take() else { panic!("messages") };
    messages
}

const CONFIG: &str = r#"
[kafka]
bootstrap = "{bootstrap}"
namespace = "{namespace}"
[missive]
url = "{missive_url}"
token_file = "{dir}/token"
[channels.page]
account = "HTML"
type = "html"
[sources.alerts]
topic = "alerts"
format = "alertmanager"
channel = "page"
"#;

/// One entry into everything that strangers write.
fn fill(address: SocketAddr, number: usize, hostile: &str) {
    let id = |kind: &str| format!("{kind}-{number}");
    let person = json!({"id": hostile, "name": hostile, "username": hostile});
    let mail = json!({"address": hostile, "name": hostile});
    let file = json!([{"filename": hostile, "base64_data": "YQ=="}]);
    for (account, kind) in [(TEXT, "text"), (HTML, "html")] {
        post(
            address,
            &json!({
                "account": account, "from_field": person, "to_fields": [person], "body": hostile, "attachments": file,
                "external_id": id(kind), "references": [kind], "conversation_subject": hostile,
            }),
        );
    }
    post(
        address,
        &json!({
            "account": EMAIL, "from_field": mail, "to_fields": [mail], "subject": hostile, "body": hostile,
            "references": ["email"], "attachments": file,
        }),
    );
}

/// Opens a conversation, and waits until every frame in it has been shown once more, all at the same time.
fn read_all(page: &Page, place: usize) {
    page.eval(&format!(
        "[...document.querySelectorAll('.row')].find((row) => row.ariaPosInSet === '{}').click()",
        place + 1
    ));
    let all = CORPUS.len();
    page.until("all messages", &format!("document.querySelectorAll('.message').length === {all}"));
    page.eval(
        "Promise.all([...document.querySelectorAll('iframe')].map((frame) => new Promise((loaded) => {
            frame.loading = 'eager';
            frame.addEventListener('load', loaded);
            frame.src = frame.src;
        }))).then(() => true)",
    );
    page.press("Escape", 0);
}
