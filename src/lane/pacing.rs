//! When the next request may go: Missive's limits, exactly as Missive may count them.
//!
//! A request occupies both windows from the moment it is sent until its answer (or its timeout) plus the window, because only
//! then is it certain when Missive counted it. So each window holds: what is in progress now, and what ended within its
//! length plus the skew margin. One joint decision over both windows and the permits; what it says is a [`Turn`].
//! The history survives a restart ([`Pacing::history`]); it holds at most `per_quarter_hour` entries. Where Missive says that
//! less is left than we think, others share the budget, and it is believed ([`Pacing::heed`]).

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::Limits;
use crate::event::Timestamp;
use crate::missive::answer::RateLimit;

const MINUTE: Duration = Duration::from_secs(60);
const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);

/// May a request go?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Now,
    /// Not before this instant.
    NotBefore(Timestamp),
    /// When a request in progress has been answered.
    AfterAnswer,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Critical news, threads, roll-ups: may spend all of both windows.
    Reserved,
    /// Everything else leaves the critical share alone.
    Common,
}

/// What is left, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub minute: usize,
    pub quarter_hour: usize,
    pub permits: usize,
}

/// What Missive has said of one of its windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// Requests that it holds: all it has counted, whoever sent them, and what we have sent since.
    used: usize,
    /// When it counts anew.
    until: Timestamp,
}

impl Told {
    fn held(self, now: Timestamp) -> usize {
        if now < self.until { self.used } else { 0 }
    }
}

/// What a successor has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When requests ended, oldest first.
    ended: Vec<Timestamp>,
    minute_told: Told,
    quarter_hour_told: Told,
}

/// The send history of one lane.
#[derive(Clone, Debug)]
pub struct Pacing {
    limits: Limits,
    in_progress: usize,
    minute_told: Told,
    quarter_hour_told: Told,
    /// When requests ended, oldest first.
    ended: VecDeque<Timestamp>,
}

impl Pacing {
    pub fn new(limits: Limits) -> Self {
        Self::restore(limits, History::default())
    }

    /// Continues with what a predecessor did.
    pub fn restore(limits: Limits, history: History) -> Self {
        let History { mut ended, minute_told, quarter_hour_told } = history;
        ended.sort_unstable();
        Self { limits, in_progress: 0, minute_told, quarter_hour_told, ended: ended.into() }
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// May a request of `share` go at `now`?
    pub fn turn(&self, now: Timestamp, share: Share) -> Turn {
        if self.in_progress >= self.limits.concurrent {
            return Turn::AfterAnswer;
        }
        let minute = self.window(now, MINUTE, self.capacity(self.limits.per_minute, share));
        let quarter_hour = self.window(now, QUARTER_HOUR, self.capacity(self.limits.per_quarter_hour, share));
        match (minute, quarter_hour) {
            (Turn::AfterAnswer, _) | (_, Turn::AfterAnswer) => Turn::AfterAnswer,
            (Turn::NotBefore(a), Turn::NotBefore(b)) => Turn::NotBefore(a.max(b)),
            (Turn::NotBefore(at), Turn::Now) | (Turn::Now, Turn::NotBefore(at)) => Turn::NotBefore(at),
            (Turn::Now, Turn::Now) => Turn::Now,
        }
    }

    /// A request was committed to be sent.
    pub const fn begin(&mut self) {
        self.in_progress += 1;
        self.minute_told.used += 1;
        self.quarter_hour_told.used += 1;
    }

    /// It was certainly never written: Missive can't have counted it.
    pub const fn cancel(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
        self.minute_told.used = self.minute_told.used.saturating_sub(1);
        self.quarter_hour_told.used = self.quarter_hour_told.used.saturating_sub(1);
    }

    /// Takes what Missive says of a window for what it is: where more is used than we know of, others share the budget. It
    /// is believed until the window counts anew, for at most `believed_max`.
    pub fn heed(&mut self, now: Timestamp, said: RateLimit, believed_max: Duration) {
        let limit = said.limit as usize;
        let used = limit.saturating_sub(said.remaining as usize) + self.in_progress;
        let told = Told { used, until: now + said.reset.min(believed_max) };
        if limit >= self.limits.per_quarter_hour { self.quarter_hour_told = told } else { self.minute_told = told }
    }

    /// Its answer came, or its time ran out.
    pub fn end(&mut self, now: Timestamp) {
        self.in_progress = self.in_progress.saturating_sub(1);
        let newest = self.ended.back().copied().unwrap_or(now);
        self.ended.push_back(now.max(newest));
        let oldest_that_counts = now - (QUARTER_HOUR + self.limits.skew_margin);
        while self.ended.front().is_some_and(|ended| *ended < oldest_that_counts) {
            self.ended.pop_front();
        }
    }

    /// What to persist.
    pub fn history(&self) -> History {
        let Self { minute_told, quarter_hour_told, .. } = *self;
        History { ended: self.ended.iter().copied().collect(), minute_told, quarter_hour_told }
    }

    pub fn budget(&self, now: Timestamp) -> Budget {
        let left = |span, limit: usize| limit.saturating_sub(self.held(now, span));
        Budget {
            minute: left(MINUTE, self.limits.per_minute),
            quarter_hour: left(QUARTER_HOUR, self.limits.per_quarter_hour),
            permits: self.limits.concurrent.saturating_sub(self.in_progress),
        }
    }

    /// How much of the tighter window is held, in percent.
    pub fn pressure_percent(&self, now: Timestamp) -> u32 {
        let percent = |span, limit: usize| self.held(now, span) * 100 / limit.max(1);
        let worst = percent(MINUTE, self.limits.per_minute).max(percent(QUARTER_HOUR, self.limits.per_quarter_hour));
        u32::try_from(worst).unwrap_or(u32::MAX)
    }

    pub const fn in_progress(&self) -> usize {
        self.in_progress
    }

    fn capacity(&self, limit: usize, share: Share) -> usize {
        match share {
            Share::Reserved => limit,
            Share::Common => limit - limit * usize::from(self.limits.critical_share_percent) / 100,
        }
    }

    fn held(&self, now: Timestamp, span: Duration) -> usize {
        self.ours(now, span).max(self.told(span).held(now))
    }

    fn ours(&self, now: Timestamp, span: Duration) -> usize {
        self.in_progress + self.ended.len() - self.first_within(now, span)
    }

    fn told(&self, span: Duration) -> Told {
        if span == MINUTE { self.minute_told } else { self.quarter_hour_told }
    }

    fn first_within(&self, now: Timestamp, span: Duration) -> usize {
        let start = now - (span + self.limits.skew_margin);
        self.ended.partition_point(|ended| *ended <= start)
    }

    fn window(&self, now: Timestamp, span: Duration, capacity: usize) -> Turn {
        let told = self.told(span);
        if told.held(now) >= capacity {
            return Turn::NotBefore(told.until);
        }
        let ours = self.ours(now, span);
        if ours < capacity {
            return Turn::Now;
        }
        let must_leave = ours - capacity + 1;
        let within = self.ended.len() - self.first_within(now, span);
        if must_leave > within {
            return Turn::AfterAnswer;
        }
        let last_to_leave = self.ended[self.first_within(now, span) + must_leave - 1];
        Turn::NotBefore(last_to_leave + span + self.limits.skew_margin)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        concurrent: 5,
        per_minute: 300,
        per_quarter_hour: 900,
        critical_share_percent: 20,
        skew_margin: Duration::from_secs(1),
        request_timeout: Duration::from_secs(10),
        send_within: Duration::from_secs(2),
        retry_after_max: Duration::from_secs(900),
    };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + millis)
    }

    #[test]
    fn five_may_be_in_progress_and_no_more() {
        let mut pacing = Pacing::new(LIMITS);
        for _ in 0..5 {
            assert_eq!(pacing.turn(at(0), Share::Common), Turn::Now);
            pacing.begin();
        }
        assert_eq!(pacing.turn(at(0), Share::Reserved), Turn::AfterAnswer);
        pacing.end(at(10));
        assert_eq!(pacing.turn(at(10), Share::Common), Turn::Now);
    }

    #[test]
    fn the_critical_share_of_a_minute_is_left_alone_by_others() {
        let mut pacing = Pacing::new(LIMITS);
        for millis in 0..240 {
            pacing.begin();
            pacing.end(at(millis));
        }
        assert_eq!(pacing.turn(at(240), Share::Common), Turn::NotBefore(at(61_000)));
        assert_eq!(pacing.turn(at(240), Share::Reserved), Turn::Now);
    }

    #[test]
    fn a_slow_answer_counts_from_its_end() {
        let mut pacing = Pacing::new(LIMITS);
        for _ in 0..300 {
            pacing.begin();
            pacing.end(at(9_000));
        }
        assert_eq!(pacing.turn(at(60_500), Share::Reserved), Turn::NotBefore(at(70_000)));
        assert_eq!(pacing.turn(at(70_000), Share::Reserved), Turn::Now);
    }

    #[test]
    fn what_others_have_used_of_the_budget_is_held_until_their_window_counts_anew() {
        let mut pacing = Pacing::new(LIMITS);
        let said = RateLimit { limit: 300, remaining: 2, reset: Duration::from_secs(30) };
        pacing.begin();
        pacing.end(at(0));
        pacing.heed(at(0), said, Duration::from_secs(900));
        assert_eq!(pacing.budget(at(0)).minute, 2);
        for millis in 1..=2 {
            assert_eq!(pacing.turn(at(millis), Share::Reserved), Turn::Now);
            pacing.begin();
            pacing.end(at(millis));
        }
        assert_eq!(pacing.turn(at(3), Share::Reserved), Turn::NotBefore(at(30_000)));
        let successor = Pacing::restore(LIMITS, pacing.history());
        assert_eq!(successor.turn(at(3), Share::Reserved), Turn::NotBefore(at(30_000)), "a successor knows");
        assert_eq!(pacing.turn(at(30_000), Share::Reserved), Turn::Now);
        let less = RateLimit { limit: 300, remaining: 299, reset: Duration::from_secs(30) };
        pacing.heed(at(30_000), less, Duration::from_secs(900));
        assert_eq!(pacing.budget(at(30_000)).minute, 297, "we know of more than Missive tells");
    }

    #[test]
    fn what_was_never_written_is_not_counted() {
        let mut pacing = Pacing::new(LIMITS);
        for _ in 0..400 {
            pacing.begin();
            pacing.cancel();
        }
        assert_eq!(pacing.budget(at(0)), Budget { minute: 300, quarter_hour: 900, permits: 5 });
    }

    #[test]
    fn history_survives_a_change_of_owner() {
        let mut pacing = Pacing::new(LIMITS);
        for millis in 0..300 {
            pacing.begin();
            pacing.end(at(millis));
        }
        let successor = Pacing::restore(LIMITS, pacing.history());
        assert_eq!(successor.turn(at(400), Share::Reserved), pacing.turn(at(400), Share::Reserved));
        assert_eq!(successor.turn(at(400), Share::Reserved), Turn::NotBefore(at(61_000)));
    }

    proptest! {
        /// Whatever the latencies, and whenever within a request Missive counts it, no window holds more than its limit.
        #[test]
        fn no_window_is_ever_exceeded(latencies in prop::collection::vec((0u64..3_000, 0.0f64..1.0), 1_000..1_500)) {
            let mut pacing = Pacing::new(LIMITS);
            let mut now = 0;
            let mut answers = std::collections::BinaryHeap::new();
            let mut counted = Vec::new();
            for (latency, fraction) in latencies {
                loop {
                    while let Some(std::cmp::Reverse(answer)) = answers.peek().copied().filter(|std::cmp::Reverse(answer)| *answer <= now) {
                        pacing.end(at(answer));
                        answers.pop();
                    }
                    match pacing.turn(at(now), Share::Reserved) {
                        Turn::Now => break,
                        Turn::NotBefore(instant) => now = (instant.as_millis() - 1_000_000_000).max(now + 1),
                        Turn::AfterAnswer => now = answers.peek().expect("something is in progress").0,
                    }
                }
                pacing.begin();
                answers.push(std::cmp::Reverse(now + latency));
                counted.push(now + (latency as f64 * fraction) as u64);
            }
            counted.sort_unstable();
            for (span, limit) in [(60_000, 300), (900_000, 900)] {
                for pair in counted.windows(limit + 1) {
                    prop_assert!(pair[limit] - pair[0] >= span, "{} requests within {} ms", limit + 1, pair[limit] - pair[0]);
                }
            }
        }
    }
}
