//! The signature a request claims to have: which header counts, and how it is written.
//!
//! `X-Hook-Signature` comes before `X-Missive-Signature`; the first one present is the one that must verify. A name that
//! occurs twice is refused rather than chosen from. The value is 64 hex digits in any case, after an optional `sha256=`.

use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::refusal::Unauthentic;

/// In the order in which they count.
static HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-hook-signature"), HeaderName::from_static("x-missive-signature")];

const PREFIX: &[u8] = b"sha256=";

/// A well-formed HMAC-SHA256 that nothing has been compared with yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature(pub(super) [u8; 32]);

impl Signature {
    /// The signature that these headers claim.
    pub(super) fn claimed(headers: &HeaderMap) -> Result<Self, Unauthentic> {
        let name = HEADERS.iter().find(|name| headers.contains_key(*name)).ok_or(Unauthentic::Missing)?;
        let mut values = headers.get_all(name).iter();
        let value = values.next().ok_or(Unauthentic::Missing)?;
        if values.next().is_some() {
            return Err(Unauthentic::Several);
        }
        Self::parse(value.as_bytes()).ok_or(Unauthentic::Malformed)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let digits = value.strip_prefix(PREFIX).unwrap_or(value);
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
    use hyper::header::HeaderValue;

    use super::*;

    const HEX: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    fn claimed(headers: &[(&'static str, &str)]) -> Result<Signature, Unauthentic> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("test header"));
        }
        Signature::claimed(&map)
    }

    #[test]
    fn every_documented_form_is_understood() {
        let (prefixed, upper, spaced) = (format!("sha256={HEX}"), HEX.to_uppercase(), format!(" sha256={HEX}\t"));
        for value in [HEX, &prefixed, &upper, &spaced] {
            for name in ["x-hook-signature", "X-Missive-Signature"] {
                let name = HEADERS.iter().find(|known| known.as_str().eq_ignore_ascii_case(name)).expect("known");
                let mut map = HeaderMap::new();
                map.insert(name, HeaderValue::from_str(value).expect("test header"));
                let signature = Signature::claimed(&map).expect(value);
                assert_eq!(signature.0[..4], [0x8a, 0xf6, 0x12, 0xfd], "{name}: {value}");
            }
        }
    }

    #[test]
    fn what_is_not_one_clear_signature_is_refused_by_name() {
        let (short, long, g) = (&HEX[..63], format!("{HEX}0"), format!("{}g", &HEX[..63]));
        let joined = format!("{HEX},{HEX}");
        let rows: [(&[(&'static str, &str)], Unauthentic); 10] = [
            (&[], Unauthentic::Missing),
            (&[("authorization", HEX)], Unauthentic::Missing),
            (&[("x-hook-signature", "")], Unauthentic::Malformed),
            (&[("x-hook-signature", short)], Unauthentic::Malformed),
            (&[("x-hook-signature", &long)], Unauthentic::Malformed),
            (&[("x-hook-signature", &g)], Unauthentic::Malformed),
            (&[("x-hook-signature", &joined)], Unauthentic::Malformed),
            (&[("x-hook-signature", "sha256=")], Unauthentic::Malformed),
            (&[("x-hook-signature", HEX), ("x-hook-signature", HEX)], Unauthentic::Several),
            (&[("x-missive-signature", HEX), ("x-hook-signature", "x")], Unauthentic::Malformed),
        ];
        for (headers, why) in rows {
            assert_eq!(claimed(headers).err(), Some(why), "{headers:?}");
        }
    }
}
