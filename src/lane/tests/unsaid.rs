//! What is told although nobody said it: repeats, silence, what is gone from its group, what flaps and calms down.

use super::*;
use crate::event::Snapshot;
use crate::event::lesson::Learned;

impl Story {
    /// A group as its source reports it: these alerts, firing since `since` seconds after the start, and no others.
    fn group(&mut self, group: &str, alerts: &[(&str, u64)]) {
        let at = self.now;
        self.group_at(at, group, alerts);
    }

    fn group_at(&mut self, at: Timestamp, group: &str, alerts: &[(&str, u64)]) {
        self.offset += 1;
        let mut builder = FrameBuilder::default();
        let mut entities = Vec::new();
        for (index, (alert, since)) in (0..).zip(alerts) {
            let entity = self.key.fingerprint(&[group.as_bytes(), alert.as_bytes()]);
            let since = Timestamp::from_millis(START + since * 1_000);
            entities.push(entity);
            builder.push(&Observation {
                position: Position { offset: self.offset, index },
                route: "alerts",
                at,
                old: false,
                entity,
                identity: entity.within(self.key.fingerprint(&[&since.as_millis().to_le_bytes()])),
                state: State::Firing,
                urgency: Urgency::Critical,
                since: Some(since),
                conversation: Cow::Borrowed(group),
                facts: Facts { title: Cow::Borrowed(alert), ..Facts::default() },
            });
        }
        let index = u32::try_from(alerts.len() - 1).expect("few");
        let position = Position { offset: self.offset, index };
        builder.snapshot(&Snapshot {
            position,
            route: "alerts".into(),
            conversation: group.to_owned().into(),
            at,
            entities: entities.into(),
        });
        let mut bytes = Vec::new();
        builder.seal("default", "topic", 0, &mut bytes);
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("a frame") };
        self.lane.step(self.now, Input::Observed(&frame), &mut self.effects);
    }

    /// The record of a firing alert, of that time.
    fn frame_of(&mut self, at: Timestamp, group: &str, alert: &str) -> Vec<u8> {
        self.offset += 1;
        let entity = self.key.fingerprint(&[group.as_bytes(), alert.as_bytes()]);
        let mut builder = FrameBuilder::default();
        builder.push(&Observation {
            position: Position { offset: self.offset, index: 0 },
            route: "alerts",
            at,
            old: false,
            entity,
            identity: entity,
            state: State::Firing,
            urgency: Urgency::Critical,
            since: Some(Timestamp::from_millis(START)),
            conversation: Cow::Borrowed(group),
            facts: Facts::default(),
        });
        let mut bytes = Vec::new();
        builder.seal("default", "topic", 0, &mut bytes);
        bytes
    }

    fn messages(&self, wanted: Reason) -> u64 {
        self.lane.books().messages().find(|(reason, _)| *reason == wanted).map_or(0, |(_, count)| count)
    }
}

#[test]
fn an_alert_that_still_fires_is_told_again_only_when_events_say_so() {
    let mut story = Story::new();
    let entity = story.key.fingerprint(&[b"x"]);
    let since = Some(story.now);
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(HOUR * 5);
    assert_eq!(story.told.len(), 1, "no event, no repeat");
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(secs(10));
    assert_eq!(story.told.len(), 2);
    assert!(story.last().starts_with("🔴 Still firing: alert (1)\n1 repeat since"), "{}", story.last());
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(secs(10));
    assert_eq!(story.told.len(), 2, "not again within the interval");
    assert_eq!((story.lane.books().of(Outcome::Duplicate), story.lane.books().pending()), (2, 0));
}

#[test]
fn silence_is_told_once_as_silence_and_never_as_a_resolve() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.pass(HOUR * 23);
    assert_eq!(story.told.len(), 1);
    story.pass(HOUR * 49);
    assert_eq!(story.told.len(), 2, "{:?}", story.told);
    assert!(story.last().starts_with("⚪ Nothing heard since"), "{}", story.last());
    assert!(story.last().contains("Not resolved"), "{}", story.last());
}

#[test]
fn silence_that_was_broken_is_told_again() {
    let mut story = Story::new();
    let entity = story.key.fingerprint(&[b"x"]);
    let since = Some(story.now);
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(HOUR * 24);
    assert!(story.last().starts_with("⚪ Nothing heard since"), "{}", story.last());
    story.pass(HOUR);
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(HOUR * 25);
    let silences = story.told.iter().filter(|body| body.starts_with("⚪ Nothing heard since")).count();
    assert_eq!(silences, 2, "{:?}", story.told);
}

#[test]
fn an_alert_that_is_gone_from_its_group_is_no_longer_reported_and_not_resolved() {
    let mut story = Story::new();
    story.group("db", &[("disk", 0), ("cpu", 0)]);
    story.pass(secs(120));
    story.group("db", &[("disk", 0)]);
    story.pass(secs(120));
    assert_eq!(
        story.last().lines().next(),
        Some("⚪ no longer reported, not resolved as far as is known: cpu"),
        "{}",
        story.last()
    );
    assert_eq!((story.told.len(), story.messages(Reason::NoLongerReported)), (2, 1));
    let books = story.lane.books();
    assert_eq!((books.of(Outcome::Delivered), books.of(Outcome::Duplicate), books.pending()), (2, 1, 0));
}

#[test]
fn an_alert_that_is_reported_again_fires_again_though_nothing_else_about_it_changed() {
    let mut story = Story::new();
    for alerts in [&[("disk", 0), ("cpu", 0)][..], &[("disk", 0)], &[("disk", 0), ("cpu", 0)]] {
        story.group("db", alerts);
        story.pass(secs(120));
    }
    assert_eq!(story.told.len(), 3);
    assert!(story.last().starts_with("🔴 cpu\n2 firing since"), "{}", story.last());
}

#[test]
fn a_snapshot_that_is_older_than_what_is_known_says_nothing() {
    let mut story = Story::new();
    let before = story.now;
    story.pass(secs(60));
    story.group("db", &[("disk", 0), ("cpu", 0)]);
    story.pass(secs(120));
    story.group_at(before, "db", &[("disk", 0)]);
    story.pass(secs(120));
    assert_eq!(story.told.len(), 1, "{:?}", story.told);
}

#[test]
fn a_late_copy_does_not_bring_back_what_is_gone() {
    let mut story = Story::new();
    story.group("db", &[("disk", 0), ("cpu", 0)]);
    let before = story.now;
    story.pass(secs(120));
    story.group("db", &[("disk", 0)]);
    story.pass(secs(120));
    let late = story.frame_of(before, "db", "cpu");
    let Ok(LedgerRecord::Frame(late)) = LedgerRecord::read(&late) else { panic!("a frame") };
    story.lane.step(story.now, Input::Observed(&late), &mut story.effects);
    story.pass(secs(120));
    assert_eq!((story.told.len(), story.lane.books().of(Outcome::Suppressed)), (2, 1), "{:?}", story.told);
}

#[test]
fn a_group_of_which_nothing_fires_any_more_is_over_but_not_closed() {
    let mut story = Story::new();
    story.group("db", &[("disk", 0), ("cpu", 0)]);
    story.pass(secs(120));
    story.alert("db", "disk", State::Resolved, Urgency::Critical);
    story.group("db", &[("other", 200)]);
    story.pass(secs(120));
    story.alert("db", "other", State::Resolved, Urgency::Critical);
    story.pass(secs(120));
    assert!(story.last().starts_with("🟢 resolved: alert"), "{}", story.last());
    assert_eq!(story.messages(Reason::AllResolved), 0, "cpu never was");
}

#[test]
fn snapshots_and_observations_of_one_frame_are_taken_in_the_order_of_their_records() {
    let mut story = Story::new();
    let mut builder = FrameBuilder::default();
    let entity = |story: &Story, alert: &str| story.key.fingerprint(&[b"db", alert.as_bytes()]);
    for (offset, alert) in [(1, "first"), (2, "second")] {
        builder.push(&Observation {
            position: Position { offset, index: 0 },
            route: "alerts",
            at: story.now,
            old: false,
            entity: entity(&story, alert),
            identity: entity(&story, alert),
            state: State::Firing,
            urgency: Urgency::Critical,
            since: None,
            conversation: Cow::Borrowed("db"),
            facts: Facts::default(),
        });
    }
    for (offset, alerts) in [(1, &["first"][..]), (2, &["first", "second"])] {
        builder.snapshot(&Snapshot {
            position: Position { offset, index: 0 },
            route: "alerts".into(),
            conversation: "db".into(),
            at: story.now,
            entities: alerts.iter().map(|alert| entity(&story, alert)).collect(),
        });
    }
    let mut bytes = Vec::new();
    builder.seal("default", "topic", 0, &mut bytes);
    let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("a frame") };
    story.lane.step(story.now, Input::Observed(&frame), &mut story.effects);
    story.pass(secs(60));
    assert!(
        story.last().starts_with("🔴 2 firing: db, +2 new"),
        "the second was not yet there for the first: {}",
        story.last()
    );
}

#[test]
fn an_alert_that_flaps_is_told_once_as_flapping_and_once_more_when_it_is_calm() {
    let mut story = Story::new();
    for round in 0..20 {
        let state = if round % 2 == 0 { State::Firing } else { State::Resolved };
        story.alert("db", "disk", state, Urgency::Critical);
        story.pass(secs(61));
    }
    let flapping =
        story.told.iter().filter(|body| body.starts_with("🔁 flapping: alert: 4 changes of state within 10 min"));
    assert_eq!(flapping.count(), 1, "{:?}", story.told);
    assert_eq!((story.told.len(), story.messages(Reason::Flapping)), (5, 1), "{:#?}", story.told);
    story.pass(secs(600));
    assert!(
        story.last().starts_with("🟢 resolved: alert: no longer flapping\n15 changes while flapping"),
        "{}",
        story.last()
    );
    assert_eq!((story.told.len(), story.messages(Reason::AllResolved)), (6, 3), "two before it flapped");
    let books = story.lane.books();
    assert_eq!((books.of(Outcome::Delivered), books.of(Outcome::Suppressed), books.pending()), (5, 15, 0));
}

#[test]
fn a_repeat_that_is_owed_when_a_person_closes_or_mutes_is_not_told() {
    for about in [Learned::Closed, Learned::Muted] {
        let mut story = Story::new();
        let entity = story.key.fingerprint(&[b"x"]);
        let since = Some(story.now);
        story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
        story.pass(HOUR * 5);
        story.alert("b", "other", State::Firing, Urgency::Critical);
        let asked_to_wait = Status { code: 429, retry_after: Some(secs(60)), ..Status::default() };
        let sent = story.sent();
        story.answer(&sent[0], Answer::Status(asked_to_wait));
        story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
        story.lane.step(story.now, Input::Learned(&lesson(about)), &mut story.effects);
        story.pass(secs(120));
        assert_eq!(story.told.len(), 2, "{about:?}: {:?}", story.told);
    }
}

#[test]
fn what_a_person_has_closed_is_left_alone_until_there_is_news() {
    let mut story = Story::new();
    let entity = story.key.fingerprint(&[b"x"]);
    let since = Some(story.now);
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(secs(60));
    story.lane.step(story.now, Input::Learned(&lesson(Learned::Closed)), &mut story.effects);
    story.pass(HOUR * 5);
    story.observe("alerts", "a", entity, State::Firing, Urgency::Critical, since);
    story.pass(HOUR * 25);
    assert_eq!(story.told.len(), 1, "neither a repeat nor silence");
    story.alert("a", "2", State::Firing, Urgency::Critical);
    story.pass(secs(60));
    assert_eq!(story.told.len(), 2, "news is told");
    story.pass(HOUR * 25);
    assert!(
        story.last().starts_with("⚪ Nothing heard since"),
        "and from then on it is like any other: {}",
        story.last()
    );
}

fn lesson(about: Learned) -> Lesson<'static> {
    Lesson { channel: "ops", routing_key: "alerts/a", conversation_id: "", about, at: Timestamp::EPOCH }
}
