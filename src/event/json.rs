//! JSON as formats see it: simd-json's tape over buffers that are reused, and look-ups in it.
//!
//! Nesting is bounded by [`DEPTH_MAX`]. A byte order mark is skipped. Of duplicate keys the first one counts. What nobody
//! may see is gone before a format sees the tape.

use std::borrow::Cow;

use simd_json::prelude::{ValueIntoObject, ValueIntoString};
use simd_json::tape::Value;
use simd_json::{Buffers, Tape};

use super::decode::Refusal;
use super::path::{Field, Found};
use super::screen::{Marks, Screen};

/// The deepest nesting that is read.
pub const DEPTH_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Buffers for one record after another.
pub struct Scratch {
    bytes: Vec<u8>,
    buffers: Buffers,
    /// Empty between two records; kept for its allocation.
    tape: Tape<'static>,
    marks: Marks,
}

impl Scratch {
    pub fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(16 * 1024),
            buffers: Buffers::with_max_depth(16 * 1024, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(1024)),
            marks: Marks::default(),
        }
    }

    /// Parses `payload` and shows its root to `read`, as `screen` lets it be seen.
    pub fn with<T>(
        &mut self,
        screen: Option<Screen<'_>>,
        payload: &[u8],
        read: impl FnOnce(Value<'_, '_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.bytes.clear();
        self.bytes.extend_from_slice(payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload));
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape(&mut self.bytes, &mut self.buffers, &mut tape);
        let outcome = match parsed {
            Ok(()) => {
                if let Some(screen) = screen {
                    screen.apply(&mut self.marks, &mut tape.0);
                }
                read(tape.as_value())
            }
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
    /// The event's own part of it, where a record holds several: pointers are followed from here first.
    pub element: Option<Value<'a, 'a>>,
    /// Objects that a bare name is looked up in, in order.
    pub scopes: [Option<Value<'a, 'a>>; 3],
    /// Attributes that stand outside the body.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl<'a> Fields<'a> {
    /// What stands there; allocates nothing.
    pub fn find(&self, field: &Field) -> Option<Found<'a>> {
        match field {
            Field::Name(name) => self.named(name),
            Field::At(path) => {
                let roots = [self.element, self.root];
                roots.into_iter().flatten().find_map(|root| path.find(root).and_then(Found::of))
            }
        }
    }

    fn named(&self, name: &str) -> Option<Found<'a>> {
        let attribute = self.attributes.iter().find(|(known, _)| *known == name);
        if let Some((_, value)) = attribute {
            return Some(Found::Text(value));
        }
        self.scopes.iter().flatten().find_map(|scope| member(*scope, name).and_then(Found::of))
    }

    /// A field as text, by its bare name.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.named(name).and_then(Found::text)
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
    Found::of(value).and_then(Found::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_carry_nothing_from_one_record_to_the_next() {
        let mut scratch = Scratch::new();
        let read = |root: Value<'_, '_>| Ok(text(root, "a").to_owned());
        assert_eq!(scratch.with(None, br#"{"a":"first and longer"}"#, read), Ok("first and longer".to_owned()));
        assert_eq!(scratch.with(None, br#"{"b":1}"#, read), Ok(String::new()));
        assert!(scratch.with(None, br#"{"a":"#, read).is_err());
        assert_eq!(scratch.with(None, br#"{"a":"again"}"#, read), Ok("again".to_owned()));
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
            let outcome = Scratch::new().with(None, payload, |_| Ok(()));
            assert_eq!(outcome.is_ok(), fine, "{payload:?}: {outcome:?}");
        }
        assert_eq!(Scratch::new().with(None, b"{\"a\":\"x\0y\"}", |_| Ok(())), Err(Refusal::NulByte));
    }
}
