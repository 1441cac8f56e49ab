//! Many conversations, and many messages: what the page and the sandbox do when it is a lot.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::browser::{Look, Page};
use crate::step;
use crate::support::config::TOKEN;
use crate::support::daemon::{Process, SOON};
use crate::support::http;
use crate::support::wait::timed;

const ACCOUNT: &str = "11111111-2222-4333-8444-000000000001";

/// Requests on their way on one connection.
const BATCH: usize = 50;

/// One connection, kept: a batch of messages goes out, then its answers are read.
struct Poster {
    stream: BufReader<TcpStream>,
    /// The text of every message.
    body: String,
}

impl Poster {
    fn connect(address: SocketAddr, body: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the sandbox listens");
        stream.set_read_timeout(Some(http::PATIENCE)).expect("a timeout");
        Self { stream: BufReader::new(stream), body: body.to_owned() }
    }

    fn send(&mut self, numbers: std::ops::Range<usize>, conversations: usize) {
        let batch: Vec<u8> = numbers.clone().flat_map(|number| self.request(number, conversations)).collect();
        self.stream.get_mut().write_all(&batch).expect("it is sent");
        let mut answers = 0;
        let mut line = String::new();
        while answers < numbers.len() {
            line.clear();
            assert!(self.stream.read_line(&mut line).expect("an answer") > 0, "the sandbox hung up");
            if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
                assert!(status.starts_with("201"), "{status}");
                answers += 1;
            }
        }
    }

    fn request(&self, number: usize, conversations: usize) -> Vec<u8> {
        let group = number % conversations;
        let message = json!({"messages": {
            "account": ACCOUNT, "body": self.body, "conversation_subject": format!("High5xx on service {group}"),
            "from_field": {"id": format!("missived:ops:{group}"), "username": "checkout", "name": "checkout"},
            "to_fields": [{"id": "ops", "username": "ops", "name": "ops"}],
            "external_id": format!("missived:default:{number:x}:1"), "references": [format!("missived:ops:{group:032x}")],
        }});
        let body = message.to_string();
        let head = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        format!("{head}\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

/// A sandbox that limits nothing.
fn sandbox() -> (Process, SocketAddr) {
    let wide = ["--limit", "100000000/1s", "--limit-at-once", "1000", "--accept-any-account", "text"];
    let args = [&["sandbox", "--token", TOKEN][..], &wide[..]].concat();
    let sandbox = Process::spawn(&args, &[]);
    let line = sandbox.wait_for_line("listening on http://", SOON);
    let url = line.split_whitespace().last().expect("a URL in the line");
    let address = http::address_of(url);
    (sandbox, address)
}

#[test]
fn a_thousand_conversations_are_a_few_rows_and_nothing_moves_that_is_not_new() {
    let Some(page) = Page::open() else { return };
    let (_sandbox, address) = sandbox();
    let mut poster = Poster::connect(address, "[WARNING] queue depth 5000 on invoices\nmore comes in than goes out");
    (0..1_200).step_by(BATCH).for_each(|from| poster.send(from..from + BATCH, 1_200));
    page.look(Look { width: 1360, height: 850, scheme: "light" });
    page.go(&format!("http://{address}/"));
    let count =
        page.until("newest thousand", "/newest of 1,200/.exec(document.getElementById('count')?.textContent)?.input");
    step(&format!("the list says what it shows: {count}"));

    page.eval(
        "window.shifted = 0; new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifted += entry.value;
        }).observe({ type: 'layout-shift' })",
    );
    (1_200..2_000).step_by(BATCH).for_each(|from| poster.send(from..from + BATCH, 1_200));
    page.until(
        "the newest on top",
        "document.querySelector('[aria-posinset=\"1\"] .subject')?.textContent.endsWith(' 799')",
    );
    let rows = page.eval("document.querySelectorAll('.row').length").as_u64().expect("a number");
    assert!(rows < 40, "{rows} rows");
    let shifted = page.eval("window.shifted").as_f64().expect("a number");
    assert!(shifted < 0.02, "the layout shifted by {shifted}");
    step(&format!("{rows} rows are elements, and the layout shifted by {shifted:.3} under 800 messages at once"));
    held(&page, &mut poster);
    page.assert_quiet();
}

/// Whoever has scrolled keeps what they look at.
fn held(page: &Page, poster: &mut Poster) {
    page.eval("document.getElementById('rows').scrollTop = 5000");
    let seen = "[...document.querySelectorAll('.row')].map((row) => row.id + row.style.transform).sort().join()";
    page.until("rows further down", "!document.querySelector('[aria-posinset=\"1\"]')");
    let before = page.eval(seen);
    poster.send(2_000..2_000 + BATCH, 1_200);
    page.until("a word about what is new", "!document.getElementById('newer').hidden");
    assert_eq!(page.eval(seen), before, "rows moved under the reader");
    let word = page.eval("document.getElementById('newer').textContent");
    step(&format!("whoever has scrolled keeps their place, and reads: {word}"));
    page.eval("document.getElementById('newer').click()");
    page.until("the top", "document.getElementById('rows')?.scrollTop === 0");
}

#[test]
fn messages_take_less_than_200_mib_however_many_they_are() {
    // what is kept is full long before; MISSIVED_MESSAGES asks for more
    let asked = std::env::var("MISSIVED_MESSAGES").ok().and_then(|text| text.parse().ok());
    let messages: usize = asked.unwrap_or(30_000);
    const RSS_KIB_MAX: u64 = 200 * 1024;
    let (sandbox, address) = sandbox();
    let line = "[CRITICAL] High5xx on checkout: more than 5 % of requests fail\n";
    let mut poster = Poster::connect(address, &line.repeat(32));
    let (_, took) = timed(|| (0..messages).step_by(BATCH).for_each(|from| poster.send(from..from + BATCH, 2_000)));
    let summary = http::get(address, "/control/summary").expect("an answer").json();
    assert_eq!(summary["messages"], messages);
    let left_out = summary["messages_fallen_out"].as_u64().expect("a number");
    let Some(rss_kib) = sandbox.rss_kib() else { return };
    assert!(rss_kib < RSS_KIB_MAX, "{} MiB", rss_kib / 1024);
    let (mib, seconds) = (rss_kib / 1024, took.as_secs_f64());
    step(&format!("{messages} messages of 2 KB in {seconds:.1} s: {mib} MiB, {left_out} left out and said so"));
}
