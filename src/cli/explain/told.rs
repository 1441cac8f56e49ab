//! How a decision is told to people: a line with its time, its place, its conversation, and a sentence.

use crate::cli::harmless;
use crate::cli::moment::rfc3339;
use crate::event::Timestamp;
use crate::lane::Reason;
use crate::shell::decisions::{Decided, Line};

/// One line.
pub fn line(line: &Line) -> String {
    let at = rfc3339(Timestamp::from_millis(line.at_ms)).unwrap_or_default();
    let place = place(line).map(|place| format!("{place}  ")).unwrap_or_default();
    let conversation = harmless::line(&line.conversation);
    format!("{at}  {place}{conversation}: {}", sentence(line)).replace("  : ", "  ")
}

/// Where it stands in its source topic.
fn place(line: &Line) -> Option<String> {
    let from = line.from.as_ref()?;
    let topic = harmless::line(&from.topic);
    Some(match (from.position, line.upto) {
        (Some(first), Some(last)) => format!("{topic}/{}/{}–{}", from.partition, first.offset, last.offset),
        (Some(first), None) => format!("{topic}/{}/{} event {}", from.partition, first.offset, first.index),
        (None, _) => format!("{topic}/{}", from.partition),
    })
}

/// What was decided, and why.
pub fn sentence(line: &Line) -> String {
    let why = why(line);
    let counted = |one: &str| if line.covers == 1 { one.to_owned() } else { format!("{} {one}s", line.covers) };
    match line.decided {
        Decided::Waits => "news; it waits to be told".to_owned(),
        Decided::WaitsInRollUp => "news; it waits to be told in its channel's roll-up".to_owned(),
        Decided::Duplicate => format!("{}{why}; counted on the conversation", counted("duplicate")),
        Decided::Suppressed => format!("{} not told{why}", counted("event")),
        Decided::DeadLettered if line.from.is_some() => format!("a dead letter{why}"),
        Decided::DeadLettered => format!("its message with {} became a dead letter{why}", counted("event")),
        Decided::RolledUp => {
            let into = harmless::line(line.into.as_deref().unwrap_or_default());
            format!("{} will be told in {into}, together with others", counted("event"))
        }
        Decided::Told if line.covers == 0 => format!("a message was sent{why}"),
        Decided::Told => format!("told {} in message {}{why}", counted("event"), line.message.unwrap_or_default()),
        Decided::NotWritten => format!("{} decisions were not written: too many at once", line.covers),
    }
}

fn why(line: &Line) -> String {
    let Some(name) = &line.reason else { return String::new() };
    let meaning = Reason::named(name).map_or("a reason of another version", Reason::meaning);
    format!(" ({}: {meaning})", harmless::line(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;
    use crate::shell::decisions::At;

    #[test]
    fn a_decision_reads_as_a_sentence_and_moves_no_cursor() {
        let position = Some(Position { offset: 12, index: 1 });
        let from = Some(At { topic: "alerts".to_owned(), partition: 0, position });
        let waits = Line {
            at_ms: 1_795_317_120_000,
            lane: "default".to_owned(),
            decided: Decided::Waits,
            reason: None,
            conversation: "alerts/pay\u{1b}[2Jments".to_owned(),
            from,
            upto: None,
            entity: None,
            into: None,
            message: None,
            covers: 1,
        };
        assert_eq!(
            line(&waits),
            "2026-11-22T03:12:00Z  alerts/0/12 event 1  alerts/pay\\u{1b}[2Jments: news; it waits to be told"
        );
        let repeats = Line {
            decided: Decided::Duplicate,
            reason: Some("intake".to_owned()),
            upto: Some(Position { offset: 99, index: 0 }),
            covers: 30,
            ..waits.clone()
        };
        let told = Line { decided: Decided::Told, reason: Some("first".to_owned()), message: Some(7), ..waits.clone() };
        let strange = Line { decided: Decided::Suppressed, reason: Some("of tomorrow".to_owned()), ..waits };
        let rows = [
            (repeats, "30 duplicates (intake: the same news a moment ago); counted on the conversation"),
            (told, "told event in message 7 (first: the first message of a conversation or episode)"),
            (strange, "event not told (of tomorrow: a reason of another version)"),
        ];
        for (line, expected) in rows {
            assert_eq!(sentence(&line), expected);
        }
    }
}
