//! Keyed 128-bit hashes: what makes two events the same news, the same thing, the same conversation.
//!
//! Events hold text that strangers wrote, so the key is secret: without it nobody can prepare two events that collide.
//! SipHash-1-3 with 128 bits; parts are separated by their lengths, so `("ab", "c")` and `("a", "bc")` differ. The
//! algorithm is part of the persisted format.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

/// A keyed 128-bit hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(u128);

impl Fingerprint {
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The same thing seen through a route is not the same thing seen through another.
    #[must_use]
    pub const fn within(self, route: Self) -> Self {
        Self(self.0 ^ route.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The secret key of all fingerprints of one installation; made once and kept in the state topic.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct HashKey([u8; 16]);

impl HashKey {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key itself, for the state topic and nothing else.
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// Hashes `parts` in order.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut hasher = self.hasher();
        for part in parts {
            hasher.part(part);
        }
        hasher.finish()
    }

    /// For parts that come one by one.
    pub fn hasher(&self) -> PartHasher {
        PartHasher(SipHasher13::new_with_key(&self.0))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(redacted)")
    }
}

/// Takes parts one by one.
pub struct PartHasher(SipHasher13);

impl PartHasher {
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.write_u64(bytes.len() as u64);
        self.0.write(bytes);
    }

    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::new([7; 16]);

    #[test]
    fn where_a_part_ends_matters() {
        assert_ne!(KEY.fingerprint(&[b"ab", b"c"]), KEY.fingerprint(&[b"a", b"bc"]));
        assert_ne!(KEY.fingerprint(&[b"ab"]), KEY.fingerprint(&[b"ab", b""]));
    }

    #[test]
    fn another_key_gives_other_fingerprints() {
        let other = HashKey::new([8; 16]);
        assert_ne!(KEY.fingerprint(&[b"x"]), other.fingerprint(&[b"x"]));
    }

    #[test]
    fn the_algorithm_is_what_persisted_state_was_written_with() {
        assert_eq!(KEY.fingerprint(&[b"alert", b"1"]).to_string(), "0837dc7dd0b3c27eb7fa1634a1081f27");
    }
}
