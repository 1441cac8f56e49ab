//! `[intake]`, `[hook]`, `[admin]` and `[run]`: how much the process takes in, where it listens, and how it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::raw::Section;
use super::value::{Size, Value as _};
use super::{Admin, Hook, Intake};
use crate::hook::Door;

pub(super) fn intake(section: &Section<'_>) -> Intake {
    let millisecond = Duration::from_millis(1);
    let second = Duration::from_secs(1);
    Intake {
        threads: section.between("threads", 1, 1..=64),
        frame_bytes_max: section.between("frame_bytes_max", Size::kib(256), Size::kib(16)..=Size::mib(16)).0,
        frame_interval: section.between("frame_interval", millisecond * 5, millisecond..=second),
        dedupe_horizon: section.between("dedupe_horizon", second * 10, second..=second * 600),
        dedupe_keys_max: section.between("dedupe_keys_max", 200_000, 1_000..=10_000_000),
    }
}

/// Read even when no channel has a door, so that its faults are told; then there is no public listener.
pub(super) fn hook(section: &Section<'_>, doors: Vec<Door>) -> Option<Hook> {
    let second = Duration::from_secs(1);
    let hook = Hook {
        listen: section.or("listen", loopback(8080)),
        body_bytes_max: section.between("body_bytes_max", Size::mib(1), Size::kib(16)..=Size::mib(16)).0,
        body_timeout: section.between("body_timeout", second * 10, second..=second * 60),
        // Missive gives up after 15 s.
        kafka_timeout: section.between("kafka_timeout", second * 10, second..=second * 14),
        connections_max: section.between("connections_max", 1024, 1..=65_536),
        doors,
    };
    let plain = section.or("insecure_plain_http", false);
    if !hook.listen.ip().is_loopback() && !plain {
        let wanted = "a loopback address behind a proxy that ends TLS, or insecure_plain_http = true";
        section.unfit("listen", hook.listen.show(), wanted);
    }
    if hook.doors.is_empty() && section.is_given() {
        section.reading().warn(section.path().clone(), "no channel has a hook, so nothing listens here");
    }
    (!hook.doors.is_empty()).then_some(hook)
}

pub(super) fn admin(section: &Section<'_>) -> Admin {
    Admin { listen: section.or("listen", loopback(9464)) }
}

pub(super) fn drain_deadline(run: &Section<'_>) -> Duration {
    run.between("drain_deadline", Duration::from_secs(15), Duration::from_secs(1)..=Duration::from_secs(600))
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
