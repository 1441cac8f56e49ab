//! Seeded chance: the ids and dice of the sandbox (SplitMix64).
//!
//! The same seed gives the same sequence. Not for secrets.

use uuid::Builder;

/// A deterministic source of chance.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence that only `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..=most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(span) => self.draw() % span,
            None => self.draw(),
        }
    }

    /// A number in `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A version 4 UUID in its usual spelling.
    pub fn uuid(&mut self) -> String {
        let bytes = (u128::from(self.draw()) << 64 | u128::from(self.draw())).to_be_bytes();
        Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        assert_eq!((one.draw(), one.uuid()), (two.draw(), two.uuid()));
        assert_ne!(one.uuid(), Random::new(8).uuid());
    }

    #[test]
    fn a_fraction_stays_below_one_and_a_number_within_its_bound() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&random.fraction()));
            assert!(random.up_to(3) <= 3);
        }
    }
}
