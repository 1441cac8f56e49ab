//! Decisions on Kafka: `<ns>.decisions`, one JSON object a line, many lines a record.
//!
//! Lanes write them in the transaction that makes them true; `missived explain` and `missived tail` read them, and so may
//! anybody else: keys only get added. They hold positions, hashes and routing keys, no words of events. Limits: a record holds
//! 32 KiB at most (a line more), so that the smallest `message_bytes_max` takes it.

use serde::{Deserialize, Serialize};

use crate::event::Position;
use crate::lane::books::Fate;
use crate::lane::decisions::{Decision, What};
use crate::lane::{Outcome, Reason};

/// A record is closed when it is as large as this.
const RECORD_BYTES: usize = 32 << 10;

/// One decision as it stands in the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub at_ms: u64,
    pub lane: String,
    pub decided: Decided,
    /// As in the metrics' label `reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The routing key of the conversation it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conversation: String,
    /// The source position it is about, or the first of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<At>,
    /// The last of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upto: Option<Position>,
    /// Hash of what the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The routing key of the conversation that speaks for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Number of the message: the end of its `external_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
    /// Observations that it is about.
    pub covers: u64,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// An event is news, and waits to be told in its conversation.
    Waits,
    /// The same in its channel's roll-up.
    WaitsInRollUp,
    /// An event repeats what is known.
    Duplicate,
    /// An event is not told.
    Suppressed,
    /// An event, or a message, became a dead letter.
    DeadLettered,
    /// What waited in a conversation is told in another.
    RolledUp,
    /// A message was taken by Missive.
    Told,
    /// So many decisions found no room and were not written.
    NotWritten,
}

/// A place in a source topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    pub topic: String,
    pub partition: i32,
    #[serde(flatten)]
    pub position: Option<Position>,
}

impl Line {
    /// One that says no more than this, about one event.
    pub fn bare(at_ms: u64, lane: &str, decided: Decided, conversation: &str) -> Self {
        Self {
            at_ms,
            lane: lane.to_owned(),
            decided,
            reason: None,
            conversation: conversation.to_owned(),
            from: None,
            upto: None,
            entity: None,
            into: None,
            message: None,
            covers: 1,
        }
    }

    fn of(lane: &str, decision: &Decision) -> Self {
        let (decided, reason) = decided(&decision.what);
        let line = Self {
            reason: reason.map(|reason| reason.as_str().to_owned()),
            ..Self::bare(decision.at.as_millis(), lane, decided, &decision.routing_key)
        };
        let at = |topic: &str, partition, position| Some(At { topic: topic.to_owned(), partition, position });
        match &decision.what {
            What::Observed { place, entity, .. } => Self {
                from: at(&place.topic, place.partition, Some(place.position)),
                entity: Some(entity.to_string()),
                ..line
            },
            What::Repeated { topic, partition, first, last, count } => {
                Self { from: at(topic, *partition, Some(*first)), upto: Some(*last), covers: *count, ..line }
            }
            What::Rewound { topic, partition, count } => {
                Self { from: at(topic, *partition, None), covers: *count, ..line }
            }
            What::RolledUp { into, covers } => {
                Self { into: Some(into.to_string()), covers: u64::from(*covers), ..line }
            }
            What::Told { sequence, covers, .. } => {
                Self { message: Some(*sequence), covers: u64::from(*covers), ..line }
            }
            What::DeadLettered { covers, .. } => Self { covers: u64::from(*covers), ..line },
        }
    }

    /// Every decision of a record; lines that this version can't read are left out.
    pub fn read(value: &[u8]) -> impl Iterator<Item = Self> + '_ {
        value.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }
}

const fn decided(what: &What) -> (Decided, Option<Reason>) {
    match what {
        What::Observed { fate: Fate::Waits, .. } => (Decided::Waits, None),
        What::Observed { fate: Fate::WaitsInRollUp, .. } => (Decided::WaitsInRollUp, None),
        What::Observed { fate: Fate::Settled(outcome, reason), .. } => (settled(*outcome), Some(*reason)),
        What::Repeated { .. } => (Decided::Duplicate, Some(Reason::Intake)),
        What::Rewound { .. } => (Decided::Suppressed, Some(Reason::Rewound)),
        What::RolledUp { .. } => (Decided::RolledUp, None),
        What::Told { reason, .. } => (Decided::Told, Some(*reason)),
        What::DeadLettered { reason, .. } => (Decided::DeadLettered, Some(*reason)),
    }
}

const fn settled(outcome: Outcome) -> Decided {
    match outcome {
        Outcome::Delivered => Decided::Told,
        Outcome::Duplicate => Decided::Duplicate,
        Outcome::Suppressed => Decided::Suppressed,
        Outcome::DeadLettered => Decided::DeadLettered,
    }
}

/// The values of the records that hold these decisions.
pub fn records(lane: &str, decisions: &[Decision], left_out: u64) -> Vec<Vec<u8>> {
    let left_out = (left_out > 0).then(|| Line {
        decided: Decided::NotWritten,
        reason: None,
        conversation: String::new(),
        covers: left_out,
        ..Line::of(lane, decisions.last().expect("what is left out comes after what fits"))
    });
    let lines = decisions.iter().map(|decision| Line::of(lane, decision)).chain(left_out);
    let mut records: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        let line = serde_json::to_vec(&line).expect("texts and numbers can always be written as JSON");
        match records.last_mut().filter(|record| record.len() + line.len() < RECORD_BYTES) {
            Some(record) => {
                record.push(b'\n');
                record.extend(line);
            }
            None => records.push(line),
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fingerprint, Timestamp};
    use crate::lane::Place;

    fn decision(offset: i64, what: fn(Place) -> What) -> Decision {
        let place = Place { topic: "alerts".into(), partition: 2, position: Position { offset, index: 1 } };
        Decision { at: Timestamp::from_millis(7), routing_key: "alerts/payments".into(), what: what(place) }
    }

    #[test]
    fn what_was_decided_reads_back_and_records_stay_small() {
        let observed = |place| What::Observed { place, entity: Fingerprint::from_u128(5), fate: Fate::Waits };
        let decisions: Vec<_> = (0..1_000).map(|offset| decision(offset, observed)).collect();
        let records = records("default", &decisions, 3);
        assert!(records.len() > 1 && records.iter().all(|record| record.len() <= RECORD_BYTES));
        let lines: Vec<Line> = records.iter().flat_map(|record| Line::read(record)).collect();
        let offset = |line: &Line| line.from.as_ref().and_then(|at| at.position).map(|position| position.offset);
        assert!(lines.iter().zip(0..1_000).all(|(line, at)| offset(line) == Some(at)));
        assert_eq!(lines.last().map(|line| (line.decided, line.covers)), Some((Decided::NotWritten, 3)));
        let first = serde_json::to_string(&lines[0]).expect("JSON");
        assert_eq!(
            first,
            "{\"at_ms\":7,\"lane\":\"default\",\"decided\":\"waits\",\"conversation\":\"alerts/payments\",\"from\":{\"topic\":\
             \"alerts\",\"partition\":2,\"offset\":0,\"index\":1},\"entity\":\"00000000000000000000000000000005\",\"covers\":1}"
        );
    }

    #[test]
    fn each_decision_names_its_reason() {
        type Made = fn(Place) -> What;
        let rows: [(Made, Decided, Option<&str>); 6] = [
            (
                |place| {
                    let fate = Fate::Settled(Outcome::Suppressed, Reason::Late);
                    What::Observed { place, entity: Fingerprint::from_u128(5), fate }
                },
                Decided::Suppressed,
                Some("late"),
            ),
            (
                |place| What::Repeated {
                    topic: place.topic,
                    partition: 1,
                    first: place.position,
                    last: Position::default(),
                    count: 9,
                },
                Decided::Duplicate,
                Some("intake"),
            ),
            (
                |place| What::Rewound { topic: place.topic, partition: 1, count: 9 },
                Decided::Suppressed,
                Some("rewound"),
            ),
            (|_| What::RolledUp { into: "rollup/ops".into(), covers: 9 }, Decided::RolledUp, None),
            (|_| What::Told { sequence: 4, reason: Reason::First, covers: 9 }, Decided::Told, Some("first")),
            (|_| What::DeadLettered { reason: Reason::Refused, covers: 9 }, Decided::DeadLettered, Some("refused")),
        ];
        for (what, decided, reason) in rows {
            let line = Line::of("default", &decision(1, what));
            assert_eq!((line.decided, line.reason.as_deref()), (decided, reason));
        }
    }
}
