//! Where an event can be looked up, beside its own link: what to do about it, and where to silence it.
//!
//! Looked up only when an event is told, because it costs an allocation. Nothing here is trusted: an address is bounded by
//! [`LINK_BYTES_MAX`], holds no white space and begins with `http`; which schemes people get to see is for the route to say.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use simd_json::prelude::ValueIntoObject;
use simd_json::tape::Value;

use super::alertmanager::address;
use super::json::{Fields, member, string, text};

/// The longest address that is carried on.
pub const LINK_BYTES_MAX: usize = 1024;

/// Annotations that lead to a runbook, best first.
const RUNBOOKS: [&str; 2] = ["runbook_url", "runbook"];

/// How a format's events can be silenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silencing {
    /// They say where, in `silenceURL`.
    #[default]
    Said,
    /// In Alertmanager: at the body's `externalURL`, with the alert's labels as matchers.
    Built,
}

/// Where it is written what to do about it; empty if nowhere.
pub fn runbook<'a>(fields: &Fields<'a>) -> Cow<'a, str> {
    let common = fields.root.and_then(|root| member(root, "commonAnnotations"));
    let common = |name| common.and_then(|common| member(common, name)).and_then(string).map(Cow::Borrowed);
    let found = RUNBOOKS.into_iter().find_map(|name| fields.text(name).or_else(|| common(name)));
    found.filter(|found| !address(found).is_empty()).unwrap_or_default()
}

/// Where it can be silenced; empty if nowhere. What has to be put together stands in `scratch`.
pub fn silence<'a>(fields: &Fields<'a>, silencing: Silencing, scratch: &'a mut String) -> Cow<'a, str> {
    match silencing {
        Silencing::Said => fields.text("silenceURL").filter(|found| !address(found).is_empty()).unwrap_or_default(),
        Silencing::Built => built(fields, scratch).map(Cow::Borrowed).unwrap_or_default(),
    }
}

/// Alertmanager's form for a new silence. One that is too long for all labels is none: fewer would silence more than was meant.
fn built<'s>(fields: &Fields<'_>, link: &'s mut String) -> Option<&'s str> {
    let external = text(fields.root?, "externalURL").trim_end_matches('/');
    let labels = member(fields.element?, "labels")?.into_object()?;
    link.clear();
    link.push_str(external);
    link.push_str("/#/silences/new?filter=");
    for (place, (name, value)) in labels.iter().enumerate() {
        link.push_str(if place == 0 { "%7B" } else { "%2C" });
        encode(name, link);
        link.push_str("%3D%22");
        quote(string(value)?, link);
        link.push_str("%22");
        if link.len() > LINK_BYTES_MAX {
            return None;
        }
    }
    link.push_str(if labels.is_empty() { "%7B%7D" } else { "%7D" });
    Some(link.as_str()).filter(|link| !address(link).is_empty())
}

/// Adds a label's value as a matcher writes it, encoded.
fn quote(value: &str, link: &mut String) {
    let mut rest = value;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        encode(&rest[..at], link);
        let special = match &rest[at..=at] {
            "\n" => "\\n",
            "\"" => "\\\"",
            _ => "\\\\",
        };
        encode(special, link);
        rest = &rest[at + 1..];
    }
    encode(rest, link);
}

/// Percent-encoded, but for what RFC 3986 reserves for nothing.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode(text, &mut encoded);
    encoded
}

/// Adds it, percent-encoded.
fn encode(text: &str, to: &mut String) {
    const ALL_BUT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    to.extend(utf8_percent_encode(text, ALL_BUT_UNRESERVED));
}

/// Whether nothing in it could end an address in the midst of a text.
pub fn is_unbroken(text: &str) -> bool {
    const BEYOND_ASCII: u8 = 0x80;
    // all of it is looked at, also behind the first: that goes many bytes at a time
    let white = |byte: u8| u8::from(byte == b' ') | u8::from(byte.wrapping_sub(b'\t') <= b'\r' - b'\t');
    match text.bytes().fold(0, |met, byte| met | white(byte) | byte & BEYOND_ASCII) {
        0 => true,
        BEYOND_ASCII => !text.contains(char::is_whitespace),
        _ => false,
    }
}

/// The event itself as JSON, as its source lets it be seen.
pub fn json(fields: &Fields<'_>) -> Option<String> {
    let value: Value<'_, '_> = fields.element.or(fields.root)?;
    Some(simd_json::prelude::Writable::encode(&value))
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Format, HashKey, Record};
    use super::*;

    fn links(external: &str, labels: &str, annotations: &str) -> (String, String) {
        let payload = format!(
            r#"{{"groupKey":"g","externalURL":{external:?},"commonAnnotations":{{"runbook":"https://run/common"}},
                "alerts":[{{"status":"firing","labels":{labels},"annotations":{annotations}}}]}}"#
        );
        let mut found = (String::new(), String::new());
        let look = &mut |event: &super::super::Event<'_>| {
            found = (
                runbook(&event.fields).into_owned(),
                silence(&event.fields, Silencing::Built, &mut String::new()).into_owned(),
            );
        };
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        Decoder::new(HashKey::new([0; 16])).decode(&Format::Alertmanager, record, look).expect("a body");
        found
    }

    #[test]
    fn alertmanagers_silences_are_prepared_with_all_labels_or_not_at_all() {
        let (_, silence) = links("http://am:9093/", r#"{"alertname":"X","path":"/a \"b\""}"#, "{}");
        let wanted =
            "http://am:9093/#/silences/new?filter=%7Balertname%3D%22X%22%2Cpath%3D%22%2Fa%20%5C%22b%5C%22%22%7D";
        assert_eq!(silence, wanted);
        let long = format!(r#"{{"alertname":"{}"}}"#, "x".repeat(2 * LINK_BYTES_MAX));
        assert_eq!(links("http://am:9093", &long, "{}").1, "");
        assert_eq!(links("javascript:alert(1)//", r#"{"alertname":"X"}"#, "{}").1, "");
    }

    #[test]
    fn white_space_of_every_kind_breaks_an_address() {
        for text in ["", "https://a/b?c=%20", "https://ä/é"] {
            assert!(is_unbroken(text), "{text:?}");
        }
        for space in (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|c| c.is_whitespace()) {
            for text in [format!("https://a{space}b"), format!("https://ä{space}")] {
                assert!(!is_unbroken(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn an_alerts_own_runbook_goes_first_and_must_be_an_address() {
        let labels = r#"{"alertname":"X"}"#;
        let rows = [
            (r#"{"runbook_url":"https://run/own"}"#, "https://run/own"),
            ("{}", "https://run/common"),
            (r#"{"runbook_url":"ask Ann"}"#, ""),
        ];
        for (annotations, runbook) in rows {
            assert_eq!(links("http://am", labels, annotations).0, runbook, "{annotations}");
        }
    }
}
