//! What comes to a lane once more: read again after a crash, rewound by an operator, from a topic created anew, or sent back
//! from the dead letters.

use super::*;
use crate::event::frame::Returned;
use crate::event::{Course, TopicId};

/// A person's words at an offset of a topic in one of its lives.
fn said(story: &mut Story, id: u128, course: Course, offset: i64, text: &str) {
    let identity = story.key.fingerprint(&[text.as_bytes()]);
    let observation = Observation {
        position: Position { offset, index: 0 },
        route: "chat",
        at: story.now,
        old: false,
        entity: identity,
        identity,
        state: State::Said,
        urgency: Urgency::Normal,
        since: None,
        conversation: Cow::Borrowed("ann"),
        facts: Facts { text: Cow::Borrowed(text), author: Cow::Borrowed("Ann"), ..Facts::default() },
    };
    let mut builder = FrameBuilder::of(TopicId::from_u128(id), course);
    builder.push(&observation);
    builder.drop_duplicate(identity, Position { offset, index: 1 }, || ("chat", "ann"));
    let mut bytes = Vec::new();
    builder.seal("default", "topic", 0, &mut bytes);
    let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("a frame") };
    story.lane.step(story.now, Input::Observed(&frame), &mut story.effects);
}

fn send_back(story: &mut Story, routing_key: &str, words: &str, nonce: u128) {
    let returned = Returned {
        lane: "default",
        routing_key,
        subject: "it",
        author: "",
        words,
        nonce: Fingerprint::from_u128(nonce),
        at: story.now,
    };
    story.lane.step(story.now, Input::Returned(&returned), &mut story.effects);
}

fn settled(story: &Story, outcome: Outcome, reason: Reason) -> u64 {
    let entries = story.lane.books().entries();
    entries.filter(|(of, why, _)| (*of, *why) == (outcome, reason)).map(|(_, _, count)| count).sum()
}

#[test]
fn what_a_crash_reads_again_is_dropped_and_has_no_second_outcome() {
    let mut story = Story::new();
    said(&mut story, 7, Course::Onward, 5, "one");
    said(&mut story, 7, Course::Onward, 5, "one");
    story.pass(secs(10));
    assert_eq!((story.told.len(), story.lane.books().folded()), (1, 2));
    assert_eq!(story.lane.tally().read_again, 2);
    assert_eq!(settled(&story, Outcome::Suppressed, Reason::Rewound), 0);
}

#[test]
fn what_an_operator_rewinds_below_the_mark_is_dropped_counted_and_named() {
    let mut story = Story::new();
    said(&mut story, 7, Course::Onward, 5, "one");
    said(&mut story, 7, Course::SetByOperator, 4, "zero");
    said(&mut story, 7, Course::SetByOperator, 5, "one");
    let notices = std::mem::take(&mut story.effects.notices);
    assert_eq!(notices, [Notice::Rewound { topic: "topic".into(), partition: 0, count: 4 }], "told together");
    said(&mut story, 7, Course::SetByOperator, 6, "two");
    story.pass(secs(10));
    assert_eq!(story.told, ["one", "two"], "beyond the mark it goes on");
    assert_eq!(settled(&story, Outcome::Suppressed, Reason::Rewound), 4);
}

#[test]
fn a_topic_created_anew_is_folded_anew_and_named() {
    let mut story = Story::new();
    said(&mut story, 7, Course::Onward, 5, "one");
    said(&mut story, 8, Course::Onward, 0, "two");
    said(&mut story, 8, Course::Onward, 1, "three");
    assert_eq!(story.effects.notices, [Notice::Recreated { topic: "topic".into(), partition: 0 }]);
    said(&mut story, 7, Course::Onward, 5, "one");
    story.pass(secs(10));
    assert_eq!(story.told.concat().matches("one").count(), 1, "a late frame of its former life is known");
    assert!(story.told.concat().contains("three"), "{:?}", story.told);
    assert_eq!(story.lane.tally().partitions_recreated, 1);
}

#[test]
fn marks_come_back_with_their_topics_ids_and_from_the_version_before() {
    let mut story = Story::new();
    said(&mut story, 7, Course::Onward, 5, "one");
    let stored = story.lane.record(StateKey::Marks).expect("marks");
    let before = [(("topic", 0), Position { offset: 5, index: 1 })];
    let before = postcard::to_extend(&before.to_vec(), vec![1]).expect("written");
    let newer = [&[9], &stored[1..]].concat();

    let restored = |bytes: &[u8]| {
        let mut story = Story::new();
        story.lane.restore(StateKey::Marks, bytes)?;
        story.lane.resume(story.now, &mut story.effects);
        said(&mut story, 7, Course::Onward, 5, "one");
        said(&mut story, 8, Course::Onward, 0, "two");
        Ok::<_, StateError>((story.lane.tally().read_again, story.lane.tally().partitions_recreated))
    };
    assert_eq!(restored(&stored), Ok((2, 1)));
    assert_eq!(restored(&before), Ok((2, 1)), "a mark from before ids counts for the topic as it is now");
    assert!(matches!(restored(&newer), Err(StateError::Version { version: 9, .. })));
}

#[test]
fn a_delivery_sent_back_is_told_verbatim_once_and_as_a_message_of_its_own() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.pass(secs(1));
    story.alert("a", "2", State::Firing, Urgency::Normal);
    send_back(&mut story, "alerts/a", "🔴 refused\nonce", 1);
    send_back(&mut story, "alerts/a", "🔴 refused\nonce", 1);
    story.pass(secs(400));
    assert_eq!(story.told[1], "🔴 refused\nonce", "{:?}", story.told);
    assert!(story.told[2].starts_with("🟠 alert: a\n2 firing"), "{:?}", story.told);
    assert_eq!((story.told.len(), settled(&story, Outcome::Duplicate, Reason::Identity)), (3, 1));
    assert_eq!((story.lane.tally().returned, story.lane.books().pending()), (2, 0));
}

#[test]
fn a_roll_up_and_a_forgotten_conversation_take_back_what_was_refused() {
    let mut story = Story::new();
    send_back(&mut story, "rollup/ops", "⚠️ Storm: 9 changes", 1);
    send_back(&mut story, "deals/d-1", "won", 2);
    story.pass(secs(400));
    story.told.sort();
    assert_eq!(story.told, ["won", "⚠️ Storm: 9 changes"]);
}

#[test]
fn what_is_sent_back_beyond_what_may_wait_is_a_dead_letter_again() {
    let mut story = Story::new();
    let words = "x".repeat(60_000);
    send_back(&mut story, "deals/d-1", &words, 1);
    story.lane.step(story.now, Input::Drain, &mut story.effects);
    for nonce in 2..4 {
        send_back(&mut story, "deals/d-2", &words, nonce);
    }
    let letters = &story.effects.dead_letters;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].reason, letters[0].body.len()), (Reason::ThreadFull, words.len()));
    assert!(story.lane.books().balance());
}
