//! What simulations have seen, for the summary: nothing that is meant to happen may silently stop happening.

use std::collections::BTreeMap;

use missived::event::Urgency;

use super::scenario::{HOUR, Workload};

/// Sums over simulations; see [`Report::summary`].
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub workloads: BTreeMap<Workload, u64>,
    pub steps: u64,
    pub millis: u64,
    pub requests: u64,
    pub observations: u64,
    pub roll_ups: u64,
    pub doubts: u64,
    pub look_ups: u64,
    /// Messages in doubt that were found.
    pub found: u64,
    /// Answers that told what others had left.
    pub told_what_is_left: u64,
    pub crashes: u64,
    pub aborts: u64,
    /// Requests that were written by an owner that was none any more.
    pub zombies: u64,
    pub rate_limited: u64,
    pub halts: u64,
    pub refusals: u64,
    pub snapshots: u64,
    /// Alerts that went, or came back, without a word.
    pub gone: u64,
    /// Alerts that flapped to the end.
    pub flapping: u64,
    pub jumps: u64,
    /// Messages whose words were held against the naive model.
    pub judged: u64,
    /// The longest that something was untold while nothing stood in the way, by urgency.
    pub untold_max: BTreeMap<Urgency, u64>,
    pub drained_after: u64,
}

impl Report {
    pub fn of(workload: Workload) -> Self {
        Self { workloads: BTreeMap::from([(workload, 1)]), ..Self::default() }
    }

    /// Adds another simulation's.
    pub fn add(&mut self, other: &Self) {
        for (workload, seeds) in &other.workloads {
            *self.workloads.entry(*workload).or_default() += seeds;
        }
        for (urgency, waited) in &other.untold_max {
            let longest = self.untold_max.entry(*urgency).or_default();
            *longest = (*longest).max(*waited);
        }
        let mut theirs = other.clone();
        for ((_, sum), (_, more)) in self.counts().into_iter().zip(theirs.counts()) {
            *sum += *more;
        }
        self.drained_after = self.drained_after.max(other.drained_after);
    }

    /// What is meant to happen in every long run, and did not.
    pub fn missing(&self) -> Vec<&'static str> {
        let workloads = Workload::ALL.into_iter().filter(|workload| !self.workloads.contains_key(workload));
        let mut ours = self.clone();
        let silent: Vec<_> = ours.counts().into_iter().filter(|(_, sum)| **sum == 0).map(|(name, _)| name).collect();
        workloads.map(Workload::as_str).chain(silent).collect()
    }

    pub fn summary(&self, seeds: u64, violations: usize) -> String {
        let days = self.millis / (24 * HOUR);
        let mut ours = self.clone();
        let sums: Vec<_> = ours.counts().into_iter().skip(2).map(|(name, sum)| format!("{sum} {name}")).collect();
        let workloads: Vec<_> =
            self.workloads.iter().map(|(workload, seeds)| format!("{} {seeds}", workload.as_str())).collect();
        let waits: Vec<_> =
            self.untold_max.iter().map(|(urgency, ms)| format!("{} {} s", urgency.as_str(), ms / 1000)).collect();
        format!(
            "simulation: {seeds} seeds, {} steps, {days} virtual days, violations {violations}\n  seeds by workload: {}\n  {}\n  longest untold: {}; drained within {} s",
            self.steps,
            workloads.join(", "),
            sums.join(", "),
            waits.join(", "),
            self.drained_after / 1000,
        )
    }

    fn counts(&mut self) -> [(&'static str, &mut u64); 20] {
        [
            ("steps", &mut self.steps),
            ("milliseconds", &mut self.millis),
            ("observations", &mut self.observations),
            ("requests", &mut self.requests),
            ("messages judged", &mut self.judged),
            ("roll-ups", &mut self.roll_ups),
            ("doubts", &mut self.doubts),
            ("look-ups", &mut self.look_ups),
            ("found", &mut self.found),
            ("budgets told", &mut self.told_what_is_left),
            ("crashes", &mut self.crashes),
            ("aborted transactions", &mut self.aborts),
            ("requests of zombies", &mut self.zombies),
            ("429s", &mut self.rate_limited),
            ("halts", &mut self.halts),
            ("refusals", &mut self.refusals),
            ("group snapshots", &mut self.snapshots),
            ("alerts gone or back", &mut self.gone),
            ("flapping alerts", &mut self.flapping),
            ("clock jumps", &mut self.jumps),
        ]
    }
}
