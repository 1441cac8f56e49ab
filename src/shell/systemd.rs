//! What systemd is told, by its notify protocol: READY, RELOADING, STOPPING, STATUS, WATCHDOG, EXTEND_TIMEOUT_USEC.
//!
//! What must hold: WATCHDOG is said only while every loop of the daemon turns ([`Readiness::stalled`]); one that hangs starves
//! it, and systemd restarts the service. Nothing here waits: a datagram that can't be sent now is not sent. Without
//! `NOTIFY_SOCKET` nothing is said and nothing fails. Limits: sockets in the file system and abstract ones, no vsock.
//!
//! READY is said when all parts are, and after [`READY_AFTER`] at the latest: a daemon that waits for Kafka does all that it
//! can, and a start that fails or hangs because of it would make nothing better. STATUS tells.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::clock;
use super::readiness::{Readiness, Whole};

/// The longest that a start waits for all parts to be ready.
pub const READY_AFTER: Duration = Duration::from_secs(20);

/// How often STATUS is told at most, and what must not be missed is said again.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How much longer a drain may go on than when it last said so.
const EXTENSION: Duration = Duration::from_secs(10);

/// The longest STATUS, in bytes.
const STATUS_BYTES_MAX: usize = 1024;

/// What the service manager expects of us, and what it has been told.
#[derive(Debug)]
pub struct Service {
    manager: Option<Manager>,
    started: Instant,
    phase: Phase,
    told: Option<(Instant, String)>,
    fed: Option<Instant>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long it waits for a sign of life.
    watchdog: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Reloading,
    Stopping,
}

impl Service {
    /// As this process was started.
    pub fn of_process() -> Self {
        let manager = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let connected = Manager::at(name.as_bytes(), watchdog());
            connected.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET is of no use")).ok()
        });
        Self { manager, started: clock::monotonic(), phase: Phase::Starting, told: None, fed: None }
    }

    /// To be called several times a second: says what is due. `status` is asked for only when it is told.
    pub fn tick(&mut self, readiness: &Readiness, status: impl FnOnce() -> String) {
        if self.manager.is_none() {
            return;
        }
        self.settle(readiness);
        self.feed(readiness);
        if self.told.as_ref().is_none_or(|(at, _)| since(*at) >= STATUS_EVERY) {
            self.tell(status());
        }
    }

    /// A new config is being taken over.
    pub fn reloading(&mut self) {
        self.phase = Phase::Reloading;
        self.say("RELOADING=1");
    }

    /// It has been taken over, or refused.
    pub fn reloaded(&mut self) {
        if self.phase == Phase::Reloading {
            self.phase = Phase::Running;
            self.say("READY=1");
        }
    }

    /// From here on everything is a drain.
    pub fn stopping(&mut self) {
        self.phase = Phase::Stopping;
        self.told = None;
        self.say("STOPPING=1");
    }

    fn settle(&mut self, readiness: &Readiness) {
        if self.phase == Phase::Starting && (readiness.whole() == Whole::Ready || since(self.started) >= READY_AFTER) {
            self.phase = Phase::Running;
            self.say("READY=1");
        }
    }

    /// A sign of life, three times as often as it is waited for; none while a loop hangs.
    fn feed(&mut self, readiness: &Readiness) {
        let Some(interval) = self.manager.as_ref().and_then(|manager| manager.watchdog) else { return };
        if self.fed.is_some_and(|at| since(at) < interval / 3) {
            return;
        }
        let stalled = readiness.stalled(interval / 2);
        if stalled.is_empty() {
            self.fed = Some(clock::monotonic());
            return self.say("WATCHDOG=1");
        }
        if self.told.as_ref().is_none_or(|(at, _)| since(*at) >= STATUS_EVERY) {
            tracing::error!(parts = stalled.join(", "), "hangs: systemd is not fed any more");
        }
    }

    /// The line under `systemctl status`, if it is another one.
    fn tell(&mut self, mut status: String) {
        status.truncate(status.floor_char_boundary(STATUS_BYTES_MAX));
        let status = status.replace('\n', "; ");
        let fresh = self.told.as_ref().is_none_or(|(_, told)| *told != status);
        let extension = match self.phase {
            Phase::Stopping => format!("\nEXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()),
            Phase::Starting | Phase::Running | Phase::Reloading => String::new(),
        };
        if fresh || !extension.is_empty() {
            self.say(&format!("STATUS={status}{extension}"));
        }
        self.told = Some((clock::monotonic(), status));
    }

    fn say(&self, what: &str) {
        let Some(manager) = &self.manager else { return };
        if let Err(error) = manager.socket.send_to_addr(what.as_bytes(), &manager.address) {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

impl Manager {
    fn at(name: &[u8], watchdog: Option<Duration>) -> std::io::Result<Self> {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, watchdog })
    }
}

/// How long the manager waits for a sign of life, if it is ours that it waits for.
fn watchdog() -> Option<Duration> {
    let text = |name| std::env::var(name).ok();
    if text("WATCHDOG_PID").is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    text("WATCHDOG_USEC")?.parse().ok().map(Duration::from_micros).filter(|interval| !interval.is_zero())
}

fn since(moment: Instant) -> Duration {
    clock::monotonic().saturating_duration_since(moment)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::shell::readiness::ReadyState;

    fn service(watchdog: Option<Duration>) -> (Service, UnixDatagram) {
        let name = format!("missived-test-{}-{:?}", std::process::id(), std::thread::current().id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixDatagram::bind_addr(&address).expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let manager = Manager::at(format!("@{name}").as_bytes(), watchdog).expect("a manager");
        let started = clock::monotonic();
        (Service { manager: Some(manager), started, phase: Phase::Starting, told: None, fed: None }, listener)
    }

    fn heard(listener: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        let texts = std::iter::from_fn(|| listener.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()));
        texts.map(|text| String::from_utf8(text).expect("text")).collect()
    }

    #[test]
    fn ready_is_said_once_when_all_parts_are() {
        let (mut service, listener) = service(None);
        let readiness = Arc::new(Readiness::default());
        let gate = readiness.component("lanes");
        service.tick(&readiness, || "waiting".to_owned());
        assert_eq!(heard(&listener), ["STATUS=waiting"]);
        gate.set(ReadyState::Ready);
        service.tick(&readiness, || "waiting".to_owned());
        service.tick(&readiness, || "waiting".to_owned());
        assert_eq!(heard(&listener), ["READY=1"]);
        gate.retire();
    }

    #[test]
    fn a_reload_ends_with_ready_and_a_stop_asks_for_time() {
        let (mut service, listener) = service(None);
        let readiness = Arc::new(Readiness::default());
        service.reloading();
        service.reloaded();
        service.reloaded();
        service.stopping();
        service.tick(&readiness, || "draining\nslowly".to_owned());
        let status = "STATUS=draining; slowly\nEXTEND_TIMEOUT_USEC=10000000";
        assert_eq!(heard(&listener), ["RELOADING=1", "READY=1", "STOPPING=1", status]);
    }

    #[test]
    fn the_watchdog_is_fed_only_while_every_loop_turns() {
        let interval = Duration::from_secs(2);
        let (mut service, listener) = service(Some(interval));
        let readiness = Arc::new(Readiness::default());
        let gate = readiness.component("lanes");
        gate.beat();
        service.tick(&readiness, String::new);
        assert!(heard(&listener).contains(&"WATCHDOG=1".to_owned()));
        while readiness.stalled(interval / 2).is_empty() {
            std::thread::yield_now();
        }
        service.tick(&readiness, String::new);
        assert_eq!(heard(&listener), Vec::<String>::new(), "a loop hangs");
        gate.beat();
        service.tick(&readiness, String::new);
        assert_eq!(heard(&listener), ["WATCHDOG=1"]);
        gate.retire();
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_nothing_fails() {
        let started = clock::monotonic();
        let mut service = Service { manager: None, started, phase: Phase::Starting, told: None, fed: None };
        service.tick(&Readiness::default(), || unreachable!("nobody asks"));
        service.stopping();
    }
}
