//! The referee as a whole, in made-up time.

use serde_json::json;

use super::*;
use crate::sandbox::channels::ChannelType;
use crate::sandbox::faults::{Fault, FaultKind};
use crate::sandbox::limits::WindowLimit;

const ACCOUNT: &str = "11111111-2222-4333-8444-555555555555";

fn referee(switches: &[&str]) -> Referee {
    let mut chosen = Switches::default();
    switches.iter().for_each(|switch| chosen.set_written(switch).expect(switch));
    let mut referee = Referee::new(Rulebook {
        tokens: vec![Secret::new("one"), Secret::new("two")],
        limits: Limits { at_once: 5, windows: vec![WindowLimit { requests: 2, per_ms: 1000 }] },
        switches: chosen,
        retry: RetryPolicy::default(),
        seed: 1,
        messages_max: 100,
        ledger_entries_max: 100,
    });
    referee.declare(Channel::new(ACCOUNT, ChannelType::Text)).expect("a UUID");
    referee
}

fn body(reference: &str) -> Vec<u8> {
    let person = json!({"id": "p"});
    let message = json!({"account": ACCOUNT, "from_field": person, "to_fields": [person], "references": [reference]});
    json!({"messages": message}).to_string().into_bytes()
}

fn arrive(referee: &mut Referee, now: u64, token: &str) -> u64 {
    let head = Head {
        method: "POST",
        path_and_query: "/v1/messages",
        token: Some(token),
        agent: None,
        content_type: Some("application/json"),
    };
    referee.arrive(now, &head)
}

fn status(judgement: &Judgement) -> Option<u16> {
    match &judgement.act {
        Act::Answer(answer) => Some(answer.status),
        Act::Reset | Act::Close | Act::Silence => None,
    }
}

/// One whole request; what it was answered with.
fn ask(referee: &mut Referee, now: u64, token: &str, reference: &str) -> Option<u16> {
    let id = arrive(referee, now, token);
    let answer = status(&referee.judge(now, id, &Body::Whole(&body(reference))));
    referee.finish(now, id, answer.map_or(Ending::Unanswered, Ending::Answered));
    answer
}

#[test]
fn limits_are_per_token_or_global_and_rejections_count_or_not() {
    // (switches, requests as (now, token), what each is answered)
    type Row = (&'static [&'static str], &'static [(u64, &'static str)], &'static [u16], &'static str);
    let rows: &[Row] = &[
        (&[], &[(0, "one"), (1, "one"), (2, "one")], &[201, 201, 429], "the third in a window is too many"),
        (&[], &[(0, "one"), (1, "one"), (2, "two")], &[201, 201, 201], "another token has its own budget"),
        (
            &["limit_scope=global"],
            &[(0, "one"), (1, "two"), (2, "two")],
            &[201, 201, 429],
            "unless everybody shares one",
        ),
        (
            &[],
            &[(0, "one"), (0, "one"), (999, "one"), (1000, "one"), (1000, "one")],
            &[201, 201, 429, 201, 201],
            "a rejected request takes no room",
        ),
        (
            &["count_rejected=true"],
            &[(0, "one"), (0, "one"), (999, "one"), (1000, "one"), (1000, "one")],
            &[201, 201, 429, 201, 429],
            "unless it does",
        ),
        (&["enforce_limits=false"], &[(0, "one"), (1, "one"), (2, "one")], &[201; 3], "not enforced"),
    ];
    for (switches, requests, expected, sentence) in rows {
        let mut referee = referee(switches);
        let answers: Vec<u16> =
            requests.iter().filter_map(|(now, token)| ask(&mut referee, *now, token, "r")).collect();
        assert_eq!(answers, *expected, "{sentence}");
    }
}

#[test]
fn a_limit_that_is_not_enforced_is_still_violated() {
    let mut referee = referee(&["enforce_limits=false"]);
    (0..5).for_each(|now| assert_eq!(ask(&mut referee, now, "one", "r"), Some(201)));
    assert_eq!(referee.summary().rate_limit_violations, 3);
}

#[test]
fn every_request_ends_in_exactly_one_column_of_the_summary() {
    let mut referee = referee(&[]);
    referee.faults.add(Fault { next: Some(1), ..Fault::every(FaultKind::DropBeforeProcessing) }).expect("a good fault");
    assert_eq!(ask(&mut referee, 0, "one", "r"), None);
    assert_eq!(ask(&mut referee, 1, "one", "r"), Some(201));
    assert_eq!(ask(&mut referee, 2, "one", "r"), Some(429));
    assert_eq!(ask(&mut referee, 3, "nobody", "r"), Some(401));
    let gone = arrive(&mut referee, 2000, "one");
    referee.finish(2001, gone, Ending::Unanswered);
    arrive(&mut referee, 2002, "one");
    let summary = referee.summary();
    let refused: u64 = summary.refused.values().sum();
    let columns = [summary.accepted, summary.served, refused, summary.faulted, summary.abandoned, summary.undecided];
    assert_eq!(columns, [1, 0, 2, 1, 1, 1]);
    assert_eq!(summary.requests, columns.iter().sum::<u64>());
}

#[test]
fn racing_first_messages_split_only_when_the_switch_says_so() {
    for (switch, conversations) in [("split_racing_first_messages=true", 2), ("split_racing_first_messages=false", 1)] {
        let mut referee = referee(&[switch]);
        let (first, second) = (arrive(&mut referee, 0, "one"), arrive(&mut referee, 0, "one"));
        for id in [first, second] {
            referee.judge(1, id, &Body::Whole(&body("new")));
        }
        assert_eq!(referee.summary().conversations, conversations, "{switch}");
    }
}

#[test]
fn a_request_lost_on_purpose_frees_its_slot_at_once() {
    for kind in [FaultKind::Reset, FaultKind::AcceptWithoutAnswering, FaultKind::DropBeforeProcessing] {
        let mut referee = referee(&[]);
        referee.faults.add(Fault::every(kind)).expect("a good fault");
        let id = arrive(&mut referee, 0, "one");
        referee.judge(0, id, &Body::Whole(&body("r")));
        let later = 1000;
        (0..4).for_each(|_| referee.everyone.begin());
        assert_eq!(referee.everyone.room(later), Room::Free, "four others and none of {kind:?}");
        referee.everyone.begin();
        assert_ne!(referee.everyone.room(later), Room::Free, "five others fill it");
    }
}

#[test]
fn a_repeated_external_id_is_counted_and_swallowed_only_when_the_switch_says_so() {
    for (switch, messages) in [("deduplicate_external_id=true", 1), ("deduplicate_external_id=false", 2)] {
        let mut referee = referee(&[switch]);
        let mut message: serde_json::Value = serde_json::from_slice(&body("r")).expect("JSON");
        message["messages"]["external_id"] = json!("x");
        let bytes = message.to_string().into_bytes();
        for now in [0, 1] {
            let id = arrive(&mut referee, now, "one");
            assert_eq!(status(&referee.judge(now, id, &Body::Whole(&bytes))), Some(201));
            referee.finish(now, id, Ending::Answered(201));
        }
        let summary = referee.summary();
        assert_eq!((summary.repeated_external_ids, summary.messages), (1, messages), "{switch}");
    }
}
