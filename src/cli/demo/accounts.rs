//! What became of all events, over all lives of the daemon.
//!
//! The demo kills its daemon and starts it again, and each life counts from zero, but for what it finds pending. So the ended
//! lives are added up here, and what was pending at the end of one is carried until the next has read it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lane::Tally;
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
        let Totals { balance: ended, messages, doubts } = self.ended;
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
            doubts: doubts + tally(|tally| tally.doubts),
        }
    }
}
