//! Posts webhooks, each until it is acknowledged or given up. HTTP only; a new connection for every attempt.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::sandbox::deliveries::{AfterAttempt, AttemptAnswer, Outgoing};

/// Webhooks on their way at one time, those that wait for a retry included.
const SENDING_MAX: usize = 1024;

/// Sends what comes, for ever.
pub async fn send_all(shared: Arc<Shared>, mut queue: mpsc::Receiver<Outgoing>) {
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            outgoing = queue.recv(), if sending.len() < SENDING_MAX => match outgoing {
                Some(outgoing) => drop(sending.spawn(deliver(shared.clone(), outgoing))),
                None => return,
            },
            Some(_) = sending.join_next(), if !sending.is_empty() => {}
        }
    }
}

async fn deliver(shared: Arc<Shared>, outgoing: Outgoing) {
    let time = Duration::from_millis(shared.with(|_, referee| referee.attempt_timeout_ms()));
    for attempt in 1.. {
        let answer = timeout(time, post(&outgoing)).await.unwrap_or(AttemptAnswer::TimedOut);
        match shared.with(|now, referee| referee.attempted(now, &outgoing, attempt, answer)) {
            AfterAttempt::Done | AfterAttempt::GiveUp => return,
            AfterAttempt::RetryIn { ms } => sleep(Duration::from_millis(ms)).await,
        }
    }
}

async fn post(outgoing: &Outgoing) -> AttemptAnswer {
    let Some((request, address)) = prepare(outgoing) else { return AttemptAnswer::NotConnected };
    let Ok(stream) = TcpStream::connect(address).await else { return AttemptAnswer::NotConnected };
    let Ok((mut client, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return AttemptAnswer::NotConnected;
    };
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    match client.send_request(request).await {
        Ok(response) => AttemptAnswer::Status(response.status().as_u16()),
        Err(_) => AttemptAnswer::BrokenOff,
    }
}

/// The request, and the `host:port` it goes to.
fn prepare(outgoing: &Outgoing) -> Option<(Request<Full<Bytes>>, String)> {
    let uri: Uri = outgoing.url.parse().ok()?;
    let host = uri.host()?;
    let port = uri.port_u16().unwrap_or(80);
    let address = format!("{host}:{port}");
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path).body(Full::new(Bytes::from(outgoing.body.clone()))).ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&address).ok()?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &outgoing.headers {
        headers.insert(*name, HeaderValue::from_str(value).ok()?);
    }
    Some((request, address))
}
