//! What stands on the source's topic of a proven body: one record a group, keyed by it, so that a group stays in order.
//!
//! Alertmanager and Grafana send one group a body, which is passed on byte for byte. HubSpot sends a batch about many objects:
//! each object's events become one record, again a batch, in their order. Limits: [`KEY_BYTES_MAX`], longer keys are cut;
//! [`EVENTS_MAX`] events in a batch (HubSpot sends at most 100).

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Sender;
use crate::hook::proof::{Body, Verified};
use crate::hook::refusal::Refusal;

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

/// Reads a proven body.
pub fn records(sender: Sender, body: &Verified<Body>) -> Result<Vec<Record>, Refusal> {
    match sender {
        Sender::Alertmanager | Sender::Grafana => group(body.get().bytes()).map(|record| vec![record]),
        Sender::HubSpot => objects(body.get().bytes()),
    }
}

#[derive(Deserialize)]
struct Group<'b> {
    #[serde(borrow, rename = "groupKey")]
    key: Cow<'b, str>,
    /// Must be there: without, it is no group.
    #[serde(rename = "alerts")]
    _alerts: Vec<IgnoredAny>,
}

fn group(body: &[u8]) -> Result<Record, Refusal> {
    let group: Group<'_> = serde_json::from_slice(body).map_err(|_| Refusal::Unreadable)?;
    let key = &group.key[..group.key.floor_char_boundary(KEY_BYTES_MAX)];
    Ok(Record { key: key.into(), value: body.to_vec() })
}

fn objects(body: &[u8]) -> Result<Vec<Record>, Refusal> {
    let events: Vec<Value> = serde_json::from_slice(body).map_err(|_| Refusal::Unreadable)?;
    if events.len() > EVENTS_MAX {
        return Err(Refusal::TooLarge);
    }
    let mut order = Vec::new();
    let mut by_object: HashMap<Box<str>, Vec<Value>> = HashMap::new();
    for event in events {
        let key = object(&event).ok_or(Refusal::Unreadable)?;
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
fn object(event: &Value) -> Option<Box<str>> {
    let kind = event["objectTypeId"].as_str().or_else(|| event["subscriptionType"].as_str()?.split('.').next())?;
    let id = match &event["objectId"] {
        Value::Number(id) => id.to_string(),
        Value::String(id) => id.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let key = format!("{kind}:{id}");
    Some(key[..key.floor_char_boundary(KEY_BYTES_MAX)].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_passed_on_byte_for_byte_under_its_key() {
        let body = br#" {"version":"4","groupKey":"{}:{alertname=\"x\"}", "alerts":[{"status":"firing"}]} "#;
        let record = group(body).expect("a group");
        assert_eq!((&*record.key, &record.value[..]), ("{}:{alertname=\"x\"}", &body[..]));
        let long = format!(r#"{{"groupKey":"{}","alerts":[]}}"#, "é".repeat(1_000));
        assert_eq!(group(long.as_bytes()).expect("a group").key.len(), KEY_BYTES_MAX);
        for body in
            ["", "[]", "{}", r#"{"groupKey":1,"alerts":[]}"#, r#"{"groupKey":"x"}"#, r#"{"groupKey":"x","alerts":{}}"#]
        {
            assert_eq!(group(body.as_bytes()), Err(Refusal::Unreadable), "{body}");
        }
    }

    #[test]
    fn a_batch_becomes_one_batch_an_object_in_order() {
        let body = r#"[{"eventId":1,"subscriptionType":"deal.creation","objectId":7},
            {"eventId":2,"subscriptionType":"contact.creation","objectId":7},
            {"eventId":3,"subscriptionType":"deal.propertyChange","objectId":7},
            {"eventId":4,"objectTypeId":"0-3","subscriptionType":"object.creation","objectId":"9"}]"#;
        let told: Vec<(String, Vec<u64>)> = objects(body.as_bytes())
            .expect("a batch")
            .into_iter()
            .map(|record| {
                let events: Vec<Value> = serde_json::from_slice(&record.value).expect("JSON");
                (record.key.into(), events.iter().filter_map(|event| event["eventId"].as_u64()).collect())
            })
            .collect();
        let wanted = [("deal:7", vec![1, 3]), ("contact:7", vec![2]), ("0-3:9", vec![4])];
        assert_eq!(told, wanted.map(|(key, events)| (key.to_owned(), events)));
        assert_eq!(objects(b"[]"), Ok(vec![]));
        for body in ["", "{}", "[1]", "[{}]", r#"[{"subscriptionType":"deal.creation"}]"#, r#"[{"objectId":1}]"#] {
            assert_eq!(objects(body.as_bytes()), Err(Refusal::Unreadable), "{body}");
        }
        let many = format!("[{}1]", "1,".repeat(EVENTS_MAX));
        assert_eq!(objects(many.as_bytes()), Err(Refusal::TooLarge));
    }
}
