//! `match = { severity = "critical", size = { above = 5 } }`: what a route asks of an event.
//!
//! A text is equality, a list is one of its texts, a table names the tests: all of them must hold. `$topic` and `$format` are
//! what the source reads, so they are decided here, once, and cost an event nothing.

use std::ops::Bound;

use toml::de::DeValue;

use super::fault::{KeyPath, quoted};
use super::raw::{Reading, Section, found};
use super::value::field;
use crate::route::{Condition, Glob, Pattern, Range, Test};

/// Fields that one route names.
const FIELDS_MAX: usize = 32;

/// Texts of one list.
const WORDS_MAX: usize = 256;

const FIELD_WANTED: &str = "the name of a field, a JSON pointer such as \"/deal/stage\", \"$topic\" or \"$format\"";

const TESTS_WANTED: &str = "a string that the field must be equal to, a list of such, or a table with tests: \
    equals, glob, regex, present, above, at_least, below, at_most";

/// What one route asks.
#[derive(Default)]
pub(super) struct Matches {
    pub conditions: Vec<Condition>,
    /// Asked of the topic and the format.
    topic: Vec<Test>,
    format: Vec<Test>,
}

impl Matches {
    /// Whether a source of this topic and format has events for it at all.
    pub fn fit(&self, topic: &str, format: &str) -> bool {
        let pass = |tests: &[Test], word: &str| tests.iter().all(|test| test.takes_word(word));
        pass(&self.topic, topic) && pass(&self.format, format)
    }
}

/// What doesn't fit is left out, with a fault noted.
pub(super) fn matches(mut section: Section<'_>) -> Matches {
    let reading = section.reading();
    let mut all = Matches::default();
    for (name, key, value) in section.entries(FIELDS_MAX) {
        let tests = tests(reading, &key, value);
        match (name, field(name)) {
            ("$topic", _) => all.topic.extend(tests),
            ("$format", _) => all.format.extend(tests),
            (_, Some(_)) if name.starts_with('$') => reading.unfit(key, quoted(name), FIELD_WANTED),
            (_, None) => reading.unfit(key, quoted(name), FIELD_WANTED),
            (_, Some(field)) => {
                all.conditions.extend(tests.into_iter().map(|test| Condition { field: field.clone(), test }));
            }
        }
    }
    all
}

fn tests(reading: &Reading<'_>, key: &KeyPath, value: &DeValue<'_>) -> Vec<Test> {
    if let Some(table) = value.as_table() {
        let named = table.iter().map(|(name, value)| (name.get_ref(), value.get_ref()));
        if table.is_empty() {
            reading.unfit(key.clone(), "an empty table", TESTS_WANTED);
        }
        return named.filter_map(|(name, value)| test(reading, &key.key(name), name, value)).collect();
    }
    let equals = words(value).map(Test::Equals);
    if equals.is_none() {
        reading.unfit(key.clone(), found(value), TESTS_WANTED);
    }
    equals.into_iter().collect()
}

fn test(reading: &Reading<'_>, key: &KeyPath, name: &str, value: &DeValue<'_>) -> Option<Test> {
    let range = |low, high| Test::Within(Range { low, high });
    let (test, wanted) = match name {
        "equals" => (words(value).map(Test::Equals), "a string, or a list of strings"),
        "glob" => (value.as_str().map(|text| Test::Like(Glob::new(text))), "a text in which * is any text"),
        "regex" => (value.as_str().and_then(Pattern::new).map(Test::Matches), "a regular expression that isn't huge"),
        "present" => {
            let test = value.as_bool().map(|present| if present { Test::Present } else { Test::Absent });
            (test, "true or false")
        }
        "above" => (number(value).map(|low| range(Bound::Excluded(low), Bound::Unbounded)), "a number"),
        "at_least" => (number(value).map(|low| range(Bound::Included(low), Bound::Unbounded)), "a number"),
        "below" => (number(value).map(|high| range(Bound::Unbounded, Bound::Excluded(high))), "a number"),
        "at_most" => (number(value).map(|high| range(Bound::Unbounded, Bound::Included(high))), "a number"),
        other => {
            reading.unfit(key.clone(), format!("the test {}", quoted(other)), TESTS_WANTED);
            return None;
        }
    };
    if test.is_none() {
        reading.unfit(key.clone(), found(value), wanted);
    }
    test
}

fn words(value: &DeValue<'_>) -> Option<Box<[Box<str>]>> {
    if let Some(word) = value.as_str() {
        return Some([word.into()].into());
    }
    let list = value.as_array().filter(|list| (1..=WORDS_MAX).contains(&list.len()))?;
    list.iter().map(|word| word.get_ref().as_str().map(Into::into)).collect()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let written = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(_)
        | DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => return None,
    };
    written.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
}
