//! Listeners that are handed over, as systemd does it: a socket of the parent's, its name and the child's pid.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
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

/// The daemon with `listener` as its admin socket.
fn served(listener: &TcpListener, config: &Path) -> Killed {
    let script =
        "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=admin; exec \"$0\" run --config \"$1\"";
    let listener = listener.try_clone().expect("a second handle");
    let child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_missived")])
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    Killed(child)
}

#[test]
fn a_socket_that_is_handed_over_by_name_is_served_and_a_restart_refuses_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let config = Draft::new("127.0.0.1:1", "http://127.0.0.1:1").write();
    let first = served(&listener, config.path());
    let status = eventually(support::daemon::SOON, "an answer on the parent's socket", || {
        http::get(address, "/healthz").ok().map(|answer| answer.status)
    });
    assert_eq!(status, 200);
    drop(first);
    let mut between = TcpStream::connect(address).expect("nobody serves, and nobody is refused");
    between.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("taken by the queue");
    let _second = served(&listener, config.path());
    between.set_read_timeout(Some(support::daemon::SOON)).expect("an open stream");
    let mut answer = String::new();
    between.read_to_string(&mut answer).expect("answered by the next one");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
