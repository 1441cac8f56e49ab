//! What became of all events, over all lives of the daemon.
//!
//! The demo kills its daemon and starts it again, and each life counts from zero, but for what it finds pending. So the ended
//! lives are added up here, and what was pending at the end of one is carried until the next has read it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lane::{Outcome, Reason, Tally};
use crate::telemetry::{Balance, LaneReport, Telemetry};

/// All lives together.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<Lives>);

#[derive(Default)]
struct Lives {
    ended: Totals,
    current: Option<Arc<Telemetry>>,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub balance: Balance,
    pub messages: u64,
    /// Of what was delivered, what was told in a roll-up.
    pub rolled_up: u64,
    /// Deliveries of which nobody knows whether they arrived.
    pub doubts: u64,
}

impl Totals {
    /// Events that stand somewhere; the others are on their way through the ledger.
    pub const fn accounted(&self) -> u64 {
        let Balance { delivered, duplicates, suppressed, dead_lettered, pending, .. } = self.balance;
        delivered + duplicates + suppressed + dead_lettered + pending
    }
}

impl Accounts {
    /// A daemon begins to live, and counts here.
    pub fn begin(&self, telemetry: Arc<Telemetry>) {
        self.lock().current = Some(telemetry);
    }

    /// It has ended.
    pub fn end(&self) {
        let mut lives = self.lock();
        lives.ended = lives.totals();
        lives.current = None;
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals()
    }

    /// The lane as its owner last described it.
    pub fn lane(&self) -> Option<LaneReport> {
        self.lock().current.as_ref()?.lanes().into_values().next()
    }

    fn lock(&self) -> MutexGuard<'_, Lives> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Lives {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Lives").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Lives {
    fn totals(&self) -> Totals {
        let Some(telemetry) = &self.current else { return self.ended };
        let now = telemetry.balance();
        let lanes = telemetry.lanes();
        let tally = |count: fn(&Tally) -> u64| lanes.values().map(|lane| count(&lane.tally)).sum::<u64>();
        let rolled_up_now: u64 = lanes.values().map(rolled_up).sum();
        let Totals { balance: ended, messages, rolled_up, doubts } = self.ended;
        Totals {
            balance: Balance {
                consumed: ended.consumed + now.consumed,
                delivered: ended.delivered + now.delivered,
                duplicates: ended.duplicates + now.duplicates,
                suppressed: ended.suppressed + now.suppressed,
                dead_lettered: ended.dead_lettered + now.dead_lettered,
                pending: if lanes.is_empty() { ended.pending } else { now.pending },
            },
            messages: messages + tally(|tally| tally.messages),
            rolled_up: rolled_up + rolled_up_now,
            doubts: doubts + tally(|tally| tally.doubts),
        }
    }
}

fn rolled_up(lane: &LaneReport) -> u64 {
    let told = lane.books.entries();
    told.filter(|entry| matches!(entry, (Outcome::Delivered, Reason::RolledUp, _))).map(|(.., count)| count).sum()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::event::Timestamp;
    use crate::lane::pacing::Budget;
    use crate::lane::{Blocked, Books, Outcome};
    use crate::telemetry::IntakeReport;

    fn life(consumed: u64, dead_lettered: u64) -> Arc<Telemetry> {
        let telemetry = Telemetry::new();
        let mut report = IntakeReport { consumed, ..IntakeReport::default() };
        report.settle(Outcome::DeadLettered, "not_json", dead_lettered);
        telemetry.intake(&report);
        Arc::new(telemetry)
    }

    fn lane(pending: u64, messages: u64) -> LaneReport {
        LaneReport {
            at: Timestamp::EPOCH,
            books: Books::restored(pending),
            tally: Tally { messages, ..Tally::default() },
            budget: Budget { minute: 300, quarter_hour: 900, permits: 5 },
            blocked: Blocked::No,
            halted_channels: 0,
            in_progress: 0,
            conversations: 1,
            dedupe_keys: 0,
            dedupe_evicted: 0,
            untold: crate::lane::waiting::Untold::default(),
            hearts: Vec::new(),
        }
    }

    #[test]
    fn lives_add_up_and_what_was_pending_is_carried_until_it_is_read_back() {
        let accounts = Accounts::default();
        let first = life(10, 1);
        first.lane("default", lane(9, 2));
        accounts.begin(first);
        assert_eq!(accounts.totals().accounted(), 10);
        accounts.end();
        let second = life(4, 2);
        accounts.begin(second.clone());
        let carried = accounts.totals();
        assert_eq!((carried.balance.consumed, carried.balance.dead_lettered, carried.balance.pending), (14, 3, 9));
        second.lane("default", lane(11, 1));
        let whole = accounts.totals();
        assert_eq!((whole.balance.pending, whole.messages), (11, 3));
        assert!(whole.balance.holds());
    }
}
