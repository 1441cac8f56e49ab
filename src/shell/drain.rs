//! How a daemon's parts end: with time to finish what is under way, or without.
//!
//! A *drain* lets answers come in, writes what is known, and leaves. A *kill* is what a crash would be: what is in memory is
//! gone, nothing more is written, and nobody says good-bye; whoever comes next finds what Kafka has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::Deadline;

/// How all parts of one daemon will end. Clones are the same.
#[derive(Clone, Debug)]
pub struct Drain {
    within: Duration,
    killed: Arc<AtomicBool>,
}

/// What it is, now that it has begun.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Drain(Deadline),
    Kill,
}

impl Drain {
    pub fn new(within: Duration) -> Self {
        Self { within, killed: Arc::default() }
    }

    /// The same end for a config that gives another time.
    #[must_use]
    pub fn within(&self, within: Duration) -> Self {
        Self { within, killed: Arc::clone(&self.killed) }
    }

    /// Whatever ends from now on has no time.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// It is time to end.
    pub fn begin(&self) -> End {
        if self.killed.load(Ordering::Acquire) { End::Kill } else { End::Drain(Deadline::after(self.within)) }
    }
}
