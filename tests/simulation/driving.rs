//! The owner's life: it takes over, turns, commits, and dies, or only loses its partition and doesn't know it.

use std::sync::Arc;

use missived::lane::Delivery;

use super::super::owner::Owner;
use super::super::scenario::SECOND;
use super::{Event, World, Writer};

/// State that nobody waits for may stay uncommitted for this long.
const LINGER: u64 = 100;

/// After an aborted transaction.
const RETRY_PAUSE: u64 = 500;

/// More turns than this at one instant are a driver that spins.
const TURNS_PER_INSTANT_MAX: u32 = 2_000;

impl World {
    pub(super) fn take_over(&mut self) -> Result<(), String> {
        let most = self.scenario.dials.skew_ms;
        let skew = self.clock + i64::try_from(self.fortune.between(0, 2 * most)).expect("small")
            - i64::try_from(most).expect("small");
        let policy = Arc::clone(&self.scenario.policy);
        let owner = Owner::take_over(
            self.now,
            skew,
            &policy,
            &self.hash,
            (self.scenario.strict, self.scenario.dials.lessons > 0),
            &self.channels,
            &self.kafka,
        )?;
        self.owner = Some(owner);
        self.busy_until = 0;
        self.committing = false;
        self.dirty_since = None;
        self.retry_at = 0;
        self.next_turn = None;
        self.excuse();
        self.turn_at(self.now);
        Ok(())
    }

    pub(super) fn turn_at(&mut self, at: u64) {
        let at = at.max(self.busy_until).max(self.now);
        if self.owner.is_none()
            || self.committing
            || self.next_turn.is_some_and(|planned| planned <= at && planned >= self.now)
        {
            return;
        }
        self.next_turn = Some(at);
        self.plan(at, Event::Turn { owner: self.owners });
    }

    pub(super) fn turn(&mut self) -> Result<(), String> {
        self.next_turn = None;
        if self.committing {
            return Ok(());
        }
        self.count_turn()?;
        let dies = self.may_crash() && self.fortune.chance(self.scenario.dials.crash_steps_pm);
        let steps_max = if dies { self.fortune.between(1, 4) } else { u64::MAX };
        let Some(owner) = &mut self.owner else { return Ok(()) };
        let steps = owner.steps;
        let lives = owner.turn(self.now, &self.ledger, steps_max)?;
        self.report.steps += owner.steps - steps;
        if self.fortune.chance(30) {
            owner.spurious(self.now)?;
        }
        if self.fortune.chance(self.scenario.dials.hand_overs_pm) && !owner.draining {
            owner.drain(self.now)?;
        }
        if !lives {
            self.die(false);
            return Ok(());
        }
        self.sample()?;
        self.commit_if_due()?;
        self.plan_next_turn();
        Ok(())
    }

    fn count_turn(&mut self) -> Result<(), String> {
        self.turns = if self.turns.0 == self.now { (self.now, self.turns.1 + 1) } else { (self.now, 1) };
        if self.turns.1 > TURNS_PER_INSTANT_MAX { Err("the driver spins".to_owned()) } else { Ok(()) }
    }

    fn plan_next_turn(&mut self) {
        let Some(owner) = &self.owner else { return };
        let wakeup = owner.next_wakeup(self.now);
        let commit = self.dirty_since.map(|since| (since + LINGER).max(self.retry_at));
        let more = (owner.is_dirty(&self.kafka) && owner.draining).then_some(self.retry_at.max(self.now + 1));
        if let Some(at) = [wakeup, commit, more].into_iter().flatten().min() {
            self.turn_at(at);
        }
    }

    fn commit_if_due(&mut self) -> Result<(), String> {
        let Some(owner) = &self.owner else { return Ok(()) };
        if !owner.is_dirty(&self.kafka) {
            self.dirty_since = None;
            if owner.draining && owner.is_drained() {
                self.leave(false);
            }
            return Ok(());
        }
        let since = *self.dirty_since.get_or_insert(self.now);
        let due = owner.is_urgent() || owner.draining || self.now >= since + LINGER;
        if !due || self.now < self.retry_at || self.now < self.busy_until {
            return Ok(());
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), String> {
        let may_crash = self.may_crash();
        let Some(owner) = &self.owner else { return Ok(()) };
        let dials = &self.scenario.dials;
        let slow = self.fortune.chance(dials.slow_commits_pm);
        let takes = if slow { self.fortune.spread(100, 20 * SECOND) } else { self.fortune.between(1, 5) };
        // What matters most happens most often: that it dies with something to send.
        let crash_pm = dials.crash_commits_pm * if owner.is_urgent() { 4 } else { 1 };
        let crashes = may_crash && self.fortune.chance(crash_pm);
        let takes_effect = if crashes { self.fortune.chance(500) } else { !self.fortune.chance(dials.aborts_pm) };
        if takes_effect {
            owner.commit_into(&mut self.kafka, &self.ledger)?;
        }
        self.busy_until = self.now + takes;
        if slow || crashes || !takes_effect {
            self.excuse_until(self.busy_until + RETRY_PAUSE);
        }
        let owner = self.owners;
        self.committing = crashes || takes_effect;
        if crashes {
            self.plan(self.busy_until, Event::Dies { owner, committed: takes_effect });
        } else if takes_effect {
            self.plan(self.busy_until, Event::Committed { owner });
        } else {
            self.report.aborts += 1;
            self.retry_at = self.busy_until + RETRY_PAUSE;
            self.turn_at(self.retry_at);
        }
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        self.committing = false;
        self.dirty_since = None;
        let writer = self.writer();
        for delivery in self.owner.iter_mut().flat_map(Owner::committed).collect::<Vec<_>>() {
            let late = self.fortune.chance(self.scenario.dials.late_writes_pm);
            let delay = if late { self.fortune.spread(1, 4 * SECOND) } else { self.fortune.between(0, 30) };
            self.plan(self.now + delay, Event::Write { writer, delivery: Box::new(delivery) });
        }
        self.turn_at(self.now);
    }

    /// The process dies; or it only loses its partition, and may do what has been committed for as long as its clock lets it.
    pub(super) fn die(&mut self, has_committed: bool) {
        self.report.crashes += 1;
        let zombie = self.fortune.chance(self.scenario.dials.zombies_pm);
        if zombie && has_committed {
            self.committed();
        }
        let dead = self.owners;
        let is_its = |event: &Event| matches!(event, Event::Write { writer, .. } if writer.owner == dead);
        let due: Vec<_> = self.agenda.iter().filter(|(_, event)| is_its(event)).map(|(due, _)| *due).collect();
        for due in due {
            if let Some(Event::Write { writer, delivery }) = self.agenda.remove(&due)
                && zombie
            {
                let at = self.at_the_last_moment(writer, &delivery);
                self.plan(at, Event::Write { writer, delivery });
            }
        }
        self.leave(zombie);
    }

    fn may_crash(&self) -> bool {
        self.report.crashes < self.scenario.dials.crashes
    }

    fn writer(&self) -> Writer {
        Writer { owner: self.owners, skew: self.owner.as_ref().map_or(0, |owner| owner.skew) - self.clock }
    }

    /// Just before the writer's clock would stop it, more often than not.
    fn at_the_last_moment(&mut self, writer: Writer, delivery: &Delivery) -> u64 {
        let send_before = delivery.send_before.as_millis().saturating_add_signed(-writer.skew - self.clock);
        let last = send_before.saturating_sub(1).max(self.now).min(self.now + 4 * SECOND);
        if self.fortune.chance(700) { last } else { self.fortune.between(self.now, last) }
    }

    /// Somebody else takes over: at once, if the worst is to happen.
    fn leave(&mut self, zombie: bool) {
        if let Some(owner) = self.owner.take() {
            self.report.roll_ups += owner.lane().tally().roll_ups;
            self.report.doubts += owner.lane().tally().doubts;
        }
        self.owners += 1;
        let at_once = zombie && self.fortune.chance(600);
        let down = if at_once { 1 } else { self.fortune.spread(1, 40 * SECOND) };
        self.excuse_until(self.now + down);
        self.plan(self.now + down, Event::TakeOver);
    }
}
