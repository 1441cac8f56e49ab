//! What a rule asks of a field: equality, a glob, a regular expression, presence, a comparison of numbers.
//!
//! Asking allocates nothing: numbers are written on the stack to be compared as text. A field that isn't there (or is `null`)
//! holds for `present = false` alone. Objects and arrays are there, and equal nothing. Expressions take linear time and have
//! a bounded size.

use std::fmt::{self, Write as _};
use std::ops::Bound;

use regex::{Regex, RegexBuilder};

use crate::event::{Field, Found};

/// What a compiled expression may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One field must pass one test.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// A label, an attribute, or (with a leading `/`) a JSON pointer into the event.
    pub field: Field,
    pub test: Test,
}

/// What a field must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// One of these.
    Equals(Box<[Box<str>]>),
    Like(Glob),
    Matches(Pattern),
    Present,
    Absent,
    /// A number within these bounds, in quotes or not.
    Within(Range),
}

/// `*` stands for any text; there are no other signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    /// What stands between the stars; at least one.
    parts: Box<[Box<str>]>,
}

/// A regular expression, to be found anywhere in the text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// Bounds of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: Bound<f64>,
    pub high: Bound<f64>,
}

impl Condition {
    pub fn holds(&self, found: Option<Found<'_>>) -> bool {
        match (&self.test, found) {
            (Test::Absent, found) => found.is_none(),
            (Test::Present, found) => found.is_some(),
            (Test::Equals(_) | Test::Like(_) | Test::Matches(_) | Test::Within(_), None) => false,
            (Test::Within(range), Some(found)) => found.number().is_some_and(|number| range.holds(number)),
            (Test::Equals(_) | Test::Like(_) | Test::Matches(_), Some(found)) => match found {
                Found::Text(text) => self.test.takes(text),
                Found::Truth(truth) => self.test.takes(if truth { "true" } else { "false" }),
                Found::Signed(number) => self.test.takes(Written::<20>::of(number).as_str()),
                Found::Unsigned(number) => self.test.takes(Written::<20>::of(number).as_str()),
                Found::Float(number) => self.test.takes(Written::<360>::of(number).as_str()),
                Found::Container => false,
            },
        }
    }
}

impl Test {
    /// Whether a word passes that is there, in quotes or as a number.
    pub fn takes_word(&self, word: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Absent => false,
            Self::Within(range) => Found::Text(word).number().is_some_and(|number| range.holds(number)),
            Self::Equals(_) | Self::Like(_) | Self::Matches(_) => self.takes(word),
        }
    }

    /// Whether a text passes; false for tests that aren't about text.
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Equals(words) => words.iter().any(|word| **word == *text),
            Self::Like(glob) => glob.takes(text),
            Self::Matches(pattern) => pattern.0.is_match(text),
            Self::Present | Self::Absent | Self::Within(_) => false,
        }
    }
}

impl Glob {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), parts: text.split('*').map(Into::into).collect() }
    }

    fn takes(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &*self.parts else { return *text == *self.text };
        let inner = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
        let mut rest = inner;
        for part in middle {
            rest = rest.and_then(|rest| rest.find(&**part).map(|at| &rest[at + part.len()..]));
        }
        rest.is_some()
    }
}

impl Pattern {
    /// `None` if it is no expression, or too large a one.
    pub fn new(text: &str) -> Option<Self> {
        RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build().ok().map(Self)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Range {
    fn holds(&self, number: f64) -> bool {
        let above = match self.low {
            Bound::Included(low) => number >= low,
            Bound::Excluded(low) => number > low,
            Bound::Unbounded => true,
        };
        above
            && match self.high {
                Bound::Included(high) => number <= high,
                Bound::Excluded(high) => number < high,
                Bound::Unbounded => true,
            }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.test)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(words) => {
                let words = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>();
                write!(f, "= {}", words.join(" or "))
            }
            Self::Like(glob) => write!(f, "like {:?}", glob.text),
            Self::Matches(pattern) => write!(f, "matches {:?}", pattern.0.as_str()),
            Self::Present => f.write_str("is there"),
            Self::Absent => f.write_str("is not there"),
            Self::Within(range) => write!(f, "{range}"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = match self.low {
            Bound::Included(low) => Some(format!(">= {low}")),
            Bound::Excluded(low) => Some(format!("> {low}")),
            Bound::Unbounded => None,
        };
        let high = match self.high {
            Bound::Included(high) => Some(format!("<= {high}")),
            Bound::Excluded(high) => Some(format!("< {high}")),
            Bound::Unbounded => None,
        };
        f.write_str(&low.into_iter().chain(high).collect::<Vec<_>>().join(" and "))
    }
}

/// A number as JSON writes it, on the stack.
struct Written<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Written<N> {
    fn of(number: impl fmt::Display) -> Self {
        let mut written = Self { bytes: [0; N], len: 0 };
        // What doesn't fit is cut, and then equals nothing that somebody would ask for.
        let _ = write!(written, "{number}");
        written
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for Written<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(test: Test, found: Option<Found<'_>>) -> bool {
        Condition { field: Field::parse("x").expect("a field"), test }.holds(found)
    }

    fn equals(words: &[&str]) -> Test {
        Test::Equals(words.iter().map(|word| (*word).into()).collect())
    }

    fn within(low: Bound<f64>, high: Bound<f64>) -> Test {
        Test::Within(Range { low, high })
    }

    #[test]
    fn each_test_holds_for_what_it_says() {
        use Bound::{Excluded, Included, Unbounded};
        let glob = |text: &str| Test::Like(Glob::new(text));
        let regex = |text: &str| Test::Matches(Pattern::new(text).expect("an expression"));
        let text = |text| Some(Found::Text(text));
        let rows = [
            ("a text equals itself", equals(&["pay"]), text("pay"), true),
            ("and nothing else", equals(&["pay"]), text("Pay"), false),
            ("one of several", equals(&["pay", "web"]), text("web"), true),
            ("a number as it is written", equals(&["12"]), Some(Found::Signed(12)), true),
            ("a negative one", equals(&["-9223372036854775808"]), Some(Found::Signed(i64::MIN)), true),
            ("a large one", equals(&["18446744073709551615"]), Some(Found::Unsigned(u64::MAX)), true),
            ("a fraction", equals(&["2.5"]), Some(Found::Float(2.5)), true),
            ("a hostile fraction", equals(&["0"]), Some(Found::Float(f64::MAX)), false),
            ("a truth", equals(&["true"]), Some(Found::Truth(true)), true),
            ("a container equals nothing", equals(&[""]), Some(Found::Container), false),
            ("nothing equals nothing", equals(&[""]), None, false),
            ("a glob's beginning", glob("pay-*"), text("pay-1"), true),
            ("and no other", glob("pay-*"), text("repay-1"), false),
            ("beginning and end don't overlap", glob("aa*aa"), text("aaa"), false),
            ("parts in order", glob("*a*b*"), text("xaxbx"), true),
            ("parts out of order", glob("*a*b*"), text("xbxax"), false),
            ("a glob without stars is a text", glob("pay"), text("pay-1"), false),
            ("an expression anywhere", regex("^p.y"), text("pay-1"), true),
            ("an expression on a number", regex("^5"), Some(Found::Signed(503)), true),
            ("presence", Test::Present, Some(Found::Container), true),
            ("no presence", Test::Present, None, false),
            ("absence", Test::Absent, None, true),
            ("above", within(Excluded(5.0), Unbounded), Some(Found::Signed(5)), false),
            ("at least", within(Included(5.0), Unbounded), Some(Found::Signed(5)), true),
            ("between", within(Included(5.0), Excluded(6.0)), Some(Found::Float(5.5)), true),
            ("a number in quotes", within(Unbounded, Included(5.0)), text("4.9"), true),
            ("a word is no number", within(Unbounded, Included(5.0)), text("four"), false),
        ];
        for (sentence, test, found, wanted) in rows {
            assert_eq!(holds(test, found), wanted, "{sentence}");
        }
    }

    #[test]
    fn what_is_no_expression_or_a_huge_one_is_none() {
        for text in ["(", "[z-a]", "(a{1000}){1000}"] {
            assert!(Pattern::new(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_glob_takes_what_its_expression_takes(glob in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let expression = format!("^{}$", glob.replace('*', ".*"));
            let wanted = Regex::new(&expression).expect("an expression").is_match(&text);
            prop_assert_eq!(Glob::new(&glob).takes(&text), wanted);
        }
    }
}
