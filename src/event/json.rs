//! JSON as formats see it: simd-json's tape over buffers that are reused, and look-ups in it.
//!
//! Nesting is bounded by [`DEPTH_MAX`]. A byte order mark is skipped. Of duplicate keys the first one counts.

use std::borrow::Cow;

use simd_json::prelude::{TypedScalarValue, ValueAsScalar, ValueIntoArray, ValueIntoObject, ValueIntoString};
use simd_json::tape::Value;
use simd_json::{Buffers, Tape};

use super::decode::Refusal;

/// The deepest nesting that is read.
pub const DEPTH_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Buffers for one record after another.
pub struct Scratch {
    bytes: Vec<u8>,
    buffers: Buffers,
    /// Empty between two records; kept for its allocation.
    tape: Tape<'static>,
}

impl Scratch {
    pub fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(16 * 1024),
            buffers: Buffers::with_max_depth(16 * 1024, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(1024)),
        }
    }

    /// Parses `payload` and shows its root to `read`.
    pub fn with<T>(
        &mut self,
        payload: &[u8],
        read: impl FnOnce(Value<'_, '_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.bytes.clear();
        self.bytes.extend_from_slice(payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload));
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape(&mut self.bytes, &mut self.buffers, &mut tape);
        let outcome = match parsed {
            Ok(()) => read(tape.as_value()),
            Err(_) if payload.contains(&0) => Err(Refusal::NulByte),
            Err(error) => Err(Refusal::NotJson { at_byte: error.index() }),
        };
        self.tape = tape.reset();
        outcome
    }
}

/// Where the conditions of a rule look an event's fields up.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The whole record.
    pub root: Option<Value<'a, 'a>>,
    /// Objects that a bare name is looked up in, in order.
    pub scopes: [Option<Value<'a, 'a>>; 3],
    /// Attributes that stand outside the body.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl<'a> Fields<'a> {
    /// A field as text: by JSON pointer if `field` begins with `/`, by name otherwise.
    pub fn get(&self, field: &str) -> Option<Cow<'a, str>> {
        if field.starts_with('/') {
            return self.root.and_then(|root| pointer(root, field)).and_then(scalar);
        }
        let attribute = self.attributes.iter().find(|(name, _)| *name == field).map(|(_, value)| Cow::Borrowed(*value));
        attribute.or_else(|| self.scopes.iter().flatten().find_map(|scope| member(*scope, field)).and_then(scalar))
    }
}

/// A member of an object; `None` for anything that isn't an object or has no such key.
pub fn member<'t, 'i>(value: Value<'t, 'i>, key: &str) -> Option<Value<'t, 'i>> {
    value.into_object()?.get(key)
}

/// A string member; empty if there is none.
pub fn text<'i>(value: Value<'_, 'i>, key: &str) -> &'i str {
    member(value, key).and_then(string).unwrap_or("")
}

/// The string that this value is.
pub fn string<'i>(value: Value<'_, 'i>) -> Option<&'i str> {
    value.into_string()
}

/// Strings as they are; numbers and booleans as JSON writes them; nothing else is text.
pub fn scalar<'i>(value: Value<'_, 'i>) -> Option<Cow<'i, str>> {
    if let Some(text) = string(value) {
        return Some(Cow::Borrowed(text));
    }
    if let Some(truth) = value.as_bool() {
        return Some(Cow::Borrowed(if truth { "true" } else { "false" }));
    }
    if let Some(number) = value.as_i64() {
        return Some(Cow::Owned(number.to_string()));
    }
    if let Some(number) = value.as_u64() {
        return Some(Cow::Owned(number.to_string()));
    }
    value.is_float().then(|| value.as_f64().map(|number| Cow::Owned(number.to_string()))).flatten()
}

/// What an RFC 6901 pointer points at.
pub fn pointer<'t, 'i>(root: Value<'t, 'i>, pointer: &str) -> Option<Value<'t, 'i>> {
    let mut value = root;
    for token in pointer.split('/').skip(1) {
        value = step(value, token)?;
    }
    Some(value)
}

fn step<'t, 'i>(value: Value<'t, 'i>, token: &str) -> Option<Value<'t, 'i>> {
    if let Some(array) = value.into_array() {
        return array.get(token.parse().ok()?);
    }
    if token.contains('~') {
        return member(value, &token.replace("~1", "/").replace("~0", "~"));
    }
    member(value, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(json: &str, at: &str) -> Option<String> {
        let read = |root: Value<'_, '_>| Ok(pointer(root, at).and_then(scalar).map(Cow::into_owned));
        Scratch::new().with(json.as_bytes(), read).expect("valid JSON")
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        let json = r#"{"a":{"b":[1,{"c":"x"}],"d/e":true,"f~g":2.5},"":"empty"}"#;
        let rows = [
            ("/a/b/0", Some("1")),
            ("/a/b/1/c", Some("x")),
            ("/a/d~1e", Some("true")),
            ("/a/f~0g", Some("2.5")),
            ("/", Some("empty")),
            ("/a", None),
            ("/a/b/7", None),
            ("/a/b/x", None),
            ("/missing/deeper", None),
        ];
        for (at, found) in rows {
            assert_eq!(look_up(json, at).as_deref(), found, "{at}");
        }
    }

    #[test]
    fn buffers_carry_nothing_from_one_record_to_the_next() {
        let mut scratch = Scratch::new();
        let read = |root: Value<'_, '_>| Ok(text(root, "a").to_owned());
        assert_eq!(scratch.with(br#"{"a":"first and longer"}"#, read), Ok("first and longer".to_owned()));
        assert_eq!(scratch.with(br#"{"b":1}"#, read), Ok(String::new()));
        assert!(scratch.with(br#"{"a":"#, read).is_err());
        assert_eq!(scratch.with(br#"{"a":"again"}"#, read), Ok("again".to_owned()));
    }

    #[test]
    fn hostile_json_is_refused_by_name() {
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        let rows: [(&[u8], bool); 6] = [
            (deep.as_bytes(), false),
            (b"", false),
            (b"{\"a\":1", false),
            (b"\xff\xfe", false),
            (b"{\"a\":\"x\0y\"}", false),
            (b"\xEF\xBB\xBF{}", true),
        ];
        for (payload, fine) in rows {
            let outcome = Scratch::new().with(payload, |_| Ok(()));
            assert_eq!(outcome.is_ok(), fine, "{payload:?}: {outcome:?}");
        }
        assert_eq!(Scratch::new().with(b"{\"a\":\"x\0y\"}", |_| Ok(())), Err(Refusal::NulByte));
    }
}
