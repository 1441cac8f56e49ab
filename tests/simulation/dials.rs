//! The dials: every number that decides what a simulation is like, and how a failure is made small.
//!
//! A seed turns all of them ([`Dials::of`]). Each is simplest at 0: nothing happens, nothing fails, all is roomy. So a
//! simulation that fails is shrunk by turning dials back one after another while it goes on failing; [`Failing`] tells proptest
//! how. Chance that remains (when, which, how long) comes from the seed, for every purpose and every happening apart, so that
//! turning one dial leaves the rest of the story as it was.

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::random::Random;
use super::scenario::Workload;

macro_rules! dials {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the module documentation. Numbers are counts, milliseconds (`_ms`), seconds (`_s`), or per mille (`_pm`).
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Dials {
            pub seed: u64,
            pub workload: Workload,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Dials {
            fn all(&mut self) -> Vec<(&'static str, &mut u64)> {
                vec![$((stringify!($name), &mut self.$name),)*]
            }
        }
    };
}

dials! {
    // ── what happens at the sources ──
    steady,
    storm_groups,
    flaps,
    records,
    conversations,
    huge,
    words,
    /// Group snapshots, of groups whose members are silenced now and then.
    snapshots,
    /// How often the wall clock is set.
    jumps,
    lessons,
    span_s,
    disorder_ms,
    repeats_pm,
    old_pm,
    // ── the intake ──
    intake_crashes_pm,
    more_partitions,
    // ── the owners ──
    /// At most so many crashes …
    crashes,
    /// … at a step, or
    crash_steps_pm,
    /// during a commit, which may have taken effect.
    crash_commits_pm,
    /// Owners that don't know that they have lost the lane, and go on sending.
    zombies_pm,
    aborts_pm,
    slow_commits_pm,
    hand_overs_pm,
    late_writes_pm,
    skew_ms,
    // ── Missive ──
    latency_ms,
    rate_limited_pm,
    server_error_pm,
    timeout_pm,
    broken_pm,
    no_connection_pm,
    refused_pm,
    not_found_pm,
    /// Others use the same budget, and Missive tells what they have left.
    others_pm,
    /// A while in which every request ends alike.
    spell_s,
    spell_begins_s,
    spell_kind,
    other_spell_s,
    other_spell_begins_s,
    other_spell_kind,
    // ── the policy ──
    /// 0: windows and gaps are longer than the simulation, bounds out of reach, and every verdict is known beforehand.
    loose,
    /// 0: all news is normal; 1: critical; 2: low; 3: all of these.
    urgency,
    limits,
    retry,
    openings,
    timings,
    body_cap,
    hold,
    /// Changes after which an alert flaps; 0: never. In a strict policy it goes on for longer than the simulation.
    flap_changes,
    /// Small bounds, of a loose policy only; 0: out of reach.
    keys_max,
    conversations_max,
    alerts_max,
    lines_max,
    thread_bytes_max,
}

impl Dials {
    /// What a seed makes of them.
    pub fn of(seed: u64) -> Self {
        let random = &mut Random::apart(seed, 1);
        let count = Workload::ALL.len() as u64;
        let workload = Workload::ALL[usize::try_from(seed % count).expect("few")];
        let mut dials = Self { seed, workload, ..Self::default() };
        dials.turn_policy(random);
        dials.turn_sources(random);
        if random.chance(750) {
            dials.turn_missive(random);
            dials.turn_owners(random);
        }
        dials
    }

    /// As in `name=number name=number …`, what is different from what the seed says.
    pub fn differences(&self) -> String {
        let (mut ours, mut theirs) = (self.clone(), Self::of(self.seed));
        let pairs = ours.all().into_iter().zip(theirs.all());
        let told = pairs.filter(|((_, our), (_, their))| our != their).map(|((name, our), _)| format!("{name}={our}"));
        told.collect::<Vec<_>>().join(" ")
    }

    /// Turns what [`Dials::differences`] told; names that don't exist are a fault of whoever typed them.
    pub fn turn(&mut self, differences: &str) {
        for difference in differences.split_whitespace() {
            let (name, number) = difference.split_once('=').expect("name=number");
            let mut all = self.all();
            let dial = all.iter_mut().find(|(known, _)| *known == name).expect("a dial's name");
            *dial.1 = number.parse().expect("a number");
        }
    }

    /// Does nothing ever fail?
    pub const fn is_calm(&self) -> bool {
        let missive = self.rate_limited_pm + self.server_error_pm + self.timeout_pm + self.broken_pm;
        let way = self.no_connection_pm
            + self.refused_pm
            + self.not_found_pm
            + self.others_pm
            + self.spell_s
            + self.other_spell_s;
        let owners = self.crashes + self.aborts_pm + self.slow_commits_pm + self.hand_overs_pm + self.late_writes_pm;
        missive + way + owners + self.jumps == 0
    }

    /// All trouble is over.
    pub const fn become_healthy(&mut self) {
        self.intake_crashes_pm = 0;
        self.crashes = 0;
        self.aborts_pm = 0;
        self.slow_commits_pm = 0;
        self.hand_overs_pm = 0;
        self.late_writes_pm = 0;
    }

    fn turn_sources(&mut self, random: &mut Random) {
        let seldom =
            |random: &mut Random, likely, from, to| if random.chance(likely) { random.spread(from, to) } else { 0 };
        match self.workload {
            Workload::Steady => self.steady = random.spread(20, 250),
            Workload::Storm => self.storm_groups = random.spread(30, 400),
            Workload::Flapping => self.flaps = random.spread(10, 250),
            Workload::ManyConversations => self.conversations = random.spread(50, 500),
            Workload::HugeConversation => self.huge = random.spread(50, 500),
            Workload::ThreadsInAStorm => {
                self.storm_groups = random.spread(20, 250);
                self.words = random.spread(10, 150);
            }
            Workload::SilencedAlerts => self.snapshots = random.spread(10, 80),
            Workload::ClockJumps => {
                self.jumps = random.between(1, 5);
                self.words = random.spread(4, 40);
                self.conversations = random.spread(4, 60);
                self.snapshots = seldom(random, 300, 4, 20);
            }
            Workload::Mixed => {
                self.storm_groups = seldom(random, 350, 10, 300);
                self.flaps = seldom(random, 350, 4, 100);
                self.records = seldom(random, 500, 4, 150);
                self.huge = seldom(random, 250, 10, 300);
                self.words = seldom(random, 500, 4, 120);
                self.snapshots = seldom(random, 300, 4, 30);
            }
        }
        if self.workload != Workload::Steady {
            self.steady = seldom(random, 500, 4, 80);
        }
        self.span_s = if self.loose == 0 { random.spread(60, 2_400) } else { random.spread(300, 21_600) };
        self.lessons = seldom(random, 300, 1, 12);
        self.repeats_pm = seldom(random, 600, 20, 500);
        self.disorder_ms = seldom(random, 400, 100, 30_000);
        self.old_pm = if self.loose == 0 { 0 } else { seldom(random, 300, 10, 300) };
        self.intake_crashes_pm = seldom(random, 500, 10, 300);
        self.more_partitions = random.between(0, 3);
    }

    fn turn_missive(&mut self, random: &mut Random) {
        self.latency_ms = random.spread(50, 9_000);
        let mut some = |likely: u64, to: u64| if random.chance(likely) { random.spread(1, to) } else { 0 };
        self.rate_limited_pm = some(300, 100);
        self.server_error_pm = some(300, 150);
        self.timeout_pm = some(300, 150);
        self.broken_pm = some(300, 150);
        self.no_connection_pm = some(300, 150);
        self.refused_pm = some(200, 30);
        self.not_found_pm = some(200, 30);
        for (length, begins, kind) in [
            (&mut self.spell_s, &mut self.spell_begins_s, &mut self.spell_kind),
            (&mut self.other_spell_s, &mut self.other_spell_begins_s, &mut self.other_spell_kind),
        ] {
            if random.chance(500) {
                let longest = if random.chance(50) { 14_400 } else { 1_200 };
                *length = random.spread(5, longest);
                *begins = random.between(0, self.span_s);
                *kind = random.between(0, 6);
            }
        }
        self.others_pm = if random.chance(250) { random.spread(10, 600) } else { 0 };
    }

    fn turn_owners(&mut self, random: &mut Random) {
        let mut some = |likely: u64, to: u64| if random.chance(likely) { random.spread(1, to) } else { 0 };
        self.crash_steps_pm = some(400, 15);
        self.crash_commits_pm = some(400, 60);
        self.aborts_pm = some(300, 200);
        self.slow_commits_pm = some(300, 100);
        self.hand_overs_pm = some(300, 10);
        self.late_writes_pm = some(300, 200);
        self.crashes = if self.crash_steps_pm + self.crash_commits_pm == 0 { 0 } else { random.spread(1, 60) };
        self.zombies_pm = random.pick(&[0, 300, 700, 1_000]);
        self.skew_ms = random.pick(&[0, 100, 500]);
    }

    fn turn_policy(&mut self, random: &mut Random) {
        self.loose = u64::from(random.chance(300));
        self.urgency = if random.chance(400) { random.between(0, 2) } else { 3 };
        self.limits = random.between(0, 4);
        self.retry = random.between(0, 2);
        self.openings = random.between(0, 8);
        self.timings = random.between(0, 80);
        self.body_cap = random.between(0, 2);
        self.hold = u64::from(random.chance(60));
        let likely = if self.workload == Workload::Flapping { 800 } else { 300 };
        self.flap_changes = if random.chance(likely) { random.between(1, 8) } else { 0 };
        let mut small = |to: u64| if random.chance(400) { random.spread(1, to) } else { 0 };
        self.keys_max = small(200);
        self.conversations_max = small(50);
        self.alerts_max = small(20);
        self.lines_max = small(8);
        self.thread_bytes_max = small(2_000);
    }
}

/// The simulation of one seed, to be made smaller.
#[derive(Clone, Copy, Debug)]
pub struct Failing(pub u64);

/// Turns back dial after dial: first to 0, then halfway, as far as the simulation goes on failing.
#[derive(Debug)]
pub struct Smaller {
    dials: Dials,
    /// Which dial is being turned.
    at: usize,
    /// Below this, that dial is known not to fail.
    from: u64,
    /// The least that is known to fail.
    fails: u64,
}

impl Strategy for Failing {
    type Tree = Smaller;
    type Value = Dials;

    fn new_tree(&self, _: &mut TestRunner) -> NewTree<Self> {
        Ok(Smaller { dials: Dials::of(self.0), at: 0, from: 0, fails: 0 }.begin(0))
    }
}

impl Smaller {
    fn begin(mut self, at: usize) -> Self {
        self.move_to(at);
        self
    }

    fn move_to(&mut self, at: usize) {
        self.at = at;
        self.from = 0;
        self.fails = self.dials.all().get(at).map_or(0, |(_, number)| **number);
    }

    fn set(&mut self, number: u64) {
        if let Some((_, dial)) = self.dials.all().into_iter().nth(self.at) {
            *dial = number;
        }
    }

    /// Tries the next smaller number; false: there is none.
    fn next(&mut self) -> bool {
        while self.from == self.fails {
            self.set(self.fails);
            if self.at >= self.dials.all().len() {
                return false;
            }
            self.move_to(self.at + 1);
        }
        let try_next = if self.from == 0 { 0 } else { self.from + (self.fails - self.from) / 2 };
        self.set(try_next);
        true
    }

    fn tried(&mut self) -> u64 {
        self.dials.all().into_iter().nth(self.at).map_or(0, |(_, number)| *number)
    }
}

impl ValueTree for Smaller {
    type Value = Dials;

    fn current(&self) -> Dials {
        self.dials.clone()
    }

    fn simplify(&mut self) -> bool {
        // Nothing has been tried of this dial yet, or what was tried failed, too.
        self.fails = self.tried();
        self.next()
    }

    fn complicate(&mut self) -> bool {
        self.from = self.tried() + 1;
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::{Config, TestCaseError, TestError};

    use super::*;

    #[test]
    fn a_failure_is_shrunk_to_the_dials_that_it_needs_and_no_further_than_it_fails() {
        let fails = |dials: &Dials| dials.words >= 3 && dials.storm_groups >= 2 && dials.more_partitions > 0;
        let seed = (0..).find(|seed| fails(&Dials::of(*seed))).expect("storms with threads are common");
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let tree = Failing(seed).new_tree(&mut runner).expect("a tree");
        let outcome =
            runner.run_one(tree, |dials| if fails(&dials) { Err(TestCaseError::fail("as it should")) } else { Ok(()) });
        let workload = Dials::of(seed).workload;
        let least = Dials { seed, workload, words: 3, storm_groups: 2, more_partitions: 1, ..Dials::default() };
        assert!(matches!(outcome, Err(TestError::Fail(_, ref dials)) if *dials == least), "{outcome:?}");
    }

    #[test]
    fn differences_told_are_differences_made() {
        let shrunk = Dials { flaps: 7, crashes: 0, ..Dials::of(8) };
        let mut again = Dials::of(8);
        again.turn(&shrunk.differences());
        assert_eq!(again, shrunk);
    }
}
