//! How a letter is told: as a line for people, or as JSON for programs.

use serde_json::{Value, json};

use crate::cli::harmless::{line, start};
use crate::cli::moment::rfc3339;
use crate::event::Timestamp;
use crate::shell::letters::{About, Content, Letter};

/// How much of an error a line shows.
const ERROR_CHARS: usize = 80;

/// The heading of lines, in tab-separated columns.
pub const HEADING: &str = "ID\tFAILED\tREASON\tTRIED\tFROM\tREPLAYED\tERROR";

/// One line, in tab-separated columns.
pub fn as_line(letter: &Letter, replayed: Option<Timestamp>) -> String {
    let from = match &letter.about {
        About::Record { source, .. } => format!("{}/{}/{}", source.topic, source.partition, source.offset),
        About::Delivery { channel, routing_key, .. } => format!("{channel} {routing_key}"),
    };
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}",
        letter.id,
        moment(letter.at).unwrap_or_else(|| "-".to_owned()),
        line(&letter.reason),
        letter.attempts,
        start(&from, ERROR_CHARS),
        moment(replayed).unwrap_or_else(|| "-".to_owned()),
        start(&letter.error, ERROR_CHARS),
    )
}

/// One object.
pub fn as_json(letter: &Letter, replayed: Option<Timestamp>) -> Value {
    let source = letter.source().map(|source| {
        json!({"topic": source.topic, "partition": source.partition, "offset": source.offset, "at": moment(source.at)})
    });
    let mut told = json!({
        "id": letter.id.to_string(),
        "reason": letter.reason,
        "error": letter.error,
        "at": moment(letter.at),
        "first_failure_at": moment(letter.first_failure_at),
        "attempts": letter.attempts,
        "content": match letter.content { Content::Whole => "whole", Content::Reference => "reference" },
        "bytes": letter.value.as_ref().map_or(0, Vec::len),
        "source": source,
        "replayed_at": moment(replayed),
    });
    match &letter.about {
        About::Record { events, format, .. } => {
            told["kind"] = json!("record");
            told["events"] = json!(events.to_string());
            told["format"] = json!(format);
        }
        About::Delivery { lane, channel, routing_key, author, covers, .. } => {
            told["kind"] = json!("delivery");
            told["lane"] = json!(lane);
            told["channel"] = json!(channel);
            told["routing_key"] = json!(routing_key);
            told["author"] = json!(author);
            told["covers"] = json!(covers);
        }
    }
    told
}

/// In UTC, as RFC 3339.
pub fn moment(at: Option<Timestamp>) -> Option<String> {
    at.and_then(rfc3339)
}

/// Bytes as text where they are, and otherwise as hex digits.
pub fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => json!(text),
        Some(Err(_)) => {
            let digits = bytes.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            json!({ "hex": digits })
        }
    }
}
