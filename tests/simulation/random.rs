//! Seeded chance of the simulation: the same seed gives the same sequence, on every machine.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for one purpose, so that more or less chance elsewhere doesn't change it.
    pub fn apart(seed: u64, purpose: u64) -> Self {
        let mut random = Self::new(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self::new(random.draw())
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to - from + 1)
    }

    /// A number in `from..=to`, small ones as likely as large ones.
    pub fn spread(&mut self, from: u64, to: u64) -> u64 {
        let bits = self.between(u64::from(from.max(1).ilog2()), u64::from(to.max(1).ilog2()));
        self.between(1 << bits, (2 << bits) - 1).clamp(from, to)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.draw() % 1000 < per_mille
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let place = self.draw() % from.len() as u64;
        from[usize::try_from(place).expect("shorter than memory")]
    }
}
