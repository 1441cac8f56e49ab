//! What Kafka holds of the lane: the ledger, and what transactions wrote. Sums are added up here and not by the lane.

use std::collections::{BTreeMap, HashMap, HashSet};

use missived::event::{Fingerprint, Timestamp};
use missived::lane::books::Outcome;
use missived::lane::{DeadLetter, DeliveryId, Lane};

use super::manners::Manners;
use super::reference::Expected;

/// One record of the ledger, and what the naive model says of it.
#[derive(Debug)]
pub struct Entry {
    pub bytes: Vec<u8>,
    pub expected: Expected,
    /// Distinct positions up to and with this record.
    pub distinct: u64,
}

/// What has been written in transactions.
#[derive(Debug, Default)]
pub struct Committed {
    pub records: BTreeMap<String, Vec<u8>>,
    pub position: usize,
    pub sums: Sums,
    pub pending: u64,
    /// Deliveries that may leave, or have left.
    pub announced: HashSet<DeliveryId>,
    /// Of these, the ones whose answer is not in Kafka yet.
    pub open: HashMap<DeliveryId, Pending>,
    /// When the last of all that were ever open is given up.
    pub quiet_at: Timestamp,
    /// What answers oblige a successor to.
    pub manners: Manners,
    /// Messages that are being looked up, and how many look-ups have failed.
    pub doubts: HashMap<(Fingerprint, u64), u8>,
    /// Messages that were worded and neither delivered nor given up.
    pub undone: HashSet<(Fingerprint, u64)>,
    /// Messages that a look-up has found.
    pub found: HashSet<(Fingerprint, u64)>,
    /// What is known to be delivered.
    pub delivered: BTreeMap<(Fingerprint, u64), Delivered>,
    /// When messages were worded.
    pub worded: HashMap<(Fingerprint, u64), Worded>,
    pub dead_letters: Vec<DeadLetter>,
}

/// An attempt on its way.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Until then its answer may come.
    pub given_up_at: Timestamp,
    pub looks_up: bool,
}

/// When a message was worded, and what it is called.
#[derive(Clone, Debug)]
pub struct Worded {
    /// How far the ledger was folded.
    pub position: usize,
    pub at: Timestamp,
    pub external_id: Box<str>,
}

/// A message that people have.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// Observations that it stands for.
    pub covers: u64,
    /// How far the ledger was folded when that was known.
    pub position: usize,
}

/// What has been settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub delivered: u64,
    pub duplicate: u64,
    pub suppressed: u64,
    pub dead_lettered: u64,
}

impl Sums {
    pub fn of(lane: &Lane) -> Self {
        let mut sums = Self::default();
        for (outcome, _, count) in lane.books().entries() {
            match outcome {
                Outcome::Delivered => sums.delivered += count,
                Outcome::Duplicate => sums.duplicate += count,
                Outcome::Suppressed => sums.suppressed += count,
                Outcome::DeadLettered => sums.dead_lettered += count,
            }
        }
        sums
    }

    #[must_use]
    pub const fn minus(self, before: Self) -> Self {
        Self {
            delivered: self.delivered - before.delivered,
            duplicate: self.duplicate - before.duplicate,
            suppressed: self.suppressed - before.suppressed,
            dead_lettered: self.dead_lettered - before.dead_lettered,
        }
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            delivered: self.delivered + other.delivered,
            duplicate: self.duplicate + other.duplicate,
            suppressed: self.suppressed + other.suppressed,
            dead_lettered: self.dead_lettered + other.dead_lettered,
        }
    }

    pub const fn total(self) -> u64 {
        self.delivered + self.duplicate + self.suppressed + self.dead_lettered
    }
}
