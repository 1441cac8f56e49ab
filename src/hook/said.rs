//! A proven body as JSON, parsed in place: simd-json's tape over the body's own bytes, and look-ups that allocate nothing.
//!
//! Parsing rewrites the bytes (escapes are resolved where they stand), so it takes a [`Verified`] body for itself: the MAC has
//! run before, and nobody sees the bytes after. A [`Part`] is a place in it, or nothing where nothing is; it is written again
//! as Missive wrote it, but for white space. Of duplicate names the first one counts. Limit: [`DEPTH_MAX`].

use std::cell::RefCell;

use serde::{Serialize, Serializer};
use simd_json::prelude::{ValueAsScalar, ValueIntoArray, ValueIntoObject, ValueIntoString};
use simd_json::tape::{Array, Value};
use simd_json::{Buffers, Tape};

use super::proof::{Body, Verified};
use super::refusal::Refusal;

/// The deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// Bodies up to this many bytes are parsed in scratch space that their thread keeps.
const SCRATCH_BYTES_MAX: usize = 16 * 1_024;

thread_local! {
    /// Nothing of what is said stays in it but bytes that the next body overwrites.
    static SCRATCH: RefCell<Buffers> = RefCell::new(scratch(SCRATCH_BYTES_MAX));
}

fn scratch(bytes: usize) -> Buffers {
    Buffers::with_max_depth(bytes, DEPTH_MAX)
}

/// What a proven body says, whole.
#[derive(Debug)]
pub struct Said<'b> {
    tape: Tape<'b>,
    digest: [u8; 32],
}

impl<'b> Said<'b> {
    /// Parses a proven body; its bytes are not what they were, even if it can't be parsed.
    pub fn parse(body: &'b mut Verified<Body>) -> Result<Self, Refusal> {
        let (bytes, digest) = body.open();
        let mut tape = Tape(Vec::new());
        let parsed = if bytes.len() <= SCRATCH_BYTES_MAX {
            SCRATCH.with_borrow_mut(|scratch| simd_json::fill_tape(bytes, scratch, &mut tape))
        } else {
            simd_json::fill_tape(bytes, &mut scratch(bytes.len()), &mut tape)
        };
        parsed.map_err(|_| Refusal::Unreadable)?;
        Ok(Self { tape, digest })
    }

    /// The body's MAC.
    pub(super) const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(super) fn root(&self) -> Part<'_> {
        Part(Some(self.tape.as_value()))
    }
}

/// A place in a body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part<'b>(Option<Value<'b, 'b>>);

impl<'b> Part<'b> {
    /// The member of this name.
    pub(super) fn at(self, name: &str) -> Self {
        Self(self.0.and_then(|value| value.into_object()?.get(name)))
    }

    /// The first item of a list; what is no list is its own.
    pub(super) fn first(self) -> Self {
        match self.items() {
            Some(items) => Self(items.get(0)),
            None => self,
        }
    }

    pub(super) fn text(self) -> Option<&'b str> {
        self.0.and_then(|value| value.into_string())
    }

    pub(super) fn number(self) -> Option<i64> {
        self.0?.as_i64()
    }

    /// Absent or `null`.
    pub(super) fn is_nothing(self) -> bool {
        self.0.is_none_or(|value| value.as_null().is_some())
    }

    pub(super) fn is_object(self) -> bool {
        self.0.is_some_and(|value| value.into_object().is_some())
    }

    /// This if it is a list, otherwise nothing.
    pub(super) fn list(self) -> Self {
        Self(self.0.filter(|value| value.into_array().is_some()))
    }

    /// Its items; none where it is no list.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        self.items().into_iter().flat_map(|items| items.iter()).map(|item| Self(Some(item)))
    }

    fn items(self) -> Option<Array<'b, 'b>> {
        self.0?.into_array()
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(value) = self.0 else { return serializer.serialize_none() };
        if let Some(text) = value.into_string() {
            return serializer.serialize_str(text);
        }
        if let Some(items) = value.into_array() {
            return serializer.collect_seq(items.iter().map(|item| Part(Some(item))));
        }
        if let Some(members) = value.into_object() {
            return serializer.collect_map(members.iter().map(|(name, member)| (name, Part(Some(member)))));
        }
        scalar(value, serializer)
    }
}

fn scalar<S: Serializer>(value: Value<'_, '_>, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(truth) = value.as_bool() {
        return serializer.serialize_bool(truth);
    }
    match (value.as_i64(), value.as_u64(), value.as_f64()) {
        (Some(signed), _, _) => serializer.serialize_i64(signed),
        (None, Some(unsigned), _) => serializer.serialize_u64(unsigned),
        (None, None, Some(float)) => serializer.serialize_f64(float),
        (None, None, None) => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::proven;
    use super::*;

    #[test]
    fn what_is_said_is_written_again_as_it_was() {
        let rows = [
            r#"{"a":"b","é":"\n\"\\/","n":null,"t":true,"f":false}"#,
            r#"[1,-1,0,18446744073709551615,-9223372036854775808,1.5,-2.5e-7]"#,
            r#"{"a":{"b":[{"c":[]},{}]},"d":[[],[[]]]}"#,
            r#""text""#,
        ];
        for row in rows {
            let mut body = proven(row.as_bytes());
            let said = Said::parse(&mut body).expect("JSON");
            assert_eq!(serde_json::to_string(&said.root()).expect("JSON"), row);
        }
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let (deep, deepest) = (nested(DEPTH_MAX + 2), nested(DEPTH_MAX - 2));
        assert!(Said::parse(&mut proven(deepest.as_bytes())).is_ok());
        for body in ["", "ack", "{", "{} {}", r#"{"a":1,}"#, "\"\u{7}\"", &deep] {
            assert_eq!(Said::parse(&mut proven(body.as_bytes())).err(), Some(Refusal::Unreadable), "{body:.40}");
        }
        assert_eq!(Said::parse(&mut proven(b"\"\xff\"")).err(), Some(Refusal::Unreadable), "no UTF-8");
        assert!(Said::parse(&mut proven(deepest.as_bytes())).is_ok(), "in the scratch space of those that failed");
        let long = format!("[{}1]", "1,".repeat(SCRATCH_BYTES_MAX));
        assert!(Said::parse(&mut proven(long.as_bytes())).is_ok(), "longer than that");
    }
}
