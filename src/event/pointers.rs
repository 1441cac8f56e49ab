//! Any JSON object, read by pointers from the config: one event a record.
//!
//! `entity` must point at a string, a number or a boolean. Everything else may be absent. Without an `id` pointer the news is
//! (entity, state, the record's bytes): a record that says the same again is a duplicate.

use std::borrow::Cow;

use simd_json::prelude::ValueIntoObject;
use simd_json::tape::Value;

use super::alertmanager::{conversation_key, https};
use super::cloudevents::bounded;
use super::decode::Refusal;
use super::identity::HashKey;
use super::json::{Fields, pointer, scalar};
use super::{Coverage, Event, Facts, Kind, State, TEXT_BYTES_MAX, Timestamp, Urgency};

/// Where a `json` source finds what an event needs (RFC 6901 pointers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointers {
    pub kind: Kind,
    /// What the event is about; required.
    pub entity: Box<str>,
    /// What makes it news beside entity and state: an event id, a change time. None: the whole record's bytes.
    pub id: Option<Box<str>>,
    /// The conversation key; the entity if absent.
    pub conversation: Option<Box<str>>,
    pub title: Option<Box<str>>,
    pub text: Option<Box<str>>,
    pub severity: Option<Box<str>>,
    /// `firing` or `resolved` for alerts (also `open`/`closed`, `problem`/`ok`, true/false); ignored otherwise.
    pub state: Option<Box<str>>,
    /// RFC 3339, or Unix seconds or milliseconds.
    pub time: Option<Box<str>>,
    pub link: Option<Box<str>>,
    /// Who is speaking, for threads.
    pub author: Option<Box<str>>,
}

pub(super) fn decode(
    key: &HashKey,
    at: &Pointers,
    root: Value<'_, '_>,
    payload: &[u8],
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    if root.into_object().is_none() {
        return Err(Refusal::field("the record", "an object"));
    }
    let find = |at: &str| pointer(root, at).and_then(scalar);
    let optional = |at: &Option<Box<str>>| at.as_deref().and_then(find).unwrap_or_default();
    let about = find(&at.entity).ok_or_else(|| Refusal::field(at.entity.clone(), "a string, a number or a boolean"))?;
    let state = state(at, &optional(&at.state))?;
    let news = match &at.id {
        Some(id) => Some(find(id).ok_or_else(|| Refusal::field(id.clone(), "a string or a number"))?),
        None => None,
    };
    let entity = key.fingerprint(&[about.as_bytes()]);
    let bits = entity.as_u128().to_le_bytes();
    let identity = key.fingerprint(&[&bits, &[state as u8], news.as_deref().map_or(payload, str::as_bytes)]);
    let conversation = at.conversation.as_deref().and_then(find).unwrap_or_else(|| about.clone());
    let severity = optional(&at.severity);
    let title = optional(&at.title);
    emit(&Event {
        index: 0,
        entity,
        identity,
        state,
        urgency: Urgency::of_severity(&severity),
        since: time(&optional(&at.time)),
        conversation: Cow::Owned(conversation_key(key, &conversation).into_owned()),
        coverage: Coverage::Part,
        facts: Facts {
            subject: bounded(
                if title.is_empty() || at.kind == Kind::Alert { conversation } else { title.clone() },
                256,
            ),
            title: bounded(if title.is_empty() { about } else { title }, 256),
            text: bounded(optional(&at.text), TEXT_BYTES_MAX),
            severity: bounded(severity, 64),
            link: Cow::Owned(https(&optional(&at.link)).to_owned()),
            author: bounded(optional(&at.author), 256),
        },
        fields: Fields { root: Some(root), scopes: [Some(root), None, None], attributes: &[] },
    });
    Ok(1)
}

fn state(at: &Pointers, word: &str) -> Result<State, Refusal> {
    const FIRING: [&str; 8] = ["firing", "open", "problem", "alerting", "trigger", "triggered", "true", "1"];
    const RESOLVED: [&str; 8] = ["resolved", "closed", "ok", "resolve", "recovery", "normal", "false", "0"];
    let among = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    match (at.kind, &at.state) {
        (Kind::Record, _) => Ok(State::Changed),
        (Kind::Thread, _) => Ok(State::Said),
        (Kind::Alert, None) => Ok(State::Firing),
        (Kind::Alert, Some(_)) if among(&FIRING) => Ok(State::Firing),
        (Kind::Alert, Some(_)) if among(&RESOLVED) => Ok(State::Resolved),
        (Kind::Alert, Some(place)) => Err(Refusal::field(place.clone(), "a state such as \"firing\" or \"resolved\"")),
    }
}

/// RFC 3339, or a number: up to 11 digits are seconds, more are milliseconds.
fn time(text: &str) -> Option<Timestamp> {
    match text.parse::<u64>() {
        Ok(number) if number < 100_000_000_000 => Some(Timestamp::from_millis(number.saturating_mul(1000))),
        Ok(number) => Some(Timestamp::from_millis(number)),
        Err(_) => Timestamp::parse_rfc3339(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Format, Record};
    use super::*;

    fn pointers(kind: Kind) -> Pointers {
        Pointers {
            kind,
            entity: "/ticket/id".into(),
            id: Some("/event".into()),
            conversation: None,
            title: Some("/ticket/title".into()),
            text: Some("/text".into()),
            severity: None,
            state: Some("/state".into()),
            time: Some("/at".into()),
            link: None,
            author: Some("/from".into()),
        }
    }

    fn decode(kind: Kind, payload: &str) -> Result<(State, String, String, Option<u64>), Refusal> {
        let mut seen = None;
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        Decoder::new(HashKey::new([1; 16])).decode(&Format::Json(Box::new(pointers(kind))), record, &mut |event| {
            let facts = &event.facts;
            seen = Some((
                event.state,
                event.conversation.to_string(),
                facts.text.to_string(),
                event.since.map(Timestamp::as_secs),
            ));
        })?;
        Ok(seen.expect("one event"))
    }

    #[test]
    fn pointers_find_what_an_event_needs() {
        let json = r#"{"event":1,"ticket":{"id":42,"title":"Printer"},"text":"it burns","state":"OK","at":1795317120}"#;
        let rows = [(Kind::Thread, State::Said), (Kind::Record, State::Changed), (Kind::Alert, State::Resolved)];
        for (kind, state) in rows {
            let wanted = (state, "42".to_owned(), "it burns".to_owned(), Some(1_795_317_120));
            assert_eq!(decode(kind, json), Ok(wanted), "{kind:?}");
        }
    }

    #[test]
    fn what_is_required_is_named_when_it_is_missing() {
        let rows = [
            (r#"{"event":1}"#, "/ticket/id is missing or not a string, a number or a boolean"),
            (r#"{"ticket":{"id":[]}}"#, "/ticket/id is missing or not a string, a number or a boolean"),
            (r#"{"ticket":{"id":1},"state":"firing"}"#, "/event is missing or not a string or a number"),
            (
                r#"{"ticket":{"id":1},"state":"?"}"#,
                "/state is missing or not a state such as \"firing\" or \"resolved\"",
            ),
            ("[1]", "the record is missing or not an object"),
        ];
        for (payload, wanted) in rows {
            assert_eq!(decode(Kind::Alert, payload).expect_err(wanted).to_string(), wanted);
        }
    }

    #[test]
    fn times_are_understood_in_seconds_milliseconds_and_words() {
        for text in ["1795317120", "1795317120000", "2026-11-22T03:12:00Z"] {
            assert_eq!(time(text).map(Timestamp::as_secs), Some(1_795_317_120), "{text}");
        }
        assert_eq!(time("soon"), None);
    }
}
