//! CloudEvents 1.0 on Kafka, in both content modes.
//!
//! Source: the CloudEvents specification 1.0.2 and its Kafka protocol binding. Structured: the value is the event, announced
//! by a content type `application/cloudevents+json` (or by nothing, when the value carries `specversion` itself). Binary:
//! attributes stand in `ce_` headers and the value is the data. Batches are refused. `id`, `source`, `type` and
//! `specversion` are required and not empty. The news is (source, id); the conversation is (source, subject).

use std::borrow::Cow;

use simd_json::prelude::ValueIntoObject;
use simd_json::tape::Value;

use super::alertmanager::{conversation_key, https};
use super::decode::{Record, Refusal};
use super::identity::HashKey;
use super::json::{Fields, Scratch, member, scalar, text};
use super::{Coverage, Event, Facts, Kind, State, TEXT_BYTES_MAX, Timestamp, Urgency, cut};

const HEADER_PREFIX: &str = "ce_";
const ATTRIBUTES_MAX: usize = 64;

pub(super) fn decode(
    key: &HashKey,
    scratch: &mut Scratch,
    kind: Kind,
    record: Record<'_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    let content_type = record.header("content-type").unwrap_or("");
    if starts_with(content_type, "application/cloudevents-batch") {
        return Err(Refusal::Unsupported("batched CloudEvents are not read; send one event a record"));
    }
    if starts_with(content_type, "application/cloudevents") || record.header("ce_specversion").is_none() {
        let payload = record.payload.ok_or(Refusal::Tombstone)?;
        return scratch.with(payload, |root| structured(key, kind, root, emit));
    }
    binary(key, scratch, kind, content_type, record, emit)
}

fn starts_with(content_type: &str, wanted: &str) -> bool {
    content_type.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
}

/// The context attributes that missived reads.
#[derive(Clone, Copy)]
struct Attributes<'a> {
    id: &'a str,
    source: &'a str,
    kind: &'a str,
    subject: &'a str,
    time: &'a str,
    severity: &'a str,
}

impl<'a> Attributes<'a> {
    fn read(get: impl Fn(&str) -> &'a str) -> Result<Self, Refusal> {
        if get("specversion") != "1.0" {
            return Err(Refusal::field("specversion", "\"1.0\""));
        }
        let required = |name: &str| match get(name) {
            "" => Err(Refusal::field(name, "a non-empty string")),
            value => Ok(value),
        };
        Ok(Self {
            id: required("id")?,
            source: required("source")?,
            kind: required("type")?,
            subject: get("subject"),
            time: get("time"),
            severity: get("severity"),
        })
    }
}

fn structured(
    key: &HashKey,
    kind: Kind,
    root: Value<'_, '_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    if root.into_object().is_none() {
        return Err(Refusal::field("the event", "an object"));
    }
    let attributes = Attributes::read(|name| text(root, name))?;
    let data = member(root, "data");
    let fields = Fields { root: Some(root), scopes: [Some(root), data, None], attributes: &[] };
    let said = data.map_or(Cow::Borrowed(""), told);
    emit(&event(key, kind, attributes, said, fields));
    Ok(1)
}

fn binary(
    key: &HashKey,
    scratch: &mut Scratch,
    kind: Kind,
    content_type: &str,
    record: Record<'_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    let pairs: Vec<(&str, &str)> = record.headers.iter().filter_map(attribute).take(ATTRIBUTES_MAX).collect();
    let attributes =
        Attributes::read(|name| pairs.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value))?;
    let data = record.payload.unwrap_or_default();
    if !data.is_empty() && is_json(content_type) {
        return scratch.with(data, |root| {
            let fields = Fields { root: Some(root), scopes: [Some(root), None, None], attributes: &pairs };
            emit(&event(key, kind, attributes, told(root), fields));
            Ok(1)
        });
    }
    let fields = Fields { root: None, scopes: [None; 3], attributes: &pairs };
    let said = if starts_with(content_type, "text/") { std::str::from_utf8(data).unwrap_or("") } else { "" };
    emit(&event(key, kind, attributes, Cow::Borrowed(cut(said, TEXT_BYTES_MAX)), fields));
    Ok(1)
}

fn attribute<'a>((name, value): &(&'a str, &'a [u8])) -> Option<(&'a str, &'a str)> {
    Some((name.strip_prefix(HEADER_PREFIX)?, std::str::from_utf8(value).ok()?))
}

fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or("").trim();
    media.is_empty() || media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}

fn event<'a>(key: &HashKey, kind: Kind, at: Attributes<'a>, said: Cow<'a, str>, fields: Fields<'a>) -> Event<'a> {
    let about = if at.subject.is_empty() { at.source } else { at.subject };
    let conversation = format!("{} {}", at.source, at.subject);
    let named = |name| fields.get(name).unwrap_or_default();
    let link = fields.get("url").or_else(|| fields.get("link"));
    let author = match kind {
        Kind::Thread => fields.get("author").or_else(|| fields.get("from")).unwrap_or_default(),
        Kind::Alert | Kind::Record => Cow::Borrowed(""),
    };
    let state = match kind {
        Kind::Thread => State::Said,
        Kind::Record => State::Changed,
        Kind::Alert if matches!(&*named("status"), "resolved" | "ok" | "closed") => State::Resolved,
        Kind::Alert => State::Firing,
    };
    let severity = if at.severity.is_empty() { named("severity") } else { Cow::Borrowed(at.severity) };
    Event {
        index: 0,
        entity: key.fingerprint(&[at.source.as_bytes(), at.subject.as_bytes()]),
        identity: key.fingerprint(&[at.source.as_bytes(), at.id.as_bytes()]),
        state,
        urgency: Urgency::of_severity(&severity),
        since: Timestamp::parse_rfc3339(at.time),
        conversation: Cow::Owned(conversation_key(key, conversation.trim_end()).into_owned()),
        coverage: Coverage::Part,
        facts: Facts {
            subject: Cow::Borrowed(cut(about, 256)),
            title: Cow::Borrowed(cut(at.kind, 256)),
            text: said,
            severity: bounded(severity, 64),
            link: link.map_or(Cow::Borrowed(""), |link| Cow::Owned(https(&link).to_owned())),
            author: bounded(author, 256),
        },
        fields,
    }
}

/// Data as one line: a string or a `text`/`message`/`summary` member as it stands, otherwise its scalar members.
fn told<'a>(data: Value<'a, 'a>) -> Cow<'a, str> {
    const MEMBERS_BYTES_MAX: usize = 512;
    if let Some(text) = scalar(data) {
        return bounded(text, TEXT_BYTES_MAX);
    }
    let worded = ["text", "message", "summary", "body"].into_iter().map(|name| text(data, name));
    if let Some(text) = worded.into_iter().find(|text| !text.is_empty()) {
        return Cow::Borrowed(cut(text, TEXT_BYTES_MAX));
    }
    let mut line = String::new();
    for (name, value) in data.into_object().iter().flatten() {
        let Some(value) = scalar(value) else { continue };
        if line.len() + name.len() + value.len() + 4 > MEMBERS_BYTES_MAX {
            break;
        }
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.push_str(name);
        line.push_str(": ");
        line.push_str(&value);
    }
    Cow::Owned(line)
}

/// At most `bytes_max` bytes of it.
pub(super) fn bounded(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text, bytes_max)),
        Cow::Owned(text) if text.len() <= bytes_max => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(cut(&text, bytes_max).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Fingerprint, Format};
    use super::*;

    type Seen = (Fingerprint, String, String, String, State);

    fn decode(kind: Kind, payload: Option<&str>, headers: &[(&str, &[u8])]) -> Result<Vec<Seen>, Refusal> {
        let mut seen = Vec::new();
        let record = Record { payload: payload.map(str::as_bytes), headers };
        Decoder::new(HashKey::new([1; 16])).decode(&Format::CloudEvents { kind }, record, &mut |event| {
            let facts = (event.facts.title.to_string(), event.facts.text.to_string());
            seen.push((event.identity, event.conversation.to_string(), facts.0, facts.1, event.state));
        })?;
        Ok(seen)
    }

    const STRUCTURED: &str = r#"{"specversion":"1.0","id":"e1","source":"/crm","type":"deal.updated","subject":"deal-7",
        "time":"2026-11-22T03:12:00Z","datacontenttype":"application/json","data":{"stage":"won","amount":1200}}"#;
    const BINARY: [(&str, &[u8]); 6] = [
        ("content-type", b"Application/JSON; charset=utf-8"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e1"),
        ("ce_source", b"/crm"),
        ("ce_type", b"deal.updated"),
        ("ce_subject", b"deal-7"),
    ];

    #[test]
    fn both_content_modes_say_the_same() {
        let structured = decode(Kind::Record, Some(STRUCTURED), &[]).expect("structured");
        let binary = decode(Kind::Record, Some(r#"{"stage":"won","amount":1200}"#), &BINARY).expect("binary");
        assert_eq!(structured, binary);
        let (_, conversation, title, text, state) = &structured[0];
        assert_eq!(
            (conversation.as_str(), title.as_str(), text.as_str(), *state),
            ("/crm deal-7", "deal.updated", "stage: won, amount: 1200", State::Changed)
        );
    }

    #[test]
    fn a_binary_event_may_have_no_data_or_data_that_is_no_json() {
        assert_eq!(decode(Kind::Record, None, &BINARY).map(|seen| seen[0].3.clone()), Ok(String::new()));
        let mut plain = BINARY;
        plain[0] = ("content-type", b"text/plain");
        assert_eq!(decode(Kind::Thread, Some("hello"), &plain).map(|seen| seen[0].3.clone()), Ok("hello".to_owned()));
    }

    #[test]
    fn what_the_specification_requires_is_required() {
        let without = |name: &str| STRUCTURED.replace(&format!("\"{name}\":"), "\"x\":");
        let rows = [
            (without("id"), "id is missing or not a non-empty string"),
            (without("source"), "source is missing or not a non-empty string"),
            (without("type"), "type is missing or not a non-empty string"),
            (without("specversion"), "specversion is missing or not \"1.0\""),
            ("[]".to_owned(), "the event is missing or not an object"),
        ];
        for (payload, wanted) in rows {
            let refusal = decode(Kind::Record, Some(&payload), &[]).expect_err(wanted);
            assert_eq!(refusal.to_string(), wanted);
        }
        let batch: [(&str, &[u8]); 1] = [("Content-Type", b"application/cloudevents-batch+json")];
        assert_eq!(decode(Kind::Record, Some("[]"), &batch).map_err(|refusal| refusal.reason()), Err("unsupported"));
        assert_eq!(decode(Kind::Record, None, &[]), Err(Refusal::Tombstone));
    }
}
