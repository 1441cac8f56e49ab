//! Listeners: those that systemd hands over by name, and those that we bind ourselves.
//!
//! A socket that systemd holds outlives a restart of ours: callers wait in its queue and are not refused. Named with
//! `FileDescriptorName=` (`hook`, `ingest`, `admin`); the config's address counts for those that aren't handed over. Limit:
//! the environment is read once a process, and by this process only (`LISTEN_PID`).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// What was handed over and is not in use yet.
#[derive(Debug, Default)]
pub struct Sockets {
    by_name: HashMap<String, std::net::TcpListener>,
}

impl Sockets {
    /// Takes over what this process was started with; the second time there is nothing.
    pub fn inherited() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut handed = ListenFd::from_env();
        let mut by_name = HashMap::new();
        for (at, name) in (0..handed.len()).zip(names.split(':')) {
            match handed.take_tcp_listener(at) {
                Ok(Some(listener)) => drop(by_name.insert(name.to_owned(), listener)),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, name, "what was handed over is no TCP listener"),
            }
        }
        Self { by_name }
    }

    /// The listener with this name, or one bound to `address`.
    pub async fn listen(&mut self, name: &str, address: SocketAddr) -> io::Result<TcpListener> {
        let Some(listener) = self.by_name.remove(name) else { return TcpListener::bind(address).await };
        listener.set_nonblocking(true)?;
        tracing::info!(name, "listener handed over");
        TcpListener::from_std(listener)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for name in self.by_name.keys() {
            tracing::warn!(name, "a listener was handed over that nothing here answers on");
        }
    }
}
