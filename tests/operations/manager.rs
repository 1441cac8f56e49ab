//! The other end of systemd's notify protocol: a datagram socket that keeps what it hears, in order.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::daemon::Process;
use crate::support::wait::eventually;

/// A service manager that waits for signs of life this often.
pub const WATCHDOG: Duration = Duration::from_secs(10);

/// The socket, and what came over it.
pub struct Manager {
    socket: UnixDatagram,
    heard: Mutex<Vec<String>>,
    dir: TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("bound");
        socket.set_nonblocking(true).expect("a socket");
        Self { socket, heard: Mutex::default(), dir }
    }

    /// The daemon as a service of this manager.
    pub fn run(&self, config: &Path) -> Process {
        let socket = self.dir.path().join("notify");
        let usec = WATCHDOG.as_micros().to_string();
        let env = [("NOTIFY_SOCKET", socket.to_str().expect("UTF-8")), ("WATCHDOG_USEC", usec.as_str())];
        Process::spawn(&["run", "--config", config.to_str().expect("UTF-8")], &env)
    }

    /// Everything so far, a line each.
    pub fn heard(&self) -> Vec<String> {
        let mut heard = self.heard.lock().expect("nobody panics here");
        let mut buffer = [0; 8192];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).expect("text");
            heard.extend(text.lines().map(str::to_owned));
        }
        heard.clone()
    }

    /// How often a line came that begins like this.
    pub fn count(&self, beginning: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Waits for a line that contains `part`, after the first `seen`.
    pub fn wait_for(&self, seen: usize, part: &str, within: Duration) -> String {
        eventually(within, &format!("word of {part:?} to the manager"), || {
            self.heard().into_iter().skip(seen).find(|line| line.contains(part))
        })
    }
}
