//! JSON of any shape, read by places from the config: one event a record, or one for each element of an array in it.
//!
//! `entity` must be found. Everything else may be absent. Without an `id` the news is (entity, state, the record's bytes and
//! the event's place among them): a record that says the same again is a duplicate. A state that is translated to "ignore"
//! makes no event. With `each`, places are looked up in the element first, then in the record; an empty pointer is the
//! element itself. Conditions see both, too.

use std::borrow::Cow;

use simd_json::prelude::{ValueIntoArray, ValueIntoObject};
use simd_json::tape::Value;

use super::alertmanager::{address, conversation_key};
use super::cloudevents::bounded;
use super::decode::{EVENTS_PER_RECORD_MAX, Refusal};
use super::identity::{Fingerprint, HashKey};
use super::json::Fields;
use super::path::Path;
use super::place::{Ground, Place};
use super::screen::Needs;
use super::{Coverage, Event, Facts, Kind, State, Telling, Urgency};

/// What isn't found in an event is looked up in its record, member by member: events times members.
const LOOK_UPS_MAX: usize = 10_000_000;

/// Where a `json` source finds what an event needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointers {
    pub kind: Kind,
    /// Where the events stand, if there are several: an array, or one event that isn't in one. None: the record is one.
    pub each: Option<Path>,
    /// What the event is about; required.
    pub entity: Place,
    /// What makes it news beside entity and state: an event id, a change time. None: the whole record's bytes.
    pub id: Option<Place>,
    /// The conversation key; the entity if absent.
    pub conversation: Option<Place>,
    /// The conversation's title; what the event is called if absent, and the conversation key for alerts.
    pub subject: Option<Place>,
    pub title: Option<Place>,
    pub text: Option<Place>,
    pub severity: Option<Place>,
    /// `firing` or `resolved` for alerts (also `open`/`closed`, `problem`/`ok`, true/false); for all kinds, `ignore`.
    pub state: Option<Place>,
    /// RFC 3339, or Unix time in a unit that its length or its type tells.
    pub time: Option<Place>,
    pub link: Option<Place>,
    /// Who is speaking, for threads.
    pub author: Option<Place>,
}

impl Pointers {
    /// Only what must be there.
    pub const fn new(kind: Kind, entity: Place) -> Self {
        Self {
            kind,
            each: None,
            entity,
            id: None,
            conversation: None,
            subject: None,
            title: None,
            text: None,
            severity: None,
            state: None,
            time: None,
            link: None,
            author: None,
        }
    }
}

/// States stay readable; what names things may be personal.
pub(super) fn needs(at: &Pointers) -> Needs {
    let paths = |places: &[&Option<Place>]| -> Vec<Path> {
        let places = places.iter().filter_map(|place| place.as_ref());
        places.flat_map(|place| place.paths().into_iter().flat_map(|path| grounded(at, path))).collect()
    };
    let entity = Some(at.entity.clone());
    Needs { kept: paths(&[&at.id, &at.severity, &at.state, &at.time]), marked: paths(&[&entity, &at.conversation]) }
}

/// A place as pointers from the record's root.
fn grounded(at: &Pointers, path: &Path) -> Vec<Path> {
    let Some(each) = &at.each else { return vec![path.clone()] };
    let within = [format!("{}{}", each.as_str(), path.as_str()), format!("{}/*{}", each.as_str(), path.as_str())];
    let within = within.iter().filter_map(|text| Path::parse(text));
    within.chain((!path.as_str().is_empty()).then(|| path.clone())).collect()
}

pub(super) fn decode(
    key: &HashKey,
    at: &Pointers,
    root: Value<'_, '_>,
    payload: &[u8],
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    let whole = if at.id.is_none() { key.fingerprint(&[payload]) } else { Fingerprint::from_u128(0) };
    let Some(each) = &at.each else {
        if root.into_object().is_none() {
            return Err(Refusal::field("the record", "an object"));
        }
        let event = event(key, at, Ground { element: None, root }, whole, 0)?;
        return Ok(event.as_ref().map_or(0, |event| show(event, emit)));
    };
    let found = each.find(root).ok_or_else(|| Refusal::field(place_of(each), "an array of events"))?;
    let elements: Vec<Value<'_, '_>> = match found.into_array() {
        Some(array) if array.len() > EVENTS_PER_RECORD_MAX => return Err(Refusal::TooManyEvents),
        Some(array) => array.iter().collect(),
        None => vec![found],
    };
    if elements.len() * root.into_object().map_or(0, |root| root.len()) > LOOK_UPS_MAX {
        return Err(Refusal::Unsupported("so many events beside so many other members are not read"));
    }
    let event = |index: usize| event(key, at, Ground { element: Some(elements[index]), root }, whole, index);
    // All of it is understood before any of it is shown; made again rather than kept, as most records hold few events.
    for index in 0..elements.len() {
        event(index).map_err(|refusal| within(refusal, each, index))?;
    }
    let mut shown = 0;
    for index in 0..elements.len() {
        shown += event(index)?.as_ref().map_or(0, |event| show(event, emit));
    }
    Ok(shown)
}

fn show(event: &Event<'_>, emit: &mut dyn FnMut(&Event<'_>)) -> usize {
    emit(event);
    1
}

fn place_of(each: &Path) -> &str {
    if each.as_str().is_empty() { "the record" } else { each.as_str() }
}

/// Says which element lacks something.
fn within(refusal: Refusal, each: &Path, index: usize) -> Refusal {
    match refusal {
        Refusal::Field { field, wanted } => Refusal::field(format!("{}/{index}: {field}", each.as_str()), wanted),
        other => other,
    }
}

/// `None` if it is to be ignored.
fn event<'a>(
    key: &HashKey,
    at: &'a Pointers,
    ground: Ground<'a>,
    whole: Fingerprint,
    index: usize,
) -> Result<Option<Event<'a>>, Refusal> {
    let optional = |place: &'a Option<Place>| -> Result<Cow<'a, str>, Refusal> {
        Ok(place.as_ref().map(|place| place.find(ground)).transpose()?.flatten().unwrap_or_default())
    };
    let Reported::State(state) = reported(at, ground)? else { return Ok(None) };
    let about = at.entity.required(ground)?;
    let news = at.id.as_ref().map(|id| id.required(ground)).transpose()?;
    let entity = key.fingerprint(&[about.as_bytes()]);
    let bits = entity.as_u128().to_le_bytes();
    let (place, whole) = ((index as u64).to_le_bytes(), whole.as_u128().to_le_bytes());
    let identity = match &news {
        Some(news) => key.fingerprint(&[&bits, &[state as u8], news.as_bytes()]),
        None => key.fingerprint(&[&bits, &[state as u8], &whole, &place]),
    };
    let conversation = optional(&at.conversation)?;
    let conversation = if conversation.is_empty() { about.clone() } else { conversation };
    let (severity, title, subject) = (optional(&at.severity)?, optional(&at.title)?, optional(&at.subject)?);
    let called = if title.is_empty() || at.kind == Kind::Alert { conversation.clone() } else { title.clone() };
    let element = ground.element;
    Ok(Some(Event {
        index: u32::try_from(index).expect("bounded by EVENTS_PER_RECORD_MAX"),
        entity,
        identity,
        state,
        urgency: Urgency::of_severity(&severity),
        since: at.time.as_ref().map(|time| time.time(ground)).transpose()?.flatten(),
        conversation: Cow::Owned(conversation_key(key, &conversation).into_owned()),
        coverage: Coverage::Part,
        telling: Telling::Told(Facts {
            subject: bounded(if subject.is_empty() { called } else { subject }, 256),
            title: bounded(if title.is_empty() { about } else { title }, 256),
            text: optional(&at.text)?,
            severity: bounded(severity, 64),
            link: Cow::Owned(address(&optional(&at.link)?).to_owned()),
            author: bounded(optional(&at.author)?, 256),
            ..Facts::default()
        }),
        fields: Fields {
            root: Some(ground.root),
            element,
            scopes: [element, Some(ground.root), None],
            attributes: &[],
        },
    }))
}

/// What an event says of its entity, if it is to be heard at all.
enum Reported {
    State(State),
    Nothing,
}

fn reported(at: &Pointers, ground: Ground<'_>) -> Result<Reported, Refusal> {
    const FIRING: [&str; 10] =
        ["firing", "open", "problem", "alerting", "trigger", "triggered", "true", "1", "down", "critical"];
    const RESOLVED: [&str; 10] =
        ["resolved", "closed", "ok", "resolve", "recovery", "normal", "false", "0", "up", "recovered"];
    let among = |words: &[&str], word: &str| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    let word = at.state.as_ref().map(|place| place.find(ground)).transpose()?.flatten().unwrap_or_default();
    if word.eq_ignore_ascii_case("ignore") {
        return Ok(Reported::Nothing);
    }
    let state = match (at.kind, &at.state) {
        (Kind::Record, _) => State::Changed,
        (Kind::Thread, _) => State::Said,
        (Kind::Alert, None) => State::Firing,
        (Kind::Alert, Some(_)) if among(&FIRING, &word) => State::Firing,
        (Kind::Alert, Some(_)) if among(&RESOLVED, &word) => State::Resolved,
        (Kind::Alert, Some(place)) => {
            return Err(Refusal::field(place.name(), "a state such as \"firing\" or \"resolved\""));
        }
    };
    Ok(Reported::State(state))
}

#[cfg(test)]
mod tests {
    use super::super::place::{Alternative, Part, Typed};
    use super::super::{Decoder, Format, Record};
    use super::*;

    type Seen = (State, String, String, String, Option<u64>);

    fn at(pointer: &str) -> Place {
        Place::at(Path::parse(pointer).expect("a pointer"))
    }

    fn ticket(kind: Kind) -> Pointers {
        Pointers {
            id: Some(at("/event")),
            title: Some(at("/ticket/title")),
            text: Some(at("/text")),
            state: Some(at("/state")),
            time: Some(at("/at")),
            author: Some(at("/from")),
            ..Pointers::new(kind, at("/ticket/id"))
        }
    }

    fn decode(pointers: Pointers, payload: &str) -> Result<Vec<Seen>, Refusal> {
        let mut seen = Vec::new();
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        let format = Format::Json(Box::new(pointers));
        let count = Decoder::new(HashKey::new([1; 16])).decode(&format, record, &mut |event| {
            let mut names = String::new();
            let Facts { title, text, .. } = event.facts(&mut names);
            let since = event.since.map(super::super::Timestamp::as_secs);
            seen.push((event.state, event.conversation.to_string(), title.into(), text.into(), since));
        })?;
        assert_eq!(count, seen.len());
        Ok(seen)
    }

    #[test]
    fn places_find_what_an_event_needs() {
        let json = r#"{"event":1,"ticket":{"id":42,"title":"Printer"},"text":"it burns","state":"OK","at":1795317120}"#;
        let rows = [(Kind::Thread, State::Said), (Kind::Record, State::Changed), (Kind::Alert, State::Resolved)];
        for (kind, state) in rows {
            let wanted = (state, "42".to_owned(), "Printer".to_owned(), "it burns".to_owned(), Some(1_795_317_120));
            assert_eq!(decode(ticket(kind), json), Ok(vec![wanted]), "{kind:?}");
        }
    }

    #[test]
    fn what_is_required_is_named_when_it_is_missing() {
        let rows = [
            (r#"{"event":1}"#, "/ticket/id is missing or not a string, a number or a boolean"),
            (r#"{"ticket":{"id":[]}}"#, "/ticket/id is missing or not a string, a number or a boolean"),
            (r#"{"ticket":{"id":""}}"#, "/ticket/id is missing or not a string, a number or a boolean"),
            (r#"{"ticket":{"id":1}}"#, "/event is missing or not a string, a number or a boolean"),
            ("[1]", "the record is missing or not an object"),
        ];
        for (payload, wanted) in rows {
            let pointers = Pointers { state: None, ..ticket(Kind::Alert) };
            assert_eq!(decode(pointers, payload).expect_err(wanted).to_string(), wanted);
        }
        let wanted = "/state is missing or not a state such as \"firing\" or \"resolved\"";
        let odd = decode(ticket(Kind::Alert), r#"{"event":1,"ticket":{"id":1},"state":"?"}"#);
        assert_eq!(odd.expect_err(wanted).to_string(), wanted);
    }

    fn line_items() -> Pointers {
        let each = Path::parse("/items");
        Pointers { each, title: Some(at("/name")), text: Some(at("/batch")), ..Pointers::new(Kind::Record, at("/id")) }
    }

    #[test]
    fn an_array_becomes_an_event_an_element_that_sees_its_record_too() {
        let json = r#"{"batch":"b","items":[{"id":1,"name":"one"},{"id":2,"name":"two","batch":"own"}]}"#;
        let seen = decode(line_items(), json).expect("two events");
        let said: Vec<_> = seen.iter().map(|(_, key, title, text, _)| (&**key, &**title, &**text)).collect();
        assert_eq!(said, [("1", "one", "b"), ("2", "two", "own")]);
        let alone = decode(line_items(), r#"{"items":{"id":3}}"#).expect("one event");
        assert_eq!(alone[0].1, "3", "one event that isn't in an array");
        assert_eq!(decode(line_items(), r#"{"items":[]}"#), Ok(vec![]));
        let texts = Pointers { each: Path::parse("/ids"), ..Pointers::new(Kind::Record, at("")) };
        assert_eq!(decode(texts, r#"{"ids":["a","b"]}"#).map(|seen| seen[1].1.clone()), Ok("b".to_owned()));
    }

    #[test]
    fn an_array_is_refused_whole_and_says_where() {
        let rows = [
            (r#"{"items":[{"id":1},{}]}"#, "/items/1: /id is missing or not a string, a number or a boolean"),
            (r#"{"itms":[]}"#, "/items is missing or not an array of events"),
        ];
        for (payload, wanted) in rows {
            assert_eq!(decode(line_items(), payload).expect_err(wanted).to_string(), wanted);
        }
        let many = format!(r#"{{"items":[{}0]}}"#, "0,".repeat(EVENTS_PER_RECORD_MAX));
        assert_eq!(decode(line_items(), &many), Err(Refusal::TooManyEvents));
    }

    #[test]
    fn alternatives_defaults_translations_and_compositions_are_tried_in_order() {
        let path = |text: &str| Path::parse(text).expect("a pointer");
        let composed = [Part::At(path("/first")), Part::Text(" ".into()), Part::At(path("/last"))];
        let mut pointers = Pointers::new(Kind::Record, at("/id"));
        pointers.title = Some(Place {
            alternatives: [Alternative::At(path("/name")), Alternative::Composed(composed.into())].into(),
            default: Some("nobody".into()),
            words: [("Bob".into(), "Robert".into())].into(),
            typed: Typed::Any,
        });
        let rows = [
            (r#"{"id":1,"name":"Ann","last":"Lee"}"#, "Ann", "the first that is found"),
            (r#"{"id":1,"name":"","first":"Ann","last":"Lee"}"#, "Ann Lee", "an empty one is none"),
            (r#"{"id":1,"last":"Lee"}"#, "Lee", "a composition of what is there"),
            (r#"{"id":1,"name":null}"#, "nobody", "the default"),
            (r#"{"id":1,"name":"bob"}"#, "Robert", "a translation, in any case"),
        ];
        for (payload, title, sentence) in rows {
            let seen = decode(pointers.clone(), payload).expect(sentence);
            assert_eq!(seen[0].2, title, "{sentence}");
        }
    }

    #[test]
    fn a_type_is_wanted_or_refused_and_tells_the_unit_of_a_time() {
        let with = |typed| {
            let time = Some(Place { typed, ..at("/at") });
            Pointers { time, ..Pointers::new(Kind::Record, at("/id")) }
        };
        let rows = [
            (Typed::Seconds, "1795317120", Some(1_795_317_120)),
            (Typed::Milliseconds, "1795317120000", Some(1_795_317_120)),
            (Typed::Microseconds, "1795317120000000", Some(1_795_317_120)),
            (Typed::Seconds, "1e300", Some(u64::MAX / 1000)),
            (Typed::Rfc3339, "\"2026-11-22T03:12:00Z\"", Some(1_795_317_120)),
            (Typed::Any, "\"soon\"", None),
        ];
        for (typed, at, wanted) in rows {
            let seen = decode(with(typed), &format!(r#"{{"id":1,"at":{at}}}"#)).expect("one event");
            assert_eq!(seen[0].4, wanted, "{typed:?} {at}");
        }
        let refused = decode(with(Typed::Rfc3339), r#"{"id":1,"at":5}"#).expect_err("a number is no RFC 3339");
        assert_eq!(refused.to_string(), "/at is missing or not a time as RFC 3339 writes it");
    }

    #[test]
    fn what_is_to_be_ignored_makes_no_event() {
        let words = [("opened".into(), "firing".into()), ("*".into(), "ignore".into())].into();
        let state = Some(Place { words, ..at("/what") });
        for kind in [Kind::Alert, Kind::Record, Kind::Thread] {
            let pointers = Pointers { state: state.clone(), ..Pointers::new(kind, at("/id")) };
            assert_eq!(decode(pointers.clone(), r#"{"id":1,"what":"viewed"}"#), Ok(vec![]), "{kind:?}");
            assert_eq!(decode(pointers, r#"{"id":1,"what":"opened"}"#).map(|seen| seen.len()), Ok(1), "{kind:?}");
        }
    }

    #[test]
    fn without_an_id_every_difference_is_news_and_none_is_none() {
        let identities = |payload: &str| {
            let mut found = Vec::new();
            let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
            let format = Format::Json(Box::new(line_items()));
            let mut decoder = Decoder::new(HashKey::new([1; 16]));
            decoder.decode(&format, record, &mut |event| found.push(event.identity)).expect("events");
            found
        };
        let twice = r#"{"items":[{"id":1},{"id":1}]}"#;
        let first = identities(twice);
        assert_ne!(first[0], first[1]);
        assert_eq!(first, identities(twice));
        assert_ne!(first[0], identities(&twice.replace("]}", "],\"x\":1}"))[0]);
    }
}
