//! Which rules can never take an event: told when the config is checked, not when an alert is missed.
//!
//! It is a proof where it speaks and no promise where it is silent: a rule is named only if every event that it would take is
//! taken by one earlier rule, or if its own conditions exclude one another. What only several earlier rules take together,
//! or what no sender ever says, isn't seen.

use std::ops::Bound;

use super::condition::{Condition, Range, Test};
use super::{After, Rule, Takes};

/// Why a rule never takes anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Never<'r> {
    /// The rule at this place takes all of it before.
    Shadowed(usize),
    /// These two of its conditions exclude one another.
    Contradiction(&'r Condition, &'r Condition),
}

/// The rules that never take anything, by their places.
pub fn unreachable(rules: &[Rule]) -> Vec<(usize, Never<'_>)> {
    let places = rules.iter().enumerate();
    places.filter_map(|(place, rule)| Some((place, never(rules, place, rule)?))).collect()
}

fn never<'r>(rules: &'r [Rule], place: usize, rule: &'r Rule) -> Option<Never<'r>> {
    contradiction(rule).or_else(|| {
        let greedy = |earlier: &Rule| takes_all_of(earlier, rule) && stops(earlier, rule);
        rules[..place].iter().position(greedy).map(Never::Shadowed)
    })
}

/// Whether what `earlier` takes doesn't come to `rule`.
fn stops(earlier: &Rule, rule: &Rule) -> bool {
    match (earlier.after, rule.takes) {
        (After::Stop, _) | (After::Continue, Takes::Leftovers) => true,
        (After::Continue, Takes::Matching) => false,
    }
}

fn contradiction(rule: &Rule) -> Option<Never<'_>> {
    let pairs = rule
        .conditions
        .iter()
        .enumerate()
        .flat_map(|(place, one)| rule.conditions[place + 1..].iter().map(move |other| (one, other)));
    let excludes =
        |(one, other): &(&Condition, &Condition)| one.field == other.field && exclude(&one.test, &other.test);
    pairs.into_iter().find(excludes).map(|(one, other)| Never::Contradiction(one, other))
}

/// Whether `earlier` takes everything that `rule` would: each of its conditions follows from one of the rule's.
fn takes_all_of(earlier: &Rule, rule: &Rule) -> bool {
    let follows = |wanted: &Condition| {
        rule.conditions.iter().any(|known| known.field == wanted.field && implies(&known.test, &wanted.test))
    };
    earlier.conditions.iter().all(follows)
}

/// Whether whatever passes `known` passes `wanted`, too.
fn implies(known: &Test, wanted: &Test) -> bool {
    if known == wanted {
        return true;
    }
    match (known, wanted) {
        (Test::Absent, _) | (_, Test::Absent) => false,
        (_, Test::Present) => true,
        (Test::Equals(words), _) => words.iter().all(|word| wanted.takes_word(word)),
        (Test::Within(inner), Test::Within(outer)) => lies_within(inner, outer),
        (Test::Present | Test::Like(_) | Test::Matches(_) | Test::Within(_), _) => false,
    }
}

/// Whether nothing passes both.
fn exclude(one: &Test, other: &Test) -> bool {
    match (one, other) {
        (Test::Absent, Test::Absent) => false,
        (Test::Absent, _) | (_, Test::Absent) => true,
        (Test::Equals(words), test) | (test, Test::Equals(words)) => !words.iter().any(|word| test.takes_word(word)),
        (Test::Within(one), Test::Within(other)) => are_apart(one, other) || are_apart(other, one),
        (
            Test::Present | Test::Like(_) | Test::Matches(_) | Test::Within(_),
            Test::Present | Test::Like(_) | Test::Matches(_) | Test::Within(_),
        ) => false,
    }
}

fn lies_within(inner: &Range, outer: &Range) -> bool {
    let low = match (inner.low, outer.low) {
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
        (Bound::Included(inner), Bound::Excluded(outer)) => inner > outer,
        (Bound::Included(inner) | Bound::Excluded(inner), Bound::Included(outer))
        | (Bound::Excluded(inner), Bound::Excluded(outer)) => inner >= outer,
    };
    low && match (inner.high, outer.high) {
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
        (Bound::Included(inner), Bound::Excluded(outer)) => inner < outer,
        (Bound::Included(inner) | Bound::Excluded(inner), Bound::Included(outer))
        | (Bound::Excluded(inner), Bound::Excluded(outer)) => inner <= outer,
    }
}

/// Whether `lower` ends before `upper` begins.
fn are_apart(lower: &Range, upper: &Range) -> bool {
    match (lower.high, upper.low) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(high), Bound::Included(low)) => high < low,
        (Bound::Included(high) | Bound::Excluded(high), Bound::Excluded(low))
        | (Bound::Excluded(high), Bound::Included(low)) => high <= low,
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::{Glob, Pattern};
    use super::*;
    use crate::event::Field;

    fn condition(field: &str, test: Test) -> Condition {
        Condition { field: Field::parse(field).expect("a field"), test }
    }

    fn equals(field: &str, words: &[&str]) -> Condition {
        condition(field, Test::Equals(words.iter().map(|word| (*word).into()).collect()))
    }

    fn within(field: &str, low: Bound<f64>, high: Bound<f64>) -> Condition {
        condition(field, Test::Within(Range { low, high }))
    }

    fn rule(conditions: &[Condition]) -> Rule {
        Rule { conditions: conditions.to_vec(), ..Rule::new("r", "default") }
    }

    /// Whether the second is unreachable behind the first.
    fn shadows(first: &Rule, second: &Rule) -> bool {
        unreachable(&[first.clone(), second.clone()]).iter().any(|(place, never)| {
            assert!(matches!(never, Never::Shadowed(0)), "{never:?}");
            *place == 1
        })
    }

    #[test]
    fn a_rule_behind_one_that_takes_all_of_it_is_never_reached() {
        use Bound::{Excluded, Included, Unbounded};
        let team = |words: &[&str]| rule(&[equals("team", words)]);
        let like = |text: &str| rule(&[condition("team", Test::Like(Glob::new(text)))]);
        let regex = |text: &str| rule(&[condition("team", Test::Matches(Pattern::new(text).expect("it")))]);
        let size = |low, high| rule(&[within("size", low, high)]);
        let both = rule(&[equals("team", &["pay"]), equals("severity", &["critical"])]);
        let rows = [
            ("everything before something", rule(&[]), team(&["pay"]), true),
            ("something before everything", team(&["pay"]), rule(&[]), false),
            ("the same twice", team(&["pay"]), team(&["pay"]), true),
            ("the wider before the narrower", team(&["pay", "web"]), team(&["pay"]), true),
            ("the narrower before the wider", team(&["pay"]), team(&["pay", "web"]), false),
            ("fewer conditions before more", team(&["pay"]), both.clone(), true),
            ("more conditions before fewer", both, team(&["pay"]), false),
            ("a glob before what it takes", like("pay-*"), team(&["pay-1"]), true),
            ("a glob before what it doesn't", like("pay-*"), team(&["web-1"]), false),
            ("an expression before what it takes", regex("^pay"), team(&["pay-1", "pay-2"]), true),
            ("presence before a value", rule(&[condition("team", Test::Present)]), like("x*"), true),
            ("absence before a value", rule(&[condition("team", Test::Absent)]), like("x*"), false),
            (
                "a wider range before a narrower",
                size(Included(5.0), Unbounded),
                size(Excluded(5.0), Included(9.0)),
                true,
            ),
            ("a narrower range before a wider", size(Excluded(5.0), Unbounded), size(Included(5.0), Unbounded), false),
            ("a range before a number in it", size(Included(5.0), Unbounded), rule(&[equals("size", &["7"])]), true),
            ("another field", team(&["pay"]), rule(&[equals("/team", &["pay"])]), false),
        ];
        for (sentence, first, second, wanted) in rows {
            assert_eq!(shadows(&first, &second), wanted, "{sentence}");
        }
    }

    #[test]
    fn a_rule_that_continues_leaves_others_their_part_but_not_the_leftovers() {
        let greedy = Rule { after: After::Continue, ..rule(&[]) };
        assert!(!shadows(&greedy, &rule(&[equals("team", &["pay"])])));
        assert!(shadows(&greedy, &Rule { takes: Takes::Leftovers, ..rule(&[]) }));
    }

    #[test]
    fn conditions_that_exclude_one_another_are_told() {
        use Bound::{Excluded, Included, Unbounded};
        let rows = [
            ("a value outside of its range", [equals("n", &["4"]), within("n", Excluded(4.0), Unbounded)], true),
            ("a value inside", [equals("n", &["5"]), within("n", Excluded(4.0), Unbounded)], false),
            ("ranges apart", [within("n", Excluded(5.0), Unbounded), within("n", Unbounded, Included(5.0))], true),
            (
                "ranges that touch",
                [within("n", Included(5.0), Unbounded), within("n", Unbounded, Included(5.0))],
                false,
            ),
            ("absent, yet equal", [condition("n", Test::Absent), equals("n", &["5"])], true),
            ("two fields", [condition("m", Test::Absent), equals("n", &["5"])], false),
        ];
        for (sentence, conditions, wanted) in rows {
            let rules = [rule(&conditions)];
            let told = unreachable(&rules);
            assert_eq!(matches!(&told[..], [(0, Never::Contradiction(..))]), wanted, "{sentence}");
        }
    }
}
