//! How long news waits, and what excuses a wait.
//!
//! Nothing may stay untold longer than its class's horizon while Missive answers. The clock of a wait starts anew whenever
//! something stands in the way: an outage and the backoff after it, a `Retry-After`, a halt, no budget, a slow or failed
//! commit, a change of owner. What waits then is compared with its own horizon in scenarios with one urgency, and elsewhere with
//! the longest, because a digest tells how long it has waited and how urgent it is, but not which of its news is which.

use missived::lane::Blocked;
use missived::missive::Answer;

use super::super::fate::{Fate, millis};
use super::super::owner::Owner;
use super::super::scenario::{MINUTE, SECOND};
use super::World;

impl World {
    pub(super) fn excuse(&mut self) {
        self.excuse_until(self.now);
    }

    pub(super) fn excuse_until(&mut self, until: u64) {
        self.excused_until = self.excused_until.max(until);
    }

    /// What has failed is tried again after a pause, and its conversation waits with it.
    pub(super) fn excuse_for(&mut self, fate: &Fate) {
        let policy = &self.scenario.policy;
        let pause = match &fate.answer {
            Answer::Status(status) if status.code < 300 && fate.ends <= 2 * SECOND => return,
            Answer::Status(status) if status.code < 300 => 0,
            Answer::Status(status) if status.code == 429 => {
                millis(status.retry_after.unwrap_or_default().min(policy.limits.retry_after_max)).max(MINUTE)
            }
            Answer::Status(_) | Answer::NotSent(_) | Answer::Lost(_) => millis(policy.retry.longest).max(35 * SECOND),
        };
        self.excuse_until(self.now + fate.ends + pause);
    }

    /// Looks at what is untold, about once a second; whatever stands in the way is noted at once.
    pub(super) fn sample(&mut self) -> Result<(), String> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let stuck = self.is_stuck(owner);
        if stuck || std::mem::replace(&mut self.was_stuck, stuck) {
            self.was_stuck = stuck;
            self.excuse();
            return Ok(());
        }
        if self.now < self.sampled_at + SECOND {
            return Ok(());
        }
        self.sampled_at = self.now;
        for (urgency, since) in owner.lane().untold(0).oldest {
            let since = since.as_millis().saturating_add_signed(-owner.skew);
            let waited = self.now.saturating_sub(since.max(self.excused_until));
            // Where urgencies mix, what waits and what is urgent may be different things: none waits longer than the longest.
            let horizon = match self.scenario.urgency {
                Some(_) => {
                    let longest = self.report.untold_max.entry(urgency).or_default();
                    *longest = waited.max(*longest);
                    self.scenario.policy.horizons.of(urgency)
                }
                None => self.scenario.policy.horizons.low,
            };
            if waited > millis(horizon) + 2 * SECOND {
                return Err(format!("{urgency:?} news untold for {waited} ms"));
            }
        }
        Ok(())
    }

    /// Does something keep the lane from telling what it wants to tell?
    fn is_stuck(&self, owner: &Owner) -> bool {
        let (lane, limits) = (owner.lane(), &self.scenario.policy.limits);
        let budget = lane.budget(owner.now(self.now));
        // What has failed keeps its own frozen message, which no roll-up can tell: it needs the common share.
        let share = if self.scenario.calm { 0 } else { usize::from(limits.critical_share_percent) };
        let spent = |left: usize, limit: usize| left <= (limit * share).div_ceil(100);
        let no_budget = spent(budget.minute, limits.per_minute) || spent(budget.quarter_hour, limits.per_quarter_hour);
        let no_way = lane.blocked() != Blocked::No || lane.halted_channels().next().is_some() || owner.draining;
        no_budget || no_way || budget.permits == 0
    }
}
