//! A record's bytes in 128 bits, to know them again.
//!
//! Every byte that comes in goes through here, so it has to be fast: AEGIS-128L as a MAC takes two thirds of what the hash of
//! identities takes, since processors have its rounds built in. The key is secret and the tags are shown to nobody, so nobody
//! can prepare two records that share one. Nothing of it is persisted: another run may stamp otherwise.

use std::fmt;

use aegis::aegis128l::Aegis128LMac;

use super::reader::Header;
use crate::event::{Fingerprint, HashKey};

/// Stamps records, as their sources get them.
pub struct Stamping {
    by_source: Vec<Keyed>,
}

/// Keyed for one source; a record without headers has nothing to be told apart by but its payload.
struct Keyed {
    bare: Aegis128LMac<16>,
    with_headers: Aegis128LMac<16>,
}

impl Stamping {
    /// For so many sources.
    pub fn new(key: &HashKey, sources: usize) -> Self {
        let keyed = |source: usize, what: &[u8]| {
            let key = key.fingerprint(&[b"verbatim", &source.to_le_bytes(), what]);
            Aegis128LMac::new(&key.as_u128().to_le_bytes())
        };
        let of = |source| Keyed { bare: keyed(source, b"bare"), with_headers: keyed(source, b"with headers") };
        Self { by_source: (0..sources).map(of).collect() }
    }

    /// Stamps a record of the source at this place.
    pub fn stamp(&self, source: usize, headers: &[Header<'_>], payload: &[u8]) -> Fingerprint {
        let Keyed { bare, with_headers } = &self.by_source[source];
        let mut mac = match headers {
            [] => bare.clone(),
            headers => Self::take_headers(with_headers.clone(), headers),
        };
        mac.update(payload);
        Fingerprint::from_u128(u128::from_le_bytes(mac.finalize()))
    }

    /// Lengths go before what they are of, so no two lists of headers read the same.
    fn take_headers(mut mac: Aegis128LMac<16>, headers: &[Header<'_>]) -> Aegis128LMac<16> {
        mac.update(&headers.len().to_le_bytes());
        for (name, value) in headers {
            mac.update(&name.len().to_le_bytes());
            mac.update(name.as_bytes());
            // one more than its length, so that no value is not an empty one
            let length = value.map_or(0, |value| value.len() + 1);
            mac.update(&length.to_le_bytes());
            mac.update(value.unwrap_or_default());
        }
        mac
    }
}

impl fmt::Debug for Stamping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stamping(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KEY: HashKey = HashKey::new([7; 16]);

    #[test]
    fn whatever_decoding_sees_makes_another_stamp() {
        let stamping = Stamping::new(&KEY, 2);
        let rows: [(usize, &[Header<'_>], &[u8]); 14] = [
            (0, &[], b""),
            (0, &[], b"payload"),
            (1, &[], b"payload"),
            (0, &[], b"payloae"),
            (0, &[], b"\x07payload"),
            (0, &[("a", Some(b""))], b"payload"),
            (0, &[("a", None)], b"payload"),
            (0, &[("a", Some(b"b"))], b"payload"),
            (0, &[("ab", Some(b""))], b"payload"),
            (0, &[("a", Some(b"b")), ("c", None)], b"payload"),
            (0, &[("c", None), ("a", Some(b"b"))], b"payload"),
            (0, &[("a", Some(b"b")), ("c", None)], b""),
            (0, &[("a", Some(b"bpay"))], b"load"),
            (1, &[("a", Some(b"b"))], b"payload"),
        ];
        let stamps: HashSet<_> =
            rows.iter().map(|(source, headers, payload)| stamping.stamp(*source, headers, payload)).collect();
        assert_eq!(stamps.len(), rows.len());
    }

    #[test]
    fn every_byte_counts_wherever_it_stands() {
        let stamping = Stamping::new(&KEY, 1);
        let mut stamps = HashSet::new();
        for length in 0..200 {
            stamps.insert(stamping.stamp(0, &[], &vec![0; length]));
            for place in 0..length {
                let mut payload = vec![0; length];
                payload[place] = 1;
                stamps.insert(stamping.stamp(0, &[], &payload));
            }
        }
        assert_eq!(stamps.len(), 200 + 199 * 200 / 2);
    }

    #[test]
    fn the_same_record_has_the_same_stamp_under_the_same_key_alone() {
        let stamp = |key: [u8; 16]| Stamping::new(&HashKey::new(key), 1).stamp(0, &[("a", None)], b"payload");
        assert_eq!(stamp([7; 16]), stamp([7; 16]));
        assert_ne!(stamp([7; 16]), stamp([8; 16]));
    }
}
