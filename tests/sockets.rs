//! Listeners that are handed over, as systemd does it: a socket of the parent's, its name and the child's pid.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use support::config::Draft;
use support::http;
use support::wait::eventually;

#[expect(dead_code, reason = "these tests need a config, an HTTP client and a way to wait")]
mod support;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_socket_that_is_handed_over_by_name_is_the_one_that_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let config = Draft::new("127.0.0.1:1", "http://127.0.0.1:1").write();
    let script =
        "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=admin; exec \"$0\" run --config \"$1\"";
    let child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_missived")])
        .arg(config.path())
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let _child = Killed(child);
    let status = eventually(support::daemon::SOON, "an answer on the parent's socket", || {
        http::get(address, "/healthz").ok().map(|answer| answer.status)
    });
    assert_eq!(status, 200);
}
