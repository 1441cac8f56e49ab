//! What is remembered for a while: two generations, dropped whole, by age or by number.
//!
//! What was put into one is known for at least half the horizon and at most the whole of it, unless a generation was full
//! before. Buffers go round, so that turning allocates nothing.

use std::time::Duration;

use crate::event::Timestamp;

/// A generation that can be used again.
pub trait Generation {
    /// Whether the next one is due, however young this one is.
    fn room(&self) -> Room;
    fn forget(&mut self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Left,
    Full,
}

/// What was put in within the horizon.
pub struct Generations<G> {
    half_horizon: Duration,
    turned_at: Timestamp,
    pub current: G,
    pub previous: G,
}

impl<G: Generation> Generations<G> {
    pub fn new(horizon: Duration, [current, previous]: [G; 2]) -> Self {
        Self { half_horizon: horizon / 2, turned_at: Timestamp::EPOCH, current, previous }
    }

    /// Begins a generation where one is due. Asked twice at the same time with nothing put in between, it does nothing.
    pub fn turn(&mut self, now: Timestamp) {
        let age = now.since(self.turned_at);
        if age >= self.half_horizon * 2 {
            self.clear();
        }
        if age >= self.half_horizon || self.current.room() == Room::Full {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.forget();
            self.turned_at = now;
        }
    }

    pub fn clear(&mut self) {
        self.current.forget();
        self.previous.forget();
    }
}
