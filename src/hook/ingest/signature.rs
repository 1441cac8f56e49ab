//! Signatures as Grafana and HubSpot write them.
//!
//! | sender | header | covers |
//! |---|---|---|
//! | Grafana | `X-Grafana-Alerting-Signature`, 64 hex digits | the body; with `X-Grafana-Alerting-Timestamp`, `<seconds>:` and the body |
//! | HubSpot | `X-HubSpot-Signature-v3`, base64 | method, address, body, `X-HubSpot-Request-Timestamp` in milliseconds |
//!
//! A time more than [`AGE_MAX`] away from ours is refused as expired. A header that occurs twice is refused.

use std::time::Duration;

use super::{Gate, Sender};
use crate::event::Timestamp;
use crate::hook::head::Headers;
use crate::hook::proof::Signed;
use crate::hook::refusal::Unauthentic;
use crate::hook::signature::Signature;

/// How old a signed time may be, or how far ahead.
const AGE_MAX: Duration = Duration::from_secs(300);

const GRAFANA_SIGNATURE: &str = "x-grafana-alerting-signature";
const GRAFANA_TIMESTAMP: &str = "x-grafana-alerting-timestamp";
const HUBSPOT_SIGNATURE: &str = "x-hubspot-signature-v3";
const HUBSPOT_TIMESTAMP: &str = "x-hubspot-request-timestamp";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the headers of a request to `gate` claim.
pub(super) fn claimed(now: Timestamp, gate: &Gate, headers: &Headers<'_>) -> Result<Signed, Unauthentic> {
    match gate.sender {
        Sender::Alertmanager | Sender::Grafana => grafana(now, headers),
        Sender::HubSpot => hubspot(now, &gate.url, headers),
    }
}

fn grafana(now: Timestamp, headers: &Headers<'_>) -> Result<Signed, Unauthentic> {
    let value = the_only(headers, GRAFANA_SIGNATURE)?.ok_or(Unauthentic::Missing)?;
    let signature = Signature::hex(value.trim_ascii()).ok_or(Unauthentic::Malformed)?;
    let before = match the_only(headers, GRAFANA_TIMESTAMP)? {
        None => Vec::new(),
        Some(seconds) => {
            recent(now, number(seconds)?.saturating_mul(1_000))?;
            [seconds.trim_ascii(), b":"].concat()
        }
    };
    Ok(Signed { signature, before, after: Vec::new() })
}

fn hubspot(now: Timestamp, url: &str, headers: &Headers<'_>) -> Result<Signed, Unauthentic> {
    let value = the_only(headers, HUBSPOT_SIGNATURE)?.ok_or(Unauthentic::Missing)?;
    let millis = the_only(headers, HUBSPOT_TIMESTAMP)?.ok_or(Unauthentic::Missing)?;
    let signature = from_base64(value.trim_ascii()).ok_or(Unauthentic::Malformed)?;
    recent(now, number(millis)?)?;
    Ok(Signed { signature, before: format!("POST{url}").into_bytes(), after: millis.trim_ascii().to_vec() })
}

fn the_only<'h>(headers: &Headers<'h>, name: &str) -> Result<Option<&'h [u8]>, Unauthentic> {
    let mut values = headers.all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Unauthentic::Several),
    }
}

fn number(digits: &[u8]) -> Result<u64, Unauthentic> {
    let text = std::str::from_utf8(digits.trim_ascii()).map_err(|_| Unauthentic::Malformed)?;
    text.parse().map_err(|_| Unauthentic::Malformed)
}

fn recent(now: Timestamp, millis: u64) -> Result<(), Unauthentic> {
    let away = Duration::from_millis(now.as_millis().abs_diff(millis));
    if away > AGE_MAX { Err(Unauthentic::Expired) } else { Ok(()) }
}

/// 32 bytes as HubSpot writes them: 43 digits and a `=`. Other digits for the same bytes are refused.
fn from_base64(text: &[u8]) -> Option<Signature> {
    let digits = text.strip_suffix(b"=").filter(|digits| digits.len() == 43)?;
    let mut bits = digits.iter().map(|digit| ALPHABET.iter().position(|known| known == digit));
    let mut bytes = Vec::with_capacity(33);
    while let Some(first) = bits.next() {
        let [second, third, fourth] = std::array::from_fn(|_| bits.next().unwrap_or(Some(0)));
        let word = first? << 18 | second? << 12 | third? << 6 | fourth?;
        bytes.extend([16, 8, 0].map(|shift| u8::try_from(word >> shift & 0xff).expect("eight bits")));
    }
    let bytes: [u8; 32] = bytes[..32].try_into().ok()?;
    (base64(&bytes).as_bytes() == text).then_some(Signature(bytes))
}

pub(super) fn base64(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(44);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| word << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        let digits = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[word >> shift & 63]));
        text.extend(&digits[..chunk.len() + 1]);
    }
    text.push('=');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_usual_one_and_has_one_spelling() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8 + 7).expect("small"));
        let text = "Bw8XHycvNz9HT1dfZ293f4ePl5+nr7e/x8/X3+fv9/8=";
        assert_eq!(base64(&bytes), text);
        assert_eq!(from_base64(text.as_bytes()).map(|signature| signature.0), Some(bytes));
        let other_spelling = text.replace("9/8=", "9/9=");
        for text in ["", "=", &text[1..], &text.replace('B', "*"), &format!("{text}="), &other_spelling] {
            assert!(from_base64(text.as_bytes()).is_none(), "{text}");
        }
    }
}
