//! Times as arguments: an instant, or how long ago it was.

use std::time::Duration;

use crate::event::Timestamp;

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now - span,
        }
    }

    /// As an argument says it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(at) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text)
            .map(Self::Ago)
            .map_err(|_| "wanted a time such as 2026-11-22T03:12:00Z, or how long ago, such as 30m or 2h")
    }
}

/// In UTC, as RFC 3339.
pub fn rfc3339(at: Timestamp) -> Option<String> {
    let millis = i64::try_from(at.as_millis()).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_a_while_ago_and_nothing_else() {
        let now = Timestamp::from_millis(1_795_320_720_000);
        let rows = [("2026-11-22T03:12:00Z", 1_795_317_120_000), ("1h", 1_795_317_120_000), ("0s", 1_795_320_720_000)];
        for (text, millis) in rows {
            assert_eq!(Moment::parse(text).map(|moment| moment.before(now).as_millis()), Ok(millis), "{text}");
        }
        for text in ["", "yesterday", "2026-11-22", "-1h"] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
