//! What the tests of the stand-in share: a client, channels, a message.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use missived::sandbox::{self, Channel, ChannelType, Options, Sandbox};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

pub const TEXT: &str = "11111111-2222-4333-8444-555555555555";
pub const HTML: &str = "11111111-2222-4333-8444-666666666666";
pub const EMAIL: &str = "11111111-2222-4333-8444-777777777777";
pub const UNKNOWN: &str = "11111111-2222-4333-8444-888888888888";
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct Got {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Bytes,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON answer")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub fn options() -> Options {
    let channels = vec![
        Channel::new(TEXT, ChannelType::Text),
        Channel::new(HTML, ChannelType::Html),
        Channel::new(EMAIL, ChannelType::Email),
    ];
    Options { channels, seed: Some(1), ..Options::default() }
}

pub async fn start(options: Options) -> Sandbox {
    sandbox::start(options).await.expect("loopback is there")
}

pub fn request(method: &str, path: &str, token: &str, content_type: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sandbox")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", content_type)
        .body(Full::new(Bytes::from(body)))
        .expect("a good request")
}

/// Sends on a connection of its own; an error is a connection that ended without an answer.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Got, hyper::Error> {
    let stream = TcpStream::connect(address).await.expect("the sandbox listens");
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = client.send_request(request).await?;
    let status = response.status().as_u16();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Got { status, headers, body })
}

pub async fn post(sandbox: &Sandbox, path: &str, body: &Value) -> Got {
    let request = request("POST", path, sandbox::TOKEN, "application/json", body.to_string().into_bytes());
    send(sandbox.address(), request).await.expect("an answer")
}

pub async fn get(sandbox: &Sandbox, path: &str) -> Got {
    send(sandbox.address(), request("GET", path, sandbox::TOKEN, "", Vec::new())).await.expect("an answer")
}

pub async fn control(sandbox: &Sandbox, path: &str, body: Value) -> Value {
    let got = post(sandbox, path, &body).await;
    assert_eq!(got.status, 200, "{path} {body} → {:?}", got.body);
    got.json()
}

/// The text example of Missive's documentation in shape, with changes: a `null` takes a field away.
pub fn text_message(changes: Value) -> Value {
    let mut message = json!({
        "account": TEXT,
        "from_field": {"id": "svc-billing", "username": "billing", "name": "billing"},
        "to_fields": [{"id": "ops", "username": "ops", "name": "Ops"}],
        "body": "[WARNING] queue depth 5000 on invoices",
        "external_id": "missived:default:1a2b:1",
        "references": ["missived:ops:invoices-depth"],
        "conversation_subject": "invoices depth",
        "conversation_color": "warning",
        "delivered_at": 1_790_000_000,
    });
    for (name, value) in changes.as_object().expect("an object") {
        message[name] = value.clone();
    }
    message.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    json!({"messages": message})
}

pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut tick = interval(Duration::from_millis(5));
    let waiting = async {
        while !holds() {
            tick.tick().await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("it did not happen: {what}"));
}

pub async fn post_message(sandbox: &Sandbox, changes: Value) {
    assert_eq!(post(sandbox, "/v1/messages", &text_message(changes)).await.status, 201);
}
