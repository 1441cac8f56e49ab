//! The one place that reads clocks.
//!
//! [`now`] is the wall clock as it was when the process began, carried on by the monotonic one. So it never runs backwards, and
//! whoever sets the system's clock neither makes a lane forget what Missive has counted nor cuts a delivery's time short. A
//! wall clock that has gone ahead all the same, because the machine slept, is caught up with where nobody acts on a time:
//! [`catch_up`]. One that was set back is followed at the next start.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::event::Timestamp;

static CLOCK: LazyLock<Carried> = LazyLock::new(|| Carried::new(monotonic(), wall()));

/// A wall clock carried on by the monotonic one.
struct Carried {
    begun: Instant,
    begun_at_ms: AtomicU64,
}

impl Carried {
    fn new(begun: Instant, wall: Timestamp) -> Self {
        Self { begun, begun_at_ms: AtomicU64::new(wall.as_millis()) }
    }

    fn at(&self, monotonic: Instant) -> Timestamp {
        Timestamp::from_millis(self.begun_at_ms.load(Ordering::Acquire)) + self.passed(monotonic)
    }

    /// Forwards only.
    fn catch_up(&self, monotonic: Instant, wall: Timestamp) {
        let passed = u64::try_from(self.passed(monotonic).as_millis()).unwrap_or(u64::MAX);
        self.begun_at_ms.fetch_max(wall.as_millis().saturating_sub(passed), Ordering::AcqRel);
    }

    fn passed(&self, monotonic: Instant) -> Duration {
        monotonic.saturating_duration_since(self.begun)
    }
}

/// What time it is, in milliseconds of the wall clock.
pub fn now() -> Timestamp {
    CLOCK.at(monotonic())
}

/// Follows a wall clock that is ahead. For when no lane is driven: one that is would take all that it waits for as late.
pub fn catch_up() {
    CLOCK.catch_up(monotonic(), wall());
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// The monotonic clock, for deadlines inside this process.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A moment after which something has taken too long.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(span: Duration) -> Self {
        Self(monotonic() + span)
    }

    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(monotonic())
    }

    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_never_runs_backwards_and_one_that_is_ahead_is_caught_up_with_when_told() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (begun, wall) = (monotonic(), Timestamp::from_millis(1_790_000_000_000));
        let clock = Carried::new(begun, wall);
        let later = begun + HOUR;
        assert_eq!(clock.at(later), wall + HOUR, "it goes on by itself");
        clock.catch_up(later, wall);
        assert_eq!(clock.at(later), wall + HOUR, "the system's clock was set back by an hour");
        clock.catch_up(later, wall + 3 * HOUR);
        assert_eq!(clock.at(later), wall + 3 * HOUR, "the machine slept for two");
        assert_eq!(clock.at(later + HOUR), wall + 4 * HOUR);
    }
}
