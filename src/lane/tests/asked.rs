//! What a lane answers to "what waits?" and "why wasn't I told?".

use super::super::books::Fate;
use super::super::decisions::{DECISIONS_MAX, Decision, What};
use super::super::waiting::WaitsFor;
use super::*;
use crate::missive::answer::{Lost, NotSent};

/// The decisions since they were last asked for.
fn decided(story: &mut Story) -> Vec<Decision> {
    std::mem::take(&mut story.effects.decisions)
}

/// What the lane says of what waits: conversation, how much, for what.
fn waits(story: &mut Story) -> Vec<(Box<str>, u32, WaitsFor)> {
    story.lane.step(story.now, Input::Tick, &mut story.effects);
    let longest = story.lane.untold(10).longest.into_iter();
    longest.map(|waiting| (waiting.routing_key, waiting.pending, waiting.waits_for)).collect()
}

#[test]
fn every_observation_has_a_decision_and_every_message_too() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.alert("b", "1", State::Resolved, Urgency::Critical);
    let fates: Vec<_> = decided(&mut story)
        .into_iter()
        .map(|decision| match decision.what {
            What::Observed { place, fate, .. } => (decision.routing_key, place.position.offset, fate),
            what => panic!("{what:?}"),
        })
        .collect();
    let expected = [
        ("alerts/a".into(), 1, Fate::Waits),
        ("alerts/a".into(), 2, Fate::Settled(Outcome::Duplicate, Reason::Unchanged)),
        ("alerts/b".into(), 3, Fate::Settled(Outcome::Suppressed, Reason::UnknownResolve)),
    ];
    assert_eq!(fates, expected);

    let sent = story.sent();
    story.answer(&sent[0], Answer::Status(Status { code: 201, ..Status::default() }));
    let told = decided(&mut story);
    let sequence = sent[0].id.sequence;
    assert_eq!(
        told,
        [Decision {
            at: story.now,
            routing_key: "alerts/a".into(),
            what: What::Told { sequence, reason: Reason::First, covers: 1 }
        }]
    );
}

#[test]
fn what_is_rolled_up_names_who_speaks_for_it() {
    let mut story = Story::new();
    for group in 0..12 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Normal);
    }
    story.lane.step(story.now + Duration::from_secs(6), Input::Tick, &mut story.effects);
    let rolled = |decision: &Decision| match &decision.what {
        What::RolledUp { into, covers } => Some((into.clone(), *covers)),
        _ => None,
    };
    let rolled: Vec<_> = decided(&mut story).iter().filter_map(rolled).collect();
    assert_eq!(rolled, vec![("rollup/ops".into(), 1); 2], "a channel opens ten");
}

#[test]
fn nothing_is_decided_aloud_where_the_policy_is_silent() {
    let mut story = Story::new();
    let silent = Policy { decisions: Decisions::Untold, ..policy() };
    story.lane = Lane::new(Arc::new(silent), story.key.clone(), 1);
    story.alert("a", "1", State::Firing, Urgency::Critical);
    assert_eq!(decided(&mut story), []);
}

#[test]
fn decisions_beyond_their_bound_are_counted() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    let first = story.effects.decisions[0].clone();
    story.effects.decisions = vec![first; DECISIONS_MAX];
    story.alert("a", "2", State::Firing, Urgency::Critical);
    assert_eq!((story.effects.decisions.len(), story.effects.decisions_left_out), (DECISIONS_MAX, 1));
}

#[test]
fn who_waits_longest_says_for_what() {
    let mut story = Story::new();
    story.alert("slow", "1", State::Firing, Urgency::Normal);
    let due = story.now + Duration::from_secs(5);
    assert_eq!(waits(&mut story), [("alerts/slow".into(), 1, WaitsFor::Grouping(due))]);

    story.now = due;
    let sent = story.sent();
    assert_eq!(waits(&mut story), [("alerts/slow".into(), 1, WaitsFor::Answer)]);

    story.answer(&sent[0], Answer::Lost(Lost::Timeout));
    let retry = waits(&mut story);
    assert!(matches!(&retry[..], [(_, 1, WaitsFor::Retry(at))] if *at > story.now), "{retry:?}");
    story.now = story.now + Duration::from_secs(5);
    let again = story.sent();
    let patience = Status { code: 429, retry_after: Some(Duration::from_secs(30)), ..Status::default() };
    story.answer(&again[0], Answer::Status(patience));
    let until = story.now + Duration::from_secs(30);
    assert_eq!(waits(&mut story), [("alerts/slow".into(), 1, WaitsFor::Patience(until))]);

    story.now = until;
    let again = story.sent();
    story.answer(&again[0], Answer::Status(Status { code: 401, ..Status::default() }));
    assert!(matches!(waits(&mut story)[..], [(_, 1, WaitsFor::Halt(_))]));
}

#[test]
fn those_behind_the_budget_are_named_the_longest_waiting_first() {
    let mut story = Story::new();
    for group in 0..7 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Critical);
        story.now = story.now + Duration::from_millis(1);
    }
    let sent = story.sent();
    assert_eq!(sent.len(), 5, "so many at once");
    let waiting = waits(&mut story);
    let behind: Vec<_> = waiting.iter().filter(|(_, _, what)| *what == WaitsFor::Budget).map(|(key, ..)| key).collect();
    assert_eq!(behind, [&"alerts/g5".into(), &"alerts/g6".into()]);
    story.answer(&sent[0], Answer::NotSent(NotSent::NoConnection));
    assert_eq!(story.lane.untold(3).longest.len(), 3);
}
