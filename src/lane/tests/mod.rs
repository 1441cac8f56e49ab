//! A lane from outside: what it is told, what it sends.
//!
//! Each test is a short story in virtual time; a Missive that takes everything answers after 100 ms. Long stories with crashes
//! and failures are the simulator's.

mod answers;
mod apart;
mod asked;
mod halted;
mod heartbeats;
mod reasons;
mod sent_again;
mod telling;
mod unsaid;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::policy::{Action, Bounds, ByName, Decisions, Flap, Horizons, Limits, OnDoubt, Policy, Retry, RoutePolicy};
use super::release::tests_support::channel;
use super::*;
use crate::event::frame::LedgerRecord;
use crate::event::{Facts, FrameBuilder, Kind, Observation, State, Timing, Urgency};
use crate::missive::answer::Status;

const HOUR: Duration = Duration::from_secs(3600);
const START: u64 = 1_795_317_120_000;

fn policy() -> Policy {
    let timing = |wait, interval| Timing {
        group_wait: Duration::from_secs(wait),
        group_interval: Duration::from_secs(interval),
        repeat_interval: HOUR * 4,
        stale_after: HOUR * 24,
        episode_gap: Duration::from_secs(1_800),
    };
    let route = |name: &str, kind| RoutePolicy {
        name: name.into(),
        channel: "ops".into(),
        kind,
        action: if name == "watchdog" { Action::Heartbeat { within: Duration::from_secs(600) } } else { Action::Tell },
        window: HOUR,
        timing: timing(5, 60),
        timing_critical: if name == "chatty" { timing(0, 0) } else { timing(0, 60) },
        flap: Flap { changes: 3, window: Duration::from_secs(600) },
        telling: std::sync::Arc::default(),
    };
    let routes = [
        route("alerts", Kind::Alert),
        route("chatty", Kind::Alert),
        route("deals", Kind::Record),
        route("chat", Kind::Thread),
        route("watchdog", Kind::Alert),
    ];
    Policy {
        lane: "default".into(),
        namespace: "t".into(),
        limits: Limits {
            concurrent: 5,
            per_minute: 300,
            per_quarter_hour: 900,
            critical_share_percent: 20,
            skew_margin: Duration::from_secs(1),
            request_timeout: Duration::from_secs(10),
            send_within: Duration::from_secs(2),
            retry_after_max: Duration::from_secs(900),
        },
        retry: Retry { first: Duration::from_secs(1), longest: Duration::from_secs(300) },
        horizons: Horizons {
            critical: Duration::from_secs(30),
            normal: Duration::from_secs(300),
            low: Duration::from_secs(900),
        },
        bounds: Bounds {
            dedupe_keys_max: 100_000,
            conversations_max: 10_000,
            alerts_per_conversation_max: 100,
            digest_lines_max: 10,
            line_bytes_max: 500,
            thread_bytes_max: 100_000,
            files_bytes_max: 1_000,
        },
        on_doubt: OnDoubt::Resend,
        decisions: Decisions::Told,
        fallback_after: Some(Duration::from_secs(120)),
        channels: ByName::from_iter([("ops".into(), channel(10, 20, Duration::from_secs(300)))]),
        routes: routes.into_iter().map(|route| (route.name.clone(), route)).collect(),
    }
}

struct Story {
    lane: Lane,
    key: HashKey,
    now: Timestamp,
    effects: Effects,
    offset: i64,
    /// Bodies that Missive took, in order.
    told: Vec<String>,
}

impl Story {
    fn new() -> Self {
        let key = HashKey::new([3; 16]);
        Self {
            lane: Lane::new(Arc::new(policy()), key.clone(), 1),
            key,
            now: Timestamp::from_millis(START),
            effects: Effects::default(),
            offset: 0,
            told: Vec::new(),
        }
    }

    /// One alert of one group, at the present moment.
    fn alert(&mut self, group: &str, alert: &str, state: State, urgency: Urgency) {
        let entity = self.key.fingerprint(&[group.as_bytes(), alert.as_bytes()]);
        let since = self.now;
        self.observe("alerts", group, entity, state, urgency, Some(since));
    }

    fn observe(
        &mut self,
        route: &str,
        conversation: &str,
        entity: Fingerprint,
        state: State,
        urgency: Urgency,
        since: Option<Timestamp>,
    ) {
        let bits = entity.as_u128().to_le_bytes();
        let moment = since.map_or(0, Timestamp::as_millis).to_le_bytes();
        self.offset += 1;
        let observation = Observation {
            position: Position { offset: self.offset, index: 0 },
            route,
            at: self.now,
            old: false,
            entity,
            identity: self.key.fingerprint(&[&bits, &[state as u8], &moment]),
            state,
            urgency,
            since,
            conversation: Cow::Borrowed(conversation),
            facts: Facts { title: Cow::Borrowed("alert"), text: Cow::Borrowed(conversation), ..Facts::default() },
        };
        let mut builder = FrameBuilder::default();
        builder.push(&observation);
        let mut bytes = Vec::new();
        builder.seal("default", "topic", 0, &mut bytes);
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("a frame") };
        self.lane.step(self.now, Input::Observed(&frame), &mut self.effects);
    }

    /// Lets time pass; Missive takes whatever is sent.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let sends = std::mem::take(&mut self.effects).sends;
            self.lane.committed();
            if !sends.is_empty() {
                self.now = self.now + Duration::from_millis(100);
            }
            for delivery in sends {
                let Request::Message { body, .. } = &delivery.request else { panic!("nothing is in doubt") };
                let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
                self.told.push(body["messages"]["body"].as_str().expect("a body").to_owned());
                let answer = Answer::Status(Status { code: 201, ..Status::default() });
                self.lane.step(self.now, Input::Answered { id: delivery.id, answer }, &mut self.effects);
            }
            if !self.effects.sends.is_empty() {
                continue;
            }
            match self.lane.next_wakeup().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.lane.step(self.now, Input::Tick, &mut self.effects);
                }
                None => break,
            }
        }
        self.now = self.now.max(end);
        assert!(self.lane.books().balance(), "{:?}", self.lane.books());
    }

    /// What is released now, without an answer to it yet.
    fn sent(&mut self) -> Vec<Delivery> {
        self.lane.step(self.now, Input::Tick, &mut self.effects);
        self.lane.committed();
        std::mem::take(&mut self.effects.sends)
    }

    fn answer(&mut self, delivery: &Delivery, answer: Answer) {
        self.lane.step(self.now, Input::Answered { id: delivery.id, answer }, &mut self.effects);
    }

    /// The lane as its successor finds it.
    fn restart(&mut self) {
        let record = |key: &StateKey| Some((*key, self.lane.record(*key)?));
        let records: Vec<_> = self.effects.dirty.iter().filter_map(record).collect();
        let mut successor = Lane::new(Arc::clone(&self.lane.policy), self.key.clone(), 2);
        for (key, value) in &records {
            successor.restore(*key, value).expect("its own records");
        }
        self.lane = successor;
        self.effects = Effects::default();
        self.lane.resume(self.now, &mut self.effects);
    }

    fn last(&self) -> &str {
        self.told.last().map_or("", String::as_str)
    }
}

fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn a_critical_alert_is_told_at_once_and_a_normal_one_after_its_group_wait() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.alert("b", "1", State::Firing, Urgency::Normal);
    story.pass(secs(1));
    assert_eq!(story.told.len(), 1);
    story.pass(secs(6));
    assert_eq!(story.told.len(), 2);
}

#[test]
fn what_arrives_within_the_group_interval_is_told_together() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.pass(secs(1));
    for alert in ["2", "3", "4"] {
        story.alert("a", alert, State::Firing, Urgency::Critical);
        story.pass(secs(1));
    }
    story.pass(secs(120));
    assert_eq!(story.told.len(), 2, "{:?}", story.told);
    assert!(story.last().starts_with("🔴 4 firing (was 1): alert, +3 new"), "{}", story.last());
    assert_eq!(story.lane.books().of(Outcome::Delivered), 4);
}

#[test]
fn a_resolve_of_something_unheard_of_opens_no_conversation() {
    let mut story = Story::new();
    story.alert("a", "1", State::Resolved, Urgency::Critical);
    story.pass(secs(600));
    assert_eq!((story.told.len(), story.lane.books().of(Outcome::Suppressed)), (0, 1));
}

#[test]
fn a_late_refire_opens_a_fresh_conversation_and_an_early_one_continues() {
    let mut story = Story::new();
    let mut references = Vec::new();
    for gap in [secs(60), secs(60), HOUR, secs(60)] {
        for state in [State::Firing, State::Resolved] {
            story.alert("a", "1", state, Urgency::Critical);
            story.pass(secs(70));
        }
        references.push(story.lane.tally().conversations_opened);
        story.pass(gap);
    }
    assert_eq!(references, [1, 1, 1, 2]);
    assert_eq!(story.lane.books().pending(), 0);
}

#[test]
fn a_storm_of_700_groups_makes_at_most_ten_and_twenty_conversations_and_a_roll_up() {
    let mut story = Story::new();
    for group in 0..700 {
        let urgency = if group % 10 == 0 { Urgency::Critical } else { Urgency::Normal };
        story.alert(&format!("g{group}"), "1", State::Firing, urgency);
    }
    story.pass(secs(200));
    let storms = story.told.iter().filter(|body| body.starts_with("⚠️ Storm")).count();
    let own = story.told.len() - storms;
    assert!(own <= 30, "{own} conversations");
    assert!((1..=4).contains(&storms), "{storms} roll-ups");
    let books = story.lane.books();
    assert_eq!((books.of(Outcome::Delivered), books.pending()), (700, 0));
}

#[test]
fn peoples_words_arrive_verbatim_in_order_and_are_never_summarised() {
    let mut story = Story::new();
    let mut said = 0;
    for word in 0..50 {
        let entity = story.key.fingerprint(&[&[word]]);
        story.observe("chat", &format!("said {word}"), entity, State::Said, Urgency::Normal, None);
        story.observe(
            "chat",
            "one thread",
            entity.within(story.key.fingerprint(&[b"t"])),
            State::Said,
            Urgency::Normal,
            None,
        );
        said += 2;
    }
    story.pass(secs(30));
    assert_eq!(story.lane.books().of(Outcome::Delivered), said);
    assert_eq!(story.lane.tally().roll_ups, 0);
    assert_eq!(story.told.iter().map(|body| body.matches("one thread").count()).sum::<usize>(), 50);
}

#[test]
fn a_successor_goes_on_where_its_predecessor_committed() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.alert("b", "1", State::Firing, Urgency::Normal);
    story.restart();
    assert_eq!(story.lane.books().pending(), 2);
    story.pass(secs(1));
    assert_eq!(story.told.len(), 0, "the predecessor may still be sending");
    story.pass(secs(60));
    assert_eq!(story.told.len(), 2, "{:?}", story.told);
    assert!(story.told.iter().any(|body| body.contains("may repeat")), "what was in doubt says so");
}

#[test]
fn it_wakes_for_the_first_that_is_rolled_up_even_if_another_waited_longer() {
    let mut policy = policy();
    policy.limits.concurrent = 0;
    policy.routes.get_mut("deals").expect("a route").timing.group_wait = secs(149);
    let mut story = Story::new();
    story.lane = Lane::new(Arc::new(policy), story.key.clone(), 1);
    let begin = story.now;
    let entity = story.key.fingerprint(&[b"x"]);
    story.observe("deals", "waited longest, ready last", entity, State::Changed, Urgency::Normal, None);
    story.pass(secs(1));
    story.alert("ready first", "1", State::Firing, Urgency::Normal);
    story.pass(secs(149));
    assert_eq!(story.lane.next_wakeup(), Some(begin + secs(151)));
}

#[test]
fn a_thread_whose_first_words_find_no_room_is_forgotten_like_any_other() {
    let mut policy = policy();
    policy.bounds.thread_bytes_max = 10;
    let mut story = Story::new();
    story.lane = Lane::new(Arc::new(policy), story.key.clone(), 1);
    let entity = story.key.fingerprint(&[b"x"]);
    story.observe("chat", "more than ten bytes", entity, State::Said, Urgency::Normal, None);
    assert_eq!(story.effects.dead_letters.len(), 1);
    story.pass(HOUR * 3);
    assert_eq!(story.lane.conversations(), 0);
}

#[test]
fn a_muted_conversation_that_is_over_is_forgotten_like_any_other() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.pass(secs(60));
    let lesson = |about| Lesson {
        channel: "ops",
        routing_key: "alerts/a",
        conversation_id: "",
        about,
        at: Timestamp::from_millis(START),
    };
    let muted = lesson(crate::event::lesson::Learned::Muted);
    story.lane.step(story.now, Input::Learned(&muted), &mut story.effects);
    story.alert("a", "1", State::Resolved, Urgency::Critical);
    story.pass(HOUR * 3);
    assert_eq!((story.told.len(), story.lane.conversations()), (1, 0));
}

#[test]
fn a_halted_lane_without_budget_sleeps_until_it_may_try_again() {
    let mut policy = policy();
    policy.limits.per_minute = 1;
    policy.limits.critical_share_percent = 0;
    let mut story = Story::new();
    story.lane = Lane::new(Arc::new(policy), story.key.clone(), 1);
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.alert("b", "1", State::Firing, Urgency::Critical);
    story.now = story.now + secs(1);
    let id = story.effects.sends.pop().expect("a delivery").id;
    let refused = Answer::Status(Status { code: 401, ..Status::default() });
    story.lane.step(story.now, Input::Answered { id, answer: refused }, &mut story.effects);
    let answered = story.now;
    story.now = story.now + secs(40);
    story.lane.step(story.now, Input::Tick, &mut story.effects);
    assert!(story.effects.sends.is_empty(), "no budget");
    assert_eq!(story.lane.next_wakeup(), Some(answered + secs(61)));
}

#[test]
fn a_refused_token_does_not_shorten_the_wait_that_was_asked_for() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.alert("b", "1", State::Firing, Urgency::Critical);
    story.now = story.now + secs(1);
    let codes = [(429, Some(secs(900))), (401, None)];
    for (delivery, (code, retry_after)) in std::mem::take(&mut story.effects).sends.into_iter().zip(codes) {
        let answer = Answer::Status(Status { code, retry_after, ..Status::default() });
        story.lane.step(story.now, Input::Answered { id: delivery.id, answer }, &mut story.effects);
    }
    story.pass(secs(899));
    assert_eq!(story.told, Vec::<String>::new());
    story.pass(secs(60));
    assert_eq!(story.told.len(), 2);
}

#[test]
fn two_successors_of_the_same_state_do_the_same() {
    let mut story = Story::new();
    for group in 0..40 {
        story.alert(&format!("g{group}"), "1", State::Firing, Urgency::Normal);
    }
    let committed: Vec<_> =
        story.effects.dirty.iter().filter_map(|key| Some((*key, story.lane.record(*key)?))).collect();
    let now = story.now + secs(60);
    let first_sends = || {
        let (mut successor, mut effects) = (Lane::new(Arc::new(policy()), story.key.clone(), 1), Effects::default());
        for (key, value) in &committed {
            successor.restore(*key, value).expect("its own records");
        }
        successor.resume(now, &mut effects);
        successor.step(now, Input::Tick, &mut effects);
        effects.sends.iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let sends = first_sends();
    assert_eq!(sends.len(), 5);
    assert!((0..10).all(|_| first_sends() == sends));
}

#[test]
fn what_was_folded_is_not_folded_again() {
    let mut story = Story::new();
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.offset = 0;
    story.alert("a", "1", State::Firing, Urgency::Critical);
    story.pass(secs(10));
    assert_eq!(story.lane.books().folded(), 1);
}

#[test]
fn conversations_that_never_stop_talking_leave_budget_for_others() {
    let mut story = Story::new();
    for second in 0..900u32 {
        for group in 0..10u8 {
            let entity = story.key.fingerprint(&[&second.to_le_bytes(), &[group]]);
            story.observe("chatty", &format!("g{group}"), entity, State::Firing, Urgency::Critical, None);
        }
        story.pass(secs(1));
    }
    let budget = story.lane.budget(story.now);
    assert!(budget.quarter_hour > 90, "{budget:?} left after {} messages", story.told.len());
}
