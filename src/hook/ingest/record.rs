//! What stands on the source's topic of a proven body: one record a group, keyed by it, so that a group stays in order.
//!
//! Alertmanager and Grafana send one group a body, which is passed on byte for byte. HubSpot sends a batch about many objects:
//! each object's events become one record, again a batch, in their order. Limits: [`KEY_BYTES_MAX`], longer keys are cut;
//! [`EVENTS_MAX`] events in a batch (HubSpot sends at most 100).

use std::collections::HashMap;

use super::Sender;
use crate::hook::proof::{Body, Verified};
use crate::hook::refusal::Refusal;
use crate::hook::said::{Part, Said};

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

/// The most events in one batch.
const EVENTS_MAX: usize = 1_000;

/// One record of a source's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Box<str>,
    pub value: Vec<u8>,
}

/// Reads a proven body, in place.
pub fn records(sender: Sender, mut body: Verified<Body>) -> Result<Vec<Record>, Refusal> {
    match sender {
        Sender::Alertmanager | Sender::Grafana => group(&mut body).map(|record| vec![record]),
        Sender::HubSpot => objects(&mut body),
    }
}

fn group(body: &mut Verified<Body>) -> Result<Record, Refusal> {
    // Parsing rewrites the bytes, and these are to be passed on as they came.
    let value = body.get().bytes().to_vec();
    let said = Said::parse(body)?;
    let key = said.root().at("groupKey").text().ok_or(Refusal::Unreadable)?;
    if said.root().at("alerts").list().is_nothing() {
        return Err(Refusal::Unreadable);
    }
    Ok(Record { key: cut(key), value })
}

fn objects(body: &mut Verified<Body>) -> Result<Vec<Record>, Refusal> {
    let said = Said::parse(body)?;
    let events = said.root().list();
    if events.is_nothing() {
        return Err(Refusal::Unreadable);
    }
    if events.each().nth(EVENTS_MAX).is_some() {
        return Err(Refusal::TooLarge);
    }
    let mut order = Vec::new();
    let mut by_object: HashMap<Box<str>, Vec<Part<'_>>> = HashMap::new();
    for event in events.each() {
        let key = object(event).ok_or(Refusal::Unreadable)?;
        let events = by_object.entry(key.clone()).or_default();
        if events.is_empty() {
            order.push(key);
        }
        events.push(event);
    }
    let record = |key: Box<str>| {
        let events = by_object.remove(&key)?;
        Some(Record { value: serde_json::to_vec(&events).expect("JSON values can always be written"), key })
    };
    Ok(order.into_iter().filter_map(record).collect())
}

/// `deal:123`: the kind before the dot of `subscriptionType`, or `objectTypeId`, and the object's id.
fn object(event: Part<'_>) -> Option<Box<str>> {
    let of_subscription = || event.at("subscriptionType").text()?.split('.').next();
    let kind = event.at("objectTypeId").text().or_else(of_subscription)?;
    let id = event.at("objectId");
    let key = match (id.number(), id.text()) {
        (Some(number), _) => format!("{kind}:{number}"),
        (None, Some(text)) => format!("{kind}:{text}"),
        (None, None) => return None,
    };
    Some(cut(&key))
}

fn cut(key: &str) -> Box<str> {
    key[..key.floor_char_boundary(KEY_BYTES_MAX)].into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::hook::proof::proven;

    #[test]
    fn a_group_is_passed_on_byte_for_byte_under_its_key() {
        let body = br#" {"version":"4","groupKey":"{}:{alertname=\"x\"}", "alerts":[{"status":"firing"}]} "#;
        let record = group(&mut proven(body)).expect("a group");
        assert_eq!((&*record.key, &record.value[..]), ("{}:{alertname=\"x\"}", &body[..]));
        let long = format!(r#"{{"groupKey":"{}","alerts":[]}}"#, "é".repeat(1_000));
        assert_eq!(group(&mut proven(long.as_bytes())).expect("a group").key.len(), KEY_BYTES_MAX);
        for body in
            ["", "[]", "{}", r#"{"groupKey":1,"alerts":[]}"#, r#"{"groupKey":"x"}"#, r#"{"groupKey":"x","alerts":{}}"#]
        {
            assert_eq!(group(&mut proven(body.as_bytes())), Err(Refusal::Unreadable), "{body}");
        }
    }

    #[test]
    fn a_batch_becomes_one_batch_an_object_in_order() {
        let body = r#"[{"eventId":1,"subscriptionType":"deal.creation","objectId":7},
            {"eventId":2,"subscriptionType":"contact.creation","objectId":7},
            {"eventId":3,"subscriptionType":"deal.propertyChange","objectId":7},
            {"eventId":4,"objectTypeId":"0-3","subscriptionType":"object.creation","objectId":"9"}]"#;
        let told: Vec<(String, Vec<u64>)> = objects(&mut proven(body.as_bytes()))
            .expect("a batch")
            .into_iter()
            .map(|record| {
                let events: Vec<Value> = serde_json::from_slice(&record.value).expect("JSON");
                (record.key.into(), events.iter().filter_map(|event| event["eventId"].as_u64()).collect())
            })
            .collect();
        let wanted = [("deal:7", vec![1, 3]), ("contact:7", vec![2]), ("0-3:9", vec![4])];
        assert_eq!(told, wanted.map(|(key, events)| (key.to_owned(), events)));
        assert_eq!(objects(&mut proven(b"[]")), Ok(vec![]));
        for body in ["", "{}", "[1]", "[{}]", r#"[{"subscriptionType":"deal.creation"}]"#, r#"[{"objectId":1}]"#] {
            assert_eq!(objects(&mut proven(body.as_bytes())), Err(Refusal::Unreadable), "{body}");
        }
        let many = format!("[{}1]", "1,".repeat(EVENTS_MAX));
        assert_eq!(objects(&mut proven(many.as_bytes())), Err(Refusal::TooLarge));
    }
}
