//! One request, from its head to its answer.
//!
//! What must hold: no byte of a body is interpreted before its proof, and no 2xx before Kafka's acknowledgement. The write
//! goes on in a task of its own when the caller hangs up or the wait for Kafka runs out, so that a repeat finds its outcome
//! instead of writing again. Answers carry nothing of the request and nothing that tells refusals of one kind apart.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Version};
use tokio::time::timeout;

use super::Clock;
use super::memory::{self, Memory, Progress, Turn, Writer};
use super::outlet::{Outlet, Writing};
use crate::config;
use crate::hook::{Doors, Head, Heard, Protocol, Proven, Proving, Refusal, ReplayKey, hear};
use crate::telemetry::hook::{Counters, Outcome, Unwritten};

/// What a caller is asked to wait when Kafka is away.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("5");

/// Everything that requests share.
pub(super) struct Hook {
    pub(super) config: Arc<config::Hook>,
    doors: Doors,
    outlet: Outlet,
    memory: Arc<Memory>,
    counters: Counters,
    clock: Clock,
}

/// Whether the connection may carry another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    ByLength,
    /// hyper hides a `Content-Length` that came beside `Transfer-Encoding`; after such a request a connection must end
    /// (RFC 9112, 6.1), so it ends after every chunked one.
    ByChunks,
}

impl Hook {
    pub(super) fn new(config: Arc<config::Hook>, outlet: Outlet, clock: Clock) -> Self {
        let doors = Doors::new(config.doors.iter().cloned(), config.body_bytes_max);
        let counters = Counters::new(config.doors.iter().map(|door| door.channel.as_ref()));
        Self { config, doors, outlet, memory: Arc::default(), counters, clock }
    }

    /// A request ended before it was one: hyper has answered it.
    pub(super) fn malformed(&self) {
        self.counters.count(None, Outcome::Malformed);
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let framed = match request.headers().contains_key(TRANSFER_ENCODING) {
            true => Framed::ByChunks,
            false => Framed::ByLength,
        };
        let channel = self.doors.known(request.uri().path()).map(|door| door.channel.as_ref());
        let outcome = self.outcome(request).await.unwrap_or_else(Outcome::Refused);
        tracing::debug!(channel, outcome = outcome.label(), "webhook answered");
        self.counters.count(channel, outcome);
        Ok(response(outcome, framed))
    }

    async fn outcome(&self, request: Request<Incoming>) -> Result<Outcome, Refusal> {
        let (head, body) = request.into_parts();
        let proving = self.doors.admit(&plain(&head))?;
        let reading = timeout(self.config.body_timeout, prove(proving, body));
        let proven = reading.await.map_err(|_| Refusal::TooSlow)??;
        let heard = hear(proven.door, &proven.body)?;
        Ok(self.hand_on(&proven, &heard).await)
    }

    /// Sees to it that Kafka has what was heard, once.
    async fn hand_on(&self, proven: &Proven<'_>, heard: &Heard) -> Outcome {
        let reply = match heard {
            Heard::Reply(reply) | Heard::Rule(reply) => reply,
            Heard::Probe => {
                tracing::info!(channel = %proven.door.channel, "webhook probed");
                return Outcome::Probe;
            }
        };
        let now = (self.clock)();
        let key = ReplayKey::new(&proven.door.channel, heard, &proven.body);
        match self.memory.turn(now, key) {
            Turn::Known => Outcome::Repeated,
            Turn::Full => Outcome::Unwritten(Unwritten::Busy),
            Turn::Repeat(progress) => self.wait(progress, Outcome::Repeated).await,
            Turn::First(writer) => match self.outlet.write(now, proven.door, heard, reply) {
                Ok(writing) => self.wait(self.begin(writer, writing), Outcome::Accepted).await,
                Err(why) => {
                    writer.failed(why);
                    Outcome::Unwritten(why)
                }
            },
        }
    }

    fn begin(&self, writer: Writer, writing: Writing) -> tokio::sync::watch::Receiver<Progress> {
        let (progress, clock) = (writer.follow(), Arc::clone(&self.clock));
        tokio::spawn(async move {
            match writing.acknowledged().await {
                Ok(()) => writer.written(clock()),
                Err(why) => writer.failed(why),
            }
        });
        progress
    }

    async fn wait(&self, progress: tokio::sync::watch::Receiver<Progress>, written: Outcome) -> Outcome {
        match timeout(self.config.kafka_timeout, memory::outcome(progress)).await {
            Ok(Progress::Written) => written,
            Ok(Progress::Failed(why)) => Outcome::Unwritten(why),
            Ok(Progress::Underway) | Err(_) => Outcome::Unwritten(Unwritten::Late),
        }
    }
}

/// The head in the words of [`crate::hook`].
fn plain(head: &Parts) -> Head<'_> {
    let protocol = match head.version {
        Version::HTTP_11 => Protocol::Http11,
        _ => Protocol::Other,
    };
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    Head { protocol, method: head.method.as_str(), path: head.uri.path(), headers }
}

async fn prove<'d>(mut proving: Proving<'d>, mut body: Incoming) -> Result<Proven<'d>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BrokenOff)?;
        if let Some(chunk) = frame.data_ref() {
            proving.push(chunk)?;
        }
    }
    proving.finish()
}

fn response(outcome: Outcome, framed: Framed) -> Response<Full<Bytes>> {
    let mut response = match outcome {
        Outcome::Accepted | Outcome::Repeated | Outcome::Probe => taken(),
        Outcome::Unwritten(Unwritten::Late | Unwritten::Rejected | Unwritten::Busy) => try_later(),
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Malformed => refused(Refusal::Framing),
    };
    if framed == Framed::ByChunks {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn taken() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn try_later() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS);
    response
}

/// A refusal always ends the connection: what else it carries, perhaps a body that nobody read, is not looked at.
fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let outward = refusal.outward();
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(outward.status).expect("refusals name valid statuses");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(allow) = outward.allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}
