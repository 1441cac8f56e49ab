//! `[intake]`, `[admin]` and `[run]`: how much the process takes in, where operators look, and how it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::raw::Section;
use super::value::Size;
use super::{Admin, Intake};

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

pub(super) fn admin(section: &Section<'_>) -> Admin {
    Admin { listen: section.or("listen", loopback(9464)) }
}

pub(super) fn drain_deadline(run: &Section<'_>) -> Duration {
    run.between("drain_deadline", Duration::from_secs(15), Duration::from_secs(1)..=Duration::from_secs(600))
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
