//! Places in an event, prepared once: RFC 6901 pointers, bare names, and what stands there.
//!
//! A [`Path`] is split and unescaped when the config is read, so that following one allocates nothing. Array places are
//! digits without leading zeros, as RFC 6901 wants them; `null` counts as nothing being there.

use std::borrow::Cow;
use std::fmt;

use simd_json::prelude::{ValueAsScalar, ValueIntoArray, ValueIntoObject, ValueIntoString};
use simd_json::tape::Value;

/// An RFC 6901 pointer. The empty one points at the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: Box<str>,
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub key: Box<str>,
    pub index: Option<usize>,
}

impl Path {
    /// `None` if `text` is no pointer: it must be empty or begin with `/`, and `~` only stands in `~0` and `~1`.
    pub fn parse(text: &str) -> Option<Self> {
        let escaped = |rest: &str| rest.starts_with(['0', '1']);
        let is_pointer = (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(escaped);
        let steps = || text.split('/').skip(1).map(Step::new).collect();
        is_pointer.then(|| Self { text: text.into(), steps: steps() })
    }

    /// What it points at.
    pub fn find<'t, 'i>(&self, root: Value<'t, 'i>) -> Option<Value<'t, 'i>> {
        self.steps.iter().try_fold(root, |value, step| step.follow(value))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    fn new(token: &str) -> Self {
        let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
        let index = if plain { token.parse().ok() } else { None };
        Self { key: token.replace("~1", "/").replace("~0", "~").into(), index }
    }

    fn follow<'t, 'i>(&self, value: Value<'t, 'i>) -> Option<Value<'t, 'i>> {
        match value.into_object() {
            Some(object) => object.get(&*self.key),
            None => value.into_array()?.get(self.index?),
        }
    }
}

/// What a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A label, an attribute, a member: what the format looks bare names up in.
    Name(Box<str>),
    /// A place in the event, or in the record that holds it.
    At(Path),
}

impl Field {
    /// A pointer if `text` begins with `/`, a name otherwise; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            pointer if pointer.starts_with('/') => Path::parse(pointer).map(Self::At),
            name => Some(Self::Name(name.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::At(path) => path.as_str(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands at a place; borrowed, so that looking costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    Text(&'a str),
    Truth(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// An object or an array.
    Container,
}

impl<'a> Found<'a> {
    /// `None` for `null`.
    pub fn of(value: Value<'_, 'a>) -> Option<Self> {
        if let Some(text) = value.into_string() {
            return Some(Self::Text(text));
        }
        if value.into_object().is_some() || value.into_array().is_some() {
            return Some(Self::Container);
        }
        let truth = value.as_bool().map(Self::Truth);
        let whole = || value.as_i64().map(Self::Signed).or_else(|| value.as_u64().map(Self::Unsigned));
        truth.or_else(whole).or_else(|| value.as_f64().map(Self::Float))
    }

    /// Strings as they are; numbers and booleans as JSON writes them; containers are no text.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Truth(truth) => Some(Cow::Borrowed(if truth { "true" } else { "false" })),
            Self::Signed(number) => Some(Cow::Owned(number.to_string())),
            Self::Unsigned(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            Self::Container => None,
        }
    }

    /// A number, also one that is written as a string.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Text(text) if text.len() <= 64 => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Signed(number) => Some(number as f64),
            Self::Unsigned(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Text(_) | Self::Truth(_) | Self::Container => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Scratch;
    use super::*;

    fn look_up(json: &str, at: &str) -> Option<String> {
        let path = Path::parse(at).expect("a pointer");
        let read =
            |root: Value<'_, '_>| Ok(path.find(root).and_then(Found::of).and_then(Found::text).map(Cow::into_owned));
        Scratch::new().with(None, json.as_bytes(), read).expect("valid JSON")
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        let json =
            r#"{"a":{"b":[1,{"c":"x"}],"d/e":true,"f~g":2.5,"0":"key"},"":"empty","n":null,"u":18446744073709551615}"#;
        let rows = [
            ("/a/b/0", Some("1")),
            ("/a/b/1/c", Some("x")),
            ("/a/d~1e", Some("true")),
            ("/a/f~0g", Some("2.5")),
            ("/a/0", Some("key")),
            ("/u", Some("18446744073709551615")),
            ("/", Some("empty")),
            ("/a", None),
            ("/n", None),
            ("/a/b/7", None),
            ("/a/b/x", None),
            ("/a/b/00", None),
            ("/a/b/-", None),
            ("/missing/deeper", None),
        ];
        for (at, found) in rows {
            assert_eq!(look_up(json, at).as_deref(), found, "{at}");
        }
        assert_eq!(look_up("\"whole\"", "").as_deref(), Some("whole"));
    }

    #[test]
    fn what_is_no_pointer_is_not_taken_for_one() {
        for text in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_numbers_in_quotes_too_and_words_are_none() {
        let rows = [
            (Found::Text(" 12.5 "), Some(12.5)),
            (Found::Signed(-3), Some(-3.0)),
            (Found::Text("inf"), None),
            (Found::Text("twelve"), None),
            (Found::Truth(true), None),
            (Found::Container, None),
        ];
        for (found, number) in rows {
            assert_eq!(found.number(), number, "{found:?}");
        }
    }
}
