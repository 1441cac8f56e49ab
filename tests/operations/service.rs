//! READY, STATUS, WATCHDOG, RELOADING, STOPPING, and more time while draining.

use crate::manager::{Manager, WATCHDOG};
use crate::scene::{LATER, Scene};
use crate::support::config::Draft;
use crate::support::daemon::SOON;
use crate::support::wait::eventually;

#[test]
fn a_service_says_when_it_is_ready_alive_reloading_and_stopping() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let manager = Manager::new();
    let mut daemon = manager.run(scene.config.path());
    manager.wait_for(0, "READY=1", LATER);
    manager.wait_for(0, "STATUS=ready; lag", SOON);
    let fed = manager.count("WATCHDOG=1");
    eventually(WATCHDOG * 3, "sign of life", || (manager.count("WATCHDOG=1") > fed + 1).then_some(()));

    let seen = manager.heard().len();
    hang_up(daemon.pid());
    manager.wait_for(seen, "RELOADING=1", SOON);
    manager.wait_for(seen, "READY=1", SOON);

    let seen = manager.heard().len();
    daemon.sigterm();
    assert!(daemon.wait_exit(SOON).success());
    let after: Vec<String> = manager.heard().into_iter().skip(seen).collect();
    let stopping = after.iter().position(|line| line == "STOPPING=1").expect("a word of the end");
    assert!(after[stopping..].iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{after:?}");
    assert_eq!(manager.count("READY=1"), 2, "once started, once reloaded");
}

#[test]
fn kafka_being_away_neither_fails_the_start_nor_starves_the_watchdog() {
    let manager = Manager::new();
    let config = Draft::new("127.0.0.1:1", "http://127.0.0.1:1").write();
    let mut daemon = manager.run(config.path());
    manager.wait_for(0, "kafka is not reachable", SOON);
    manager.wait_for(0, "READY=1", LATER);
    let fed = manager.count("WATCHDOG=1");
    eventually(WATCHDOG * 3, "sign of life", || (manager.count("WATCHDOG=1") > fed).then_some(()));
    daemon.sigterm();
    assert!(daemon.wait_exit(SOON).success());
}

#[test]
fn a_daemon_that_hangs_is_not_fed() {
    let manager = Manager::new();
    let config = Draft::new("127.0.0.1:1", "http://127.0.0.1:1").write();
    let daemon = manager.run(config.path());
    manager.wait_for(0, "WATCHDOG=1", SOON);
    daemon.sigstop();
    let fed = manager.count("WATCHDOG=1");
    crate::support::wait::moment(WATCHDOG / 2);
    assert_eq!(manager.count("WATCHDOG=1"), fed, "nobody feeds it in its stead");
    daemon.kill9();
}

/// SIGHUP, as `systemctl reload` sends it.
pub fn hang_up(pid: u32) {
    let status = std::process::Command::new("sh").args(["-c", "kill -s HUP \"$0\"", &pid.to_string()]).status();
    assert!(status.expect("a shell").success());
}
