//! The client against servers that do what servers do: refuse, hang up, dawdle, babble.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::missive::answer::{RateLimit, Status};

const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);
const ROOMY: Deadlines =
    Deadlines { send_before: Timestamp::from_millis(1_795_317_122_000), timeout: Duration::from_secs(20) };

fn client(address: SocketAddr) -> Client {
    client_with_clock(address, Arc::new(|| NOW))
}

fn client_with_clock(address: SocketAddr, clock: Clock) -> Client {
    let url = format!("http://{address}").parse().expect("URL");
    Client::new(&config::Missive { url, ca_file: None }, clock).expect("client")
}

fn token() -> Token {
    Token::parse("missive_pat-test").expect("token")
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    (listener, address)
}

async fn post(client: &Client) -> Answer {
    client.post("/v1/messages", &token(), Bytes::from_static(b"{\"messages\":{}}"), ROOMY).await
}

/// One request with a small body, as it came over the wire; empty at the end of the connection.
async fn request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if text.ends_with("\r\n\r\n") && text.starts_with("GET") || text.ends_with("{\"messages\":{}}") {
            return text.into_owned();
        }
        match stream.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return String::new(),
            Ok(_) => {}
        }
    }
}

/// Answers every request of every connection with `answer`, then hangs up if `answer` says so; counts connections.
async fn server(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let (listener, address) = listener().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while !request(&mut stream).await.is_empty() {
                    stream.write_all(answer.as_bytes()).await.expect("written");
                    if !answer.contains("Length") {
                        return;
                    }
                }
            });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let (listener, address) = listener().await;
    drop(listener);
    assert_eq!(post(&client(address)).await, Answer::NotSent(NotSent::NoConnection));
}

#[tokio::test]
async fn a_request_that_was_read_and_never_answered_is_in_doubt() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        request(&mut stream).await
    });
    assert_eq!(post(&client(address)).await, Answer::Lost(Lost::Broken));
    assert!(server.await.expect("served").starts_with("POST /v1/messages HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_half_written_answer_is_in_doubt() {
    let (address, _) = server("HTTP/1.1 20").await;
    assert_eq!(post(&client(address)).await, Answer::Lost(Lost::Broken));
}

#[tokio::test]
async fn no_answer_in_time_is_in_doubt_and_ends_the_connection() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        assert!(!request(&mut stream).await.is_empty());
        stream.read(&mut [0; 1]).await.unwrap_or(0)
    });
    let deadlines = Deadlines { timeout: Duration::from_millis(50), ..ROOMY };
    let answer = client(address).post("/", &token(), Bytes::from_static(b"{\"messages\":{}}"), deadlines).await;
    assert_eq!(answer, Answer::Lost(Lost::Timeout));
    assert_eq!(server.await.expect("served"), 0);
}

#[tokio::test]
async fn nothing_is_sent_at_or_after_its_moment() {
    let (listener, address) = listener().await;
    let late = Deadlines { send_before: NOW, ..ROOMY };
    let answer = client(address).post("/", &token(), Bytes::new(), late).await;
    assert_eq!(answer, Answer::NotSent(NotSent::TooLate));
    // The moment passes while the connection is made: it is made, and stays silent.
    let ticks = AtomicU64::new(0);
    let clock = move || Timestamp::from_millis(NOW.as_millis() + 2_000 * ticks.fetch_add(1, Ordering::SeqCst).min(1));
    let answer = post(&client_with_clock(address, Arc::new(clock))).await;
    assert_eq!(answer, Answer::NotSent(NotSent::TooLate));
    let (mut stream, _) = listener.accept().await.expect("accepted");
    assert_eq!(stream.read(&mut [0; 1]).await.expect("closed in silence"), 0);
}

#[tokio::test]
async fn a_429_tells_how_long_to_wait_in_both_forms() {
    let seconds = concat!(
        "HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nX-RateLimit-Limit: 300\r\nX-RateLimit-Remaining: 0\r\n",
        "X-RateLimit-Reset: 1795317140\r\nContent-Length: 2\r\n\r\nno"
    );
    let half = "HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nX-RateLimit-Remaining: 0\r\nContent-Length: 0\r\n\r\n";
    let date = "HTTP/1.1 429 Too Many\r\nRetry-After: Sun, 22 Nov 2026 03:12:45 GMT\r\nContent-Length: 0\r\n\r\n";
    let status = |secs, rate_limit, body: &str| {
        Answer::Status(Status {
            code: 429,
            retry_after: Some(Duration::from_secs(secs)),
            rate_limit,
            body: body.into(),
        })
    };
    let told = RateLimit { limit: 300, remaining: 0, reset: Duration::from_secs(20) };
    let rows = [(seconds, status(30, Some(told), "no")), (half, status(30, None, "")), (date, status(45, None, ""))];
    for (text, answer) in rows {
        let (address, _) = server(text).await;
        assert_eq!(post(&client(address)).await, answer, "{text}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_kept_up_to_its_bound() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        request(&mut stream).await;
        let head = b"HTTP/1.1 500 No\r\nContent-Length: 1000000000\r\n\r\n";
        stream.write_all(head).await.expect("written");
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    });
    let Answer::Status(status) = post(&client(address)).await else { panic!("no status") };
    assert_eq!((status.code, status.body.len()), (500, ANSWER_BYTES_MAX));
}

#[tokio::test]
async fn a_status_counts_even_if_its_body_breaks_off() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{\"a\"").await.expect("written");
    });
    let Answer::Status(status) = post(&client(address)).await else { panic!("no status") };
    assert_eq!((status.code, status.body.as_ref()), (201, "{\"a\""));
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_a_closed_one_none() {
    let (address, connections) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    let kept = client(address);
    for _ in 0..3 {
        assert!(matches!(post(&kept).await, Answer::Status(Status { code: 200, .. })));
    }
    assert!(matches!(kept.get("/v1/organizations", &token(), ROOMY).await, Answer::Status(Status { code: 200, .. })));
    assert_eq!(connections.load(Ordering::SeqCst), 1);

    let (address, connections) = server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}").await;
    let closed = client(address);
    for _ in 0..3 {
        assert!(matches!(post(&closed).await, Answer::Status(Status { code: 200, .. })));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_request_says_who_asks_and_carries_the_token_once() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let seen = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.expect("written");
        seen
    });
    assert!(matches!(post(&client(address).named(Some("one"), 7)).await, Answer::Status(Status { code: 201, .. })));
    let seen = server.await.expect("served");
    let agent = format!("user-agent: {AGENT} (one; 00000007)");
    let lines =
        ["authorization: Bearer missive_pat-test", "content-type: application/json", &agent, "content-length: 15"];
    for line in lines.into_iter().chain([format!("host: {address}").as_str()]) {
        assert_eq!(seen.lines().filter(|seen| *seen == line).count(), 1, "{line} in {seen}");
    }
}

#[test]
fn a_client_that_can_trust_nobody_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "no certificate").expect("written");
    let clock: Clock = Arc::new(|| NOW);
    for ca_file in [folder.path().join("missing.pem"), empty] {
        let missive = config::Missive { url: Uri::from_static("https://127.0.0.1"), ca_file: Some(ca_file) };
        let refused = Client::new(&missive, Arc::clone(&clock)).map(|_| ());
        assert!(matches!(refused, Err(ClientError::Certificates { .. })), "{refused:?}");
    }
    for url in ["ftp://127.0.0.1", "/v1"] {
        let missive = config::Missive { url: Uri::from_static(url), ca_file: None };
        assert!(matches!(Client::new(&missive, Arc::clone(&clock)).map(|_| ()), Err(ClientError::Url)), "{url}");
    }
}
