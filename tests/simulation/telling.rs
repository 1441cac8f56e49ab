//! The sources speak, the intake writes frames, people make gestures, somebody sets the clock.

use super::super::committed::Entry;
use super::super::happening::{Gesture, Jump, Snapshot, SourceRecord};
use super::super::reference::Expected;
use super::super::scenario::SECOND;
use super::{Event, World};

impl World {
    pub(super) fn happens(&mut self, record: SourceRecord) {
        self.one_less();
        self.report.snapshots += u64::from(record.snapshot != Snapshot::No);
        // A group always writes to the same partition, or its order would mean nothing.
        let count = self.partitions.len() as u64;
        let place = match record.snapshot {
            Snapshot::No => self.intake.between(0, count - 1),
            Snapshot::Whole | Snapshot::Truncated => {
                record.says.first().map_or(0, |says| says.place.number as u64) % count
            }
        };
        let place = usize::try_from(place).expect("few");
        self.partitions[place].append(&mut self.intake, record);
        let at = self.now + self.intake.spread(1, 500);
        self.plan(at, Event::Frame(place));
    }

    pub(super) fn gesture(&mut self, gesture: &Gesture) {
        self.one_less();
        self.reference.learn(self.ledger.len(), gesture);
        self.append(gesture.write(&self.hash), Expected::default());
    }

    /// Until the clock is where it was, news can't be told in time; and nothing measured by it is what it seems.
    pub(super) fn jump(&mut self, jump: Jump) {
        self.one_less();
        self.report.jumps += 1;
        self.clock_max = self.clock_max.max(self.now.saturating_add_signed(self.clock));
        self.clock += jump.by;
        if jump.by > 0 {
            self.inbox.leap(self.now);
        }
        if let Some(owner) = &mut self.owner {
            owner.skew += jump.by;
        }
        self.excuse_until(self.now + jump.by.unsigned_abs() + 20 * SECOND);
        self.excuse_until(self.clock_max.saturating_add_signed(-self.clock) + 20 * SECOND);
        self.turn_at(self.now);
    }

    pub(super) fn one_less(&mut self) {
        self.expected_left -= 1;
        if self.expected_left == 0 {
            let spells = self.scenario.weather.spells.iter().map(|spell| spell.to).max();
            self.plan(spells.unwrap_or(0).max(self.now + 10 * SECOND), Event::Healthy);
        }
    }

    pub(super) fn frame(&mut self, place: usize) {
        let partition = &mut self.partitions[place];
        let crashes = self.scenario.dials.intake_crashes_pm;
        let Some(framed) = partition.frame(self.now, &mut self.intake, crashes) else { return };
        let expected = self.reference.read(self.ledger.len(), partition.number(), &framed);
        self.append(framed.bytes, expected);
        if self.partitions[place].is_behind() {
            let at = self.now + self.intake.spread(1, 500);
            self.plan(at, Event::Frame(place));
        }
    }

    fn append(&mut self, bytes: Vec<u8>, expected: Expected) {
        let distinct = self.ledger.last().map_or(0, |entry| entry.distinct) + expected.distinct;
        self.ledger.push(Entry { bytes, expected, distinct });
        self.turn_at(self.now);
    }
}
