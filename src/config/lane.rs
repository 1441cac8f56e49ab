//! `[lane]`: what a lane may keep, and how long news may stay untold.

use std::time::Duration;

use super::raw::Section;
use super::value::Size;
use crate::lane::policy::{Bounds, Horizons};

pub(super) fn bounds(section: &Section<'_>) -> Bounds {
    Bounds {
        dedupe_keys_max: section.between("dedupe_keys_max", 1_000_000, 1_000..=100_000_000),
        conversations_max: section.between("conversations_max", 100_000, 10..=10_000_000),
        alerts_per_conversation_max: section.between("alerts_per_conversation_max", 1_000, 1..=100_000),
        digest_lines_max: section.between("digest_lines_max", 10, 1..=100),
        line_bytes_max: section.between("line_bytes_max", 500, 80..=4_000),
        thread_bytes_max: section.between("thread_bytes_max", Size::kib(256), Size::kib(8)..=Size::mib(4)).0,
        files_bytes_max: section.between("files_bytes_max", Size::kib(128), Size(0)..=Size::mib(2)).0,
    }
}

pub(super) fn horizons(lane: &Section<'_>) -> Horizons {
    let section = lane.section("horizons");
    let range = || Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    Horizons {
        critical: section.between("critical", Duration::from_secs(30), range()),
        normal: section.between("normal", Duration::from_secs(5 * 60), range()),
        low: section.between("low", Duration::from_secs(15 * 60), range()),
    }
}
