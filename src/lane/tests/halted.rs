//! A lane whose token is refused: critical news goes another way, and is told in Missive all the same.

use super::*;

const AFTER: Duration = Duration::from_secs(120);

fn refuse(story: &mut Story) {
    for delivery in story.sent() {
        story.answer(&delivery, Answer::Status(Status { code: 401, ..Status::default() }));
    }
}

/// Lets a span pass in which Missive refuses whatever is tried; returns what was handed over, with its moment.
fn refused_for(story: &mut Story, span: Duration) -> Vec<(Timestamp, String)> {
    let end = story.now + span;
    let mut handed = Vec::new();
    while let Some(at) = story.lane.next_wakeup().filter(|at| *at <= end) {
        story.now = story.now.max(at);
        refuse(story);
        let fallbacks = std::mem::take(&mut story.effects.fallbacks);
        handed.extend(fallbacks.into_iter().map(|news| (news.at, format!("{} {}", news.routing_key, news.body))));
    }
    story.now = end;
    handed
}

#[test]
fn critical_news_goes_another_way_once_the_halt_has_lasted_and_nothing_else_does() {
    let mut story = Story::new();
    story.alert("disk", "1", State::Firing, Urgency::Critical);
    story.alert("other", "1", State::Firing, Urgency::Normal);
    let halted = story.now;
    refuse(&mut story);
    let handed = refused_for(&mut story, Duration::from_secs(600));
    let [(at, words)] = &handed[..] else { panic!("once: {handed:?}") };
    assert_eq!(*at, halted + AFTER);
    assert!(words.starts_with("alerts/disk 🔴 "), "{words}");
    assert_eq!(story.lane.books().pending(), 2, "nothing is settled by it");
}

#[test]
fn what_comes_later_is_handed_over_at_once_and_a_conversation_once_a_minute() {
    let mut story = Story::new();
    story.alert("disk", "1", State::Firing, Urgency::Critical);
    refuse(&mut story);
    refused_for(&mut story, AFTER + Duration::from_secs(10));
    story.alert("fire", "1", State::Firing, Urgency::Critical);
    let handed = refused_for(&mut story, Duration::from_secs(2));
    assert!(matches!(&handed[..], [(_, words)] if words.starts_with("alerts/fire")), "{handed:?}");
    for alert in 0..60 {
        story.alert("fire", &format!("more {alert}"), State::Firing, Urgency::Critical);
        story.now = story.now + Duration::from_secs(1);
    }
    let handed = refused_for(&mut story, Duration::from_secs(30));
    assert_eq!(handed.len(), 1, "{handed:?}");
}

#[test]
fn missive_is_told_all_of_it_when_it_takes_the_token_again() {
    let mut story = Story::new();
    story.alert("disk", "1", State::Firing, Urgency::Critical);
    refuse(&mut story);
    assert_eq!(refused_for(&mut story, Duration::from_secs(300)).len(), 1);
    story.pass(Duration::from_secs(60));
    assert_eq!(story.told.len(), 1, "{:?}", story.told);
    assert_eq!(story.lane.books().of(Outcome::Delivered), 1);
    assert_eq!(story.effects.fallbacks, []);
}

#[test]
fn without_another_way_nothing_is_handed_over() {
    let mut story = Story::new();
    let policy = Policy { fallback_after: None, ..policy() };
    story.lane = Lane::new(Arc::new(policy), story.key.clone(), 1);
    story.alert("disk", "1", State::Firing, Urgency::Critical);
    refuse(&mut story);
    assert_eq!(refused_for(&mut story, Duration::from_secs(600)), []);
}
