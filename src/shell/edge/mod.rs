//! What stands before every service of ours that strangers can reach: connections, their limits, TLS, quotas.
//!
//! The hook and the ingest bring a [`Service`] that answers requests; everything that must hold whatever a request says is
//! here. Nothing here believes anybody: what a connection costs is bounded from its first byte, and a connection on which
//! nothing has been proven is the first to go when room is needed.
//!
//! | limit | beyond it |
//! |---|---|
//! | connections in total, and of one address | the one that has gone unproven longest is cut; if there is none, 503 |
//! | time of a TLS handshake, of a head, between requests | cut |
//! | size of a head, number of headers | 431 |
//! | ambiguous heads ([`crate::hook::Framing`]) | the service is told, and refuses |
//! | time and size of a body, bytes of all bodies together | 408, 413, 503 |
//! | time that a write may wait for its reader | cut |
//! | requests on one connection | `connection: close` |
//! | requests and failed proofs of one address | 429 |
//!
//! Limits of this: addresses are IPv4 addresses and IPv6 networks of 64 bits; behind a proxy that isn't in the config's
//! `proxies`, all callers are one.

mod answer;
mod ballast;
mod connection;
mod crowd;
mod origin;
mod quota;
mod renewable;
mod stream;
mod timer;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config;
use crate::hook::Refusal;
use crate::telemetry::hook::{Connection as Counted, Listener, Outcome, connection_counted, not_accepted};

pub use answer::plain;
pub use ballast::Load;
pub use connection::{HEAD_BYTES_MAX, HEADERS_MAX, Visit};
pub use origin::Origin;
pub use renewable::Renewable;
pub use timer::Late;
pub use tls::{Certificates, Reload, TlsError};

use ballast::Ballast;
use crowd::{Crowd, Entry};
use quota::{Monotonic, Quotas};

/// What is waited before trying again after a connection could not be accepted (mostly: no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Judges requests. Whatever it says, its connections obey the edge, and the edge answers.
pub trait Service: Send + Sync + 'static {
    /// What all its connections have in common.
    fn edge(&self) -> &Arc<Edge>;

    /// The name that a path calls something of ours by: a label that strangers can't invent values for.
    fn known(&self, path: &str) -> Option<&str>;

    /// What becomes of one request.
    fn outcome(
        &self,
        request: Box<Request<Incoming>>,
        visit: &Visit<'_>,
        origin: Origin,
    ) -> impl Future<Output = Result<Outcome, Refusal>> + Send;

    /// A request has ended, or something that was none: the edge has answered it, or cut it.
    fn count(&self, name: Option<&str>, outcome: Outcome);
}

/// What all connections of one listener have in common.
pub struct Edge {
    config: config::Edge,
    listener: Listener,
    crowd: Arc<Crowd>,
    quotas: Quotas<Monotonic>,
    ballast: Arc<Ballast>,
    certificates: Option<Arc<Certificates>>,
    pulse: OnceLock<Pulse>,
}

/// Told whenever a listener's loop has turned.
type Pulse = Box<dyn Fn() + Send + Sync>;

/// How often a listener's loop turns when nobody comes.
const TURN_EVERY: Duration = Duration::from_secs(1);

impl Edge {
    /// `listener` is the label under which connections are counted.
    pub fn new(config: config::Edge, listener: Listener) -> Result<Self, TlsError> {
        let certificates = config.tls.as_ref().map(Certificates::load).transpose()?.map(Arc::new);
        Ok(Self {
            crowd: Arc::new(Crowd::new(config.connections_max, config.connections_per_address_max)),
            quotas: Quotas::new(config.requests_per_minute, config.failures_per_minute, Monotonic),
            ballast: Arc::new(Ballast::new(config.bodies_bytes_max)),
            certificates,
            pulse: OnceLock::new(),
            listener,
            config,
        })
    }

    /// `pulse` is told from now on that this listener's loop turns. The first one counts.
    pub fn on_turn(&self, pulse: impl Fn() + Send + Sync + 'static) {
        drop(self.pulse.set(Box::new(pulse)));
    }

    fn turned(&self) {
        if let Some(pulse) = self.pulse.get() {
            pulse();
        }
    }

    /// The certificates in use, to have them read again.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// Who sent a request, as far as we believe those who passed it on.
    pub fn origin(&self, visit: &Visit<'_>, headers: &HeaderMap) -> Origin {
        Origin::of(visit.peer().ip(), headers, &self.config.proxies)
    }

    /// May this caller make a request now?
    pub fn admit(&self, origin: Origin) -> Result<(), Refusal> {
        self.quotas.admit(origin).map_err(|quota::Exhausted| Refusal::Quota)
    }

    /// This caller has failed to prove what it said.
    pub fn failed(&self, origin: Origin) {
        self.quotas.failed(origin);
    }

    /// Shows a body to `take`, piece by piece, in time and within what all bodies together may take up. What comes back
    /// stands for the room that the body takes up and must be kept as long as it does.
    pub async fn pour(
        &self,
        visit: &Visit<'_>,
        mut body: Incoming,
        mut take: impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<Load, Refusal> {
        let mut load = Ballast::load(&self.ballast);
        let pouring = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Refusal::BrokenOff)?;
                let Some(chunk) = frame.data_ref() else { continue };
                load.add(chunk.len()).map_err(|ballast::Overloaded| Refusal::Overloaded)?;
                take(chunk)?;
            }
            Ok::<_, Refusal>(())
        };
        visit.within(self.config.body_timeout, pouring).await.map_err(|Late| Refusal::TooSlow)??;
        Ok(load)
    }

    fn count(&self, what: Counted) {
        connection_counted(self.listener, what);
    }
}

/// Serves until `stop` becomes true or its sender is gone; then requests under way may finish within `drain`.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<Renewable<S>>,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let (edge, mut connections) = (Arc::clone(service.edge()), JoinSet::new());
    let watching = edge.certificates().map(|certificates| tokio::spawn(tls::watch(certificates)));
    loop {
        edge.turned();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sleep(TURN_EVERY) => continue,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => welcome(stream, peer, &service, &mut connections),
            Err(error) => pause_after(&error, edge.listener).await,
        }
    }
    drop(listener);
    edge.crowd.dismiss();
    if timeout(drain, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
    if let Some(watching) = watching {
        watching.abort();
    }
}

fn welcome<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    service: &Arc<Renewable<S>>,
    connections: &mut JoinSet<()>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let edge = service.edge();
    match Crowd::enter(&edge.crowd, Origin::of_peer(peer.ip(), &edge.config.proxies)) {
        Entry::Seated { seat, calls, room } => {
            edge.count(Counted::Opened);
            if room == crowd::Room::MadeByCutting {
                edge.count(Counted::Cut);
            }
            connections.spawn(connection::serve(stream, peer, Arc::clone(service), seat, calls));
        }
        Entry::Full => {
            edge.count(Counted::Shed);
            if edge.certificates.is_none() {
                connection::shed(stream, &edge.crowd, connections);
            }
        }
    }
}

async fn pause_after(error: &io::Error, listener: Listener) {
    not_accepted(listener);
    tracing::warn!(%error, "connection not accepted");
    sleep(ACCEPT_PAUSE).await;
}
