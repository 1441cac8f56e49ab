//! The signals that mean something to the daemon. Ignored: everything else, as the system has it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What somebody wants of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM, SIGINT: drain and end; the second time, end at once.
    Stop,
    /// SIGHUP: read the config and its secrets again.
    Reload,
}

/// Waits for signals.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on these signals end nothing by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next wish. Dropping the future loses none.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Waits until somebody wants us to end.
    pub async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}
