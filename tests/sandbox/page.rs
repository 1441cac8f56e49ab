//! The inbox page over real sockets: what it is served with, who may ask, and what those who follow are told.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use missived::sandbox::{Limits, Options, Sandbox};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::scene::*;

/// Somebody who follows; ends with it.
struct Follower {
    status: u16,
    body: Incoming,
    text: String,
    _connection: JoinSet<()>,
}

impl Follower {
    async fn begin(sandbox: &Sandbox) -> Self {
        let stream = TcpStream::connect(sandbox.address()).await.expect("the sandbox listens");
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        let request = Request::get("/control/events").header("host", "localhost").body(Empty::<Bytes>::new());
        let response = client.send_request(request.expect("a good request")).await.expect("an answer");
        let status = response.status().as_u16();
        Self { status, body: response.into_body(), text: String::new(), _connection: driver }
    }

    /// The next event of this name.
    async fn next(&mut self, name: &str) -> Value {
        let found = async {
            loop {
                if let Some(data) = self.take(name) {
                    return data;
                }
                let frame = self.body.frame().await.expect("it doesn't end").expect("it doesn't break");
                self.text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
            }
        };
        timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("no {name}"))
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        while let Some((event, rest)) = self.text.split_once("\n\n") {
            let (event, rest) = (event.to_owned(), rest.to_owned());
            self.text = rest;
            let (head, data) = event.split_once('\n').expect("a name and data");
            if head == format!("event: {name}") {
                return Some(serde_json::from_str(&data["data: ".len()..]).expect("JSON"));
            }
        }
        None
    }
}

async fn asked(sandbox: &Sandbox, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = request(method, path, "", "application/json", b"{}".to_vec());
    for (name, value) in headers {
        let name: hyper::header::HeaderName = name.parse().expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    send(sandbox.address(), request).await.expect("an answer")
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_files_and_is_no_request_to_missive() {
    let sandbox = start(options()).await;
    let page = get(&sandbox, "/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let script = get(&sandbox, "/page/app.js").await;
    assert_eq!((script.status, script.header("content-type")), (200, "text/javascript; charset=utf-8"));
    assert_eq!(get(&sandbox, "/page/../Cargo.toml").await.status, 404);
    assert_eq!(asked(&sandbox, "POST", "/", &[]).await.status, 404);
    assert_eq!(sandbox.summary().requests, 0);
    sandbox.stop().await;
}

#[tokio::test]
async fn other_pages_can_neither_read_nor_press_anything() {
    let sandbox = start(options()).await;
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], u16, &'r str);
    let rows: [Row<'_>; 9] = [
        ("GET", "/", &[("host", "evil.example")], 403, "a name that leads here, for the page"),
        ("GET", "/control/summary", &[("host", "evil.example")], 403, "for the numbers"),
        ("GET", "/control/events", &[("host", "evil.example")], 403, "for what happens"),
        ("DELETE", "/control/faults", &[("host", "evil.example")], 403, "for a knob"),
        ("POST", "/control/wish", &[("origin", "http://evil.example")], 403, "another page presses"),
        ("POST", "/control/reply", &[("sec-fetch-site", "cross-site")], 403, "another page writes"),
        ("GET", "/control/frame?message=1", &[("sec-fetch-site", "same-site")], 403, "another port frames"),
        ("POST", "/control/seen", &[("content-type", "text/plain")], 400, "a form"),
        (
            "GET",
            "/control/summary",
            &[("origin", "http://sandbox"), ("sec-fetch-site", "same-origin")],
            200,
            "the page",
        ),
    ];
    for (method, path, headers, status, sentence) in rows {
        let got = asked(&sandbox, method, path, headers).await;
        assert_eq!(got.status, status, "{sentence}");
        assert_eq!(got.header("access-control-allow-origin"), "", "{sentence}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn who_follows_gets_everything_and_then_what_changed() {
    let sandbox = start(options()).await;
    post_message(&sandbox, json!({"external_id": "1", "references": ["a"]})).await;
    let mut page = Follower::begin(&sandbox).await;
    let everything = page.next("snapshot").await;
    assert_eq!(everything["conversations"][0]["line"], "[WARNING] queue depth 5000 on invoices");
    assert_eq!(everything["channels"].as_array().map(Vec::len), Some(3));
    assert!(!everything.to_string().contains("secret"));
    post_message(&sandbox, json!({"external_id": "2", "references": ["a"]})).await;
    post_message(&sandbox, json!({"external_id": "3", "references": ["b"]})).await;
    let id = everything["conversations"][0]["id"].as_str().expect("an id").to_owned();
    eventually_told(&mut page, |row| row["id"] == *id && row["unread"] == 2).await;
    control(&sandbox, "/control/seen", json!({"conversation": id})).await;
    eventually_told(&mut page, |row| row["id"] == *id && row["unread"] == 0).await;
    control(&sandbox, "/control/change", json!({"conversation": id, "closed": true, "add_labels": ["mute"]})).await;
    eventually_told(&mut page, |row| row["closed"] == true && row["muted"] == true).await;
    control(&sandbox, "/control/delete", json!({"conversation": id})).await;
    while page.next("changes").await["gone"] != json!([id]) {}
    let pulse = page.next("pulse").await;
    assert_eq!((&pulse["summary"]["notifications"], &pulse["conversations_kept"]), (&json!(3), &json!(1)));
    assert_eq!(pulse["spent"]["windows"][0]["used"], 3);
    sandbox.stop().await;
}

async fn eventually_told(page: &mut Follower, told: impl Fn(&Value) -> bool) {
    loop {
        let changes = page.next("changes").await;
        if changes["conversations"].as_array().expect("a list").iter().any(&told) {
            return;
        }
    }
}

#[tokio::test]
async fn as_many_can_follow_as_there_are_seats_and_one_that_leaves_makes_room() {
    const SEATS: usize = 16;
    let sandbox = start(options()).await;
    let mut pages = Vec::new();
    for _ in 0..SEATS {
        pages.push(Follower::begin(&sandbox).await);
    }
    assert!(pages.iter().all(|page| page.status == 200));
    assert_eq!(Follower::begin(&sandbox).await.status, 503);
    pages.pop();
    let seated = async { while Follower::begin(&sandbox).await.status != 200 {} };
    timeout(DEADLINE, seated).await.expect("a seat is free again");
    sandbox.stop().await;
}

#[tokio::test]
async fn who_takes_nothing_is_cut_and_the_others_go_on() {
    let sandbox = start(Options {
        patience: Duration::from_millis(500),
        limits: Limits { at_once: 5, windows: vec![] },
        ..options()
    })
    .await;
    for number in 0..400 {
        let subject = "s".repeat(120);
        post_message(&sandbox, json!({"external_id": number.to_string(), "references": [number.to_string()], "conversation_subject": subject})).await;
    }
    let mut good = Follower::begin(&sandbox).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stuck = socket.connect(sandbox.address()).await.expect("the sandbox listens");
    stuck.write_all(b"GET /control/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is asked");
    // every declaration makes a snapshot, so that there is more than the sockets hold
    let cut = async {
        let mut number = 0_u32;
        loop {
            number += 1;
            let account = format!("22222222-2222-4333-8444-{number:012}");
            control(&sandbox, "/control/channels", json!({"account": account, "type": "text"})).await;
            good.next("snapshot").await;
            if stuck.write_all(b"\r\n").await.is_err() {
                return;
            }
        }
    };
    timeout(DEADLINE * 3, cut).await.expect("it is cut");
    sandbox.stop().await;
}

#[tokio::test]
async fn the_html_of_a_message_is_a_document_that_can_do_nothing() {
    let sandbox = start(options()).await;
    let body = "<p>Hello</p><script>alert(1)</script>";
    post_message(&sandbox, json!({"account": HTML, "body": body})).await;
    let id = sandbox.conversations(1)[0].id.clone();
    let opened = get(&sandbox, &format!("/control/conversation?id={id}")).await.json();
    let message = &opened["messages"][0];
    assert_eq!((&message["body"], &message["lock_screen"]), (&Value::Null, &json!("Hello")));
    let frame = get(&sandbox, &format!("/control/frame?message={}", message["id"].as_str().expect("an id"))).await;
    assert_eq!(frame.body, body.as_bytes());
    let policy = frame.header("content-security-policy");
    assert!(policy.starts_with("sandbox; default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert_eq!(get(&sandbox, "/control/frame?message=none").await.status, 404);
    sandbox.stop().await;
}

#[tokio::test]
async fn knobs_that_only_the_demo_has_are_refused_by_a_sandbox_alone() {
    let sandbox = start(options()).await;
    let wish = post(&sandbox, "/control/wish", &json!({"wish": "storm", "events": 5})).await;
    assert_eq!(wish.status, 404);
    assert_eq!(post(&sandbox, "/control/wish", &json!({"wish": "luck"})).await.status, 400);
    sandbox.stop().await;
}
