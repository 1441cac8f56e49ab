//! The way to Missive's API: one request, one [`Answer`], nothing repeated.
//!
//! What must hold: a request is written at most once, and never after its `send_before`; whatever happens, the answer says
//! whether a byte of it may have left. So the connection stands before the clock is read, the clock is read before the
//! request is handed over, and nothing here retries. That is why this is not hyper-util's client: its pool connects and writes
//! in one step, so a slow connect would carry a request past its moment.
//!
//! What was looked up in hyper 1.12: `SendRequest::try_send_request` gives the request back in its error exactly when it was
//! still queued, that is, before the connection began to serialise it (`client/dispatch.rs`: only an envelope that was never
//! taken out of the channel carries its message back). That alone is [`NotSent::NoConnection`]; an error without the request,
//! such as "connection closed before message completed" on a connection that died while idle, may have come after a byte
//! left, and is [`Lost::Broken`].
//!
//! Limits: [`IDLE_MAX`] idle connections of at most [`IDLE_FOR_MAX`]; bodies are kept up to a bound and the rest dropped with
//! the connection. HTTP/1.1 only. `http` is for loopback, which the config sees to.

mod answer;
mod connection;

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use thiserror::Error;
use tokio::time::{Sleep, sleep, timeout};

use crate::config;
use crate::event::Timestamp;
use crate::missive::Token;
use crate::missive::answer::{ANSWER_BYTES_MAX, Answer, Lost, NotSent};
use connection::Connector;

/// The most connections that are kept for the next request: as many as Missive lets be in progress.
pub const IDLE_MAX: usize = 5;

/// The longest a connection is kept unused: well under what servers allow, so that few die unnoticed.
pub const IDLE_FOR_MAX: Duration = Duration::from_secs(20);

/// The longest that making a connection may take.
pub const CONNECT_FOR_MAX: Duration = Duration::from_secs(10);

/// The longest answer to [`Client::get`] that is kept: a page of ten messages with room to spare.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

const AGENT: &str = concat!("missived/", env!("CARGO_PKG_VERSION"));

/// Where `now` comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Until when a request may leave, and how long it may take from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Not a byte is written at or after this moment. Connecting ends here too.
    pub send_before: Timestamp,
    /// From the moment of writing to the last byte of the answer.
    pub timeout: Duration,
}

/// Why there can be no client.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("the URL of Missive's API has no host, or a scheme other than https and http")]
    Url,
    #[error("the certificates in {path} can't be read: {why}")]
    Certificates { path: Box<str>, why: Box<str> },
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Posts to Missive and asks it. Cheap to share behind an `Arc`.
pub struct Client {
    connector: Connector,
    host: HeaderValue,
    agent: HeaderValue,
    clock: Clock,
    idle: Mutex<Vec<Idle>>,
}

type Sender = SendRequest<Full<Bytes>>;

struct Idle {
    sender: Sender,
    since: Timestamp,
}

impl Client {
    pub fn new(missive: &config::Missive, clock: Clock) -> Result<Self, ClientError> {
        let connector = Connector::new(&missive.url, missive.ca_file.as_deref())?;
        let authority = missive.url.authority().ok_or(ClientError::Url)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| ClientError::Url)?;
        let agent = HeaderValue::from_static(AGENT);
        Ok(Self { connector, host, agent, clock, idle: Mutex::default() })
    }

    /// Says which process asks, too, so that Missive's side of a story can be told from ours.
    #[must_use]
    pub fn named(mut self, instance: Option<&str>, run: u32) -> Self {
        let agent = match instance {
            Some(instance) => format!("{AGENT} ({instance}; {run:08x})"),
            None => format!("{AGENT} ({run:08x})"),
        };
        if let Ok(agent) = HeaderValue::try_from(agent) {
            self.agent = agent;
        }
        self
    }

    /// Posts a JSON body to `path` (which begins with `/`); keeps at most [`ANSWER_BYTES_MAX`] of the answer.
    pub async fn post(&self, path: &str, token: &Token, body: Bytes, deadlines: Deadlines) -> Answer {
        self.tell(path, Some(token), body, deadlines).await
    }

    /// Posts a JSON body to somebody who may do without a token.
    pub async fn tell(&self, path: &str, token: Option<&Token>, body: Bytes, deadlines: Deadlines) -> Answer {
        self.request(Method::POST, path, token, body, deadlines, ANSWER_BYTES_MAX).await
    }

    /// Asks for `path`; keeps at most [`PAGE_BYTES_MAX`] of the answer.
    pub async fn get(&self, path: &str, token: &Token, deadlines: Deadlines) -> Answer {
        self.request(Method::GET, path, Some(token), Bytes::new(), deadlines, PAGE_BYTES_MAX).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Bytes,
        deadlines: Deadlines,
        answer_bytes_max: usize,
    ) -> Answer {
        let Some(request) = self.written(method, path, token, body) else {
            return Answer::NotSent(NotSent::NoToken);
        };
        let sender = match self.connected(deadlines.send_before).await {
            Ok(sender) => sender,
            Err(why) => return Answer::NotSent(why),
        };
        if (self.clock)() >= deadlines.send_before {
            self.keep(sender);
            return Answer::NotSent(NotSent::TooLate);
        }
        self.exchange(sender, request, deadlines.timeout, answer_bytes_max).await
    }

    /// None if the token or the path can't stand in a request.
    fn written(&self, method: Method, path: &str, token: Option<&Token>, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = path.parse::<Uri>().ok()?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, self.agent.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        *request.method_mut() = method;
        Some(request)
    }

    /// A connection that takes a request now: one that is kept, or a new one if it stands before `send_before`.
    async fn connected(&self, send_before: Timestamp) -> Result<Sender, NotSent> {
        let now = (self.clock)();
        if now >= send_before {
            return Err(NotSent::TooLate);
        }
        if let Some(sender) = self.kept(now) {
            return Ok(sender);
        }
        let connecting = timeout(send_before.since(now).min(CONNECT_FOR_MAX), self.connector.connect());
        match connecting.await {
            Ok(Ok(sender)) => Ok(sender),
            Ok(Err(_)) | Err(_) => Err(NotSent::NoConnection),
        }
    }

    /// Hands the request over and waits for the answer. Dropped early, it takes the connection with it.
    async fn exchange(
        &self,
        mut sender: Sender,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Answer {
        let mut over = pin!(sleep(timeout));
        let response = tokio::select! {
            response = sender.try_send_request(request) => response,
            () = &mut over => return Answer::Lost(Lost::Timeout),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) if error.message().is_some() => return Answer::NotSent(NotSent::NoConnection),
            Err(_) => return Answer::Lost(Lost::Broken),
        };
        let (head, mut body) = response.into_parts();
        let (kept, end) = answer::read(&mut body, answer_bytes_max, over.as_mut()).await;
        match end {
            answer::End::Whole => self.keep_when_ready(sender, over).await,
            answer::End::Cut => {}
        }
        Answer::Status(answer::status(&head, kept, (self.clock)()))
    }

    /// A kept connection that is still open and not too old.
    fn kept(&self, now: Timestamp) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.sender.is_ready() && now.since(idle.since) < IDLE_FOR_MAX);
        idle.pop().map(|idle| idle.sender)
    }

    /// hyper announces that a connection is free a moment after the last byte of the answer.
    async fn keep_when_ready(&self, mut sender: Sender, over: Pin<&mut Sleep>) {
        let ready = tokio::select! {
            ready = sender.ready() => ready.is_ok(),
            () = over => false,
        };
        if ready {
            self.keep(sender);
        }
    }

    fn keep(&self, sender: Sender) {
        let since = (self.clock)();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(Idle { sender, since });
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
