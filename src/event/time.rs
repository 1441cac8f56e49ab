//! Wall-clock time as the pure core sees it.
//!
//! A [`Timestamp`] is milliseconds since the Unix epoch. It is always an argument, never read here. Arithmetic saturates:
//! a hostile record may carry any number, and none of them may panic or wrap.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The epoch itself: earlier than anything that ever happened to a record.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From what Kafka or a payload calls milliseconds; anything before the epoch is the epoch.
    pub fn from_signed_millis(millis: i64) -> Self {
        Self(u64::try_from(millis).unwrap_or(0))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, as Missive writes times.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339, or Unix time: up to 11 digits are seconds, 14 milliseconds, more microseconds; fractions are left out.
    pub fn parse_loose(text: &str) -> Option<Self> {
        let text = text.trim();
        let whole = match text.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => whole,
            Some(_) | None => text,
        };
        match whole.parse::<u64>() {
            Ok(0) => None,
            Ok(number) if number < 100_000_000_000 => Some(Self(number.saturating_mul(1000))),
            Ok(number) if number < 100_000_000_000_000 => Some(Self(number)),
            Ok(number) => Some(Self(number / 1000)),
            Err(_) => Self::parse_rfc3339(text),
        }
    }

    /// An RFC 3339 time (`2026-11-22T03:12:00Z`, any offset) as a timestamp; `None` if it is not one, or if it is the
    /// zero time that Go programs write for "unset".
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        let millis = u64::try_from(instant.as_millisecond()).ok()?;
        (millis > 0).then_some(Self(millis))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_times_with_any_offset_name_the_same_instant() {
        let utc = Timestamp::parse_rfc3339("2026-11-22T03:12:00Z");
        assert_eq!(utc, Timestamp::parse_rfc3339("2026-11-22T04:12:00+01:00"));
        assert_eq!(utc.map(Timestamp::as_secs), Some(1_795_317_120));
    }

    #[test]
    fn unix_times_are_understood_by_their_length() {
        for text in ["1795317120", "1795317120000", "1795317120000000", "2026-11-22T03:12:00Z", " 1795317120.5 "] {
            assert_eq!(Timestamp::parse_loose(text).map(Timestamp::as_secs), Some(1_795_317_120), "{text}");
        }
        for text in ["soon", "0", "-5", "18446744073709551616"] {
            assert_eq!(Timestamp::parse_loose(text), None, "{text}");
        }
    }

    #[test]
    fn gos_zero_time_and_nonsense_are_no_time() {
        for text in ["0001-01-01T00:00:00Z", "", "yesterday", "2026-13-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::EPOCH - Duration::from_secs(1), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_millis(u64::MAX) + Duration::from_secs(1), Timestamp::from_millis(u64::MAX));
        assert_eq!(Timestamp::from_signed_millis(-5), Timestamp::EPOCH);
    }
}
