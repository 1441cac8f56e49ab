//! What answers do: doubts that are looked up, channels that refuse, limits that a successor has to know.

use super::*;
use crate::event::lesson::Learned;
use crate::missive::answer::{Lost, RateLimit};

const KNOWN: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

fn status(code: u16, body: &str) -> Answer {
    Answer::Status(Status { code, body: body.into(), ..Status::default() })
}

fn page(external_ids: &[&str]) -> Answer {
    let items: Vec<_> = external_ids.iter().map(|id| format!(r#"{{"external_id":"{id}"}}"#)).collect();
    status(200, &format!(r#"{{"messages":[{}]}}"#, items.join(",")))
}

fn external_id(delivery: &Delivery) -> String {
    let Request::Message { body, .. } = &delivery.request else { panic!("a message") };
    let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    body["messages"]["external_id"].as_str().expect("a text").to_owned()
}

/// A story in which a message to a conversation whose id is known has been lost.
fn lost(on_doubt: OnDoubt) -> (Story, Delivery) {
    let mut story = Story::new();
    story.lane = Lane::new(Arc::new(Policy { on_doubt, ..policy() }), story.key.clone(), 1);
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.pass(secs(120));
    let lesson = Lesson {
        channel: "ops",
        routing_key: "alerts/a",
        conversation_id: KNOWN,
        about: Learned::Answered,
        at: story.now,
    };
    story.lane.step(story.now, Input::Learned(&lesson), &mut story.effects);
    story.alert("a", "2", State::Firing, Urgency::Critical);
    let sent = story.sent();
    let [delivery] = &sent[..] else { panic!("{sent:?}") };
    story.now = story.now + secs(10);
    story.answer(delivery, Answer::Lost(Lost::Timeout));
    (story, delivery.clone())
}

/// Lets time pass until something is sent.
fn next_sent(story: &mut Story) -> Delivery {
    for _ in 0..10 {
        if let Some(delivery) = story.sent().pop() {
            return delivery;
        }
        story.now = story.now.max(story.lane.next_wakeup().expect("something is left to do"));
    }
    panic!("nothing is sent");
}

#[test]
fn a_doubt_about_a_known_conversation_is_looked_up_and_what_is_found_is_not_sent_again() {
    let (mut story, delivery) = lost(OnDoubt::Resend);
    let look_up = next_sent(&mut story);
    assert_eq!(look_up.request, Request::LookUp { conversation: KNOWN.into() });
    assert_eq!(story.lane.in_progress(), 1, "it is charged to the budget");
    story.answer(&look_up, page(&[&external_id(&delivery)]));
    story.pass(secs(300));
    assert_eq!((story.told.len(), story.lane.books().pending()), (1, 0));
    let tally = story.lane.tally();
    assert_eq!((tally.doubts, tally.doubts_settled, tally.messages), (1, 1, 2));
}

#[test]
fn what_is_not_found_is_sent_again_and_says_that_it_may_repeat() {
    let rows = [
        ("it is not there", vec![page(&["t:other:1"])]),
        ("the page doesn't tell", vec![page(&[])]),
        ("the conversation is unknown", vec![status(404, "")]),
        ("nobody answers", vec![Answer::Lost(Lost::Timeout), Answer::Lost(Lost::Broken), status(503, "")]),
    ];
    for (sentence, answers) in rows {
        let (mut story, delivery) = lost(OnDoubt::Resend);
        let mut next = next_sent(&mut story);
        for answer in answers {
            if matches!(next.request, Request::LookUp { .. }) {
                story.answer(&next, answer);
                next = next_sent(&mut story);
            }
        }
        assert_eq!(external_id(&next), external_id(&delivery), "{sentence}");
        let Request::Message { body, .. } = &next.request else { panic!("{sentence}") };
        assert!(String::from_utf8_lossy(body).contains("may repeat"), "{sentence}");
    }
}

#[test]
fn a_doubt_that_lasts_is_for_a_person_to_decide_if_the_config_says_so() {
    let (mut story, delivery) = lost(OnDoubt::Hold);
    let look_up = next_sent(&mut story);
    story.answer(&look_up, page(&[]));
    let letters = std::mem::take(&mut story.effects.dead_letters);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.reason, letter.covers), (Reason::InDoubt, 1));
    assert!(String::from_utf8_lossy(&letter.body).contains(&external_id(&delivery)), "whole");
    story.pass(secs(300));
    story.alert("a", "3", State::Firing, Urgency::Critical);
    story.pass(secs(120));
    assert_eq!((story.told.len(), story.lane.books().pending()), (2, 0), "its conversation goes on");
}

#[test]
fn a_conversation_that_is_not_there_to_be_looked_at_leaves_the_doubt_to_the_config() {
    let (mut story, delivery) = lost(OnDoubt::Hold);
    let look_up = next_sent(&mut story);
    story.answer(&look_up, status(404, ""));
    let letters = std::mem::take(&mut story.effects.dead_letters);
    assert_eq!(letters.iter().map(|letter| letter.reason).collect::<Vec<_>>(), [Reason::InDoubt]);

    let (mut story, _) = lost(OnDoubt::Resend);
    let look_up = next_sent(&mut story);
    story.answer(&look_up, status(404, ""));
    let again = next_sent(&mut story);
    assert_eq!(external_id(&again), external_id(&delivery));
    story.answer(&again, status(201, "{}"));
    assert_eq!(story.lane.books().pending(), 0, "a message that was taken is no page that tells nothing");
}

#[test]
fn a_successor_doesnt_try_a_channel_again_that_its_predecessor_has_just_tried() {
    let mut story = Story::new();
    for group in 0..20 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Critical);
    }
    while story.lane.halted_channels().count() == 0 {
        for delivery in story.sent() {
            story.answer(&delivery, status(422, ""));
        }
        story.now = story.now + secs(1);
    }
    while story.sent().is_empty() {
        story.now = story.now + secs(1);
    }
    let tried_at = story.now;
    story.restart();
    while story.sent().is_empty() {
        story.now = story.now + secs(1);
    }
    assert!(story.now >= tried_at + secs(30), "after {} ms", story.now.since(tried_at).as_millis());
}

#[test]
fn a_channel_that_refuses_everything_is_tried_with_one_message_at_a_time() {
    let mut story = Story::new();
    for group in 0..20 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Critical);
    }
    let mut per_half_minute = [0; 20];
    let begin = story.now;
    while story.now < begin + secs(600) {
        for delivery in story.sent() {
            per_half_minute[(story.now.since(begin).as_secs() / 30) as usize] += 1;
            story.answer(&delivery, status(422, ""));
        }
        story.now = story.now + secs(1);
    }
    let told_apart = story.effects.dead_letters.len();
    assert_eq!(story.lane.halted_channels().collect::<Vec<_>>(), ["ops"]);
    assert!(told_apart <= 10, "{told_apart} deliveries were given up before the channel was blamed");
    assert!(per_half_minute[2..].iter().all(|tries| *tries <= 2), "{per_half_minute:?}");
    story.pass(secs(1_200));
    assert_eq!(story.lane.halted_channels().count(), 0, "it takes messages again");
    assert_eq!(story.lane.books().pending(), 0);
}

#[test]
fn a_successor_waits_as_long_as_missive_has_asked_and_knows_what_is_left() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    let sent = story.sent();
    let told = RateLimit { limit: 300, remaining: 0, reset: secs(90) };
    let retry_after = Some(secs(60));
    let answer = Answer::Status(Status { code: 429, retry_after, rate_limit: Some(told), ..Status::default() });
    story.answer(&sent[0], answer);
    let asked_at = story.now;
    story.restart();
    assert_eq!(story.lane.blocked(), Blocked::Until(asked_at + secs(60)));
    let next = next_sent(&mut story);
    assert_eq!((story.now, next.id.attempt), (asked_at + secs(90), 2), "others have used up the minute");
}

#[test]
fn a_successor_knows_how_many_conversations_have_been_opened() {
    let mut story = Story::new();
    for group in 0..15 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Normal);
    }
    story.pass(secs(30));
    let opened = story.lane.tally().conversations_opened;
    story.restart();
    for group in 15..30 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Normal);
    }
    story.pass(secs(200));
    let after = story.lane.tally().conversations_opened;
    assert_eq!(opened + after, 11, "{opened}, then {after}, with the roll-up's");
}

#[test]
fn what_a_recipient_says_belongs_into_the_conversation_that_a_person_began_with_it() {
    let rows = [
        ("a thread of that recipient", "ops", "chat", "customer-7", Some(KNOWN)),
        ("another's thread", "ops", "chat", "customer-8", None),
        ("no thread", "ops", "deals", "customer-7", None),
        ("another channel's", "crm", "chat", "customer-7", None),
    ];
    for (sentence, channel, route, key, wanted) in rows {
        let mut story = Story::new();
        let lesson =
            Lesson { channel, routing_key: "customer-7", conversation_id: KNOWN, about: Learned::Begun, at: story.now };
        story.lane.step(story.now, Input::Learned(&lesson), &mut story.effects);
        story.restart();
        story.pass(HOUR * 24 * 20);
        let entity = story.key.fingerprint(&[key.as_bytes()]);
        let state = if route == "chat" { State::Said } else { State::Changed };
        story.observe(route, key, entity, state, Urgency::Normal, None);
        let sent = next_sent(&mut story);
        let Request::Message { body, .. } = &sent.request else { panic!("{sentence}") };
        let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(body["messages"]["conversation"].as_str(), wanted, "{sentence}");
    }
}
