//! Heartbeat routes: what nobody sends is news.

use super::super::heart::{Beats, Heart};
use super::*;

const WITHIN: Duration = Duration::from_secs(600);

/// A lane whose hearts are listened to from now on.
fn listening() -> Story {
    let mut story = Story::new();
    story.lane.resume(story.now, &mut story.effects);
    story
}

fn beat(story: &mut Story, state: State) {
    let entity = story.key.fingerprint(&[b"watchdog"]);
    story.observe("watchdog", "{}:{}", entity, state, Urgency::Normal, None);
}

#[test]
fn signs_of_life_are_counted_and_never_told() {
    let mut story = listening();
    for _ in 0..20 {
        beat(&mut story, State::Firing);
        story.pass(WITHIN / 2);
    }
    assert_eq!(story.told, Vec::<String>::new());
    assert_eq!(story.lane.books().of(Outcome::Suppressed), 20);
    let heard_at = story.now - WITHIN / 2;
    assert_eq!(story.lane.hearts(), [Heart { route: "watchdog".into(), heard_at, beats: Beats::Regularly }]);
}

#[test]
fn silence_is_told_as_critical_once_and_its_end_too() {
    let mut story = listening();
    beat(&mut story, State::Firing);
    story.pass(WITHIN - Duration::from_secs(1));
    assert_eq!(story.told.len(), 0);
    story.pass(HOUR * 48);
    assert_eq!(story.told.len(), 1, "{:?}", story.told);
    let first = story.told[0].lines().next().expect("a line");
    assert_eq!(first, "🔴 No heartbeat from watchdog: nothing heard for 10m");
    assert_eq!(story.lane.hearts()[0].beats, Beats::NoMore);

    beat(&mut story, State::Firing);
    story.pass(Duration::from_secs(120));
    assert_eq!(story.told.len(), 2, "{:?}", story.told);
    assert!(story.told[1].starts_with("🟢 resolved"), "{}", story.told[1]);
    assert_eq!(story.lane.hearts()[0].beats, Beats::Regularly);
}

#[test]
fn a_heart_that_never_beat_is_missed_as_well() {
    let mut story = listening();
    story.pass(WITHIN + Duration::from_secs(1));
    assert_eq!(story.told.len(), 1, "{:?}", story.told);
}

#[test]
fn that_the_senders_alert_is_over_is_no_sign_of_life() {
    let mut story = listening();
    story.pass(WITHIN / 2);
    beat(&mut story, State::Resolved);
    story.pass(WITHIN / 2 + Duration::from_secs(1));
    assert_eq!(story.told.len(), 1, "{:?}", story.told);
}

#[test]
fn a_successor_gives_it_its_whole_span_and_knows_what_was_told() {
    let mut story = listening();
    beat(&mut story, State::Firing);
    story.now = story.now + WITHIN * 3;
    story.restart();
    story.pass(WITHIN - Duration::from_secs(1));
    assert_eq!(story.told.len(), 0, "nobody listened in between");
    story.pass(Duration::from_secs(2));
    assert_eq!(story.told.len(), 1);
}

#[test]
fn a_heart_that_fails_again_much_later_is_a_new_episode() {
    let mut story = listening();
    let mut references = Vec::new();
    for _ in 0..2 {
        story.now = story.now + WITHIN;
        let sent = story.sent();
        let Request::Message { body, .. } = &sent[0].request else { panic!("nothing is in doubt") };
        let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        references.push(body["messages"]["references"].clone());
        story.answer(&sent[0], Answer::Status(Status { code: 201, ..Status::default() }));
        beat(&mut story, State::Firing);
        for _ in 0..12 {
            story.pass(WITHIN / 2);
            beat(&mut story, State::Firing);
        }
    }
    assert_ne!(references[0], references[1]);
}
