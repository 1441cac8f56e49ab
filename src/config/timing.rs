//! Timing words of sources and routes: what a route doesn't say, its source does; what neither says, the format does.

use std::time::Duration;

use super::raw::Section;
use super::value::FormatWord;
use crate::event::Timing;
use crate::lane::policy::Flap;

/// Timing for all but critical news, and for critical news.
#[derive(Clone, Copy)]
pub(super) struct Timings {
    pub usual: Timing,
    pub critical: Timing,
}

/// Silence after which a firing conversation says so. A day, because senders repeat what still fires every 4 to 12 hours:
/// a quiet day is unusual for all of them.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// When an alert flaps, where the file says nothing.
pub(super) const FLAP: Flap = Flap { changes: 5, window: Duration::from_secs(600) };

impl Timings {
    /// What holds where the file says nothing.
    pub const fn of(format: FormatWord) -> Self {
        match format {
            // Grouped and paced by the sender already.
            FormatWord::Alertmanager | FormatWord::Grafana => Self::waiting([0, 0], [0, 0]),
            FormatWord::CloudEvents | FormatWord::HubSpot | FormatWord::Debezium | FormatWord::Json => {
                Self::waiting([5, 5 * 60], [0, 60])
            }
        }
    }

    /// Reads the keys of a source or a route, and those of its `critical` table.
    pub fn read(section: &Section<'_>, parent: &Self) -> Self {
        let usual = timing(section, &parent.usual);
        let critical = timing(&section.section("critical"), &inherited(parent, &usual));
        Self { usual, critical }
    }

    const fn waiting(usual: [u64; 2], critical: [u64; 2]) -> Self {
        Self { usual: spaced(usual), critical: spaced(critical) }
    }
}

const fn spaced([group_wait, group_interval]: [u64; 2]) -> Timing {
    Timing {
        group_wait: Duration::from_secs(group_wait),
        group_interval: Duration::from_secs(group_interval),
        repeat_interval: Duration::from_secs(4 * 3600),
        stale_after: STALE_AFTER,
        episode_gap: Duration::from_secs(30 * 60),
    }
}

/// What critical news falls back to: never slower than the usual, and what was said here for all counts for it too.
fn inherited(parent: &Timings, usual: &Timing) -> Timing {
    let said = |here: Duration, above: Duration, critical: Duration| if here == above { critical } else { here };
    let (above, critical) = (&parent.usual, &parent.critical);
    Timing {
        group_wait: critical.group_wait.min(usual.group_wait),
        group_interval: critical.group_interval.min(usual.group_interval),
        repeat_interval: said(usual.repeat_interval, above.repeat_interval, critical.repeat_interval),
        stale_after: said(usual.stale_after, above.stale_after, critical.stale_after),
        episode_gap: said(usual.episode_gap, above.episode_gap, critical.episode_gap),
    }
}

/// `flap = { changes = 5, window = "10m" }`; what isn't said is as above.
pub(super) fn flap(section: &Section<'_>, default: Flap) -> Flap {
    let section = section.section("flap");
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
    Flap {
        changes: section.between("changes", default.changes, 1..=100),
        window: section.between("window", default.window, minute..=day),
    }
}

fn timing(section: &Section<'_>, default: &Timing) -> Timing {
    let (zero, second, minute) = (Duration::ZERO, Duration::from_secs(1), Duration::from_secs(60));
    let (hour, day) = (minute * 60, minute * 60 * 24);
    Timing {
        group_wait: section.between("group_wait", default.group_wait, zero..=hour),
        group_interval: section.between("group_interval", default.group_interval, zero..=day),
        repeat_interval: section.between("repeat_interval", default.repeat_interval, minute..=day * 30),
        stale_after: section.between("stale_after", default.stale_after, minute..=day * 30),
        episode_gap: section.between("episode_gap", default.episode_gap, second..=day * 30),
    }
}
