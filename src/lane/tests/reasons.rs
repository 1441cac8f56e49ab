//! Why a message is sent: the reason that is its metric label.

use super::super::conversation::{Conversation, Owed, Subject, Told};
use super::super::digest::{Digest, Line, News};
use super::super::release::reason;
use super::*;

const AT: Timestamp = Timestamp::from_millis(1_795_317_120_000);

fn digest(news: &[News]) -> Digest {
    let mut digest = Digest::default();
    for (entity, news) in (0..).zip(news) {
        let line = Line {
            entity: Fingerprint::from_u128(entity),
            news: *news,
            urgency: Urgency::Normal,
            severity: "".into(),
            title: "".into(),
            text: "".into(),
            link: "".into(),
            since: AT,
            runbook: "".into(),
            silence: "".into(),
            named: Vec::new(),
        };
        digest.absorb(AT, line, AT, 4);
    }
    digest
}

/// A conversation that people know, in which one alert stands as it is said.
fn known(kind: Kind, state: Option<State>) -> Conversation {
    let subject = Subject::Route { route: "r".into(), key: "k".into(), kind };
    let mut conversation = Conversation::new(AT, subject, "k");
    conversation.told = Told::Opened;
    if let Some(state) = state {
        let observation = Observation {
            position: Position::default(),
            route: "r",
            at: AT,
            old: false,
            entity: Fingerprint::from_u128(1),
            identity: Fingerprint::from_u128(1),
            state,
            urgency: Urgency::Normal,
            since: None,
            conversation: "k".into(),
            facts: Facts::default(),
        };
        let flap = Flap { changes: 5, window: Duration::from_secs(600) };
        conversation.members.remember(AT, &observation, flap, 10);
        conversation.note_over(AT);
    }
    conversation
}

type Row<'a> = (&'a str, &'a Conversation, &'a [News], Option<Owed>, Reason);

#[test]
fn every_message_has_the_reason_that_fits_it_best() {
    use News::{Changed, Firing, Flapping, Gone, Resolved};
    let (fires, over) = (known(Kind::Alert, Some(State::Firing)), known(Kind::Alert, Some(State::Resolved)));
    let unknown = Conversation { told: Told::Never, ..fires.clone() };
    let rollup = Conversation::new(AT, Subject::RollUp { channel: "ops".into() }, "Storm");
    let deal = known(Kind::Record, None);
    let rows: [Row<'_>; 12] = [
        ("the first that people hear of it", &unknown, &[Firing], None, Reason::First),
        ("one alert more, or several", &fires, &[Firing, Firing], None, Reason::NewFiring),
        ("some are over, others are not", &fires, &[Resolved], None, Reason::Resolved),
        ("the last is over", &over, &[Resolved], None, Reason::AllResolved),
        ("all is over, and something fired in between", &over, &[Firing, Resolved], None, Reason::AllResolved),
        ("gone without a resolve", &fires, &[Gone], None, Reason::NoLongerReported),
        ("one can't make up its mind", &fires, &[Flapping], None, Reason::Flapping),
        ("a record changed", &deal, &[Changed, Changed], None, Reason::Update),
        ("several kinds of news", &fires, &[Firing, Resolved], None, Reason::Digest),
        ("still firing", &fires, &[], Some(Owed::Repeat), Reason::Repeat),
        ("nothing heard", &fires, &[], Some(Owed::Stale), Reason::Stale),
        ("told together with others", &rollup, &[Firing], None, Reason::RolledUp),
    ];
    for (sentence, conversation, news, owed, wanted) in rows {
        assert_eq!(reason(conversation, &digest(news), owed), wanted, "{sentence}");
    }
}
