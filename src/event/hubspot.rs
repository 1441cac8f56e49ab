//! HubSpot's webhook subscriptions: an array of what happened to CRM objects.
//!
//! Source: the webhooks page of HubSpot's developer documentation (version 3 of the API). Required of each event are
//! `subscriptionType`, `occurredAt` and the object it is about: `objectId`, or `fromObjectId` of an association; unknown
//! members are ignored. One event that isn't in an array is read, too. HubSpot repeats what wasn't answered in time:
//! `attemptNumber` counts that and is no news. It doesn't promise that an `eventId` is unique, so the news is (event,
//! subscription, object, type, property, time). The conversation is the object.

use std::borrow::Cow;

use simd_json::prelude::{ValueIntoArray, ValueIntoObject};
use simd_json::tape::Value;

use super::alertmanager::conversation_key;
use super::cloudevents::bounded;
use super::decode::{EVENTS_PER_RECORD_MAX, Refusal};
use super::identity::HashKey;
use super::json::{Fields, member, scalar, text};
use super::screen::Needs;
use super::{Coverage, Event, Facts, State, TEXT_BYTES_MAX, Telling, Timestamp, Urgency};

/// Ids of object types that have pages of their own, as HubSpot numbers them.
const TYPE_IDS: [(&str, &str); 4] = [("contact", "0-1"), ("company", "0-2"), ("deal", "0-3"), ("ticket", "0-5")];

/// What tells events apart; beside the subscription's type.
const NEWS: [&str; 8] =
    ["portalId", "eventId", "subscriptionId", "occurredAt", "propertyName", "objectId", "fromObjectId", "toObjectId"];

pub(super) fn needs() -> Needs {
    const KEPT: [&str; 11] = [
        "/*/eventId",
        "/*/subscriptionId",
        "/*/portalId",
        "/*/occurredAt",
        "/*/subscriptionType",
        "/*/objectTypeId",
        "/eventId",
        "/subscriptionId",
        "/portalId",
        "/occurredAt",
        "/subscriptionType",
    ];
    const MARKED: [&str; 4] = ["/*/objectId", "/*/fromObjectId", "/objectId", "/fromObjectId"];
    Needs::of(&KEPT, &MARKED)
}

pub(super) fn decode(key: &HashKey, root: Value<'_, '_>, emit: &mut dyn FnMut(&Event<'_>)) -> Result<usize, Refusal> {
    let events: Vec<Value<'_, '_>> = match (root.into_array(), root.into_object()) {
        (Some(array), _) if array.len() > EVENTS_PER_RECORD_MAX => return Err(Refusal::TooManyEvents),
        (Some(array), _) => array.iter().collect(),
        (None, Some(_)) => vec![root],
        (None, None) => return Err(Refusal::field("the record", "an array of events")),
    };
    let changes: Result<Vec<Change<'_>>, Refusal> =
        events.iter().enumerate().map(|(index, event)| Change::read(*event, index)).collect();
    let changes = changes?;
    for (index, change) in changes.iter().enumerate() {
        emit(&change.event(key, root, index));
    }
    Ok(changes.len())
}

/// One event, with what it must have.
struct Change<'a> {
    value: Value<'a, 'a>,
    /// `contact`, `deal`, or the id of a custom type.
    object: &'a str,
    /// `creation`, `propertyChange` …
    what: &'a str,
    id: Cow<'a, str>,
    occurred_at: Timestamp,
}

impl<'a> Change<'a> {
    fn read(value: Value<'a, 'a>, index: usize) -> Result<Self, Refusal> {
        let lacks = |name: &str, wanted| Refusal::field(format!("[{index}].{name}"), wanted);
        if value.into_object().is_none() {
            return Err(Refusal::field(format!("[{index}]"), "an object"));
        }
        let (object, what) = text(value, "subscriptionType")
            .split_once('.')
            .ok_or_else(|| lacks("subscriptionType", "a type such as \"contact.propertyChange\""))?;
        let id = member(value, "objectId").or_else(|| member(value, "fromObjectId")).and_then(scalar);
        let occurred_at = member(value, "occurredAt").and_then(scalar).and_then(|at| Timestamp::parse_loose(&at));
        // The generic subscriptions say "object" and name the type by its id.
        let type_id = text(value, "objectTypeId");
        let object = match TYPE_IDS.iter().find(|(_, id)| *id == type_id) {
            Some((name, _)) => name,
            None if object == "object" && !type_id.is_empty() => type_id,
            None => object,
        };
        Ok(Self {
            value,
            object,
            what,
            id: id.filter(|id| !id.is_empty()).ok_or_else(|| lacks("objectId", "a number"))?,
            occurred_at: occurred_at.ok_or_else(|| lacks("occurredAt", "Unix time in milliseconds"))?,
        })
    }

    fn event(&self, key: &HashKey, root: Value<'a, 'a>, index: usize) -> Event<'a> {
        let portal = self.named("portalId");
        let mut news = key.hasher();
        news.part(self.object.as_bytes());
        news.part(self.what.as_bytes());
        NEWS.iter().for_each(|name| news.part(self.named(name).as_bytes()));
        let named = format!("{} {}", self.object, self.id);
        Event {
            index: u32::try_from(index).expect("bounded by EVENTS_PER_RECORD_MAX"),
            entity: key.fingerprint(&[portal.as_bytes(), self.object.as_bytes(), self.id.as_bytes()]),
            identity: news.finish(),
            state: State::Changed,
            urgency: Urgency::Normal,
            since: Some(self.occurred_at),
            conversation: Cow::Owned(
                conversation_key(key, &format!("{portal}/{}/{}", self.object, self.id)).into_owned(),
            ),
            coverage: Coverage::Part,
            telling: Telling::Told(Facts {
                subject: bounded(Cow::Owned(named.clone()), 256),
                title: bounded(Cow::Owned(named), 256),
                text: bounded(self.told(), TEXT_BYTES_MAX),
                severity: Cow::Borrowed(""),
                link: Cow::Owned(self.link(&portal)),
                author: Cow::Borrowed(""),
                ..Facts::default()
            }),
            fields: Fields {
                root: Some(root),
                element: Some(self.value),
                scopes: [Some(self.value), None, None],
                attributes: &[],
            },
        }
    }

    fn named(&self, name: &str) -> Cow<'a, str> {
        member(self.value, name).and_then(scalar).unwrap_or_default()
    }

    /// What happened, in words.
    fn told(&self) -> Cow<'a, str> {
        match self.what {
            "creation" => Cow::Borrowed("created"),
            "deletion" => Cow::Borrowed("deleted"),
            "privacyDeletion" => Cow::Borrowed("deleted for privacy"),
            "restore" => Cow::Borrowed("restored"),
            "merge" => Cow::Owned(format!("merged into {}", self.named("primaryObjectId"))),
            "propertyChange" => Cow::Owned(format!("{}: {}", self.named("propertyName"), self.named("propertyValue"))),
            "associationChange" => {
                let removed = self.named("associationRemoved") == "true";
                let (word, kind) = (if removed { "removed" } else { "added" }, self.named("associationType"));
                Cow::Owned(format!("association {word}: {kind} {}", self.named("toObjectId")))
            }
            // A kind of subscription that came later is news all the same.
            other => Cow::Borrowed(other),
        }
    }

    /// The object's page; empty for types that have none.
    fn link(&self, portal: &str) -> String {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match TYPE_IDS.iter().find(|(name, _)| *name == self.object) {
            Some((_, type_id)) if digits(portal) && digits(&self.id) => {
                format!("https://app.hubspot.com/contacts/{portal}/record/{type_id}/{}", self.id)
            }
            Some(_) | None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Fingerprint, Format, Record};
    use super::*;

    const BATCH: &str = r#"[
      {"eventId":1,"subscriptionId":12,"portalId":62515,"occurredAt":1795317120000,"subscriptionType":"contact.creation",
       "attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54},
      {"eventId":2,"subscriptionId":13,"portalId":62515,"occurredAt":1795317121000,
       "subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":7,"propertyName":"amount",
       "propertyValue":"1200"},
      {"eventId":3,"subscriptionId":14,"portalId":62515,"occurredAt":1795317122000,
       "subscriptionType":"contact.associationChange","fromObjectId":123,"toObjectId":7,
       "associationType":"CONTACT_TO_DEAL","associationRemoved":false}]"#;

    fn decode(payload: &str) -> Result<Vec<(Fingerprint, String, String, String)>, Refusal> {
        let mut seen = Vec::new();
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        Decoder::new(HashKey::new([1; 16])).decode(&Format::HubSpot, record, &mut |event| {
            let (text, link) =
                (event.facts(&mut String::new()).text.to_string(), event.facts(&mut String::new()).link.to_string());
            seen.push((event.identity, event.conversation.to_string(), text, link));
        })?;
        Ok(seen)
    }

    #[test]
    fn a_batch_tells_what_happened_to_each_object() {
        let seen = decode(BATCH).expect("a batch");
        let told: Vec<_> = seen.iter().map(|(_, key, text, link)| (&**key, &**text, &**link)).collect();
        let page = |place: &str| format!("https://app.hubspot.com/contacts/62515/record/{place}");
        let wanted = [
            ("62515/contact/123", "created", page("0-1/123")),
            ("62515/deal/7", "amount: 1200", page("0-3/7")),
            ("62515/contact/123", "association added: CONTACT_TO_DEAL 7", page("0-1/123")),
        ];
        assert_eq!(told, wanted.each_ref().map(|(key, text, link)| (*key, *text, &**link)));
    }

    #[test]
    fn a_second_attempt_is_no_news_and_anything_else_is() {
        let first = decode(BATCH).expect("a batch");
        assert_eq!(first[0].0, decode(&BATCH.replace("\"attemptNumber\":0", "\"attemptNumber\":3")).expect("it")[0].0);
        for (from, to) in [("\"eventId\":1,", "\"eventId\":9,"), ("1795317120000", "1795317120001"), (":123", ":124")] {
            assert_ne!(first[0].0, decode(&BATCH.replacen(from, to, 1)).expect("it")[0].0, "{to}");
        }
    }

    #[test]
    fn a_generic_subscription_names_its_type_by_its_id() {
        let one = |type_id: &str| {
            format!(
                r#"{{"subscriptionType":"object.creation","objectTypeId":"{type_id}","objectId":5,"occurredAt":1795317120000}}"#
            )
        };
        assert_eq!(decode(&one("0-3")).expect("a deal")[0].1, "/deal/5");
        assert_eq!(decode(&one("2-77")).expect("a custom object")[0].1, "/2-77/5");
    }

    #[test]
    fn what_an_event_must_have_is_named() {
        let rows = [
            ("7".to_owned(), "the record is missing or not an array of events"),
            ("[7]".to_owned(), "[0] is missing or not an object"),
            (
                BATCH.replace("deal.propertyChange", "deal"),
                "[1].subscriptionType is missing or not a type such as \"contact.propertyChange\"",
            ),
            (BATCH.replace("\"objectId\":7", "\"x\":7"), "[1].objectId is missing or not a number"),
            (BATCH.replace("1795317121000", "\"then\""), "[1].occurredAt is missing or not Unix time in milliseconds"),
        ];
        for (payload, wanted) in rows {
            assert_eq!(decode(&payload).expect_err(wanted).to_string(), wanted);
        }
    }
}
