//! The signature a request claims to have: which header counts, and how it is written.
//!
//! By default `X-Hook-Signature` comes before `X-Missive-Signature`; the first one present is the one that must verify. A name
//! that occurs twice is refused rather than chosen from. The value is 64 hex digits in any case, after an optional `sha256=`.

use super::head::Headers;
use super::refusal::Unauthentic;

/// Where Missive puts it, in the order in which they count.
pub const HEADERS: [&str; 2] = ["x-hook-signature", "x-missive-signature"];

const PREFIX: &[u8] = b"sha256=";

/// A well-formed HMAC-SHA256 that nothing has been compared with yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature(pub(super) [u8; 32]);

impl Signature {
    /// The signature that these headers claim, under one of these names.
    pub(super) fn claimed(headers: &Headers<'_>, names: &[Box<str>]) -> Result<Self, Unauthentic> {
        let first = names.iter().find(|name| headers.all(name).next().is_some());
        let mut values = headers.all(first.ok_or(Unauthentic::Missing)?);
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value).ok_or(Unauthentic::Malformed),
            (Some(_), Some(_)) => Err(Unauthentic::Several),
            (None, _) => Err(Unauthentic::Missing),
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        Self::hex(value.strip_prefix(PREFIX).unwrap_or(value))
    }

    /// 64 hex digits and nothing else.
    pub(super) fn hex(digits: &[u8]) -> Option<Self> {
        let (pairs, rest) = digits.as_chunks::<2>();
        let pairs: &[[u8; 2]; 32] = pairs.try_into().ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    fn claimed(headers: &[(&str, &str)]) -> Result<Signature, Unauthentic> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Signature::claimed(&headers, &HEADERS.map(Box::from))
    }

    #[test]
    fn every_documented_form_is_understood() {
        let (prefixed, upper, spaced) = (format!("sha256={HEX}"), HEX.to_uppercase(), format!(" sha256={HEX}\t"));
        for value in [HEX, &prefixed, &upper, &spaced] {
            for name in HEADERS {
                let signature = claimed(&[(name, value)]).expect(value);
                assert_eq!(signature.0[..4], [0x8a, 0xf6, 0x12, 0xfd], "{name}: {value}");
            }
        }
    }

    #[test]
    fn what_is_not_one_clear_signature_is_refused_by_name() {
        let (short, long, other) = (&HEX[1..], format!("{HEX}0"), format!("{}g", &HEX[1..]));
        let (joined, upper, twice) = (format!("{HEX},{HEX}"), format!("SHA256={HEX}"), format!("sha256=sha256={HEX}"));
        let (hook, missive) = ("x-hook-signature", "x-missive-signature");
        let rows = [
            (vec![], Unauthentic::Missing),
            (vec![("authorization", HEX)], Unauthentic::Missing),
            (vec![(hook, "")], Unauthentic::Malformed),
            (vec![(hook, short)], Unauthentic::Malformed),
            (vec![(hook, &long)], Unauthentic::Malformed),
            (vec![(hook, &other)], Unauthentic::Malformed),
            (vec![(hook, &joined)], Unauthentic::Malformed),
            (vec![(hook, &upper)], Unauthentic::Malformed),
            (vec![(hook, &twice)], Unauthentic::Malformed),
            (vec![(hook, "sha256=")], Unauthentic::Malformed),
            (vec![(hook, HEX), (hook, HEX)], Unauthentic::Several),
            (vec![(missive, HEX), (missive, HEX)], Unauthentic::Several),
            (vec![(missive, HEX), (hook, "x")], Unauthentic::Malformed),
        ];
        for (headers, why) in rows {
            assert_eq!(claimed(&headers).err(), Some(why), "{headers:?}");
        }
    }
}
