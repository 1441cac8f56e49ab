//! CloudEvents 1.0 on Kafka, in both content modes.
//!
//! Source: the CloudEvents specification 1.0.2 and its Kafka protocol binding. Structured: the value is the event, announced
//! by a content type `application/cloudevents+json` (or by nothing, when the value carries `specversion` itself). Binary:
//! attributes stand in `ce_` headers, in any case, and the value is the data. Batches and event formats other than JSON are
//! refused. `id`, `source`, `type` and `specversion` are required and not empty. A null value without attributes is a
//! tombstone and makes no event; with attributes it is an event without data. `data_base64` is read if its content type is
//! JSON or text, and is no more than data of that kind otherwise. Extensions are fields like all attributes; `severity` and
//! `severitytext` say how urgent it is. The news is (source, id); the conversation is (source, subject).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use simd_json::prelude::{ValueIntoArray, ValueIntoObject};
use simd_json::tape::Value;

use super::alertmanager::{address, conversation_key};
use super::decode::{Buffers, Record, Refusal};
use super::identity::HashKey;
use super::json::{Fields, Scratch, member, scalar, string, text};
use super::path::Path;
use super::screen::{Need, Needs, Screen};
use super::{Coverage, Event, Facts, Kind, State, TEXT_BYTES_MAX, Telling, Timestamp, Urgency, cut};

const HEADER_PREFIX: &str = "ce_";
const ATTRIBUTES_MAX: usize = 64;
const BATCH: Refusal = Refusal::Unsupported("batched CloudEvents are not read; send one event a record");

/// Attributes that a source's list needn't name; those of the second row become marks.
const KEPT: [&str; 7] = ["specversion", "id", "type", "time", "datacontenttype", "severity", "severitytext"];
const MARKED: [&str; 2] = ["source", "subject"];

pub(super) fn needs() -> Needs {
    let pointers = |names: &[&str]| names.iter().filter_map(|name| Path::parse(&format!("/{name}"))).collect();
    Needs { kept: pointers(&KEPT), marked: pointers(&MARKED) }
}

pub(super) fn decode(
    buffers: Buffers<'_>,
    kind: Kind,
    record: Record<'_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    let content_type = record.header("content-type").unwrap_or("");
    if starts_with(content_type, "application/cloudevents-batch") {
        return Err(BATCH);
    }
    let is_structured = starts_with(content_type, "application/cloudevents");
    if is_structured && !is_json(content_type) {
        return Err(Refusal::Unsupported("of structured CloudEvents only those in JSON are read"));
    }
    if !is_structured && record.header("ce_specversion").is_some() {
        return binary(buffers, kind, content_type, record, emit);
    }
    let Some(payload) = record.payload else { return Ok(0) };
    let Buffers { key, scratch, inner, screen } = buffers;
    scratch.with(screen, payload, |root| structured(key, inner, screen, kind, root, emit))
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
        let severity = get("severity");
        Ok(Self {
            id: required("id")?,
            source: required("source")?,
            kind: required("type")?,
            subject: get("subject"),
            time: get("time"),
            severity: if severity.is_empty() { get("severitytext") } else { severity },
        })
    }
}

fn structured(
    key: &HashKey,
    inner: &mut Scratch,
    screen: Option<Screen<'_>>,
    kind: Kind,
    root: Value<'_, '_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    if root.into_array().is_some() {
        return Err(BATCH);
    }
    if root.into_object().is_none() {
        return Err(Refusal::field("the event", "an object"));
    }
    let attributes = Attributes::read(|name| text(root, name))?;
    if let Some(encoded) = member(root, "data_base64") {
        let bytes = string(encoded).and_then(|encoded| BASE64.decode(encoded).ok());
        // What a screen has taken away is no fault of the event.
        let hidden = screen.map(|_| Vec::new());
        let bytes = bytes.or(hidden).ok_or_else(|| Refusal::field("data_base64", "base64"))?;
        let media = Media::of(text(root, "datacontenttype"));
        if media == Media::Json && !bytes.is_empty() {
            return inner.with(screen, &bytes, |data| {
                emit(&event(key, kind, attributes, told(data), fields(root, Some(data))));
                Ok(1)
            });
        }
        let said = if media == Media::Text { std::str::from_utf8(&bytes).unwrap_or("") } else { "" };
        emit(&event(key, kind, attributes, Cow::Borrowed(cut(said, TEXT_BYTES_MAX)), fields(root, None)));
        return Ok(1);
    }
    let data = member(root, "data");
    emit(&event(key, kind, attributes, data.map_or(Cow::Borrowed(""), told), fields(root, data)));
    Ok(1)
}

const fn fields<'a>(root: Value<'a, 'a>, data: Option<Value<'a, 'a>>) -> Fields<'a> {
    Fields { root: Some(root), element: None, scopes: [Some(root), data, None], attributes: &[] }
}

fn binary(
    buffers: Buffers<'_>,
    kind: Kind,
    content_type: &str,
    record: Record<'_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    let Buffers { key, scratch, screen, .. } = buffers;
    let named: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        record.headers.iter().filter_map(|header| attribute(screen, header)).take(ATTRIBUTES_MAX).collect();
    let pairs: Vec<(&str, &str)> = named.iter().map(|(name, value)| (&**name, &**value)).collect();
    let attributes =
        Attributes::read(|name| pairs.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value))?;
    let data = record.payload.unwrap_or_default();
    let media = Media::of(content_type);
    if !data.is_empty() && media == Media::Json {
        return scratch.with(screen, data, |root| {
            let fields =
                Fields { root: Some(root), element: None, scopes: [Some(root), None, None], attributes: &pairs };
            emit(&event(key, kind, attributes, told(root), fields));
            Ok(1)
        });
    }
    let fields = Fields { root: None, element: None, scopes: [None; 3], attributes: &pairs };
    // A text as a whole is no field: with anything to hide, it is not told.
    let shown = media == Media::Text && screen.is_none();
    let said = if shown { std::str::from_utf8(data).unwrap_or("") } else { "" };
    emit(&event(key, kind, attributes, Cow::Borrowed(cut(said, TEXT_BYTES_MAX)), fields));
    Ok(1)
}

/// Names of attributes are lower case; headers come in any.
fn attribute<'a>(
    screen: Option<Screen<'_>>,
    (name, value): &(&'a str, &'a [u8]),
) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    let (prefix, name) = name.split_at_checked(HEADER_PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(HEADER_PREFIX) {
        return None;
    }
    let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
    let name = if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
    let value = std::str::from_utf8(value).ok()?;
    let value = screen.map_or(Cow::Borrowed(value), |screen| screen.attribute(&name, value, need(&name)));
    Some((name, value))
}

fn need(name: &str) -> Need {
    match (KEPT.contains(&name), MARKED.contains(&name)) {
        (true, _) => Need::Kept,
        (false, true) => Need::Marked,
        (false, false) => Need::None,
    }
}

/// What data is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Text,
    Other,
}

impl Media {
    /// Nothing said means JSON.
    fn of(content_type: &str) -> Self {
        if is_json(content_type) {
            Self::Json
        } else if starts_with(content_type, "text/") {
            Self::Text
        } else {
            Self::Other
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or("").trim();
    media.is_empty() || media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}

fn event<'a>(key: &HashKey, kind: Kind, at: Attributes<'a>, said: Cow<'a, str>, fields: Fields<'a>) -> Event<'a> {
    let about = if at.subject.is_empty() { at.source } else { at.subject };
    let conversation = format!("{} {}", at.source, at.subject);
    let named = |name| fields.text(name).unwrap_or_default();
    let link = fields.text("url").or_else(|| fields.text("link"));
    let author = match kind {
        Kind::Thread => fields.text("author").or_else(|| fields.text("from")).unwrap_or_default(),
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
        telling: Telling::Told(Facts {
            subject: Cow::Borrowed(cut(about, 256)),
            title: Cow::Borrowed(cut(at.kind, 256)),
            text: said,
            severity: bounded(severity, 64),
            link: link.map_or(Cow::Borrowed(""), |link| Cow::Owned(address(&link).to_owned())),
            author: bounded(author, 256),
            ..Facts::default()
        }),
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
            let mut names = String::new();
            let Facts { title, text, .. } = event.facts(&mut names);
            let (title, text) = (title.into_owned(), text.into_owned());
            seen.push((event.identity, event.conversation.to_string(), title, text, event.state));
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
            ("7".to_owned(), "the event is missing or not an object"),
            ("[]".to_owned(), "batched CloudEvents are not read; send one event a record"),
        ];
        for (payload, wanted) in rows {
            let refusal = decode(Kind::Record, Some(&payload), &[]).expect_err(wanted);
            assert_eq!(refusal.to_string(), wanted);
        }
        let batch: [(&str, &[u8]); 1] = [("Content-Type", b"application/cloudevents-batch+json")];
        assert_eq!(decode(Kind::Record, Some("[]"), &batch).map_err(|refusal| refusal.reason()), Err("unsupported"));
        let avro: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents+avro")];
        assert_eq!(decode(Kind::Record, Some("[]"), &avro).map_err(|refusal| refusal.reason()), Err("unsupported"));
    }

    #[test]
    fn a_tombstone_makes_no_event() {
        assert_eq!(decode(Kind::Record, None, &[]), Ok(vec![]));
        let structured: [(&str, &[u8]); 1] = [("content-type", b"Application/CloudEvents+JSON; charset=UTF-8")];
        assert_eq!(decode(Kind::Record, None, &structured), Ok(vec![]));
        assert_eq!(decode(Kind::Record, Some(STRUCTURED), &structured).map(|seen| seen.len()), Ok(1), "in any case");
    }

    #[test]
    fn attributes_come_in_any_case() {
        let upper = BINARY.map(|(name, value)| (name.to_ascii_uppercase(), value));
        let upper = upper.each_ref().map(|(name, value)| (&**name, *value));
        let payload = Some(r#"{"stage":"won","amount":1200}"#);
        assert_eq!(decode(Kind::Record, payload, &upper), decode(Kind::Record, payload, &BINARY));
    }

    #[test]
    fn encoded_data_says_what_it_says_decoded() {
        let with = |content_type: &str, encoded: &str| {
            let data = format!(r#""datacontenttype":"{content_type}","data_base64":"{encoded}"}}"#);
            let plain = r#""datacontenttype":"application/json","data":{"stage":"won","amount":1200}}"#;
            decode(Kind::Record, Some(&STRUCTURED.replace(plain, &data)), &[]).map(|seen| seen[0].3.clone())
        };
        let json = "eyJzdGFnZSI6IndvbiIsImFtb3VudCI6MTIwMH0=";
        assert_eq!(with("application/json", json), Ok("stage: won, amount: 1200".to_owned()));
        assert_eq!(with("text/plain", "aGVsbG8="), Ok("hello".to_owned()));
        assert_eq!(with("image/png", "iVBORw0="), Ok(String::new()), "bytes say nothing");
        assert_eq!(with("text/plain", "//79"), Ok(String::new()), "neither does text that is none");
        assert!(
            matches!(with("application/json", "e30"), Err(Refusal::Field { field, .. }) if &*field == "data_base64")
        );
        assert!(matches!(with("application/json", "aGVsbG8="), Err(Refusal::NotJson { .. })));
    }

    #[test]
    fn extensions_are_fields_and_may_say_how_urgent_it_is() {
        let extended = STRUCTURED.replace(r#""subject""#, r#""severitytext":"FATAL","tenant":"acme","subject""#);
        let record = Record { payload: Some(extended.as_bytes()), headers: &[] };
        let format = Format::CloudEvents { kind: Kind::Record };
        let mut seen = None;
        let emit = &mut |event: &Event<'_>| {
            seen = Some((event.urgency, event.fields.text("tenant").map(Cow::into_owned)));
        };
        Decoder::new(HashKey::new([1; 16])).decode(&format, record, emit).expect("an event");
        assert_eq!(seen, Some((Urgency::Critical, Some("acme".to_owned()))));
    }
}
