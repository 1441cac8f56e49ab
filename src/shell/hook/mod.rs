//! The hook endpoint: `POST /hooks/<channel>`, proven, written to Kafka, and only then answered with 200.
//!
//! What a request must prove and what it says is decided in [`crate::hook`]; here are the sockets, the deadlines, the memory
//! of what was heard, and Kafka. HTTP/1.1 without TLS: a reverse proxy ends it.
//!
//! | answer | when |
//! |---|---|
//! | 200 `{}` | Kafka has acknowledged it, had it already, or it was a probe |
//! | 400, 404, 405, 408, 413, 505 | the request is malformed, for nothing here, too slow or too large |
//! | 401 | whatever is wrong with the proof, an unknown channel included: the same bytes |
//! | 503, `Retry-After: 5` | Kafka has not acknowledged it in time |
//!
//! Limits: connections, body size, body time and Kafka time from the config; heads in [`connection`]; writes under way and
//! requests remembered in `memory`. With all connections taken, new ones wait in the kernel's backlog.

pub mod connection;
mod memory;
mod outlet;
mod request;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config;
use crate::event::Timestamp;
pub use outlet::Outlet;
use request::Hook;

/// Where `now` comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is waited before trying again after a connection could not be accepted (mostly: no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the hook until `stop` becomes true or its sender is gone; then requests under way may finish within `drain`.
pub async fn serve(
    listener: TcpListener,
    config: Arc<config::Hook>,
    outlet: Outlet,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let hook = Arc::new(Hook::new(config, outlet, clock));
    let mut connections = JoinSet::new();
    loop {
        let (accepted, permit) = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok(stream) => drop(connections.spawn(connection_of(stream, permit, Arc::clone(&hook), stop.clone()))),
            Err(error) => not_accepted(&error).await,
        }
    }
    drop(listener);
    if timeout(drain, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

/// The permit comes first: what can't be served isn't taken.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (io::Result<TcpStream>, OwnedSemaphorePermit) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    (listener.accept().await.map(|(stream, _)| stream), permit)
}

async fn connection_of(stream: TcpStream, permit: OwnedSemaphorePermit, hook: Arc<Hook>, stop: watch::Receiver<bool>) {
    connection::serve(stream, hook, stop).await;
    drop(permit);
}

async fn not_accepted(error: &io::Error) {
    crate::telemetry::hook::not_accepted();
    tracing::warn!(%error, "webhook connection not accepted");
    sleep(ACCEPT_PAUSE).await;
}
