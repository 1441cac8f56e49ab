//! How much all bodies that are being read or held take up together.
//!
//! Counted as bytes come in, not as they are announced: an announcement costs a stranger nothing. Reaching the limit is an
//! answer (503), before memory grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No more bodies fit in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overloaded;

#[derive(Debug)]
pub(super) struct Ballast {
    used: AtomicUsize,
    most: usize,
}

/// One body's share, given back on drop.
#[derive(Debug)]
pub struct Load {
    ballast: Arc<Ballast>,
    bytes: usize,
}

impl Ballast {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), most: bytes_max }
    }

    pub(super) fn load(ballast: &Arc<Self>) -> Load {
        Load { ballast: Arc::clone(ballast), bytes: 0 }
    }
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Overloaded> {
        let before = self.ballast.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.ballast.most { Err(Overloaded) } else { Ok(()) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ballast.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_bodies_take_up_has_a_bound_and_is_given_back() {
        let ballast = Arc::new(Ballast::new(10));
        let (mut one, mut other) = (Ballast::load(&ballast), Ballast::load(&ballast));
        assert_eq!((one.add(6), other.add(4), other.add(1)), (Ok(()), Ok(()), Err(Overloaded)));
        drop(other);
        assert_eq!((one.add(4), one.add(1)), (Ok(()), Err(Overloaded)));
        drop(one);
        assert_eq!(ballast.used.load(Ordering::Relaxed), 0);
    }
}
