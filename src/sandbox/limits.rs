//! Missive's rate limits, as Missive would count them: exact sliding windows over arrivals, and requests in progress.
//!
//! An arrival at `t` occupies a window of length `w` until `t + w`, not included. Only the newest `requests` arrivals of a
//! window can decide anything, so that is all a log keeps: memory is bounded by the limits themselves, also when requests
//! over the limit are let through.

use std::collections::VecDeque;

use serde::Serialize;

/// At most `requests` arrivals in any `per_ms` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimit {
    pub requests: usize,
    pub per_ms: u64,
}

/// All limits of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests in progress at one time.
    pub at_once: usize,
    pub windows: Vec<WindowLimit>,
}

impl Default for Limits {
    /// What Missive documents: 5 at once, 300 a minute, 900 in 15 minutes.
    fn default() -> Self {
        let windows =
            vec![WindowLimit { requests: 300, per_ms: 60_000 }, WindowLimit { requests: 900, per_ms: 900_000 }];
        Self { at_once: 5, windows }
    }
}

/// Whether one more request fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Free,
    Full(Full),
}

/// The limit that a request broke; with several, the one that takes longest to free up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub limit: BrokenLimit,
    pub allowed: usize,
    /// Unix milliseconds of the first moment at which a request may fit.
    pub free_at_ms: u64,
}

/// Which of the limits it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenLimit {
    AtOnce,
    PerWindow { ms: u64 },
}

/// How much of a budget is spent at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spent {
    pub in_progress: usize,
    pub at_once: usize,
    pub windows: Vec<SpentWindow>,
}

/// One window of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpentWindow {
    pub per_ms: u64,
    pub used: usize,
    pub allowed: usize,
}

/// What one token (or everybody together) has spent.
#[derive(Debug)]
pub struct Budget {
    at_once: usize,
    in_progress: usize,
    windows: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    limit: WindowLimit,
    arrivals: VecDeque<u64>,
}

/// How soon to come back when only the requests in progress are in the way: no window tells.
const AT_ONCE_WAIT_MS: u64 = 1000;

impl Budget {
    pub fn new(limits: &Limits) -> Self {
        let windows = limits.windows.iter().map(|limit| Window { limit: *limit, arrivals: VecDeque::new() });
        Self { at_once: limits.at_once, in_progress: 0, windows: windows.collect() }
    }

    /// Whether a request that arrives at `now` fits. Changes nothing.
    pub fn room(&self, now: u64) -> Room {
        let windows = self.windows.iter().filter_map(|window| window.full(now));
        let fullest = windows.chain(self.crowded(now)).max_by_key(|full| full.free_at_ms);
        fullest.map_or(Room::Free, Room::Full)
    }

    /// Writes an arrival into every window.
    pub fn count(&mut self, now: u64) {
        for window in &mut self.windows {
            window.count(now);
        }
    }

    /// One more request is being worked on.
    pub fn begin(&mut self) {
        self.in_progress += 1;
    }

    /// One request less is being worked on.
    pub fn end(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    /// How much of it is spent at `now`.
    pub fn spent(&self, now: u64) -> Spent {
        let windows = self.windows.iter().map(|window| window.spent(now)).collect();
        Spent { in_progress: self.in_progress, at_once: self.at_once, windows }
    }

    fn crowded(&self, now: u64) -> Option<Full> {
        (self.in_progress >= self.at_once).then_some(Full {
            limit: BrokenLimit::AtOnce,
            allowed: self.at_once,
            free_at_ms: now + AT_ONCE_WAIT_MS,
        })
    }
}

impl Window {
    fn full(&self, now: u64) -> Option<Full> {
        let limit = self.limit;
        let oldest_that_counts = match self.arrivals.len().checked_sub(limit.requests) {
            Some(_) if limit.requests == 0 => now,
            Some(index) => *self.arrivals.get(index)?,
            None => return None,
        };
        let free_at_ms = oldest_that_counts + limit.per_ms;
        let limit_broken = BrokenLimit::PerWindow { ms: limit.per_ms };
        (free_at_ms > now).then_some(Full { limit: limit_broken, allowed: limit.requests, free_at_ms })
    }

    fn spent(&self, now: u64) -> SpentWindow {
        let WindowLimit { requests: allowed, per_ms } = self.limit;
        let gone = self.arrivals.partition_point(|at| at + per_ms <= now);
        SpentWindow { per_ms, used: self.arrivals.len() - gone, allowed }
    }

    fn count(&mut self, now: u64) {
        self.arrivals.push_back(now);
        while self.arrivals.len() > self.limit.requests {
            self.arrivals.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn budget(at_once: usize, windows: &[(usize, u64)]) -> Budget {
        let windows = windows.iter().map(|&(requests, per_ms)| WindowLimit { requests, per_ms }).collect();
        Budget::new(&Limits { at_once, windows })
    }

    fn free_at(budget: &Budget, now: u64) -> Option<u64> {
        match budget.room(now) {
            Room::Free => None,
            Room::Full(full) => Some(full.free_at_ms),
        }
    }

    #[test]
    fn a_window_slides_with_its_arrivals() {
        // (arrivals, asked at, when it frees up if it is full), for 3 in 100 ms
        let rows: &[(&[u64], u64, Option<u64>, &str)] = &[
            (&[], 0, None, "an empty window has room"),
            (&[0, 1], 2, None, "one below the limit has room"),
            (&[0, 1, 2], 3, Some(100), "at the limit it is full until the oldest leaves"),
            (&[0, 1, 2], 99, Some(100), "still full in the last millisecond"),
            (&[0, 1, 2], 100, None, "an arrival leaves exactly one window later"),
            (&[0, 50, 60, 100], 149, Some(150), "full again after one more, until the next oldest leaves"),
            (&[0, 0, 0, 90], 100, None, "arrivals of one instant leave together"),
            (&[0, 10, 20, 30, 40], 41, Some(120), "arrivals over the limit push it further out"),
        ];
        for (arrivals, now, expected, sentence) in rows {
            let mut budget = budget(5, &[(3, 100)]);
            arrivals.iter().for_each(|at| budget.count(*at));
            assert_eq!(free_at(&budget, *now), *expected, "{sentence}");
        }
    }

    #[test]
    fn of_two_full_windows_the_longer_wait_is_told() {
        let mut budget = budget(5, &[(2, 100), (2, 1000)]);
        budget.count(0);
        budget.count(1);
        let expected = Full { limit: BrokenLimit::PerWindow { ms: 1000 }, allowed: 2, free_at_ms: 1000 };
        assert_eq!(budget.room(2), Room::Full(expected));
    }

    #[test]
    fn what_is_spent_comes_back_as_the_window_slides() {
        let mut budget = budget(5, &[(3, 100)]);
        [0, 40, 90].iter().for_each(|at| budget.count(*at));
        let used = |now: u64| budget.spent(now).windows[0].used;
        assert_eq!([used(99), used(100), used(140), used(500)], [3, 2, 1, 0]);
    }

    #[test]
    fn a_sixth_request_in_progress_is_one_too_many() {
        let mut budget = budget(5, &[]);
        (0..5).for_each(|_| budget.begin());
        let expected = Full { limit: BrokenLimit::AtOnce, allowed: 5, free_at_ms: 1010 };
        assert_eq!(budget.room(10), Room::Full(expected));
        budget.end();
        assert_eq!(budget.room(10), Room::Free);
    }

    #[test]
    fn no_window_remembers_more_than_it_allows() {
        let mut budget = budget(5, &[(3, 100)]);
        (0..1000).for_each(|at| budget.count(at));
        assert_eq!(budget.windows[0].arrivals, [997, 998, 999]);
    }

    #[test]
    fn a_limit_of_none_is_always_full() {
        assert_eq!(free_at(&budget(5, &[(0, 100)]), 7), Some(107));
    }

    proptest! {
        #[test]
        fn it_agrees_with_counting_every_arrival(steps in vec(0u64..40, 1..200), limit in 1usize..6) {
            let (mut budget, mut arrivals, mut now) = (budget(5, &[(limit, 100)]), Vec::new(), 0);
            for step in steps {
                now += step;
                let inside = arrivals.iter().filter(|at| now - **at < 100).count();
                prop_assert_eq!(budget.room(now) == Room::Free, inside < limit, "at {} with {:?}", now, arrivals);
                arrivals.push(now);
                budget.count(now);
            }
        }
    }

    #[test]
    fn the_defaults_are_what_missive_documents() {
        let mut budget = Budget::new(&Limits::default());
        (0..300).for_each(|at| budget.count(at));
        assert_eq!(free_at(&budget, 59_999), Some(60_000));
        assert_eq!(free_at(&budget, 60_000), None);
    }
}
