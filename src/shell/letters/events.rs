//! Which events of a record are meant: places from 0, written as ranges (`0,3-5`).
//!
//! A record can hold thousands of events of which a few match no route: only those are dead letters, and only those are
//! replayed. Bound: `RANGES_MAX` ranges; beyond it, all events are meant, so that none of them is lost.

use std::fmt;
use std::ops::RangeInclusive;

/// Ranges kept at most.
const RANGES_MAX: usize = 100;

/// Some of a record's events, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Events {
    All,
    /// Growing, and none touches the next.
    Some(Vec<RangeInclusive<u32>>),
}

impl Events {
    /// None yet; [`add`](Self::add) them in order.
    pub const fn none() -> Self {
        Self::Some(Vec::new())
    }

    /// One more, behind all others.
    pub fn add(&mut self, index: u32) {
        let Self::Some(ranges) = self else { return };
        match ranges.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(index) => *last = *last.start()..=index,
            Some(_) | None => ranges.push(index..=index),
        }
        if ranges.len() > RANGES_MAX {
            *self = Self::All;
        }
    }

    pub fn holds(&self, index: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(ranges) => ranges.iter().any(|range| range.contains(&index)),
        }
    }

    /// From what [`fmt::Display`] wrote; anything else is all.
    pub fn parse(text: &str) -> Self {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            (first <= last).then_some(first..=last)
        };
        let ranges = text.split(',').take(RANGES_MAX + 1).map(range).collect::<Option<Vec<_>>>();
        ranges.filter(|ranges| ranges.len() <= RANGES_MAX).map_or(Self::All, Self::Some)
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some(ranges) = self else { return f.write_str("all") };
        for (place, range) in ranges.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(indices: impl IntoIterator<Item = u32>) -> Events {
        let mut events = Events::none();
        indices.into_iter().for_each(|index| events.add(index));
        events
    }

    #[test]
    fn events_are_written_as_ranges_and_come_back() {
        let rows: [(&str, Vec<u32>, &str); 4] = [
            ("one", vec![0], "0"),
            ("neighbours are one range", vec![3, 4, 5], "3-5"),
            ("others are not", vec![0, 2, 3, 9], "0,2-3,9"),
            ("the last there can be", vec![u32::MAX - 1, u32::MAX], "4294967294-4294967295"),
        ];
        for (sentence, indices, text) in rows {
            let known = events(indices.clone());
            assert_eq!(known.to_string(), text, "{sentence}");
            assert_eq!(Events::parse(text), known, "{sentence}");
            assert!(indices.iter().all(|index| known.holds(*index)) && !known.holds(1), "{sentence}");
        }
    }

    #[test]
    fn too_many_ranges_or_nonsense_mean_all_so_that_none_is_lost() {
        assert_eq!(events((0..1_000).map(|index| index * 2)), Events::All);
        let long = vec!["1"; 200].join(",");
        for text in ["", "all", "-1", "5-3", "1,", "1,x", "99999999999", &long] {
            assert_eq!(Events::parse(text), Events::All, "{text}");
        }
    }
}
