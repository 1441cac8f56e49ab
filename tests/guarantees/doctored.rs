//! The audit can fail: a clean ledger passes, and each way of spoiling it is found.

use super::*;

const ACCOUNT: &str = "account";

fn news(number: u32, said: Said) -> News {
    News { stream: 'a', conversation: 1, number, said }
}

fn books() -> Books {
    let all = (0..6).map(|number| news(number, Said::New)).chain([news(1, Said::Resolved)]);
    Books { events: 9, news: BTreeMap::from([(ACCOUNT.to_owned(), all.collect())]) }
}

fn message(id: u64, external_id: &str, body: &str) -> Request {
    Request {
        id,
        received_at: id * 1_000,
        over_at: Some(id * 1_000 + 50),
        agent: "one".to_owned(),
        token: "t".to_owned(),
        verdict: "accepted".to_owned(),
        account: ACCOUNT.to_owned(),
        external_id: external_id.to_owned(),
        conversation: "c".to_owned(),
        body: body.to_owned(),
        status: Some(201),
    }
}

/// One alert, a digest that names three of its four, one delivery in doubt, and a resolve.
fn clean() -> Vec<Request> {
    vec![
        message(1, "m1", "🔴 CRITICAL G: a-1-0\n1 firing since Sun"),
        message(
            2,
            "m2",
            "🔴 5 firing (was 1): G, +4 new, 4 critical\n🔴 CRITICAL G: a-1-1\n🔴 CRITICAL G: a-1-2\nand 2 more",
        ),
        message(3, "m3", "🔴 CRITICAL G: a-1-5\n6 firing since Sun"),
        message(4, "m3", "🔴 CRITICAL G: a-1-5\n6 firing since Sun\n(may repeat an earlier message)"),
        message(5, "m4", "🟢 resolved: G: a-1-1\n5 firing since Sun"),
    ]
}

#[test]
fn a_clean_ledger_passes() {
    let found = audit(&books(), &clean(), &Limits::default());
    assert!(found.is_clean(), "{found}");
    assert_eq!((found.unique, found.messages, found.in_doubt.len()), (7, 4, 1));
}

#[test]
fn each_way_of_spoiling_a_ledger_is_found() {
    type Spoil = fn(&mut Vec<Request>);
    let rows: [(&str, &str, Spoil); 14] = [
        ("a message is missing", "lost 1", |ledger| drop(ledger.remove(4))),
        ("a digest is missing", "lost 4", |ledger| drop(ledger.remove(1))),
        ("a message was refused", "lost 1", |ledger| ledger[0].verdict = "refused".to_owned()),
        ("a digest stands for one less", "lost 1", |ledger| {
            ledger[1].body = ledger[1].body.replace("and 2 more", "and 1 more").replace("+4", "+3");
        }),
        ("a digest stands for one more", "repeated 1", |ledger| {
            ledger[1].body = ledger[1].body.replace("and 2 more", "and 3 more").replace("+4", "+5");
        }),
        ("a headline claims another number", "names and counts 4", |ledger| {
            ledger[1].body = ledger[1].body.replace("+4", "+5");
        }),
        ("an event is told in two messages", "repeated 1", |ledger| {
            ledger[4].body.push_str("\n🔴 CRITICAL G: a-1-5");
        }),
        ("an event is told that never was", "was never an event", |ledger| {
            ledger[4].body.push_str("\n🔴 CRITICAL G: a-1-7");
        }),
        ("a repeat doesn't say so", "without saying so", |ledger| ledger[3].body = ledger[2].body.clone()),
        ("a repeat has other words", "in other words", |ledger| {
            ledger[3].body = "🔴 CRITICAL G: a-1-4\n(may repeat an earlier message)".to_owned();
        }),
        ("the order is wrong", "out of order", |ledger| {
            ledger.swap(1, 2);
            ledger[1].external_id = "m2".to_owned();
            ledger[2].external_id = "m3".to_owned();
            ledger.remove(3);
        }),
        ("two messages are on their way at once", "two at once", |ledger| ledger[0].over_at = Some(2_001)),
        ("six requests are in progress", "6 requests at once", |ledger| {
            let more =
                (10..16).map(|id| Request { verdict: "faulted".to_owned(), over_at: None, ..message(id, "", "") });
            ledger.extend(more);
        }),
        ("two instances send at once", "two senders at once", |ledger| {
            ledger[4].agent = "two".to_owned();
            ledger[3].over_at = Some(5_001);
        }),
    ];
    for (sentence, told, spoil) in rows {
        let mut ledger = clean();
        spoil(&mut ledger);
        let found = audit(&books(), &ledger, &Limits::default());
        assert!(!found.is_clean() && found.to_string().contains(told), "{sentence}: {found}");
    }
}

#[test]
fn one_request_too_many_in_a_window_is_found() {
    let limits = Limits { at_once: 5, windows: vec![(4, 4_001)] };
    assert!(!audit(&books(), &clean(), &limits).is_clean(), "five in four seconds");
    let limits = Limits { at_once: 5, windows: vec![(4, 4_000)] };
    assert!(audit(&books(), &clean(), &limits).is_clean(), "the fifth comes when the first has left");
}
